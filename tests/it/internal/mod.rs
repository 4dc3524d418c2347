//! The internal listener.

mod forward_auth;
mod metrics;
mod tls_ask;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use tenantry_testkit::{Client, Dev, Metrics, Options, shared};

use crate::wait;

fn address(dev: &Dev) -> SocketAddr {
    let url = dev.internal_url();
    let address = url.strip_prefix("http://").expect("a URL");
    address.parse().expect("an address")
}

#[tokio::test]
async fn it_is_on_the_loopback_and_tells_how_the_program_is() {
    let dev = shared();
    assert!(address(dev).ip().is_loopback());
    let banner = dev.process().output();
    assert!(banner.contains(&format!("{}/metrics", dev.internal_url())));
    let internal = Client::new(address(dev), "localhost");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(internal.get(path).await.expect(200)["status"], "ok");
    }
    internal.get("/setup/tenants").await.expect(404);
    internal.get("/users").await.expect(404);
}

#[tokio::test]
async fn the_public_port_has_nothing_of_it() {
    let acme = shared().tenant("acme").await;
    for client in [shared().base(), shared().operator(), acme.admin] {
        client.get("/metrics").await.problem(404, "NOT_FOUND");
    }
    let nowhere = shared().base().host("127.0.0.1");
    nowhere
        .get("/metrics")
        .await
        .problem(404, "TENANT_NOT_FOUND");
}

#[test]
fn it_is_open_to_others_only_where_that_was_said() {
    let dev = shared();
    let serve = |env: &[(&str, &str)]| dev.cli_elsewhere(&["serve"], env);
    for open in ["0.0.0.0:0", "[::]:0"] {
        let told = serve(&[("TENANTRY_INTERNAL_LISTEN", open)]).expect(2);
        assert!(told.stderr.contains("internal_allow_remote"), "{told}");
    }
    let told = serve(&[("TENANTRY_INTERNAL_LISTEN", "everywhere")]).expect(2);
    assert!(told.stderr.contains("internal_listen"), "{told}");
}

#[test]
fn a_port_that_is_taken_is_told_with_the_setting_that_chose_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let env = [
        ("TENANTRY_LISTEN", "127.0.0.1:0"),
        ("TENANTRY_INTERNAL_LISTEN", &address),
    ];
    let told = shared().cli_elsewhere(&["serve"], &env).expect(4);
    assert!(told.stderr.contains("internal_listen"), "{told}");
    assert!(told.stderr.contains("is taken"), "{told}");
}

#[test]
fn it_can_be_turned_off() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_INTERNAL_LISTEN", "off"));
    assert_eq!(dev.internal_url(), "");
    let banner = dev.process().output();
    let line = banner.lines().find(|line| line.contains("Metrics"));
    assert!(line.is_some_and(|line| line.ends_with(" off")), "{banner}");
}

#[tokio::test]
async fn the_end_can_be_watched_to_its_end() {
    let mut dev = Dev::start();
    let (public, internal) = (dev.address(), dev.internal_url());
    // Somebody is still sending a request when the program is told to stop.
    let mut slow = TcpStream::connect(public).expect("connected");
    write!(
        slow,
        "POST /setup/tenants HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{{",
        dev.operator_token()
    )
    .expect("the first half");
    let in_flight = "tenantry_http_requests_in_flight";
    wait::until(Duration::from_secs(10), "a request in flight", async || {
        Metrics::scrape(&internal).await.sum(in_flight, &[]) >= 1.0
    })
    .await;
    dev.process().signal(Signal::TERM);
    wait::until(Duration::from_secs(10), "no new requests", async || {
        TcpStream::connect(public).is_err()
    })
    .await;
    let metrics = Metrics::scrape(&internal).await;
    assert_eq!(metrics.sum(in_flight, &[]), 1.0, "{}", metrics.text);

    slow.write_all(b"                  }")
        .expect("the other half");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let status = dev.wait_for_end(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{}", dev.log());
    let internal: SocketAddr = internal
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    assert!(TcpStream::connect(internal).is_err(), "it went, too");
}
