//! The server, a database per case, and what the cases arrange.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tenantry_catalog::clusters::{self, NewCluster, TlsMode};
use tenantry_catalog::databases::{self, NewDatabase};
use tenantry_catalog::operations::{self, InsertError, NewOperation};
use tenantry_catalog::tenants::{self, NewTenant, Status};
use tenantry_devpg::{Server, Settings};
use tenantry_types::{
    Clock, ClusterId, DatabaseId, DbName, Entropy, OperationId, Plan, Secret, Slug, TenantId,
};
use tenantry_vault::{Keyring, Place};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub type Case = Box<dyn FnOnce(Db) -> Running + Send>;
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A lease that ends in no test.
pub const LONG: Duration = Duration::from_secs(600);

/// Cases at once: enough to keep the machine busy, few enough for their time limits to mean something.
const AT_ONCE: usize = 6;

const TEMPLATE: &str = "catalog_template";
pub const ADMIN: &str = "tenantry_admin";
pub const PASSWORD: &str = "of-the-test";

pub struct World {
    port: u16,
    log: PathBuf,
    databases: AtomicU32,
}

impl World {
    /// Runs all cases, each on a database of its own, stops the server and then fails if any failed.
    pub async fn run(bin_dir: Option<PathBuf>, cases: Vec<(&'static str, Case)>) {
        let folder = tempfile::Builder::new()
            .prefix("tenantry-catalog-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .expect("a folder");
        let data = folder.path().join("server");
        let mut settings = Settings::new(
            &data,
            PASSWORD.to_owned().into(),
            PASSWORD.to_owned().into(),
        );
        settings.durable = false;
        settings.bin_dir = bin_dir;
        let server = Server::start(settings).await.expect("a server");
        println!("on Postgres {}", server.version());
        let world = Arc::new(Self {
            port: server.port(),
            log: data.join("postgres.log"),
            databases: AtomicU32::new(0),
        });
        let all = tokio::spawn(world.all(cases)).await;
        server.stop().await.expect("the server stops");
        let failed = all.expect("the cases were run");
        assert!(failed.is_empty(), "failed: {failed:?}");
    }

    async fn all(self: Arc<Self>, cases: Vec<(&'static str, Case)>) -> Vec<&'static str> {
        self.make_template().await;
        let wanted = std::env::var("CATALOG_CASE").unwrap_or_default();
        let mut running = Vec::new();
        let room = Arc::new(Semaphore::new(AT_ONCE));
        for (name, case) in cases {
            if name.contains(&wanted) {
                let (world, room) = (Arc::clone(&self), Arc::clone(&room));
                let case = async move {
                    let _turn = room.acquire_owned().await;
                    case(world.database().await).await;
                };
                running.push((name, tokio::spawn(case)));
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

    async fn make_template(&self) {
        let mut admin = self.connect(ADMIN, PASSWORD, "postgres").await;
        execute(&mut admin, &format!("CREATE DATABASE {TEMPLATE}")).await;
        let mut conn = self.connect(ADMIN, PASSWORD, TEMPLATE).await;
        tenantry_catalog::migrate(&mut conn)
            .await
            .expect("migrated");
        conn.close().await.expect("closed");
    }

    async fn database(self: Arc<Self>) -> Db {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("catalog_{number}");
        let mut admin = self.connect(ADMIN, PASSWORD, "postgres").await;
        execute(
            &mut admin,
            &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"),
        )
        .await;
        let entropy = Entropy::system();
        Db {
            keys: Keyring::generate(&entropy),
            clock: Clock::adjustable(),
            entropy,
            name,
            world: self,
        }
    }

    async fn connect(&self, login: &str, password: &str, database: &str) -> PgConnection {
        self.try_connect(login, password, database)
            .await
            .expect("a connection")
    }

    async fn try_connect(
        &self,
        login: &str,
        password: &str,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(login)
            .password(password)
            .database(database)
            .connect()
            .await
    }
}

/// A case's own catalog, migrated and empty.
pub struct Db {
    pub clock: Clock,
    pub entropy: Entropy,
    pub keys: Keyring,
    pub name: String,
    world: Arc<World>,
}

impl Db {
    /// As the catalog's own login: owner of the database, no superuser.
    pub async fn conn(&self) -> PgConnection {
        self.world.connect(ADMIN, PASSWORD, &self.name).await
    }

    pub async fn superuser(&self) -> PgConnection {
        self.world.connect("postgres", PASSWORD, &self.name).await
    }

    pub async fn login(&self, name: &str, password: &str) -> Result<PgConnection, sqlx::Error> {
        self.world.try_connect(name, password, &self.name).await
    }

    pub fn port(&self) -> u16 {
        self.world.port
    }

    pub fn server_log(&self) -> String {
        std::fs::read_to_string(&self.world.log).expect("the server's log")
    }

    /// A database without any migrations, owned by the catalog's login or the superuser.
    pub async fn empty_database(&self, owner: &str) -> Db {
        let name = format!("{}_empty", self.name);
        execute(
            &mut self.superuser().await,
            &format!("CREATE DATABASE {name} OWNER {owner}"),
        )
        .await;
        Db {
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            keys: self.keys.clone(),
            name,
            world: Arc::clone(&self.world),
        }
    }

    /// A cluster; `name` is its host too.
    pub async fn cluster(&self, name: &str) -> ClusterId {
        let id = ClusterId::generate(&self.clock, &self.entropy);
        let place = Place::cluster_admin(id);
        let keys = self.keys.admin();
        let admin = keys
            .seal(&self.entropy, &place, &Secret::new("admin"))
            .expect("sealed");
        let new = NewCluster {
            id,
            name,
            host: name,
            port: 5432,
            maintenance_db: "postgres",
            tls: TlsMode::Prefer,
            admin_login: "tenantry_admin",
            admin: &admin,
            connection_budget: 80,
            placement: clusters::Placement::default(),
            root_ca: None,
            system_identifier: None,
        };
        clusters::insert(&mut self.conn().await, &new)
            .await
            .expect("inserted");
        id
    }

    /// An active tenant whose name is its slug.
    pub async fn tenant(&self, cluster: ClusterId, slug: &str) -> TenantId {
        self.named_tenant(cluster, slug, slug).await
    }

    pub async fn named_tenant(&self, cluster: ClusterId, slug: &str, name: &str) -> TenantId {
        // Ids made in one millisecond have no order.
        self.clock.advance(chrono::Duration::milliseconds(1));
        let id = TenantId::generate(&self.clock, &self.entropy);
        let new = NewTenant {
            id,
            slug: &Slug::parse(slug).expect("a slug"),
            name,
            plan: &Plan::default(),
            status: Status::Active,
            metadata: &json!({}),
            cluster_id: cluster,
        };
        tenants::insert(&mut self.conn().await, &new)
            .await
            .expect("inserted");
        id
    }

    /// A database in the making.
    pub async fn making(&self, cluster: ClusterId, name: &str) -> DatabaseId {
        self.clock.advance(chrono::Duration::milliseconds(1));
        let id = DatabaseId::generate(&self.clock, &self.entropy);
        let new = NewDatabase {
            id,
            cluster_id: cluster,
            name: &DbName::parse(name).expect("a name"),
            operation_id: None,
            schema: "s1",
        };
        databases::insert_making(&mut self.conn().await, &new)
            .await
            .expect("inserted");
        id
    }

    /// An operation with a lease of this length.
    pub async fn operation(
        &self,
        conn: &mut PgConnection,
        tenant: Option<TenantId>,
        ttl: Duration,
    ) -> Result<OperationId, InsertError> {
        let id = OperationId::generate(&self.clock, &self.entropy);
        let new = NewOperation {
            id,
            kind: "create",
            tenant_id: tenant,
            params: &json!({"n": 1}),
            asked_by: "ann",
            operator: None,
            request_id: None,
        };
        let fence = operations::insert_leased(conn, &new, self.holder(), ttl).await?;
        assert_eq!(fence, 1);
        Ok(id)
    }

    pub fn tenant_id(&self) -> TenantId {
        TenantId::generate(&self.clock, &self.entropy)
    }

    pub fn holder(&self) -> Uuid {
        TenantId::generate(&self.clock, &self.entropy).as_uuid()
    }
}

pub async fn execute(conn: &mut PgConnection, statement: &str) {
    try_execute(conn, statement).await.expect(statement);
}

pub async fn try_execute(conn: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(conn)
        .await
        .map(drop)
}

/// Whether a task is still waiting after a moment that would have been enough for it.
pub async fn waits<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    let moment = Duration::from_millis(300);
    tokio::time::timeout(moment, AssertUnwindSafe(task))
        .await
        .is_err()
}

/// The SQLSTATE of a refused statement.
pub fn sqlstate(error: &sqlx::Error) -> String {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.map(std::borrow::Cow::into_owned).unwrap_or_default()
}
