//! Why no answer came, in words about what a person can change.

use std::error::Error;
use std::io;

use reqwest::Url;

use crate::exit::Exit;
use crate::failure::{Failure, chain};

/// What stood in the way of an answer, and what to do.
pub(super) fn failure(base: &Url, error: reqwest::Error) -> Failure {
    // The URL is in the message already, and a query may hold what should not be shown.
    let error = error.without_url();
    let why = Why::of(&error);
    let at = base.as_str().trim_end_matches('/');
    let (exit, code, what, next) = why.told(base, at, &error);
    Failure::new(exit, what).coded(code).next(next)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Refused,
    UnknownName,
    /// It speaks plain HTTP where TLS was expected.
    NoTls,
    /// It speaks TLS, or anything else, where HTTP was expected.
    NoHttp,
    Certificate,
    Slow,
    Other,
}

impl Why {
    fn of(error: &reqwest::Error) -> Self {
        let text = chain(error);
        let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
        if refused(error) {
            Self::Refused
        } else if has(&["dns error", "failed to lookup address"]) {
            Self::UnknownName
        } else if has(&["InvalidContentType", "received corrupt message"]) {
            Self::NoTls
        } else if has(&["invalid peer certificate", "certificate"]) {
            Self::Certificate
        } else if has(&["invalid HTTP version", "invalid HTTP", "UnexpectedMessage"]) {
            Self::NoHttp
        } else if error.is_timeout() {
            Self::Slow
        } else {
            Self::Other
        }
    }

    fn told(
        self,
        base: &Url,
        at: &str,
        error: &reqwest::Error,
    ) -> (Exit, &'static str, String, String) {
        let host = base.host_str().unwrap_or_default();
        let other = |scheme: &str| {
            let mut text = at.to_owned();
            if let Some((_, rest)) = at.split_once("://") {
                text = format!("{scheme}://{rest}");
            }
            format!("write --url {text}")
        };
        let down = "start it with `tenantry dev` or `tenantry serve`, or give another --url";
        match self {
            Self::Refused => (
                Exit::Unavailable,
                "NO_SERVER",
                format!("nothing listens at {at}: the connection was refused"),
                down.to_owned(),
            ),
            Self::UnknownName => (
                Exit::Unavailable,
                "UNKNOWN_HOST",
                format!("no address is known for `{host}`"),
                "check the host in --url or TENANTRY_URL".to_owned(),
            ),
            Self::NoTls => (
                Exit::Usage,
                "WRONG_SCHEME",
                format!("{at} does not speak TLS: it is an http:// port"),
                other("http"),
            ),
            Self::NoHttp => (
                Exit::Usage,
                "WRONG_SCHEME",
                format!("{at} does not speak plain HTTP"),
                format!("{}, if it is an https:// port", other("https")),
            ),
            Self::Certificate => (
                Exit::Failed,
                "CERTIFICATE",
                format!("the certificate of {at} is not accepted: {}", chain(error)),
                "check that --url has the name the certificate is for, and that this machine trusts who signed it".to_owned(),
            ),
            Self::Slow => (
                Exit::Unavailable,
                "TIMEOUT",
                format!("{at} did not answer in time"),
                "look whether it was done before you try again: the request may have reached the server".to_owned(),
            ),
            Self::Other => (
                Exit::Unavailable,
                "NO_ANSWER",
                format!("no answer from {at}: {}", chain(error)),
                down.to_owned(),
            ),
        }
    }
}

fn refused(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return true;
        }
        source = cause.source();
    }
    false
}
