//! One case's installation: a catalog, a cluster behind a wire, tenants, and routers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use tenantry_catalog::change_log::{self, Kind};
use tenantry_catalog::clusters::{self, NewCluster, TlsMode};
use tenantry_catalog::databases::{self, NewDatabase};
use tenantry_catalog::domain_claims;
use tenantry_catalog::domains::{self, Domain};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_catalog::tenants::{self, NewTenant, Status};
use tenantry_catalog::{router_login, routers};
use tenantry_cluster::logins::{LoginKind, NewLogin};
use tenantry_cluster::names::Logins;
use tenantry_cluster::{Admin, Mark, names};
use tenantry_router::{ClusterStats, Config, HostName, ResolveError, Route, Router, TenantConn};
use tenantry_types::{
    Clock, ClusterId, DatabaseId, DbName, DomainName, Entropy, InstallationId, Plan, RoleName,
    RouterId, Secret, Slug, TenantId,
};
use tenantry_vault::{Keyring, Place, scram};
use tokio::time::Instant;

use crate::wire::Wire;
use crate::world::{World, execute, one};

pub struct Home {
    /// The server of the tenants.
    pub world: Arc<World>,
    /// The server of the catalog: the same, unless a case is about the tenants' whole server.
    catalog_world: Arc<World>,
    pub catalog: String,
    pub catalog_wire: Wire,
    pub cluster_wire: Wire,
    pub keys: Keyring,
    pub installation: InstallationId,
    pub cluster: ClusterId,
    pub clock: Clock,
    pub entropy: Entropy,
}

/// A tenant as its birth leaves it.
#[derive(Clone)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: Slug,
    pub database: DatabaseId,
    pub db: DbName,
    pub logins: Logins,
    pub password: Secret,
    pub mark: Mark,
}

impl Home {
    pub async fn new(world: Arc<World>) -> Self {
        Self::apart(Arc::clone(&world), world).await
    }

    /// With the catalog on one server and the tenants on another.
    pub async fn apart(catalog_world: Arc<World>, world: Arc<World>) -> Self {
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let keys = Keyring::generate(&entropy);
        let home = Self {
            catalog: catalog_world.catalog().await,
            catalog_wire: Wire::to(catalog_world.port).await,
            cluster_wire: Wire::to(world.port).await,
            // Random from the first digit on: it names the router's login, and cases run at once.
            installation: InstallationId::from_uuid(uuid::Uuid::from_bytes(entropy.bytes())),
            cluster: ClusterId::generate(&clock, &entropy),
            keys,
            clock,
            entropy,
            world,
            catalog_world,
        };
        let port = home.cluster_wire.port;
        home.insert_cluster(home.cluster, "main", port).await;
        home
    }

    /// One more cluster: the same server, through a wire of its own.
    pub async fn second_cluster(&self) -> (ClusterId, Wire) {
        let (id, wire) = (
            ClusterId::generate(&self.clock, &self.entropy),
            Wire::to(self.world.port).await,
        );
        self.insert_cluster(id, "second", wire.port).await;
        (id, wire)
    }

    pub async fn insert_cluster(&self, id: ClusterId, name: &str, port: u16) {
        let mut conn = self.conn().await;
        let admin = self
            .keys
            .admin()
            .seal(
                &self.entropy,
                &Place::cluster_admin(id),
                &Secret::new("unused"),
            )
            .expect("sealed");
        clusters::insert(
            &mut conn,
            &NewCluster {
                id,
                name,
                host: "127.0.0.1",
                port,
                maintenance_db: "postgres",
                tls: TlsMode::Disable,
                admin_login: "tenantry_admin",
                admin: &admin,
                connection_budget: 20,
                placement: clusters::Placement::default(),
                root_ca: None,
                system_identifier: None,
            },
        )
        .await
        .expect("a cluster");
    }

    /// Settings with which nothing happens by itself within a test, save for notifications.
    pub fn config() -> Config {
        Config {
            poll: Duration::from_secs(30),
            lease: Duration::from_secs(30),
            ..Config::default()
        }
    }

    /// A router with the login that routers have, through the wire.
    pub async fn router(&self, config: Config) -> Router {
        let login = {
            let mut conn = self.conn().await;
            router_login::ensure(
                &mut conn,
                &self.keys.route(),
                &self.entropy,
                self.installation,
            )
            .await
            .expect("made")
            .expect("a login")
        };
        let url = format!(
            "postgres://{}:{}@127.0.0.1:{}/{}?sslmode=disable",
            login.0.as_str(),
            login.1.expose(),
            self.catalog_wire.port,
            self.catalog
        );
        // As many as the program gives its router.
        let pool = tenantry_catalog::connect(
            &Secret::new(url),
            8,
            tenantry_catalog::ON_THE_WAY,
            "test router",
        )
        .await
        .expect("the catalog lets routers in");
        Router::start(
            config,
            pool,
            self.keys.route(),
            self.installation,
            self.clock.clone(),
            self.entropy.clone(),
            "test",
        )
        .await
        .expect("a router")
    }

    /// The catalog, not through the wire, as a login that may do everything.
    pub async fn conn(&self) -> PgConnection {
        self.catalog_world.connect("postgres", &self.catalog).await
    }

    pub fn admin(&self) -> Admin {
        self.world.admin(self.world.port)
    }

    pub async fn tenant(&self, slug: &str) -> Tenant {
        let tenant = self.database(slug).await;
        self.register(&tenant, Status::Active).await;
        tenant
    }

    pub async fn tenant_on(&self, cluster: ClusterId, slug: &str) -> Tenant {
        let tenant = self.database(slug).await;
        self.register_on(cluster, &tenant, Status::Active).await;
        tenant
    }

    pub async fn tenants(&self, count: usize) -> Vec<Tenant> {
        let mut tenants = Vec::new();
        for number in 0..count {
            tenants.push(self.tenant(&format!("t{number}")).await);
        }
        tenants
    }

    /// A tenant's database and logins, without the catalog's rows.
    pub async fn database(&self, slug: &str) -> Tenant {
        self.database_in(&self.world, slug, 1).await
    }

    /// The same on a server of the caller's, at an epoch.
    pub async fn database_in(&self, world: &World, slug: &str, epoch: i64) -> Tenant {
        let database = DatabaseId::generate(&self.clock, &self.entropy);
        let mark = Mark::new(self.installation, database);
        let db = names::spare(database);
        let admin = world.admin(world.port);
        let mut conn = admin.connect("test").await.expect("the admin gets in");
        {
            let _one = world.cloning.lock().await;
            tenantry_cluster::databases::create_closed(&mut conn, &db, &world.template, &mark)
                .await
                .expect("cloned");
        }
        tenantry_cluster::databases::prepare(&mut conn, &db, &mark)
            .await
            .expect("walled off");
        let logins = names::login_names(&db);
        let password = self.entropy.password();
        let new = [
            self.new_login(&logins.owner, LoginKind::Owner, mark, &password),
            self.new_login(&logins.router, LoginKind::Router, mark, &password),
        ];
        tenantry_cluster::logins::create_all(&mut conn, &new)
            .await
            .expect("logins");
        tenantry_cluster::databases::admit(
            &mut conn,
            &db,
            &[logins.owner.clone(), logins.router.clone()],
        )
        .await
        .expect("open");
        self.set_epoch(&admin, database, &db, epoch).await;
        conn.close().await;
        let mut inside = world.connect("postgres", db.as_str()).await;
        execute(
            &mut inside,
            &format!("INSERT INTO whoami VALUES ('{slug}')"),
        )
        .await;
        Tenant {
            id: TenantId::generate(&self.clock, &self.entropy),
            slug: Slug::parse(slug).expect("a slug"),
            database,
            db,
            logins,
            password,
            mark,
        }
    }

    /// Writes the identity of a database.
    pub async fn set_epoch(&self, admin: &Admin, database: DatabaseId, db: &DbName, epoch: i64) {
        let mut inside = admin.enter(db, "test").await.expect("inside");
        tenantry_cluster::identity::write(&mut inside, self.installation, database, epoch)
            .await
            .expect("identity");
        inside.close().await;
    }

    /// The catalog's rows of a tenant, with the row of the change log that says so.
    pub async fn register(&self, tenant: &Tenant, status: Status) -> i64 {
        self.register_on(self.cluster, tenant, status).await
    }

    async fn register_on(&self, cluster: ClusterId, tenant: &Tenant, status: Status) -> i64 {
        let mut conn = self.conn().await;
        self.register_by(&mut conn, cluster, tenant, status).await
    }

    /// The same within somebody's transaction.
    pub async fn register_by(
        &self,
        conn: &mut PgConnection,
        cluster: ClusterId,
        tenant: &Tenant,
        status: Status,
    ) -> i64 {
        let new = NewTenant {
            id: tenant.id,
            slug: &tenant.slug,
            name: "A tenant",
            plan: &Plan::default(),
            status,
            metadata: &json!({}),
            cluster_id: cluster,
        };
        tenants::insert(conn, &new).await.expect("a tenant");
        let domain = Domain {
            name: tenant.slug.to_string(),
            tenant_id: tenant.id,
            kind: domains::Kind::Subdomain,
            is_primary: true,
            redirects_until: None,
        };
        domains::insert(conn, &domain).await.expect("a domain");
        self.place(conn, cluster, tenant.id, tenant).await;
        change_log::append(conn, tenant.id, Kind::Created)
            .await
            .expect("a change")
    }

    /// The catalog's rows of a place, which is from now on that of the tenant with the id.
    pub async fn place(
        &self,
        conn: &mut PgConnection,
        cluster: ClusterId,
        id: TenantId,
        place: &Tenant,
    ) {
        let new = NewDatabase {
            id: place.database,
            cluster_id: cluster,
            name: &place.db,
            operation_id: None,
            schema: "test",
        };
        databases::insert_making(conn, &new)
            .await
            .expect("a database");
        databases::claim(conn, place.database, id, &place.db)
            .await
            .expect("claimed");
        let login = Login {
            database_id: place.database,
            role: LoginRole::Router,
            name: place.logins.router.clone(),
            sealed: Some(self.seal(place, &place.password)),
        };
        logins::insert(conn, &login).await.expect("a login");
    }

    /// A tenant's claim on a name, without which no domain of its own can lead to it.
    pub async fn claim(&self, tenant: &Tenant, name: &DomainName) {
        let challenge = self.entropy.password();
        let mut conn = self.conn().await;
        let now = self.clock.now();
        let claimed =
            domain_claims::insert(&mut conn, tenant.id, name, challenge.expose(), now).await;
        assert!(claimed.expect("a claim"), "it has none yet");
    }

    /// One more name of a tenant, with the row of the change log that says so.
    pub async fn custom_domain(&self, tenant: &Tenant, name: &str) -> (HostName, i64) {
        let name = DomainName::parse(name).expect("a name");
        self.claim(tenant, &name).await;
        let mut conn = self.conn().await;
        let served = domains::serve(&mut conn, tenant.id, &name).await;
        assert_eq!(served.expect("a domain"), domains::Serve::Begun);
        let number = change_log::append(&mut conn, tenant.id, Kind::Updated)
            .await
            .expect("a change");
        (HostName::Custom(name), number)
    }

    pub fn seal(&self, tenant: &Tenant, password: &Secret) -> tenantry_vault::Sealed {
        let place = Place::login(tenant.database, "router");
        self.keys
            .route()
            .seal(&self.entropy, &place, password)
            .expect("sealed")
    }

    pub fn new_login(
        &self,
        name: &RoleName,
        kind: LoginKind,
        mark: Mark,
        password: &Secret,
    ) -> NewLogin {
        let verifier = scram::verifier(password, self.entropy.bytes(), 1);
        NewLogin {
            name: name.clone(),
            kind,
            verifier,
            mark,
        }
    }

    /// Sets a tenant's status together with its row of the change log.
    pub async fn set_status(&self, tenant: &Tenant, status: &str, kind: Kind) -> i64 {
        let mut conn = self.conn().await;
        let purge = if status == "deleting" {
            "now()"
        } else {
            "NULL"
        };
        execute(
            &mut conn,
            &format!(
                "BEGIN; UPDATE tenants SET status = '{status}', purge_at = {purge} WHERE id = '{}'",
                tenant.id
            ),
        )
        .await;
        let number = change_log::append(&mut conn, tenant.id, kind)
            .await
            .expect("a change");
        execute(&mut conn, "COMMIT").await;
        number
    }

    pub async fn change(&self, tenant: &Tenant, kind: Kind) -> i64 {
        let mut conn = self.conn().await;
        change_log::append(&mut conn, tenant.id, kind)
            .await
            .expect("a change")
    }

    /// The routers that whoever made change `number` would wait for.
    pub async fn behind(&self, number: i64) -> Vec<RouterId> {
        routers::behind(&mut self.conn().await, number)
            .await
            .expect("asked")
    }

    /// Connections of a router that count against the budget, as the server sees them.
    pub async fn connections(&self, router: &Router) -> i64 {
        let mut conn = self.world.connect("postgres", "postgres").await;
        let text = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantry/{}'",
            router.id()
        );
        one(&mut conn, &text).await
    }
}

impl Tenant {
    pub fn host(&self) -> HostName {
        HostName::Subdomain(self.slug.clone())
    }
}

pub async fn resolve(router: &Router, tenant: &Tenant) -> Result<Route, ResolveError> {
    router.resolve(&tenant.host()).await
}

/// Resolves and acquires.
pub async fn conn(router: &Router, tenant: &Tenant) -> TenantConn {
    let route = resolve(router, tenant).await.expect("a route");
    router.acquire(&route).await.expect("a connection")
}

pub async fn pid(conn: &mut PgConnection) -> i32 {
    one(conn, "SELECT pg_backend_pid()").await
}

pub async fn whoami(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT slug FROM whoami")
        .fetch_one(conn)
        .await
}

/// How the router is doing on one cluster.
pub fn cluster_stats(router: &Router, cluster: ClusterId) -> ClusterStats {
    let all = router.cluster_stats();
    let of_it = all.into_iter().find(|stats| stats.cluster == cluster);
    of_it.expect("a cluster that was met")
}

/// Sets a tenant's plan together with its row of the change log.
pub async fn update_plan(home: &Home, tenant: &Tenant, plan: &str) -> i64 {
    let mut conn = home.conn().await;
    let update = format!(
        "BEGIN; UPDATE tenants SET plan = '{plan}' WHERE id = '{}'",
        tenant.id
    );
    execute(&mut conn, &update).await;
    let number = change_log::append(&mut conn, tenant.id, Kind::Updated)
        .await
        .expect("a change");
    execute(&mut conn, "COMMIT").await;
    number
}

/// Waits until something holds, and fails when it does not within five seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within five seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
