//! `GET /setup/operations/{operation}`

use axum::Json;
use axum::extract::State;
use http::Method;
use serde::Serialize;
use serde_json::Value;
use tenantry_catalog::journal::Event;
use tenantry_catalog::operations::Status;
use tenantry_lifecycle::{OperationView, StepView, Telling};
use tenantry_types::{OperationId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::setup::tenants::created;
use crate::setup::tenants::credentials::issued;

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

/// What an operation failed with.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationError)]
pub(crate) struct Failed {
    /// A code as problems have it.
    #[schema(example = "CLUSTER_UNAVAILABLE")]
    code: String,
    /// The same for people.
    message: String,
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
}

/// One operation. Of a creation or an issue of credentials that nobody waited for, the password is in
/// `result` when it is read for the first time, and never again.
#[utoipa::path(
    get, path = "/setup/operations/{operation}", tag = "operations", operation_id = "getOperation",
    params(("operation" = words::OperationId, Path, description = "The operation's id.")),
    responses((status = 200, description = "The operation.", body = View)),
    extensions(("x-problems" = json!(["OPERATION_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator,
    State(app): State<App>,
    method: Method,
    Path(id): Path<OperationId>,
) -> Result<Json<View>, Problem> {
    let operation = app
        .lifecycle
        .operation(id)
        .await?
        .ok_or_else(|| Problem::not_found("OPERATION_NOT_FOUND"))?;
    // Nobody would read what is told to a HEAD.
    let result = match method {
        Method::HEAD => operation.result.clone(),
        _ => result_of(&app, &operation).await?,
    };
    let error = operation.error.map(|error| Failed {
        code: error.code,
        message: error.message,
    });
    Ok(Json(View {
        operation_id: id,
        kind: operation.kind,
        tenant_id: operation.tenant_id,
        status: operation.status,
        steps: steps_of(&operation.steps),
        progress: operation.progress,
        result,
        error,
        created_at: operation.created_at,
        finished_at: operation.finished_at,
    }))
}

async fn result_of(app: &App, operation: &OperationView) -> Result<Option<Value>, Problem> {
    let answer = match (operation.kind.as_str(), operation.status) {
        ("create", Status::Done) => created::answer(app, operation.id, Telling::Once)
            .await
            .map(serde_json::to_value),
        ("credentials", Status::Done) => issued::answer(app, operation.id, Telling::Once)
            .await
            .map(serde_json::to_value),
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
            }
            None => steps.push(Step {
                name: entry.step.clone(),
                status,
                started_at: entry.at,
                updated_at: entry.at,
            }),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use tenantry_types::Clock;

    use super::*;

    #[test]
    fn a_journal_is_told_as_the_state_of_each_step() {
        let at = Clock::system().now();
        let entry = |step: &str, event| StepView {
            step: step.into(),
            event,
            at,
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
    }
}
