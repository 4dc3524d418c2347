//! The host that a trusted proxy was asked for: `X-Forwarded-Host`, or `host=` of `Forwarded` (RFC 7239).
//!
//! Anyone can send these headers, and many a proxy passes on what it was sent. So they count only from
//! an address that the operator named, with exactly one value, and never against a `Host` that leads to
//! another tenant: that is what it looks like when the proxy set `Host` and the client the rest.

use http::{HeaderMap, HeaderName, HeaderValue};
use tenantry_router::{Asked, HostName};
use tenantry_types::ErrorKind;

use super::Site;
use super::site::Authority;
use crate::app::App;
use crate::problem::Problem;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The host that these headers name, if they name one.
///
/// # Errors
/// `BAD_HOST` when they name several or cannot be read.
pub(crate) fn forwarded_host(headers: &HeaderMap) -> Result<Option<Authority>, Problem> {
    let mut named = Vec::new();
    for line in headers.get_all(FORWARDED_HOST) {
        named.push(text(line)?.trim().to_ascii_lowercase());
    }
    let plain = named.len();
    for line in headers.get_all(FORWARDED) {
        hosts(text(line)?, &mut named).ok_or_else(bad)?;
    }
    let rest = named.len() - plain;
    let Some(first) = named.first() else {
        return Ok(None);
    };
    // One of each header says the same thing twice; two of one header are two proxies' words.
    let one = plain <= 1 && rest <= 1 && named.iter().all(|name| name == first);
    let usable = !first.is_empty() && !first.contains(',');
    match one && usable {
        true => Ok(Some(Authority(first.clone()))),
        false => Err(bad()),
    }
}

/// Whether the proxy's own `Host` leads to the same place, or to none.
///
/// # Errors
/// 403 when it leads to another tenant, 400 when it leads to a tenant and the client is said to have
/// asked for a base domain.
pub(crate) async fn compare(
    direct: &Authority,
    forwarded: &Site,
    app: &App,
) -> Result<(), Problem> {
    let direct = match app.router.parse_host(&direct.0) {
        Ok(host @ (HostName::Subdomain(_) | HostName::Custom(_))) => host,
        // What proxies call us: our address, a name inside a cluster, the base domain.
        Ok(HostName::Base | HostName::Unknown) | Err(_) => return Ok(()),
    };
    if let Site::Tenant(forwarded) = forwarded
        && *forwarded == direct
    {
        return Ok(());
    }
    let Some(tenant) = app.router.tenant_of(&Asked::Host(direct)).await? else {
        return Ok(());
    };
    match forwarded {
        Site::Tenant(host) => {
            let forwarded = app.router.tenant_of(&Asked::Host(host.clone())).await?;
            match forwarded == Some(tenant) {
                true => Ok(()),
                false => Err(Problem::wrong_tenant()),
            }
        }
        Site::Base | Site::Nowhere => Err(bad()),
    }
}

fn bad() -> Problem {
    Problem::new(ErrorKind::Malformed, "BAD_HOST")
}

fn text(line: &HeaderValue) -> Result<&str, Problem> {
    line.to_str().map_err(|_| bad())
}

/// The `host` parameters of a `Forwarded` line (RFC 7239, 4); none when it is no such line.
fn hosts(line: &str, into: &mut Vec<String>) -> Option<()> {
    let mut left = line;
    loop {
        left = left.trim_start_matches([' ', '\t', ',', ';']);
        if left.is_empty() {
            return Some(());
        }
        let (name, rest) = left.split_once('=')?;
        let token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"\",;=".contains(&b))
        };
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find([',', ';']).unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        let ends = after.trim_start_matches([' ', '\t']);
        if !token(name) || !(ends.is_empty() || ends.starts_with([',', ';'])) {
            return None;
        }
        if name.eq_ignore_ascii_case("host") {
            into.push(value.to_ascii_lowercase());
        }
        left = ends;
    }
}

/// The text of a quoted string whose first quote was taken, and what comes after it (RFC 9110, 5.6.4).
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&'static str, &'static str)]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        forwarded_host(&headers)
            .map(|host| host.map(|host| host.0))
            .map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn exactly_one_host_is_read() {
        const X: &str = "x-forwarded-host";
        const F: &str = "forwarded";
        let acme = Ok(Some("acme.example.com".to_owned()));
        let with_port = Ok(Some("acme.example.com:8443".to_owned()));
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&[(X, "Acme.Example.com")], acme.clone()),
            (&[(X, " acme.example.com ")], acme.clone()),
            (&[(X, "acme.example.com:8443")], with_port.clone()),
            (&[(F, "for=192.0.2.60;proto=https")], Ok(None)),
            (
                &[(F, "for=192.0.2.60; host=acme.example.com")],
                acme.clone(),
            ),
            (&[(F, "HOST=Acme.example.com;for=_x")], acme.clone()),
            (
                &[(
                    F,
                    "for=\"[2001:db8::1]:4711\";host=\"acme.example.com:8443\"",
                )],
                with_port.clone(),
            ),
            (&[(F, "host=\"acme\\.example.com\"")], acme.clone()),
            (&[(F, "for=a, for=b;host=acme.example.com")], acme.clone()),
            // A quoted comma, semicolon or equals sign ends nothing.
            (
                &[(F, "for=\"a,host=evil.test;\";host=acme.example.com")],
                acme.clone(),
            ),
            (
                &[(X, "ACME.example.com"), (F, "host=acme.example.com")],
                acme.clone(),
            ),
            // Several, whoever sent them and whether they agree.
            (
                &[(X, "acme.example.com"), (X, "acme.example.com")],
                Err(400),
            ),
            (&[(X, "acme.example.com, acme.example.com")], Err(400)),
            (&[(X, "evil.test"), (X, "acme.example.com")], Err(400)),
            (&[(X, "acme.example.com"), (F, "host=evil.test")], Err(400)),
            (&[(F, "host=a.test;host=a.test")], Err(400)),
            (&[(F, "host=a.test, host=a.test")], Err(400)),
            (&[(F, "host=a.test"), (F, "host=a.test")], Err(400)),
            // Nothing that can be read.
            (&[(X, "")], Err(400)),
            (&[(F, "host=")], Err(400)),
            (&[(F, "host=\"acme.example.com")], Err(400)),
            (&[(F, "host=\"acme\"evil")], Err(400)),
            (&[(F, "acme.example.com")], Err(400)),
            (&[(F, "a b=c;host=acme.example.com")], Err(400)),
        ] {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }
}
