//! W3C trace context: a request's `traceparent` is taken over into the log; none is made up, since nothing here exports
//! traces (Trace Context, section 3.2).

use http::HeaderMap;

/// Whose part a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent<'a> {
    /// The trace, 32 hexadecimal digits.
    pub(crate) trace: &'a str,
    /// The caller's span in it, 16.
    pub(crate) span: &'a str,
}

/// The parent that a request names, where its header is in order. A later version may add fields behind the flags.
pub(crate) fn trace_parent(headers: &HeaderMap) -> Option<TraceParent<'_>> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let mut fields = value.to_str().ok()?.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let (span, flags) = (fields.next()?, fields.next()?);
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let is_possible = version != "ff" && is_some(trace) && is_some(span);
    let has_its_fields = version != "00" || fields.next().is_none();
    (is_whole && is_possible && has_its_fields).then_some(TraceParent { trace, span })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Only zeros stand for nothing.
fn is_some(id: &str) -> bool {
    id.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(values: &[String]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", HeaderValue::from_str(value).unwrap());
        }
        trace_parent(&headers).map(|parent| (parent.trace.to_owned(), parent.span.to_owned()))
    }

    #[test]
    fn a_parent_in_order_is_taken_over() {
        let expected = Some((TRACE.to_owned(), SPAN.to_owned()));
        assert_eq!(read(&[format!("00-{TRACE}-{SPAN}-01")]), expected);
        assert_eq!(read(&[format!("cc-{TRACE}-{SPAN}-01-what-comes")]), expected);
    }

    #[test]
    fn anything_else_is_as_if_it_were_not_there() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("{good}-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}1-01"),
            format!("00-{TRACE}x-{SPAN}-01"),
        ] {
            assert_eq!(read(std::slice::from_ref(&bad)), None, "{bad}");
        }
        assert_eq!(read(&[good.clone(), good]), None, "two are none");
    }
}
