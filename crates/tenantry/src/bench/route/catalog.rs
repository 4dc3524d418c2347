//! Copies of the catalog in which many tenants stand: a catalog of its own, so that the product's
//! background work never meets tenants that have no database.
//!
//! A made-up tenant is a real one's rows under another name and other ids. It can be resolved, and
//! nobody ever connects to it.

use futures::TryStreamExt;
use sqlx::PgConnection;
use tenantry_types::Secret;

use crate::bench::world::{ADMIN, World, bare_failed, close, connect, lacks, run};
use crate::failure::{Failure, Result};

/// A copy of the catalog.
pub struct Copy {
    name: String,
}

impl Copy {
    /// Makes a copy that holds `made_up` tenants besides the real ones, `known-1` and on, each like
    /// the tenant with the slug `like`.
    ///
    /// # Errors
    /// When Postgres refuses it.
    pub async fn make(world: &World, name: &str, like: &str, made_up: u32) -> Result<Self> {
        let mut conn = world.superuser("postgres").await?;
        run(&mut conn, format!("CREATE DATABASE {name} OWNER {ADMIN}")).await?;
        close(conn).await;
        let mut conn = connect(&world.admin().database(name)).await?;
        tenantry_catalog::migrate(&mut conn)
            .await
            .map_err(|error| Failure::because("a catalog cannot be migrated", &error))?;
        close(conn).await;

        let mut from = world.superuser(crate::dev::postgres::CATALOG).await?;
        let mut to = world.superuser(name).await?;
        // What is copied was consistent where it came from.
        run(&mut to, "SET session_replication_role = replica".to_owned()).await?;
        let tables = tables(&mut from).await?;
        for table in &tables {
            // What a fresh catalog begins with; what is not copied and could name a row of it is empty.
            run(&mut to, format!("DELETE FROM {table}")).await?;
        }
        for table in &tables {
            copy(&mut from, &mut to, table).await?;
        }
        close(from).await;
        if made_up > 0 {
            make_up(&mut to, like, made_up).await?;
        }
        run(&mut to, "VACUUM (ANALYZE)".to_owned()).await?;
        close(to).await;
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// Sets the budget of every cluster, as its routers read it.
    ///
    /// # Errors
    /// When Postgres refuses it.
    pub async fn set_budget(&self, world: &World, connections: u32) -> Result<()> {
        let mut conn = world.superuser(&self.name).await?;
        let set = format!("UPDATE clusters SET connection_budget = {connections}");
        run(&mut conn, set).await?;
        close(conn).await;
        Ok(())
    }

    /// Its URL for a router's process.
    ///
    /// # Errors
    /// When the product has left none.
    pub fn url(&self, world: &World) -> Result<Secret> {
        let url = world.variables.get("TENANTRY_CATALOG_URL");
        let url = url.ok_or_else(|| lacks("TENANTRY_CATALOG_URL"))?;
        let (server, _) = url
            .rsplit_once('/')
            .ok_or_else(|| lacks("TENANTRY_CATALOG_URL"))?;
        Ok(Secret::new(format!("{server}/{}", self.name)))
    }
}

/// All tables but the ledger of migrations and what living routers write: none of those lives here.
async fn tables(conn: &mut PgConnection) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT quote_ident(t.relname) FROM pg_catalog.pg_class t
         WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r'
           AND t.relname NOT IN ('_sqlx_migrations', 'routers') AND NOT starts_with(t.relname, 'audit')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                           WHERE a.attrelid = t.oid AND a.attname = 'router_id' AND NOT a.attisdropped)",
    )
    .fetch_all(conn)
    .await
    .map_err(|error| bare_failed(&error))
}

async fn copy(from: &mut PgConnection, to: &mut PgConnection, table: &str) -> Result<()> {
    let mut rows = from
        .copy_out_raw(&format!("COPY {table} TO STDOUT (FORMAT binary)"))
        .await
        .map_err(|error| bare_failed(&error))?;
    let mut sink = to
        .copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
        .await
        .map_err(|error| bare_failed(&error))?;
    while let Some(part) = rows.try_next().await.map_err(|error| bare_failed(&error))? {
        sink.send(part).await.map_err(|error| bare_failed(&error))?;
    }
    sink.finish()
        .await
        .map(drop)
        .map_err(|error| bare_failed(&error))
}

/// A real tenant's rows over and over, each time under another name: whatever columns they have, they
/// have what a real one's have. Only its subdomain leads to a made-up tenant, so none needs a claim.
async fn make_up(conn: &mut PgConnection, like: &str, number: u32) -> Result<()> {
    let [tenants, domains, databases, logins] = [
        written(conn, "tenants").await?,
        written(conn, "domains").await?,
        written(conn, "databases").await?,
        written(conn, "logins").await?,
    ];
    let made = format!(
        "CREATE FUNCTION pg_temp.id(kind int, n int) RETURNS text LANGUAGE sql AS
         $$ SELECT '0000000' || kind || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0') $$;
         CREATE TEMP TABLE original ON COMMIT DROP AS
           SELECT t AS tenant, d AS domain, b AS database, l AS login
           FROM tenants t JOIN domains d ON d.tenant_id = t.id AND d.kind = 'subdomain'
           JOIN databases b ON b.tenant_id = t.id
           JOIN logins l ON l.database_id = b.id AND l.role = 'router'
           WHERE t.slug = '{like}';
         INSERT INTO tenants ({tenants}) SELECT {tenants}
           FROM original, generate_series(1, {number}) n,
           jsonb_populate_record(tenant, jsonb_build_object(
             'id', pg_temp.id(1, n), 'slug', 'known-' || n)) made;
         INSERT INTO domains ({domains}) SELECT {domains}
           FROM original, generate_series(1, {number}) n,
           jsonb_populate_record(domain, jsonb_build_object(
             'name', 'known-' || n, 'tenant_id', pg_temp.id(1, n))) made;
         INSERT INTO databases ({databases}) SELECT {databases}
           FROM original, generate_series(1, {number}) n,
           jsonb_populate_record(database, jsonb_build_object(
             'id', pg_temp.id(2, n), 'name', 'tenant_known_' || n,
             'tenant_id', pg_temp.id(1, n))) made;
         INSERT INTO logins ({logins}) SELECT {logins}
           FROM original, generate_series(1, {number}) n,
           jsonb_populate_record(login, jsonb_build_object(
             'database_id', pg_temp.id(2, n), 'name', 'tenant_known_' || n || '_router')) made"
    );
    run(conn, made).await
}

/// The columns of a table that are written and not worked out by Postgres.
async fn written(conn: &mut PgConnection, table: &str) -> Result<String> {
    sqlx::query_scalar(
        "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = ('public.' || $1)::regclass
           AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''",
    )
    .bind(table)
    .fetch_one(conn)
    .await
    .map_err(|error| bare_failed(&error))
}
