//! Tenants with a table to read, and the servers that read it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tenantry_types::Secret;

use super::Sizes;
use crate::bench::cpu::Watch;
use crate::bench::http::{Connection, request};
use crate::bench::room::{Room, Running};
use crate::bench::world::{World, close, no_answer, run, unexpected};
use crate::failure::{Failure, Result};
use crate::output::text;

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
    _world: &'a World,
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
    pub requests: Vec<Vec<Vec<u8>>>,
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
            notes(world, &text(&made, "dbName")).await?;
            let host = format!("{slug}.{}", world.host);
            tokens.push(token(&mut http, &host).await?);
            hosts.push(host);
            first.get_or_insert(made);
        }
        let first = first.unwrap_or_default();
        let routed = routed(room, world, sizes).await?;
        let wired = wired(room, world, sizes, &first).await?;
        let notes = |host: &String| note_requests(host, None, "/notes/");
        let target = |(server, address): (Running, SocketAddr), hosts: Vec<String>| Target {
            address,
            watch: world.watch(Some(server.pid)),
            requests: hosts.iter().map(notes).collect(),
            hosts,
        };
        let me = |(host, token): (&String, &Secret)| {
            vec![request("GET", "/me", host, Some(token), None)]
        };
        Ok(Self {
            routed: target(routed, hosts.clone()),
            // One host is as good as another there: nobody looks at it.
            wired: target(wired, hosts.clone()),
            whole: Target {
                address: world.address,
                watch: world.watch(Some(world.server.pid)),
                requests: hosts.iter().zip(&tokens).map(me).collect(),
                hosts,
            },
            _world: world,
        })
    }

    /// What asks for a row over a connection that is not there yet.
    pub fn connect_path(&self, routed: bool) -> &'static str {
        if routed { "/notes/7" } else { "/connect/7" }
    }
}

/// A table of the customer's own, as its migrations would make it.
async fn notes(world: &World, database: &str) -> Result<()> {
    let mut conn = world.superuser(database).await?;
    let made = format!(
        "SET ROLE tenantry_owner;
         CREATE TABLE public.notes (id int PRIMARY KEY, body text NOT NULL);
         INSERT INTO public.notes SELECT n, 'The note number ' || n FROM generate_series(1, {NOTES}) n"
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

fn note_requests(host: &str, token: Option<&Secret>, path: &str) -> Vec<Vec<u8>> {
    (1..=REQUESTS)
        .map(|n| {
            request(
                "GET",
                &format!("{path}{}", n * 13 % NOTES + 1),
                host,
                token,
                None,
            )
        })
        .collect()
}

async fn routed(room: &Room, world: &World, sizes: &Sizes) -> Result<(Running, SocketAddr)> {
    let per_tenant = sizes.per_tenant.to_string();
    let known = [
        "TENANTRY_CATALOG_URL",
        "TENANTRY_KEYS",
        "TENANTRY_BASE_DOMAINS",
    ];
    let mut env: Vec<(String, String)> = known
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), world.variables.get(name)?.to_owned())))
        .collect();
    env.push(("TENANTRY_ROUTER_PER_TENANT_MAX".to_owned(), per_tenant));
    serve(room, "routed", &env).await
}

async fn wired(
    room: &Room,
    world: &World,
    sizes: &Sizes,
    tenant: &Value,
) -> Result<(Running, SocketAddr)> {
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
    serve(room, "wired", &env).await
}

async fn serve(room: &Room, way: &str, env: &[(String, String)]) -> Result<(Running, SocketAddr)> {
    let file: PathBuf = room.path().join(format!("{way}.address"));
    let file_text = file.to_string_lossy().into_owned();
    let server = room.start(way, &["bench", "serve", way, &file_text], env)?;
    let address = room
        .until(&server, "listening", async || {
            std::fs::read_to_string(&file).ok()?.parse().ok()
        })
        .await?;
    Ok((server, address))
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
