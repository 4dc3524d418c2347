//! What is tried: the kinds of operations by the lists of their steps, and the faults of each step.

use std::fmt;

use tenantry_lifecycle::{
    CREATE_STEPS, CREDENTIALS_STEPS, DELETE_STEPS, END_LOGIN_STEPS, ISSUE_LOGIN_STEPS, PURGE_STEPS,
    RESUME_STEPS, ROTATE_STEPS, SUSPEND_STEPS, UNDELETE_STEPS,
};

/// A kind of operation.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub steps: &'static [&'static str],
    /// Steps that an operation as it is begun here has nothing to do in.
    pub skipped: &'static [&'static str],
    /// Before which step a failure undoes what was done; none: it never does.
    pub undone_before: Option<&'static str>,
    /// The steps that have an undoing.
    pub undoable: &'static [&'static str],
}

pub const KINDS: &[Kind] = &[
    Kind {
        name: "create",
        steps: CREATE_STEPS,
        skipped: &[],
        undone_before: Some(""),
        undoable: &["reserve", "seed"],
    },
    forwards("delete", DELETE_STEPS),
    forwards("purge", PURGE_STEPS),
    forwards("undelete", UNDELETE_STEPS),
    forwards("suspend", SUSPEND_STEPS),
    forwards("resume", RESUME_STEPS),
    Kind {
        name: "rotate",
        steps: ROTATE_STEPS,
        skipped: &[],
        undone_before: Some("switch"),
        undoable: &["login"],
    },
    Kind {
        name: "credentials",
        steps: CREDENTIALS_STEPS,
        skipped: &[],
        undone_before: Some("issue"),
        undoable: &["login"],
    },
    Kind {
        name: "issue-login",
        steps: ISSUE_LOGIN_STEPS,
        skipped: &[],
        undone_before: Some("issue"),
        undoable: &["login"],
    },
    forwards("end-login", END_LOGIN_STEPS),
];

const fn forwards(name: &'static str, steps: &'static [&'static str]) -> Kind {
    Kind {
        name,
        steps,
        skipped: &[],
        undone_before: None,
        undoable: &[],
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
    /// All connections to the cluster end as the step begins.
    Lost,
}

/// A fault of a step.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    pub step: &'static str,
    pub fault: Fault,
}

/// All cases of a kind.
pub fn of(kind: &Kind) -> Vec<Case> {
    let steps = kind
        .steps
        .iter()
        .filter(|step| !kind.skipped.contains(step));
    steps
        .flat_map(|step| {
            faults(kind, step).into_iter().map(move |fault| Case {
                kind: *kind,
                step,
                fault,
            })
        })
        .collect()
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
    if undoes(kind, step) {
        let so_far = kind
            .undoable
            .iter()
            .filter(|made| place(kind, made) <= place(kind, step));
        all.extend(so_far.map(|made| Fault::UndoFails(made)));
    }
    all
}

fn place(kind: &Kind, step: &str) -> Option<usize> {
    kind.steps.iter().position(|known| *known == step)
}

/// Whether a failure of this step undoes what was done.
fn undoes(kind: &Kind, step: &str) -> bool {
    match kind.undone_before {
        None => false,
        Some("") => true,
        Some(last) => place(kind, step) < place(kind, last),
    }
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
            Fault::Lost => at(step, "before-effect", "hold"),
        }
    }

    /// How its operation ends, if that is certain.
    pub fn ends(&self) -> Option<&'static str> {
        match self.fault {
            Fault::Error(_) | Fault::UndoFails(_) => Some(match undoes(&self.kind, self.step) {
                true => "failed",
                false => "done",
            }),
            // A step whose connection is gone may fail, or open another one.
            Fault::Lost if undoes(&self.kind, self.step) => None,
            _ => Some("done"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {:?}", self.kind.name, self.step, self.fault)
    }
}
