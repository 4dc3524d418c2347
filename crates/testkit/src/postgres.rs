//! The way into the private Postgres that `psql` would take.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};

/// The private Postgres, and its superuser.
#[derive(Clone, Debug)]
pub struct Pg {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The superuser's name.
    pub superuser: String,
    /// The superuser's password.
    pub password: String,
    /// The catalog's database.
    pub catalog: String,
}

impl Pg {
    /// Connects as anyone to anything.
    ///
    /// # Errors
    /// What Postgres or the network says.
    pub async fn connect(
        &self,
        login: &str,
        password: &str,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(login)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging()
            .connect()
            .await
    }

    /// Connects as the superuser.
    pub async fn enter(&self, database: &str) -> PgConnection {
        self.connect(&self.superuser, &self.password, database)
            .await
            .expect("the superuser gets in everywhere")
    }

    /// Connects as the superuser to the catalog.
    pub async fn enter_catalog(&self) -> PgConnection {
        self.enter(&self.catalog).await
    }

    /// Runs statements as the superuser.
    ///
    /// # Panics
    /// When Postgres refuses them.
    pub async fn run(&self, database: &str, sql: &str) {
        let mut conn = self.enter(database).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The first column of a query's rows as text, asked as the superuser.
    ///
    /// # Panics
    /// When Postgres refuses it.
    pub async fn texts(&self, database: &str, sql: &str) -> Vec<String> {
        let mut conn = self.enter(database).await;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter()
            .map(|row| row.try_get::<Option<String>, _>(0).expect("a text"))
            .map(Option::unwrap_or_default)
            .collect()
    }

    /// Whether this database exists.
    pub async fn has_database(&self, name: &str) -> bool {
        let all = self
            .texts("postgres", "SELECT datname::text FROM pg_database")
            .await;
        all.iter().any(|database| database == name)
    }

    /// Gives a login a password that the test knows, for logins whose own nobody is told.
    pub async fn set_password(&self, login: &str, password: &str) {
        self.run(
            "postgres",
            &format!("ALTER ROLE \"{login}\" PASSWORD '{password}'"),
        )
        .await;
    }
}

/// The SQLSTATE with which a server refused something; none when the trouble was another.
#[must_use]
pub fn refusal(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}
