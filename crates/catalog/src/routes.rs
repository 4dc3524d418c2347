//! Where a tenant's requests go: the view `routes`, all that a router may know of tenants.
//!
//! Each function reads the change log's number in the same statement as the row, also when there
//! is no row: one statement is one snapshot, so what it read is complete up to exactly that number
//! and a cache can tell whether a later change concerns it.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{
    Alias, ClusterId, DatabaseId, DbName, Plan, RoleName, RootCa, Slug, TenantId,
};
use tenantry_vault::Sealed;
use uuid::Uuid;

use crate::CatalogError;
use crate::aliases;
use crate::clusters::TlsMode;
use crate::error::Row;
use crate::tenants::Status;

// The one text of the query; what differs is which row of the view is asked for. Stands first
// because a macro is known only below itself.
macro_rules! route_query {
    ($which:literal $(, $arg:expr)+) => {
        route_query!("NULL::float8" => $which $(, $arg)+)
    };
    ($redirects_for:literal => $which:literal $(, $arg:expr)+) => {
        sqlx::query_as!(
            RouteRow,
            r#"SELECT c.value AS read_at, x.tenant_id AS "tenant_id?", x.slug AS "slug?",
                   x.tenant_name AS "tenant_name?", x.plan AS "plan?", x.status AS "status?",
                   x.status_reason AS "status_reason?", x.epoch AS "epoch?",
                   x.cluster_id AS "cluster_id?", x.host AS "host?", x.port AS "port?",
                   x.tls AS "tls?", x.root_ca AS "root_ca?", x.connection_budget AS "connection_budget?",
                   x.database_id AS "database_id?", x.db_name AS "db_name?", x.login AS "login?",
                   x.key_id AS "key_id?", x.sealed AS "sealed?",
                   x.max_connections AS "max_connections?", x.redirects_for AS "redirects_for?"
               FROM change_counter c
               LEFT JOIN LATERAL (SELECT r.*, "#
                + $redirects_for
                + " AS redirects_for FROM routes r "
                + $which
                + ") x ON true"
            $(, $arg)+
        )
    };
}

/// The way to a tenant's database, as it was when the change log stood at `read_at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its name, for people.
    pub tenant_name: String,
    /// The plan it is on.
    pub plan: Plan,
    /// Its state; only `active` is served.
    pub status: Status,
    /// Why it is in that state, where somebody said so.
    pub status_reason: Option<String>,
    /// The epoch that its database must show.
    pub epoch: i64,
    /// The cluster that holds it.
    pub cluster_id: ClusterId,
    /// The cluster's host.
    pub host: String,
    /// The cluster's port.
    pub port: u16,
    /// How to use TLS there.
    pub tls: TlsMode,
    /// The authority of the cluster's certificate, where that is no public one.
    pub root_ca: Option<RootCa>,
    /// How many connections may be open on the cluster, over all routers.
    pub connection_budget: u32,
    /// Its database; none while it is being made.
    pub database_id: Option<DatabaseId>,
    /// The database's name.
    pub db_name: Option<DbName>,
    /// The router's login there.
    pub login: Option<RoleName>,
    /// That login's password, sealed under the route keys.
    pub sealed: Option<Sealed>,
    /// How many connections each router may hold for it; none: what its plan says.
    pub max_connections: Option<u32>,
    /// The name that was asked for is a former one of the tenant, and redirects for so long.
    pub redirects_for: Option<Duration>,
    /// The change log's number when this was read.
    pub read_at: i64,
}

/// The tenant whose domain has this name: one label for a subdomain, the whole normalised name
/// for a custom domain. A former subdomain whose time to redirect is over leads nowhere, whether its
/// row is still there or not.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_host(
    conn: &mut PgConnection,
    domain_name: &str,
) -> Result<(i64, Option<Route>), CatalogError> {
    route_query!(
        "extract(epoch FROM d.redirects_until - clock_timestamp())::float8" =>
        "JOIN domains d ON d.tenant_id = r.tenant_id WHERE d.name = $1
           AND (d.redirects_until IS NULL OR d.redirects_until > clock_timestamp())",
        domain_name
    )
    .fetch_one(conn)
    .await?
    .decode()
}

/// The tenant of this id.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<(i64, Option<Route>), CatalogError> {
    route_query!("WHERE r.tenant_id = $1", tenant.as_uuid())
        .fetch_one(conn)
        .await?
        .decode()
}

/// The tenant of this slug.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_slug(
    conn: &mut PgConnection,
    slug: &Slug,
) -> Result<(i64, Option<Route>), CatalogError> {
    route_query!("WHERE r.slug = $1", slug.as_str())
        .fetch_one(conn)
        .await?
        .decode()
}

/// The tenant that an alias leads to.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_alias(
    conn: &mut PgConnection,
    alias: &Alias,
) -> Result<(i64, Option<Route>), CatalogError> {
    route_query!(
        "JOIN alias_names a ON a.tenant_id = r.tenant_id WHERE a.kind = $1 AND a.name = $2",
        aliases::Kind::from(alias).as_str(),
        alias.stored()
    )
    .fetch_one(conn)
    .await?
    .decode()
}

struct RouteRow {
    read_at: i64,
    tenant_id: Option<Uuid>,
    slug: Option<String>,
    tenant_name: Option<String>,
    plan: Option<String>,
    status: Option<String>,
    status_reason: Option<String>,
    epoch: Option<i64>,
    cluster_id: Option<Uuid>,
    host: Option<String>,
    port: Option<i32>,
    tls: Option<String>,
    root_ca: Option<String>,
    connection_budget: Option<i32>,
    database_id: Option<Uuid>,
    db_name: Option<String>,
    login: Option<String>,
    key_id: Option<String>,
    sealed: Option<Vec<u8>>,
    max_connections: Option<i32>,
    redirects_for: Option<f64>,
}

impl RouteRow {
    fn decode(self) -> Result<(i64, Option<Route>), CatalogError> {
        let Some(tenant) = self.tenant_id else {
            return Ok((self.read_at, None));
        };
        let row = Row::of("routes", tenant);
        let status = row.present("status", self.status)?;
        let tls = row.present("tls", self.tls)?;
        let port = row.present("port", self.port)?;
        let budget = row.present("connection_budget", self.connection_budget)?;
        let root_ca = self.root_ca.as_deref().map(RootCa::parse).transpose();
        let db_name = self.db_name.map(DbName::parse).transpose();
        let login = self.login.map(RoleName::parse).transpose();
        let max_connections = self.max_connections.map(u32::try_from).transpose();
        // Over between the two looks at the clock: no time at all.
        let redirects_for = self.redirects_for.map(|seconds| seconds.max(0.0));
        let redirects_for = redirects_for.map(Duration::try_from_secs_f64).transpose();
        let route = Route {
            tenant_id: TenantId::from_uuid(tenant),
            slug: row.column("slug", Slug::parse(&row.present("slug", self.slug)?))?,
            tenant_name: row.present("tenant_name", self.tenant_name)?,
            plan: row.column("plan", Plan::parse(&row.present("plan", self.plan)?))?,
            status: row.column("status", status.parse())?,
            status_reason: self.status_reason,
            epoch: row.present("epoch", self.epoch)?,
            cluster_id: row.present("cluster_id", self.cluster_id)?.into(),
            host: row.present("host", self.host)?,
            port: row.column("port", u16::try_from(port))?,
            tls: row.column("tls", tls.parse())?,
            root_ca: row.column("root_ca", root_ca)?,
            connection_budget: row.column("connection_budget", u32::try_from(budget))?,
            database_id: self.database_id.map(DatabaseId::from_uuid),
            db_name: row.column("db_name", db_name)?,
            login: row.column("login", login)?,
            sealed: row.sealed(self.key_id, self.sealed)?,
            max_connections: row.column("max_connections", max_connections)?,
            redirects_for: row.column("redirects_for", redirects_for)?,
            read_at: self.read_at,
        };
        Ok((self.read_at, Some(route)))
    }
}
