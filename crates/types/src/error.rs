//! What kinds of failure there are, with no transport in it.

/// The kind of a failure: decides the HTTP status, the CLI's exit code and, later, the SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be understood at all (broken JSON, no host).
    Malformed,
    /// The request was understood and some of its fields are wrong.
    Invalid,
    /// It does not exist, or the asker may not know that it does.
    NotFound,
    /// It clashes with what is there or with what is going on.
    Conflict,
    /// Nobody, or nobody we know, is asking.
    Unauthenticated,
    /// The asker is known and may not do this.
    Forbidden,
    /// Too many of these lately.
    RateLimited,
    /// Cannot be done right now; trying again later can help.
    Unavailable,
    /// A fault of ours.
    Internal,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field as the request names it, e.g. `admin.email`.
    pub field: String,
    /// What is wrong and what would be right, as a sentence for the person who sent it.
    pub message: String,
}

impl FieldError {
    /// One field and what is wrong with it.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}
