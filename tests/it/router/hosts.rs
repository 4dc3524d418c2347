//! From a Host header to a tenant, or to nobody

use reqwest::Method;
use tenantry_testkit::{Answer, Client, Dev, Request, Serve, raw, shared};

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
    dev.prove(&slug, &format!("xn--bcher-kva.{slug}.example"))
        .await;
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

/// A client that comes from this address and says these hosts.
fn from(at: &Serve, ip: &str, host: &str) -> Client {
    let ip = ip.parse().expect("an address");
    Client::from_address(at.address(), host, ip)
}

// Red when `from_proxy` let everybody pass, and when the proxy's own host led on.
#[tokio::test]
async fn only_a_trusted_proxy_says_which_host_was_asked_for() {
    const PROXY: &str = "127.0.0.9";
    let dev = shared();
    let (acme, globex) = (dev.tenant("fwd").await, dev.tenant("fwd").await);
    let own = format!("shop.{}.example", globex.slug);
    dev.prove(&globex.slug, &own).await;
    let serve = Serve::join(dev, "forwarded", &[("TENANTRY_TRUSTED_PROXIES", PROXY)]);
    let off = Serve::join(
        dev,
        "forwarded-off",
        &[
            ("TENANTRY_TRUSTED_PROXIES", PROXY),
            ("TENANTRY_FORWARDED_HOST", "false"),
        ],
    );
    let asked = format!("{}.localhost", acme.slug);
    let host = |slug: &str| format!("{slug}.localhost");
    let get = async |client: &Client, headers: &[(&str, &str)]| {
        let client = client.bearer(acme.admin.token());
        let request = client.request(Method::GET, "/me");
        let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
        headers.iter().fold(request, add).send().await
    };
    let element = format!("for=192.0.2.1;host=\"{asked}:443\";proto=https");
    let forwarded: [(&str, &str); 2] = [("x-forwarded-host", &asked), ("forwarded", &element)];

    // What a proxy calls us leads to nobody: the address, an inner name, the base domain.
    for inner in [
        "127.0.0.1",
        "backend.internal",
        "back_end:3000",
        "localhost",
    ] {
        for header in &forwarded {
            let proxied = get(&from(&serve, PROXY, inner), &[*header]).await;
            assert_eq!(proxied.status, 200, "{inner} {header:?}: {proxied}");
        }
    }
    // From anybody else, and where it is off, the header is not there.
    for client in [
        from(&serve, "127.0.0.1", "127.0.0.1"),
        from(&serve, "127.0.0.10", "127.0.0.1"),
        from(&off, PROXY, "127.0.0.1"),
    ] {
        for header in &forwarded {
            let ignored = get(&client, &[*header]).await;
            ignored.problem(404, "TENANT_NOT_FOUND");
        }
    }
    let ignored = from(&serve, "127.0.0.1", &asked);
    get(&ignored, &[("x-forwarded-host", &host(&globex.slug))])
        .await
        .expect(200);

    // One value, and one only.
    let proxy = from(&serve, PROXY, "127.0.0.1");
    let two = format!("{asked}, {asked}");
    for headers in [
        vec![forwarded[0], forwarded[0]],
        vec![("x-forwarded-host", two.as_str())],
        vec![forwarded[0], ("forwarded", "host=evil.test")],
        vec![("x-forwarded-host", "")],
        vec![("x-forwarded-host", "a b")],
        vec![("forwarded", "host=\"open")],
    ] {
        let refused = get(&proxy, &headers).await;
        assert_eq!(refused.status, 400, "{headers:?}: {refused}");
        assert_eq!(refused.json()["code"], "BAD_HOST", "{headers:?}");
    }
    let same = format!("for=192.0.2.1;host={asked}");
    get(&proxy, &[forwarded[0], ("forwarded", &same)])
        .await
        .expect(200);

    // A proxy that sets Host, and a client that sent the rest.
    for direct in [host(&globex.slug), own.clone()] {
        let refused = get(&from(&serve, PROXY, &direct), &[forwarded[0]]).await;
        refused.problem(403, "WRONG_TENANT");
        let to_base = [("x-forwarded-host", "localhost")];
        let refused = get(&from(&serve, PROXY, &direct), &to_base).await;
        refused.problem(400, "BAD_HOST");
    }
    get(&from(&serve, PROXY, &asked), &[forwarded[0]])
        .await
        .expect(200);
    // Two names of one tenant agree.
    let globex_there = from(&serve, PROXY, &own).bearer(globex.admin.token());
    let request = globex_there.request(Method::GET, "/me");
    let request = request.header("x-forwarded-host", &host(&globex.slug));
    request.send().await.expect(200);
    // The other checks see the host that was asked for.
    let stranger = from(&serve, PROXY, "127.0.0.1").bearer(globex.admin.token());
    let request = stranger.request(Method::GET, "/me");
    let request = request.header("x-forwarded-host", &asked);
    request.send().await.problem(403, "WRONG_TENANT");
    let operator = from(&serve, PROXY, "localhost").bearer(&dev.operator_token());
    let request = operator.request(Method::GET, "/setup/tenants");
    let request = request.header("x-forwarded-host", &asked);
    assert_eq!(request.send().await.status, 404);
}

// Red when `dispatch` noted the proxy's own host as the authority.
#[tokio::test]
async fn origins_go_by_the_host_that_was_asked_for() {
    const PROXY: &str = "127.0.0.9";
    let dev = shared();
    let acme = dev.tenant("fwd").await;
    let serve = Serve::join(
        dev,
        "forwarded-origin",
        &[
            ("TENANTRY_TRUSTED_PROXIES", PROXY),
            ("TENANTRY_SECURE_COOKIES", "false"),
        ],
    );
    let asked = format!("{}.localhost:8080", acme.slug);
    let sign_out = async |origin: &str| {
        let request = from(&serve, PROXY, "127.0.0.1").request(Method::POST, "/auth/logout");
        request
            .header("x-forwarded-host", &asked)
            .header("origin", origin)
            .header(
                "cookie",
                &format!("tenantry_refresh={}", acme.refresh_token),
            )
            .send()
            .await
    };
    for foreign in [
        "http://127.0.0.1",
        "http://globex.localhost:8080",
        "http://evil.test",
    ] {
        sign_out(foreign).await.problem(403, "CROSS_SITE");
    }
    let own = sign_out(&format!("http://{asked}")).await;
    assert!(own.status < 300, "{own}");
}
