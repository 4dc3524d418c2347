//! `POST /setup/tenants/{tenant}/credentials`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::{Idempotency, Issue, Telling};
use utoipa::ToSchema;

use super::issued;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::duration;
use crate::fields::{Fields, FromFields};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};
use crate::setup::tenants::idempotency::{IdempotencyKey, request_hash};

/// What holds where no overlap is asked for.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The longest overlap.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Another login for the product.
#[derive(ToSchema)]
#[schema(as = NewCredentials, rename_all = "camelCase", examples(json!({ "overlap": "24h" })))]
pub(crate) struct NewCredentials {
    /// How long the login that the product has now goes on to be good: `24h` by default, at most 30 days;
    /// `0s` ends it at once, with its sessions.
    #[schema(value_type = words::Duration, required = false)]
    overlap: Duration,
    /// Whether a login that is still good from an earlier call is ended now. By default that is refused.
    #[schema(required = false)]
    end_previous: bool,
}

impl FromFields for NewCredentials {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let overlap = fields.optional("overlap", |text| duration::parse(text, LONGEST));
        let end_previous = fields.flag("endPrevious");
        Some(Self {
            overlap: overlap.unwrap_or(OVERLAP),
            end_previous: end_previous.unwrap_or_default(),
        })
    }
}

impl NewCredentials {
    fn canonical(&self, tenant: &TenantRef) -> Value {
        let tenant = match tenant {
            TenantRef::Id(id) => id.to_string(),
            TenantRef::Slug(slug) => slug.as_str().to_owned(),
        };
        json!({
            "credentialsOf": tenant,
            "overlap": self.overlap.as_secs(),
            "endPrevious": self.end_previous,
        })
    }
}

/// Issues another login to the product, with a password that is shown once. The login that it has now
/// stays good for the overlap and is ended after it.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/credentials", tag = "tenants", operation_id = "issueTenantCredentials",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("idempotency-key" = Option<words::RequestKey>, Header, description = "Makes it safe to send the request again: for 24 hours the same key with the same request gets the same answer."),
    ),
    request_body = Option<NewCredentials>,
    responses(
        (status = 201, description = "The new login is good.", body = issued::Answer),
        (
            status = 202,
            description = "It goes on, because you would rather not wait or because it takes longer than a request may. Ask for the operation, which tells the password once.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "DATABASE_UNAVAILABLE", "IDEMPOTENCY_KEY_REUSED", "LOGIN_REFUSED", "NO_CLUSTER",
        "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "OVERLAP_RUNNING", "TENANT_NOT_FOUND",
        "WRONG_DATABASE", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    (prefer, IdempotencyKey(key)): (RespondAsync, IdempotencyKey),
    OptionalBody(wanted): OptionalBody<NewCredentials>,
) -> Result<Response, Problem> {
    let wanted = wanted.unwrap_or(NewCredentials {
        overlap: OVERLAP,
        end_previous: false,
    });
    let idempotency = key.map(|key| Idempotency {
        operator: operator.id,
        request_hash: request_hash(&operator.token, &wanted.canonical(&tenant)),
        key,
    });
    // Who may send the request again must get the same answer again.
    let telling = match idempotency {
        Some(_) => Telling::AndKeep,
        None => Telling::Once,
    };
    let issue = Issue {
        overlap: wanted.overlap,
        end_previous: wanted.end_previous,
    };
    let started = app
        .lifecycle
        .issue_credentials(&tenant, issue, operator.asker(), idempotency)
        .await?;
    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => {
            // The first answer is part of what the trail has of the act; each one later is told of there.
            let reader = started.replay.then(|| operator.asker());
            let answer =
                issued::answer(&app, started.operation_id, telling, reader.as_ref()).await?;
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
    }
}
