//! Templates: closed databases to clone from, one per cluster and set of migrations.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

// The one text of the columns; what differs is the rest. Stands first because a macro is known only
// below itself.
macro_rules! template_query {
    ($which:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            TemplateRow,
            r#"SELECT id, cluster_id, schema, db_name, ready_at IS NOT NULL AS "ready!"
               FROM templates "# + $which
            $(, $arg)*
        )
    };
}

/// One template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its id, which is in the mark of its database.
    pub id: DatabaseId,
    /// The cluster it is on.
    pub cluster_id: ClusterId,
    /// The digest of its migrations.
    pub schema: String,
    /// The database's name.
    pub db_name: DbName,
    /// Whether it is complete and closed, so that it can be cloned.
    pub ready: bool,
}

/// The template of a cluster for these migrations; `insert`ed under this id and name if there is
/// none. Of two who do it at once both get the same row.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn ensure(
    conn: &mut PgConnection,
    id: DatabaseId,
    cluster: ClusterId,
    schema: &str,
    db_name: &DbName,
) -> Result<Template, CatalogError> {
    sqlx::query!(
        "INSERT INTO templates (id, cluster_id, schema, db_name) VALUES ($1, $2, $3, $4)
         ON CONFLICT (cluster_id, schema) DO NOTHING",
        id.as_uuid(),
        cluster.as_uuid(),
        schema,
        db_name.as_str(),
    )
    .execute(&mut *conn)
    .await?;
    template_query!(
        "WHERE cluster_id = $1 AND schema = $2",
        cluster.as_uuid(),
        schema
    )
    .fetch_one(conn)
    .await?
    .decode()
}

/// The template of a cluster for these migrations, also one that is not ready.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_schema(
    conn: &mut PgConnection,
    cluster: ClusterId,
    schema: &str,
) -> Result<Option<Template>, CatalogError> {
    template_query!(
        "WHERE cluster_id = $1 AND schema = $2",
        cluster.as_uuid(),
        schema
    )
    .fetch_optional(conn)
    .await?
    .map(TemplateRow::decode)
    .transpose()
}

/// The template of a cluster for these migrations, its row locked until the transaction ends, so
/// that only one process builds it.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn lock_by_schema(
    conn: &mut PgConnection,
    cluster: ClusterId,
    schema: &str,
) -> Result<Option<Template>, CatalogError> {
    // The transaction stands still while the template is built, longer than others may.
    sqlx::query!("SET LOCAL idle_in_transaction_session_timeout = '2min'")
        .execute(&mut *conn)
        .await?;
    template_query!(
        "WHERE cluster_id = $1 AND schema = $2 FOR UPDATE",
        cluster.as_uuid(),
        schema
    )
    .fetch_optional(conn)
    .await?
    .map(TemplateRow::decode)
    .transpose()
}

/// A cluster's templates, the oldest first.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn list(
    conn: &mut PgConnection,
    cluster: ClusterId,
) -> Result<Vec<Template>, CatalogError> {
    template_query!("WHERE cluster_id = $1 ORDER BY id", cluster.as_uuid())
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(TemplateRow::decode)
        .collect()
}

/// Records that a template is complete and closed. `false`: no such template.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_ready(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE templates SET ready_at = coalesce(ready_at, clock_timestamp()) WHERE id = $1",
        id.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a template that was dropped. `false`: no such template.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, CatalogError> {
    let done = sqlx::query!("DELETE FROM templates WHERE id = $1", id.as_uuid())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

struct TemplateRow {
    id: Uuid,
    cluster_id: Uuid,
    schema: String,
    db_name: String,
    ready: bool,
}

impl TemplateRow {
    fn decode(self) -> Result<Template, CatalogError> {
        let db_name =
            Row::of("templates", self.id).column("db_name", DbName::parse(self.db_name))?;
        Ok(Template {
            id: self.id.into(),
            cluster_id: self.cluster_id.into(),
            schema: self.schema,
            db_name,
            ready: self.ready,
        })
    }
}
