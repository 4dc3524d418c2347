//! `GET /internal/forward-auth`, as a proxy asks it.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::json;
use tenantry_testkit::{Answer, Client, Dev, Serve, Tenant, raw, shared, unique};

use super::address;

/// Asks as a proxy that got a request for `host`.
async fn ask(dev: &Dev, query: &str, host: &str, method: &str, headers: &[(&str, &str)]) -> Answer {
    at(address(dev), query, host, method, headers).await
}

async fn at(
    internal: SocketAddr,
    query: &str,
    host: &str,
    method: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let path = format!("/internal/forward-auth{query}");
    let mut request = Client::new(internal, "localhost")
        .request(Method::GET, &path)
        .header("x-forwarded-host", host)
        .header("x-forwarded-method", method);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().await
}

#[track_caller]
fn is_tenant(answer: &Answer, tenant: &Tenant) {
    answer.expect(200);
    assert_eq!(answer.text, "");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    for (name, value) in [
        ("x-tenantry-tenant-id", tenant.id.as_str()),
        ("x-tenantry-slug", &tenant.slug),
        ("x-tenantry-plan", "free"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer}");
    }
}

#[track_caller]
fn is_anyone(answer: &Answer, tenant: &Tenant) {
    is_tenant(answer, tenant);
    for name in [
        "x-tenantry-user-id",
        "x-tenantry-roles",
        "x-tenantry-permissions",
    ] {
        assert_eq!(answer.header(name), Some(""), "{answer}");
    }
}

#[track_caller]
fn is_admin(answer: &Answer, tenant: &Tenant) {
    is_tenant(answer, tenant);
    assert_eq!(
        answer.header("x-tenantry-user-id"),
        Some(tenant.user_id.as_str())
    );
    assert_eq!(answer.header("x-tenantry-roles"), Some("Admin"));
    let permissions = answer.header("x-tenantry-permissions").unwrap_or_default();
    assert!(
        permissions.split(',').any(|one| one == "users:create"),
        "{permissions}"
    );
}

#[tokio::test]
async fn a_request_is_the_tenants_of_its_host_and_the_persons_of_its_token() {
    let dev = shared();
    let (acme, other) = (dev.tenant("fwd").await, dev.tenant("fwd").await);
    let host = dev.host(Some(&acme.slug));
    is_anyone(&ask(dev, "", &host, "GET", &[]).await, &acme);
    is_anyone(
        &ask(dev, "", &dev.host(Some(&other.slug)), "GET", &[]).await,
        &other,
    );
    let bearer = format!("Bearer {}", acme.admin.token());
    let cookie = format!("tenantry_access={}", acme.admin.token());
    for query in ["", "?user=optional", "?user=required"] {
        is_admin(
            &ask(dev, query, &host, "POST", &[("authorization", &bearer)]).await,
            &acme,
        );
        is_admin(
            &ask(dev, query, &host, "GET", &[("cookie", &cookie)]).await,
            &acme,
        );
    }
    let foreign = format!("Bearer {}", other.admin.token());
    for query in ["", "?user=required"] {
        ask(dev, query, &host, "GET", &[("authorization", &foreign)])
            .await
            .problem(403, "WRONG_TENANT");
    }
}

#[tokio::test]
async fn who_shows_nothing_is_told_of_as_nobody_or_refused_as_the_proxy_wants() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let host = dev.host(Some(&acme.slug));
    let refused = ask(dev, "?user=required", &host, "GET", &[]).await;
    refused.problem(401, "UNAUTHENTICATED");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let broken = ("authorization", "Bearer a.b.c");
    for query in ["", "?user=required"] {
        ask(dev, query, &host, "GET", &[broken])
            .await
            .problem(401, "UNAUTHENTICATED");
    }
    // A product with sign-ins of its own: what it shows is none of ours.
    let basic = ("authorization", "Basic YTpi");
    for shown in [broken, basic, ("cookie", "tenantry_access=a.b.c")] {
        is_anyone(
            &ask(dev, "?user=ignored", &host, "POST", &[shown]).await,
            &acme,
        );
    }
    // A cookie goes along by itself, also when it has ended.
    let stale = [("cookie", "tenantry_access=a.b.c")];
    is_anyone(&ask(dev, "", &host, "GET", &stale).await, &acme);
    ask(dev, "?user=required", &host, "GET", &stale)
        .await
        .problem(401, "UNAUTHENTICATED");
    ask(dev, "?user=everybody", &host, "GET", &[])
        .await
        .problem(422, "VALIDATION_FAILED");
    ask(dev, "?users=required", &host, "GET", &[])
        .await
        .problem(422, "VALIDATION_FAILED");
}

/// Tried by taking the question's own method, which is always GET: the form of another site's is let in.
#[tokio::test]
async fn a_cookie_counts_for_what_our_own_pages_send() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let host = dev.host(Some(&acme.slug));
    let cookie = format!("tenantry_access={}", acme.admin.token());
    let cookie = ("cookie", cookie.as_str());
    let own = format!("http://{host}");
    for good in [("sec-fetch-site", "same-origin"), ("origin", own.as_str())] {
        is_admin(&ask(dev, "", &host, "POST", &[cookie, good]).await, &acme);
    }
    for bad in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://evil.test"),
        ("x-nothing", "said"),
    ] {
        for method in ["POST", "DELETE", "a b"] {
            ask(dev, "", &host, method, &[cookie, bad])
                .await
                .problem(403, "CROSS_SITE");
        }
    }
    // A proxy that does not say what it was asked for may have been asked for anything.
    let untold = Client::new(address(dev), "localhost")
        .request(Method::GET, "/internal/forward-auth")
        .header("x-forwarded-host", &host)
        .header(cookie.0, cookie.1)
        .send()
        .await;
    untold.problem(403, "CROSS_SITE");
}

/// A sibling tenant's page is of the same site to the browser, which therefore adds the cookie.
///
/// Tried with the program as it was: 200, with the person's headers.
#[tokio::test]
async fn a_cookie_opens_a_websocket_from_our_own_pages_only() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let host = dev.host(Some(&acme.slug));
    let (token, sibling) = (
        acme.admin.token(),
        format!("http://{}", dev.host(Some("sibling"))),
    );
    let (cookie, bearer) = (
        format!("tenantry_access={token}"),
        format!("Bearer {token}"),
    );
    let (cookie, bearer) = (
        ("cookie", cookie.as_str()),
        ("authorization", bearer.as_str()),
    );
    let own = format!("http://{host}");
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    // As a proxy sends them on, and as nginx does, whose question has no `Upgrade`.
    let whole = [key, ("upgrade", "websocket"), ("connection", "upgrade")];
    for handshake in [&whole[..], &whole[1..], &whole[..1]] {
        let ask = async |headers: &[(&str, &str)]| {
            let headers = [handshake, headers].concat();
            ask(dev, "", &host, "GET", &headers).await
        };
        for bad in [
            ("origin", sibling.as_str()),
            ("origin", "http://evil.test"),
            ("sec-fetch-site", "same-site"),
            ("x-nothing", "said"),
        ] {
            ask(&[cookie, bad]).await.problem(403, "CROSS_SITE");
        }
        is_admin(&ask(&[cookie, ("origin", &own)]).await, &acme);
        // No page can send this one.
        is_admin(&ask(&[bearer, ("origin", &sibling)]).await, &acme);
        is_anyone(&ask(&[("origin", &sibling)]).await, &acme);
    }
}

#[tokio::test]
async fn the_question_whether_another_origin_may_ask_needs_nobody() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let host = dev.host(Some(&acme.slug));
    let preflight = [
        ("origin", "https://elsewhere.example"),
        ("access-control-request-method", "POST"),
    ];
    let required = "?user=required";
    is_anyone(
        &ask(dev, required, &host, "OPTIONS", &preflight).await,
        &acme,
    );
    // It is nobody's, whatever it shows.
    let bearer = format!("Bearer {}", acme.admin.token());
    let shown = [
        preflight[0],
        preflight[1],
        ("authorization", bearer.as_str()),
    ];
    is_anyone(&ask(dev, required, &host, "OPTIONS", &shown).await, &acme);
    for (method, headers) in [("OPTIONS", &preflight[..1]), ("POST", &preflight[..])] {
        ask(dev, required, &host, method, headers)
            .await
            .problem(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn one_host_is_read_and_only_from_where_the_proxy_writes_it() {
    let dev = shared();
    let (acme, other) = (dev.tenant("fwd").await, dev.tenant("fwd").await);
    let (host, theirs) = (dev.host(Some(&acme.slug)), dev.host(Some(&other.slug)));
    let url = format!("https://{theirs}/");
    let by = format!("host={theirs}");
    for smuggled in [
        ("x-original-url", url.as_str()),
        ("x-original-host", &theirs),
        ("x-forwarded-server", &theirs),
        ("x-forwarded-uri", &url),
        ("x_forwarded_host", &theirs),
        ("forwarded", &by),
        ("x-tenantry-tenant-id", &other.id),
        ("x-tenantry-slug", &other.slug),
    ] {
        is_anyone(&ask(dev, "", &host, "GET", &[smuggled]).await, &acme);
    }
    let twice = [("x-forwarded-host", theirs.as_str())];
    ask(dev, "", &host, "GET", &twice)
        .await
        .problem(400, "BAD_HOST");
    let method = [("x-forwarded-method", "POST")];
    ask(dev, "", &host, "GET", &method)
        .await
        .problem(400, "BAD_HOST");
    for bad in [
        "",
        "a b",
        &format!("{host}, {theirs}"),
        "https://acme.localhost",
    ] {
        ask(dev, "", bad, "GET", &[]).await.problem(400, "BAD_HOST");
    }
    let none = Client::new(address(dev), "localhost");
    none.get("/internal/forward-auth")
        .await
        .problem(400, "BAD_HOST");
    for nobody in [
        "nobody.localhost",
        "a.b.localhost",
        "127.0.0.1",
        "example.com",
    ] {
        ask(dev, "", nobody, "GET", &[])
            .await
            .problem(404, "TENANT_NOT_FOUND");
    }
}

/// What names a tenant to our own API at a base domain makes no product there.
///
/// Tried with the program as it was: a token is asked about as if there were a tenant.
#[tokio::test]
async fn a_base_domain_is_nobodys_whatever_else_names_a_tenant() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let bearer = format!("Bearer {}", acme.admin.token());
    let base = dev.host(None);
    for headers in [
        &[][..],
        &[("authorization", bearer.as_str())],
        &[("x-tenant-id", acme.id.as_str())],
        &[("x-tenant-id", acme.slug.as_str())],
        &[("x-tenant-id", "nobody")],
    ] {
        for query in ["", "?user=required", "?user=ignored", "?answer=refusal"] {
            ask(dev, query, &base, "GET", headers)
                .await
                .problem(400, "TENANT_NOT_NAMED");
        }
    }
}

/// Tried without the last lines of the handler: a client is let in by the answer to show.
#[tokio::test]
async fn the_answer_to_show_lets_nobody_in() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let host = dev.host(Some(&acme.slug));
    let bearer = format!("Bearer {}", acme.admin.token());
    for (query, headers) in [
        ("?answer=refusal", &[][..]),
        (
            "?user=required&answer=refusal",
            &[("authorization", bearer.as_str())],
        ),
    ] {
        let answer = ask(dev, query, &host, "GET", headers).await;
        answer.problem(503, "TENANT_NOT_READY");
        assert_eq!(answer.header("x-tenantry-tenant-id"), None);
    }
    ask(dev, "?answer=refusal", "nobody.localhost", "GET", &[])
        .await
        .problem(404, "TENANT_NOT_FOUND");
    // As a page for a person, who asked the proxy for one.
    let page = ask(
        dev,
        "?user=required",
        &host,
        "GET",
        &[("sec-fetch-mode", "navigate")],
    )
    .await;
    assert_eq!(page.status, 401);
    assert!(page.text.contains("/sign-in"), "{page}");
}

#[tokio::test]
async fn only_reading_is_answered_and_only_at_the_internal_listener() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let path = "/internal/forward-auth";
    let internal = Client::new(address(dev), "localhost");
    internal
        .post(path, json!({}))
        .await
        .problem(405, "METHOD_NOT_ALLOWED");
    acme.admin.get(path).await.problem(404, "NOT_FOUND");
    dev.base().get(path).await.problem(404, "NOT_FOUND");
    let told = raw(
        address(dev),
        &format!(
            "HEAD {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: {}\r\nConnection: close\r\n\r\n",
            dev.host(Some(&acme.slug))
        ),
    );
    assert_eq!(told.status, 200, "{told}");
}

/// Roles are named by people, one day; a header holds what a header can.
#[tokio::test]
async fn names_that_no_header_can_hold_are_encoded() {
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let sql = "UPDATE tenantry.roles SET name = E'B\u{fc}ro, 1\\r\\nx-tenantry-plan: enterprise' WHERE name = 'Admin'";
    dev.pg().run(&acme.db_name, sql).await;
    let bearer = format!("Bearer {}", acme.admin.token());
    let host = dev.host(Some(&acme.slug));
    let answer = ask(dev, "", &host, "GET", &[("authorization", &bearer)]).await;
    is_tenant(&answer, &acme);
    assert_eq!(
        answer.header("x-tenantry-roles"),
        Some("B%C3%BCro%2C%201%0D%0Ax-tenantry-plan:%20enterprise")
    );
}

#[tokio::test]
async fn known_tenants_go_on_without_the_catalog() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let host = dev.host(Some(&acme.slug));
    let bearer = format!("Bearer {}", acme.admin.token());
    is_admin(
        &ask(&dev, "", &host, "GET", &[("authorization", &bearer)]).await,
        &acme,
    );
    crate::proxies::stop_catalog(&dev).await;
    is_anyone(&ask(&dev, "", &host, "GET", &[]).await, &acme);
    is_admin(
        &ask(&dev, "", &host, "GET", &[("authorization", &bearer)]).await,
        &acme,
    );
    let unknown = unique("nobody");
    ask(&dev, "", &dev.host(Some(&unknown)), "GET", &[])
        .await
        .problem(503, "CATALOG_UNAVAILABLE");
}

/// A page of a stranger's in the browser of somebody who can reach the listener.
///
/// Tried without `only_ours`: all is answered.
#[tokio::test]
async fn the_listener_is_asked_by_names_of_its_own() {
    let dev = shared();
    for host in ["127.0.0.1", "localhost:9464", "[::1]"] {
        let client = Client::new(address(dev), host);
        assert_eq!(client.get("/metrics").await.status, 200, "{host}");
    }
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/internal/forward-auth",
        "/",
        "/internal/tls-ask",
    ] {
        for host in ["evil.test", "rebound.evil.test:9464", "acme.localhost"] {
            let answer = Client::new(address(dev), host).get(path).await;
            assert_eq!(answer.status, 421, "{host}{path}: {answer}");
            assert!(answer.text.contains("internal_hosts"), "{answer}");
        }
    }
    let serve = Serve::join(
        dev,
        &unique("named"),
        &[("TENANTRY_INTERNAL_HOSTS", "serve,metrics.internal")],
    );
    let internal: SocketAddr = serve
        .internal_url()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    for (host, status) in [
        ("serve:9464", 200),
        ("metrics.internal", 200),
        ("other", 421),
    ] {
        let answer = Client::new(internal, host).get("/metrics").await;
        assert_eq!(answer.status, status, "{host}");
    }
}
