//! What logins may do in their database, as Postgres itself answers: for the doctor.

use std::time::Duration;

use sqlx::PgConnection;

use crate::TenantDbError;

/// Lets no statement of this session take longer. What lies in the database was put there by its tenant.
///
/// # Errors
/// When the database does not answer.
pub async fn bound(conn: &mut PgConnection, longest: Duration) -> Result<(), TenantDbError> {
    sqlx::query("SELECT pg_catalog.set_config('statement_timeout', $1, false)")
        .bind(longest.as_millis().to_string())
        .persistent(false)
        .execute(conn)
        .await?;
    Ok(())
}

/// A login that may define something, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The login.
    pub login: String,
    /// `the database`, `the schema public`, or `tables of its own`.
    pub place: String,
}

/// Which of these logins may define something that outlives a session, or own what somebody defined for
/// them. Logins that serve requests may not: what they are told to run comes from outside.
///
/// # Errors
/// When the database does not answer.
pub async fn makers(
    conn: &mut PgConnection,
    logins: &[String],
) -> Result<Vec<Maker>, TenantDbError> {
    // Unchecked, since the scratch database of sqlx's macros has no such roles.
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT found.login, found.place FROM (
           SELECT r.rolname::text AS login, 'the database' AS place
           FROM pg_catalog.pg_roles r
           WHERE r.rolname = ANY ($1)
             AND pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CREATE')
           UNION
           SELECT r.rolname::text, 'the schema ' || n.nspname
           FROM pg_catalog.pg_roles r, pg_catalog.pg_namespace n
           WHERE r.rolname = ANY ($1)
             AND NOT pg_catalog.starts_with(n.nspname::text, 'pg_')
             AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')
           UNION
           SELECT r.rolname::text, 'tables of its own'
           FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_class c ON c.relowner = r.oid
           WHERE r.rolname = ANY ($1) AND c.relpersistence <> 't'
         ) found ORDER BY 1, 2 LIMIT 100",
    )
    .bind(logins)
    .persistent(false)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(login, place)| Maker { login, place })
        .collect())
}

/// The note of whose the database is, if the admin has written one. Everybody in a database can read its comments.
///
/// # Errors
/// When the database does not answer.
pub async fn note(conn: &mut PgConnection) -> Result<Option<String>, TenantDbError> {
    // Unchecked, since the scratch database of sqlx's macros has no such schema.
    let found: Option<(Option<String>,)> = sqlx::query_as(
        "SELECT pg_catalog.obj_description(n.oid, 'pg_namespace')
         FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_database d ON d.datdba = n.nspowner
         WHERE n.nspname = 'tenantry_self' AND d.datname = pg_catalog.current_database()",
    )
    .persistent(false)
    .fetch_optional(conn)
    .await?;
    Ok(found.and_then(|(note,)| note))
}
