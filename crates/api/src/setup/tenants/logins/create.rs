//! `POST /setup/tenants/{tenant}/logins`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tenantry_catalog::temporary_logins::Role;
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::{Telling, WantedLogin};
use tenantry_types::Reason;
use utoipa::ToSchema;

use super::made;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::duration;
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

/// What holds where no time is asked for.
const TTL: Duration = Duration::from_secs(15 * 60);
/// The longest time.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The shortest: a login takes a moment to be made.
const SHORTEST: Duration = Duration::from_secs(5);
/// What holds where no number of sessions is asked for.
const CONNECTIONS: u32 = 2;
/// The most sessions.
const MOST: u64 = 20;

/// A login for a time.
#[derive(ToSchema)]
#[schema(as = NewLogin, rename_all = "camelCase", examples(json!({ "role": "readonly", "ttl": "15m" })))]
pub(crate) struct NewLogin {
    /// What it may do in the tenant's database.
    #[schema(value_type = words::LoginRole)]
    role: Role,
    /// How long it is good: `15m` by default, at least 5 seconds, at most 7 days.
    #[schema(value_type = words::Duration, required = false)]
    ttl: Duration,
    /// How many sessions it may have: 2 by default.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 20)]
    connections: u32,
    /// What for; it is kept in the audit trail.
    #[schema(value_type = words::Reason, required = false)]
    reason: Option<Reason>,
}

impl FromFields for NewLogin {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let role = fields.required("role", |text| {
            text.parse::<Role>()
                .map_err(|_| "must be `owner`, `user` or `readonly`")
        });
        let ttl = fields.optional("ttl", |text| {
            let ttl = duration::parse(text, LONGEST)?;
            match ttl < SHORTEST {
                true => Err("must be at least 5 seconds".to_owned()),
                false => Ok(ttl),
            }
        });
        let connections = fields.number("connections", 1, MOST);
        let reason = fields.optional("reason", Reason::parse);
        Some(Self {
            role: role?,
            ttl: ttl.unwrap_or(TTL),
            connections: connections
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(CONNECTIONS),
            reason,
        })
    }
}

/// Makes a login to the tenant's database for a person or a tool, with a password that is shown once.
///
/// Each session works as the group of its role, so that what it makes belongs to the tenant and not to the
/// login. Postgres lets nobody in by it after its time; sessions that are open then are ended within
/// seconds. A tenant that is suspended or deleted ends it as well.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/logins", tag = "tenants", operation_id = "issueLogin",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
    ),
    request_body = NewLogin,
    responses(
        (status = 201, description = "The login is good.", body = made::Answer),
        (
            status = 202,
            description = "It goes on, because you would rather not wait or because it takes longer than a request may. Ask for the operation, which tells the password once.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "DATABASE_UNAVAILABLE", "LOGINS_FULL", "LOGIN_REFUSED", "NO_CLUSTER",
        "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "TENANT_NOT_FOUND", "WRONG_DATABASE", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    prefer: RespondAsync,
    Body(new): Body<NewLogin>,
) -> Result<Response, Problem> {
    let wanted = WantedLogin {
        role: new.role,
        ttl: new.ttl,
        connections: new.connections,
        reason: new.reason,
    };
    let started = app
        .lifecycle
        .issue_login(&tenant, wanted, operator.asker())
        .await?;
    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => {
            let answer = made::answer(&app, started.operation_id, Telling::Once, None).await?;
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
    }
}
