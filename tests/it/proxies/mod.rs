//! The configurations in `deploy/`, in the real proxies, in front of the real program and of a product
//! that tells what it was sent. The files are used as they are shipped; what differs is what they take
//! from their environment: ports, a certificate, and where Tenantry and the product are.

mod caddy;
mod nginx;
mod shipped;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::http::header::UPGRADE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Process, Tenant, logs, plain};

use crate::wait;

/// A product in any language: it answers with what it was sent. As many a server does, it speaks HTTP/2
/// on plain connections to whoever asks for it.
struct Product {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Product {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let echo = async move |request: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            let (parts, body) = request.into_parts();
            if speaks_h2c(&parts.headers) {
                let upgrade = [("connection", "upgrade"), ("upgrade", "h2c")];
                return (StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response();
            }
            let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
            let headers = parts.headers.iter().map(|(name, value)| {
                json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
            });
            Json(json!({
                "product": true,
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "headers": headers.collect::<Vec<_>>(),
                "body": String::from_utf8_lossy(&body),
            }))
            .into_response()
        };
        let app = axum::Router::new().fallback(any(echo));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn speaks_h2c(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(UPGRADE).iter();
    let texts = upgrades.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let asked = texts.flat_map(|text| {
        text.split(',')
            .map(|one| one.trim().to_owned())
            .collect::<Vec<_>>()
    });
    asked.into_iter().any(|one| one.eq_ignore_ascii_case("h2c"))
}

/// All headers of a request to the product that speak of Tenantry, in whichever spelling, as most
/// languages' servers would name them; those without a value left out, for they say nothing.
fn told(answer: &Value) -> Vec<(String, String)> {
    assert_eq!(answer["product"], true, "{answer}");
    let headers = answer["headers"].as_array().expect("headers");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut told: Vec<_> = headers
        .iter()
        .map(|pair| (text(&pair[0]).replace('_', "-"), text(&pair[1])))
        .filter(|(name, value)| name.contains("tenantry") && !value.is_empty())
        .collect();
    told.sort();
    told
}

/// What the product is told of somebody in a tenant.
fn expected(tenant: &Tenant, user: bool) -> Vec<(String, String)> {
    let mut all = vec![
        ("x-tenantry-plan", "free".to_owned()),
        ("x-tenantry-slug", tenant.slug.clone()),
        ("x-tenantry-tenant-id", tenant.id.clone()),
    ];
    if user {
        all.push(("x-tenantry-roles", "Admin".to_owned()));
        all.push(("x-tenantry-user-id", tenant.user_id.clone()));
    }
    all.sort();
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What a client can do to say who it is without being it.
const FORGED: &[&str] = &[
    "x-tenantry-tenant-id",
    "x-tenantry-slug",
    "x-tenantry-plan",
    "x-tenantry-user-id",
    "x-tenantry-roles",
    "x-tenantry-permissions",
    "x_tenantry_tenant_id",
    "x_tenantry_user_id",
    "x-tenantry_user-id",
    "x_tenantry-roles",
    "x-tenantry-user_id",
];

/// A running proxy with a shipped configuration.
struct Proxy {
    process: Process,
    https: SocketAddr,
    port: u16,
}

impl Proxy {
    fn host(&self, slug: &str) -> String {
        format!("{slug}.localhost")
    }

    /// Asks for a page of a host, over TLS; none when there was no answer at all.
    async fn try_ask(
        &self,
        host: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Option<Answer> {
        let http = plain(reqwest::Client::builder())
            .http1_only()
            .tls_danger_accept_invalid_certs(true)
            .resolve(host, self.https)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        let url = format!("https://{host}:{}{path}", self.port);
        let mut request = http.request(method.clone(), &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.ok()?;
        let asked = format!("{method} {url}");
        let answer = Answer {
            asked,
            status,
            headers,
            text,
        };
        logs::learn_from(&answer.json());
        Some(answer)
    }

    async fn ask(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let answer = self.try_ask(host, Method::GET, path, headers, None).await;
        answer.unwrap_or_else(|| panic!("no answer of {host}{path}"))
    }

    /// Waits until it answers for the base domain.
    async fn ready(mut self) -> Self {
        wait::until(Duration::from_secs(60), "the proxy is ready", async || {
            if let Some(status) = self.process.ended() {
                panic!("it ended ({status}):\n{}", self.process.log());
            }
            let answer = self.try_ask("localhost", Method::GET, "/healthz", &[], None);
            answer.await.is_some_and(|answer| answer.status == 200)
        })
        .await;
        self
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// A shipped file.
fn shipped(path: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).expect("a file of deploy/")
}

fn internal(dev: &Dev) -> String {
    dev.internal_url().trim_start_matches("http://").to_owned()
}

/// Stops the catalog and leaves the tenants' databases.
pub(crate) async fn stop_catalog(dev: &Dev) {
    let pg = dev.pg();
    let name = &pg.catalog;
    pg.run(
        "postgres",
        &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
    )
    .await;
    let end = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    pg.run("postgres", &end).await;
}

/// All that the two configurations promise alike. `dev` is the test's own: it is broken at the end.
async fn keeps_its_promises(dev: &mut Dev, product: &Product, proxy: &Proxy) {
    let (acme, other) = (dev.tenant("acme").await, dev.tenant("other").await);
    each_gets_its_own(product, proxy, &acme, &other).await;
    nobody_says_who_they_are(product, proxy, &acme, &other).await;
    the_unknown_and_the_foreign_are_refused(product, proxy, &acme, &other).await;
    requests_go_through_whole(proxy, &acme).await;
    nothing_but_a_websocket_is_a_tunnel(proxy, &acme).await;
    sign_in_is_tenantrys(proxy, &acme).await;
    nobody_names_a_trace(dev, proxy, &acme).await;
    who_is_out_of_service_is_refused(dev, product, proxy).await;

    stop_catalog(dev).await;
    let bearer = format!("Bearer {}", acme.admin.token());
    let answer = proxy
        .ask(&proxy.host(&acme.slug), "/", &[("authorization", &bearer)])
        .await;
    assert_is(&answer, &expected(&acme, true));
    let before = product.asked();
    let unknown = proxy.host("who-knows");
    // A proxy that asks before the handshake has nothing to shake hands with.
    let answer = proxy.try_ask(&unknown, Method::GET, "/", &[], None).await;
    assert!(answer.is_none_or(|answer| answer.status >= 500));

    // Nobody there to ask: nobody is let in.
    assert_eq!(dev.end_by(rustix::process::Signal::KILL), 137);
    let answer = proxy.ask(&proxy.host(&acme.slug), "/", &[]).await;
    assert!(answer.status >= 500, "{answer}");
    assert_eq!(product.asked(), before, "nothing of it came to the product");
}

/// The product was asked and told this and nothing else of Tenantry, permissions apart.
#[track_caller]
fn assert_is(answer: &Answer, expected: &[(String, String)]) {
    let mut told = told(&answer.expect(200));
    let before = told.len();
    told.retain(|(name, _)| name != "x-tenantry-permissions");
    assert_eq!(told, expected, "{answer}");
    let user = expected
        .iter()
        .any(|(name, _)| name == "x-tenantry-user-id");
    assert_eq!(
        before - told.len(),
        usize::from(user),
        "permissions, once: {answer}"
    );
}

async fn each_gets_its_own(product: &Product, proxy: &Proxy, acme: &Tenant, other: &Tenant) {
    for tenant in [acme, other, acme] {
        let host = proxy.host(&tenant.slug);
        assert_is(
            &proxy.ask(&host, "/a?b=c", &[]).await,
            &expected(tenant, false),
        );
        let bearer = format!("Bearer {}", tenant.admin.token());
        let cookie = format!("tenantry_access={}", tenant.admin.token());
        for shown in [("authorization", &bearer), ("cookie", &cookie)] {
            let answer = proxy.ask(&host, "/", &[(shown.0, shown.1)]).await;
            assert_is(&answer, &expected(tenant, true));
        }
        let host = host.to_uppercase();
        assert_is(&proxy.ask(&host, "/", &[]).await, &expected(tenant, false));
    }
    assert!(product.asked() >= 12);
}

/// Tried, each in its configuration: in nginx without one of the `proxy_set_header X-Tenantry-…`, and
/// with `underscores_in_headers on`; in Caddy without `request_header`, with `-X-Tenantry-*` in it, and
/// without `@meddling`. Each time the product is told what the client made up, or not told whose the
/// request is.
async fn nobody_says_who_they_are(product: &Product, proxy: &Proxy, acme: &Tenant, other: &Tenant) {
    let host = proxy.host(&acme.slug);
    let forged: Vec<_> = FORGED
        .iter()
        .map(|name| (*name, other.id.as_str()))
        .collect();
    assert_is(
        &proxy.ask(&host, "/", &forged).await,
        &expected(acme, false),
    );
    let bearer = format!("Bearer {}", acme.admin.token());
    let forged = [&forged[..], &forged, &[("authorization", bearer.as_str())]].concat();
    assert_is(&proxy.ask(&host, "/", &forged).await, &expected(acme, true));

    // The tenant is the host's, whatever else names one.
    let theirs = proxy.host(&other.slug);
    let url = format!("https://{theirs}/");
    let by = format!("host={theirs}");
    for (name, value) in [
        ("x-forwarded-host", theirs.as_str()),
        ("x_forwarded_host", &theirs),
        ("x-original-host", &theirs),
        ("x-original-url", &url),
        ("x-forwarded-uri", &url),
        ("forwarded", &by),
    ] {
        let answer = proxy.ask(&host, "/", &[(name, value)]).await;
        assert_is(&answer, &expected(acme, false));
    }

    // A proxy takes out what `Connection` names; it must not take out what it has put in.
    for name in ["X-Tenantry-Tenant-Id", "close, x-tenantry-user-id"] {
        let before = product.asked();
        let headers = [("connection", name), ("authorization", bearer.as_str())];
        let answer = proxy.ask(&host, "/", &headers).await;
        if answer.status == 200 {
            assert_is(&answer, &expected(acme, true));
        } else {
            assert_eq!((answer.status, product.asked()), (400, before), "{answer}");
        }
    }
}

async fn the_unknown_and_the_foreign_are_refused(
    product: &Product,
    proxy: &Proxy,
    acme: &Tenant,
    other: &Tenant,
) {
    let before = product.asked();
    let host = proxy.host(&acme.slug);
    let foreign = format!("Bearer {}", other.admin.token());
    proxy
        .ask(&host, "/", &[("authorization", &foreign)])
        .await
        .problem(403, "WRONG_TENANT");
    let broken = proxy
        .ask(&host, "/", &[("authorization", "Bearer x.y.z")])
        .await;
    broken.problem(401, "UNAUTHENTICATED");
    assert_eq!(
        broken.header("www-authenticate"),
        Some("Bearer"),
        "{broken}"
    );
    // A form on another site's page: the browser adds the cookie, and says where it comes from.
    let cookie = format!("tenantry_access={}", acme.admin.token());
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    let form = proxy.try_ask(&host, Method::POST, "/", &headers, Some("a=b".to_owned()));
    form.await.expect("an answer").problem(403, "CROSS_SITE");
    assert_eq!(product.asked(), before, "none of them came to the product");

    // A person in front of a browser reads a page.
    let headers = [
        ("authorization", "Bearer x.y.z"),
        ("sec-fetch-mode", "navigate"),
    ];
    let page = proxy.ask(&host, "/", &headers).await;
    assert_eq!(page.status, 401, "{page}");
    assert!(page.text.contains("Not signed in"), "{page}");
}

async fn requests_go_through_whole(proxy: &Proxy, acme: &Tenant) {
    let host = proxy.host(&acme.slug);
    let body = "x".repeat(100_000);
    let sent = [("content-type", "text/plain"), ("x-own", "kept")];
    let answer = proxy
        .try_ask(&host, Method::PUT, "/a/b?c=%20", &sent, Some(body.clone()))
        .await
        .expect("an answer");
    assert_is(&answer, &expected(acme, false));
    let told = answer.json();
    assert_eq!(told["method"], "PUT");
    assert_eq!(told["path"], "/a/b");
    assert_eq!(told["body"], body);
    let headers = told["headers"].to_string();
    for kept in [r#"["x-own","kept"]"#, r#"["content-type","text/plain"]"#] {
        assert!(headers.contains(kept), "{headers}");
    }
    assert!(headers.contains(&format!(r#"["host","{host}:{}"]"#, proxy.port)));

    // The question whether a page of another origin may ask comes without credentials.
    let preflight = [
        ("origin", "https://elsewhere.example"),
        ("access-control-request-method", "POST"),
    ];
    let answer = proxy
        .try_ask(&host, Method::OPTIONS, "/", &preflight, None)
        .await
        .expect("an answer");
    assert_is(&answer, &expected(acme, false));

    for websocket in ["websocket", "WebSocket"] {
        let upgrade = [("connection", "upgrade"), ("upgrade", websocket)];
        let answer = proxy.ask(&host, "/socket", &upgrade).await;
        let headers = answer.expect(200)["headers"].to_string().to_lowercase();
        assert!(headers.contains(r#"["upgrade","websocket"]"#), "{headers}");
        assert!(headers.contains(r#"["connection","upgrade"]"#), "{headers}");
    }
}

/// In a tunnel the client says what it likes, and nobody is asked. A preflight needs nobody signed in.
///
/// Tried with the configurations as they were, in nginx and in Caddy, before a product that speaks h2c: 101.
async fn nothing_but_a_websocket_is_a_tunnel(proxy: &Proxy, acme: &Tenant) {
    let host = proxy.host(&acme.slug);
    let asked = [
        ("origin", "https://elsewhere.example"),
        ("access-control-request-method", "GET"),
        ("connection", "Upgrade, HTTP2-Settings"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ];
    for upgrades in [
        &["h2c"][..],
        &["H2C"],
        &["h2c, websocket"],
        &["websocket, h2c"],
        &["h2c", "websocket"],
        &["websocket", "h2c"],
        &["", "h2c"],
    ] {
        let mut headers = asked.to_vec();
        headers.extend(upgrades.iter().map(|one| ("upgrade", *one)));
        for method in [Method::OPTIONS, Method::GET] {
            let answer = proxy.try_ask(&host, method, "/", &headers, None).await;
            let answer = answer.expect("an answer");
            match answer.status {
                200 => assert!(!answer.text.to_lowercase().contains("h2c"), "{answer}"),
                status => assert_eq!(status, 400, "{upgrades:?}: {answer}"),
            }
        }
    }
}

async fn sign_in_is_tenantrys(proxy: &Proxy, acme: &Tenant) {
    let host = proxy.host(&acme.slug);
    let body = json!({ "email": acme.email, "password": ADMIN_PASSWORD }).to_string();
    let json = [("content-type", "application/json")];
    let answer = proxy
        .try_ask(&host, Method::POST, "/auth/login", &json, Some(body))
        .await
        .expect("an answer");
    assert!(answer.expect(200)["accessToken"].is_string(), "{answer}");
    assert_eq!(proxy.ask(&host, "/sign-in", &[]).await.status, 200);
    let setup = proxy.ask("localhost", "/setup/tenants", &[]).await;
    setup.problem(401, "UNAUTHENTICATED");
}

/// What Tenantry takes for a request's trace, from whoever sent it, stands in its log.
///
/// Tried with the configurations as they were: the product is told the client's `traceparent`.
async fn nobody_names_a_trace(dev: &Dev, proxy: &Proxy, acme: &Tenant) {
    let host = proxy.host(&acme.slug);
    let trace = "5e6f70818293a4b5c6d7e8f901122334";
    let parent = format!("00-{trace}-a1b2c3d4e5f60718-01");
    let named = [("traceparent", parent.as_str()), ("tracestate", "a=b")];
    for (host, path) in [
        ("localhost", "/setup/tenants"),
        (&host, "/sign-in"),
        (&host, "/"),
    ] {
        let answer = proxy.ask(host, path, &named).await;
        assert!(!answer.text.contains(trace), "{answer}");
        assert!(!answer.text.contains("a=b"), "{answer}");
    }
    let refused = [named[0], ("authorization", "Bearer x.y.z")];
    let answer = proxy.ask(&host, "/", &refused).await;
    answer.problem(401, "UNAUTHENTICATED");

    // Sent past the proxy, it does stand there; and all before it was written.
    let direct = "6e6f70818293a4b5c6d7e8f901122335";
    let request = Client::new(dev.address(), "localhost").request(Method::GET, "/setup/tenants");
    let request = request.header("traceparent", &format!("00-{direct}-a1b2c3d4e5f60718-01"));
    request.send().await.problem(401, "UNAUTHENTICATED");
    wait::until(Duration::from_secs(60), "it is logged", async || {
        dev.log().contains(direct)
    })
    .await;
    assert!(!dev.log().contains(trace), "a client's trace came through");
}

async fn who_is_out_of_service_is_refused(dev: &Dev, product: &Product, proxy: &Proxy) {
    let out = dev.tenant("out").await;
    let host = proxy.host(&out.slug);
    assert_is(&proxy.ask(&host, "/", &[]).await, &expected(&out, false));
    let before = product.asked();
    for (status, answered, code) in [
        ("suspended", 403, "TENANT_SUSPENDED"),
        ("migrating", 503, "TENANT_NOT_READY"),
    ] {
        set_status(dev, &out, status).await;
        proxy.ask(&host, "/", &[]).await.problem(answered, code);
    }
    set_status(dev, &out, "active").await;
    let path = format!("/setup/tenants/{}", out.id);
    dev.operator().delete(&path).await.expect(200);
    let answer = proxy.ask(&host, "/", &[]).await;
    answer.problem(404, "TENANT_NOT_FOUND");
    assert_eq!(product.asked(), before, "none of them came to the product");
}

/// As an operation would, but for the fence.
async fn set_status(dev: &Dev, tenant: &Tenant, status: &str) {
    let sql = format!(
        "UPDATE tenants SET status = '{status}' WHERE id = '{}'",
        tenant.id
    );
    dev.pg().run(&dev.pg().catalog, &sql).await;
    let path = format!("/setup/tenants/{}/disconnect", tenant.id);
    dev.operator().post(&path, json!({})).await.expect(200);
}
