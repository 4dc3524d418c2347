//! `GET /metrics`

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;
use tenantry_testkit::{Client, Dev, Options, unique};

const REQUESTS: &str = "tenantry_http_requests_total";
/// The metrics that name tenants, see the test below.
const TOP: &str = "tenantry_router_top_tenant_";

#[tokio::test]
async fn an_operator_sees_what_the_program_does() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    acme.admin.get("/me").await.expect(200);
    acme.admin.get("/me").await.expect(200);
    let wrong = json!({ "email": acme.email, "password": "not the password" });
    let login = acme.admin.anonymous().post("/auth/login", wrong).await;
    login.problem(401, "INVALID_CREDENTIALS");
    dev.at("nobody").get("/users").await.expect(404);
    dev.operator().get("/setup/nothing").await.expect(404);
    // Clusters get their names a moment after they are first used.
    let budget = "tenantry_router_budget_limit_connections";
    crate::wait::until(std::time::Duration::from_secs(20), "names", async || {
        dev.metrics().await.sum(budget, &[("cluster", "default")]) > 0.0
    })
    .await;

    let metrics = dev.metrics().await;
    for (name, labels, least) in [
        (
            REQUESTS,
            &[
                ("route", "/me"),
                ("method", "GET"),
                ("status", "2xx"),
                ("host", "tenant"),
            ][..],
            2.0,
        ),
        (
            REQUESTS,
            &[
                ("route", "/setup/tenants"),
                ("method", "POST"),
                ("host", "base"),
            ],
            1.0,
        ),
        (
            REQUESTS,
            &[("route", "/auth/login"), ("status", "4xx")],
            1.0,
        ),
        (
            REQUESTS,
            &[("route", "other"), ("status", "4xx"), ("host", "base")],
            1.0,
        ),
        (
            "tenantry_http_request_duration_seconds_count",
            &[("route", "/me")],
            2.0,
        ),
        (
            "tenantry_http_problems_total",
            &[("code", "INVALID_CREDENTIALS")],
            1.0,
        ),
        (
            "tenantry_http_problems_total",
            &[("code", "TENANT_NOT_FOUND")],
            1.0,
        ),
        ("tenantry_sign_ins_total", &[("outcome", "right")], 1.0),
        ("tenantry_sign_ins_total", &[("outcome", "wrong")], 1.0),
        (
            "tenantry_router_resolutions_total",
            &[("result", "hit")],
            2.0,
        ),
        (
            "tenantry_router_resolutions_total",
            &[("result", "miss")],
            2.0,
        ),
        ("tenantry_router_loads_total", &[("outcome", "done")], 2.0),
        (
            "tenantry_operations_total",
            &[("kind", "create"), ("outcome", "done")],
            1.0,
        ),
        (
            "tenantry_operation_duration_seconds_count",
            &[("kind", "create")],
            1.0,
        ),
        ("tenantry_router_lease_held", &[], 1.0),
        ("tenantry_router_change_log_applied_number", &[], 1.0),
        ("tenantry_build_info", &[], 1.0),
        ("process_resident_memory_bytes", &[], 1e6),
        ("process_open_fds", &[], 5.0),
        ("process_start_time_seconds", &[], 1e9),
    ] {
        let sum = metrics.sum(name, labels);
        assert!(
            sum >= least,
            "{name} {labels:?} is {sum}:\n{}",
            metrics.text
        );
    }
    assert_eq!(
        metrics.sum("tenantry_router_wrong_database_total", &[]),
        0.0
    );

    // An idle connection of the tenant goes when the tenant does.
    let path = format!("/setup/tenants/{}", acme.id);
    dev.operator().delete(&path).await.expect(200);
    let metrics = dev.metrics().await;
    let closed = "tenantry_router_connections_closed_total";
    assert!(
        metrics.sum(closed, &[("reason", "retired")]) >= 1.0,
        "{}",
        metrics.text
    );
}

#[tokio::test]
async fn each_metric_is_documented_and_typed() {
    let dev = tenantry_testkit::shared();
    let _acme = dev.tenant("acme").await;
    let text = dev.metrics().await.text;
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = std::fs::read_to_string(document).expect("docs/metrics.md");
    let typed: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let helped = text
        .lines()
        .filter(|line| line.starts_with("# HELP "))
        .count();
    assert!(typed.len() > 25 && helped == typed.len(), "{text}");
    for (name, kind) in typed {
        assert!(
            document.contains(&format!("## `{name}`\n\n{kind}, ")),
            "{name} {kind}"
        );
    }
}

/// Whatever clients send, and however many tenants there are, the number of series stays the same.
#[tokio::test]
async fn a_flood_of_made_up_names_adds_no_series_and_no_label_holds_one() {
    // The doctor's runs come with time and have series of their own.
    let dev = Dev::start_with(Options::default().env("TENANTRY_DOCTOR_EVERY", "0s"));
    let acme = dev.tenant("needle").await;
    let client = dev.base();
    let flood = async |from: u32, to: u32| {
        stream::iter(from..to)
            .for_each_concurrent(16, |number| one(&client, number))
            .await;
    };
    let series = async || {
        let mut metrics = dev.metrics().await;
        let names = metrics.names().filter(|name| !name.starts_with(TOP));
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        // The one place where a tenant's id may stand.
        let lines = metrics.text.lines().filter(|line| !line.starts_with(TOP));
        metrics.text = lines.collect::<Vec<_>>().join("\n");
        (names, metrics)
    };
    // As many as it takes for each sort of host, path and method to meet each other.
    flood(0, 8 * 6 * 6).await;
    let other = unique("needle");
    let body = json!({ "name": "N", "slug": other });
    dev.operator()
        .post("/setup/tenants", body.clone())
        .await
        .expect(201);
    dev.operator()
        .post("/setup/tenants", body)
        .await
        .expect(409);
    acme.admin.get("/me").await.expect(200);
    let (before, _) = series().await;

    flood(10_000, 12_000).await;
    for _ in 0..3 {
        let slug = unique("needle");
        let body = json!({ "name": "N", "slug": slug });
        let made = dev
            .operator()
            .post("/setup/tenants", body)
            .await
            .expect(201);
        let path = format!("/setup/tenants/{}", made["slug"].as_str().expect("a slug"));
        dev.operator().get(&path).await.expect(200);
    }
    let (after, metrics) = series().await;
    // Those that come with time, not with what was sent.
    let timed = |name: &&String| {
        !name.contains("{cluster=")
            && !name.contains("tenantry_sweeper")
            && !name.contains("parked")
    };
    let new: Vec<_> = after.difference(&before).filter(timed).collect();
    // The path of one tenant is a route like any other, met for the first time.
    let new: Vec<_> = new
        .into_iter()
        .filter(|name| !name.contains("/setup/tenants/{tenant}"))
        .collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!(metrics.sum(REQUESTS, &[("route", "other")]) >= 1_000.0);
    for needle in [
        "needle",
        "flood",
        acme.id.as_str(),
        "example",
        "localhost",
        "M10",
    ] {
        assert!(
            !metrics.text.contains(needle),
            "{needle} in {}",
            metrics.text
        );
    }
}

async fn one(client: &Client, number: u32) {
    let hosts = [
        "localhost".to_owned(),
        format!("flood{number}.localhost"),
        format!("flood{number}.example"),
        format!("10.0.{}.{}", number % 250, number / 250),
        format!("a.b.flood{number}.localhost"),
        format!("-flood{number}"),
    ];
    let paths = [
        format!("/flood{number}"),
        format!("/users/flood{number}"),
        "/users".to_owned(),
        format!("/setup/flood/{number}"),
        "/".to_owned(),
        format!("/metrics?flood={number}"),
    ];
    let made_up = format!("M{number}");
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", &made_up,
    ];
    let at = |count: u32| usize::try_from(number / count).expect("small");
    let method = methods[at(1) % 8];
    let (host, path) = (&hosts[at(8) % 6], &paths[at(48) % 6]);
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    client
        .host(host)
        .request(method, path)
        .header("user-agent", &format!("flood{number}"))
        .send()
        .await;
}

/// Five thousand tenants fail, one of them most. Seen to fail with twenty-one series for each metric,
/// and with a sketch that keeps a tenant's error in its count (tenants that failed once are told with
/// dozens).
#[tokio::test]
async fn of_any_number_of_tenants_twenty_at_most_have_a_series() {
    // The doctor has nothing to say here, and would have series of its own.
    let dev = Dev::start_with(Options::default().env("TENANTRY_DOCTOR_EVERY", "0s"));
    let pg = dev.pg();
    // Tenants of which the catalog has everything, but a password that no key opens: a connection to
    // one fails before its server is asked. Their people are not looked for: those are failures too.
    pg.run(
        &pg.catalog,
        "CREATE TEMP TABLE many AS SELECT gen_random_uuid() AS tenant, gen_random_uuid() AS database,
                'many' || n AS slug FROM generate_series(1, 5000) n;
         INSERT INTO tenants (id, slug, name, plan, status, metadata, cluster_id, directory_due_at)
             SELECT tenant, slug, slug, 'free', 'active', '{}', (SELECT id FROM clusters),
                    now() + interval '1 day' FROM many;
         INSERT INTO domains (name, tenant_id, kind, is_primary) SELECT slug, tenant, 'subdomain', true FROM many;
         INSERT INTO databases (id, cluster_id, name, state, tenant_id, schema)
             SELECT database, (SELECT id FROM clusters), 'tenant_' || slug, 'claimed', tenant, 'none' FROM many;
         INSERT INTO logins (database_id, role, name, key_id, sealed)
             SELECT database, 'router', 'tenant_' || slug || '_router', 'none', '\\x00' FROM many",
    )
    .await;
    let body = json!({ "email": "ann@acme.example", "password": "no matter" });
    // One client as another host each time: to make a client takes longer than such a request.
    let client = dev.operator();
    let fail = async |number: u32| {
        let client = client
            .anonymous()
            .host(&dev.host(Some(&format!("many{number}"))));
        client.post("/auth/login", body.clone()).await.expect(503);
    };
    // Whatever one such request counts is counted from here on.
    fail(1).await;
    let before = dev.metrics().await.names().count();
    stream::iter(2..=5_000_u32)
        .for_each_concurrent(8, &fail)
        .await;
    for _ in 0..60 {
        fail(7).await;
    }
    let metrics = dev.metrics().await;
    let top: Vec<&str> = metrics
        .names()
        .filter(|name| name.starts_with(TOP))
        .collect();
    let failed: Vec<_> = top
        .iter()
        .filter(|name| name.contains("failed_requests{"))
        .collect();
    assert_eq!(failed.len(), 20, "{top:#?}");
    assert_eq!(top.len(), 20, "nobody waited or has a connection: {top:#?}");
    // The cluster's own come when its name is learnt.
    let of_cluster = metrics.names().filter(|name| name.contains("{cluster="));
    let added = metrics.names().count() - before;
    assert!(added <= 19 + of_cluster.count(), "{added} series more");
    let worst = "SELECT id::text FROM tenants WHERE slug = 'many7'";
    let worst = &pg.texts(&pg.catalog, worst).await[0];
    let name = "tenantry_router_top_tenant_failed_requests";
    let count = metrics.sum(name, &[("tenant", worst)]);
    assert!((50.0..=61.0).contains(&count), "{count}:\n{}", metrics.text);
    let all = metrics.sum(name, &[]);
    assert!(
        all - count <= 19.0 * 2.0,
        "nobody else failed more than once or twice: {all}"
    );

    // The same over the API, with the slug for people.
    let told = dev.operator().get("/setup/top?by=errors").await.expect(200);
    let items = told["items"].as_array().expect("items");
    assert!(items.len() <= 20, "{told}");
    assert_eq!(items[0]["slug"], "many7", "{told}");
    assert_eq!(items[0]["lastError"]["code"], "SECRET_UNREADABLE", "{told}");
}
