//! Durations as people write them: `15m`, `7d`, `1h 30m`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Reads a duration for `#[serde(deserialize_with = "…")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(input)?).map_err(de::Error::custom)
}

/// As [`deserialize`], for settings to which no time at all means something: `0s`.
pub fn or_zero<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    if humantime::parse_duration(text.trim()).is_ok_and(|duration| duration.is_zero()) {
        return Ok(Duration::ZERO);
    }
    parse(&text).map_err(de::Error::custom)
}

fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no duration: write a number and a unit, like `15m`, `90s` or `7d`");
    let duration = humantime::parse_duration(text.trim()).map_err(|_| wrong())?;
    // A hundred years: beyond it, sums with a time of day overflow.
    if duration.is_zero() || duration > Duration::from_secs(100 * 366 * 24 * 3600) {
        return Err(wrong());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        for (text, seconds) in [
            ("15m", 900),
            ("7d", 604_800),
            ("90s", 90),
            ("1h 30m", 5400),
            ("2h", 7200),
        ] {
            assert_eq!(parse(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_has_no_unit_or_no_length_is_refused() {
        for text in ["", "5", "0s", "soon", "-1s", "5 parsecs", "9999999y"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
