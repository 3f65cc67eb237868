//! What breaks a client, in words.

use std::fmt;

use serde_json::Value;

/// A change of the document that a client of the old one would notice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Breakage {
    /// Where: `POST /v1/vms`, then the part of it.
    pub(super) place: String,
    /// What.
    pub(super) kind: Kind,
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Kind {
    #[error("the operation is gone")]
    OperationRemoved,
    #[error("its operationId was `{old}` and is `{new}`")]
    OperationId { old: String, new: String },
    #[error("who could call it cannot any more")]
    Security,
    #[error("the parameter is gone, and unknown ones are refused")]
    ParameterRemoved,
    #[error("the parameter must be there now")]
    ParameterRequired,
    #[error("the parameter is written in another way")]
    ParameterStyle,
    #[error("a body must be there now")]
    BodyRequired,
    #[error("no body is taken any more")]
    BodyRemoved,
    #[error("the media type is gone")]
    MediaTypeRemoved,
    #[error("the status is gone")]
    StatusRemoved,
    #[error("the header is gone")]
    HeaderRemoved,
    #[error("the header may be missing now")]
    HeaderOptional,
    #[error("the problem code `{0}` is gone")]
    ProblemCodeRemoved(String),
    #[error("the field is gone")]
    FieldRemoved,
    #[error("the field must be there now")]
    FieldRequired,
    #[error("the field need not be there any more")]
    FieldOptional,
    #[error("fields that are not listed are refused now")]
    Closed,
    #[error("it was {old} and is {new}")]
    Type { old: String, new: String },
    #[error("these values are not taken any more: {}", list(.0))]
    ValuesRemoved(Vec<Value>),
    #[error("these values may come now: {}", list(.0))]
    ValuesAdded(Vec<Value>),
    #[error("its {keyword} was {} and is {}", shown(.old), shown(.new))]
    Limit {
        keyword: String,
        old: Option<Value>,
        new: Option<Value>,
    },
    #[error("`{0}` is another, and this judge cannot say whether that matters")]
    Unjudged(String),
    #[error("the reference {0} leads nowhere")]
    Dangling(String),
}

fn list(values: &[Value]) -> String {
    let texts: Vec<_> = values.iter().map(Value::to_string).collect();
    texts.join(", ")
}

fn shown(limit: &Option<Value>) -> String {
    limit
        .as_ref()
        .map_or_else(|| "not there".to_owned(), Value::to_string)
}
