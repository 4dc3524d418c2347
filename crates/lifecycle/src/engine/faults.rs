//! Faults on request, so that tests can end or fail an operation exactly where they want to.
//!
//! The engine always asks; only a build with the feature `faults` can answer.

use std::path::{Path, PathBuf};

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
    /// The journal says that it is being undone, and nothing was done yet.
    BeforeUndo,
    /// It is undone, the journal does not know.
    AfterUndo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Fail,
    Leave,
    Kill,
    Stop,
    Hold,
}

/// At most one fault: `<kind>/<step>:<point>=<act>`, e.g. `create/clone:after-effect=kill`.
///
/// Points are `before-effect`, `after-effect`, `after-record`, `before-undo`, `after-undo`. Acts are `fail`
/// (the step reports a failure), `leave` (the driver walks away without a word, so that another one has to
/// go on), `kill` (the process ends as by `kill -9`), `stop` (it stands still as by `kill -STOP`) and `hold` (the
/// driver waits until there is a file of the fault's name with `.go` behind it).
///
/// Such a fault strikes each time. `@<file>` reads them from a file, one in a line, each time anew: a test
/// sets them when it is ready. Each of these strikes once, and its line is gone then; the file of before has
/// `.fired` behind its name.
#[derive(Clone, Debug, Default)]
pub struct Faults(Source);

#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(any(test, feature = "faults")),
    expect(dead_code, reason = "only a build for tests can ask for a fault")
)]
enum Source {
    #[default]
    None,
    Fixed(Fault),
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    kind: String,
    step: String,
    point: Point,
    act: Act,
}

/// Why a text describes no fault.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no fault: write <kind>/<step>:<point>=<act>, or @<file that holds that>")]
pub struct InvalidFault(String);

impl Faults {
    /// No faults: what a program in use has.
    #[must_use]
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// Whether a fault was asked for here.
    pub(super) fn armed(&self, kind: &str, step: &str, point: Point) -> bool {
        self.at(kind, step, point).is_some()
    }

    /// Strikes if a fault was asked for here.
    pub(super) async fn strike(
        &self,
        kind: &str,
        step: &str,
        point: Point,
    ) -> Result<(), StepError> {
        let Some(fault) = self.at(kind, step, point) else {
            return Ok(());
        };
        if !self.claimed(&fault) {
            return Ok(());
        }
        match fault.act {
            Act::Kill => end_like_kill(),
            Act::Leave => Err(StepError::Interrupted(None)),
            Act::Fail => Err(injected().into()),
            Act::Stop => {
                stand_still();
                Ok(())
            }
            Act::Hold => {
                self.held().await;
                Ok(())
            }
        }
    }

    fn at(&self, kind: &str, step: &str, point: Point) -> Option<Fault> {
        let here = |fault: &Fault| fault.kind == kind && fault.step == step && fault.point == point;
        match &self.0 {
            Source::None => None,
            Source::Fixed(fault) => Some(fault.clone()).filter(here),
            Source::File(path) => lines(path).into_iter().find(here),
        }
    }

    /// Of those who are at the place of a fault that strikes once, one gets it.
    fn claimed(&self, fault: &Fault) -> bool {
        let Source::File(path) = &self.0 else {
            return true;
        };
        let fired = beside(path, ".fired");
        if std::fs::rename(path, &fired).is_err() {
            return false;
        }
        let text = std::fs::read_to_string(&fired).unwrap_or_default();
        let left: Vec<_> = text
            .lines()
            .filter(|line| parsed(line).as_ref() != Some(fault))
            .collect();
        // Whoever set them sees by the file what is left.
        left.is_empty() || std::fs::write(path, left.join("\n")).is_ok()
    }

    async fn held(&self) {
        let Source::File(path) = &self.0 else { return };
        let go = beside(path, ".go");
        while !go.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

fn lines(path: &Path) -> Vec<Fault> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(parsed).collect()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// `<kind>/<step>:<point>=<act>`
fn parsed(text: &str) -> Option<Fault> {
    let (place, act) = text.split_once('=')?;
    let (step, point) = place.split_once(':')?;
    let (kind, step) = step.split_once('/')?;
    let point = match point {
        "before-effect" => Point::BeforeEffect,
        "after-effect" => Point::AfterEffect,
        "after-record" => Point::AfterRecord,
        "before-undo" => Point::BeforeUndo,
        "after-undo" => Point::AfterUndo,
        _ => return None,
    };
    let act = match act {
        "fail" => Act::Fail,
        "leave" => Act::Leave,
        "kill" => Act::Kill,
        "stop" => Act::Stop,
        "hold" => Act::Hold,
        _ => return None,
    };
    Some(Fault {
        kind: kind.to_owned(),
        step: step.to_owned(),
        point,
        act,
    })
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

/// Stands still until somebody sends SIGCONT; the whole process does.
fn stand_still() {
    let own = std::process::id().to_string();
    // Whoever asked for it sees that nothing stood still.
    let _ = std::process::Command::new("kill")
        .args(["-STOP", &own])
        .status();
}

#[cfg(any(test, feature = "faults"))]
impl std::str::FromStr for Faults {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self(Source::File(path.into())));
        }
        let fault = parsed(text).ok_or_else(|| InvalidFault(text.to_owned()))?;
        Ok(Self(Source::Fixed(fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_strikes_at_its_own_place_only() {
        let faults: Faults = "create/clone:after-effect=fail".parse().expect("a fault");
        let strikes = async |kind, step, point| faults.strike(kind, step, point).await.is_err();
        assert!(strikes("create", "clone", Point::AfterEffect).await);
        assert!(!strikes("create", "clone", Point::BeforeEffect).await);
        assert!(!strikes("create", "claim", Point::AfterEffect).await);
        assert!(!strikes("delete", "clone", Point::AfterEffect).await);
        assert!(
            strikes("create", "clone", Point::AfterEffect).await,
            "each time"
        );
        for wrong in ["create/clone=fail", "create/clone:before-effect=dance", ""] {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn one_from_a_file_is_read_anew_and_strikes_once() {
        let folder = std::env::temp_dir().join(format!("tenantry-fault-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("fault");
        let faults: Faults = format!("@{}", file.display()).parse().expect("a fault");
        let strikes = async || {
            faults
                .strike("create", "clone", Point::BeforeUndo)
                .await
                .is_err()
        };
        assert!(!strikes().await, "no file yet");
        for _ in 0..2 {
            std::fs::write(&file, "create/clone:before-undo=fail\n").expect("written");
            assert!(strikes().await);
            assert!(!strikes().await, "once");
        }
        std::fs::write(
            &file,
            "a/b:after-effect=fail\ncreate/clone:before-undo=fail",
        )
        .expect("written");
        assert!(strikes().await);
        assert_eq!(
            std::fs::read_to_string(&file).expect("read"),
            "a/b:after-effect=fail"
        );
        assert!(folder.join("fault.fired").exists());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
