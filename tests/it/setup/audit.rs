//! `/setup/audit`: what was done is there, and is what it was.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_api::routes::{Access, table};
use tenantry_testkit::{Client, Dev, Options, shared};

use crate::wait;

/// Whatever changes something below `/setup` leaves a line, with who, what, whom, and from where. A new
/// route fails here until it is tried.
#[tokio::test]
async fn every_call_that_changes_something_leaves_a_line() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_DOCTOR_EVERY", "0s"));
    let pg = dev.pg();
    let operator = dev.operator();
    let acme = dev.tenant("acme").await;
    let of = |id: &str| format!("/setup/tenants/{id}");
    let mut others = Vec::new();
    for word in ["deleted", "back", "awake", "asleep"] {
        let body = json!({ "name": word, "slug": word });
        let made = operator.post("/setup/tenants", body).await.expect(201);
        others.push(made["tenantId"].as_str().expect("an id").to_owned());
    }
    let [deleted, back, awake, asleep] = &others[..] else {
        panic!("four tenants");
    };
    operator.delete(&of(back)).await.expect(200);
    for database in ["old_one", "older_one"] {
        pg.run("postgres", &format!("CREATE ROLE {database}_of LOGIN"))
            .await;
        let made = format!("CREATE DATABASE {database} OWNER {database}_of");
        pg.run("postgres", &made).await;
    }
    let body = json!({ "name": "Older", "slug": "older", "dbName": "older_one" });
    let adopted = operator.post("/setup/adoptions", body).await.expect(201);
    let adopted = adopted["tenantId"].as_str().expect("an id").to_owned();
    let reason = json!({ "reason": "unpaid" });
    operator
        .post(&format!("{}/suspend", of(asleep)), reason.clone())
        .await
        .expect(200);
    let mut claims = Vec::new();
    for domain in ["gone.acme.example", "proven.acme.example"] {
        let path = format!("{}/domains/{domain}", of(&acme.id));
        let claimed = operator.request(Method::PUT, &path).send();
        claims.push(claimed.await.expect(201));
    }
    let alias = json!({ "kind": "appId", "value": "gone" });
    operator
        .put(&format!("{}/aliases", of(&acme.id)), alias)
        .await
        .expect(201);
    let visitor = operator
        .post(
            &format!("{}/logins", of(&acme.id)),
            json!({ "role": "readonly" }),
        )
        .await
        .expect(201);
    let visitor = visitor["dbUsername"].as_str().expect("a login").to_owned();
    for name in ["changed", "replaced", "ended"] {
        operator
            .post("/setup/operators", json!({ "name": name }))
            .await
            .expect(201);
    }
    // Operations that no worker here takes up, or that one will give back at once.
    let operation = async |status: &str| {
        let sql = format!(
            "INSERT INTO operations (id, kind, status, params, asked_by, lease_until, error)
             VALUES (gen_random_uuid(), 'create', '{status}', '{{}}', 'test', now() + interval '1 hour',
                     '{{\"code\": \"ODD\", \"message\": \"Odd.\", \"retryable\": false, \"cause\": \"\"}}')
             RETURNING id::text"
        );
        pg.texts(&pg.catalog, &sql).await[0].clone()
    };
    let (running, parked, lost) = (
        operation("running").await,
        operation("parked").await,
        operation("parked").await,
    );

    let mut tried = 0;
    for route in table() {
        if !matches!(route.access, Access::Operator(_)) || route.method == Method::GET {
            continue;
        }
        let (path, body) = match (route.method.as_str(), route.path) {
            ("PATCH", "/setup/clusters/{cluster}") => (
                "/setup/clusters/default".to_owned(),
                json!({ "connectionBudget": 41 }),
            ),
            // A server of their own is made for them in clusters/placement.rs, with their lines.
            ("POST", "/setup/clusters") | ("DELETE", "/setup/clusters/{cluster}") => continue,
            ("POST", "/setup/clusters/{cluster}/drain" | "/setup/clusters/{cluster}/accept") => {
                (route.path.replace("{cluster}", "default"), Value::Null)
            }
            // The next in the table lets it go on.
            ("POST", "/setup/pause") => (route.path.to_owned(), json!({ "reason": "tried" })),
            ("DELETE", "/setup/pause") => (route.path.to_owned(), Value::Null),
            ("POST", "/setup/doctor") => (route.path.to_owned(), json!({ "quick": true })),
            ("POST", "/setup/tenants") => (
                route.path.to_owned(),
                json!({ "name": "New", "slug": "new" }),
            ),
            ("DELETE", "/setup/tenants/{tenant}") => (of(deleted), Value::Null),
            ("PATCH", "/setup/tenants/{tenant}") => (of(&acme.id), json!({ "name": "Other" })),
            ("POST", "/setup/tenants/{tenant}/undelete") => {
                (format!("{}/undelete", of(back)), Value::Null)
            }
            // Only looks.
            ("POST", "/setup/adoptions/check") => continue,
            ("POST", "/setup/adoptions") => (
                route.path.to_owned(),
                json!({ "name": "Old", "slug": "old", "dbName": "old_one" }),
            ),
            ("POST", "/setup/tenants/{tenant}/unadopt") => {
                (format!("{}/unadopt", of(&adopted)), Value::Null)
            }
            ("POST", "/setup/tenants/{tenant}/suspend") => {
                (format!("{}/suspend", of(awake)), reason.clone())
            }
            ("POST", "/setup/tenants/{tenant}/resume") => {
                (format!("{}/resume", of(asleep)), Value::Null)
            }
            ("POST", "/setup/tenants/{tenant}/rename") => (
                format!("{}/rename", of(&acme.id)),
                json!({ "slug": "renamed" }),
            ),
            (
                "POST",
                "/setup/tenants/{tenant}/disconnect"
                | "/setup/tenants/{tenant}/rotate-credentials"
                | "/setup/tenants/{tenant}/credentials",
            ) => (route.path.replace("{tenant}", &acme.id), Value::Null),
            ("POST", "/setup/tenants/{tenant}/logins") => (
                format!("{}/logins", of(&acme.id)),
                json!({ "role": "user" }),
            ),
            ("DELETE", "/setup/tenants/{tenant}/logins/{login}") => {
                (format!("{}/logins/{visitor}", of(&acme.id)), Value::Null)
            }
            ("PUT", "/setup/tenants/{tenant}/domains/{domain}") => (
                format!("{}/domains/new.acme.example", of(&acme.id)),
                Value::Null,
            ),
            ("DELETE", "/setup/tenants/{tenant}/domains/{domain}") => (
                format!("{}/domains/gone.acme.example", of(&acme.id)),
                Value::Null,
            ),
            ("POST", "/setup/tenants/{tenant}/domains/{domain}/verify") => {
                // Not before: the worker that looks into the DNS would be first.
                dev.dns().set_record(&claims[1]);
                (
                    format!("{}/domains/proven.acme.example/verify", of(&acme.id)),
                    Value::Null,
                )
            }
            ("PUT", "/setup/tenants/{tenant}/aliases") => (
                format!("{}/aliases", of(&acme.id)),
                json!({ "kind": "channelToken" }),
            ),
            ("DELETE", "/setup/tenants/{tenant}/aliases") => (
                format!("{}/aliases?kind=appId&value=gone", of(&acme.id)),
                Value::Null,
            ),
            ("POST", "/setup/operations/{operation}/cancel") => {
                (route.path.replace("{operation}", &running), Value::Null)
            }
            ("POST", "/setup/operations/{operation}/retry") => {
                (route.path.replace("{operation}", &parked), Value::Null)
            }
            ("POST", "/setup/operations/{operation}/abandon") => {
                (route.path.replace("{operation}", &lost), reason.clone())
            }
            ("POST", "/setup/rollouts" | "/setup/rotations") => {
                (route.path.to_owned(), Value::Null)
            }
            ("POST", "/setup/operators") => (route.path.to_owned(), json!({ "name": "made" })),
            ("PATCH", "/setup/operators/{operator}") => (
                route.path.replace("{operator}", "changed"),
                json!({ "role": "read_only" }),
            ),
            ("POST", "/setup/operators/{operator}/rotate") => {
                (route.path.replace("{operator}", "replaced"), Value::Null)
            }
            ("DELETE", "/setup/operators/{operator}") => {
                (route.path.replace("{operator}", "ended"), Value::Null)
            }
            (method, path) => panic!("{method} {path} is not tried: does it leave a line?"),
        };
        let id = format!("walk-{tried}");
        let mut request = operator
            .request(route.method.clone(), &path)
            .header("x-request-id", &id)
            .header("user-agent", "walker/1 \u{e4}");
        if !body.is_null() {
            request = request.json(&body);
        }
        // What cancels waits for an end that does not come here.
        let sent = tokio::spawn(request.send());
        let mut lines = Vec::new();
        wait::until(Duration::from_secs(60), &path, async || {
            lines = of_request(&operator, &id).await;
            !lines.is_empty() || sent.is_finished()
        })
        .await;
        if lines.is_empty() {
            // Between the question and its end.
            lines = of_request(&operator, &id).await;
        }
        assert_eq!(lines.len(), 1, "{} {path}: {lines:?}", route.method);
        let line = &lines[0];
        assert_eq!(line["actor"], "dev", "{line}");
        assert!(line["operatorId"].is_string(), "{line}");
        assert_eq!(line["address"], "127.0.0.1", "{line}");
        assert_eq!(line["agent"], "walker/1 ??", "{line}");
        let about_tenant =
            route.path.starts_with("/setup/tenants") || route.path == "/setup/adoptions";
        assert_eq!(line["tenantId"].is_string(), about_tenant, "{line}");
        if path.contains("/cancel") {
            sent.abort();
        } else {
            let answer = sent.await.expect("no panic");
            assert!((200..300).contains(&answer.status), "{answer}");
        }
        tried += 1;
    }
    assert!(tried >= 25, "{tried}");

    // What goes on in operations has come to an end; what was before and after is told.
    wait::until(Duration::from_secs(60), "the ends", async || {
        let page = operator
            .get("/setup/audit?outcome=pending&action=tenant.")
            .await;
        page.expect(200)["items"]
            .as_array()
            .is_some_and(Vec::is_empty)
    })
    .await;
    let renamed = of_action(&operator, "tenant.rename").await;
    assert_eq!(renamed[0]["before"], json!({ "slug": acme.slug }));
    assert_eq!(renamed[0]["after"]["slug"], "renamed");
    assert_eq!(renamed[0]["outcome"], "done");
    let suspended = of_action(&operator, "tenant.suspend").await;
    assert!(
        suspended.iter().all(|line| line["endedAt"].is_string()),
        "{suspended:?}"
    );
    let changed = of_action(&operator, "operator.update").await;
    assert_eq!(changed[0]["before"]["role"], "operator");
    assert_eq!(changed[0]["after"]["role"], "read_only");
}

async fn of_request(operator: &Client, id: &str) -> Vec<Value> {
    lines(operator, &format!("requestId={id}")).await
}

async fn of_action(operator: &Client, action: &str) -> Vec<Value> {
    lines(operator, &format!("action={action}")).await
}

async fn lines(operator: &Client, query: &str) -> Vec<Value> {
    let page = operator
        .get(&format!("/setup/audit?{query}"))
        .await
        .expect(200);
    page["items"].as_array().expect("lines").clone()
}

#[tokio::test]
async fn the_trail_is_listed_in_pages_and_exported_in_lines() {
    let dev = shared();
    let operator = dev.operator();
    let acme = dev.tenant("pages").await;
    for name in ["One", "Two", "Three", "Four"] {
        let path = format!("/setup/tenants/{}", acme.id);
        operator
            .patch(&path, json!({ "name": name }))
            .await
            .expect(200);
    }
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/setup/audit?tenant={}&limit=2{cursor}", acme.slug);
        let page = operator.get(&path).await.expect(200);
        paged.extend(page["items"].as_array().expect("lines").iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let actions: Vec<_> = paged
        .iter()
        .map(|line| line["action"].as_str().expect("an act"))
        .collect();
    assert_eq!(
        actions,
        ["tenant.update"; 4]
            .iter()
            .chain(&["tenant.create"])
            .copied()
            .collect::<Vec<_>>()
    );
    assert_eq!(paged[0]["after"]["name"], "Four");

    let path = format!("/setup/audit/export?tenant={}", acme.id);
    let exported = operator.get(&path).await;
    assert_eq!(
        exported.header("content-type"),
        Some("application/x-ndjson")
    );
    let mut exported: Vec<Value> = exported
        .text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    exported.reverse();
    assert_eq!(exported, paged);
    let cli = dev
        .cli(&[
            "audit", "export", "--tenant", &acme.id, "--action", "tenant.",
        ])
        .expect(0);
    assert_eq!(cli.stdout.lines().count(), 5, "{cli}");

    let at = paged[2]["at"].as_str().expect("a moment");
    let since = lines(&operator, &format!("tenant={}&since={at}", acme.id)).await;
    assert_eq!(since.len(), 3);
    let until = lines(&operator, &format!("tenant={}&until={at}", acme.id)).await;
    assert_eq!(until.len(), 2);
    let nobody = lines(&operator, &format!("tenant={}&actor=nobody", acme.id)).await;
    assert_eq!(nobody.len(), 0);
    operator
        .get("/setup/audit?since=yesterday")
        .await
        .problem(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn refused_calls_are_numbers() {
    let mut dev = Dev::start();
    let from: IpAddr = "127.0.0.9".parse().expect("an address");
    let stranger = Client::from_address(dev.address(), &dev.host(None), from);
    for _ in 0..50 {
        stranger
            .get("/setup/tenants")
            .await
            .problem(401, "UNAUTHENTICATED");
    }
    let body = json!({ "name": "reader", "role": "read_only" });
    let reader = dev
        .operator()
        .post("/setup/operators", body)
        .await
        .expect(201);
    let reader = stranger.bearer(reader["token"].as_str().expect("a token"));
    for _ in 0..3 {
        reader
            .post("/setup/rollouts", json!({}))
            .await
            .problem(403, "ROLE_REQUIRED");
    }
    let count = async |dev: &Dev, code: &str| {
        let told = dev.operator().get("/setup/audit/denied").await.expect(200);
        let items = told["items"].as_array().expect("items").clone();
        assert!(items.len() <= 4, "at most two minutes: {told}");
        let of = items
            .iter()
            .filter(|one| one["address"] == "127.0.0.9" && one["code"] == code);
        of.map(|one| one["calls"].as_i64().expect("a number"))
            .sum::<i64>()
    };
    assert_eq!(count(&dev, "UNAUTHENTICATED").await, 50);
    assert_eq!(count(&dev, "ROLE_REQUIRED").await, 3);
    let told = dev.cli(&["audit", "denied", "--since", "1h"]).expect(0);
    assert!(told.stdout.contains("127.0.0.9"), "{told}");
    // What was counted last is kept when the program ends.
    stranger
        .get("/setup/tenants")
        .await
        .problem(401, "UNAUTHENTICATED");
    dev.restart();
    assert_eq!(count(&dev, "UNAUTHENTICATED").await, 51);
}

#[tokio::test]
async fn a_changed_row_shows_on_the_command_line() {
    let dev = Dev::start();
    dev.tenant("acme").await;
    let verify = || dev.cli(&["audit", "verify", "--output", "json"]);
    wait::until(Duration::from_secs(30), "a seal over all", async || {
        let told = verify().expect(0).json();
        told["unsealed"] == 0 && told["seals"].as_i64() > Some(0)
    })
    .await;
    let told = verify().expect(0).json();
    assert_eq!(told["intact"], true, "{told}");
    let head = told["head"].as_str().expect("a head").to_owned();
    dev.cli(&["audit", "verify", "--head", &head]).expect(0);
    let forged = format!("1:{}", "ab".repeat(32));
    let cli = dev
        .cli(&["audit", "verify", "--head", &forged, "--output", "json"])
        .expect(1);
    assert_eq!(
        cli.json()["differences"][0]["finding"],
        "head_missing",
        "{cli}"
    );

    let pg = dev.pg();
    pg.run(
        &pg.catalog,
        "ALTER TABLE audit DISABLE TRIGGER USER;
         UPDATE audit SET actor = 'nobody' WHERE action = 'tenant.create'",
    )
    .await;
    let cli = verify().expect(1);
    let told = cli.json();
    assert_eq!(told["differing"], 1, "{told}");
    assert_eq!(told["differences"][0]["finding"], "row_changed", "{told}");
    let row = told["differences"][0]["auditId"].as_str().expect("the row");
    let plain = dev.cli(&["audit", "verify"]).expect(1);
    assert!(
        plain.stdout.contains(row) && plain.stdout.contains("row_changed"),
        "{plain}"
    );
}
