//! The exit codes: the one place where a kind of failure becomes a number.

use std::process::ExitCode;

use tenantry_types::ErrorKind;

/// How a command ended. The numbers are documented and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It, or a part of it, failed in a way that no other code names.
    Failed = 1,
    /// The command line, the configuration or a field of the request is wrong.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// It clashes with what is there or with what is going on.
    Conflict = 4,
    /// The token is missing, unknown, or does not allow this.
    NotAllowed = 5,
    /// A server or database does not answer; trying again later can help.
    Unavailable = 6,
    /// Ctrl-C: what a shell reports for it, 128 and the number of SIGINT.
    Interrupted = 130,
    /// Nobody reads stdout any more: what a shell reports for that, 128 and the number of SIGPIPE.
    NobodyReads = 141,
}

impl Exit {
    /// The word for it in `error.code`, where a failure has no code of its own.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Usage => "USAGE",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Interrupted => "INTERRUPTED",
            Self::NobodyReads => "NOBODY_READS",
        }
    }

    /// The code for an answer of the API.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            400 | 413 | 415 | 422 => Self::Usage,
            401 | 403 => Self::NotAllowed,
            404 | 410 => Self::NotFound,
            409 | 412 => Self::Conflict,
            408 | 429 | 502..=504 => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Malformed | ErrorKind::Invalid => Self::Usage,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => Self::NotAllowed,
            ErrorKind::RateLimited | ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Internal => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_documented_number() {
        let of = |kind| Exit::from(kind) as u8;
        assert_eq!(of(ErrorKind::Internal), 1);
        assert_eq!(of(ErrorKind::Malformed), 2);
        assert_eq!(of(ErrorKind::Invalid), 2);
        assert_eq!(of(ErrorKind::NotFound), 3);
        assert_eq!(of(ErrorKind::Conflict), 4);
        assert_eq!(of(ErrorKind::Unauthenticated), 5);
        assert_eq!(of(ErrorKind::Forbidden), 5);
        assert_eq!(of(ErrorKind::RateLimited), 6);
        assert_eq!(of(ErrorKind::Unavailable), 6);
    }

    #[test]
    fn an_answers_status_gives_the_same_numbers() {
        for (status, code) in [
            (400, 2),
            (401, 5),
            (403, 5),
            (404, 3),
            (405, 1),
            (409, 4),
            (413, 2),
            (422, 2),
            (429, 6),
            (500, 1),
            (503, 6),
        ] {
            assert_eq!(Exit::from_status(status) as u8, code, "{status}");
        }
    }
}
