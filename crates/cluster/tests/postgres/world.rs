//! A server with its admin, and what a test needs to make and to try.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tenantry_cluster::logins::{LoginKind, NewLogin};
use tenantry_cluster::names::{self, Logins};
use tenantry_cluster::{Address, Admin, AdminConn, Mark, databases, identity, logins, template};
use tenantry_devpg::Server;
use tenantry_types::{Clock, DatabaseId, DbName, Entropy, InstallationId, RoleName, Secret};
use tenantry_vault::scram;

pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) admin: Admin,
    pub(crate) installation: InstallationId,
    pub(crate) template: DbName,
    pub(crate) version: u32,
    pub(crate) port: u16,
    pub(crate) bin: std::path::PathBuf,
    numbers: Arc<AtomicU64>,
}

/// A tenant as its birth leaves it.
pub(crate) struct Tenant {
    pub(crate) db: DbName,
    pub(crate) logins: Logins,
    pub(crate) mark: Mark,
}

impl World {
    pub(crate) fn new(server: &Server) -> Self {
        let installation = InstallationId::generate(&Clock::system(), &Entropy::system());
        Self {
            admin: Admin::new(
                Address::new(server.host(), server.port(), "disable"),
                db("postgres"),
                role("tenantry_admin"),
                Secret::new("admin"),
            ),
            installation,
            template: db("none_yet"),
            version: server.version(),
            port: server.port(),
            bin: server.bin_dir().to_owned(),
            numbers: Arc::default(),
        }
    }

    /// Builds the template that the tests clone, with two tables made by its builder.
    pub(crate) async fn with_template(mut self) -> Self {
        let mark = self.mark();
        self.template = names::template(mark.database);
        let builder = names::builder(mark.database);
        template::build(&self.admin, &self.template, &mark, "test")
            .await
            .expect("built");
        let mut conn = self.conn().await;
        logins::create(&mut conn, &self.new_login(&builder, LoginKind::Owner, mark))
            .await
            .expect("created");
        databases::grant_connect(&mut conn, &self.template, std::slice::from_ref(&builder))
            .await
            .expect("granted");
        logins::set_role_in_database(&mut conn, &builder, &self.template)
            .await
            .expect("set");
        let mut migration = self
            .login(&self.template, &builder)
            .await
            .expect("the builder gets in");
        sql(
            &mut migration,
            "CREATE TABLE public.things (id bigserial PRIMARY KEY, name text);
                             CREATE TABLE tenantry.notes (id int PRIMARY KEY, note text)",
        )
        .await
        .expect("migrated");
        template::seal(&mut conn, &self.template, &mark, &builder)
            .await
            .expect("sealed");
        self
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark::new(
            self.installation,
            DatabaseId::generate(&Clock::system(), &Entropy::system()),
        )
    }

    /// A number that no other test gets.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) async fn conn(&self) -> AdminConn {
        self.admin.connect("test").await.expect("an admin session")
    }

    pub(crate) fn new_login(&self, name: &RoleName, kind: LoginKind, mark: Mark) -> NewLogin {
        NewLogin {
            name: name.clone(),
            kind,
            verifier: scram::verifier(&Secret::new(PASSWORD), [7; 16], 1),
            mark,
        }
    }

    /// A tenant, by the steps of a birth.
    pub(crate) async fn tenant(&self) -> Tenant {
        let mut conn = self.conn().await;
        let mark = self.mark();
        let db = names::spare(mark.database);
        databases::create_closed(&mut conn, &db, &self.template, &mark)
            .await
            .expect("cloned");
        databases::prepare(&mut conn, &db, &mark)
            .await
            .expect("walled off");
        let logins = names::login_names(&db);
        let new = [
            self.new_login(&logins.owner, LoginKind::Owner, mark),
            self.new_login(&logins.router, LoginKind::Router, mark),
            self.new_login(&logins.user, LoginKind::User, mark),
        ];
        logins::create_all(&mut conn, &new).await.expect("logins");
        logins::set_role_in_database(&mut conn, &logins.owner, &db)
            .await
            .expect("role set");
        databases::admit(&mut conn, &db, &logins.first())
            .await
            .expect("open");
        let mut inside = self.admin.enter(&db, "test").await.expect("inside");
        identity::write(&mut inside, mark.installation, mark.database, 1)
            .await
            .expect("identity");
        inside.close().await;
        conn.close().await;
        Tenant { db, logins, mark }
    }

    /// A session as a tenant's login with the tests' password.
    pub(crate) async fn login(
        &self,
        db: &DbName,
        role: &RoleName,
    ) -> Result<PgConnection, sqlx::Error> {
        self.open(db.as_str(), role.as_str(), PASSWORD).await
    }

    pub(crate) async fn superuser(&self, db: &str) -> PgConnection {
        self.open(db, "postgres", "super")
            .await
            .expect("the superuser gets in")
    }

    /// A session of the admin login on which a test may run anything.
    pub(crate) async fn raw_admin(&self, db: &str) -> PgConnection {
        self.open(db, "tenantry_admin", "admin")
            .await
            .expect("the admin gets in")
    }

    pub(crate) async fn open(
        &self,
        db: &str,
        role: &str,
        password: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(role)
            .password(password)
            .database(db);
        options.disable_statement_logging().connect().await
    }
}

pub(crate) fn db(name: &str) -> DbName {
    DbName::parse(name).expect("a name")
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::parse(name).expect("a name")
}

/// Runs statements.
pub(crate) async fn sql(conn: &mut PgConnection, text: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(conn)
        .await
        .map(drop)
}

/// The SQLSTATE with which Postgres refused.
pub(crate) fn state<T>(outcome: Result<T, sqlx::Error>) -> String {
    let Err(error) = outcome else {
        return "it went through".to_owned();
    };
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) => code.into_owned(),
        None => error.to_string(),
    }
}

/// What one query answers.
pub(crate) async fn one<T>(conn: &mut PgConnection, text: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let query = sqlx::query_scalar(AssertSqlSafe(text.to_owned()));
    query.fetch_one(conn).await.expect(text)
}
