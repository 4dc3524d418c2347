//! Medians, percentiles, and whose turn it is.

use std::time::Duration;

use serde::Serialize;

/// How a number is spread over the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// The one in the middle: the figure.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// A quarter is below it.
    pub quartile1: f64,
    /// A quarter is above it.
    pub quartile3: f64,
    /// The highest.
    pub highest: f64,
}

impl Spread {
    /// Of some numbers; all zero for none.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| quantile(&sorted, part);
        Self {
            median: at(0.5),
            lowest: at(0.0),
            quartile1: at(0.25),
            quartile3: at(0.75),
            highest: at(1.0),
        }
    }
}

/// Milliseconds below which a part of the durations lies.
pub fn percentile(durations: &[Duration], part: f64) -> f64 {
    let mut sorted: Vec<f64> = durations.iter().map(|d| d.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, part)
}

/// Linear between the two neighbours.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index, and a part between 0 and 1"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = part * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (low_value, high_value) = (sorted[low], sorted[high.min(last)]);
    low_value + (high_value - low_value) * place.fract()
}

/// Whether the sides take their turns backwards in this pair: A B, B A, A B, …
pub fn backwards(pair: u32) -> bool {
    pair % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_and_one_outlier_does_not_move_it() {
        let spread = Spread::of([3.0, 1.0, 2.0, 4.0, 100.0]);
        assert!((spread.median - 3.0).abs() < 1e-9);
        assert!((spread.quartile1 - 2.0).abs() < 1e-9);
        assert!((spread.highest - 100.0).abs() < 1e-9);
        assert!((Spread::of([1.0, 2.0]).median - 1.5).abs() < 1e-9);
        assert!((Spread::of([]).median).abs() < 1e-9);
    }
}
