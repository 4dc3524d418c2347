//! `PATCH /setup/clusters/{cluster}`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::clusters::{Cluster, TlsMode};
use tenantry_lifecycle::{ClusterChange as Change, WayIn};
use tenantry_types::{DbHost, DbName, RoleName, RootCa, Secret};
use utoipa::ToSchema;

use super::View;
use super::request::{MOST_CONNECTIONS, MOST_TENANTS, MOST_WEIGHT, int, region, tls};
use crate::app::App;
use crate::context::{ClusterRef, Operator, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// What is to change about a cluster; what is not given stays. `host`, `port`, `tls`, `rootCa` and `adminLogin` are
/// the way to it: whoever changes one of them gives the admin's password with it.
#[derive(ToSchema)]
#[schema(examples(json!({ "connectionBudget": 200 }), json!({ "weight": 50, "capacity": 300 })))]
#[schema(as = ClusterChange, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "only described: `ClusterChange` is what its fields are read into"
)]
pub(crate) struct Written {
    /// How many connections may be open there, over all tenants and routers. The reserve for admin work
    /// and migrations is on top of it.
    #[schema(required = false, minimum = 1, maximum = 262_143)]
    connection_budget: u32,
    /// Its share of the tenants that ask for no cluster; 0: none.
    #[schema(required = false, minimum = 0, maximum = 1000)]
    weight: u32,
    /// How many tenants it may hold; `null`: as many as come. One that is lower than what it holds moves nobody.
    #[schema(required = false, minimum = 1, maximum = 1_000_000)]
    capacity: Option<u32>,
    /// Where it is; empty: nowhere in particular.
    #[schema(value_type = String, required = false, max_length = 40)]
    region: String,
    #[schema(required = false)]
    host: words::HostName,
    #[schema(required = false)]
    port: words::Port,
    #[schema(required = false)]
    tls: words::ClusterTls,
    /// The authority of its certificate in PEM; empty: public ones alone.
    #[schema(value_type = String, required = false)]
    root_ca: String,
    #[schema(required = false)]
    admin_login: words::DatabaseName,
    /// The admin's password; alone, it is the new one.
    #[schema(required = false)]
    admin_password: words::Secret,
}

/// The change, checked as far as it can be without the cluster.
pub(crate) struct ClusterChange {
    change: Change,
    host: Option<DbHost>,
    port: Option<u16>,
    tls: Option<TlsMode>,
    root_ca: Option<Option<RootCa>>,
    login: Option<RoleName>,
    password: Option<Secret>,
}

impl FromFields for ClusterChange {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        const ALL: [&str; 10] = [
            "connectionBudget",
            "weight",
            "capacity",
            "region",
            "host",
            "port",
            "tls",
            "rootCa",
            "adminLogin",
            "adminPassword",
        ];
        let any = ALL.iter().any(|name| fields.has(name));
        let way = ["host", "port", "tls", "rootCa", "adminLogin"];
        let way = way.iter().any(|name| fields.has(name));
        if way && !fields.has("adminPassword") {
            fields.wrong(
                "adminPassword",
                "is required where the way to the cluster changes",
            );
        }
        let budget = fields.number("connectionBudget", 1, MOST_CONNECTIONS);
        let weight = fields.number("weight", 0, MOST_WEIGHT);
        let capacity = fields.nullable_number("capacity", 1, MOST_TENANTS);
        let region = fields.optional("region", region);
        let change = Self {
            change: Change {
                budget: budget.map(int),
                weight: weight.map(int),
                capacity: capacity.map(|capacity| capacity.map(int)),
                region,
                way: None,
            },
            host: fields.optional("host", DbHost::parse),
            port: fields
                .number("port", 1, u64::from(u16::MAX))
                .and_then(|port| u16::try_from(port).ok()),
            tls: fields.optional("tls", tls),
            root_ca: fields.optional("rootCa", |text| match text.is_empty() {
                true => Ok(None),
                false => RootCa::parse(text).map(Some),
            }),
            login: fields.optional("adminLogin", |text| RoleName::parse(text)),
            password: fields.secret("adminPassword"),
        };
        if !any {
            fields.wrong("", "must name something to change");
        }
        Some(change)
    }
}

impl ClusterChange {
    /// The change of this cluster.
    fn of(self, cluster: &Cluster) -> Result<Change, Problem> {
        let Some(password) = self.password else {
            return Ok(self.change);
        };
        let unreadable = |_| Problem::field("host", "is required: the present one cannot be read");
        let tls = self.tls.unwrap_or(cluster.tls);
        // One that is there already goes with the mode that it is of use with.
        let kept = cluster
            .root_ca
            .clone()
            .filter(|_| tls == TlsMode::VerifyFull);
        let root_ca = self.root_ca.unwrap_or(kept);
        if root_ca.is_some() && tls != TlsMode::VerifyFull {
            return Err(Problem::field(
                "rootCa",
                "is compared with nothing unless `tls` is `verify-full`",
            ));
        }
        let way = WayIn {
            host: match self.host {
                Some(host) => host,
                None => DbHost::parse(&cluster.host).map_err(unreadable)?,
            },
            port: self.port.unwrap_or(cluster.port),
            tls,
            root_ca,
            maintenance_db: DbName::parse(&cluster.maintenance_db).map_err(Problem::internal)?,
            login: match self.login {
                Some(login) => login,
                None => RoleName::parse(&cluster.admin_login).map_err(Problem::internal)?,
            },
            password,
        };
        Ok(Change {
            way: Some(way),
            ..self.change
        })
    }
}

/// Changes a cluster, live. A higher budget is there for whoever waits; a lower one is in force for new
/// connections as soon as the routers have heard of it, idle connections beyond it are closed, and those in use
/// end with their requests.
///
/// The server is asked how many connections it has. A budget with more than it has for tenants is refused with 422
/// `BUDGET_TOO_LARGE`, and the largest possible budget named; one that is lower than before is taken in any
/// case. When the server cannot be asked within two seconds the change is made, and the log warns of it.
///
/// A new way is looked at as that of a new cluster is, and the server at its end must hold all databases of the
/// cluster, else 422 `CLUSTER_UNFIT`. Requests go over it from the answer on.
#[utoipa::path(
    patch, path = "/setup/clusters/{cluster}", tag = "clusters", operation_id = "updateCluster",
    params(("cluster" = words::ClusterRef, Path, description = "A cluster's id or name.")),
    request_body = Written,
    responses((status = 200, description = "The cluster.", body = View)),
    extensions(("x-problems" = json!([
        "BUDGET_TOO_LARGE", "CLUSTER_EXISTS", "CLUSTER_NOT_FOUND", "CLUSTER_UNFIT", "ROUTERS_BEHIND"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(cluster): Path<ClusterRef>,
    Body(change): Body<ClusterChange>,
) -> Result<Json<View>, Problem> {
    let cluster = super::find(&app, &cluster).await?;
    let change = change.of(&cluster)?;
    let changed = app
        .lifecycle
        .change_cluster(&cluster, &change, &operator.asker())
        .await?;
    Ok(Json(View::one(&app, changed).await?))
}
