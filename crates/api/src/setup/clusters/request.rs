//! The fields of a cluster in requests.

use tenantry_catalog::clusters::TlsMode;
use tenantry_types::RootCa;

use crate::fields::Fields;

/// The most that Postgres itself takes for `max_connections`.
pub(super) const MOST_CONNECTIONS: u64 = 262_143;
/// The largest weight.
pub(super) const MOST_WEIGHT: u64 = 1000;
/// More tenants than a server holds.
pub(super) const MOST_TENANTS: u64 = 1_000_000;

/// How TLS is used. `verify-ca` is not among them: see `docs/adr/0022-placement-and-who-a-server-is.md`.
pub(super) fn tls(text: &str) -> Result<TlsMode, String> {
    if text == "verify-ca" {
        return Err("`verify-ca` is not offered: it would take the certificate of any host; use `verify-full`, \
                    with the authority's certificate in `rootCa`"
            .to_owned());
    }
    text.parse()
        .map_err(|_| "must be `verify-full`, `require`, `prefer` or `disable`".to_owned())
}

/// A region's name; an empty text is none.
pub(crate) fn region(text: &str) -> Result<Option<String>, &'static str> {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_none_or(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if text.len() > 40 || !first || !rest {
        return Err("must have 1 to 40 of a-z, 0-9 and -, and not begin with a hyphen");
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A region's name.
pub(crate) fn some_region(text: &str) -> Result<String, &'static str> {
    region(text)?.ok_or("must not be empty")
}

/// An authority is of use with `verify-full` only.
pub(super) fn fits(fields: &mut Fields, tls: TlsMode, root_ca: Option<&RootCa>) {
    if root_ca.is_some() && tls != TlsMode::VerifyFull {
        fields.wrong(
            "rootCa",
            "is compared with nothing unless `tls` is `verify-full`",
        );
    }
}

/// A number that fits.
pub(super) fn int(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        assert_eq!(region("eu-central-1"), Ok(Some("eu-central-1".to_owned())));
        assert_eq!(region(""), Ok(None));
        for no in ["-eu", "EU", "eu west", "eu_1", &"x".repeat(41)] {
            assert!(region(no).is_err(), "{no}");
        }
        assert!(some_region("").is_err());
    }

    #[test]
    fn a_mode_that_protects_less_than_it_says_is_refused_with_what_to_do() {
        let refused = tls("verify-ca").expect_err("refused");
        assert!(refused.contains("verify-full"), "{refused}");
        assert_eq!(tls("verify-full"), Ok(TlsMode::VerifyFull));
        assert!(tls("verify_full").is_err());
    }
}
