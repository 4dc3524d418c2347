//! A number of rows that was counted up to a bound, so that asking never takes long.

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Exactly so many, or about so many, or at least so many.
    pub number: i64,
    /// Whether it is exact.
    pub exact: bool,
}

impl Count {
    /// Where the number matters less than that there are some.
    pub const ENOUGH: u32 = 10_000;

    /// `counted` rows were found, of at most `bound` and one more; beyond the bound an estimate
    /// counts, where there is one that is higher.
    pub(crate) fn within(counted: i64, bound: u32, estimate: Option<f64>) -> Self {
        if counted <= i64::from(bound) {
            return Self {
                number: counted,
                exact: true,
            };
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`as` saturates, and it is an estimate"
        )]
        let estimate = estimate.unwrap_or_default().round() as i64;
        Self {
            number: estimate.max(i64::from(bound)),
            exact: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_the_estimate_counts_and_never_less_than_was_seen() {
        let told = |counted, estimate| {
            let count = Count::within(counted, 10, estimate);
            (count.number, count.exact)
        };
        assert_eq!(told(0, Some(99.0)), (0, true));
        assert_eq!(told(10, Some(99.0)), (10, true));
        assert_eq!(told(11, Some(98.6)), (99, false));
        assert_eq!(told(11, Some(3.0)), (10, false));
        assert_eq!(told(11, None), (10, false));
    }
}
