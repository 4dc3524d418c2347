//! `PATCH /setup/clusters/{cluster}`

use axum::Json;
use axum::extract::State;
use serde_json::json;
use tenantry_catalog::{CatalogError, clusters, shares};
use tenantry_types::ErrorKind;
use utoipa::ToSchema;

use super::View;
use crate::app::App;
use crate::context::{ClusterRef, Operator, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// The most that Postgres itself takes for `max_connections`.
const MOST: u64 = 262_143;

/// What is to change about a cluster.
#[derive(ToSchema)]
#[schema(examples(json!({ "connectionBudget": 200 })))]
#[schema(rename_all = "camelCase")]
pub(crate) struct ClusterChange {
    /// How many connections may be open there, over all tenants and routers. The reserve for admin work
    /// and migrations is on top of it.
    #[schema(minimum = 1, maximum = 262_143)]
    connection_budget: u32,
}

impl FromFields for ClusterChange {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let budget = fields.required_number("connectionBudget", 1, MOST)?;
        Some(Self {
            connection_budget: u32::try_from(budget).ok()?,
        })
    }
}

/// Sets a cluster's connection budget, live. A higher one is there for whoever waits; a lower one is
/// in force for new connections as soon as the routers have heard of it, idle connections beyond it are
/// closed, and those in use end with their requests.
///
/// The server is asked how many connections it has. One more than it has for tenants is refused with 422
/// `BUDGET_TOO_LARGE`, and the largest possible budget named; one that is lower than before is taken in any
/// case. When the server cannot be asked within two seconds the change is made, and the log warns of it.
#[utoipa::path(
    patch, path = "/setup/clusters/{cluster}", tag = "clusters", operation_id = "updateCluster",
    params(("cluster" = words::ClusterRef, Path, description = "A cluster's id or name.")),
    request_body = ClusterChange,
    responses((status = 200, description = "The cluster.", body = View)),
    extensions(("x-problems" = json!(["BUDGET_TOO_LARGE", "CLUSTER_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(cluster): Path<ClusterRef>,
    Body(change): Body<ClusterChange>,
) -> Result<Json<View>, Problem> {
    let mut cluster = {
        let mut conn = app.catalog().await?;
        let found = match &cluster {
            ClusterRef::Id(id) => clusters::by_id(&mut conn, *id).await?,
            ClusterRef::Name(name) => clusters::by_name(&mut conn, name).await?,
        };
        found.ok_or_else(|| Problem::not_found("CLUSTER_NOT_FOUND"))?
    };
    // Asked while nothing is held: it may take its time.
    if change.connection_budget > cluster.connection_budget
        && let Some(room) = app.lifecycle.room_on(&cluster).await
        && change.connection_budget > room.largest_budget()
    {
        return Err(too_large(room.free, room.reserve, room.largest_budget()));
    }
    let mut tx = app.catalog.begin().await.map_err(CatalogError::from)?;
    let detail = json!({
        "clusterId": cluster.id,
        "from": { "connectionBudget": cluster.connection_budget },
        "to": { "connectionBudget": change.connection_budget },
    });
    let asker = operator.asker();
    app.lifecycle
        .audit(&mut tx, &asker, "cluster.set_budget", None, None, detail)
        .await?;
    let taken = shares::taken(&mut tx).await?;
    shares::set_budget(&mut tx, cluster.id, change.connection_budget).await?;
    tx.commit().await.map_err(CatalogError::from)?;
    cluster.connection_budget = change.connection_budget;
    Ok(Json(View::new(cluster, &taken)))
}

fn too_large(free: u32, reserve: u32, largest: u32) -> Problem {
    Problem::new(ErrorKind::Invalid, "BUDGET_TOO_LARGE").detail(format!(
        "The budget of this cluster can be {largest} at most: its server has {free} connections for others \
         than superusers, and {reserve} of them stay for admin work and migrations."
    ))
}
