//! From a Host header to a tenant, or to nobody

use tenantry_testkit::{Answer, Dev, raw, shared};

/// `GET /me` without a token: a tenant's host asks for one (401), any other is not there (404).
fn ask(dev: &Dev, hosts: &[&str]) -> Answer {
    let lines: String = hosts
        .iter()
        .map(|host| format!("Host: {host}\r\n"))
        .collect();
    raw(
        dev.address(),
        &format!("GET /me HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"),
    )
}

#[tokio::test]
async fn a_tenants_host_is_known_in_each_of_its_forms() {
    let dev = shared();
    let slug = dev.tenant("host").await.slug;
    let port = dev.address().port();
    for host in [
        format!("{slug}.localhost"),
        format!("{slug}.localhost:{port}"),
        format!("{slug}.localhost:1"),
        format!("{slug}.localhost."),
        format!("{slug}.localhost.:{port}"),
        format!("{}.LocalHost", slug.to_uppercase()),
    ] {
        ask(dev, &[&host]).problem(401, "UNAUTHENTICATED");
    }
    // A host in the request's target counts as one (RFC 9112, 3.2.2).
    let absolute = raw(
        dev.address(),
        &format!(
            "GET http://{slug}.localhost/me HTTP/1.1\r\nHost: {slug}.localhost\r\nConnection: close\r\n\r\n"
        ),
    );
    absolute.problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_international_name_has_one_form() {
    let dev = shared();
    let slug = tenantry_testkit::unique("idn");
    let custom = format!("b\u{fc}cher.{slug}.example");
    let body = serde_json::json!({ "name": "Idn", "slug": slug, "primaryDomain": custom });
    dev.operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    // As browsers send it; bytes beyond ASCII are no host (RFC 9110, 7.2 and RFC 3986, 3.2.2).
    assert_eq!(ask(dev, &[&custom]).status, 400);
    for host in [
        format!("xn--bcher-kva.{slug}.example"),
        format!("XN--BCHER-KVA.{slug}.example."),
    ] {
        ask(dev, &[&host]).problem(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_host_that_only_looks_like_a_tenants_is_not_there() {
    let dev = shared();
    let slug = dev.tenant("trick").await.slug;
    for host in [
        "nobody-has-this.localhost".to_owned(),
        format!("{slug}notlocalhost"),
        "notlocalhost".to_owned(),
        format!("{slug}.notlocalhost"),
        format!("a.{slug}.localhost"),
        format!("{slug}.a.localhost"),
        format!("{slug}.localhost.evil.com"),
        format!("evil.com.{slug}.localhost"),
        format!("{slug}-localhost"),
        "example.com".to_owned(),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", dev.address().port()),
        "[::1]:3000".to_owned(),
        "2130706433".to_owned(),
        "www.localhost".to_owned(),
        format!("{}\u{ff0e}localhost", slug.replace('-', "_")),
    ] {
        let answer = ask(dev, &[&host]);
        assert!(matches!(answer.status, 404 | 400), "{host}: {answer}");
        answer.any_problem();
    }
    // The base domain has no people either.
    let base = ask(dev, &["localhost"]);
    assert!(matches!(base.status, 401 | 404), "{base}");
}

#[tokio::test]
async fn what_names_no_host_or_two_is_refused() {
    let dev = shared();
    let slug = dev.tenant("none").await.slug;
    let good = format!("{slug}.localhost");
    for hosts in [
        vec![],
        vec![""],
        vec![good.as_str(), "localhost"],
        vec![good.as_str(), good.as_str()],
        vec!["a b.localhost"],
        vec!["user@acme.localhost"],
        vec!["acme.localhost/evil"],
        vec!["acme.localhost:port"],
        vec!["acme.localhost:99999"],
        vec!["."],
        vec!["..localhost"],
        vec![".localhost"],
    ] {
        let answer = ask(dev, &hosts);
        assert!(matches!(answer.status, 400 | 404), "{hosts:?}: {answer}");
    }
    for hosts in [vec![], vec![""], vec![good.as_str(), "localhost"]] {
        assert_eq!(ask(dev, &hosts).status, 400, "{hosts:?}");
    }
    // The target and the header name two tenants.
    let split = raw(
        dev.address(),
        &format!(
            "GET http://{good}/me HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n"
        ),
    );
    assert_eq!(split.status, 400, "{split}");
}

#[tokio::test]
async fn the_setup_api_is_at_the_base_domain_only() {
    let dev = shared();
    let acme = dev.tenant("base").await;
    let operator = dev.operator();
    for host in [
        dev.host(Some(&acme.slug)),
        "nobody-has-this.localhost".into(),
        "127.0.0.1".into(),
    ] {
        for path in [
            "/setup/tenants",
            "/setup/operators",
            &format!("/setup/tenants/{}", acme.slug),
        ] {
            let answer = operator.host(&host).get(path).await;
            assert_eq!(answer.status, 404, "{answer}");
            answer.any_problem();
        }
    }
    // Health is told to whoever asks, by whatever name.
    for host in ["localhost", "127.0.0.1", "anything.example"] {
        dev.base().host(host).get("/healthz").await.expect(200);
        dev.base().host(host).get("/readyz").await.expect(200);
    }
}
