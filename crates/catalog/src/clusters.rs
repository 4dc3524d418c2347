//! Clusters: Postgres servers that hold tenants' databases.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenantry_types::{ClusterId, ErrorKind, RootCa, Timestamp};
use tenantry_vault::Sealed;
use uuid::Uuid;

use crate::CatalogError;
use crate::error::{Row, violated};

// The one text of the columns; what differs is the rest. Stands first because a macro is known only
// below itself.
macro_rules! cluster_query {
    ($which:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            ClusterRow,
            "SELECT id, name, host, port, maintenance_db, tls, admin_login, admin_key_id,
                    admin_sealed, connection_budget, accepts, weight, capacity, region, root_ca,
                    system_identifier, created_at FROM clusters " + $which
            $(, $arg)*
        )
    };
}

words! {
    /// How to use TLS to a cluster, in libpq's words (`sslmode`).
    pub enum TlsMode {
        /// Never.
        Disable = "disable",
        /// If the server offers it.
        Prefer = "prefer",
        /// Always, without a look at the certificate.
        Require = "require",
        /// Always, with a certificate that is valid for the host.
        VerifyFull = "verify-full",
    }
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its name, for people.
    pub name: String,
    /// Its host, a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database that the admin connects to.
    pub maintenance_db: String,
    /// How to use TLS.
    pub tls: TlsMode,
    /// The admin's login.
    pub admin_login: String,
    /// The admin's password, sealed under the admin keys for
    /// [`Place::cluster_admin`](tenantry_vault::Place::cluster_admin).
    pub admin: Sealed,
    /// How many connections may be open, over all tenants and routers.
    pub connection_budget: u32,
    /// Whether new tenants are put there; one that does not is being drained.
    pub accepts: bool,
    /// Which tenants it gets.
    pub placement: Placement,
    /// The authority of its certificate, where that is no public one.
    pub root_ca: Option<RootCa>,
    /// What the server calls itself, where it was asked and said. Copies of a server share it.
    pub system_identifier: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Which of the tenants that ask for no cluster get this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// In proportion to the other clusters; 0: none. At most 1000.
    pub weight: u32,
    /// How many tenants it may hold, those in their grace period included; at least 1. None: as many as
    /// come.
    pub capacity: Option<u32>,
    /// Where it is, e.g. `eu-central`: one to forty of `a-z`, `0-9` and `-`.
    pub region: Option<String>,
}

impl Default for Placement {
    /// As any other, without a limit.
    fn default() -> Self {
        Self {
            weight: 100,
            capacity: None,
            region: None,
        }
    }
}

/// What a cluster holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Tenants, those in their grace period included.
    pub tenants: u32,
    /// Of these, those that are deleted and not purged yet.
    pub deleted: u32,
    /// Databases that wait for a tenant.
    pub spares: u32,
    /// Databases that are being made or unmade and are nobody's.
    pub unfinished: u32,
    /// Operations on it that have not ended.
    pub operations: u32,
}

/// A cluster that is to be registered.
#[derive(Clone, Debug)]
pub struct NewCluster<'a> {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database that the admin connects to.
    pub maintenance_db: &'a str,
    /// How to use TLS.
    pub tls: TlsMode,
    /// The admin's login.
    pub admin_login: &'a str,
    /// The admin's sealed password.
    pub admin: &'a Sealed,
    /// How many connections may be open; at least 1.
    pub connection_budget: u32,
    /// Which tenants it gets.
    pub placement: Placement,
    /// The authority of its certificate; only with [`TlsMode::VerifyFull`].
    pub root_ca: Option<&'a RootCa>,
    /// What the server calls itself.
    pub system_identifier: Option<&'a str>,
}

/// The way to a cluster as it is to be.
#[derive(Clone, Debug)]
pub struct Way<'a> {
    /// Its host.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// How to use TLS.
    pub tls: TlsMode,
    /// The authority of its certificate; only with [`TlsMode::VerifyFull`].
    pub root_ca: Option<&'a RootCa>,
    /// The admin's login.
    pub admin_login: &'a str,
    /// The admin's sealed password.
    pub admin: &'a Sealed,
    /// What the server calls itself.
    pub system_identifier: Option<&'a str>,
}

words! {
    /// Whether there is a place for a tenant.
    pub enum Place {
        /// There is, and it is held until the transaction ends.
        Held = "held",
        /// As many tenants are there as may be.
        Full = "full",
        /// New tenants are not put there.
        Draining = "draining",
        /// There is no such cluster.
        Gone = "gone",
        /// Whether places are counted was changed meanwhile: ask in another transaction.
        Changed = "changed",
    }
}

/// A cluster that takes new tenants, and how many it has.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The cluster.
    pub cluster: Cluster,
    /// How many tenants it has. Not counted, and 0, where it is the only one and has no capacity.
    pub tenants: u32,
}

/// Why a cluster was not inserted. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// Another cluster has the name.
    #[error("a cluster of this name exists")]
    NameTaken,
    /// Another cluster has the host and port.
    #[error("a cluster at this host and port exists")]
    AddressTaken,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Inserts a cluster.
///
/// # Errors
/// [`InsertError::NameTaken`], [`InsertError::AddressTaken`], or when the catalog fails.
pub async fn insert(conn: &mut PgConnection, new: &NewCluster<'_>) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO clusters (id, name, host, port, maintenance_db, tls, admin_login,
                               admin_key_id, admin_sealed, connection_budget, weight, capacity,
                               region, root_ca, system_identifier)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        new.id.as_uuid(),
        new.name,
        new.host,
        i32::from(new.port),
        new.maintenance_db,
        new.tls.as_str(),
        new.admin_login,
        new.admin.key_id,
        new.admin.bytes,
        int(new.connection_budget),
        int(new.placement.weight),
        new.placement.capacity.map(int),
        new.placement.region,
        new.root_ca.map(RootCa::as_str),
        new.system_identifier,
    )
    .execute(conn)
    .await;
    done.map(drop).map_err(insert_error)
}

fn insert_error(error: sqlx::Error) -> InsertError {
    match violated(&error) {
        Some("clusters_name_key") => InsertError::NameTaken,
        Some("clusters_address_key") => InsertError::AddressTaken,
        _ => CatalogError::from(error).into(),
    }
}

/// All clusters, the oldest first.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Cluster>, CatalogError> {
    cluster_query!("ORDER BY id")
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(ClusterRow::decode)
        .collect()
}

/// The cluster of this id.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_id(
    conn: &mut PgConnection,
    id: ClusterId,
) -> Result<Option<Cluster>, CatalogError> {
    cluster_query!("WHERE id = $1", id.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(ClusterRow::decode)
        .transpose()
}

/// The cluster of this name.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_name(conn: &mut PgConnection, name: &str) -> Result<Option<Cluster>, CatalogError> {
    cluster_query!("WHERE name = $1", name)
        .fetch_optional(conn)
        .await?
        .map(ClusterRow::decode)
        .transpose()
}

/// The cluster at this address; the host in lower case.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_address(
    conn: &mut PgConnection,
    host: &str,
    port: u16,
) -> Result<Option<Cluster>, CatalogError> {
    cluster_query!(
        "WHERE lower(host) = $1 AND port = $2",
        host,
        i32::from(port)
    )
    .fetch_optional(conn)
    .await?
    .map(ClusterRow::decode)
    .transpose()
}

/// The cluster for tenants that ask for none: the oldest.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn default(conn: &mut PgConnection) -> Result<Option<Cluster>, CatalogError> {
    cluster_query!("ORDER BY created_at, id LIMIT 1")
        .fetch_optional(conn)
        .await?
        .map(ClusterRow::decode)
        .transpose()
}

/// Records where a cluster is now and how its admin gets in, e.g. after `tenantry dev` got another
/// free port. `false`: no such cluster.
///
/// # Errors
/// [`InsertError::AddressTaken`], or when the catalog fails.
pub async fn set_address(
    conn: &mut PgConnection,
    id: ClusterId,
    host: &str,
    port: u16,
) -> Result<bool, InsertError> {
    let done = sqlx::query!(
        "UPDATE clusters SET host = $2, port = $3 WHERE id = $1",
        id.as_uuid(),
        host,
        i32::from(port),
    )
    .execute(conn)
    .await;
    match done {
        Ok(done) => Ok(done.rows_affected() == 1),
        Err(error) => Err(insert_error(error)),
    }
}

/// The clusters that take tenants which ask for none, of one region or of all, the oldest first.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn candidates(
    conn: &mut PgConnection,
    region: Option<&str>,
) -> Result<Vec<Candidate>, CatalogError> {
    let found = cluster_query!(
        "WHERE accepts AND weight > 0 AND ($1::text IS NULL OR region = $1) ORDER BY created_at, id",
        region
    )
    .fetch_all(&mut *conn)
    .await?;
    // Counting takes longer the more tenants there are, and the usual installation has one cluster.
    let counts = found.len() > 1 || found.iter().any(|row| row.capacity.is_some());
    let counted = if counts {
        let ids: Vec<_> = found.iter().map(|row| row.id).collect();
        sqlx::query!(
            r#"SELECT cluster_id, count(*) AS "tenants!" FROM tenants WHERE cluster_id = ANY ($1)
               GROUP BY cluster_id"#,
            &ids,
        )
        .fetch_all(conn)
        .await?
    } else {
        Vec::new()
    };
    let candidate = |row: ClusterRow| {
        let counted = counted.iter().find(|count| count.cluster_id == row.id);
        Ok(Candidate {
            tenants: counted.map_or(0, |count| saturated(count.tenants)),
            cluster: row.decode()?,
        })
    };
    found.into_iter().map(candidate).collect()
}

/// How many tenants a cluster has, those in their grace period included.
///
/// # Errors
/// When the catalog does not answer.
pub async fn tenants(conn: &mut PgConnection, id: ClusterId) -> Result<u32, CatalogError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM tenants WHERE cluster_id = $1"#,
        id.as_uuid()
    )
    .fetch_one(conn)
    .await?;
    Ok(saturated(count))
}

/// Whether any cluster, whether it takes tenants or not, is in a region.
///
/// # Errors
/// When the catalog does not answer.
pub async fn region_exists(conn: &mut PgConnection, region: &str) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM clusters WHERE region = $1) AS "there!""#,
        region
    )
    .fetch_one(conn)
    .await?)
}

/// Takes a place for a tenant, before its row is written in the same transaction. Of two who ask for the last
/// one at once the second waits for the first one's end.
///
/// # Errors
/// When the catalog does not answer.
pub async fn take_place(conn: &mut PgConnection, id: ClusterId) -> Result<Place, CatalogError> {
    let word = sqlx::query_scalar!(r#"SELECT cluster_place($1) AS "place!""#, id.as_uuid())
        .fetch_one(conn)
        .await?;
    Row::of("clusters", id).column("place", word.parse())
}

/// Keeps placements away until the transaction ends, and waits for those that are on their way: whoever
/// changes what they go by comes first here, reads the cluster then, and knows that nothing is placed
/// by what it was.
///
/// # Errors
/// When the catalog does not answer.
pub async fn lock(conn: &mut PgConnection, id: ClusterId) -> Result<Option<Cluster>, CatalogError> {
    sqlx::query!("SELECT cluster_lock($1, true)", id.as_uuid())
        .execute(&mut *conn)
        .await?;
    by_id(conn, id).await
}

/// Whether new tenants are put there from now on. Only under [`lock`].
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_accepts(
    conn: &mut PgConnection,
    id: ClusterId,
    accepts: bool,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE clusters SET accepts = $2 WHERE id = $1",
        id.as_uuid(),
        accepts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets which tenants it gets. Only under [`lock`].
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_placement(
    conn: &mut PgConnection,
    id: ClusterId,
    placement: &Placement,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE clusters SET weight = $2, capacity = $3, region = $4 WHERE id = $1",
        id.as_uuid(),
        int(placement.weight),
        placement.capacity.map(int),
        placement.region,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets the way to it. The routers are to be told with [`crate::change_log::append_for_cluster`].
///
/// # Errors
/// [`InsertError::AddressTaken`], or when the catalog fails.
pub async fn set_way(
    conn: &mut PgConnection,
    id: ClusterId,
    way: &Way<'_>,
) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "UPDATE clusters SET host = $2, port = $3, tls = $4, root_ca = $5, admin_login = $6,
                             admin_key_id = $7, admin_sealed = $8,
                             system_identifier = coalesce($9, system_identifier)
         WHERE id = $1",
        id.as_uuid(),
        way.host,
        i32::from(way.port),
        way.tls.as_str(),
        way.root_ca.map(RootCa::as_str),
        way.admin_login,
        way.admin.key_id,
        way.admin.bytes,
        way.system_identifier,
    )
    .execute(conn)
    .await;
    done.map(drop).map_err(insert_error)
}

/// What all clusters hold, by id. One that holds nothing is not among them.
///
/// # Errors
/// When the catalog does not answer.
pub async fn held(conn: &mut PgConnection) -> Result<HashMap<ClusterId, Held>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT k.id, coalesce(t.tenants, 0) AS "tenants!", coalesce(t.deleted, 0) AS "deleted!",
                  coalesce(d.spares, 0) AS "spares!", coalesce(d.unfinished, 0) AS "unfinished!",
                  coalesce(o.operations, 0) AS "operations!"
           FROM clusters k
           LEFT JOIN (SELECT cluster_id, count(*) AS tenants,
                             count(*) FILTER (WHERE status = 'deleting') AS deleted
                      FROM tenants GROUP BY cluster_id) t ON t.cluster_id = k.id
           LEFT JOIN (SELECT cluster_id, count(*) FILTER (WHERE state = 'spare') AS spares,
                             count(*) FILTER (WHERE state = 'making') AS unfinished
                      FROM databases WHERE state <> 'claimed' GROUP BY cluster_id) d ON d.cluster_id = k.id
           LEFT JOIN (SELECT params ->> 'clusterId' AS cluster_id, count(*) AS operations
                      FROM operations WHERE status IN ('running', 'undoing', 'parked')
                      GROUP BY 1) o ON o.cluster_id = k.id::text"#
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let held = Held {
            tenants: saturated(row.tenants),
            deleted: saturated(row.deleted),
            spares: saturated(row.spares),
            unfinished: saturated(row.unfinished),
            operations: saturated(row.operations),
        };
        (row.id.into(), held)
    });
    Ok(held.collect())
}

/// Forgets a cluster, and what routers hold of its budget; tells them. Only under [`lock`], and when it holds
/// nothing: else a constraint refuses it. `false`: no such cluster.
///
/// # Errors
/// When the catalog does not answer, or something is there.
pub async fn remove(conn: &mut PgConnection, id: ClusterId) -> Result<bool, CatalogError> {
    // Routers that renew just now are waited for, and find it gone.
    sqlx::query!(
        "SELECT FROM clusters WHERE id = $1 FOR UPDATE",
        id.as_uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM budget_shares WHERE cluster_id = $1",
        id.as_uuid()
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!("DELETE FROM clusters WHERE id = $1", id.as_uuid())
        .execute(&mut *conn)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("SELECT budget_changed($1)", id.as_uuid())
        .fetch_one(conn)
        .await?;
    Ok(true)
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn saturated(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl InsertError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NameTaken | Self::AddressTaken => ErrorKind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NameTaken | Self::AddressTaken => "CLUSTER_EXISTS",
            Self::Catalog(error) => error.code(),
        }
    }
}

struct ClusterRow {
    id: Uuid,
    name: String,
    host: String,
    port: i32,
    maintenance_db: String,
    tls: String,
    admin_login: String,
    admin_key_id: String,
    admin_sealed: Vec<u8>,
    connection_budget: i32,
    accepts: bool,
    weight: i32,
    capacity: Option<i32>,
    region: Option<String>,
    root_ca: Option<String>,
    system_identifier: Option<String>,
    created_at: Timestamp,
}

impl ClusterRow {
    fn decode(self) -> Result<Cluster, CatalogError> {
        let row = Row::of("clusters", self.id);
        let budget = u32::try_from(self.connection_budget);
        let capacity = self.capacity.map(u32::try_from).transpose();
        let root_ca = self.root_ca.as_deref().map(RootCa::parse).transpose();
        Ok(Cluster {
            id: self.id.into(),
            name: self.name,
            host: self.host,
            port: row.column("port", u16::try_from(self.port))?,
            maintenance_db: self.maintenance_db,
            tls: row.column("tls", self.tls.parse())?,
            admin_login: self.admin_login,
            admin: Sealed {
                key_id: self.admin_key_id,
                bytes: self.admin_sealed,
            },
            connection_budget: row.column("connection_budget", budget)?,
            accepts: self.accepts,
            placement: Placement {
                weight: row.column("weight", u32::try_from(self.weight))?,
                capacity: row.column("capacity", capacity)?,
                region: self.region,
            },
            root_ca: row.column("root_ca", root_ca)?,
            system_identifier: self.system_identifier,
            created_at: self.created_at,
        })
    }
}
