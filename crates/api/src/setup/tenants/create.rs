//! `POST /setup/tenants`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use tenantry_lifecycle::{Idempotency, PrimaryDomain, StartError, Telling};
use tenantry_types::FieldError;

use super::created;
use super::domains::not_ours;
use super::idempotency::{IdempotencyKey, request_hash};
use super::request::{Request, Written};
use crate::app::App;
use crate::context::Operator;
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Provision;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

/// Makes a tenant on the cluster that is asked for, or where a further tenant has most room, and answers when it
/// can be used at its subdomain; a domain of its own is served once
/// the record in `domain` was found, and is the primary one then. With `Prefer: respond-async`, or when it takes
/// longer than a request may, with the operation to ask.
#[utoipa::path(
    post, path = "/setup/tenants", tag = "tenants", operation_id = "createTenant",
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
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_DRAINING", "CLUSTER_NAME_TAKEN", "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED",
        "CLUSTER_UNAVAILABLE", "CLUSTER_UNSUITABLE", "DATABASE_NAME_TAKEN",
        "DATABASE_UNAVAILABLE", "DOMAIN_TAKEN", "IDEMPOTENCY_KEY_REUSED", "LOGIN_REFUSED",
        "NO_CAPACITY", "NO_CLUSTER", "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "PAUSED", "SLUG_TAKEN",
        "TEMPLATE_FAILED", "TENANT_NOT_FOUND", "WRONG_DATABASE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Provision>,
    State(app): State<App>,
    prefer: RespondAsync,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    check_domain(&request, &app)?;
    let idempotency = key.map(|key| Idempotency {
        operator: operator.id,
        request_hash: request_hash(&operator.token, &request.canonical()),
        key,
    });
    // Who may send the request again must get the same answer again.
    let telling = match idempotency {
        Some(_) => Telling::AndKeep,
        None => Telling::Once,
    };
    let cluster_fields = request.cluster_fields();
    let started = app
        .lifecycle
        .create(request.into(), operator.asker(), idempotency)
        .await
        .map_err(|error| match error {
            StartError::UnknownCluster => unknown_cluster(cluster_fields),
            error => error.into(),
        })?;

    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => {
            // The first answer is part of what the trail has of the act; each one later is told of there.
            let reader = started.replay.then(|| operator.asker());
            let answer =
                created::answer(&app, started.operation_id, telling, reader.as_ref()).await?;
            let location = format!("/setup/tenants/{}", answer.tenant_id);
            Ok((StatusCode::CREATED, [(LOCATION, location)], Json(answer)).into_response())
        }
    }
}

/// A custom domain must not lie where the product itself, or another tenant's subdomain, answers.
pub(in crate::setup) fn check_domain(request: &Request, app: &App) -> Result<(), Problem> {
    match &request.primary_domain {
        Some(PrimaryDomain::Custom(name)) => not_ours(name, "primaryDomain", &app.config),
        Some(PrimaryDomain::Subdomain(_)) | None => Ok(()),
    }
}

pub(in crate::setup) fn unknown_cluster(fields: &[&str]) -> Problem {
    let errors = fields.iter().map(|field| {
        let message = match *field {
            "dbHost" => "is not, with `dbPort`, the address of a registered cluster",
            _ => "does not name a registered cluster",
        };
        FieldError::new(*field, message)
    });
    Problem::validation(errors.collect())
}
