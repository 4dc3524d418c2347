//! Who reads an answer: a person in front of a browser, or a program.

use http::HeaderMap;
use http::header::ACCEPT;

/// For whom an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A browser goes to a page: an error is a page, too.
    Person,
    /// Anything else, and whoever says nothing: an error is `application/problem+json`.
    Program,
}

impl Audience {
    /// Browsers say themselves whether they navigate; of those that do not, who asks for HTML before
    /// it asks for JSON.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if let Some(mode) = headers.get("sec-fetch-mode") {
            return if mode == "navigate" {
                Self::Person
            } else {
                Self::Program
            };
        }
        let lines = headers.get_all(ACCEPT).iter();
        let first = lines
            .flat_map(|line| line.to_str().unwrap_or_default().split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .map(str::to_ascii_lowercase)
            .find(|range| range == "text/html" || range.ends_with("json"));
        match first.as_deref() {
            Some("text/html") => Self::Person,
            _ => Self::Program,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_person_is_who_navigates_or_prefers_html() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (name, value, expected) in [
            ("sec-fetch-mode", "navigate", Audience::Person),
            ("sec-fetch-mode", "cors", Audience::Program),
            ("accept", BROWSER, Audience::Person),
            ("accept", "Text/HTML", Audience::Person),
            ("accept", "*/*", Audience::Program),
            ("accept", "application/json", Audience::Program),
            ("accept", "application/json, text/html", Audience::Program),
            (
                "accept",
                "text/html;q=0.9, application/json",
                Audience::Person,
            ),
            ("accept", "text/htmlx", Audience::Program),
            ("accept", "", Audience::Program),
            ("x-nothing", "said", Audience::Program),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(Audience::of(&headers), expected, "{name}: {value}");
        }
        // A script's call is a program's, whatever it accepts.
        let mut headers = HeaderMap::new();
        headers.insert("sec-fetch-mode", HeaderValue::from_static("cors"));
        headers.insert(ACCEPT, HeaderValue::from_static(BROWSER));
        assert_eq!(Audience::of(&headers), Audience::Program);
    }
}
