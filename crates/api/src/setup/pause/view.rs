//! What is told of a pause.

use serde::Serialize;
use tenantry_catalog::pause::Pause;
use tenantry_lifecycle::{Paused, Replica};
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use crate::openapi::words;

/// Whether background work is paused, and which processes stand still.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BackgroundWork)]
pub(crate) struct View {
    /// Whether it is paused.
    paused: bool,
    /// Whether that is so everywhere: each process has heard of it, and of a pause, is in the middle of nothing.
    everywhere: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pause: Option<Who>,
    /// The processes that do background work.
    replicas: Vec<Process>,
}

/// Who has paused it, why and when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Pause)]
pub(crate) struct Who {
    /// The operator.
    asked_by: String,
    reason: String,
    #[schema(value_type = words::Timestamp)]
    since: Timestamp,
}

/// A process that does background work.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BackgroundReplica)]
struct Process {
    /// What it is called.
    name: String,
    /// Whether it has heard how things stand now.
    heard: bool,
    /// What it is in the middle of: kinds of operations, and of what begins by itself.
    #[schema(example = json!(["create"]))]
    at_work: Vec<String>,
}

impl From<Paused> for View {
    fn from(now: Paused) -> Self {
        let heard = now.workers.iter().all(|one| one.heard);
        Self {
            paused: now.pause.is_some(),
            everywhere: if now.pause.is_some() {
                now.in_force()
            } else {
                heard
            },
            pause: now.pause.map(Who::from),
            replicas: now.workers.into_iter().map(Process::from).collect(),
        }
    }
}

impl From<Pause> for Who {
    fn from(pause: Pause) -> Self {
        Self {
            asked_by: pause.asked_by,
            reason: pause.reason,
            since: pause.since,
        }
    }
}

impl From<Replica> for Process {
    fn from(one: Replica) -> Self {
        Self {
            name: one.name,
            heard: one.heard,
            at_work: one.at_work,
        }
    }
}
