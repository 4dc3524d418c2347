//! The note beside the identity in a tenant's database: who the tenant is and how it stood, in the words of whoever
//! keeps the catalog. A lost catalog is rebuilt from it.
//!
//! It is the comment of the schema `tenantry_self`, which belongs to the admin: only the admin can write it, and
//! nobody outside of the database can read it. Comments of schemas need no table, so that databases from before
//! there were notes take one as they are. Nothing of a tenant's runs when a comment is written: only event triggers
//! would, and those take a superuser to make.

use crate::{AdminConn, ClusterError};

/// The longest note that is read back.
const LONGEST: i32 = 1 << 20;

/// Writes the note into the database that `conn` has entered. The caller has seen the identity there.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the schema is not the admin's.
pub async fn write(conn: &mut AdminConn, note: &str) -> Result<(), ClusterError> {
    if !is_own(conn).await? {
        return Err(ClusterError::NotOurs(
            "the schema tenantry_self in this database".to_owned(),
        ));
    }
    // COMMENT takes no bind parameter: the server quotes it.
    let quoted = sqlx::query_as::<_, (String,)>(
        "SELECT pg_catalog.format('COMMENT ON SCHEMA tenantry_self IS %L', $1::text)",
    );
    let (sql,) = conn.one(quoted.bind(note.to_owned())).await?;
    conn.run(sql).await.map(drop)
}

/// The note of the database that `conn` has entered; none where there is none that the admin wrote.
///
/// # Errors
/// When the database cannot be asked.
pub async fn read(conn: &mut AdminConn) -> Result<Option<String>, ClusterError> {
    if !is_own(conn).await? {
        return Ok(None);
    }
    let query = sqlx::query_as::<_, (Option<String>,)>(
        "SELECT pg_catalog.obj_description(n.oid, 'pg_namespace') FROM pg_catalog.pg_namespace n
         WHERE n.nspname = 'tenantry_self'
           AND pg_catalog.length(pg_catalog.obj_description(n.oid, 'pg_namespace')) <= $1",
    );
    let found = conn.optional(query.bind(LONGEST)).await?;
    Ok(found.and_then(|(note,)| note))
}

async fn is_own(conn: &mut AdminConn) -> Result<bool, ClusterError> {
    let query = sqlx::query_as::<_, (bool,)>(
        concat!("SELECT EXISTS (
             SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_database d ON d.datdba = n.nspowner
             WHERE n.nspname = 'tenantry_self' AND d.datname = pg_catalog.current_database()
               AND ", own!("d.datdba"), ")"),
    );
    Ok(conn.one(query).await?.0)
}
