//! The admin login of a cluster and its sessions.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow, PgSslMode};
use sqlx::query::QueryAs;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow, PgConnection, Postgres};
use tenantry_types::{DbName, RoleName, RootCa, Secret};

use crate::ClusterError;

/// How long opening a session may take. A server that hangs is found before anything is begun on it, and a
/// third of the time that a request may take leaves room to say so; one that is only busy, with a storm of
/// sign-ups for instance, gets its time: 3 s once refused sign-ups on a machine that did six things at once.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a goodbye may take. What comes of it changes nothing.
const GOODBYE: Duration = Duration::from_secs(3);
/// What the server grants a statement. A clone with a checkpoint on a slow disk is the longest.
const STATEMENT: Duration = Duration::from_secs(60);
/// What the server lets a statement wait for a lock: a tenant can hold the lock on its own role's
/// row for as long as it likes (`BEGIN; ALTER ROLE …`), so nothing here waits without an end.
const LOCK: Duration = Duration::from_secs(5);
/// What we wait for an answer: longer than the server takes, shorter than a dead network.
const ANSWER: Duration = Duration::from_secs(75);

/// Whether and how a connection to a cluster is encrypted, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server offers it; protects against nobody who can change traffic.
    Prefer,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate for this host name by a known authority.
    VerifyFull,
}

/// Where a cluster listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
    tls: TlsMode,
    root_ca: Option<RootCa>,
}

/// The admin login of one cluster.
#[derive(Clone)]
pub struct Admin {
    address: Address,
    maintenance: DbName,
    login: RoleName,
    password: Secret,
    relaxed: bool,
}

/// A session of the admin login.
///
/// Its connection cannot be reached from outside of this crate: no SQL that a customer or a
/// migration wrote runs on it.
pub struct AdminConn {
    conn: PgConnection,
    /// Whose session it is and under which name, for a second one beside it.
    admin: Admin,
    application_name: String,
    /// The server's process, once it was asked.
    pid: Option<i32>,
    /// Set when an answer never came: what the session does now is not known.
    lost: bool,
}

impl Address {
    /// An address; `tls` is `disable`, `prefer`, `require` or `verify-full`, as the catalog keeps it.
    /// Any other word counts as `verify-full`, so that a typing error never lowers the guard.
    #[must_use]
    pub fn new(host: &str, port: u16, tls: &str) -> Self {
        let tls = match tls {
            "disable" => TlsMode::Disable,
            "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            _ => TlsMode::VerifyFull,
        };
        Self {
            host: host.to_owned(),
            port,
            tls,
            root_ca: None,
        }
    }

    /// The same, where the server's certificate is from an authority of its own. Public ones are trusted
    /// as well.
    #[must_use]
    pub fn trusting(mut self, root_ca: Option<RootCa>) -> Self {
        self.root_ca = root_ca;
        self
    }

    /// Host name or IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the certificate may be from an authority that was given.
    pub(crate) fn has_root_ca(&self) -> bool {
        self.root_ca.is_some()
    }

    /// Whether and how the connection is encrypted.
    #[must_use]
    pub fn tls(&self) -> TlsMode {
        self.tls
    }
}

impl Admin {
    /// The admin login at `address`; `maintenance` is the database it works from, mostly `postgres`.
    #[must_use]
    pub fn new(address: Address, maintenance: DbName, login: RoleName, password: Secret) -> Self {
        Self {
            address,
            maintenance,
            login,
            password,
            relaxed: false,
        }
    }

    /// The same login, whose sessions do not wait for the disk at each commit
    /// (`synchronous_commit`, Postgres manual 20.5.1). For a piece of work of which nothing counts
    /// before a last commit on the same server that does wait: with it all that came before is on disk.
    #[must_use]
    pub fn relaxed(mut self) -> Self {
        self.relaxed = true;
        self
    }

    /// Where the cluster listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The login's name.
    #[must_use]
    pub fn login(&self) -> &RoleName {
        &self.login
    }

    /// Opens a session in the maintenance database.
    ///
    /// # Errors
    /// [`ClusterError::Unavailable`] when no session is open within 10 seconds.
    pub async fn connect(&self, application_name: &str) -> Result<AdminConn, ClusterError> {
        self.open(&self.maintenance, application_name).await
    }

    /// Opens a session inside a tenant's database, for its identity and its note and nothing else.
    ///
    /// # Errors
    /// [`ClusterError::Unavailable`] when no session is open within 10 seconds.
    pub async fn enter(
        &self,
        database: &DbName,
        application_name: &str,
    ) -> Result<AdminConn, ClusterError> {
        self.open(database, application_name).await
    }

    async fn open(&self, database: &DbName, name: &str) -> Result<AdminConn, ClusterError> {
        let ssl = match self.address.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        // Settings in the startup packet win over those of the database and the role, and are in
        // force before the first statement: no name is ever looked up in a schema of a tenant's.
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.address.host)
            .port(self.address.port)
            .ssl_mode(ssl)
            .username(self.login.as_str())
            .password(self.password.expose())
            .database(database.as_str())
            .application_name(name)
            .options([
                ("search_path", "pg_catalog".to_owned()),
                ("standard_conforming_strings", "on".to_owned()),
                ("statement_timeout", STATEMENT.as_millis().to_string()),
                ("lock_timeout", LOCK.as_millis().to_string()),
            ])
            .disable_statement_logging();
        if let Some(root_ca) = &self.address.root_ca {
            options = options.ssl_root_cert_from_pem(root_ca.as_str().into());
        }
        if self.relaxed {
            options = options.options([("synchronous_commit", "off")]);
        }
        match tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await {
            Ok(conn) => Ok(AdminConn {
                conn: conn?,
                admin: self.clone(),
                application_name: name.to_owned(),
                pid: None,
                lost: false,
            }),
            Err(_) => Err(ClusterError::late("no session in time")),
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("address", &self.address)
            .field("maintenance", &self.maintenance)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AdminConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminConn")
    }
}

impl AdminConn {
    /// Ends the session in order; a dropped one is ended by the server when it sees the end of the
    /// stream, a moment later.
    pub async fn close(self) {
        // What the server answers to a goodbye changes nothing.
        let _ = tokio::time::timeout(GOODBYE, self.conn.close()).await;
    }

    /// Ends the session and returns when the server's process is gone, which closes the connection
    /// last of all: from then on nobody is in the database for a rename to wait for.
    pub async fn end(mut self) {
        let gone = async {
            let farewell = "SELECT pg_terminate_backend(pg_backend_pid())";
            let _ = sqlx::raw_sql(farewell).execute(&mut self.conn).await;
            // Its last word may come before the end of the stream.
            while !matches!(self.conn.ping().await, Ok(()) | Err(sqlx::Error::Io(_))) {}
        };
        // Whoever needs it gone finds out when it is not.
        let _ = tokio::time::timeout(GOODBYE, gone).await;
    }

    /// Takes an idle session for another piece of work.
    ///
    /// # Errors
    /// When the session has ended meanwhile.
    pub async fn take_over(&mut self, application_name: &str) -> Result<(), ClusterError> {
        let set =
            sqlx::query_as::<_, (String,)>("SELECT set_config('application_name', $1, false)");
        self.one(set.bind(application_name.to_owned())).await?;
        application_name.clone_into(&mut self.application_name);
        Ok(())
    }

    /// From here on each commit of a relaxed session waits for the disk, too.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn wait_for_disk(&mut self) -> Result<(), ClusterError> {
        self.run("SET synchronous_commit = on".to_owned())
            .await
            .map(drop)
    }

    /// The login whose session this is.
    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The session's `application_name`.
    pub(crate) fn application_name(&self) -> &str {
        &self.application_name
    }

    /// The server's process of this session.
    pub(crate) async fn pid(&mut self) -> Result<i32, ClusterError> {
        if let Some(pid) = self.pid {
            return Ok(pid);
        }
        let (pid,) = self
            .one(sqlx::query_as::<_, (i32,)>("SELECT pg_backend_pid()"))
            .await?;
        self.pid = Some(pid);
        Ok(pid)
    }

    /// Runs statements in the simple protocol: several, separated by semicolons, are one
    /// transaction; a single one runs outside of a transaction block, as `CREATE DATABASE` demands.
    /// Gives the rows of those that are queries.
    pub(crate) async fn run(&mut self, sql: String) -> Result<Vec<PgRow>, ClusterError> {
        self.usable()?;
        let answer = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.conn);
        let answer = tokio::time::timeout(ANSWER, answer).await;
        self.answered(answer)
    }

    /// The rows of a query.
    pub(crate) async fn all<O>(
        &mut self,
        query: QueryAs<'_, Postgres, O, PgArguments>,
    ) -> Result<Vec<O>, ClusterError>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.usable()?;
        let answer = query.fetch_all(&mut self.conn);
        let answer = tokio::time::timeout(ANSWER, answer).await;
        self.answered(answer)
    }

    /// The only row of a query, if there is one.
    pub(crate) async fn optional<O>(
        &mut self,
        query: QueryAs<'_, Postgres, O, PgArguments>,
    ) -> Result<Option<O>, ClusterError>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// The only row of a query that always has one.
    pub(crate) async fn one<O>(
        &mut self,
        query: QueryAs<'_, Postgres, O, PgArguments>,
    ) -> Result<O, ClusterError>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let row = self.optional(query).await?;
        row.ok_or_else(|| ClusterError::Internal(Box::new(sqlx::Error::RowNotFound)))
    }

    fn usable(&self) -> Result<(), ClusterError> {
        if self.lost {
            Err(ClusterError::late(
                "an earlier answer of this session never came",
            ))
        } else {
            Ok(())
        }
    }

    fn answered<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, ClusterError> {
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.lost = true;
                Err(ClusterError::late("no answer within 75 seconds"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_for_tls_is_the_strictest() {
        assert_eq!(Address::new("h", 1, "disable").tls(), TlsMode::Disable);
        assert_eq!(Address::new("h", 1, "require").tls(), TlsMode::Require);
        assert_eq!(
            Address::new("h", 1, "verify_full").tls(),
            TlsMode::VerifyFull
        );
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let admin = Admin::new(
            Address::new("h", 1, "disable"),
            DbName::parse("postgres").expect("a name"),
            RoleName::parse("adm").expect("a name"),
            Secret::new("hunter2"),
        );
        assert!(!format!("{admin:?}").contains("hunter2"));
    }
}
