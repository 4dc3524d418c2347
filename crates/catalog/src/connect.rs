//! Connecting to the catalog.

use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};
use tenantry_types::Secret;

use crate::CatalogError;

/// How long a request of a tenant waits for a connection. Short, so that a catalog that is down is a quick
/// 503 and not a pile of waiting requests.
pub const ON_THE_WAY: Duration = Duration::from_secs(2);

/// How long the control plane's own work waits for one. A storm of sign-ups finds few connections open, and
/// on a busy machine opening the others takes seconds: that is no catalog that is down.
pub const OF_CONTROL: Duration = Duration::from_secs(8);

/// A connection that lay idle for so long is pinged, within the time that it may take, before it is handed out, so
/// that a server that went away or hangs is found. One that was used a moment ago is as likely to be
/// alive as one that is pinged now: a piece of work takes a connection many times, and each time
/// would be a round trip more.
const PINGED_AFTER: Duration = Duration::from_secs(1);

/// No statement of this crate takes seconds; one that does must not hold its connection for ever.
const STATEMENT: &str = "15s";

/// How long a transaction may stand still between two statements. A process that stops in the middle
/// of one holds its rows' locks, and nobody can take its operations over before they are free: so
/// this is no longer than a lease.
const IDLE_IN_TRANSACTION: &str = "5s";

/// How long the first connection may take, at the start of a program: on a busy machine a login
/// takes a while, and nobody waits for a request yet.
const FIRST: Duration = Duration::from_secs(10);

/// Opens a pool of at most `max` connections, each waited for as long as `patience` says, after a first connection was made and closed: what is
/// wrong with the address or the login is told here, and not as a timeout later.
///
/// # Errors
/// [`CatalogError::Unavailable`] when the catalog does not answer, [`CatalogError::Query`] when the
/// address is no Postgres URL or the login is refused.
pub async fn connect(
    url: &Secret,
    max: u32,
    patience: Duration,
    application_name: &str,
) -> Result<PgPool, CatalogError> {
    let options = PgConnectOptions::from_str(url.expose())?
        .application_name(application_name)
        .options([
            ("statement_timeout", STATEMENT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
        ]);
    let first = tokio::time::timeout(FIRST, options.connect())
        .await
        .map_err(|_| sqlx::Error::Io(ErrorKind::TimedOut.into()))??;
    first.close().await?;
    Ok(PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for >= PINGED_AFTER {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}
