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
/// schema that stays usable is no error here, only a warning: behind a closed database it is out of
/// reach, and up to Postgres 14 it is the superuser's. It is one as soon as another login than ours is
/// let in, see `keep_out_of_schema`.
pub async fn close_to_public(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::raw_sql(
        "DO $$ BEGIN
           EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
         EXCEPTION WHEN insufficient_privilege THEN NULL;
         END $$",
    )
    .execute(&mut *conn)
    .await?;
    close_schema(conn).await?;
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

/// For whoever lets another login into the catalog: takes from PUBLIC the right to create in its schema
/// `public`.
///
/// What somebody creates there can be found by our own statements in place of what they mean: a function
/// that fits a call better than the built-in one runs with the rights of whoever calls it.
///
/// # Errors
/// [`CatalogError::SchemaOpenToPublic`] when the right cannot be taken (up to Postgres 14, and in
/// databases that were made by then, the schema is the superuser's), or when the catalog fails.
pub(crate) async fn keep_out_of_schema(conn: &mut PgConnection) -> Result<(), CatalogError> {
    close_schema(conn).await?;
    let open = sqlx::query!(
        r#"SELECT quote_ident(current_database()) AS "database!",
               has_schema_privilege('public', 'public', 'CREATE') AS "may_create!""#
    )
    .fetch_one(conn)
    .await?;
    match open.may_create {
        true => Err(CatalogError::SchemaOpenToPublic(open.database)),
        false => Ok(()),
    }
}

async fn close_schema(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::raw_sql(
        "DO $$ BEGIN
           REVOKE ALL ON SCHEMA public FROM PUBLIC;
         EXCEPTION WHEN insufficient_privilege THEN NULL;
         END $$",
    )
    .execute(conn)
    .await?;
    Ok(())
}
