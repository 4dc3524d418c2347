//! `GET /setup/operations/{operation}`

use axum::Json;
use axum::extract::State;
use http::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tenantry_catalog::journal::Event;
use tenantry_catalog::operations::Status;
use tenantry_lifecycle::{OperationView, StepView, Telling};
use tenantry_types::{OperationId, TenantId, Timestamp};

use crate::app::App;
use crate::context::{Operator, Path};
use crate::problem::Problem;
use crate::setup::tenants::created;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    operation_id: OperationId,
    kind: String,
    tenant_id: Option<TenantId>,
    status: Status,
    steps: Vec<Step>,
    /// Of a rollout that runs: `total`, `done`, `migrated`, `current`, `failed`, `skipped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: String,
    status: &'static str,
    started_at: Timestamp,
    updated_at: Timestamp,
}

/// One operation. Of a creation that nobody waited for, the password is in `result` when it is read
/// for the first time, and never again.
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
    let error = operation
        .error
        .map(|error| json!({ "code": error.code, "message": error.message }));
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
    if operation.kind != "create" || operation.status != Status::Done {
        return Ok(operation.result.clone());
    }
    match created::answer(app, operation.id, Telling::Once).await {
        Ok(answer) => Ok(serde_json::to_value(answer).ok()),
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
            Event::Started => "running",
            Event::Done => "done",
            Event::Failed => "failed",
            Event::UndoStarted => "undoing",
            Event::Undone => "undone",
            Event::UndoFailed => "undo-failed",
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
        assert_eq!(told, [("clone", "undone"), ("seed", "failed")]);
    }
}
