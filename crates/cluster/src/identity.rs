//! The identity in a tenant's database: which database this is, and its epoch.
//!
//! The only thing that an admin session writes inside a tenant's database. The table belongs to the
//! admin and gives others SELECT alone, so that nobody can hang a trigger, a rule or a foreign key
//! on it: no code but Postgres's own runs here. A tenant reads it through `tenantdb::identity`.

use tenantry_types::{DatabaseId, InstallationId};

use crate::{AdminConn, ClusterError};

/// Writes the identity, or its new epoch, into the database that `conn` has entered.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the identity there is another database's.
pub async fn write(
    conn: &mut AdminConn,
    installation: InstallationId,
    database: DatabaseId,
    epoch: i64,
) -> Result<(), ClusterError> {
    write_over(conn, installation, database, database, epoch).await
}

/// Gives a clone its own identity in place of its template's.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the identity there is neither the template's nor its own already.
pub async fn replace(
    conn: &mut AdminConn,
    installation: InstallationId,
    template: DatabaseId,
    database: DatabaseId,
    epoch: i64,
) -> Result<(), ClusterError> {
    write_over(conn, installation, template, database, epoch).await
}

async fn write_over(
    conn: &mut AdminConn,
    installation: InstallationId,
    former: DatabaseId,
    database: DatabaseId,
    epoch: i64,
) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "INSERT INTO tenantry_self.identity AS i (is_only, installation, database_id, epoch)
         VALUES (true, $1, $2, $3)
         ON CONFLICT (is_only) DO UPDATE
         SET database_id = excluded.database_id, epoch = excluded.epoch
         WHERE i.installation = excluded.installation
           AND i.database_id IN (excluded.database_id, $4)
         RETURNING i.epoch",
    );
    let query = query
        .bind(installation.as_uuid())
        .bind(database.as_uuid())
        .bind(epoch)
        .bind(former.as_uuid());
    match conn.optional(query).await? {
        Some(_) => Ok(()),
        None => Err(ClusterError::NotOurs(
            "the identity in this database".to_owned(),
        )),
    }
}
