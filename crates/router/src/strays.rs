//! Ending the connections that a dead router left behind.
//!
//! An admin that is no superuser and may not read all statistics sees of others' sessions only whose
//! they are, not their `application_name`. A login sees its own. So whoever ends a dead router's
//! sessions logs in as each login that has any, through here, and on a reserve connection: it
//! counts against no share.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{DbName, RoleName, RouterId, Secret};
use tokio::time::timeout;

use crate::Router;
use crate::connect::Address;
use crate::prove::ProveError;
use crate::session;

/// How long each statement may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A router's login on a cluster.
#[derive(Clone, Debug)]
pub struct RouterLogin {
    /// The cluster's address.
    pub address: Address,
    /// The database that the login is for.
    pub database: DbName,
    /// The login.
    pub login: RoleName,
    /// Its password.
    pub password: Secret,
}

/// What became of a login's sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// How many were of no live router. They are gone, or will be at the next look.
    pub strays: usize,
    /// The process ids of the live routers'.
    pub spared: Vec<i32>,
}

/// The sessions of one login, as they were a moment ago.
pub struct Sessions {
    conn: PgConnection,
    found: Vec<(i32, String)>,
}

impl Router {
    /// Logs in and lists the login's other sessions.
    ///
    /// # Errors
    /// By variant, see [`ProveError`]; the identity of the database is not asked for, as nothing of the
    /// tenant's is.
    pub async fn sessions_of(&self, login: &RouterLogin) -> Result<Sessions, ProveError> {
        let connector = &self.inner.connector;
        let mut conn = connector
            .open_reserve_with(
                &login.address,
                &login.database,
                &login.login,
                &login.password,
            )
            .await?;
        let found = bounded(session::others(&mut conn)).await?;
        Ok(Sessions { conn, found })
    }
}

impl Sessions {
    /// Ends those that do not carry the name of a live router. `live` must have been read after the
    /// sessions were listed: a router registers before it opens anything.
    ///
    /// A session whose name was changed by who used it counts as nobody's and is ended.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn end_all_but(mut self, live: &[RouterId]) -> Result<Looked, ProveError> {
        let live: Vec<_> = live.iter().map(|id| format!("tenantry/{id}")).collect();
        let reserve: Vec<_> = live.iter().map(|name| format!("{name}/reserve")).collect();
        let mut looked = Looked::default();
        for (pid, name) in &self.found {
            if live.contains(name) || reserve.contains(name) {
                looked.spared.push(*pid);
            } else {
                bounded(session::end_other(&mut self.conn, *pid, name)).await?;
                looked.strays += 1;
            }
        }
        let _ = timeout(ANSWER, session::end(&mut self.conn)).await;
        Ok(looked)
    }
}

async fn bounded<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, ProveError> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ProveError::Unavailable(Box::new(error))),
        Err(elapsed) => Err(ProveError::Unavailable(Box::new(elapsed))),
    }
}
