//! `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1): the tag of a VM is the generation of what is asked of it.
//! Its status is no part of that, so a tag stays while a VM boots.

use std::collections::BTreeSet;

use axum::Json;
use axum::response::{IntoResponse, Response};
use control::VmView;
use http::HeaderMap;
use http::header::{ETAG, IF_MATCH};
use model::{Problem, ProblemCode};

use crate::refusal::Refusal;
use crate::vms::shape;

/// The answer of whatever shows one VM.
pub(crate) type Answer = Result<Shown, Refusal>;

/// A VM on its way out, with its tag.
pub(crate) struct Shown(api::Vm);

pub(crate) fn shown(vm: VmView) -> Shown {
    Shown(shape(vm))
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        ([(ETAG, format!("\"{}\"", self.0.generation))], Json(self.0)).into_response()
    }
}

/// The generations that `If-Match` names; `None` where any will do. Tags that are none of ours match nothing, and so do
/// weak ones.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<BTreeSet<u64>>, Problem> {
    let lines = headers.get_all(IF_MATCH).iter().collect::<Vec<_>>();
    if lines.is_empty() {
        return Ok(None);
    }
    let mut generations = BTreeSet::new();
    for line in lines {
        let line = line.to_str().map_err(|_| malformed())?;
        for tag in line.split(',').map(str::trim) {
            match tag {
                "*" => return Ok(None),
                tag => generations.extend(generation(tag)?),
            }
        }
    }
    Ok(Some(generations))
}

fn generation(tag: &str) -> Result<Option<u64>, Problem> {
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let inner = inner.filter(|inner| !inner.contains('"')).ok_or_else(malformed)?;
    let number = inner.parse::<u64>().ok();
    // Such as 07: another text is another tag.
    Ok(number.filter(|number| strong == tag && number.to_string() == inner))
}

fn malformed() -> Problem {
    Problem::new(ProblemCode::InvalidRequest, "the header If-Match holds no tags")
        .hint("write the ETag of an earlier answer, quotes included, or *")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Option<Option<Vec<u64>>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_static(line));
        }
        let read = if_match(&headers).ok()?;
        Some(read.map(|generations| generations.into_iter().collect()))
    }

    #[test]
    fn only_our_own_strong_tags_match() {
        assert_eq!(read(&[]), Some(None));
        assert_eq!(read(&["*"]), Some(None));
        assert_eq!(read(&[r#""3""#]), Some(Some(vec![3])));
        assert_eq!(read(&[r#""3", "5""#, r#""4""#]), Some(Some(vec![3, 4, 5])));
        for none in [r#"W/"3""#, r#""03""#, r#""+3""#, r#""abc""#, r#""""#] {
            assert_eq!(read(&[none]), Some(Some(vec![])), "{none}");
        }
        for bad in ["3", r#""3"#, "", r#""3""4""#] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
    }
}
