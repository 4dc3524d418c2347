//! What there should be, all of it at once: what the doctor compares the clusters with.
//!
//! Names and words stay text here. A row that somebody spoilt by hand is to be told about, and must not
//! keep everything else from being looked at.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, OperationId, RouterId, TenantId, Timestamp};
use tenantry_vault::Sealed;
use uuid::Uuid;

use crate::CatalogError;

/// What there should be, at one moment.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// When it was read, by the catalog's clock.
    pub read_at: Timestamp,
    /// All databases that we made, templates not among them.
    pub databases: Vec<Database>,
    /// All templates.
    pub templates: Vec<Template>,
    /// Tenants that lack something.
    pub tenants: Vec<Incomplete>,
    /// Operations that are not over, or that began since the inventory before.
    pub operations: Vec<Operation>,
}

/// One database.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Its id.
    pub id: DatabaseId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name there.
    pub name: String,
    /// How far it has come, as [`crate::databases::State`] has it.
    pub state: String,
    /// The operation that makes or made it.
    pub operation: Option<OperationId>,
    /// The digest of the migrations it was last seen at.
    pub schema: String,
    /// Whether a backup of its cluster was accepted that does not have it.
    pub lost: bool,
    /// Its tenant.
    pub tenant: Option<Tenant>,
    /// Its logins.
    pub logins: Vec<Login>,
}

/// What the doctor must know of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: String,
    /// Its state, as [`crate::tenants::Status`] has it.
    pub status: String,
    /// What the identity must show.
    pub epoch: i64,
    /// The cluster that its own row names.
    pub cluster: ClusterId,
}

/// One login.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// What it is for, as [`crate::logins::LoginRole`] has it.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Its password.
    pub sealed: Option<Sealed>,
    /// When it was to be disabled, if that is long past, by the seconds.
    pub overdue: Option<f64>,
}

/// One template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its id.
    pub id: DatabaseId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its database's name.
    pub name: String,
    /// Whether it is complete.
    pub ready: bool,
    /// How many seconds ago its row was written.
    pub age: f64,
}

/// A tenant that lacks something, or is late.
#[derive(Clone, Debug, PartialEq)]
pub struct Incomplete {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: String,
    /// Its state.
    pub status: String,
    /// Whether it has no database.
    pub no_database: bool,
    /// Whether it has no host name that leads to it.
    pub no_domain: bool,
    /// By how many seconds its purge is late.
    pub purge_late: Option<f64>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: String,
    /// How far it has come, as [`crate::operations::Status`] has it.
    pub status: String,
    /// Its tenant.
    pub tenant: Option<TenantId>,
    /// Its tenant's slug.
    pub slug: Option<String>,
    /// The database that it says it works on.
    pub database: Option<DatabaseId>,
    /// For how many seconds nobody has driven it; negative while somebody does.
    pub unheld: f64,
    /// How often somebody took its lease.
    pub fence: i64,
    /// How often it failed since somebody last asked for another try.
    pub failures: i64,
}

/// A row that leads nowhere, or should be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The table.
    pub table: String,
    /// How many there are.
    pub count: i64,
}

/// A router.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// Its id.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Whether its lease runs.
    pub live: bool,
    /// How many seconds ago the oldest change was made that it has not acknowledged.
    pub behind: Option<f64>,
}

/// A share of a cluster's budget whose router's lease has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadShare {
    /// The cluster.
    pub cluster: ClusterId,
    /// The router's name.
    pub router: String,
    /// What still counts as taken.
    pub slots: i32,
    /// How many seconds ago the lease ended.
    pub dead: f64,
}

/// A cluster of which more is given out than its budget is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdrawn {
    /// The cluster.
    pub cluster: ClusterId,
    /// What is given out.
    pub slots: i64,
    /// Its budget.
    pub budget: i32,
}

/// The process that answers: where the catalog is, so that it is known again on a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Home {
    /// The catalog's database.
    pub database: String,
    /// When its server was started.
    pub server_started_at: Timestamp,
}

/// Reads what there should be. With `since`, operations that began then or later are told even when they
/// are over. Give it a transaction at `REPEATABLE READ` ([`at_one_moment`]), or the parts are of different moments.
///
/// # Errors
/// When the catalog does not answer, or a sealed secret lacks its key's id.
pub async fn read(
    conn: &mut PgConnection,
    since: Option<Timestamp>,
) -> Result<Inventory, CatalogError> {
    let read_at = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let mut databases = databases(conn, None).await?;
    put_logins(conn, &mut databases).await?;
    Ok(Inventory {
        read_at,
        databases,
        templates: templates(conn).await?,
        tenants: incomplete(conn).await?,
        operations: operations(conn, since).await?,
    })
}

/// Lets what follows in a transaction, whose first statement this is, see one moment.
///
/// # Errors
/// When the catalog does not answer.
pub async fn at_one_moment(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(conn)
        .await?;
    Ok(())
}

/// One database, read and locked until the transaction ends: its tenant's operations begin with the
/// tenant's lock, and a spare is taken by its own row. Allows the transaction to stand still meanwhile.
///
/// # Errors
/// When the catalog does not answer.
pub async fn lock(
    conn: &mut PgConnection,
    id: DatabaseId,
) -> Result<Option<Database>, CatalogError> {
    sqlx::query!("SET LOCAL idle_in_transaction_session_timeout = '1min'")
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "SELECT t.id FROM tenants t JOIN databases d ON d.tenant_id = t.id WHERE d.id = $1 FOR UPDATE OF t",
        id.as_uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    sqlx::query!(
        "SELECT id FROM databases WHERE id = $1 FOR UPDATE",
        id.as_uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    let mut found = databases(conn, Some(id)).await?;
    put_logins(conn, &mut found).await?;
    Ok(found.pop())
}

/// Whether the catalog knows an id, as a database's or a template's.
///
/// # Errors
/// When the catalog does not answer.
pub async fn knows(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM databases WHERE id = $1)
               OR EXISTS (SELECT FROM templates WHERE id = $1) AS "known!""#,
        id.as_uuid(),
    )
    .fetch_one(conn)
    .await?)
}

/// Operations that are not over, and those that began at `since` or later.
///
/// # Errors
/// When the catalog does not answer.
pub async fn operations(
    conn: &mut PgConnection,
    since: Option<Timestamp>,
) -> Result<Vec<Operation>, CatalogError> {
    // An id begins with the time of the process that made it: an hour is more than clocks differ, and
    // less than the whole table.
    let rows = sqlx::query!(
        r#"SELECT o.id, o.kind, o.status, o.tenant_id, t.slug AS "slug?",
                  o.params ->> 'databaseId' AS database_id,
                  extract(epoch FROM clock_timestamp() - coalesce(o.lease_until, o.updated_at))::float8 AS "unheld!",
                  o.fence,
                  (SELECT count(*) FROM operation_steps s
                   WHERE s.operation_id = o.id AND s.seq > o.tries_after
                     AND s.event IN ('failed', 'undo_failed')) AS "failures!"
           FROM operations o LEFT JOIN tenants t ON t.id = o.tenant_id
           WHERE o.status IN ('running', 'undoing', 'parked')
              OR (o.created_at >= $1 AND o.id >= $2)
           ORDER BY o.id"#,
        since,
        since.map(|since| floor(since - chrono::TimeDelta::hours(1))),
    )
    .fetch_all(conn)
    .await?;
    let operations = rows.into_iter().map(|row| Operation {
        id: row.id.into(),
        kind: row.kind,
        status: row.status,
        tenant: row.tenant_id.map(TenantId::from_uuid),
        slug: row.slug,
        database: row.database_id.and_then(|id| id.parse().ok()),
        unheld: row.unheld,
        fence: row.fence,
        failures: row.failures,
    });
    Ok(operations.collect())
}

/// Rows of tenants that do not exist, and rows that should have been removed ten minutes ago.
///
/// # Errors
/// When the catalog does not answer.
pub async fn strays(conn: &mut PgConnection) -> Result<(Vec<Stray>, Vec<Stray>), CatalogError> {
    let nobodys = sqlx::query!(
        r#"SELECT what AS "table!", n AS "count!" FROM (
             SELECT 'domains' AS what, count(*) AS n FROM domains d
             WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = d.tenant_id)
             UNION ALL
             SELECT 'domain_claims', count(*) FROM domain_claims d
             WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = d.tenant_id)
             UNION ALL
             SELECT 'aliases', count(*) FROM aliases a
             WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = a.tenant_id)
             UNION ALL
             SELECT 'directory', count(*) FROM directory d
             WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = d.tenant_id)
             UNION ALL
             SELECT 'databases', count(*) FROM databases d
             WHERE d.tenant_id IS NOT NULL AND NOT EXISTS (SELECT FROM tenants t WHERE t.id = d.tenant_id)
             UNION ALL
             SELECT 'logins', count(*) FROM logins l
             WHERE NOT EXISTS (SELECT FROM databases d WHERE d.id = l.database_id)
             UNION ALL
             SELECT 'operation_secrets', count(*) FROM operation_secrets s
             WHERE NOT EXISTS (SELECT FROM operations o WHERE o.id = s.operation_id)
           ) found WHERE n > 0 ORDER BY 1"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let late = sqlx::query!(
        r#"SELECT what AS "table!", n AS "count!" FROM (
             SELECT 'domains' AS what, count(*) AS n FROM domains
             WHERE redirects_until < clock_timestamp() - interval '10 minutes'
             UNION ALL
             SELECT 'operation_secrets', count(*) FROM operation_secrets s
             JOIN operations o ON o.id = s.operation_id
             WHERE CASE WHEN s.expires_at IS NULL THEN o.finished_at < clock_timestamp() - interval '10 minutes'
                        ELSE s.expires_at < clock_timestamp() - interval '10 minutes' END
           ) found WHERE n > 0 ORDER BY 1"#
    )
    .fetch_all(conn)
    .await?;
    Ok((
        nobodys
            .into_iter()
            .map(|row| Stray {
                table: row.table,
                count: row.count,
            })
            .collect(),
        late.into_iter()
            .map(|row| Stray {
                table: row.table,
                count: row.count,
            })
            .collect(),
    ))
}

/// The routers, the shares of dead ones, and the clusters whose shares exceed their budget although nobody
/// has been asked lately to give some back.
///
/// # Errors
/// When the catalog does not answer.
pub async fn routing(
    conn: &mut PgConnection,
) -> Result<(Vec<Router>, Vec<DeadShare>, Vec<Overdrawn>), CatalogError> {
    let routers = sqlx::query!(
        r#"SELECT r.id, r.name, r.lease_until > clock_timestamp() AS "live!",
                  extract(epoch FROM clock_timestamp() -
                      (SELECT c.at FROM changes c WHERE c.number > r.applied
                       ORDER BY c.number LIMIT 1))::float8 AS "behind?"
           FROM routers r ORDER BY r.id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let shares = sqlx::query!(
        r#"SELECT s.cluster_id, coalesce(r.name, s.router_id::text) AS "router!", s.slots,
                  coalesce(extract(epoch FROM clock_timestamp() - r.lease_until)::float8, 'infinity') AS "dead!"
           FROM budget_shares s LEFT JOIN routers r ON r.id = s.router_id
           WHERE s.slots > 0 AND (r.id IS NULL OR r.lease_until <= clock_timestamp())
           ORDER BY s.cluster_id, s.router_id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let overdrawn = sqlx::query!(
        r#"SELECT k.id, k.connection_budget, sum(s.slots) AS "slots!"
           FROM clusters k JOIN budget_shares s ON s.cluster_id = k.id
           WHERE NOT EXISTS (SELECT FROM changes c WHERE c.cluster_id = k.id AND c.kind = 'budget'
                             AND c.at > clock_timestamp() - interval '5 minutes')
           GROUP BY k.id HAVING sum(s.slots) > k.connection_budget ORDER BY k.id"#
    )
    .fetch_all(conn)
    .await?;
    Ok((
        routers
            .into_iter()
            .map(|row| Router {
                id: row.id.into(),
                name: row.name,
                live: row.live,
                behind: row.behind,
            })
            .collect(),
        shares
            .into_iter()
            .map(|row| DeadShare {
                cluster: row.cluster_id.into(),
                router: row.router,
                slots: row.slots,
                dead: row.dead,
            })
            .collect(),
        overdrawn
            .into_iter()
            .map(|row| Overdrawn {
                cluster: row.id.into(),
                slots: row.slots,
                budget: row.connection_budget,
            })
            .collect(),
    ))
}

/// Frees the lease of an operation that nobody can take, as its end is further away than any lease is
/// long. `false`: it is not so any more.
///
/// # Errors
/// When the catalog does not answer.
pub async fn free_lease(conn: &mut PgConnection, id: OperationId) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations SET lease_holder = NULL, lease_until = NULL
         WHERE id = $1 AND status IN ('running', 'undoing')
           AND lease_until > clock_timestamp() + interval '10 minutes'",
        id.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Where the catalog is.
///
/// # Errors
/// When the catalog does not answer.
pub async fn home(conn: &mut PgConnection) -> Result<Home, CatalogError> {
    let row = sqlx::query!(
        r#"SELECT current_database()::text AS "database!", pg_postmaster_start_time() AS "started!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(Home {
        database: row.database,
        server_started_at: row.started,
    })
}

async fn databases(
    conn: &mut PgConnection,
    only: Option<DatabaseId>,
) -> Result<Vec<Database>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT d.id, d.cluster_id, d.name, d.state, d.operation_id, d.schema,
                  d.lost_at IS NOT NULL AS "lost!", t.id AS "tenant_id?", t.slug AS "slug?", t.status AS "status?", t.epoch AS "epoch?",
                  t.cluster_id AS "tenant_cluster?"
           FROM databases d LEFT JOIN tenants t ON t.id = d.tenant_id
           WHERE $1::uuid IS NULL OR d.id = $1 ORDER BY d.id"#,
        only.map(|id| id.as_uuid()),
    )
    .fetch_all(conn)
    .await?;
    let databases = rows.into_iter().map(|row| Database {
        id: row.id.into(),
        cluster: row.cluster_id.into(),
        name: row.name,
        state: row.state,
        operation: row.operation_id.map(OperationId::from_uuid),
        schema: row.schema,
        lost: row.lost,
        tenant: match (
            row.tenant_id,
            row.slug,
            row.status,
            row.epoch,
            row.tenant_cluster,
        ) {
            (Some(id), Some(slug), Some(status), Some(epoch), Some(cluster)) => Some(Tenant {
                id: id.into(),
                slug,
                status,
                epoch,
                cluster: cluster.into(),
            }),
            _ => None,
        },
        logins: Vec::new(),
    });
    Ok(databases.collect())
}

async fn put_logins(
    conn: &mut PgConnection,
    databases: &mut [Database],
) -> Result<(), CatalogError> {
    let only = match databases {
        [one] => Some(one.id.as_uuid()),
        _ => None,
    };
    let rows = sqlx::query!(
        r#"SELECT database_id, role, name, key_id, sealed,
                  extract(epoch FROM clock_timestamp() - disable_at)::float8 AS overdue
           FROM logins WHERE $1::uuid IS NULL OR database_id = $1 ORDER BY database_id, role"#,
        only,
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let of = DatabaseId::from_uuid(row.database_id);
        let Ok(at) = databases.binary_search_by(|database| database.id.cmp(&of)) else {
            continue;
        };
        databases[at].logins.push(Login {
            role: row.role,
            name: row.name,
            sealed: row
                .key_id
                .zip(row.sealed)
                .map(|(key_id, bytes)| Sealed { key_id, bytes }),
            overdue: row.overdue.filter(|late| *late > 600.0),
        });
    }
    Ok(())
}

async fn templates(conn: &mut PgConnection) -> Result<Vec<Template>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT id, cluster_id, db_name, ready_at IS NOT NULL AS "ready!",
                  extract(epoch FROM clock_timestamp() - created_at)::float8 AS "age!"
           FROM templates ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    let templates = rows.into_iter().map(|row| Template {
        id: row.id.into(),
        cluster: row.cluster_id.into(),
        name: row.db_name,
        ready: row.ready,
        age: row.age,
    });
    Ok(templates.collect())
}

async fn incomplete(conn: &mut PgConnection) -> Result<Vec<Incomplete>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT * FROM (
             SELECT t.id, t.slug, t.status,
                    NOT EXISTS (SELECT FROM databases d WHERE d.tenant_id = t.id) AS "no_database!",
                    NOT EXISTS (SELECT FROM domains d
                                WHERE d.tenant_id = t.id AND d.redirects_until IS NULL) AS "no_domain!",
                    extract(epoch FROM clock_timestamp() - t.purge_at)::float8 AS purge_late
             FROM tenants t
           ) found
           WHERE "no_database!" OR "no_domain!" OR purge_late > 600 ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    let tenants = rows.into_iter().map(|row| Incomplete {
        id: row.id.into(),
        slug: row.slug,
        status: row.status,
        no_database: row.no_database,
        no_domain: row.no_domain,
        purge_late: row.purge_late.filter(|late| *late > 600.0),
    });
    Ok(tenants.collect())
}

/// The lowest id of that time (UUIDv7).
fn floor(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
