//! What is tried: each kind of operation there is, by the list of its steps, and the faults of each step.
//! Nothing of it is written down here: a new kind or step has its cases by being there.

use std::fmt;
use std::sync::LazyLock;

use tenantry_lifecycle::engine::OnFailure;
use tenantry_lifecycle::{Shape, shapes};

/// A kind of operation, and how it comes to be where there are several ways.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// Whether it is a creation that finds its database made.
    pub from_spare: bool,
    steps: Vec<&'static str>,
    /// The steps that have an undoing.
    undoable: Vec<&'static str>,
    on_failure: OnFailure,
    no_way_back: Option<&'static str>,
}

/// All of them.
pub static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let mut kinds: Vec<_> = shapes().into_iter().map(Kind::of).collect();
    // Most sign-ups find a spare.
    let spared = shapes().into_iter().find(|shape| shape.name == "create");
    kinds.extend(spared.map(|shape| {
        let mut kind = Kind::of(shape);
        kind.from_spare = true;
        let skipped = ["template", "clone"];
        kind.steps.retain(|step| !skipped.contains(step));
        kind
    }));
    kinds
});

impl Kind {
    fn of(shape: Shape) -> Self {
        let steps = shape.steps.iter();
        Self {
            name: shape.name,
            from_spare: false,
            undoable: steps
                .clone()
                .filter(|(_, undoable)| *undoable)
                .map(|(step, _)| *step)
                .collect(),
            steps: steps.map(|(step, _)| *step).collect(),
            on_failure: shape.on_failure,
            no_way_back: shape.no_way_back,
        }
    }

    fn place(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|known| *known == step)
    }

    /// Whether a failure of this step undoes what was done.
    fn undoes(&self, step: &str) -> bool {
        let before = |last| self.place(step) < self.place(last);
        self.on_failure == OnFailure::Undo && self.no_way_back.is_none_or(before)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The step fails, before or after its effect.
    Error(&'static str),
    /// The process dies.
    Kill(&'static str),
    /// The driver walks away after the effect, with all its sessions open, and another one runs the step a
    /// second time.
    Twice,
    /// The process stands still at this point while another one carries the operation to its end.
    TwoWorkers(&'static str),
    /// The step fails, and then the undoing of another one does, once.
    UndoFails(&'static str),
    /// The step fails, and the process dies as it is being undone.
    KilledUndoing(&'static str),
    /// All connections to the cluster end as the step begins, and again while it is under way.
    Lost,
}

/// A fault of a step.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: &'static Kind,
    pub step: &'static str,
    pub fault: Fault,
}

/// All cases of a kind.
pub fn of(kind: &'static Kind) -> Vec<Case> {
    let of_step = |step: &&'static str| {
        let step = *step;
        let faults = faults(kind, step).into_iter();
        faults.map(move |fault| Case { kind, step, fault })
    };
    kind.steps.iter().flat_map(of_step).collect()
}

fn faults(kind: &Kind, step: &'static str) -> Vec<Fault> {
    let mut all = vec![
        Fault::Error("before-effect"),
        Fault::Error("after-effect"),
        Fault::Kill("before-effect"),
        Fault::Kill("after-effect"),
        Fault::Kill("after-record"),
        Fault::Twice,
        Fault::TwoWorkers("before-effect"),
        Fault::TwoWorkers("after-effect"),
        Fault::Lost,
    ];
    if kind.undoes(step) {
        let so_far = kind
            .undoable
            .iter()
            .filter(|made| kind.place(made) <= kind.place(step));
        all.extend(so_far.map(|made| Fault::UndoFails(made)));
        if kind.undoable.contains(&step) {
            let points = ["before-undo", "after-undo"];
            all.extend(points.map(Fault::KilledUndoing));
        }
    }
    all
}

impl Case {
    /// What the victim reads.
    pub fn file(&self) -> String {
        let Self { kind, step, fault } = self;
        let at = |step: &str, point: &str, act: &str| format!("{}/{step}:{point}={act}", kind.name);
        match fault {
            Fault::Error(point) => at(step, point, "fail"),
            Fault::Kill(point) => at(step, point, "kill"),
            Fault::Twice => at(step, "after-effect", "leave"),
            Fault::TwoWorkers(point) => at(step, point, "stop"),
            Fault::UndoFails(made) => [
                at(step, "after-effect", "fail"),
                at(made, "before-undo", "fail"),
            ]
            .join("\n"),
            Fault::KilledUndoing(point) => {
                [at(step, "after-effect", "fail"), at(step, point, "kill")].join("\n")
            }
            Fault::Lost => at(step, "before-effect", "hold"),
        }
    }

    /// How its operation ends, if that is certain.
    pub fn ends(&self) -> Option<&'static str> {
        let undoes = self.kind.undoes(self.step);
        match self.fault {
            Fault::Error(_) | Fault::UndoFails(_) | Fault::KilledUndoing(_) if undoes => {
                Some("failed")
            }
            // A step whose connection is gone may fail, or open another one.
            Fault::Lost if undoes => None,
            _ => Some("done"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spare = if self.kind.from_spare {
            " from a spare"
        } else {
            ""
        };
        write!(
            f,
            "{}{spare}/{} {:?}",
            self.kind.name, self.step, self.fault
        )
    }
}
