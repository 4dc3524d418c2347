//! A flood of names that lead nowhere: nothing grows, nothing opens, nobody is pushed out

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tenantry_testkit::{Dev, Metrics, Options};

/// Connections that send at a time, and requests that each has under way.
const CLIENTS: usize = 8;
const AT_ONCE: usize = 25;
const MEMORY: &str = "process_resident_memory_bytes";

/// A name that nobody has had before, of one of the sorts that reach the router.
fn host(number: usize) -> String {
    // Spread over the alphabet, as made-up names are (splitmix64).
    let mut mixed = u64::try_from(number)
        .expect("small")
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    match number % 3 {
        0 => format!("x{mixed:016x}.localhost"),
        1 => format!("x{mixed:016x}.example"),
        _ => format!("a.x{mixed:016x}.shop.example"),
    }
}

/// Asks for `/me` at each of these names; all are answered 404.
fn flood(to: SocketAddr, from: usize, until: usize) {
    let mut stream = TcpStream::connect(to).expect("a connection");
    let bound = Some(Duration::from_secs(60));
    stream.set_read_timeout(bound).expect("a time limit");
    let numbers: Vec<usize> = (from..until).collect();
    let mut buffer = vec![0; 64 * 1024];
    for some in numbers.chunks(AT_ONCE) {
        let requests: String = some
            .iter()
            .map(|number| format!("GET /me HTTP/1.1\r\nHost: {}\r\n\r\n", host(*number)))
            .collect();
        stream.write_all(requests.as_bytes()).expect("sent");
        let mut answers = String::new();
        while answers.matches("HTTP/1.1 ").count() < some.len() || !answers.ends_with('}') {
            let read = stream.read(&mut buffer).expect("an answer in time");
            assert!(read > 0, "closed after {answers}");
            answers.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        }
        assert_eq!(
            answers.matches("HTTP/1.1 404").count(),
            some.len(),
            "{answers}"
        );
    }
}

async fn flood_all(to: SocketAddr, from: usize, until: usize) {
    let part = (until - from) / CLIENTS;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let from = from + client * part;
            tokio::task::spawn_blocking(move || flood(to, from, from + part))
        })
        .collect();
    for client in clients {
        client.await.expect("each was answered");
    }
}

fn loads(metrics: &Metrics) -> f64 {
    metrics.sum("tenantry_router_loads_total", &[])
}

/// Tried: with no bound on the names that lead nowhere, they cost more than the 8 MB.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_made_up_hosts_cost_no_memory_and_no_connection() {
    let options = Options::default()
        .env("TENANTRY_LOG", "warn")
        .env("TENANTRY_ROUTER_NEGATIVE_CAPACITY", "1000")
        .env("TENANTRY_ROUTER_NEGATIVE_TTL", "1h")
        .env("TENANTRY_ROUTER_CACHE_CAPACITY", "50")
        // The flood takes minutes on a busy machine; only its names may push a tenant out.
        .env("TENANTRY_ROUTER_CACHE_TTL", "1h");
    let dev = Dev::start_with(options);
    let acme = dev.tenant("acme").await;
    acme.admin.get("/users").await.expect(200);
    // The first of them fill what may be filled.
    flood_all(dev.address(), 0, 20_000).await;
    let before = dev.metrics().await;

    flood_all(dev.address(), 20_000, 120_000).await;
    let after = dev.metrics().await;
    let grown = after.sum(MEMORY, &[]) - before.sum(MEMORY, &[]);
    assert!(grown < 8e6, "100,000 names cost {:.1} MB", grown / 1e6);
    let tenants = after.sum("tenantry_router_cached_tenants", &[]);
    assert!(tenants <= 2.0, "{tenants} tenants are remembered");
    let open = |metrics: &Metrics| metrics.sum("tenantry_router_budget_used_connections", &[]);
    assert!(open(&after) <= open(&before), "nothing was opened");
    // Each name is looked for once, by as many readers as may read, and no name stays on the way.
    let read = loads(&after) - loads(&before);
    assert!((99_000.0..=101_000.0).contains(&read), "{read} readings");
    let catalog = after.sum("tenantry_catalog_connections", &[("pool", "router")]);
    assert!(catalog <= 8.0, "{catalog} connections to the catalog");

    // Those that lead somewhere were pushed out by none of them.
    let known = loads(&dev.metrics().await);
    acme.admin.get("/users").await.expect(200);
    let misses = loads(&dev.metrics().await) - known;
    assert!(misses < 1.0, "it was asked for anew");
}
