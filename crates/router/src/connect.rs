//! Opening a connection and proving which database answered. Nothing else in Tenantry logs in as a
//! tenant.
//!
//! A password is opened from its seal here, for the time of one login. Whatever answers with another
//! identity than the expected one is closed without having been used.

use std::pin::Pin;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tenantry_catalog::clusters::TlsMode;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::identity::{self, Identity};
use tenantry_types::{DatabaseId, DbName, InstallationId, RoleName, RootCa, Secret};
use tenantry_vault::{Place as SealedPlace, RouteKeys};
use tokio::time::Instant;
use tracing::Instrument;

use crate::budget::Trouble;
use crate::generation::Place;
use crate::meters::Connects;
use crate::pools::Backend;
use crate::session;
use crate::spans;

/// Settings of a pooled session, in the startup packet, where they win over what a tenant set for its
/// role or its database. The tenant's own logins write the tables that we read: a lock that they
/// hold must not hold our connections, and an operator or function that they made must not be
/// found before Postgres's own.
pub(crate) const POOLED: [(&str, &str); 4] = [
    ("search_path", "pg_catalog,public"),
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "60s"),
];

/// Settings of a session for a migration or a first login: statements may take long, waiting for a
/// lock may not. As in [`POOLED`], they win over those of the database, which an adopted one may have from
/// whoever owned it: a function of somebody's must not get into the constraints that our migrations
/// make, nor a literal be read otherwise than it was written. What lies in a schema is named with it.
const PROOF: [(&str, &str); 3] = [
    ("search_path", "pg_catalog"),
    ("standard_conforming_strings", "on"),
    ("lock_timeout", "5s"),
];

/// Where a cluster listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host name, IP address, or the folder of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub tls: TlsMode,
    /// The authority of its certificate, where that is no public one.
    pub root_ca: Option<RootCa>,
}

/// Which database must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The installation that made it.
    pub installation: InstallationId,
    /// The database.
    pub database_id: DatabaseId,
    /// The epoch of its tenant.
    pub epoch: i64,
}

/// Why no proven connection was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another database answered than the expected one, or one without an identity.
    #[error("the database that answered is {found:?}, expected was {expected:?}")]
    WrongDatabase {
        expected: Expected,
        found: Option<Identity>,
    },
    /// The server refused the login or the database: a password that was changed, a login that was
    /// closed, a database that was renamed or closed.
    #[error("the server refused the login ({sqlstate})")]
    Refused {
        sqlstate: String,
        #[source]
        source: sqlx::Error,
    },
    /// The sealed password does not open.
    #[error("the password of the login cannot be opened")]
    Sealed(#[source] tenantry_vault::OpenError),
    /// Anything else: unreachable, starting, full, slow.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpenError {
    /// What the failure says about the server; nothing, if nobody was asked.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Sealed(_) => None,
            Self::WrongDatabase { .. } | Self::Refused { .. } => Some(Trouble::Answered),
            Self::Unavailable(error) => Some(trouble_of(error.as_ref())),
        }
    }

    /// Whether nothing listens there: what was served from there is over.
    pub(crate) fn nobody_listens(&self) -> bool {
        self.io() == Some(std::io::ErrorKind::ConnectionRefused)
    }

    /// Whether nothing of the attempt is left on the server: it said no and closes, or has closed, or there
    /// is none. Not certain of one that was not answered.
    pub(crate) fn is_over(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
        let error = match self {
            Self::Unavailable(error) => error,
            // A session was open, and was left.
            Self::WrongDatabase { .. } => return false,
            _ => return true,
        };
        let answered = match error.downcast_ref::<TenantDbError>() {
            Some(TenantDbError::Unavailable(error)) => Some(error),
            Some(_) => None,
            None => error.downcast_ref::<sqlx::Error>(),
        };
        matches!(answered, Some(sqlx::Error::Database(_)))
            || matches!(
                self.io(),
                Some(ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
            )
    }

    fn io(&self) -> Option<std::io::ErrorKind> {
        let Self::Unavailable(error) = self else {
            return None;
        };
        let error = match error.downcast_ref::<TenantDbError>() {
            Some(TenantDbError::Unavailable(error)) => Some(error),
            Some(_) => None,
            None => error.downcast_ref::<sqlx::Error>(),
        };
        match error {
            Some(sqlx::Error::Io(error)) => Some(error.kind()),
            _ => None,
        }
    }

    /// What happened, as a metric's label and a span's attribute say it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Refused { .. } => "login_refused",
            Self::WrongDatabase { .. } => "wrong_database",
            Self::Sealed(_) => "sealed",
        }
    }
}

/// A server that starts, stops or recovers says so (57P03). 53300 is said by one that is full, and
/// for a limit of one login or database as well.
fn trouble_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Trouble {
    use std::io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, NotFound,
    };
    let error = match error.downcast_ref::<TenantDbError>() {
        Some(TenantDbError::Unavailable(error)) => Some(error),
        Some(_) => return Trouble::Answered,
        None => error.downcast_ref::<sqlx::Error>(),
    };
    match error {
        Some(sqlx::Error::Io(error)) => match error.kind() {
            ConnectionRefused | HostUnreachable | NetworkDown | NetworkUnreachable | NotFound => {
                Trouble::Surely
            }
            _ => Trouble::Perhaps,
        },
        Some(sqlx::Error::Database(error)) => match error.code().as_deref() {
            Some("57P03") => Trouble::Surely,
            Some(code) if !code.starts_with("53") && !code.starts_with("57") => Trouble::Answered,
            _ => Trouble::Perhaps,
        },
        _ => Trouble::Perhaps,
    }
}

/// An attempt to open a connection.
pub(crate) type Attempt = Pin<Box<dyn Future<Output = Result<Fresh, OpenError>> + Send>>;

/// A proven connection and who serves it.
pub(crate) struct Fresh {
    pub(crate) conn: PgConnection,
    pub(crate) backend: Backend,
}

/// Opens connections.
pub(crate) struct Connector {
    /// Made once: sqlx reads `PG…` variables of the environment each time it makes these.
    base: PgConnectOptions,
    keys: RouteKeys,
    installation: InstallationId,
    timeout: Duration,
    /// `tenantry/<router>`: what counts against the budget.
    pub(crate) application_name: String,
    /// `tenantry/<router>/reserve`: what is on top of it.
    pub(crate) reserve_name: String,
    counted: Connects,
}

impl Connector {
    pub(crate) fn new(
        keys: RouteKeys,
        installation: InstallationId,
        timeout: Duration,
        router: impl std::fmt::Display,
    ) -> Self {
        Self {
            base: PgConnectOptions::new_without_pgpass(),
            keys,
            installation,
            timeout,
            application_name: format!("tenantry/{router}"),
            reserve_name: format!("tenantry/{router}/reserve"),
            counted: Connects::new(),
        }
    }

    /// A connection for a pool. An attempt that is not answered in time is given back beside the error:
    /// the server may still be about to answer it.
    pub(crate) async fn open(&self, place: &Place) -> Result<Fresh, (OpenError, Option<Attempt>)> {
        let begun = Instant::now();
        let (opened, late) = self.open_pooled(place).await;
        self.counted.count(&opened, begun.elapsed());
        let trouble = opened.as_ref().err().map(OpenError::word);
        spans::end(&tracing::Span::current(), trouble);
        opened.map_err(|error| (error, late))
    }

    async fn open_pooled(&self, place: &Place) -> (Result<Fresh, OpenError>, Option<Attempt>) {
        let options = match self.options_of(place) {
            Ok(options) => options,
            Err(error) => return (Err(error), None),
        };
        let options = options
            .application_name(&self.application_name)
            .options(POOLED);
        let mut attempt = Box::pin(proven(options, self.expected(place)));
        match tokio::time::timeout(self.timeout, &mut attempt).await {
            Ok(Ok(fresh)) => (Ok(fresh), None),
            Ok(Err((error, conn))) => (Err(error), conn.map(ending)),
            Err(elapsed) => {
                let error = OpenError::Unavailable(Box::new(elapsed));
                (Err(error), Some(Box::pin(settled(attempt))))
            }
        }
    }

    /// Opens, proves and closes a connection outside of the budget, as one for a pool is opened.
    pub(crate) async fn probe(&self, place: &Place) -> Result<(), OpenError> {
        let options = self
            .options_of(place)?
            .application_name(&self.reserve_name)
            .options(POOLED);
        let proving = unbudgeted(options, self.expected(place));
        let Fresh { conn, .. } = self.bounded(proving).await?;
        // A server that cannot be told has ended it, or will when it notices.
        let _ = tokio::time::timeout(self.timeout, conn.close()).await;
        Ok(())
    }

    /// A connection outside of the budget, for ending others of the same login.
    pub(crate) async fn open_reserve(&self, place: &Place) -> Result<PgConnection, OpenError> {
        let options = self.options_of(place)?.application_name(&self.reserve_name);
        self.bounded(login(options)).await
    }

    /// [`Connector::open_reserve`] with a password in clear: of a login that is no tenant's place any more.
    pub(crate) async fn open_reserve_with(
        &self,
        address: &Address,
        database: &DbName,
        login_name: &RoleName,
        password: &Secret,
    ) -> Result<PgConnection, OpenError> {
        let options = self.options(address, database, login_name, password);
        self.bounded(login(options.application_name(&self.reserve_name)))
            .await
    }

    /// Logs in outside of the budget, with a password in clear. Whoever calls it lets nobody have the
    /// session before [`Connector::prove`] was asked.
    pub(crate) async fn knock(
        &self,
        address: &Address,
        database: &DbName,
        name: &RoleName,
        password: &Secret,
    ) -> Result<PgConnection, OpenError> {
        let options = self
            .options(address, database, name, password)
            .application_name(&self.reserve_name)
            .options(PROOF);
        self.bounded(login(options)).await
    }

    /// Asks a session that [`Connector::knock`] opened which database it is in.
    pub(crate) async fn prove(
        &self,
        conn: PgConnection,
        expected: Expected,
    ) -> Result<Fresh, OpenError> {
        let asking = asked(conn, expected);
        // Nobody counts it: dropped, it ends.
        self.bounded(async { asking.await.map_err(|(error, _)| error) })
            .await
    }

    pub(crate) fn expected(&self, place: &Place) -> Expected {
        Expected {
            installation: self.installation,
            database_id: place.database_id,
            epoch: place.epoch,
        }
    }

    fn options_of(&self, place: &Place) -> Result<PgConnectOptions, OpenError> {
        let password = self
            .keys
            .open(
                &SealedPlace::login(place.database_id, "router"),
                &place.sealed,
            )
            .map_err(OpenError::Sealed)?;
        Ok(self.options(&place.address, &place.database, &place.login, &password))
    }

    fn options(
        &self,
        address: &Address,
        database: &DbName,
        login: &RoleName,
        password: &Secret,
    ) -> PgConnectOptions {
        let tls = match address.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        let options = match &address.root_ca {
            Some(root_ca) => self
                .base
                .clone()
                .ssl_root_cert_from_pem(root_ca.as_str().into()),
            None => self.base.clone(),
        };
        options
            .host(&address.host)
            .port(address.port)
            .ssl_mode(tls)
            .database(database.as_str())
            .username(login.as_str())
            .password(password.expose())
    }

    async fn bounded<T>(
        &self,
        opening: impl Future<Output = Result<T, OpenError>>,
    ) -> Result<T, OpenError> {
        match tokio::time::timeout(self.timeout, opening).await {
            Ok(result) => result,
            Err(elapsed) => Err(OpenError::Unavailable(Box::new(elapsed))),
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // sqlx's options show a password that came from the environment.
        f.debug_struct("Connector")
            .field("name", &self.application_name)
            .finish_non_exhaustive()
    }
}

/// Logs in and asks for the identity before anything else is sent. A connection that is not what was
/// expected comes with the error, to be ended.
async fn proven(
    options: PgConnectOptions,
    expected: Expected,
) -> Result<Fresh, (OpenError, Option<PgConnection>)> {
    let conn = login(options).await.map_err(|error| (error, None))?;
    asked(conn, expected)
        .await
        .map_err(|(error, conn)| (error, Some(conn)))
}

/// The identity is asked for before anything else is sent.
async fn asked(
    mut conn: PgConnection,
    expected: Expected,
) -> Result<Fresh, (OpenError, PgConnection)> {
    let asking = identity::read_with_backend(&mut conn).instrument(spans::prove());
    let found = match asking.await {
        Ok(found) => found,
        Err(TenantDbError::IdentityUnreadable(_)) => None,
        Err(error) => return Err((OpenError::Unavailable(Box::new(error)), conn)),
    };
    let right = |found: &Identity| {
        found.installation == expected.installation
            && found.database_id == expected.database_id
            && found.epoch == expected.epoch
    };
    match found {
        Some((found, pid)) if right(&found) => Ok(Fresh {
            conn,
            backend: Backend { pid },
        }),
        other => {
            let found = other.map(|(found, _)| found);
            Err((OpenError::WrongDatabase { expected, found }, conn))
        }
    }
}

/// Outside of the budget nobody counts when a connection that is not what was expected has ended.
fn unbudgeted(options: PgConnectOptions, expected: Expected) -> Attempt {
    Box::pin(async move { proven(options, expected).await.map_err(|(error, _)| error) })
}

/// The rest of an attempt, the end of what it led to included.
async fn settled(
    proving: impl Future<Output = Result<Fresh, (OpenError, Option<PgConnection>)>>,
) -> Result<Fresh, OpenError> {
    match proving.await {
        Ok(fresh) => Ok(fresh),
        Err((error, conn)) => {
            if let Some(mut conn) = conn {
                let _ = session::end(&mut conn).await;
            }
            Err(error)
        }
    }
}

/// The end of a connection that is not what was expected: all that is left of its attempt.
fn ending(mut conn: PgConnection) -> Attempt {
    Box::pin(async move {
        let _ = session::end(&mut conn).await;
        let over = sqlx::Error::Protocol("not the expected database".into());
        Err(OpenError::Unavailable(Box::new(over)))
    })
}

async fn login(options: PgConnectOptions) -> Result<PgConnection, OpenError> {
    options
        .connect()
        .await
        .map_err(|error| match refusal(&error) {
            Some(sqlstate) => OpenError::Refused {
                sqlstate,
                source: error,
            },
            None => OpenError::Unavailable(Box::new(error)),
        })
}

/// The SQLSTATE when the server refused this login or this database, rather than being ill:
/// wrong password or no such login (28P01, 28000), no CONNECT (42501), no such database (3D000),
/// a database that takes no connections (55000).
fn refusal(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    matches!(
        code.as_ref(),
        "28P01" | "28000" | "42501" | "3D000" | "55000"
    )
    .then(|| code.into_owned())
}
