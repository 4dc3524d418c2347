//! `POST /setup/doctor`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_catalog::{clusters, doctor_runs};
use tenantry_lifecycle::doctor::{Accept, Options};
use tenantry_types::Reason;
use utoipa::ToSchema;

use super::view::View;
use crate::app::App;
use crate::context::Operator;
use crate::fields::{Fields, FromFields, line};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// What to look at, and whether to change anything.
#[derive(Default, ToSchema)]
#[schema(rename_all = "camelCase")]
#[schema(as = NewDoctorRun, examples(json!({}), json!({ "fix": true }), json!({ "quick": true, "tenant": "acme" })))]
pub(crate) struct Wanted {
    /// Whether to put right what safely can be. Nothing is dropped, and nobody let in who was shut out.
    #[schema(nullable = false, required = false)]
    fix: Option<bool>,
    /// Whether to leave out what each database has to be entered for.
    #[schema(nullable = false, required = false)]
    quick: Option<bool>,
    /// The only tenant to tell about, by id or slug.
    #[schema(value_type = words::TenantRef, required = false)]
    tenant: Option<TenantRef>,
    /// The only cluster to tell about, by name.
    #[schema(value_type = words::ClusterName, required = false)]
    cluster: Option<String>,
    /// Whether to accept the databases of that tenant or cluster as they are, after the cluster was restored from a
    /// backup: they get a new epoch, and the logins that the catalog knows. Another's database never is.
    #[schema(nullable = false, required = false)]
    accept_epoch: Option<bool>,
    /// Why; needed with `acceptEpoch`.
    #[schema(value_type = words::Reason, required = false)]
    reason: Option<Reason>,
}

impl FromFields for Wanted {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let wanted = Self {
            fix: fields.flag("fix"),
            quick: fields.flag("quick"),
            tenant: fields.optional("tenant", str::parse::<TenantRef>),
            cluster: fields.optional("cluster", |text| line(text, 1, 63)),
            accept_epoch: fields.flag("acceptEpoch"),
            reason: fields.optional("reason", Reason::parse),
        };
        if wanted.accept_epoch == Some(true) {
            if wanted.reason.is_none() {
                fields.wrong("reason", "is required with acceptEpoch");
            }
            if wanted.tenant.is_none() && wanted.cluster.is_none() {
                fields.wrong("acceptEpoch", "needs `tenant` or `cluster`");
            }
        }
        Some(wanted)
    }
}

/// Compares the catalog with every cluster, in both directions: databases, logins, rights, secrets,
/// identities, migrations, operations and routers. It goes on after this has answered; ask for the run until it
/// is `done`. One runs at a time.
///
/// Without `fix` and `acceptEpoch` nothing is changed. What is in progress is no difference, and what another installation
/// made is only counted.
#[utoipa::path(
    post, path = "/setup/doctor", tag = "operations", operation_id = "runDoctor",
    request_body = Option<Wanted>,
    responses((
        status = 202, description = "It has begun.", body = View,
        headers(("location" = String, description = "The run.")),
    )),
    extensions(("x-problems" = json!(["CLUSTER_NOT_FOUND", "DOCTOR_RUNNING", "TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    OptionalBody(wanted): OptionalBody<Wanted>,
) -> Result<Response, Problem> {
    let wanted = wanted.unwrap_or_default();
    let mut conn = app.catalog().await?;
    let tenant = match &wanted.tenant {
        None => None,
        Some(tenant) => Some(
            tenants::by_ref(&mut conn, tenant)
                .await?
                .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?
                .id,
        ),
    };
    if let Some(cluster) = &wanted.cluster
        && clusters::by_name(&mut conn, cluster).await?.is_none()
    {
        return Err(Problem::not_found("CLUSTER_NOT_FOUND"));
    }
    let accepts = wanted.accept_epoch.unwrap_or_default();
    let options = Options {
        fix: wanted.fix.unwrap_or_default(),
        quick: wanted.quick.unwrap_or_default(),
        tenant,
        cluster: wanted.cluster,
        accept_epoch: wanted.reason.filter(|_| accepts).map(|reason| Accept {
            reason: reason.as_str().to_owned(),
        }),
    };
    let id = app.lifecycle.examine(options, operator.asker()).await?;
    let run = doctor_runs::by_id(&mut conn, id)
        .await?
        .ok_or_else(|| Problem::not_found("DOCTOR_RUN_NOT_FOUND"))?;
    let location = format!("/setup/doctor/{id}");
    let body = Json(View::new(run));
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], body).into_response())
}
