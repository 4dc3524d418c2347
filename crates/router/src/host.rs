//! What a `Host` header names. Pure: nothing is looked up here.

use std::net::{Ipv4Addr, Ipv6Addr};

use tenantry_types::{DomainName, ErrorKind, Normalised, Slug};

/// What a `Host` header names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostName {
    /// One of the base domains: the product itself.
    Base,
    /// One label in front of a base domain.
    Subdomain(Slug),
    /// A full name under no base domain; perhaps a tenant's own.
    Custom(DomainName),
    /// A name that can lead to no tenant: an IP address, `a.b.<base>`, a reserved or overlong label.
    Unknown,
}

/// The header is no host name with an optional port (RFC 9110, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Host header is no host name with an optional port")]
pub struct BadHost;

impl BadHost {
    /// Always malformed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Malformed
    }

    /// `BAD_HOST`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "BAD_HOST"
    }
}

/// Reads a `Host` header against the base domains.
///
/// The longest base domain wins, so that `example.com` and `eu.example.com` can both be bases.
pub(crate) fn parse(header: &str, bases: &[DomainName]) -> Result<HostName, BadHost> {
    if let Some(rest) = header.strip_prefix('[') {
        let (literal, port) = rest.split_once(']').ok_or(BadHost)?;
        let port_ok = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return match literal.parse::<Ipv6Addr>() {
            Ok(_) if port_ok => Ok(HostName::Unknown),
            _ => Err(BadHost),
        };
    }
    let name = match header.split_once(':') {
        None => header,
        Some((name, port)) if is_port(port) => name,
        Some(_) => return Err(BadHost),
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.ends_with(|c: char| c.is_ascii_digit()) && bare.parse::<Ipv4Addr>().is_ok() {
        return Ok(HostName::Unknown);
    }
    // Borrowed where it has its one form already, so that the slug is all that is allocated.
    let name = Normalised::parse(name).map_err(|_| BadHost)?;
    Ok(place(name, bases))
}

/// The host of a tenant's present slug, of the one that a request named, which was a former slug's
/// ([`ResolveError::Moved`](crate::ResolveError::Moved)): under the same base domain and with the same
/// port. None for what was no subdomain's.
#[must_use]
pub fn present_host(former: &str, slug: &Slug) -> Option<String> {
    let (_, rest) = former.split_once('.')?;
    Some(format!("{}.{rest}", slug.as_str()))
}

fn place(name: Normalised<'_>, bases: &[DomainName]) -> HostName {
    let mut under: Option<&str> = None;
    for base in bases {
        if base.as_str() == name.as_str() {
            return HostName::Base;
        }
        if let Some(front) = name.under(base)
            && under.is_none_or(|nearest| front.len() < nearest.len())
        {
            under = Some(front);
        }
    }
    match under.map(Slug::parse) {
        Some(Ok(slug)) => HostName::Subdomain(slug),
        Some(Err(_)) => HostName::Unknown,
        // The catalog keeps custom domains of two labels and more.
        None if !name.as_str().contains('.') => HostName::Unknown,
        None => HostName::Custom(name.into()),
    }
}

/// RFC 3986 (3.2.3) allows an empty port, and so do browsers' URLs.
fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).expect("a name")
    }

    /// Tried: with the first base domain that fits instead of the longest, `acme.eu.example.com` is nobody's.
    #[test]
    fn hosts_are_read_on_the_label_boundary_and_in_one_form() {
        let bases = [
            name("localhost"),
            name("example.com"),
            name("eu.example.com"),
        ];
        let sub = |label: &str| Ok(HostName::Subdomain(Slug::parse(label).expect("a slug")));
        let custom = |text: &str| Ok(HostName::Custom(name(text)));
        let long = "a".repeat(41);
        let cases: Vec<(String, Result<HostName, BadHost>)> = [
            ("localhost", Ok(HostName::Base)),
            ("LOCALHOST:3000", Ok(HostName::Base)),
            ("localhost.", Ok(HostName::Base)),
            ("localhost.:3000", Ok(HostName::Base)),
            ("example.com:", Ok(HostName::Base)),
            ("acme.localhost", sub("acme")),
            ("ACME.LocalHost.:3000", sub("acme")),
            ("acme.example.com:443", sub("acme")),
            ("eu.example.com", Ok(HostName::Base)),
            ("acme.eu.example.com", sub("acme")),
            ("a.b.eu.example.com", Ok(HostName::Unknown)),
            ("notlocalhost", Ok(HostName::Unknown)),
            ("notexample.com", custom("notexample.com")),
            ("example.com.evil.test", custom("example.com.evil.test")),
            ("a.b.localhost", Ok(HostName::Unknown)),
            ("www.localhost", Ok(HostName::Unknown)),
            ("bücher.localhost", Ok(HostName::Unknown)),
            ("shop.acme.test", custom("shop.acme.test")),
            ("BÜCHER.test:80", custom("xn--bcher-kva.test")),
            ("127.0.0.1", Ok(HostName::Unknown)),
            ("127.0.0.1:3000", Ok(HostName::Unknown)),
            ("127.0.0.1.", Ok(HostName::Unknown)),
            ("[::1]", Ok(HostName::Unknown)),
            ("[::1]:3000", Ok(HostName::Unknown)),
            ("[2001:db8::1]:65535", Ok(HostName::Unknown)),
            ("::1", Err(BadHost)),
            ("[::1", Err(BadHost)),
            ("[::1]x", Err(BadHost)),
            ("[acme.localhost]", Err(BadHost)),
            ("", Err(BadHost)),
            (".", Err(BadHost)),
            (":3000", Err(BadHost)),
            (".localhost", Err(BadHost)),
            ("acme..localhost", Err(BadHost)),
            ("acme.localhost..", Err(BadHost)),
            ("acme.localhost:65536", Err(BadHost)),
            ("acme.localhost:+80", Err(BadHost)),
            ("acme.localhost:80:80", Err(BadHost)),
            ("acme.localhost:http", Err(BadHost)),
            ("acme localhost", Err(BadHost)),
            (" acme.localhost", Err(BadHost)),
            ("user@acme.localhost", Err(BadHost)),
            ("acme.localhost/x", Err(BadHost)),
            ("acme_.localhost", Err(BadHost)),
            ("-acme.localhost", Err(BadHost)),
            ("acme.localhost\0", Err(BadHost)),
            ("acme%2elocalhost", Err(BadHost)),
            ("1.2.3", Err(BadHost)),
            ("0x7f.1", Err(BadHost)),
        ]
        .into_iter()
        .map(|(header, expected)| (header.to_owned(), expected))
        .chain([
            (format!("{long}.localhost"), Ok(HostName::Unknown)),
            (format!("{}.test", "a".repeat(64)), Err(BadHost)),
            ("a.".repeat(200), Err(BadHost)),
        ])
        .collect();
        for (header, expected) in cases {
            assert_eq!(parse(&header, &bases), expected, "{header:?}");
        }
    }
}
