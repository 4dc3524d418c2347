//! Clusters: Postgres servers that hold tenants' databases.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, ErrorKind, Timestamp};
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
                    admin_sealed, connection_budget, created_at FROM clusters " + $which
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
    /// When it was registered.
    pub created_at: Timestamp,
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
                               admin_key_id, admin_sealed, connection_budget)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id.as_uuid(),
        new.name,
        new.host,
        i32::from(new.port),
        new.maintenance_db,
        new.tls.as_str(),
        new.admin_login,
        new.admin.key_id,
        new.admin.bytes,
        i32::try_from(new.connection_budget).unwrap_or(i32::MAX),
    )
    .execute(conn)
    .await;
    let Err(error) = done else { return Ok(()) };
    Err(match violated(&error) {
        Some("clusters_name_key") => InsertError::NameTaken,
        Some("clusters_address_key") => InsertError::AddressTaken,
        _ => CatalogError::from(error).into(),
    })
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

/// The cluster at this address, written as it was registered.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_address(
    conn: &mut PgConnection,
    host: &str,
    port: u16,
) -> Result<Option<Cluster>, CatalogError> {
    cluster_query!("WHERE host = $1 AND port = $2", host, i32::from(port))
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
        Err(error) if violated(&error) == Some("clusters_address_key") => {
            Err(InsertError::AddressTaken)
        }
        Err(error) => Err(CatalogError::from(error).into()),
    }
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
            Self::NameTaken => "CLUSTER_NAME_TAKEN",
            Self::AddressTaken => "CLUSTER_ADDRESS_TAKEN",
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
    created_at: Timestamp,
}

impl ClusterRow {
    fn decode(self) -> Result<Cluster, CatalogError> {
        let row = Row::of("clusters", self.id);
        let budget = u32::try_from(self.connection_budget);
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
            created_at: self.created_at,
        })
    }
}
