//! `GET /setup/status`: how the installation stands, at a glance and at any number of tenants.

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use serde::Serialize;
use sqlx::PgConnection;
use tenantry_catalog::operations::{self, Stuck};
use tenantry_catalog::routers::{self, Standing};
use tenantry_catalog::tenants::{self, Status};
use tenantry_catalog::{
    CatalogError, Count, change_log, clusters, databases, doctor_runs, installation, pause,
    templates,
};
use tenantry_types::{ClusterId, InstallationId, OperationId, RouterId, TenantId, Timestamp};

use crate::app::App;
use crate::context::Operator;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;
use crate::setup::pause::view::Who;

mod attention;

use attention::Attention;
use utoipa::ToSchema;

/// How many of those that need a person are named one by one.
const NAMED: u32 = 5;

/// How the installation stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InstallationStatus)]
pub(crate) struct View {
    /// Of the program that answers.
    #[schema(example = "0.1.0")]
    version: &'static str,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
    uptime_seconds: i64,
    #[schema(value_type = Option<String>, required)]
    installation_id: Option<InstallationId>,
    /// Whose token asked.
    operator: String,
    release: Release,
    tenants: Tenants,
    operations: Operations,
    /// The number of the last change that routers must learn of.
    latest_change: i64,
    routers: Vec<Router>,
    clusters: Vec<Cluster>,
    /// The pause of all background work, where somebody has paused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pause: Option<Who>,
    attention: Vec<Attention>,
}

/// What every tenant's database is brought to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReleaseStatus)]
struct Release {
    /// How many migrations the program has built in.
    migrations: usize,
    /// Stands for all of them: equal where the migrations are.
    schema: &'static str,
}

/// How many tenants there are, by state and by what they need.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantCounts)]
struct Tenants {
    total: Number,
    states: Vec<InState>,
    behind: Number,
    migrations_failed: Number,
    purge_overdue: Number,
}

/// How many tenants are in a state.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantStateCount)]
struct InState {
    #[schema(value_type = words::TenantStatus)]
    status: Status,
    #[serde(flatten)]
    number: Number,
}

/// A number of rows. Large ones are an estimate or a lower bound: counting them would take long.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EstimatedNumber)]
struct Number {
    count: i64,
    /// Whether it was counted.
    exact: bool,
}

/// Operations that are not over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OpenOperations)]
struct Operations {
    running: i64,
    undoing: i64,
    parked: i64,
    /// The oldest parked and abandoned ones.
    stuck: Vec<Operation>,
}

/// An operation that needs a person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StuckOperation)]
struct Operation {
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
    #[schema(example = "create")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::TenantId, required = false)]
    tenant_id: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Slug, required = false)]
    slug: Option<String>,
    /// `parked`, or `abandoned`: no process drives it.
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    #[schema(value_type = words::Timestamp)]
    since: Timestamp,
}

/// A router of the installation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RouterStatus)]
struct Router {
    #[schema(value_type = String, format = "uuid")]
    router_id: RouterId,
    name: String,
    /// Whether it has renewed its lease.
    live: bool,
    /// Up to which change it has done all that the change log says.
    applied: i64,
    /// How many changes it has not applied yet.
    behind: i64,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
}

/// A Postgres server for tenants.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterStatus)]
struct Cluster {
    #[schema(value_type = words::ClusterId)]
    cluster_id: ClusterId,
    #[schema(value_type = words::ClusterName)]
    name: String,
    #[schema(value_type = words::HostName)]
    host: String,
    #[schema(value_type = words::Port)]
    port: u16,
    #[schema(value_type = words::ClusterState)]
    status: &'static str,
    /// How many tenants it holds, those in their grace period included; counted where it has a capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 42, required = false)]
    tenants: Option<u32>,
    /// How many tenants it may hold; absent: as many as come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 500, required = false)]
    capacity: Option<u32>,
    connection_budget: u32,
    /// Whether it is given tenants that ask for no cluster.
    #[serde(skip)]
    chosen: bool,
    /// Whether there is a template at the current migrations to clone from.
    template_ready: bool,
}

/// How the installation stands, and what a person should do about it.
#[utoipa::path(
    get, path = "/setup/status", tag = "operations", operation_id = "getStatus",
    responses((status = 200, description = "How it stands.", body = View)),
)]
pub(crate) async fn handle(
    operator: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<View>, Problem> {
    let mut conn = app.catalog().await?;
    let now = app.clock.now();
    let tenants = tenants_of(&mut conn).await?;
    let operations = operations_of(&mut conn).await?;
    // Before the routers, so that none seems to be ahead of it.
    let latest_change = change_log::current(&mut conn).await?;
    let standing = routers::standing(&mut conn).await?;
    let clusters = clusters_of(&mut conn).await?;
    let failed = databases::failed(&mut conn, NAMED).await?;
    let pause = pause::get(&mut conn).await?;
    let doctor = doctor_runs::last(&mut conn).await?;
    let attention = attention::list(&attention::Seen {
        now,
        tenants: &tenants,
        operations: &operations,
        routers: &standing,
        clusters: &clusters,
        failed: &failed,
        pause: pause.as_ref(),
        doctor: doctor.as_ref(),
    });
    Ok(Json(View {
        version: env!("CARGO_PKG_VERSION"),
        started_at: app.started_at,
        uptime_seconds: (now - app.started_at).max(TimeDelta::zero()).num_seconds(),
        installation_id: installation::get(&mut conn).await?,
        operator: operator.name.clone(),
        release: Release {
            migrations: tenantry_tenantdb::migrations::MIGRATOR.iter().count(),
            schema: tenantry_tenantdb::schema_digest(),
        },
        tenants,
        operations,
        latest_change,
        routers: standing
            .into_iter()
            .map(|standing| Router::new(standing, latest_change))
            .collect(),
        clusters,
        pause: pause.map(Who::from),
        attention,
    }))
}

async fn tenants_of(conn: &mut PgConnection) -> Result<Tenants, CatalogError> {
    let states: Vec<InState> = tenants::by_status(conn)
        .await?
        .into_iter()
        .map(|(status, count)| InState {
            status,
            number: count.into(),
        })
        .collect();
    Ok(Tenants {
        total: Number {
            count: states.iter().map(|state| state.number.count).sum(),
            exact: states.iter().all(|state| state.number.exact),
        },
        states,
        behind: databases::behind(conn, tenantry_tenantdb::schema_digest())
            .await?
            .into(),
        migrations_failed: databases::count_failed(conn).await?.into(),
        purge_overdue: tenants::overdue_for_purge(conn).await?.into(),
    })
}

async fn operations_of(conn: &mut PgConnection) -> Result<Operations, CatalogError> {
    let counts = operations::open_by_status(conn).await?;
    let count = |status| {
        let found = counts.iter().find(|(of, _)| *of == status);
        found.map_or(0, |(_, count)| *count)
    };
    let parked = operations::parked(conn, NAMED).await?;
    let abandoned = operations::abandoned(conn, NAMED).await?;
    let stuck = parked
        .into_iter()
        .map(|stuck| Operation::new(stuck, "parked"))
        .chain(
            abandoned
                .into_iter()
                .map(|stuck| Operation::new(stuck, "abandoned")),
        )
        .collect();
    Ok(Operations {
        running: count(operations::Status::Running),
        undoing: count(operations::Status::Undoing),
        parked: count(operations::Status::Parked),
        stuck,
    })
}

async fn clusters_of(conn: &mut PgConnection) -> Result<Vec<Cluster>, CatalogError> {
    let mut all = Vec::new();
    for cluster in clusters::list(conn).await? {
        let schema = tenantry_tenantdb::schema_digest();
        let template = templates::by_schema(conn, cluster.id, schema).await?;
        let capacity = cluster.placement.capacity;
        let tenants = match capacity {
            Some(_) => Some(clusters::tenants(conn, cluster.id).await?),
            None => None,
        };
        all.push(Cluster {
            cluster_id: cluster.id,
            name: cluster.name,
            host: cluster.host,
            port: cluster.port,
            status: if cluster.accepts { "open" } else { "draining" },
            tenants,
            capacity,
            chosen: cluster.placement.weight > 0,
            connection_budget: cluster.connection_budget,
            template_ready: template.is_some_and(|template| template.ready),
        });
    }
    Ok(all)
}

impl From<Count> for Number {
    fn from(count: Count) -> Self {
        Self {
            count: count.number,
            exact: count.exact,
        }
    }
}

impl Operation {
    fn new(stuck: Stuck, why: &'static str) -> Self {
        let of = |name: &str| {
            let text = stuck.error.as_ref()?.get(name)?.as_str()?;
            Some(text.to_owned())
        };
        Self {
            operation_id: stuck.id,
            code: of("code"),
            message: of("message"),
            kind: stuck.kind,
            tenant_id: stuck.tenant_id,
            slug: stuck.slug,
            why,
            since: stuck.since,
        }
    }
}

impl Router {
    fn new(Standing { router, .. }: Standing, latest_change: i64) -> Self {
        Self {
            router_id: router.id,
            name: router.name,
            live: router.live,
            applied: router.applied,
            behind: (latest_change - router.applied).max(0),
            started_at: router.started_at,
        }
    }
}
