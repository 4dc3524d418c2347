//! What came back over HTTP.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The request, for the message of a failed assertion.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, if the status is the expected one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json()
    }

    /// The problem, if it is one of this status and code, in the form that each problem has.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{self}");
        self.any_problem()
    }

    /// The problem, in the form that each has (RFC 9457, DESIGN section 7).
    #[track_caller]
    pub fn any_problem(&self) -> Value {
        let body = self.json();
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "{self}");
        assert_eq!(body["status"], self.status, "{self}");
        for field in ["type", "title", "code", "requestId"] {
            let text = body[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "no `{field}` in {self}");
        }
        if matches!(self.status, 429 | 503) {
            let seconds = self.header("retry-after").and_then(|s| s.parse().ok());
            assert!(
                seconds.is_some_and(|s: u32| (1..=3600).contains(&s)),
                "Retry-After in {self}"
            );
        }
        // DESIGN, invariant 15: nothing internal leaves in an error.
        for internal in [
            "panicked",
            "sqlx",
            "SQLSTATE",
            ".rs:",
            "SELECT ",
            "tenant_",
            "postgres://",
        ] {
            assert!(!self.text.contains(internal), "`{internal}` in {self}");
        }
        body
    }

    /// The names of the fields that a 422 complains of, sorted.
    #[track_caller]
    pub fn wrong_fields(&self) -> Vec<String> {
        let body = self.problem(422, "VALIDATION_FAILED");
        let mut fields: Vec<String> = body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| {
                let message = error["message"].as_str().unwrap_or_default();
                assert!(!message.is_empty(), "a field without a reason in {self}");
                error["field"].as_str().expect("a field's name").to_owned()
            })
            .collect();
        fields.sort();
        fields
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}: {}", self.asked, self.status, self.text)
    }
}
