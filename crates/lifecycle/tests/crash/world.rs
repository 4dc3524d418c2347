//! A catalog, a cluster and as many drivers as a test wants, on one real Postgres.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tenantry_catalog::{clusters, installation, operations, operators, tenants};
use tenantry_devpg::{Server, Settings as PgSettings};
use tenantry_lifecycle::doctor::{Doctor, Finding, Options, Progress, Report};
use tenantry_lifecycle::engine::Faults;
use tenantry_lifecycle::{
    AdminUser, Asker, ClusterChoice, CreateTenant, Deps, Finished, Lifecycle, Settings,
};
use tenantry_router::{Config, Prover, Router};
use tenantry_tenantdb::passwords::Hashing;
use tenantry_types::{
    Clock, ClusterId, Email, Entropy, InstallationId, OperationId, OperatorId, Plan, Secret, Slug,
};
use tenantry_vault::{Keyring, Place};

/// How long a driver of a test holds an operation.
pub const LEASE: Duration = Duration::from_millis(500);

/// A server with a catalog in which one cluster, the server itself, is registered.
pub struct World {
    pub server: Server,
    /// Held so that it lives as long as the server.
    _folder: tempfile::TempDir,
    pub keys: Keyring,
    pub installation: InstallationId,
    pub clock: Clock,
    entropy: Entropy,
    superuser: Secret,
    admin: (String, Secret),
}

/// All that exists: what must be the same before and after something that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Everything {
    pub databases: Vec<String>,
    pub roles: Vec<String>,
    pub catalog: Vec<(String, i64)>,
}

impl World {
    pub async fn new() -> Self {
        // `RUST_LOG=warn` shows why an operation failed.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let entropy = Entropy::system();
        let folder = tempfile::Builder::new()
            .prefix("tenantry-life-")
            .tempdir()
            .expect("a folder");
        let superuser = entropy.password();
        let mut settings = PgSettings::new(
            folder.path().join("pg"),
            superuser.clone(),
            entropy.password(),
        );
        settings.durable = false;
        open_to_all(folder.path());
        let admin_password = settings.admin_password.clone();
        let admin_login = settings.admin.clone();
        let server = Server::start(settings).await.expect("a server");
        let world = Self {
            server,
            _folder: folder,
            keys: Keyring::generate(&entropy),
            installation: InstallationId::generate(&Clock::system(), &entropy),
            clock: Clock::adjustable(),
            entropy,
            superuser,
            admin: (admin_login.clone(), admin_password.clone()),
        };
        let mut conn = world.superuser("postgres").await;
        for sql in [
            "CREATE DATABASE catalog",
            "REVOKE ALL ON DATABASE catalog FROM PUBLIC",
        ] {
            sqlx::raw_sql(sql)
                .execute(&mut conn)
                .await
                .expect("a catalog");
        }
        let mut conn = world.superuser("catalog").await;
        tenantry_catalog::migrate(&mut conn)
            .await
            .expect("migrations");
        installation::ensure(&mut conn, world.installation)
            .await
            .expect("an installation");
        let id = ClusterId::generate(&world.clock, &world.entropy);
        let sealed = world
            .keys
            .admin()
            .seal(&world.entropy, &Place::cluster_admin(id), &admin_password)
            .expect("sealed");
        let cluster = clusters::NewCluster {
            id,
            name: "default",
            host: world.server.host(),
            port: world.server.port(),
            maintenance_db: "postgres",
            tls: clusters::TlsMode::Prefer,
            admin_login: &admin_login,
            admin: &sealed,
            connection_budget: 50,
            placement: clusters::Placement::default(),
            root_ca: None,
            system_identifier: None,
        };
        clusters::insert(&mut conn, &cluster)
            .await
            .expect("a cluster");
        world
    }

    /// A driver of its own, as another process would be, which makes no spares.
    pub async fn driver(&self, fault: Option<&str>) -> (Lifecycle, Router) {
        self.driver_with_spares(fault, 0).await
    }

    /// One that keeps so many spares once its workers run, however many tenants come.
    pub async fn driver_with_spares(
        &self,
        fault: Option<&str>,
        spares: usize,
    ) -> (Lifecycle, Router) {
        self.driver_with_stock(fault, spares, spares).await
    }

    /// One that keeps at least and at most so many spares.
    pub async fn driver_with_stock(
        &self,
        fault: Option<&str>,
        spares: usize,
        spares_max: usize,
    ) -> (Lifecycle, Router) {
        let catalog = self.catalog().await;
        let router = Router::start(
            // A driver that is gone takes its router along: what waits for routers waits for its lease.
            Config {
                lease: LEASE,
                poll: Duration::from_millis(100),
                ..Config::default()
            },
            catalog.clone(),
            self.keys.route(),
            self.installation,
            self.clock.clone(),
            self.entropy.clone(),
            "test",
        )
        .await
        .expect("a router");
        let life = Lifecycle::new(Deps {
            catalog,
            admin_keys: self.keys.admin(),
            route_keys: self.keys.route(),
            directory: self.keys.directory(),
            router: router.clone(),
            installation: self.installation,
            hashing: Hashing::new(&self.entropy),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            settings: Settings {
                lease: LEASE,
                poll: Duration::from_millis(50),
                spares,
                spares_max,
                ..Settings::default()
            },
            faults: fault.map_or_else(Faults::none, |fault| fault.parse().expect("a fault")),
        });
        (life, router)
    }

    pub async fn catalog(&self) -> PgPool {
        PgPool::connect_with(self.options("catalog"))
            .await
            .expect("a pool")
    }

    pub async fn superuser(&self, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(database))
            .await
            .expect("a connection")
    }

    /// The cluster's admin login.
    pub fn admin_login(&self) -> &str {
        &self.admin.0
    }

    /// A session of it, under this name.
    pub async fn admin(&self, application_name: &str) -> PgConnection {
        let (login, password) = &self.admin;
        let options = self
            .options("postgres")
            .username(login)
            .password(password.expose())
            .application_name(application_name);
        PgConnection::connect_with(&options)
            .await
            .expect("a connection")
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host(self.server.host())
            .port(self.server.port())
            .username("postgres")
            .password(self.superuser.expose())
            .database(database)
    }

    /// All databases and roles but the templates, and how many rows the catalog's tables have that
    /// say what exists.
    pub async fn everything(&self) -> Everything {
        let mut conn = self.superuser("catalog").await;
        let databases = sqlx::query_scalar(
            "SELECT datname::text FROM pg_database WHERE datname NOT LIKE 'tnt_template_%' ORDER BY 1",
        )
        .fetch_all(&mut conn)
        .await
        .expect("databases");
        let roles = sqlx::query_scalar("SELECT rolname::text FROM pg_roles ORDER BY 1")
            .fetch_all(&mut conn)
            .await
            .expect("roles");
        let mut catalog = Vec::new();
        for table in [
            "tenants",
            "domains",
            "databases",
            "logins",
            "operation_secrets",
            "idempotency_keys",
        ] {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .fetch_one(&mut conn)
                .await
                .expect("rows");
            catalog.push((table.to_owned(), rows));
        }
        Everything {
            databases,
            roles,
            catalog,
        }
    }

    pub async fn operator(&self) -> OperatorId {
        let mut conn = self.superuser("catalog").await;
        let id = OperatorId::generate(&self.clock, &self.entropy);
        let new = operators::NewOperator {
            id,
            name: "test",
            role: operators::Role::Owner,
            expires_at: None,
            token_hash: [7; 32],
        };
        operators::insert(&mut conn, &new)
            .await
            .expect("an operator");
        id
    }

    pub async fn tenant(&self, slug: &str) -> Option<tenants::Tenant> {
        let mut conn = self.superuser("catalog").await;
        tenants::by_slug(&mut conn, &Slug::parse(slug).expect("a slug"))
            .await
            .expect("a catalog")
    }

    pub async fn end(self) {
        self.server.stop().await.expect("a stop");
    }
}

/// Postgres's own user must be able to get at its folder.
fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

impl World {
    /// Waits until so many spares are there.
    pub async fn spares(&self, wanted: i64) {
        let sql = "SELECT count(*) FROM databases WHERE state = 'spare'";
        self.counted(sql, wanted).await;
    }

    /// Waits until a query that counts gives this.
    pub async fn counted(&self, sql: &'static str, wanted: i64) {
        let mut conn = self.superuser("catalog").await;
        let until = async {
            while sqlx::query_scalar::<_, i64>(sql)
                .fetch_one(&mut conn)
                .await
                .expect("a count")
                != wanted
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), until)
            .await
            .unwrap_or_else(|_| panic!("still not {wanted}: {sql}"));
    }

    /// Waits until nothing of an operation is left to do: its asker is told of a failure before all
    /// traces are gone where that takes long.
    pub async fn settled(&self, id: OperationId) {
        let mut conn = self.superuser("catalog").await;
        let settled = async {
            loop {
                let operation = operations::by_id(&mut conn, id).await.expect("a catalog");
                if operation.is_some_and(|operation| operation.finished_at.is_some()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), settled)
            .await
            .expect("settled");
    }
}

pub fn asker() -> Asker {
    Asker::product("test")
}

pub fn wanted(slug: &str) -> CreateTenant {
    CreateTenant {
        name: "Acme".to_owned(),
        slug: Slug::parse(slug).expect("a slug"),
        primary_domain: None,
        plan: Plan::default(),
        cluster: ClusterChoice::Any,
        region: None,
        admin: Some(AdminUser {
            email: Email::parse("ann@acme.example").expect("an address"),
            password: Some(Secret::new("correct horse battery")),
        }),
        metadata: serde_json::json!({}),
    }
}

pub async fn ended(life: &Lifecycle, id: OperationId) -> Finished {
    life.wait(id, Duration::from_secs(30))
        .await
        .expect("an end within half a minute")
}

impl World {
    /// A doctor that needs no driver.
    pub async fn doctor(&self) -> Doctor {
        Doctor {
            catalog: self.catalog().await,
            admin_keys: self.keys.admin(),
            route_keys: self.keys.route(),
            prover: Prover::new(
                self.keys.route(),
                self.installation,
                Duration::from_secs(10),
                "doctor",
            ),
            installation: self.installation,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            pause: Duration::from_millis(20),
        }
    }

    pub async fn examined(&self, options: Options) -> Report {
        let doctor = self.doctor().await;
        let report = doctor.run(options, &asker(), &Progress::default()).await;
        doctor.catalog.close().await;
        report.expect("a look")
    }

    /// The verdict of each test: what should be is there, and nothing else.
    pub async fn assert_healthy(&self, after: &str) {
        let report = self.examined(Options::default()).await;
        let differences: Vec<_> = differences(&report);
        assert!(differences.is_empty(), "after {after}: {differences:#?}");
    }
}

pub fn differences(report: &Report) -> Vec<&Finding> {
    let findings = report.findings.iter();
    findings.filter(|one| one.is_difference()).collect()
}
