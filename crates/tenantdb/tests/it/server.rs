//! The server of this test binary, its two templates, and the cases' own databases.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tenantry_devpg::{Server, Settings};
use tenantry_types::{Entropy, Secret};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A name and what it does with the databases.
pub type Case = (
    &'static str,
    fn(Databases) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

macro_rules! cases {
    ($($case:path),+ $(,)?) => {
        vec![$((stringify!($case), |databases| Box::pin($case(databases)))),+]
    };
}
pub(crate) use cases;

/// What the cluster's admin prepares in every tenant's database, as `crates/cluster` does it.
const RIGHTS: &str = "
    ALTER SCHEMA tenantry OWNER TO tenantry_owner;
    GRANT USAGE ON SCHEMA tenantry, tenantry_self TO tenantry_app, tenantry_readonly;
    GRANT USAGE ON SCHEMA tenantry_self TO tenantry_owner;
    GRANT SELECT ON tenantry_self.identity TO tenantry_owner, tenantry_app, tenantry_readonly;
    ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_owner IN SCHEMA tenantry
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tenantry_app;
    ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_owner IN SCHEMA tenantry
        GRANT SELECT ON TABLES TO tenantry_readonly;";
const EMPTY: &str = "empty";
const MIGRATED: &str = "migrated";

/// Makes databases for one case.
#[derive(Clone)]
pub struct Databases {
    superuser: PgConnectOptions,
    count: Arc<AtomicUsize>,
}

/// One database.
pub struct Database {
    superuser: PgConnectOptions,
}

/// Runs all cases, some at a time, and fails at the end if any of them did.
pub async fn run(cases: Vec<Case>) {
    let (folder, server, databases) = start().await;
    let wanted = std::env::var("CASE").unwrap_or_default();
    let at_once = Arc::new(Semaphore::new(4));
    let mut running = JoinSet::new();
    for (name, case) in cases {
        if !name.contains(&wanted) {
            continue;
        }
        let (databases, at_once) = (databases.clone(), Arc::clone(&at_once));
        running.spawn(async move {
            let _turn = at_once.acquire().await.unwrap();
            let began = Instant::now();
            let outcome = tokio::spawn(tokio::time::timeout(
                Duration::from_secs(60),
                case(databases),
            ));
            let passed = matches!(outcome.await, Ok(Ok(())));
            let word = if passed { "passed" } else { "FAILED" };
            eprintln!("{word} {name} in {:?}", began.elapsed());
            (!passed).then_some(name)
        });
    }
    let failed: Vec<&str> = running.join_all().await.into_iter().flatten().collect();
    server.stop().await.unwrap();
    folder.close().unwrap();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

async fn start() -> (TempDir, Server, Databases) {
    let mut builder = tempfile::Builder::new();
    // Postgres runs as another user where the tests run as root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let folder = builder
        .prefix("tenantdb-")
        .permissions(open)
        .tempdir()
        .unwrap();
    let password = Entropy::system().password();
    let mut settings = Settings::new(
        folder.path().canonicalize().unwrap().join("server"),
        password.clone(),
        Secret::new("not used here"),
    );
    settings.durable = false;
    let server = Server::start(settings).await.unwrap();
    let superuser = PgConnectOptions::new_without_pgpass()
        .host(server.host())
        .port(server.port())
        .username("postgres")
        .password(password.expose())
        .database("postgres")
        .ssl_mode(PgSslMode::Disable);
    let databases = Databases {
        superuser,
        count: Arc::default(),
    };
    databases.make_templates().await;
    (folder, server, databases)
}

impl Databases {
    /// A database with the migrations, not seeded.
    pub async fn migrated(&self) -> Database {
        self.clone_of(MIGRATED).await
    }

    /// A database as the cluster's admin hands it over to the migrations.
    pub async fn empty(&self) -> Database {
        self.clone_of(EMPTY).await
    }

    async fn clone_of(&self, template: &str) -> Database {
        let name = format!("case_{}", self.count.fetch_add(1, Ordering::Relaxed));
        let mut conn = self.superuser.connect().await.unwrap();
        execute(
            &mut conn,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        conn.close().await.unwrap();
        self.named(&name)
    }

    fn named(&self, name: &str) -> Database {
        Database {
            superuser: self.superuser.clone().database(name),
        }
    }

    async fn make_templates(&self) {
        let mut conn = self.superuser.connect().await.unwrap();
        execute(&mut conn, format!("CREATE DATABASE {EMPTY}")).await;
        let mut inside = self.named(EMPTY).superuser().await;
        execute(&mut inside, include_str!("../../dev-preamble.sql")).await;
        execute(&mut inside, RIGHTS).await;
        inside.close().await.unwrap();

        execute(
            &mut conn,
            format!("CREATE DATABASE {MIGRATED} TEMPLATE {EMPTY}"),
        )
        .await;
        let mut inside = self.named(MIGRATED).owner().await;
        tenantry_tenantdb::migrations::run(&mut inside)
            .await
            .unwrap();
        inside.close().await.unwrap();
        conn.close().await.unwrap();
    }
}

impl Database {
    /// As the router's login: may read and write, and change no table.
    pub async fn app(&self) -> PgConnection {
        self.acting_as("tenantry_app").await
    }

    /// As the owner login, whose role is set in the database.
    pub async fn owner(&self) -> PgConnection {
        self.acting_as("tenantry_owner").await
    }

    pub async fn readonly(&self) -> PgConnection {
        self.acting_as("tenantry_readonly").await
    }

    pub async fn superuser(&self) -> PgConnection {
        self.superuser.connect().await.unwrap()
    }

    async fn acting_as(&self, role: &str) -> PgConnection {
        // Whatever a tenant sets as its search path, our own tables must be found.
        let options = [("role", role), ("search_path", "pg_catalog")];
        self.superuser
            .clone()
            .options(options)
            .connect()
            .await
            .unwrap()
    }

    /// Waits until so many backends of this database wait for a lock of another.
    pub async fn until_waiting(&self, count: i64) {
        let mut conn = self.superuser().await;
        let waiting = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let patience = Instant::now() + Duration::from_secs(10);
        while ask::<i64>(&mut conn, waiting).await < count {
            assert!(Instant::now() < patience, "nobody waits for the lock");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        conn.close().await.unwrap();
    }
}

pub async fn execute(conn: &mut PgConnection, sql: impl Into<String>) {
    let sql: String = sql.into();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(conn)
        .await
        .unwrap();
}

pub async fn ask<T>(conn: &mut PgConnection, sql: &str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(conn)
        .await
        .unwrap()
}
