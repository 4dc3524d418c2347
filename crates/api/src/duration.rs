//! Durations as requests write them: `90s`, `15m`, `24h`, `7d`.

use std::time::Duration;

/// Reads a whole number and a unit; at most `most`.
pub(crate) fn parse(text: &str, most: Duration) -> Result<Duration, String> {
    let shape = || "must be a whole number and `s`, `m`, `h` or `d`, like `24h`".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(shape)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(shape()),
    };
    if !(1..=8).contains(&number.len()) || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(shape());
    }
    let number: u64 = number.parse().map_err(|_| shape())?;
    let duration = Duration::from_secs(number.saturating_mul(seconds));
    match duration > most {
        true => Err(format!("must be at most {} days", most.as_secs() / 86_400)),
        false => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_make_a_duration_up_to_a_bound() {
        let month = Duration::from_secs(30 * 86_400);
        let of = |text: &str| parse(text, month).map(|d| d.as_secs());
        assert_eq!(of("0s"), Ok(0));
        assert_eq!(of("90s"), Ok(90));
        assert_eq!(of("24h"), Ok(86_400));
        assert_eq!(of("30d"), Ok(30 * 86_400));
        for bad in [
            "31d",
            "99999999d",
            "",
            "h",
            "24",
            "-1h",
            "1.5h",
            "24 h",
            "1h30m",
            "\u{665}h",
            "3\u{20ac}",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
