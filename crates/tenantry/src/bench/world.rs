//! A private Postgres with the product on it: `tenantry dev` as a process, and the ways into it.

use std::net::SocketAddr;

use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tenantry_types::Secret;

use super::Settings;
use super::cpu::Watch;
use super::environment::{Environment, Machine};
use super::http::{Connection as Http, request};
use super::room::{Room, Running};
use crate::dev::EnvFile;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The product's own login on its Postgres, which the bare side uses as well.
pub const ADMIN: &str = crate::dev::postgres::ADMIN;

/// A running product.
pub struct World {
    /// Its process.
    pub server: Running,
    /// Where it serves.
    pub address: SocketAddr,
    /// The base domain with the port, as requests name it.
    pub host: String,
    /// The first process of its Postgres.
    pub postmaster: u32,
    /// What it tells other programs.
    pub variables: EnvFile,
    token: Secret,
    admin_password: Secret,
    base: PgConnectOptions,
}

impl World {
    /// Starts it in a room, with these settings beside the defaults, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start(
        room: &Room,
        name: &str,
        settings: &Settings,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_with(room, name, settings, env, &[]).await
    }

    /// As [`World::start`], with more on its command line.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with(
        room: &Room,
        name: &str,
        settings: &Settings,
        env: &[(&str, &str)],
        more: &[&str],
    ) -> Result<Self> {
        let data = room.path().join(name);
        let data_text = data.to_string_lossy().into_owned();
        let mut all: Vec<(String, String)> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if let Some(folder) = &settings.pg_bin {
            let folder = folder.to_string_lossy().into_owned();
            all.push(("TENANTRY_PG_BIN".to_owned(), folder));
        }
        let arguments = ["dev", "--port", "0", "--data", &data_text];
        let arguments = [&arguments, more].concat();
        let server = room.start(name, &arguments, &all)?;
        let file = data.join(crate::dev::folder::ENV);
        let variables = room
            .until(&server, "serving", async || EnvFile::read(&file).ok())
            .await?;
        let get = |key: &str| {
            variables
                .get(key)
                .map(str::to_owned)
                .ok_or_else(|| lacks(key))
        };
        let url = get("TENANTRY_URL")?;
        let host = url.trim_start_matches("http://").to_owned();
        let port = |text: &str| text.rsplit(':').next().and_then(|port| port.parse().ok());
        let address = SocketAddr::from(([127, 0, 0, 1], port(&host).ok_or_else(|| lacks(&url))?));
        room.ready(&server, address, &host).await?;

        let record = data
            .join(crate::dev::folder::POSTGRES)
            .join("pgdata/postmaster.pid");
        let postmaster = std::fs::read_to_string(&record)
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse().ok())
            .ok_or_else(|| lacks("postmaster.pid"))?;
        let admin =
            crate::cluster_url::ClusterUrl::parse(&Secret::new(get("TENANTRY_CATALOG_URL")?))?;
        let base = PgConnectOptions::new_without_pgpass()
            .host(&get("PGHOST")?)
            .port(port(&get("PGPORT")?).ok_or_else(|| lacks("PGPORT"))?)
            .username(&get("PGUSER")?)
            .password(&get("PGPASSWORD")?)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging();
        Ok(Self {
            server,
            address,
            host,
            postmaster,
            token: Secret::new(get("TENANTRY_TOKEN")?),
            admin_password: admin.password,
            variables,
            base,
        })
    }

    /// The login that the product works with.
    pub fn admin(&self) -> PgConnectOptions {
        self.login(ADMIN, &self.admin_password, "postgres")
    }

    /// Any login.
    pub fn login(&self, name: &str, password: &Secret, database: &str) -> PgConnectOptions {
        let base = self.base.clone().username(name).password(password.expose());
        base.database(database)
    }

    /// A session of the superuser.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn superuser(&self, database: &str) -> Result<PgConnection> {
        connect(&self.base.clone().database(database)).await
    }

    /// The environment of the run.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn environment(&self, machine: Machine) -> Result<Environment> {
        let mut conn = self.superuser("postgres").await?;
        let environment = machine.with(&mut conn).await?;
        close(conn).await;
        Ok(environment)
    }

    /// A connection to the product.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn http(&self) -> Result<Http> {
        Http::open(self.address)
            .await
            .map_err(|error| no_answer(&error))
    }

    /// A request to the setup API.
    pub fn setup(&self, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
        request(method, path, &self.host, Some(&self.token), body)
    }

    /// Sends a request to the setup API and takes its answer apart.
    ///
    /// # Errors
    /// When it is answered with another status.
    pub async fn ask(
        &self,
        http: &mut Http,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Result<Value> {
        let answer = http.send(&self.setup(method, path, body)).await;
        let answer = answer.map_err(|error| no_answer(&error))?;
        let parsed = serde_json::from_slice(answer.body).unwrap_or(Value::Null);
        if answer.status != status {
            return Err(unexpected(
                &format!("{method} {path}"),
                answer.status,
                answer.body,
            ));
        }
        Ok(parsed)
    }

    /// Creates a tenant for what is measured afterwards.
    ///
    /// # Errors
    /// When it is not created.
    pub async fn tenant(&self, http: &mut Http, body: &Value) -> Result<Value> {
        self.ask(http, "POST", "/setup/tenants", Some(body), 201)
            .await
    }

    /// What to look at for CPU time, of a server or of none.
    pub fn watch(&self, server: Option<u32>) -> Watch {
        Watch {
            server,
            postmaster: self.postmaster,
        }
    }
}

/// Opens a session.
///
/// # Errors
/// When Postgres does not answer.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    options.connect().await.map_err(|error| bare_failed(&error))
}

/// Ends a session in order.
pub async fn close(conn: PgConnection) {
    // One that cannot be told ends with its socket.
    let _ = conn.close().await;
}

/// Sends statements as they stand.
///
/// # Errors
/// When Postgres refuses them.
pub async fn run(conn: &mut PgConnection, sql: String) -> Result<()> {
    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)))
        .await
        .map(drop)
        .map_err(|error| bare_failed(&error))
}

/// An answer that is none of those that count.
pub fn unexpected(asked: &str, status: u16, body: &[u8]) -> Failure {
    let body = String::from_utf8_lossy(body);
    Failure::new(
        Exit::Failed,
        format!("{asked} was answered with {status}: {body}"),
    )
}

/// A server under test went away.
pub fn no_answer(error: &std::io::Error) -> Failure {
    Failure::because("a server under test did not answer", error)
}

/// The bare side failed.
pub fn bare_failed(error: &sqlx::Error) -> Failure {
    Failure::because("Postgres refused a statement of the bare side", error)
}

/// Something is missing that should be there.
pub fn lacks(what: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("a process of the benchmark gave no usable {what}"),
    )
}
