//! The server that all cases share, and the template that their tenants are cloned from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tenantry_cluster::{Address, Admin, Mark, template};
use tenantry_devpg::{Server, Settings};
use tenantry_types::{Clock, DatabaseId, DbName, Entropy, InstallationId, RoleName, Secret};
use tokio::sync::{Mutex, Semaphore};

use crate::home::Home;

pub type Case = Box<dyn FnOnce(Home) -> Running + Send>;
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

pub const ADMIN: &str = "tenantry_admin";
pub const PASSWORD: &str = "of-the-test";
const CATALOG_TEMPLATE: &str = "catalog_template";
/// Cases at once: each has connections of its own, and the machine few cores.
const AT_ONCE: usize = 3;

pub struct World {
    pub port: u16,
    pub template: DbName,
    numbers: AtomicU32,
    /// One clone at a time: Postgres refuses to clone a template that is being cloned elsewhere.
    pub cloning: Mutex<()>,
}

/// Runs all cases, stops the server and then fails if any failed.
pub async fn run(cases: Vec<(&'static str, Case)>) {
    let (server, folder) = start(|_| {}).await;
    let port = server.port();
    let all = tokio::spawn(all(port, cases)).await;
    if std::env::var_os("ROUTER_LOG").is_some() {
        let log = folder.path().join("server/postgres.log");
        println!("{}", std::fs::read_to_string(log).unwrap_or_default());
    }
    server.stop().await.expect("the server stops");
    let failed = all.expect("the cases were run");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

async fn all(port: u16, cases: Vec<(&'static str, Case)>) -> Vec<&'static str> {
    let world = Arc::new(World::new(port).await);
    let wanted = std::env::var("ROUTER_CASE").unwrap_or_default();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::new();
    for (name, case) in cases {
        if name.contains(&wanted) {
            let (world, room) = (Arc::clone(&world), Arc::clone(&room));
            running.push((
                name,
                tokio::spawn(async move {
                    let _one = room.acquire().await.expect("open");
                    case(Home::new(world).await).await;
                }),
            ));
        }
    }
    let mut failed = Vec::new();
    for (name, case) in running {
        let outcome = case.await;
        println!(
            "{} {name}",
            if outcome.is_ok() { "ok    " } else { "FAILED" }
        );
        if outcome.is_err() {
            failed.push(name);
        }
    }
    failed
}

/// A server, to be stopped by whoever started it, and the folder that it lives in.
pub async fn start(adjust: impl FnOnce(&mut Settings)) -> (Server, tempfile::TempDir) {
    let folder = tempfile::Builder::new()
        .prefix("tenantry-router-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .expect("a folder");
    let mut settings = Settings::new(
        folder.path().join("server"),
        Secret::new(PASSWORD),
        Secret::new(PASSWORD),
    );
    settings.durable = false;
    adjust(&mut settings);
    let server = Server::start(settings).await.expect("a server");
    (server, folder)
}

impl World {
    pub async fn new(port: u16) -> Self {
        let world = Self {
            port,
            template: db("tenant_template"),
            numbers: AtomicU32::new(0),
            cloning: Mutex::default(),
        };
        let mut admin = world.connect(ADMIN, "postgres").await;
        execute(&mut admin, &format!("CREATE DATABASE {CATALOG_TEMPLATE}")).await;
        let mut conn = world.connect(ADMIN, CATALOG_TEMPLATE).await;
        tenantry_catalog::migrate(&mut conn)
            .await
            .expect("migrated");
        drop(conn);

        let (clock, entropy) = (Clock::system(), Entropy::system());
        let mark = Mark::new(
            InstallationId::generate(&clock, &entropy),
            DatabaseId::generate(&clock, &entropy),
        );
        template::build(&world.admin(world.port), &world.template, &mark, "test")
            .await
            .expect("a template");
        let mut conn = world.connect("postgres", "tenant_template").await;
        execute(
            &mut conn,
            "CREATE TABLE public.whoami (slug text);
             GRANT SELECT, INSERT, UPDATE, DELETE ON public.whoami TO tenantry_app",
        )
        .await;
        drop(conn);
        execute(
            &mut admin,
            "ALTER DATABASE tenant_template ALLOW_CONNECTIONS false",
        )
        .await;
        world
    }

    pub fn admin(&self, port: u16) -> Admin {
        Admin::new(
            Address::new("127.0.0.1", port, "disable"),
            db("postgres"),
            RoleName::parse(ADMIN).expect("a name"),
            Secret::new(PASSWORD),
        )
    }

    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub async fn catalog(&self) -> String {
        let name = format!("catalog_{}", self.number());
        let _one = self.cloning.lock().await;
        let mut admin = self.connect(ADMIN, "postgres").await;
        let clone = format!("CREATE DATABASE {name} TEMPLATE {CATALOG_TEMPLATE}");
        execute(&mut admin, &clone).await;
        name
    }

    pub async fn connect(&self, login: &str, database: &str) -> PgConnection {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(login)
            .password(PASSWORD)
            .database(database)
            .disable_statement_logging()
            .connect()
            .await
            .expect("a connection")
    }
}

pub fn db(name: &str) -> DbName {
    DbName::parse(name).expect("a name")
}

pub async fn execute(conn: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(conn)
        .await
        .expect(text);
}

pub async fn one<T>(conn: &mut PgConnection, text: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let query = sqlx::query_scalar(AssertSqlSafe(text.to_owned()));
    query.fetch_one(conn).await.expect(text)
}
