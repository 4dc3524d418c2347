//! The catalog's database itself, for whoever starts from a server that has none.

use sqlx::AssertSqlSafe;
use tenantry_types::{DbName, Secret};

use crate::{CatalogError, OF_CONTROL, connect};

/// Creates the database where it is missing, owned by the login of `maintenance`, the URL of
/// another database on the server. `true`: it was created now. A lost race is fine.
///
/// # Errors
/// When the server does not answer, or the login may not create databases.
pub async fn ensure(maintenance: &Secret, name: &DbName) -> Result<bool, CatalogError> {
    let pool = connect(maintenance, 1, OF_CONTROL, "tenantry/init").await?;
    let made = create(&pool, name).await;
    pool.close().await;
    made
}

async fn create(pool: &sqlx::PgPool, name: &DbName) -> Result<bool, CatalogError> {
    // Not a checked query: it runs on the server, before there is a catalog to check against.
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name.as_str())
            .fetch_one(pool)
            .await?;
    if there {
        return Ok(false);
    }
    // From template0, so that nothing which somebody left in template1 is in the catalog.
    let statement = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
    match sqlx::raw_sql(statement).execute(pool).await {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Another session was faster: `duplicate_database`, or its row in the catalog's unique index.
fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|report| report.code())
        .is_some_and(|code| matches!(code.as_ref(), "42P04" | "23505"))
}
