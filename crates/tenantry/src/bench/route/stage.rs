//! Tenants with a table to read, and the servers that read it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry_types::Secret;
use tokio::time::{Instant, sleep};

use super::Sizes;
use crate::bench::cpu::Watch;
use crate::bench::http::{Connection, request};
use crate::bench::room::{Room, Running};
use crate::bench::world::{World, close, lacks, no_answer, run, unexpected};
use crate::failure::{Failure, Result};
use crate::output::{note, text};

/// How long a change may take to reach a router.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows of the table.
pub const NOTES: u32 = 1_000;
/// Requests that a client sends in turn, each for another row.
const REQUESTS: u32 = 64;

const EMAIL: &str = "ann@bench.example";
const PASSWORD: &str = "correct horse battery staple";

/// All servers under test.
pub struct Stage<'a> {
    /// The handler on the router.
    pub routed: Target,
    /// The handler on one pool.
    pub wired: Target,
    /// The product itself.
    pub whole: Target,
    world: &'a World,
}

/// A server under test, and what it is asked for.
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom to look at for CPU time.
    pub watch: Watch,
    /// Hosts, one per tenant; clients are spread over them.
    pub hosts: Vec<String>,
    /// For each host the requests that its clients send in turn.
    pub requests: Arc<[Vec<Vec<u8>>]>,
}

/// A running server.
pub struct Server {
    /// Its process.
    pub running: Running,
    /// Where it listens.
    pub address: SocketAddr,
}

impl<'a> Stage<'a> {
    /// Makes tenants, their tables, and starts the servers.
    ///
    /// # Errors
    /// When a part does not get ready.
    pub async fn set(room: &Room, world: &'a World, sizes: &Sizes) -> Result<Self> {
        let mut http = world.http().await?;
        let (mut hosts, mut tokens, mut first) = (Vec::new(), Vec::new(), None);
        for number in 0..sizes.tenants {
            let slug = format!("bench-{number}");
            let made = json!({
                "name": "A tenant of a benchmark", "slug": slug,
                "admin": { "email": EMAIL, "password": PASSWORD },
            });
            let made = world.tenant(&mut http, &made).await?;
            notes(world, &text(&made, "dbName"), NOTES).await?;
            let host = format!("{slug}.{}", world.host);
            tokens.push(token(&mut http, &host).await?);
            hosts.push(host);
            first.get_or_insert(made);
        }
        let first = first.unwrap_or_default();
        let most = sizes.per_tenant.to_string();
        let most = [("TENANTRY_ROUTER_PER_TENANT_MAX".to_owned(), most)];
        let routed = routed(room, world, "routed", &most).await?;
        let wired = wired(room, world, sizes, &first).await?;
        let me = |(host, token): (&String, &Secret)| {
            vec![request("GET", "/me", host, Some(token), None)]
        };
        Ok(Self {
            routed: Target::new(world, &routed, hosts.clone(), NOTES),
            // One host is as good as another there: nobody looks at it.
            wired: Target::new(world, &wired, hosts.clone(), NOTES),
            whole: Target {
                address: world.address,
                watch: world.watch(Some(world.server.pid)),
                requests: hosts.iter().zip(&tokens).map(me).collect(),
                hosts,
            },
            world,
        })
    }

    /// Changes something about another tenant, and waits until the router has applied it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn change_another(&self) -> Result<()> {
        let applied = async || {
            let told = ask(self.routed.address, "GET", "/stats", &self.world.host).await?;
            Ok(told["applied"].as_i64().unwrap_or_default())
        };
        let before: i64 = applied().await?;
        tenants(self.world, "another", 1, 0).await?;
        let deadline = Instant::now() + PATIENCE;
        while applied().await? <= before {
            if Instant::now() > deadline {
                return Err(lacks("change"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What asks for a row over a connection that is not there yet.
    pub fn connect_path(&self, routed: bool) -> &'static str {
        if routed { "/notes/7" } else { "/connect/7" }
    }
}

impl Target {
    /// A server that is asked for rows of its tenants.
    pub fn new(world: &World, server: &Server, hosts: Vec<String>, rows: u32) -> Self {
        let requests = hosts.iter().map(|host| note_requests(host, rows));
        Self {
            address: server.address,
            watch: world.watch(Some(server.running.pid)),
            requests: requests.collect(),
            hosts,
        }
    }
}

/// Makes tenants, `<prefix>-0` and on, each with a table of `rows` rows, and gives their hosts.
///
/// # Errors
/// When one is refused.
pub async fn tenants(world: &World, prefix: &str, number: u32, rows: u32) -> Result<Vec<String>> {
    let mut http = world.http().await?;
    let mut hosts = Vec::new();
    for n in 0..number {
        if n % 100 == 0 && number > 100 {
            note(&format!("route: tenant {n} of {number}"));
        }
        let slug = format!("{prefix}-{n}");
        let made = json!({ "name": "A tenant of a benchmark", "slug": slug });
        let made = world.tenant(&mut http, &made).await?;
        if rows > 0 {
            notes(world, &text(&made, "dbName"), rows).await?;
        }
        hosts.push(format!("{slug}.{}", world.host));
    }
    Ok(hosts)
}

/// A table of the customer's own, as its migrations would make it.
async fn notes(world: &World, database: &str, rows: u32) -> Result<()> {
    let mut conn = world.superuser(database).await?;
    let made = format!(
        "SET ROLE tenantry_owner;
         CREATE TABLE public.notes (id int PRIMARY KEY, body text NOT NULL);
         INSERT INTO public.notes SELECT n, 'The note number ' || n FROM generate_series(1, {rows}) n"
    );
    run(&mut conn, made).await?;
    run(&mut conn, "VACUUM (ANALYZE) public.notes".to_owned()).await?;
    close(conn).await;
    Ok(())
}

async fn token(http: &mut Connection, host: &str) -> Result<Secret> {
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    let ask = request("POST", "/auth/login", host, None, Some(&body));
    let answer = http.send(&ask).await.map_err(|error| no_answer(&error))?;
    let parsed: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    match answer.status {
        200 => Ok(Secret::new(text(&parsed, "accessToken"))),
        status => Err(unexpected("POST /auth/login", status, b"")),
    }
}

fn note_requests(host: &str, rows: u32) -> Vec<Vec<u8>> {
    (1..=REQUESTS)
        .map(|n| {
            let path = format!("/notes/{}", n * 13 % rows.max(1) + 1);
            request("GET", &path, host, None, None)
        })
        .collect()
}

/// Starts a server with the handler on the router; `more` wins over the product's own settings.
///
/// # Errors
/// When it does not get ready.
pub async fn routed(
    room: &Room,
    world: &World,
    name: &str,
    more: &[(String, String)],
) -> Result<Server> {
    let known = [
        "TENANTRY_CATALOG_URL",
        "TENANTRY_KEYS",
        "TENANTRY_BASE_DOMAINS",
    ];
    let mut env: Vec<(String, String)> = known
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), world.variables.get(name)?.to_owned())))
        .collect();
    env.extend_from_slice(more);
    serve(room, name, "routed", &env).await
}

async fn wired(room: &Room, world: &World, sizes: &Sizes, tenant: &Value) -> Result<Server> {
    let get = |name: &str| world.variables.get(name).unwrap_or_default();
    let (login, password) = (text(tenant, "dbUsername"), text(tenant, "dbPassword"));
    let url = format!(
        "postgres://{login}:{password}@{}:{}/{}?sslmode=disable",
        get("PGHOST"),
        get("PGPORT"),
        text(tenant, "dbName"),
    );
    let connections = (sizes.tenants * sizes.per_tenant).to_string();
    let env = [
        (super::app::DATABASE_URL.to_owned(), url),
        (super::app::CONNECTIONS.to_owned(), connections),
    ];
    serve(room, "wired", "wired", &env).await
}

async fn serve(room: &Room, name: &str, way: &str, env: &[(String, String)]) -> Result<Server> {
    let file: PathBuf = room.path().join(format!("{name}.address"));
    // Of one that ran before under this name, if any.
    let _ = std::fs::remove_file(&file);
    let file_text = file.to_string_lossy().into_owned();
    let running = room.start(name, &["bench", "serve", way, &file_text], env)?;
    let address = room
        .until(&running, "listening", async || {
            std::fs::read_to_string(&file).ok()?.parse().ok()
        })
        .await?;
    Ok(Server { running, address })
}

/// Asks a server under test for something beside the load, which it answers in JSON.
pub async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> Result<Value> {
    let mut http = Connection::open(address)
        .await
        .map_err(|error| Failure::because("a server under test did not accept", &error))?;
    let answer = http.send(&request(method, path, host, None, None)).await;
    let answer = answer.map_err(|error| no_answer(&error))?;
    check(answer.status, answer.body)?;
    serde_json::from_slice(answer.body)
        .map_err(|error| Failure::because("a server under test told no JSON", &error))
}

/// The answer that both servers must give; anything else is no measurement.
pub fn check(status: u16, body: &[u8]) -> Result<()> {
    if status == 200 && !body.is_empty() {
        Ok(())
    } else {
        Err(unexpected("a request of the benchmark", status, body))
    }
}

/// A connection to a server under test.
pub async fn open(target: &Target) -> Result<Connection> {
    Connection::open(target.address)
        .await
        .map_err(|error| Failure::because("a server under test did not accept", &error))
}
