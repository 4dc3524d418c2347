//! The login that routers use on the catalog: it reads what routing needs and nothing else.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use tenantry_types::{Entropy, InstallationId, RoleName, Secret};
use tenantry_vault::{Place, RouteKeys, Sealed, scram};

use crate::CatalogError;
use crate::close::keep_out_of_schema;
use crate::error::Row;

/// The login as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterLogin {
    /// Its name.
    pub name: RoleName,
    /// Its password, sealed under the route keys for
    /// [`Place::router_login`](tenantry_vault::Place::router_login).
    pub sealed: Sealed,
}

/// Makes the login `tenantry_router_<8 hex digits of the installation>` or repairs it, and gives its
/// name and password. Safe when several do it at once.
///
/// `None`, with a warning: the catalog's own login may not make roles or grant on the database, or
/// somebody else gave the login more than it may have; routers then must use the catalog's own.
///
/// # Errors
/// [`CatalogError::SchemaOpenToPublic`], or when the catalog fails.
pub async fn ensure(
    conn: &mut PgConnection,
    keys: &RouteKeys,
    entropy: &Entropy,
    installation: InstallationId,
) -> Result<Option<(RoleName, Secret)>, CatalogError> {
    let mut tx = conn.begin().await?;
    // Two GRANTs on one object at once fail with "tuple concurrently updated".
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK)
        .execute(&mut *tx)
        .await?;
    let name = role_name(installation)?;
    match make(&mut tx, keys, entropy, installation, &name).await {
        Ok(Some(password)) => {
            if let Err(error) = keep_out_of_schema(&mut tx).await {
                // Now, and not when the connection is used next: others wait for what it holds.
                tx.rollback().await?;
                return Err(error);
            }
            if !may_route(&mut tx, &name).await? {
                return refused(tx, &name).await;
            }
            tx.commit().await?;
            Ok(Some((name, password)))
        }
        Ok(None) => refused(tx, &name).await,
        Err(error) => Err(error),
    }
}

async fn refused<T>(
    tx: Transaction<'_, Postgres>,
    name: &RoleName,
) -> Result<Option<T>, CatalogError> {
    tx.rollback().await?;
    tracing::warn!(
        login = name.as_str(),
        "the catalog's login may not make a login for routers with the rights that it needs and no others: they use its own"
    );
    Ok(None)
}

/// The login, if it was made.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn get(conn: &mut PgConnection) -> Result<Option<RouterLogin>, CatalogError> {
    let found = sqlx::query!("SELECT name, key_id, sealed FROM router_login")
        .fetch_optional(conn)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let row = Row::of("router_login", "1");
    Ok(Some(RouterLogin {
        name: row.column("name", RoleName::parse(found.name))?,
        sealed: Sealed {
            key_id: found.key_id,
            bytes: found.sealed,
        },
    }))
}

/// What the login of this connection may do in the catalog beyond what [`ensure`] gives a router's, in
/// words for people; nothing when all is well.
///
/// # Errors
/// When the catalog does not answer.
pub async fn beyond_routing(conn: &mut PgConnection) -> Result<Vec<String>, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT 'all of a superuser' AS "more!" FROM pg_roles me
           WHERE me.rolname = current_user AND me.rolsuper
           UNION ALL
           SELECT 'CREATE on schema public' WHERE has_schema_privilege('public', 'CREATE')
           UNION ALL
           (SELECT format('table %s', c.relname) FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
              AND CASE
                WHEN c.relname IN ('routes', 'domains', 'alias_names', 'changes', 'change_counter')
                  THEN has_any_column_privilege(c.oid, 'INSERT, UPDATE')
                    OR has_table_privilege(c.oid, 'DELETE, TRUNCATE')
                ELSE has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')
                  OR has_table_privilege(c.oid, 'DELETE, TRUNCATE')
              END
            ORDER BY c.relname)"#
    )
    .fetch_all(conn)
    .await?)
}

/// The key of the advisory lock: "tn.rlogn" in ASCII.
const LOCK: i64 = 0x746e_2e72_6c6f_676e;

fn role_name(installation: InstallationId) -> Result<RoleName, CatalogError> {
    let id = installation.as_uuid().simple().to_string();
    let name = RoleName::parse(format!("tenantry_router_{}", &id[..8]));
    Row::of("installation", installation).column("id", name)
}

/// `None`: this login has no right to it.
async fn make(
    conn: &mut PgConnection,
    keys: &RouteKeys,
    entropy: &Entropy,
    installation: InstallationId,
    name: &RoleName,
) -> Result<Option<Secret>, CatalogError> {
    let state = sqlx::query!(
        r#"SELECT me.rolcreaterole OR me.rolsuper AS "may_create!",
               EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS "there!"
           FROM pg_roles me WHERE me.rolname = current_user"#,
        name.as_str(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let known = match get(conn).await? {
        Some(login) if state.there && login.name == *name => {
            // Sealed under a key that is no longer in the keyring: a new password then.
            keys.open(&Place::router_login(installation), &login.sealed)
                .ok()
        }
        _ => None,
    };
    let password = match known {
        Some(password) => password,
        None if state.may_create => {
            let password = entropy.password();
            set_password(conn, entropy, name, &password, state.there).await?;
            store(
                conn,
                name,
                &keys.seal(entropy, &Place::router_login(installation), &password)?,
            )
            .await?;
            password
        }
        None => return Ok(None),
    };
    grant(conn, name).await?;
    Ok(Some(password))
}

async fn set_password(
    conn: &mut PgConnection,
    entropy: &Entropy,
    name: &RoleName,
    password: &Secret,
    there: bool,
) -> Result<(), CatalogError> {
    let verb = if there { "ALTER" } else { "CREATE" };
    let verifier = scram::verifier(password, entropy.bytes(), scram::ROUTER_ITERATIONS);
    // Attributes that only a superuser may name are left at their defaults, which are "no".
    let statement =
        format!("{verb} ROLE {name} LOGIN NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD '{verifier}'");
    sqlx::query(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}

async fn store(
    conn: &mut PgConnection,
    name: &RoleName,
    sealed: &Sealed,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO router_login (name, key_id, sealed) VALUES ($1, $2, $3)
         ON CONFLICT (one_row) DO UPDATE
         SET name = excluded.name, key_id = excluded.key_id, sealed = excluded.sealed",
        name.as_str(),
        sealed.key_id,
        sealed.bytes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes away whatever it has on our tables and gives it what it needs; nobody sees the state in
/// between.
async fn grant(conn: &mut PgConnection, name: &RoleName) -> Result<(), CatalogError> {
    let database = sqlx::query_scalar!(r#"SELECT quote_ident(current_database()) AS "name!""#)
        .fetch_one(&mut *conn)
        .await?;
    let statements = format!(
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name};
         REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {name};
         REVOKE ALL ON SCHEMA public FROM {name};
         GRANT CONNECT ON DATABASE {database} TO {name};
         GRANT USAGE ON SCHEMA public TO {name};
         GRANT SELECT ON routes, domains, alias_names, changes, change_counter TO {name};
         GRANT EXECUTE ON FUNCTION {FUNCTIONS} TO {name}"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(conn)
        .await?;
    Ok(())
}

/// What it calls to register, to renew its lease and its shares, to tell of itself and to say goodbye.
/// They run with their owner's rights, on its own rows: it has none on the tables.
const FUNCTIONS: &str = "router_register, router_renew, router_report, router_leave";

/// Asks the server whether the login has got what it needs: a GRANT without the right to it only
/// warns, and so does a REVOKE. What it must not have is to create where our statements look for names.
async fn may_route(conn: &mut PgConnection, name: &RoleName) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT has_database_privilege($1, current_database(), 'CONNECT')
             AND has_schema_privilege($1, 'public', 'USAGE')
             AND NOT has_schema_privilege($1, 'public', 'CREATE')
             AND has_table_privilege($1, 'routes', 'SELECT')
             AND has_table_privilege($1, 'alias_names', 'SELECT')
             AND (SELECT count(*) = 4 FROM pg_proc p
                  WHERE p.pronamespace = 'public'::regnamespace
                    AND p.proname IN ('router_register', 'router_renew', 'router_report', 'router_leave')
                    AND has_function_privilege($1, p.oid, 'EXECUTE')) AS "may!""#,
        name.as_str(),
    )
    .fetch_one(conn)
    .await?)
}
