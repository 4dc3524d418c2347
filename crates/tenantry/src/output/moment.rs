//! Moments and lengths of time as people say them.

use chrono::{DateTime, TimeDelta};
use tenantry_types::Timestamp;

const UNITS: [(i64, &str); 5] = [
    (365 * 24 * 3600, "year"),
    (30 * 24 * 3600, "month"),
    (24 * 3600, "day"),
    (3600, "hour"),
    (60, "minute"),
];

/// `3 days ago`, `in 2 hours`, `just now`; none where the text is no RFC 3339 moment.
#[must_use]
pub fn relative(text: &str, now: Timestamp) -> Option<String> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    let ahead = at.to_utc() - now;
    let length = length(ahead.abs());
    Some(match () {
        () if ahead.abs() < TimeDelta::seconds(10) => "just now".to_owned(),
        () if ahead > TimeDelta::zero() => format!("in {length}"),
        () => format!("{length} ago"),
    })
}

/// `3 days`, in the largest unit of which there is one.
#[must_use]
pub fn length(of: TimeDelta) -> String {
    let seconds = of.num_seconds();
    let unit = UNITS.iter().find(|(size, _)| seconds >= *size);
    let (count, name) = unit.map_or((seconds, "second"), |(size, name)| (seconds / size, name));
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_from_now() {
        let now = DateTime::parse_from_rfc3339("2026-05-04T12:00:00Z").expect("a moment");
        let told = |text: &str| relative(text, now.to_utc());
        for (at, text) in [
            ("2026-05-04T12:00:05Z", "just now"),
            ("2026-05-04T11:59:20Z", "40 seconds ago"),
            ("2026-05-04T11:00:00Z", "1 hour ago"),
            ("2026-05-11T12:00:00Z", "in 7 days"),
            ("2026-05-04T14:01:30+02:00", "in 1 minute"),
            ("2023-05-04T12:00:00Z", "3 years ago"),
        ] {
            assert_eq!(told(at).as_deref(), Some(text), "{at}");
        }
        assert_eq!(told("soon"), None);
    }
}
