//! Faults on request, so that tests can end or fail an operation exactly where they want to.
//!
//! The engine always asks; only a build with the feature `faults` can answer.

use super::step::{Failure, StepError};

/// Where in a step a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The journal says "started", nothing was done yet.
    BeforeEffect,
    /// The effect is reached, the journal does not know.
    AfterEffect,
    /// The effect is reached and recorded.
    AfterRecord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, feature = "faults")),
    expect(dead_code, reason = "only a build for tests can ask for a fault")
)]
enum Act {
    Fail,
    Leave,
    Kill,
}

/// At most one fault: `<kind>/<step>:<point>=<act>`, e.g. `create/clone:after-effect=kill`.
///
/// Points are `before-effect`, `after-effect`, `after-record`; acts are `fail` (the step reports a
/// failure), `leave` (the driver walks away without a word, so that another one has to go on) and
/// `kill` (the process ends as by `kill -9`).
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Fault>);

#[derive(Clone, Debug)]
struct Fault {
    kind: String,
    step: String,
    point: Point,
    act: Act,
}

/// Why a text describes no fault.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no fault: write <kind>/<step>:<before-effect|after-effect|after-record>=<fail|leave|kill>"
)]
pub struct InvalidFault(String);

impl Faults {
    /// No faults: what a program in use has.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether a fault was asked for here.
    pub(super) fn armed(&self, kind: &str, step: &str, point: Point) -> bool {
        self.0
            .as_ref()
            .is_some_and(|fault| fault.kind == kind && fault.step == step && fault.point == point)
    }

    /// Strikes if a fault was asked for here.
    pub(super) fn strike(&self, kind: &str, step: &str, point: Point) -> Result<(), StepError> {
        if !self.armed(kind, step, point) {
            return Ok(());
        }
        match self.0.as_ref().map(|fault| fault.act) {
            Some(Act::Kill) => end_like_kill(),
            Some(Act::Leave) => Err(StepError::Interrupted(None)),
            Some(Act::Fail) | None => Err(injected().into()),
        }
    }
}

fn injected() -> Failure {
    Failure {
        code: "INJECTED".to_owned(),
        message: "A fault was asked for here.".to_owned(),
        retryable: false,
        cause: "fault injection".to_owned(),
    }
}

/// Ends the process at once: no destructor, no flush, no goodbye to any server.
fn end_like_kill() -> ! {
    std::process::abort()
}

#[cfg(any(test, feature = "faults"))]
impl std::str::FromStr for Faults {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidFault(text.to_owned());
        let (place, act) = text.split_once('=').ok_or_else(invalid)?;
        let (step, point) = place.split_once(':').ok_or_else(invalid)?;
        let (kind, step) = step.split_once('/').ok_or_else(invalid)?;
        let point = match point {
            "before-effect" => Point::BeforeEffect,
            "after-effect" => Point::AfterEffect,
            "after-record" => Point::AfterRecord,
            _ => return Err(invalid()),
        };
        let act = match act {
            "fail" => Act::Fail,
            "leave" => Act::Leave,
            "kill" => Act::Kill,
            _ => return Err(invalid()),
        };
        Ok(Self(Some(Fault {
            kind: kind.to_owned(),
            step: step.to_owned(),
            point,
            act,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_at_its_own_place_only() {
        let faults: Faults = "create/clone:after-effect=fail".parse().expect("a fault");
        assert!(
            faults
                .strike("create", "clone", Point::AfterEffect)
                .is_err()
        );
        assert!(
            faults
                .strike("create", "clone", Point::BeforeEffect)
                .is_ok()
        );
        assert!(faults.strike("create", "claim", Point::AfterEffect).is_ok());
        assert!(faults.strike("delete", "clone", Point::AfterEffect).is_ok());
        assert!("create/clone=fail".parse::<Faults>().is_err());
    }
}
