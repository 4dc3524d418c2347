//! What no log may hold: secrets that this test process has sent or received, and whatever looks like
//! a secret or a mail address.
//!
//! Each server's log is looked at when its process ends, and that of the shared one whenever a tenant
//! in it is done with. With `TENANTRY_TEST_LOGS` set, logs and known secrets are kept in that folder,
//! so that the runner can look at all of it once more when everything is over (`.ci/logs.sh`).

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// A secret shorter than this could stand in a log by chance.
const SHORTEST: usize = 12;

static KNOWN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
/// How far each log was looked at.
static SEEN: LazyLock<Mutex<HashMap<PathBuf, u64>>> = LazyLock::new(Mutex::default);

/// From now on this text must be in no log.
pub fn learn(secret: &str) {
    let plain = secret.trim();
    if !(SHORTEST..=4096).contains(&plain.len()) || !lock(&KNOWN).insert(plain.to_owned()) {
        return;
    }
    if let Some(folder) = kept() {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(folder.join("known"));
        if let (Ok(mut file), false) = (file, plain.contains('\n')) {
            // One write, since several test processes may share the file.
            let _ = file.write_all(format!("{plain}\n").as_bytes());
        }
    }
}

/// Learns the password of a URL.
pub(crate) fn learn_url(url: &str) {
    let login = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'));
    if let Some((_, password)) = login.and_then(|(login, _)| login.split_once(':')) {
        learn(password);
    }
}

/// Learns what a document says is a password or a token.
pub fn learn_from(document: &Value) {
    match document {
        Value::Array(items) => items.iter().for_each(learn_from),
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.to_ascii_lowercase();
                match value {
                    Value::String(text) if is_secret(&name) => learn(text),
                    value => learn_from(value),
                }
            }
        }
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "token", "secret", "signincode"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The folder in which logs are kept beyond the end of their tests.
pub(crate) fn kept() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("TENANTRY_TEST_LOGS")?);
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// Looks at what is new in a log.
///
/// # Panics
/// When it holds what it must not.
#[track_caller]
pub fn check(log: &Path) {
    if let Some(found) = look(log, true) {
        panic!("{found}");
    }
}

/// As [`check`], but for mail addresses: for the log of a Postgres that was told to log all
/// parameters.
#[track_caller]
pub(crate) fn check_secrets(log: &Path) {
    if let Some(found) = look(log, false) {
        panic!("{found}");
    }
}

fn look(log: &Path, mail: bool) -> Option<String> {
    let text = news(log)?;
    let known = lock(&KNOWN).clone();
    let found = Finder::new(&known, mail).find(&text)?;
    Some(format!("{}: {found}", log.display()))
}

/// What was written since the last look, up to the end of a line.
fn news(log: &Path) -> Option<String> {
    let mut seen = lock(&SEEN);
    let from = seen.entry(log.to_owned()).or_default();
    let mut file = std::fs::File::open(log).ok()?;
    file.seek(SeekFrom::Start(*from)).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n')? + 1;
    *from += u64::try_from(whole).ok()?;
    Some(String::from_utf8_lossy(&bytes[..whole]).into_owned())
}

/// Finds secrets in a text, in one pass however many there are.
pub(crate) struct Finder<'a> {
    /// By their first bytes.
    known: HashMap<&'a [u8], Vec<&'a [u8]>>,
    /// Which bytes one begins with.
    first: [bool; 256],
    mail: bool,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(secrets: &'a HashSet<String>, mail: bool) -> Self {
        let mut known: HashMap<_, Vec<_>> = HashMap::new();
        let mut first = [false; 256];
        for secret in secrets {
            let bytes = secret.as_bytes();
            first[usize::from(bytes[0])] = true;
            known.entry(&bytes[..SHORTEST]).or_default().push(bytes);
        }
        Self { known, first, mail }
    }

    /// What was found first, with its line.
    pub(crate) fn find(&self, text: &str) -> Option<String> {
        for line in text.lines() {
            let what = if self.has_known(line.as_bytes()) {
                "a secret of this test"
            } else if has_token(line) {
                "an operator token"
            } else if has_jwt(line) {
                "an access token"
            } else if has_password_in_url(line) {
                "a password in a URL"
            } else if self.mail && has_mail(line) {
                "a mail address"
            } else {
                continue;
            };
            return Some(format!("{what} is in this line: {line}"));
        }
        None
    }

    fn has_known(&self, line: &[u8]) -> bool {
        line.windows(SHORTEST).enumerate().any(|(at, window)| {
            self.first[usize::from(window[0])]
                && self
                    .known
                    .get(window)
                    .is_some_and(|all| all.iter().any(|secret| line[at..].starts_with(secret)))
        })
    }
}

fn has_token(line: &str) -> bool {
    line.match_indices("tnto_").any(|(at, _)| {
        let rest = &line.as_bytes()[at + 5..];
        rest.iter()
            .take_while(|b| b.is_ascii_alphanumeric())
            .count()
            >= 43
    })
}

/// Three parts of base64 between dots, of which the first begins a JSON object.
fn has_jwt(line: &str) -> bool {
    line.match_indices("eyJ").any(|(at, _)| {
        let end = line[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        let run = end.map_or(&line[at..], |end| &line[at..at + end]);
        let parts: Vec<_> = run.split('.').collect();
        parts.len() >= 3 && parts[..3].iter().all(|part| part.len() >= 8)
    })
}

fn has_password_in_url(line: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| {
        line.match_indices(scheme).any(|(at, _)| {
            let rest = &line[at + scheme.len()..];
            let end = rest.find(|c: char| c.is_whitespace() || "/\"'".contains(c));
            let authority = end.map_or(rest, |end| &rest[..end]);
            let login = authority
                .rsplit_once('@')
                .and_then(|(login, _)| login.split_once(':'));
            login.is_some_and(|(_, password)| {
                // How we show one.
                !password.is_empty() && !password.chars().all(|c| "*…".contains(c))
            })
        })
    })
}

/// `name@domain.letters`.
fn has_mail(line: &str) -> bool {
    line.match_indices('@').any(|(at, _)| {
        let of_name = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
        let of_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
        let named = line[..at].chars().next_back().is_some_and(of_name);
        let rest = &line[at + 1..];
        let end = rest.find(|c: char| !of_domain(c)).unwrap_or(rest.len());
        let domain = rest[..end].trim_end_matches(['.', '-']);
        let top = domain.rsplit_once('.').map(|(_, top)| top);
        named && top.is_some_and(|top| top.len() >= 2 && top.chars().all(char::is_alphabetic))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at a log when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Watch(#[expect(dead_code, reason = "held for its drop")] std::sync::Arc<Looks>);

#[derive(Debug)]
struct Looks(PathBuf);

impl Watch {
    pub(crate) fn over(log: PathBuf) -> Self {
        Self(std::sync::Arc::new(Looks(log)))
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            check(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<String> {
        let known = HashSet::from(["correct horse battery".to_owned()]);
        let text = format!("INFO nothing to see\n{line}\n");
        let found = Finder::new(&known, true).find(&text)?;
        Some(found.split(" is in").next().unwrap_or_default().to_owned())
    }

    #[test]
    fn what_must_not_be_there_is_found() {
        let operator = format!("token=tnto_{}", "a1B2".repeat(11));
        for (line, what) in [
            ("x=\"correct horse battery\"", "a secret of this test"),
            (operator.as_str(), "an operator token"),
            (
                "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
                "an access token",
            ),
            ("to postgres://u:hunter2@db:5432/x", "a password in a URL"),
            ("for ann@acme.example: no", "a mail address"),
            (
                "{\"m\":\"Key (email)=(ann+x@sub.acme.example)\"}",
                "a mail address",
            ),
        ] {
            assert_eq!(found(line).as_deref(), Some(what), "{line}");
        }
    }

    #[test]
    fn what_may_be_there_is_left_alone() {
        for line in [
            "operator-token tnto_ is the prefix",
            "eyJhbGciOi is cut short",
            "postgres://u@db/x and postgres://u:…@db/x",
            "router 123@127.0.0.1:3000 and 12@[::1]:80 at crates/x.rs:3",
            "@media, a@b, user@localhost",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn a_document_tells_what_is_secret() {
        learn_from(&serde_json::json!({
            "a": [{ "dbPassword": "of-the-database" }], "slug": "no-secret-at-all",
        }));
        let known = lock(&KNOWN);
        assert!(known.contains("of-the-database") && !known.contains("no-secret-at-all"));
    }

    #[test]
    fn a_log_is_looked_at_from_where_the_last_look_ended() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut write = file.reopen().expect("the file");
        write.write_all(b"one\ntwo\nthr").expect("written");
        assert_eq!(news(file.path()).as_deref(), Some("one\ntwo\n"));
        assert_eq!(news(file.path()), None);
        write.write_all(b"ee\n").expect("written");
        assert_eq!(news(file.path()).as_deref(), Some("three\n"));
    }
}
