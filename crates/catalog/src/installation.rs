//! The installation: one catalog with its keys. Its id marks everything that this catalog made.

use sqlx::PgConnection;
use tenantry_types::InstallationId;

use crate::CatalogError;

/// Makes `id` the installation's id if it has none yet; gives the one it has. Safe when two do it
/// at once: both get the same.
///
/// # Errors
/// When the catalog does not answer.
pub async fn ensure(
    conn: &mut PgConnection,
    id: InstallationId,
) -> Result<InstallationId, CatalogError> {
    sqlx::query!(
        "INSERT INTO installation (id) VALUES ($1) ON CONFLICT (one_row) DO NOTHING",
        id.as_uuid(),
    )
    .execute(&mut *conn)
    .await?;
    let id = sqlx::query_scalar!("SELECT id FROM installation")
        .fetch_one(conn)
        .await?;
    Ok(id.into())
}

/// The installation's id; none before the first start.
///
/// # Errors
/// When the catalog does not answer.
pub async fn get(conn: &mut PgConnection) -> Result<Option<InstallationId>, CatalogError> {
    let id = sqlx::query_scalar!("SELECT id FROM installation")
        .fetch_optional(conn)
        .await?;
    Ok(id.map(InstallationId::from_uuid))
}
