//! `GET /setup/tenants/{tenant}/explain`: one answer to "why can this tenant not connect?"
//!
//! It is put together from what is there: the catalog, this process's own router, and what the other
//! routers told of themselves. Nothing is opened for it unless a probe is asked for, so that it
//! answers while the tenant's server is down. What could not be asked is listed, too.

use axum::Json;
use axum::extract::State;
use sqlx::PgConnection;
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_catalog::{
    CatalogError, change_log, clusters, databases, doctor_runs, logins, operations,
};

use crate::app::App;
use crate::context::{Operator, Path, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;
use crate::setup::routers::view as routers;
use crate::setup::tenants::domains;

mod verdict;
mod view;

use view::{Gathered, View};

pub(crate) struct How {
    probe: bool,
}

impl FromFields for How {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let probe = fields.optional("probe", |text| match text {
            "true" | "1" | "" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be `true` or `false`"),
        });
        Some(Self {
            probe: probe.unwrap_or(false),
        })
    }
}

/// Why a tenant cannot connect, as far as it is known: state, domains, database, routers, connections,
/// last errors, and a verdict in plain words. With `?probe=true` a connection is opened and proven now,
/// outside of the budget, and closed again.
#[utoipa::path(
    get, path = "/setup/tenants/{tenant}/explain", tag = "tenants", operation_id = "explainTenant",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("probe" = Option<words::Flag>, Query, description = "Try a connection now."),
    ),
    responses((status = 200, description = "What is known.", body = View)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    Query(how): Query<How>,
) -> Result<Json<View>, Problem> {
    let gathered = {
        let mut conn = app.catalog().await?;
        gather(&app, &mut conn, &tenant)
            .await?
            .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?
    };
    // From here on no connection to the catalog is held: a probe may take seconds.
    let id = gathered.tenant.id;
    let own = app.router.tenant_stats(id).await;
    let probe = match how.probe {
        true => Some(app.router.probe(id).await),
        false => None,
    };
    let reach = app.router.reach(gathered.tenant.cluster_id);
    Ok(Json(View::new(gathered, &own, reach, probe, &app)))
}

async fn gather(
    app: &App,
    conn: &mut PgConnection,
    tenant: &TenantRef,
) -> Result<Option<Gathered>, CatalogError> {
    let Some(tenant) = tenants::by_ref(conn, tenant).await? else {
        return Ok(None);
    };
    // Before the routers, so that none seems to have applied what it has not.
    let last_change = change_log::last_of(conn, tenant.id).await?;
    let (latest, routers) = routers::all(app, conn).await?;
    let database = databases::by_tenant(conn, tenant.id).await?;
    let logins = match &database {
        Some(database) => logins::by_database(conn, database.id).await?,
        None => Vec::new(),
    };
    let operation = match operations::running_for_tenant(conn, tenant.id).await? {
        Some(id) => operations::by_id(conn, id).await?,
        None => None,
    };
    let cluster = clusters::by_id(conn, tenant.cluster_id).await?;
    let doctor = match &cluster {
        Some(cluster) => doctor_runs::last_of(conn, tenant.id, &cluster.name).await?,
        None => None,
    };
    Ok(Some(Gathered {
        domains: domains::all(conn, tenant.id, &app.config).await?,
        cluster,
        doctor,
        database,
        logins,
        operation,
        last_change,
        latest,
        routers,
        tenant,
    }))
}
