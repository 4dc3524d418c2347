//! Closing the catalog's database to logins that have no business there.

use sqlx::PgConnection;

use crate::CatalogError;

/// Takes from PUBLIC what Postgres gives it on a new database and on its schema `public`.
///
/// Tenants' logins may live on the same server, and each login is in PUBLIC. What came of it is
/// asked of the server: a REVOKE without the right to it only warns.
///
/// # Errors
/// [`CatalogError::OpenToPublic`] when any login can still connect, or when the catalog fails. A
/// schema that stays usable is no error, only a warning: behind a closed database it is out of reach,
/// and up to Postgres 14 it is the superuser's.
pub async fn close_to_public(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::raw_sql(
        "DO $$ BEGIN
           EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
         EXCEPTION WHEN insufficient_privilege THEN NULL;
         END $$;
         DO $$ BEGIN
           REVOKE ALL ON SCHEMA public FROM PUBLIC;
         EXCEPTION WHEN insufficient_privilege THEN NULL;
         END $$",
    )
    .execute(&mut *conn)
    .await?;
    let open = sqlx::query!(
        r#"SELECT quote_ident(current_database()) AS "database!",
               has_database_privilege('public', current_database(), 'CONNECT, CREATE, TEMPORARY')
                 AS "database_open!",
               has_schema_privilege('public', 'public', 'USAGE, CREATE') AS "schema_open!""#
    )
    .fetch_one(conn)
    .await?;
    if open.database_open {
        return Err(CatalogError::OpenToPublic(open.database));
    }
    if open.schema_open {
        tracing::warn!("the catalog's schema `public` stays usable for all who can connect to it");
    }
    Ok(())
}
