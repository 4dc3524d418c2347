//! Durable operations: who works on which one, and how far it has come.
//!
//! A worker holds a lease. Each time somebody takes it the fence rises by one, and every write of a
//! worker names its fence in the same statement that writes: a worker that slept through the end of
//! its lease changes nothing. Leases are set and judged by the database's clock alone.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{ErrorKind, OperationId, OperatorId, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

mod control;
mod lease;
mod list;
mod standing;

pub use control::{
    ABANDONED, Decision, abandon, ask_to_cancel, given_up, remember_standing, retry,
};
pub use lease::{claim_next, hold, release, renew};
pub use list::{Cursor, Filter, InvalidCursor, Page, page};
pub use standing::{Stuck, abandoned, open_by_status, parked};

words! {
    /// How far an operation has come.
    pub enum Status {
        /// Going forward.
        Running = "running",
        /// Failed, and going backward.
        Undoing = "undoing",
        /// Done.
        Done = "done",
        /// Failed and undone.
        Failed = "failed",
        /// Stuck, and waiting for a person.
        Parked = "parked",
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does, e.g. `create`.
    pub kind: String,
    /// The tenant it is about.
    pub tenant_id: Option<TenantId>,
    /// How far it has come.
    pub status: Status,
    /// What it was asked to do and what it has decided since. Holds no secret.
    pub params: Value,
    /// What came of it.
    pub result: Option<Value>,
    /// Why it failed or is stuck.
    pub error: Option<Value>,
    /// Who asked for it.
    pub asked_by: String,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// The number of times somebody took its lease.
    pub fence: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who wants it ended short of its goal.
    pub cancel_asked_by: Option<String>,
    /// The journal up to this line counts no failures.
    pub tries_after: i32,
}

/// An operation that is to be.
#[derive(Clone, Debug)]
pub struct NewOperation<'a> {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: &'a str,
    /// The tenant it is about.
    pub tenant_id: Option<TenantId>,
    /// What it was asked to do. Holds no secret.
    pub params: &'a Value,
    /// Who asks for it.
    pub asked_by: &'a str,
    /// The operator, where it is one: a name may be another's later.
    pub operator: Option<OperatorId>,
    /// The request that asks for it.
    pub request_id: Option<&'a str>,
}

/// Why an operation was not begun.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// Another one is open (or parked) for the tenant.
    #[error("operation {0} is in progress for this tenant")]
    OperationInProgress(OperationId),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Inserts an operation whose lease this worker holds; gives its first fence. The transaction stays
/// usable when it is refused.
///
/// # Errors
/// [`InsertError::OperationInProgress`] with the one that is, or when the catalog fails.
pub async fn insert_leased(
    conn: &mut PgConnection,
    new: &NewOperation<'_>,
    holder: Uuid,
    ttl: Duration,
) -> Result<i64, InsertError> {
    loop {
        // Waits for another transaction that is inserting one for the same tenant.
        let fence = sqlx::query_scalar!(
            "INSERT INTO operations (id, kind, tenant_id, status, params, asked_by, request_id,
                                     lease_holder, lease_until, fence, operator_id, configuration_before)
             VALUES ($1, $2, $3, 'running', $4, $5, $6,
                     $7, clock_timestamp() + make_interval(secs => $8), 1, $9, tenant_configuration($3))
             ON CONFLICT (tenant_id) WHERE status IN ('running', 'undoing', 'parked') DO NOTHING
             RETURNING fence",
            new.id.as_uuid(),
            new.kind,
            new.tenant_id.map(|id| id.as_uuid()),
            new.params,
            new.asked_by,
            new.request_id,
            holder,
            ttl.as_secs_f64(),
            new.operator.map(|operator| operator.as_uuid()),
        )
        .fetch_optional(&mut *conn)
        .await
        .map_err(CatalogError::from)?;
        if let Some(fence) = fence {
            return Ok(fence);
        }
        // Only a tenant's row can clash. The other operation may end between the two statements:
        // then there is room for this one.
        if let Some(tenant) = new.tenant_id
            && let Some(running) = running_for_tenant(conn, tenant).await?
        {
            return Err(InsertError::OperationInProgress(running));
        }
    }
}

/// Sets the state to `running`, `undoing` or `parked`, and the error where there is one; for the
/// others there is [`finish`]. A parked operation has no lease. `false`: it is another's now, or it
/// has ended; nothing was written.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_status(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
    status: Status,
    error: Option<&Value>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations
         SET status = $3, error = coalesce($4, error), updated_at = clock_timestamp(),
             lease_holder = CASE WHEN $3 = 'parked' THEN NULL ELSE lease_holder END,
             lease_until = CASE WHEN $3 = 'parked' THEN NULL ELSE lease_until END
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')",
        id.as_uuid(),
        fence,
        status.as_str(),
        error,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces what the operation remembers. `false`: it is another's now, or it has ended; nothing was
/// written.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_params(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
    params: &Value,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations SET params = $3, updated_at = clock_timestamp()
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')",
        id.as_uuid(),
        fence,
        params,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the operation as `done` or `failed`; the lease ends with it. `false`: it is another's now,
/// or it has ended; nothing was written.
///
/// # Errors
/// When the catalog does not answer.
pub async fn finish(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
    status: Status,
    result: Option<&Value>,
    error: Option<&Value>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations
         SET status = $3, result = $4, error = coalesce($5, error), lease_holder = NULL,
             configuration_after = tenant_configuration(tenant_id), lease_until = NULL, updated_at = clock_timestamp(), finished_at = clock_timestamp()
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')",
        id.as_uuid(),
        fence,
        status.as_str(),
        result,
        error,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the operation as `done`, with the journal's line that its last step is, in one statement.
/// `false` as in [`finish`].
///
/// It does not wait for the disk: when it is lost in a crash the last step is repeated.
///
/// # Errors
/// When the catalog does not answer.
pub async fn complete(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
    step: &str,
    result: &Value,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "WITH ended AS (
           UPDATE operations
           SET status = 'done', result = $4, steps = steps + 1, lease_holder = NULL,
               configuration_after = tenant_configuration(tenant_id), lease_until = NULL, updated_at = clock_timestamp(), finished_at = clock_timestamp()
           WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')
           RETURNING id, steps
         )
         INSERT INTO operation_steps (operation_id, seq, step, event, fence, at, detail)
         SELECT id, steps, $3, 'done', $2, clock_timestamp(), '{}' FROM ended
         WHERE set_config('synchronous_commit', 'off', true) = 'off'",
        id.as_uuid(),
        fence,
        step,
        result,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The operation of this id.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_id(
    conn: &mut PgConnection,
    id: OperationId,
) -> Result<Option<Operation>, CatalogError> {
    sqlx::query_as!(
        OperationRow,
        "SELECT id, kind, tenant_id, status, params, result, error, asked_by, request_id, fence,
                created_at, updated_at, finished_at, cancel_asked_by, tries_after
         FROM operations WHERE id = $1",
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?
    .map(OperationRow::decode)
    .transpose()
}

/// What the tenant of an operation was like when it began and when it had ended, without secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configurations {
    /// `None`: there was no such tenant yet.
    pub before: Option<Value>,
    /// `None`: it has not ended, or there is no such tenant any more.
    pub after: Option<Value>,
}

/// Both configurations of an operation's tenant; empty where the operation is not there.
///
/// # Errors
/// When the catalog does not answer.
pub async fn configurations(
    conn: &mut PgConnection,
    id: OperationId,
) -> Result<Configurations, CatalogError> {
    let found = sqlx::query_as!(
        Configurations,
        "SELECT configuration_before AS before, configuration_after AS after
         FROM operations WHERE id = $1",
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.unwrap_or_default())
}

/// The operation that is open, or parked, for a tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn running_for_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<OperationId>, CatalogError> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM operations
         WHERE tenant_id = $1 AND status IN ('running', 'undoing', 'parked')",
        tenant.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(OperationId::from_uuid))
}

/// How many operations wait for a person.
///
/// # Errors
/// When the catalog does not answer.
pub async fn count_parked(conn: &mut PgConnection) -> Result<i64, CatalogError> {
    // Read from the index of open operations: what has ended, which is nearly all, is not looked at.
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM operations WHERE status = 'parked'"#,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// Ends the tenant's parked operation, if there is one, because `by` makes what it was to repair
/// superfluous; gives the ended one.
///
/// # Errors
/// When the catalog does not answer.
pub async fn supersede_parked(
    conn: &mut PgConnection,
    tenant: TenantId,
    by: OperationId,
) -> Result<Option<Operation>, CatalogError> {
    let id = sqlx::query_scalar!(
        "UPDATE operations
         SET status = 'failed', result = jsonb_build_object('supersededBy', $2::uuid),
             updated_at = clock_timestamp(), finished_at = clock_timestamp()
         WHERE tenant_id = $1 AND status = 'parked'
         RETURNING id",
        tenant.as_uuid(),
        by.as_uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    match id {
        Some(id) => by_id(conn, OperationId::from_uuid(id)).await,
        None => Ok(None),
    }
}

/// The running operation of a kind that is about no tenant, e.g. `migrate`. Other transactions that
/// ask the same wait until this one ends, so that what is begun after a "none" is the only one.
///
/// # Errors
/// When the catalog does not answer.
pub async fn lock_fleet_kind(
    conn: &mut PgConnection,
    kind: &str,
) -> Result<Option<OperationId>, CatalogError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('operation/' || $1, 0))",
        kind
    )
    .execute(&mut *conn)
    .await?;
    let id = sqlx::query_scalar!(
        "SELECT id FROM operations
         WHERE tenant_id IS NULL AND kind = $1 AND status IN ('running', 'undoing')",
        kind,
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(OperationId::from_uuid))
}

/// How many operations are open. A parked one is not.
///
/// # Errors
/// When the catalog does not answer.
pub async fn open_count(conn: &mut PgConnection) -> Result<i64, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM operations WHERE status IN ('running', 'undoing')"#
    )
    .fetch_one(conn)
    .await?)
}

impl InsertError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OperationInProgress(_) => ErrorKind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OperationInProgress(_) => "OPERATION_IN_PROGRESS",
            Self::Catalog(error) => error.code(),
        }
    }
}

struct OperationRow {
    id: Uuid,
    kind: String,
    tenant_id: Option<Uuid>,
    status: String,
    params: Value,
    result: Option<Value>,
    error: Option<Value>,
    asked_by: String,
    request_id: Option<String>,
    fence: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    finished_at: Option<Timestamp>,
    cancel_asked_by: Option<String>,
    tries_after: i32,
}

impl OperationRow {
    fn decode(self) -> Result<Operation, CatalogError> {
        let row = Row::of("operations", self.id);
        Ok(Operation {
            id: self.id.into(),
            kind: self.kind,
            tenant_id: self.tenant_id.map(TenantId::from_uuid),
            status: row.column("status", self.status.parse())?,
            params: self.params,
            result: self.result,
            error: self.error,
            asked_by: self.asked_by,
            request_id: self.request_id,
            fence: self.fence,
            created_at: self.created_at,
            updated_at: self.updated_at,
            finished_at: self.finished_at,
            cancel_asked_by: self.cancel_asked_by,
            tries_after: self.tries_after,
        })
    }
}
