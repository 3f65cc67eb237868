//! Schemas (JSON Schema 2020-12, as OpenAPI 3.1 uses it): whether all that a writer may write is what a reader takes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::breakage::{Breakage, Kind};
use super::form::{Form, alternatives};

/// Which way a body or a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Old clients write, the new server reads.
    Request,
    /// The new server writes, old clients read.
    Answer,
}

/// Keywords that a smaller value widens.
const LOWER: [&str; 5] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
];
/// Keywords that a larger value widens.
const UPPER: [&str; 5] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
];
/// Those of them that are counts, which are never below 0.
const COUNTS: [&str; 3] = ["minLength", "minItems", "minProperties"];
/// Keywords that narrow by being there, and cannot be compared any further.
const WHOLE: [&str; 3] = ["pattern", "multipleOf", "uniqueItems"];
/// Keywords with a rule of their own below.
const RULED: [&str; 9] = [
    "type",
    "format",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "items",
];

/// Whether a keyword allows and forbids nothing.
pub(super) fn is_annotation(keyword: &str) -> bool {
    const ANNOTATIONS: [&str; 11] = [
        "title",
        "description",
        "example",
        "examples",
        "default",
        "deprecated",
        "readOnly",
        "writeOnly",
        "externalDocs",
        "xml",
        "$comment",
    ];
    ANNOTATIONS.contains(&keyword) || keyword.starts_with("x-")
}

/// Compares schemas of one flow of two documents.
pub(super) struct Judge<'a> {
    old: &'a Value,
    new: &'a Value,
    flow: Flow,
    /// The references under way, so that a shape that holds itself ends.
    under_way: Vec<(Value, Value)>,
    breakages: Vec<Breakage>,
}

impl<'a> Judge<'a> {
    pub(super) const fn new(old: &'a Value, new: &'a Value, flow: Flow) -> Self {
        Self {
            old,
            new,
            flow,
            under_way: Vec::new(),
            breakages: Vec::new(),
        }
    }

    /// All that breaks between two schemas.
    pub(super) fn breakages(mut self, place: &str, old: &Value, new: &Value) -> Vec<Breakage> {
        self.schema(place, old, new);
        self.breakages
    }

    fn say(&mut self, place: &str, kind: Kind) {
        let breakage = Breakage {
            place: place.to_owned(),
            kind,
        };
        if !self.breakages.contains(&breakage) {
            self.breakages.push(breakage);
        }
    }

    /// In the order of writer and reader.
    fn writer_first<T>(&self, old: T, new: T) -> (T, T) {
        match self.flow {
            Flow::Request => (old, new),
            Flow::Answer => (new, old),
        }
    }

    fn schema(&mut self, place: &str, old: &Value, new: &Value) {
        let references = (old.get("$ref"), new.get("$ref"));
        let pair = match references {
            (Some(old), Some(new)) => Some((old.clone(), new.clone())),
            (None, _) | (_, None) => None,
        };
        if let Some(pair) = &pair {
            if self.under_way.contains(pair) {
                return;
            }
            self.under_way.push(pair.clone());
        }
        match (alternatives(self.old, old), alternatives(self.new, new)) {
            (Ok(old), Ok(new)) => self.choices(place, &old, &new),
            (Err(kind), _) | (_, Err(kind)) => self.say(place, kind),
        }
        if pair.is_some() {
            self.under_way.pop();
        }
    }

    /// Each alternative of the writer must be taken by one of the reader's. Where none does, the nearest says why.
    fn choices(&mut self, place: &str, old: &[Form], new: &[Form]) {
        let (writers, readers) = self.writer_first(old, new);
        for writer in writers {
            let attempts = readers.iter().map(|reader| self.attempt(place, writer, reader));
            let nearest = attempts.min_by_key(|breakages| {
                let is_of_other_type = breakages
                    .iter()
                    .any(|breakage| breakage.place == place && matches!(breakage.kind, Kind::Type { .. }));
                (is_of_other_type, breakages.len())
            });
            for breakage in nearest.unwrap_or_default() {
                self.say(&breakage.place, breakage.kind);
            }
        }
    }

    fn attempt(&self, place: &str, writer: &Form, reader: &Form) -> Vec<Breakage> {
        let (old, new) = self.writer_first(writer, reader);
        let mut attempt = Judge {
            under_way: self.under_way.clone(),
            ..Judge::new(self.old, self.new, self.flow)
        };
        attempt.form(place, old, new);
        attempt.breakages
    }

    fn form(&mut self, place: &str, old: &Form, new: &Form) {
        if !self.has_type(old, new) {
            let (old, new) = (text(old.get("type")), text(new.get("type")));
            return self.say(place, Kind::Type { old, new });
        }
        self.values(place, old, new);
        self.limits(place, old, new);
        self.fields(place, old, new);
        self.inner(place, old, new);
        let keywords: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for keyword in keywords {
            let is_judged = [&LOWER[..], &UPPER[..], &WHOLE[..], &RULED[..]]
                .iter()
                .any(|known| known.contains(&keyword.as_str()));
            if !is_judged && !is_annotation(keyword) && old.get(keyword) != new.get(keyword) {
                self.say(place, Kind::Unjudged(keyword.clone()));
            }
        }
    }

    fn has_type(&self, old: &Form, new: &Form) -> bool {
        let (writer, reader) = self.writer_first(old.get("type"), new.get("type"));
        let is_integer = writer.is_some_and(|kind| kind == "integer");
        reader.is_none() || writer == reader || (is_integer && reader.is_some_and(|kind| kind == "number"))
    }

    fn values(&mut self, place: &str, old: &Form, new: &Form) {
        let (writer, reader) = self.writer_first(listed(old), listed(new));
        let Some(taken) = reader else { return };
        let Some(written) = writer else {
            // The reader now lists what it takes, or the writer no longer what it writes.
            let keyword = "enum".to_owned();
            let (old, new) = (old.get(&keyword).cloned(), new.get(&keyword).cloned());
            return self.say(place, Kind::Limit { keyword, old, new });
        };
        let refused: Vec<_> = written
            .into_iter()
            .filter(|value| !taken.contains(value))
            .collect();
        if !refused.is_empty() {
            let kind = match self.flow {
                Flow::Request => Kind::ValuesRemoved(refused),
                Flow::Answer => Kind::ValuesAdded(refused),
            };
            self.say(place, kind);
        }
    }

    fn limits(&mut self, place: &str, old: &Form, new: &Form) {
        let keywords = LOWER.iter().chain(&UPPER).chain(&WHOLE).chain(&["format"]);
        for &keyword in keywords {
            let (writer, reader) = self.writer_first(old.get(keyword), new.get(keyword));
            let holds = match reader {
                None => true,
                Some(reader) if LOWER.contains(&keyword) => {
                    let least = COUNTS.contains(&keyword).then_some(0.0);
                    number(writer).or(least) >= number(Some(reader))
                }
                Some(reader) if UPPER.contains(&keyword) => {
                    number(writer).is_some() && number(writer) <= number(Some(reader))
                }
                // Whether in a list something may stand twice.
                Some(Value::Bool(false)) => true,
                Some(reader) => writer == Some(reader) || is_narrower_format(writer, reader),
            };
            if !holds {
                let (old, new) = (old.get(keyword).cloned(), new.get(keyword).cloned());
                let keyword = keyword.to_owned();
                self.say(place, Kind::Limit { keyword, old, new });
            }
        }
    }

    fn fields(&mut self, place: &str, old: &Form, new: &Form) {
        let (old_fields, new_fields) = (fields(old), fields(new));
        for (name, old_field) in &old_fields {
            let place = format!("{place}/{name}");
            match new_fields.iter().find(|(new_name, _)| new_name == name) {
                Some((_, new_field)) => self.schema(&place, old_field, new_field),
                None if self.flow == Flow::Answer || is_closed(new) => self.say(&place, Kind::FieldRemoved),
                None => {}
            }
        }
        let (writer, reader) = self.writer_first(required(old), required(new));
        for name in reader.difference(&writer) {
            let kind = match self.flow {
                Flow::Request => Kind::FieldRequired,
                Flow::Answer if new_fields.iter().all(|(known, _)| *known != name) => continue,
                Flow::Answer => Kind::FieldOptional,
            };
            self.say(&format!("{place}/{name}"), kind);
        }
        let (writer, reader) = self.writer_first(is_closed(old), is_closed(new));
        if self.flow == Flow::Request && reader && !writer {
            self.say(place, Kind::Closed);
        }
    }

    /// What is inside of lists and maps.
    fn inner(&mut self, place: &str, old: &Form, new: &Form) {
        for (keyword, step) in [
            ("items", "[]"),
            ("additionalProperties", "{}"),
            ("propertyNames", "{name}"),
        ] {
            let (inside_old, inside_new) = (old.get(keyword), new.get(keyword));
            let is_told = |inside: Option<&Value>| inside.is_some_and(Value::is_object);
            // Whether something is closed was said with its fields.
            let is_closed = [inside_old, inside_new].contains(&Some(&Value::Bool(false)));
            if !is_closed && (is_told(inside_old) || is_told(inside_new)) {
                let anything = Value::Bool(true);
                let place = format!("{place}/{step}");
                self.schema(
                    &place,
                    inside_old.unwrap_or(&anything),
                    inside_new.unwrap_or(&anything),
                );
            }
        }
    }
}

fn text(kind: Option<&Value>) -> String {
    match kind {
        Some(Value::String(kind)) => kind.clone(),
        Some(kind) => kind.to_string(),
        None => "anything".to_owned(),
    }
}

fn listed(form: &Form) -> Option<Vec<Value>> {
    match (form.get("const"), form.get("enum")) {
        (Some(only), _) => Some(vec![only.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        (None, _) => None,
    }
}

fn number(limit: Option<&Value>) -> Option<f64> {
    limit.and_then(Value::as_f64)
}

/// An `int32` is an `int64`.
fn is_narrower_format(writer: Option<&Value>, reader: &Value) -> bool {
    writer.is_some_and(|format| format == "int32") && reader == "int64"
}

fn fields(form: &Form) -> Vec<(&String, &Value)> {
    let fields = form.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten().collect()
}

fn required(form: &Form) -> BTreeSet<String> {
    let names = form.get("required").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn is_closed(form: &Form) -> bool {
    form.get("additionalProperties") == Some(&Value::Bool(false))
}
