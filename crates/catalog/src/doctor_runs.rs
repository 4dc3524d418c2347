//! Runs of the doctor: who carries one, how far it has come, what it found.
//!
//! One is on its way at a time, over all processes. Its lease is set and judged by the catalog's clock;
//! a run whose process died ends as failed when the next one begins.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{DoctorRunId, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

/// "doctor" in ASCII: who begins a run waits for whoever is just beginning one.
const LOCK: i64 = 0x0064_6f63_746f_7200;

/// How many runs are kept.
const KEPT: i64 = 100;

// The one text of the columns; what differs is the rest. Stands first because a macro is known only
// below itself.
macro_rules! run_query {
    ($which:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            RunRow,
            r#"SELECT id, status, asked_by, replica, options, started_at, finished_at, progress,
                      report, error, lease_until > clock_timestamp() AS "held!"
               FROM doctor_runs "# + $which
            $(, $arg)*
        )
    };
}

words! {
    /// How far a run has come.
    pub enum Status {
        /// On its way.
        Running = "running",
        /// It has looked at everything that it was to look at.
        Done = "done",
        /// It could not look, or its process died.
        Failed = "failed",
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: DoctorRunId,
    /// How far it has come.
    pub status: Status,
    /// Who asked for it.
    pub asked_by: String,
    /// The process that carries it.
    pub replica: String,
    /// What it was asked to do.
    pub options: Value,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How far it has come.
    pub progress: Value,
    /// What it found.
    pub report: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A run that is to be.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: DoctorRunId,
    /// Who asks for it.
    pub asked_by: &'a str,
    /// The process that will carry it.
    pub replica: &'a str,
    /// What it is asked to do.
    pub options: &'a Value,
}

/// Begins a run, and forgets the oldest ones. `Err` with the one that is on its way, if there is one.
///
/// # Errors
/// When the catalog does not answer; the transaction is of no more use then.
pub async fn begin(
    conn: &mut PgConnection,
    new: &NewRun<'_>,
    ttl: Duration,
) -> Result<Result<(), DoctorRunId>, CatalogError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "UPDATE doctor_runs SET status = 'failed', finished_at = clock_timestamp(), error = 'its process ended'
         WHERE status = 'running' AND lease_until <= clock_timestamp()",
    )
    .execute(&mut *conn)
    .await?;
    let running = sqlx::query_scalar!("SELECT id FROM doctor_runs WHERE status = 'running'")
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(running) = running {
        return Ok(Err(DoctorRunId::from_uuid(running)));
    }
    sqlx::query!(
        "INSERT INTO doctor_runs (id, status, asked_by, replica, options, lease_until)
         VALUES ($1, 'running', $2, $3, $4, clock_timestamp() + make_interval(secs => $5))",
        new.id.as_uuid(),
        new.asked_by,
        new.replica,
        new.options,
        ttl.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM doctor_runs
         WHERE id NOT IN (SELECT id FROM doctor_runs ORDER BY started_at DESC LIMIT $1)",
        KEPT,
    )
    .execute(conn)
    .await?;
    Ok(Ok(()))
}

/// As [`begin`], unless one that looks at everything began less than this ago, or failed less than five
/// minutes ago: what a timer in each process asks. `false`: there is nothing to do.
///
/// # Errors
/// As [`begin`].
pub async fn begin_when_due(
    conn: &mut PgConnection,
    new: &NewRun<'_>,
    ttl: Duration,
    every: Duration,
) -> Result<bool, CatalogError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK)
        .execute(&mut *conn)
        .await?;
    let fresh = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM doctor_runs
                          WHERE started_at > clock_timestamp() - make_interval(secs => $1)
                            AND options ->> 'tenant' IS NULL AND options ->> 'cluster' IS NULL
                            AND options ->> 'quick' = 'false'
                            AND (status <> 'failed' OR started_at > clock_timestamp() - interval '5 minutes'))
                  AS "fresh!""#,
        every.as_secs_f64(),
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(!fresh && begin(conn, new, ttl).await?.is_ok())
}

/// Renews a run's lease and says how far it has come. `false`: it has ended, or was given up.
///
/// # Errors
/// When the catalog does not answer.
pub async fn renew(
    conn: &mut PgConnection,
    id: DoctorRunId,
    ttl: Duration,
    progress: &Value,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE doctor_runs
         SET lease_until = clock_timestamp() + make_interval(secs => $2), progress = $3
         WHERE id = $1 AND status = 'running'",
        id.as_uuid(),
        ttl.as_secs_f64(),
        progress,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a run with what it found, or with why it could not look. `false`: it had ended before.
///
/// # Errors
/// When the catalog does not answer.
pub async fn finish(
    conn: &mut PgConnection,
    id: DoctorRunId,
    outcome: Result<&Value, &str>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE doctor_runs
         SET status = CASE WHEN $2::jsonb IS NULL THEN 'failed' ELSE 'done' END,
             finished_at = clock_timestamp(), report = $2, error = $3
         WHERE id = $1 AND status = 'running'",
        id.as_uuid(),
        outcome.ok(),
        outcome.err(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The run of this id.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_id(conn: &mut PgConnection, id: DoctorRunId) -> Result<Option<Run>, CatalogError> {
    run_query!("WHERE id = $1", id.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(RunRow::decode)
        .transpose()
}

/// The newest run, which may be on its way.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn newest(conn: &mut PgConnection) -> Result<Option<Run>, CatalogError> {
    run_query!("ORDER BY started_at DESC LIMIT 1")
        .fetch_optional(conn)
        .await?
        .map(RunRow::decode)
        .transpose()
}

/// The newest run over the whole installation that has ended.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn last(conn: &mut PgConnection) -> Result<Option<Run>, CatalogError> {
    run_query!(
        "WHERE finished_at IS NOT NULL AND options ->> 'tenant' IS NULL AND options ->> 'cluster' IS NULL
         ORDER BY started_at DESC LIMIT 1"
    )
    .fetch_optional(conn)
    .await?
    .map(RunRow::decode)
    .transpose()
}

/// The newest run that looked at this tenant on this cluster, as one of all or by itself.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn last_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    cluster: &str,
) -> Result<Option<Run>, CatalogError> {
    run_query!(
        "WHERE status = 'done' AND coalesce(options ->> 'tenant', $1) = $1
           AND coalesce(options ->> 'cluster', $2) = $2
         ORDER BY started_at DESC LIMIT 1",
        tenant.to_string(),
        cluster
    )
    .fetch_optional(conn)
    .await?
    .map(RunRow::decode)
    .transpose()
}

/// How many findings [`last`] has by severity, if it found any way to look.
///
/// # Errors
/// When the catalog does not answer.
pub async fn last_counts(conn: &mut PgConnection) -> Result<Option<Value>, CatalogError> {
    let counts = sqlx::query_scalar!(
        "SELECT report -> 'counts' FROM doctor_runs
         WHERE finished_at IS NOT NULL AND options ->> 'tenant' IS NULL AND options ->> 'cluster' IS NULL
         ORDER BY started_at DESC LIMIT 1"
    )
    .fetch_optional(conn)
    .await?;
    Ok(counts.flatten())
}

struct RunRow {
    id: Uuid,
    status: String,
    asked_by: String,
    replica: String,
    options: Value,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    progress: Value,
    report: Option<Value>,
    error: Option<String>,
    held: bool,
}

impl RunRow {
    fn decode(self) -> Result<Run, CatalogError> {
        let row = Row::of("doctor_runs", self.id);
        let status = row.column("status", self.status.parse())?;
        // Nobody has said so yet, as nobody has begun another one.
        let dead = status == Status::Running && !self.held;
        Ok(Run {
            id: DoctorRunId::from_uuid(self.id),
            status: if dead { Status::Failed } else { status },
            asked_by: self.asked_by,
            replica: self.replica,
            options: self.options,
            started_at: self.started_at,
            finished_at: self.finished_at,
            progress: self.progress,
            report: self.report,
            error: if dead {
                Some("its process ended".to_owned())
            } else {
                self.error
            },
        })
    }
}
