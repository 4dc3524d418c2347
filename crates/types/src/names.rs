//! Names that lead to a tenant: slugs and domains.

use std::borrow::Cow;
use std::fmt;

/// The short name of a tenant: a DNS label of 1 to 40 characters in lower case (RFC 1035, 2.3.1).
///
/// The label may hold letters, digits and inner hyphens. Names that the product itself answers to
/// or that would fool a person (`www`, `api`, `admin`, …) are reserved, and so is `??--…`, which
/// DNS keeps for encoded names (RFC 5891, 4.2.3.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(String);

/// Why a text is no slug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlug {
    /// Not a DNS label of 1 to 40 characters.
    #[error(
        "must be 1 to 40 lower-case letters, digits and inner hyphens, like `acme` or `acme-2`"
    )]
    Shape,
    /// Kept for the product itself.
    #[error("`{0}` is reserved; choose another")]
    Reserved(String),
}

/// Sorted, so that a reader finds a name and the test below keeps it so.
const RESERVED: &[&str] = &[
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "autoconfig",
    "autodiscover",
    "billing",
    "blog",
    "cdn",
    "console",
    "control",
    "dashboard",
    "dev",
    "dns",
    "docs",
    "email",
    "ftp",
    "grafana",
    "health",
    "healthz",
    "help",
    "host",
    "imap",
    "internal",
    "localhost",
    "login",
    "logout",
    "mail",
    "metrics",
    "mx",
    "ns",
    "ns1",
    "ns2",
    "oauth",
    "openapi",
    "operator",
    "ops",
    "pop",
    "pop3",
    "postgres",
    "postmaster",
    "proxy",
    "public",
    "readyz",
    "register",
    "root",
    "router",
    "security",
    "setup",
    "sftp",
    "signin",
    "signup",
    "smtp",
    "ssh",
    "ssl",
    "sso",
    "staging",
    "static",
    "status",
    "support",
    "system",
    "template",
    "tenantry",
    "test",
    "tls",
    "vpn",
    "webmail",
    "wpad",
    "www",
];

/// Where a reserved name may be: a search is worth it for few others.
static MAY_BE_RESERVED: [bool; BUCKETS] = {
    let mut marks = [false; BUCKETS];
    let mut at = 0;
    while at < RESERVED.len() {
        marks[bucket(RESERVED[at].as_bytes())] = true;
        at += 1;
    }
    marks
};
const BUCKETS: usize = 1_024;

/// By length and both ends; 0 for nothing.
const fn bucket(name: &[u8]) -> usize {
    match name {
        [first, .., last] => {
            (*first as usize * 31 + *last as usize * 7 + name.len() * 131) % BUCKETS
        }
        [only] => *only as usize,
        [] => 0,
    }
}

impl Slug {
    /// Checks a text. Upper case is refused, not folded: the person sees the name they will get.
    ///
    /// # Errors
    /// When the text is no such label, or is reserved.
    pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
        let bytes = text.as_bytes();
        let label = (1..=40).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
            && bytes.get(2..4) != Some(b"--");
        if !label {
            return Err(InvalidSlug::Shape);
        }
        if MAY_BE_RESERVED[bucket(bytes)] && RESERVED.binary_search(&text).is_ok() {
            return Err(InvalidSlug::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The names that no tenant can have, sorted; for documentation.
    #[must_use]
    pub const fn reserved() -> &'static [&'static str] {
        RESERVED
    }

    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host name in the one form we compare: ASCII (IDN encoded), lower case, no port, no final dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(String);

/// Why a text is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no host name: use labels of letters, digits and inner hyphens between dots, like `shop.acme.example`"
)]
pub struct InvalidDomain;

impl DomainName {
    /// Checks and normalises a host name without a port. An IP address is none.
    ///
    /// International names are encoded by UTS #46 as browsers do.
    ///
    /// # Errors
    /// When the text is no host name (RFC 1123, 2.1), or is an IP address.
    pub fn parse(text: &str) -> Result<Self, InvalidDomain> {
        Normalised::parse(text).map(Self::from)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before `.base`, if this name lies under `base` on a label boundary:
    /// `acme.example.com` under `example.com` gives `acme`, `notexample.com` gives nothing.
    #[must_use]
    pub fn under(&self, base: &DomainName) -> Option<&str> {
        under(&self.0, base)
    }

    /// How many labels the name has.
    #[must_use]
    pub fn labels(&self) -> usize {
        self.0.split('.').count()
    }
}

/// A [`DomainName`] that may be borrowed from the text it was read from: for a look that is done at
/// each request, and allocates nothing where the text has the one form already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised<'a>(Cow<'a, str>);

impl<'a> Normalised<'a> {
    /// As [`DomainName::parse`].
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &'a str) -> Result<Self, InvalidDomain> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if is_plain(text) {
            return Ok(Self(Cow::Borrowed(text)));
        }
        the_long_way(text).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As [`DomainName::under`].
    #[must_use]
    pub fn under(&self, base: &DomainName) -> Option<&str> {
        under(&self.0, base)
    }
}

impl From<Normalised<'_>> for DomainName {
    fn from(name: Normalised<'_>) -> Self {
        Self(name.0.into_owned())
    }
}

fn under<'a>(name: &'a str, base: &DomainName) -> Option<&'a str> {
    name.strip_suffix(base.as_str())?.strip_suffix('.')
}

fn the_long_way(text: &str) -> Result<Cow<'_, str>, InvalidDomain> {
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::STD3)
        .map_err(|_| InvalidDomain)?;
    let labels_ok = !ascii.is_empty()
        && ascii.len() <= 253
        && ascii.split('.').all(|label| {
            (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        });
    // A last label of digits only is an IPv4 address or a try at one (RFC 3696, 2).
    let numeric_end = ascii
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()) || label.starts_with("0x"));
    if labels_ok && !numeric_end {
        Ok(ascii)
    } else {
        Err(InvalidDomain)
    }
}

/// Whether a text is a host name in its one form, as nearly every one is that a browser sends: labels
/// of lower-case letters, digits and single inner hyphens, the last of which begins with a letter.
/// Two hyphens in a row may be an encoded label, which has to be decoded and checked. One look at each
/// byte, and only a shortcut: `false` decides nothing.
fn is_plain(text: &str) -> bool {
    let mut label: usize = 0;
    let mut begins_with = b'-';
    let mut former = b'.';
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {
                if label == 0 {
                    begins_with = byte;
                }
                label += 1;
            }
            b'-' if former != b'.' && former != b'-' => label += 1,
            b'.' if former != b'.' && former != b'-' && label <= 63 => label = 0,
            _ => return false,
        }
        former = byte;
    }
    (1..=63).contains(&label)
        && former != b'-'
        && begins_with.is_ascii_lowercase()
        && text.len() <= 253
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn slugs_are_dns_labels_of_1_to_40() {
        for good in ["a", "acme", "acme-2", "0x", &"a".repeat(40), "a-b-c"] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a_b",
            "Acme",
            "ä",
            "a.b",
            "a b",
            "xn--a",
            &"a".repeat(41),
            "a\n",
        ] {
            assert_eq!(Slug::parse(bad), Err(InvalidSlug::Shape), "{bad}");
        }
        for reserved in RESERVED {
            assert!(
                matches!(Slug::parse(reserved), Err(InvalidSlug::Reserved(_))),
                "{reserved}"
            );
        }
    }

    #[test]
    fn domains_have_one_form() {
        let check = |text: &str, form: Option<&str>| {
            assert_eq!(
                DomainName::parse(text).ok().map(|d| d.0),
                form.map(str::to_owned),
                "{text}"
            );
        };
        check("Shop.Acme.Example.", Some("shop.acme.example"));
        check("bücher.example", Some("xn--bcher-kva.example"));
        check("BÜCHER.example", Some("xn--bcher-kva.example"));
        check("localhost", Some("localhost"));
        check("127.0.0.1", None);
        check("1.2.3", None);
        check("a.0x7f", None);
        check("[::1]", None);
        check("a..b", None);
        check(".a", None);
        check("a..", None);
        check("-a.b", None);
        check("a_b.c", None);
        check("a b", None);
        check("", None);
        check("a/b", None);
        check("user@host", None);
    }

    /// Tried with `is_plain` letting through `_`, upper case, two hyphens, a hyphen at either end of a
    /// label, an empty label, a last label of digits, or a label of 64: each is found.
    #[test]
    fn the_shortcut_changes_no_name() {
        let random = crate::Entropy::system();
        // Encoded labels, good and bad, characters that are folded or refused, and plain ones.
        let parts: Vec<&str> = "a b-c 0x 7 -x y- xn--bcher-kva xn--zzzzzz99 xn-- A Ü ß \u{5d0} _ . . . .. / %2e \u{200d} www acme example com \u{3002}"
            .split(' ')
            .collect();
        let mut plain = 0;
        for _ in 0..20_000 {
            let picks = random.bytes::<8>();
            let text: String = picks[1..=usize::from(picks[0] % 7) + 1]
                .iter()
                .map(|pick| parts[usize::from(*pick) % parts.len()])
                .collect();
            let stripped = text.strip_suffix('.').unwrap_or(&text);
            if is_plain(stripped) {
                plain += 1;
                let long_way = the_long_way(stripped).ok();
                assert_eq!(long_way.as_deref(), Some(stripped), "{text:?}");
            }
        }
        assert!(plain > 100, "only {plain} took the shortcut");
        for text in ["a".repeat(64), format!("{}a", "a.".repeat(127))] {
            assert!(!is_plain(&text), "{text:?}");
        }
    }

    #[test]
    fn a_name_lies_under_another_on_the_label_boundary_only() {
        let name = |text| DomainName::parse(text).expect("a name");
        let base = name("example.com");
        assert_eq!(name("acme.example.com").under(&base), Some("acme"));
        assert_eq!(name("a.b.example.com").under(&base), Some("a.b"));
        assert_eq!(name("notexample.com").under(&base), None);
        assert_eq!(name("example.com").under(&base), None);
    }
}
