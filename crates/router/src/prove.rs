//! Connections with a password in clear: owner logins for migrations, the first login at a birth.
//!
//! They are proven like all others, and are outside of the budget: the reserve on top of it is what
//! admin work and migrations use.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tenantry_types::{DbName, ErrorKind, InstallationId, RoleName, Secret, TenantId};
use tenantry_vault::RouteKeys;

use crate::Router;
use crate::connect::{Address, Connector, Expected, Fresh, OpenError};
use crate::lease::Gate;
use crate::pools::{Backend, Open};
use crate::session;

/// Where to log in, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The cluster's address.
    pub address: Address,
    /// The database.
    pub database: DbName,
    /// The login.
    pub login: RoleName,
    /// Its password.
    pub password: Secret,
}

/// Why no proven connection was opened.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The server cannot be reached, is starting, full or slow.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused the login or the database.
    #[error("the server refused the login ({sqlstate})")]
    Refused {
        /// The server's code for it.
        sqlstate: String,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// Another database answered than the expected one.
    #[error("another database answered than the expected one: {0}")]
    WrongDatabase(String),
}

/// A proven connection that belongs to no pool. Dropped, its session ends.
pub struct ProvenConn {
    conn: PgConnection,
    backend: Backend,
    address: Address,
    database: DbName,
    login: RoleName,
    expected: Expected,
}

/// A session of which nobody knows yet which database it is in. All that can be done with it is to
/// ask. Dropped, it ends.
pub struct UnprovenConn {
    conn: PgConnection,
    address: Address,
    database: DbName,
    login: RoleName,
}

impl ProveError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Refused { .. } | Self::WrongDatabase(_) => ErrorKind::Internal,
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "DATABASE_UNAVAILABLE",
            Self::Refused { .. } => "LOGIN_REFUSED",
            Self::WrongDatabase(_) => "WRONG_DATABASE",
        }
    }
}

impl From<OpenError> for ProveError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::WrongDatabase { .. } => Self::WrongDatabase(error.to_string()),
            OpenError::Refused { sqlstate, source } => Self::Refused { sqlstate, source },
            OpenError::Unavailable(source) => Self::Unavailable(source),
            OpenError::Sealed(source) => Self::Unavailable(Box::new(source)),
        }
    }
}

impl UnprovenConn {
    /// Proves which database answers.
    ///
    /// # Errors
    /// By variant, see [`ProveError`].
    pub async fn prove(
        self,
        router: &Router,
        expected: &Expected,
    ) -> Result<ProvenConn, ProveError> {
        prove(&router.inner.connector, self, expected).await
    }
}

impl fmt::Debug for UnprovenConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnprovenConn")
            .field("database", &self.database)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl ProvenConn {
    /// Ends the session properly.
    pub async fn close(self) {
        // A server that cannot be told has ended it, or will when it notices.
        let _ = self.conn.close().await;
    }
}

impl Deref for ProvenConn {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for ProvenConn {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl fmt::Debug for ProvenConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenConn")
            .field("database", &self.database)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// Proves ways without being a router: nothing of it is registered, pooled or counted.
#[derive(Clone, Debug)]
pub struct Prover(Arc<Connector>);

impl Prover {
    /// A prover of its own, for a program that runs beside no router. `name` is what its sessions are called.
    #[must_use]
    pub fn new(
        keys: RouteKeys,
        installation: InstallationId,
        timeout: Duration,
        name: &str,
    ) -> Self {
        Self(Arc::new(Connector::new(keys, installation, timeout, name)))
    }

    /// As [`Router::prove`].
    ///
    /// # Errors
    /// By variant, see [`ProveError`].
    pub async fn prove(
        &self,
        target: &Target,
        expected: &Expected,
    ) -> Result<ProvenConn, ProveError> {
        let unproven = knock(&self.0, target).await?;
        prove(&self.0, unproven, expected).await
    }
}

async fn knock(connector: &Connector, target: &Target) -> Result<UnprovenConn, ProveError> {
    let Target {
        address,
        database,
        login,
        password,
    } = target;
    let conn = connector.knock(address, database, login, password).await?;
    Ok(UnprovenConn {
        conn,
        address: address.clone(),
        database: database.clone(),
        login: login.clone(),
    })
}

async fn prove(
    connector: &Connector,
    unproven: UnprovenConn,
    expected: &Expected,
) -> Result<ProvenConn, ProveError> {
    let Fresh { conn, backend } = connector.prove(unproven.conn, *expected).await?;
    Ok(ProvenConn {
        conn,
        backend,
        address: unproven.address,
        database: unproven.database,
        login: unproven.login,
        expected: *expected,
    })
}

impl Router {
    /// What proves ways as this router does.
    #[must_use]
    pub fn prover(&self) -> Prover {
        Prover(Arc::clone(&self.inner.connector))
    }

    /// Logs in with a password in clear and proves which database answered.
    ///
    /// # Errors
    /// By variant, see [`ProveError`].
    pub async fn prove(
        &self,
        target: &Target,
        expected: &Expected,
    ) -> Result<ProvenConn, ProveError> {
        self.knock(target).await?.prove(self, expected).await
    }

    /// Logs in with a password in clear, and asks nothing yet: for a database whose identity is being
    /// written meanwhile.
    ///
    /// # Errors
    /// By variant, see [`ProveError`].
    pub async fn knock(&self, target: &Target) -> Result<UnprovenConn, ProveError> {
        knock(&self.inner.connector, target).await
    }

    /// Takes a proven connection over as a pooled one of a tenant; `false`, and the connection is
    /// closed, unless it leads exactly where the tenant's route leads, as the same login, is idle,
    /// and there is room.
    ///
    /// The tenant need not be served yet: at its birth this comes before the first request.
    pub async fn adopt(&self, tenant: TenantId, mut proven: ProvenConn) -> bool {
        let entry = self.inner.cache.by_id(tenant).await.ok().flatten();
        let generation = entry.and_then(|entry| entry.generation.clone());
        let Some(generation) = generation.filter(|generation| proven.leads_to(self, generation))
        else {
            proven.close().await;
            return false;
        };
        let name = &self.inner.connector.application_name;
        // The slot first: from `make_pooled` on it counts against the budget.
        let slot = match self.inner.lease.gate() {
            Gate::Open => generation.cluster.try_slot(&generation),
            _ => None,
        };
        let Some(slot) = slot else {
            proven.close().await;
            return false;
        };
        let ready = match session::is_idle(&mut proven.conn).await {
            Ok(true) => session::make_pooled(&mut proven.conn, name).await.is_ok(),
            _ => false,
        };
        if !ready {
            let backend = proven.backend;
            proven.close().await;
            generation.cluster.park(slot, backend);
            return false;
        }
        let ProvenConn { conn, backend, .. } = proven;
        let mut open = Open::new(conn, backend, slot);
        open.witness = self.inner.lease.is_running();
        // A lease that was not used: dropped, it goes back to the pool.
        drop(generation.cluster.opened(open));
        true
    }
}

impl ProvenConn {
    fn leads_to(&self, router: &Router, generation: &crate::generation::Generation) -> bool {
        let place = &generation.place;
        self.expected == router.inner.connector.expected(place)
            && self.address == place.address
            && self.database == place.database
            && self.login == place.login
    }
}
