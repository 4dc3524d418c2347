//! The journal of an operation: what was begun and what was reached, in order. Only ever appended to.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{OperationId, Timestamp};

use crate::CatalogError;
use crate::error::Row;

words! {
    /// What happened to a step.
    pub enum Event {
        /// It is about to be done.
        Started = "started",
        /// It was done.
        Done = "done",
        /// It failed.
        Failed = "failed",
        /// It is about to be undone.
        UndoStarted = "undo_started",
        /// It was undone.
        Undone = "undone",
        /// It could not be undone.
        UndoFailed = "undo_failed",
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place in the journal, from 1.
    pub seq: i32,
    /// The step.
    pub step: String,
    /// What happened to it.
    pub event: Event,
    /// The fence of the worker that wrote it.
    pub fence: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What is worth knowing about it. Holds no secret.
    pub detail: Value,
}

/// Appends a line. `false`: the operation is another worker's now, or has ended; nothing was written.
///
/// The check of the fence, the line's number and the line are one statement, which locks the
/// operation's row: no other worker can take the operation between the check and the commit.
///
/// Its transaction does not wait for the disk (`synchronous_commit`, Postgres manual 20.5.1). When
/// the server crashes the last lines may be lost, as if the worker had died a moment earlier: steps
/// bear being repeated. What must not be lost is written by a later transaction that waits, and with
/// it all that came before is on disk.
///
/// # Errors
/// When the catalog does not answer.
pub async fn append(
    conn: &mut PgConnection,
    operation: OperationId,
    fence: i64,
    step: &str,
    event: Event,
    detail: &Value,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "WITH held AS (
           UPDATE operations SET steps = steps + 1, updated_at = clock_timestamp()
           WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')
           RETURNING id, steps
         )
         INSERT INTO operation_steps (operation_id, seq, step, event, fence, at, detail)
         SELECT id, steps, $3, $4, $2, clock_timestamp(), $5 FROM held
         WHERE set_config('synchronous_commit', 'off', true) = 'off'",
        operation.as_uuid(),
        fence,
        step,
        event.as_str(),
        detail,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How the operation stood when its journal went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// It goes on.
    Held,
    /// It goes on, and somebody wants it ended short of its goal.
    CancelAsked,
    /// It is another worker's now, or has ended; nothing was written.
    Lost,
}

/// Appends in one statement that a step was done, that the next one is begun, or both; otherwise as
/// [`append`].
///
/// # Errors
/// When the catalog does not answer.
pub async fn advance(
    conn: &mut PgConnection,
    operation: OperationId,
    fence: i64,
    done: Option<&str>,
    started: Option<&str>,
) -> Result<Advanced, CatalogError> {
    let cancel_asked = sqlx::query_scalar!(
        r#"WITH held AS (
           UPDATE operations
           SET steps = steps + num_nonnulls($3::text, $4::text), updated_at = clock_timestamp()
           WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')
           RETURNING id, steps, cancel_asked_by IS NOT NULL AS cancel_asked
         ), written AS (
         INSERT INTO operation_steps (operation_id, seq, step, event, fence, at, detail)
         SELECT id, steps - later, line.step, event, $2, clock_timestamp(), '{}'
         FROM held, (VALUES ($3::text, 'done', num_nonnulls($4::text)), ($4::text, 'started', 0))
                AS line (step, event, later)
         WHERE line.step IS NOT NULL AND set_config('synchronous_commit', 'off', true) = 'off'
         RETURNING seq
         )
         SELECT cancel_asked AS "cancel_asked!" FROM held
         WHERE (SELECT count(*) FROM written) = num_nonnulls($3::text, $4::text)"#,
        operation.as_uuid(),
        fence,
        done,
        started,
    )
    .fetch_optional(conn)
    .await?;
    Ok(match cancel_asked {
        Some(false) => Advanced::Held,
        Some(true) => Advanced::CancelAsked,
        None => Advanced::Lost,
    })
}

/// The whole journal of an operation, in order.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn of(
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<Vec<Entry>, CatalogError> {
    after(conn, operation, 0).await
}

/// The journal of an operation after a line, in order.
///
/// # Errors
/// As [`of`].
pub async fn after(
    conn: &mut PgConnection,
    operation: OperationId,
    seq: i32,
) -> Result<Vec<Entry>, CatalogError> {
    let rows = sqlx::query!(
        "SELECT seq, step, event, fence, at, detail FROM operation_steps
         WHERE operation_id = $1 AND seq > $2 ORDER BY seq",
        operation.as_uuid(),
        seq,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|entry| {
            let row = Row::of("operation_steps", format!("{operation}/{}", entry.seq));
            Ok(Entry {
                seq: entry.seq,
                step: entry.step,
                event: row.column("event", entry.event.parse())?,
                fence: entry.fence,
                at: entry.at,
                detail: entry.detail,
            })
        })
        .collect()
}
