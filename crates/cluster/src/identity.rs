//! The identity in a tenant's database: which database this is, and its epoch.
//!
//! The only thing that an admin session writes or reads inside a tenant's database. The table belongs to the
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

/// An identity as the admin finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The installation that it names.
    pub installation: InstallationId,
    /// The database that it names.
    pub database: DatabaseId,
    /// Its epoch.
    pub epoch: i64,
}

/// Reads the identity of the database that `conn` has entered; none where there is none that the admin
/// wrote. What lies in its place and is not the admin's own table is not read: it could be a view, and
/// would run with the admin's rights.
///
/// # Errors
/// When the database cannot be asked.
pub async fn read(conn: &mut AdminConn) -> Result<Option<Found>, ClusterError> {
    // The database's owner is the admin, by whatever login it works, and no tenant: what he owns nobody
    // else can put something in the place of.
    let safe = sqlx::query_as::<_, (bool,)>(concat!(
        "SELECT EXISTS (
             SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'tenantry_self' AND c.relname = 'identity' AND c.relkind = 'r'
               AND NOT c.relrowsecurity AND NOT c.relhasrules
               AND (c.relowner, n.nspowner) = (SELECT datdba, datdba FROM pg_database
                                               WHERE datname = current_database() AND ",
        own!("datdba"),
        "))"
    ));
    if !conn.one(safe).await?.0 {
        return Ok(None);
    }
    let query = sqlx::query_as::<_, (uuid::Uuid, uuid::Uuid, i64)>(
        "SELECT installation, database_id, epoch FROM tenantry_self.identity LIMIT 2",
    );
    let rows = conn.all(query).await?;
    let [(installation, database, epoch)] = rows[..] else {
        return Ok(None);
    };
    Ok(Some(Found {
        installation: installation.into(),
        database: database.into(),
        epoch,
    }))
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
