//! The id of a trace that a request belongs to, as W3C Trace Context names it.
//!
//! Only noted, so that our log lines can be found from others': nothing is traced or sent on here.

use http::HeaderMap;

/// The trace's id: 32 hexadecimal digits, not all zero. None where the header is missing, not as
/// <https://www.w3.org/TR/trace-context/#traceparent-header> says, or there twice.
pub(crate) fn id_of(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("traceparent").iter();
    let (Some(header), None) = (all.next(), all.next()) else {
        return None;
    };
    let text = header.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    // A later version may have more parts; ours has four.
    let whole = version != "00" || parts.next().is_none();
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2);
    (valid && whole).then_some(trace)
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn zero(text: &str) -> bool {
    text.bytes().all(|b| b == b'0')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(all: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for text in all {
            headers.append("traceparent", HeaderValue::from_static(text));
        }
        id_of(&headers).map(str::to_owned)
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_trace_of_a_valid_header_is_known() {
        let trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        assert_eq!(read(&[GOOD]), trace);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes";
        assert_eq!(read(&[later]), trace);
    }

    #[test]
    fn anything_else_is_no_trace() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-ann@acme.example000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[GOOD, GOOD]), None, "which of the two?");
    }
}
