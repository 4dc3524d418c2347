//! The admin login that the product works with, and the two databases that nobody else may enter.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::Settings;

/// From this version on, a new database's `public` schema belongs to the owner of the database and
/// is closed to others.
const PUBLIC_IS_CLOSED_SINCE: u32 = 15;

/// How the superuser logs in. What the session does is kept out of the server's log, because one
/// statement holds a password.
pub(crate) fn superuser(settings: &Settings, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(&settings.superuser)
        .password(settings.superuser_password.expose())
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
        .application_name("tenantry/devpg")
        .options([
            ("search_path", "pg_catalog"),
            ("log_statement", "none"),
            ("log_min_duration_statement", "-1"),
            ("log_min_messages", "panic"),
        ])
        .disable_statement_logging()
}

/// Makes the admin login or puts it right, and closes `postgres` and `template1` to the rest.
/// Repeating it changes nothing.
pub(crate) async fn prepare(
    mut connection: PgConnection,
    login: &PgConnectOptions,
    settings: &Settings,
    major: u32,
) -> Result<(), sqlx::Error> {
    // `CREATE ROLE` takes no parameters; settings of the session carry them into the block below,
    // where the server quotes them.
    sqlx::query("SELECT set_config('tenantry.admin', $1, false), set_config('tenantry.password', $2, false)")
        .bind(&settings.admin)
        .bind(settings.admin_password.expose())
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql(
        "DO $$
        DECLARE
            admin text := current_setting('tenantry.admin');
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = admin) THEN
                EXECUTE format('CREATE ROLE %I', admin);
            END IF;
            EXECUTE format(
                'ALTER ROLE %I LOGIN CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS PASSWORD %L',
                admin, current_setting('tenantry.password'));
            EXECUTE format('GRANT pg_signal_backend TO %I', admin);
            EXECUTE format('GRANT CONNECT ON DATABASE postgres TO %I', admin);
        END $$;
        REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC",
    )
    .execute(&mut connection)
    .await?;
    connection.close().await?;

    if major < PUBLIC_IS_CLOSED_SINCE {
        close_public(login).await?;
    }
    Ok(())
}

/// Gives the `public` schema of databases to come the owner and the rights that it has by itself
/// in later versions.
async fn close_public(login: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = login.clone().database("template1").connect().await?;
    sqlx::raw_sql(
        "ALTER SCHEMA public OWNER TO pg_database_owner;
        REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    .execute(&mut connection)
    .await?;
    connection.close().await
}
