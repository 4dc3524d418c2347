//! For how long a token is good.

use std::time::Duration;

use chrono::TimeDelta;
use tenantry_catalog::operators::Role;
use tenantry_types::Timestamp;

use crate::duration;
use crate::problem::Problem;

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// Of a token whose end nobody names.
const USUAL: TimeDelta = TimeDelta::days(90);

/// What a request says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ttl {
    For(Duration),
    /// An owner's only.
    Never,
}

pub(super) fn parse(text: &str) -> Result<Ttl, String> {
    if text == "never" {
        return Ok(Ttl::Never);
    }
    match duration::parse(text, LONGEST)? {
        short if short < SHORTEST => Err("must be at least a minute".to_owned()),
        long => Ok(Ttl::For(long)),
    }
}

/// When a token made now ends. Nobody but an owner has one without an end.
///
/// # Errors
/// 422 for the field.
pub(super) fn end_of(
    ttl: Option<Ttl>,
    role: Role,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    match (ttl, role) {
        (Some(Ttl::For(ttl)), _) => Ok(Some(now + TimeDelta::from_std(ttl).unwrap_or(USUAL))),
        (Some(Ttl::Never) | None, Role::Owner) => Ok(None),
        (Some(Ttl::Never), _) => Err(Problem::field(
            "ttl",
            "may be `never` for an owner only: the tokens of other roles end",
        )),
        (None, _) => Ok(Some(now + USUAL)),
    }
}

#[cfg(test)]
mod tests {
    use tenantry_types::Clock;

    use super::*;

    #[test]
    fn only_an_owners_token_is_without_an_end() {
        let now = Clock::system().now();
        let of = |ttl: Option<&str>, role| {
            let ttl = ttl.map(|text| parse(text).expect("a ttl"));
            end_of(ttl, role, now).map(|end| end.map(|end| (end - now).num_seconds()))
        };
        assert_eq!(of(None, Role::Owner).expect("right"), None);
        assert_eq!(of(Some("never"), Role::Owner).expect("right"), None);
        for role in [Role::Operator, Role::ReadOnly, Role::Provisioner] {
            assert_eq!(of(None, role).expect("right"), Some(90 * 86_400));
            assert!(of(Some("never"), role).is_err());
            assert_eq!(of(Some("2h"), role).expect("right"), Some(7200));
        }
        for bad in ["59s", "367d", "0d", "", "forever", "-1d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
