//! What is told of a tenant that is explained.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tenantry_catalog::change_log::{Change, Kind};
use tenantry_catalog::clusters;
use tenantry_catalog::databases::{self, Database};
use tenantry_catalog::doctor_runs;
use tenantry_catalog::logins::{Login, LoginRole};
use tenantry_catalog::operations;
use tenantry_catalog::tenants::{Status, Tenant};
use tenantry_router::{Noted, ProbeError, Reach, TenantStats};
use tenantry_types::{ClusterId, OperationId, RouterId, TenantId, Timestamp};
use utoipa::ToSchema;

use super::verdict::{self, Finding};
use crate::app::App;
use crate::openapi::words;
use crate::setup::doctor::view as doctor;
use crate::setup::routers::view::{Failed, OnCluster, Seen};
use crate::setup::tenants::domains;

/// What was read.
pub(super) struct Gathered {
    pub(super) tenant: Tenant,
    pub(super) domains: Vec<domains::View>,
    pub(super) cluster: Option<clusters::Cluster>,
    pub(super) database: Option<Database>,
    pub(super) logins: Vec<Login>,
    pub(super) operation: Option<operations::Operation>,
    pub(super) last_change: Option<(Change, Timestamp)>,
    /// The newest change of all.
    pub(super) latest: i64,
    pub(super) routers: Vec<Seen>,
    /// The last run of the doctor that looked at it.
    pub(super) doctor: Option<doctor_runs::Run>,
}

/// Why a tenant cannot connect, or that it can.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantExplanation)]
pub(crate) struct View {
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    #[schema(value_type = words::Slug)]
    pub(super) slug: String,
    #[schema(value_type = words::Url)]
    url: String,
    /// The most likely reason first; never empty.
    verdict: Vec<Finding>,
    #[schema(value_type = words::TenantStatus)]
    pub(super) status: Status,
    /// Why it is in this state, where there is something to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) status_reason: Option<String>,
    /// Since when it has been suspended, also while it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    pub(super) suspended_at: Option<Timestamp>,
    #[schema(value_type = words::Plan)]
    plan: String,
    /// The epoch that its database must show.
    epoch: i64,
    #[schema(value_type = words::Timestamp)]
    pub(super) updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    pub(super) purge_at: Option<Timestamp>,
    /// Its database; none before it is made and after it is purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) database: Option<DatabaseView>,
    /// The host names that lead to it, and those that will once their record is found.
    pub(super) domains: Vec<domains::View>,
    /// The server that holds its database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) cluster: Option<ClusterView>,
    /// What routers had to learn of it last; absent when that was pruned, minutes after all had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_change: Option<ChangeView>,
    /// The operation that is under way, or waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) operation: Option<OperationView>,
    /// Each registered router.
    pub(super) routers: Vec<RouterView>,
    /// The connection that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) probe: Option<ProbeView>,
    /// What could not be asked, in words.
    not_known: Vec<String>,
}

/// A tenant's database as the catalog knows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedDatabase)]
pub(super) struct DatabaseView {
    #[schema(value_type = words::DatabaseName)]
    name: String,
    /// `making` or `claimed`.
    #[schema(value_type = String, example = "claimed")]
    pub(super) state: databases::State,
    /// Whether it has this program's migrations.
    pub(super) current: bool,
    /// What went wrong when it was last migrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) migration_error: Option<String>,
    /// Its logins: `owner`, `router`, `user`.
    #[schema(value_type = Vec<String>)]
    pub(super) logins: Vec<LoginRole>,
}

/// The server of a tenant's database, and what all live routers have open there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedCluster)]
pub(super) struct ClusterView {
    #[schema(value_type = words::ClusterId)]
    cluster_id: ClusterId,
    #[schema(value_type = words::ClusterName)]
    pub(super) name: String,
    #[schema(value_type = words::HostName)]
    pub(super) host: String,
    #[schema(value_type = words::Port)]
    pub(super) port: u16,
    pub(super) connection_budget: u32,
    /// Over all live routers that told.
    pub(super) open: u64,
    /// Requests that wait for a connection there.
    pub(super) waiting: u64,
}

/// A change that routers had to learn of.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedChange)]
struct ChangeView {
    number: i64,
    /// What happened: `updated`, `fenced`, `disconnect`, …
    #[schema(value_type = String, example = "updated")]
    kind: Kind,
    #[schema(value_type = words::Timestamp)]
    at: Timestamp,
}

/// An operation that is not over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedOperation)]
pub(super) struct OperationView {
    #[schema(value_type = words::OperationId)]
    pub(super) operation_id: OperationId,
    #[schema(example = "create")]
    pub(super) kind: String,
    #[schema(value_type = words::OperationStatus)]
    pub(super) status: operations::Status,
    #[schema(value_type = words::Timestamp)]
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) message: Option<String>,
}

/// A router, as far as this tenant goes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedRouter)]
pub(super) struct RouterView {
    #[schema(value_type = String, format = "uuid")]
    router_id: RouterId,
    pub(super) name: String,
    /// Whether it is the one that answers; only that one knows all of what follows.
    pub(super) answering: bool,
    pub(super) live: bool,
    /// Up to which change it has done all that the change log says.
    acknowledged: i64,
    /// How many changes it lacks, of whatever tenant.
    behind_changes: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) behind_seconds: Option<f64>,
    /// Whether it has done what this tenant's last change says.
    pub(super) has_last_change: bool,
    /// The epoch that it remembers the tenant with; absent when it would ask the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    epoch: Option<i64>,
    /// What it has open on the tenant's cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) cluster: Option<OnCluster>,
    /// The tenant's own connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) pool: Option<PoolView>,
    /// Whether it refuses the tenant's requests without a try, because a connection just failed.
    failing: bool,
    /// Requests of the tenant that had to wait lately, where that is much.
    waits: u64,
    /// Requests of the tenant that got no connection lately, where that is much.
    errors: u64,
    /// What went wrong last, the newest first.
    pub(super) last_errors: Vec<Failed>,
}

/// The connections of one tenant on one router.
#[derive(Serialize, ToSchema)]
#[schema(as = TenantPool)]
pub(super) struct PoolView {
    pub(super) open: usize,
    idle: usize,
    leased: usize,
    pub(super) waiting: usize,
    /// How many it may have.
    pub(super) cap: usize,
}

/// How a connection went that was tried just now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantProbe)]
pub(super) struct ProbeView {
    pub(super) ok: bool,
    /// How long opening and proving took.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) took_ms: Option<f64>,
    /// What stood in the way: `refused`, `unreachable`, `no-place` or `busy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) what: Option<&'static str>,
    /// Why, in our words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reason: Option<String>,
}

impl View {
    pub(super) fn new(
        gathered: Gathered,
        own: &TenantStats,
        reach: Option<Reach>,
        probe: Option<Result<Duration, ProbeError>>,
        app: &App,
    ) -> Self {
        let last = gathered.last_change.map(|(change, _)| change.number);
        let routers: Vec<RouterView> = gathered
            .routers
            .iter()
            .map(|seen| RouterView::new(seen, &gathered, last, own))
            .collect();
        let primary = super::super::view::primary_domain(&gathered.tenant);
        let mut view = Self {
            url: app.config.url_of(&primary),
            verdict: Vec::new(),
            not_known: not_known(&gathered),
            cluster: gathered
                .cluster
                .as_ref()
                .map(|cluster| ClusterView::new(cluster, &routers)),
            routers,
            database: gathered
                .database
                .map(|database| DatabaseView::new(database, &gathered.logins)),
            domains: gathered.domains,
            last_change: gathered.last_change.map(|(change, at)| ChangeView {
                number: change.number,
                kind: change.about.kind(),
                at,
            }),
            operation: gathered.operation.map(Into::into),
            probe: probe.map(Into::into),
            tenant_id: gathered.tenant.id,
            slug: gathered.tenant.slug.as_str().to_owned(),
            status: gathered.tenant.status,
            status_reason: gathered.tenant.status_reason,
            suspended_at: gathered.tenant.suspended_at,
            plan: gathered.tenant.plan.as_str().to_owned(),
            epoch: gathered.tenant.epoch,
            updated_at: gathered.tenant.updated_at,
            purge_at: gathered.tenant.purge_at,
        };
        let doctor = gathered.doctor.map(doctor::View::new);
        let doctor = doctor.map(|run| run.differences_of(view.tenant_id));
        let doctor = doctor.unwrap_or_default();
        view.verdict = verdict::of(&view, &doctor, reach, app.clock.now());
        view
    }
}

/// Routers that told nothing, or nothing lately.
fn not_known(gathered: &Gathered) -> Vec<String> {
    let mut all = Vec::new();
    for Seen { detail, .. } in &gathered.routers {
        let name = &detail.router.name;
        if !detail.router.live {
            all.push(format!(
                "Router {name} has lost its lease: what it does now is not known."
            ));
        } else if detail.report.is_none() {
            all.push(format!("Router {name} has not told of itself yet."));
        }
    }
    if gathered.cluster.is_none() {
        all.push("The cluster is not registered.".to_owned());
    }
    all
}

impl DatabaseView {
    fn new(database: Database, logins: &[Login]) -> Self {
        Self {
            name: database.name.as_str().to_owned(),
            state: database.state,
            current: database.schema == tenantry_tenantdb::schema_digest(),
            migration_error: database.migration_error,
            logins: logins.iter().map(|login| login.role).collect(),
        }
    }
}

impl ClusterView {
    fn new(cluster: &clusters::Cluster, routers: &[RouterView]) -> Self {
        let told = || {
            let live = routers.iter().filter(|router| router.live);
            live.filter_map(|router| router.cluster.as_ref())
        };
        Self {
            cluster_id: cluster.id,
            name: cluster.name.clone(),
            host: cluster.host.clone(),
            port: cluster.port,
            connection_budget: cluster.connection_budget,
            open: told().map(|one| u64::from(one.open)).sum(),
            waiting: told().map(|one| u64::from(one.waiting)).sum(),
        }
    }
}

impl From<operations::Operation> for OperationView {
    fn from(operation: operations::Operation) -> Self {
        let of = |name: &str| {
            let text = operation
                .error
                .as_ref()?
                .get(name)
                .and_then(Value::as_str)?;
            Some(text.to_owned())
        };
        Self {
            operation_id: operation.id,
            code: of("code"),
            message: of("message"),
            kind: operation.kind,
            status: operation.status,
            since: operation.created_at,
        }
    }
}

impl RouterView {
    fn new(seen: &Seen, gathered: &Gathered, last: Option<i64>, own: &TenantStats) -> Self {
        let router = &seen.detail.router;
        let cluster_id = gathered.tenant.cluster_id;
        let report = seen.report();
        let on = report.and_then(|report| {
            let mut clusters = report.clusters.iter();
            clusters.find(|one| one.cluster_id == cluster_id)
        });
        let name = gathered
            .cluster
            .as_ref()
            .map(|cluster| cluster.name.clone());
        let mut view = Self {
            router_id: router.id,
            name: router.name.clone(),
            answering: seen.answering,
            live: router.live,
            acknowledged: router.applied,
            behind_changes: (gathered.latest - router.applied).max(0),
            behind_seconds: seen.detail.behind_seconds,
            has_last_change: last.is_none_or(|number| router.applied >= number),
            epoch: None,
            cluster: on.map(|on| OnCluster::new(on, name)),
            pool: None,
            failing: false,
            waits: 0,
            errors: 0,
            last_errors: Vec::new(),
        };
        if seen.answering {
            view.know(own);
        } else if let Some(told) = seen.of(gathered.tenant.id) {
            view.waits = told.waits;
            view.errors = told.errors;
            view.last_errors = told.last.iter().map(Failed::from).collect();
        }
        view
    }

    /// This process's own router is asked, not what it told.
    fn know(&mut self, own: &TenantStats) {
        self.epoch = own.remembered.map(|remembered| remembered.epoch);
        self.pool = own.pool.map(|pool| PoolView {
            open: pool.open,
            idle: pool.idle,
            leased: pool.leased,
            waiting: pool.waiting,
            cap: pool.cap,
        });
        self.failing = own.failing;
        self.waits = own.waits;
        self.errors = own.errors;
        self.last_errors = own.last_errors.iter().map(Failed::from).collect();
    }
}

impl From<&Noted> for Failed {
    fn from(noted: &Noted) -> Self {
        Self {
            code: noted.code.to_owned(),
            reason: noted.reason.to_string(),
            at: noted.last,
            times: Some(noted.times),
        }
    }
}

impl From<Result<Duration, ProbeError>> for ProbeView {
    fn from(probe: Result<Duration, ProbeError>) -> Self {
        let failed = |error: ProbeError| match error {
            ProbeError::NoPlace => "no-place",
            ProbeError::Busy => "busy",
            ProbeError::Refused(_) => "refused",
            ProbeError::Unreachable(_) => "unreachable",
        };
        Self {
            ok: probe.is_ok(),
            took_ms: probe
                .ok()
                .map(|took| (took.as_secs_f64() * 1e5).round() / 100.0),
            what: probe.err().map(failed),
            reason: probe.err().map(|error| error.to_string()),
        }
    }
}
