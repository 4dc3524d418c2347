//! `POST /setup/adoptions`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use tenantry_lifecycle::{Idempotency, Telling};

use super::request::{Adoption, Written};
use crate::app::App;
use crate::context::Operator;
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};
use crate::setup::tenants::create::check_domain;
use crate::setup::tenants::{IdempotencyKey, created, request_hash};

/// Makes a tenant of a database that exists on a registered cluster, where it stands: nothing is copied. When this
/// answers it is served as any other; who used it before is shut out. Everything in it belongs to the tenant, which can
/// be un-adopted: then the database is as it was, with what was written since.
///
/// What cannot be taken over is refused, and nothing was changed then; `errors` has all reasons.
#[utoipa::path(
    post, path = "/setup/adoptions", tag = "tenants", operation_id = "adoptDatabase",
    params(
        ("idempotency-key" = Option<words::RequestKey>, Header, description = "Makes it safe to send the request again: for 24 hours the same key with the same request gets the same answer."),
    ),
    request_body = Written,
    responses(
        (
            status = 201,
            description = "The tenant can be used.",
            body = created::Answer,
            headers(("location" = String, description = "The tenant.")),
        ),
        (
            status = 202,
            description = "It goes on, because you would rather not wait or because it takes longer than a request may. Ask for the operation, which tells the passwords once.",
            body = Accepted,
            headers(
                ("location" = String, description = "The operation."),
                ("preference-applied" = String, description = "`respond-async`, where it was asked for."),
            ),
        ),
    ),
    extensions(("x-problems" = json!([
        "ADOPT_ENCODING", "ADOPT_EXTENSIONS", "ADOPT_LOGINS_TAKEN", "ADOPT_NAME", "ADOPT_NO_DATABASE",
        "ADOPT_OTHERS_OWN", "ADOPT_OTHER_LOGINS", "ADOPT_OWNER", "ADOPT_PREPARED", "ADOPT_REPLICATION",
        "ADOPT_RIGHTS_PASSED_ON", "ADOPT_SESSIONS", "ADOPT_SYSTEM_DATABASE", "ADOPT_TAKEN", "ADOPT_TOO_LARGE",
        "ADOPT_TRACES", "ADOPT_UNSAFE", "CLUSTER_DRAINING", "CLUSTER_NOT_OURS", "CLUSTER_REFUSED",
        "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE", "CLUSTER_UNSUITABLE", "DATABASE_UNAVAILABLE", "DOMAIN_TAKEN",
        "IDEMPOTENCY_KEY_REUSED", "LOGIN_REFUSED", "NO_CAPACITY", "NO_CLUSTER",
        "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "SLUG_TAKEN", "TENANT_NOT_FOUND", "WRONG_DATABASE", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    IdempotencyKey(key): IdempotencyKey,
    Body(adoption): Body<Adoption>,
) -> Result<Response, Problem> {
    check_domain(&adoption.tenant, &app)?;
    let idempotency = key.map(|key| Idempotency {
        operator: operator.id,
        request_hash: request_hash(&operator.token, &adoption.canonical()),
        key,
    });
    let telling = match idempotency {
        Some(_) => Telling::AndKeep,
        None => Telling::Once,
    };
    let fields = adoption.tenant.cluster_fields();
    let started = app
        .lifecycle
        .adopt(adoption.into(), operator.asker(), idempotency)
        .await
        .map_err(|error| Adoption::problem_of(fields, error))?;
    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => {
            let reader = started.replay.then(|| operator.asker());
            let answer =
                created::answer(&app, started.operation_id, telling, reader.as_ref()).await?;
            let location = format!("/setup/tenants/{}", answer.tenant_id);
            Ok((StatusCode::CREATED, [(LOCATION, location)], Json(answer)).into_response())
        }
    }
}
