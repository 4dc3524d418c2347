//! `GET /setup/operations/{operation}`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_catalog::journal::Event;
use tenantry_catalog::operations::{self, Status};
use tenantry_lifecycle::{Asker, OperationView, StepView, Telling, WaitError};
use tenantry_types::{OperationId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::ReadCreated;
use crate::setup::tenants::created;
use crate::setup::tenants::credentials::issued;
use crate::setup::tenants::logins::made;

/// A durable change and how it goes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Operation)]
pub(crate) struct View {
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
    /// What it does.
    #[schema(example = "create")]
    kind: String,
    /// The tenant it is about; none where it is about all.
    #[schema(value_type = Option<words::TenantId>, required)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = words::OperationStatus)]
    status: Status,
    /// Who asked for it: an operator's name, or the part of the program.
    #[schema(example = "billing backend")]
    asked_by: String,
    /// The request that asked for it.
    #[schema(required)]
    request_id: Option<String>,
    /// Whether it could be cancelled now.
    cancellable: bool,
    /// Whether what it has done is undone when it fails, from where it stands. What does not roll back is
    /// tried again until it is done, or waits for a person.
    rolls_back: bool,
    /// What its tenant was like when it began: `slug`, `name`, `plan`, `status`, `reason`, `purgeAt`,
    /// `maxConnections`, `cluster`, `database`, `schema`, `logins`, `domains`. Absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    before: Option<Value>,
    /// The same when it had ended; absent until then, and where there is no such tenant any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    after: Option<Value>,
    steps: Vec<Step>,
    /// Of a rollout that runs: `total`, `done`, `migrated`, `current`, `failed`, `skipped`; of a rotation
    /// of all tenants `rotated` in the place of the middle two.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    progress: Option<Value>,
    /// What it came to, by its kind: of a creation what `POST /setup/tenants` answers, of an issue of
    /// credentials what `POST /setup/tenants/{tenant}/credentials` does, of a rollout one line per database, of a
    /// rotation of all one per tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<Failed>,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Timestamp>, required)]
    finished_at: Option<Timestamp>,
}

/// One operation of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperationLine)]
pub(crate) struct Line {
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
    /// What it does.
    #[schema(example = "create")]
    kind: String,
    /// The tenant it is about; none where it is about all.
    #[schema(value_type = Option<words::TenantId>, required)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = words::OperationStatus)]
    status: Status,
    /// Who asked for it: an operator's name, or the part of the program.
    #[schema(example = "billing backend")]
    asked_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<Failed>,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Timestamp>, required)]
    finished_at: Option<Timestamp>,
}

impl From<operations::Operation> for Line {
    fn from(operation: operations::Operation) -> Self {
        Self {
            operation_id: operation.id,
            kind: operation.kind,
            tenant_id: operation.tenant_id,
            status: operation.status,
            asked_by: operation.asked_by,
            error: operation.error.as_ref().and_then(Failed::read),
            created_at: operation.created_at,
            finished_at: operation.finished_at,
        }
    }
}

/// What an operation failed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = OperationError)]
pub(crate) struct Failed {
    /// A code as problems have it.
    #[schema(example = "CLUSTER_UNAVAILABLE")]
    code: String,
    /// The same for people.
    message: String,
}

impl Failed {
    /// As it is kept with the operation or its step.
    fn read(kept: &Value) -> Option<Self> {
        serde_json::from_value(kept.clone()).ok()
    }
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = OperationStepStatus)]
enum StepStatus {
    Running,
    Done,
    Failed,
    Undoing,
    Undone,
    UndoFailed,
}

/// How one step stands.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperationStep)]
struct Step {
    #[schema(example = "clone")]
    name: String,
    status: StepStatus,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
    #[schema(value_type = words::Timestamp)]
    updated_at: Timestamp,
    /// How often it was begun.
    tries: u32,
    /// From its first beginning to its last change.
    took_ms: u64,
    /// What the last failed try said, with the code as problems have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<Failed>,
}

/// Whether asking tells the secrets of a creation, and whom.
#[derive(Clone, Debug)]
pub(super) enum Secrets {
    Told(Asker),
    Kept,
}

/// The most seconds that one may wait for an operation's end.
const LONGEST_WAIT: u64 = 60;

pub(crate) struct Patience(Option<Duration>);

impl FromFields for Patience {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let seconds = fields.optional("wait", |text| match text.parse() {
            Ok(seconds @ 0..=LONGEST_WAIT) => Ok(seconds),
            _ => Err(format!("must be a whole number from 0 to {LONGEST_WAIT}")),
        });
        Some(Self(seconds.map(Duration::from_secs)))
    }
}

/// One operation. Of a creation or an issue of credentials that nobody waited for, the password is in
/// `result` when it is read for the first time, and never again. That it was read is in the audit trail; it is not told to an operator
/// who may only read.
#[utoipa::path(
    get, path = "/setup/operations/{operation}", tag = "operations", operation_id = "getOperation",
    params(
        ("operation" = words::OperationId, Path, description = "The operation's id."),
        ("wait" = Option<u64>, Query, description = "How many seconds to wait for its end, 60 at most and never longer than a request may take. It is told as it stands then.", minimum = 0, maximum = 60),
    ),
    responses((status = 200, description = "The operation.", body = View)),
    extensions(("x-problems" = json!(["OPERATION_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<ReadCreated>,
    State(app): State<App>,
    method: Method,
    Path(id): Path<OperationId>,
    Query(Patience(patience)): Query<Patience>,
) -> Result<Json<View>, Problem> {
    operator.must_see(&app, id).await?;
    if let Some(patience) = patience.filter(|patience| !patience.is_zero()) {
        let patience = patience.min(app.config.request_timeout);
        match app.lifecycle.wait(id, patience).await {
            Ok(_) | Err(WaitError::StillRunning) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Nobody would read what is told to a HEAD.
    let secrets = match method == Method::HEAD || !operator.may_read_secrets() {
        true => Secrets::Kept,
        false => Secrets::Told(operator.asker()),
    };
    Ok(Json(view(&app, id, secrets).await?))
}

/// An operation as it stands.
///
/// # Errors
/// `OPERATION_NOT_FOUND`, or when the catalog does not answer.
pub(super) async fn view(app: &App, id: OperationId, secrets: Secrets) -> Result<View, Problem> {
    let operation = app
        .lifecycle
        .operation(id)
        .await?
        .ok_or_else(|| Problem::not_found("OPERATION_NOT_FOUND"))?;
    let result = match secrets {
        Secrets::Kept => operation.result.clone(),
        Secrets::Told(reader) => result_of(app, &operation, &reader).await?,
    };
    let error = operation.error.map(|error| Failed {
        code: error.code,
        message: error.message,
    });
    Ok(View {
        operation_id: id,
        kind: operation.kind,
        tenant_id: operation.tenant_id,
        status: operation.status,
        asked_by: operation.asked_by,
        request_id: operation.request_id,
        cancellable: operation.cancellable,
        rolls_back: operation.rolls_back,
        before: operation.configurations.before,
        after: operation.configurations.after,
        steps: steps_of(&operation.steps),
        progress: operation.progress,
        result,
        error,
        created_at: operation.created_at,
        finished_at: operation.finished_at,
    })
}

async fn result_of(
    app: &App,
    operation: &OperationView,
    reader: &Asker,
) -> Result<Option<Value>, Problem> {
    let answer = match (operation.kind.as_str(), operation.status) {
        ("create" | "adopt", Status::Done) => {
            created::answer(app, operation.id, Telling::Once, Some(reader))
                .await
                .map(serde_json::to_value)
        }
        ("credentials", Status::Done) => {
            issued::answer(app, operation.id, Telling::Once, Some(reader))
                .await
                .map(serde_json::to_value)
        }
        ("issue-login", Status::Done) => {
            made::answer(app, operation.id, Telling::Once, Some(reader))
                .await
                .map(serde_json::to_value)
        }
        _ => return Ok(operation.result.clone()),
    };
    match answer {
        Ok(answer) => Ok(answer.ok()),
        // The tenant was purged since; the operation remains.
        Err(problem) if problem.code() == "TENANT_NOT_FOUND" => Ok(operation.result.clone()),
        Err(problem) => Err(problem),
    }
}

/// The journal as one line per step: how it stands now.
fn steps_of(journal: &[StepView]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for entry in journal {
        let status = match entry.event {
            Event::Started => StepStatus::Running,
            Event::Done => StepStatus::Done,
            Event::Failed => StepStatus::Failed,
            Event::UndoStarted => StepStatus::Undoing,
            Event::Undone => StepStatus::Undone,
            Event::UndoFailed => StepStatus::UndoFailed,
        };
        match steps.iter_mut().find(|step| step.name == entry.step) {
            Some(step) => {
                step.status = status;
                step.updated_at = entry.at;
                step.tries += u32::from(entry.event == Event::Started);
                let took = (entry.at - step.started_at).num_milliseconds();
                step.took_ms = u64::try_from(took).unwrap_or(0);
                step.error = Failed::read(&entry.detail).or(step.error.take());
            }
            None => steps.push(Step {
                name: entry.step.clone(),
                status,
                started_at: entry.at,
                updated_at: entry.at,
                tries: 1,
                took_ms: 0,
                error: Failed::read(&entry.detail),
            }),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenantry_types::Clock;

    use super::*;

    #[test]
    fn a_journal_is_told_as_the_state_of_each_step() {
        let at = Clock::system().now();
        let entry = |step: &str, event| StepView {
            step: step.into(),
            event,
            at,
            detail: match event {
                Event::Failed => {
                    json!({ "code": "CLUSTER_UNAVAILABLE", "message": "away", "cause": "dns" })
                }
                _ => json!({}),
            },
        };
        let steps = steps_of(&[
            entry("clone", Event::Started),
            entry("clone", Event::Done),
            entry("seed", Event::Started),
            entry("seed", Event::Failed),
            entry("clone", Event::UndoStarted),
            entry("clone", Event::Undone),
        ]);
        let told: Vec<_> = steps
            .iter()
            .map(|step| (step.name.as_str(), step.status))
            .collect();
        assert_eq!(
            told,
            [("clone", StepStatus::Undone), ("seed", StepStatus::Failed)]
        );
        // The cause is for the log.
        let error = serde_json::to_value(&steps[1].error).expect("JSON");
        assert_eq!(
            error,
            json!({ "code": "CLUSTER_UNAVAILABLE", "message": "away" })
        );
        assert_eq!(steps[0].error, None);
    }
}
