//! `/setup/operations`

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{Dev, Options, shared, unique};

use crate::wait;

#[tokio::test]
async fn an_operation_tells_its_steps_and_no_secret() {
    let dev = shared();
    let operator = dev.operator();
    let slug = unique("op");
    let body = json!({ "name": "Op", "slug": slug, "admin": { "email": "a@b.example" } });
    let made = operator.post("/setup/tenants", body).await.expect(201);
    let id = made["operationId"].as_str().expect("an operation");
    let answer = operator.get(&format!("/setup/operations/{id}")).await;
    let told = answer.expect(200);
    assert_eq!(told["operationId"], id);
    assert_eq!(told["kind"], "create");
    assert_eq!(told["status"], "done");
    assert_eq!(told["tenantId"], made["tenantId"]);
    assert!(told["finishedAt"].is_string(), "{told}");
    let steps = told["steps"].as_array().expect("steps");
    assert!(steps.len() >= 3, "{told}");
    for step in steps {
        assert_eq!(step["status"], "done", "{step}");
        assert!(
            step["name"].is_string() && step["startedAt"].is_string(),
            "{step}"
        );
    }
    // It was told with the creation already.
    for secret in ["dbPassword", "adminPassword"] {
        let text = made[secret].as_str().expect("a secret");
        assert!(!answer.text.contains(text), "{secret} in {answer}");
    }
}

/// Tried with an answer that tells the beginning twice.
#[tokio::test]
async fn an_operation_tells_what_its_tenant_was_like_before_and_after() {
    let dev = shared();
    let (acme, operator) = (dev.tenant("opconf").await, dev.operator());
    let path = format!("/setup/tenants/{}", acme.id);
    let newest = async |kind: &str| {
        let list = format!("/setup/operations?tenant={}&kind={kind}", acme.id);
        let listed = operator.get(&list).await.expect(200);
        let id = listed["items"][0]["operationId"].as_str().expect("an id");
        let told = operator.get(&format!("/setup/operations/{id}")).await;
        told.expect(200)
    };
    let created = newest("create").await;
    assert_eq!(created["before"], Value::Null, "there was none: {created}");
    assert_eq!(created["after"]["slug"], acme.slug);
    assert_eq!(created["after"]["status"], "active");
    assert_eq!(created["rollsBack"], true);

    let rotate = format!("{path}/rotate-credentials");
    operator.post(&rotate, json!({})).await.expect(200);
    let rotated = newest("rotate").await;
    let login = |when: &str| rotated[when]["logins"]["router"].clone();
    assert!(
        login("before").is_string() && login("before") != login("after"),
        "{rotated}"
    );
    assert_eq!(login("before"), created["after"]["logins"]["router"]);

    let reason = "The invoice of March is not paid.";
    let (suspend, body) = (format!("{path}/suspend"), json!({ "reason": reason }));
    operator.post(&suspend, body).await.expect(200);
    let suspended = newest("suspend").await;
    let of = |when: &str| {
        (
            suspended[when]["status"].clone(),
            suspended[when]["reason"].clone(),
        )
    };
    assert_eq!(of("before"), (json!("active"), Value::Null));
    assert_eq!(of("after"), (json!("suspended"), json!(reason)));
    assert_eq!(
        suspended["rollsBack"], false,
        "what was promised stays: {suspended}"
    );

    operator
        .delete(&format!("{path}?purge=true"))
        .await
        .expect(200);
    let purged = newest("purge").await;
    assert_eq!(purged["before"]["status"], "suspended", "{purged}");
    assert_eq!(
        purged["after"],
        Value::Null,
        "there is none any more: {purged}"
    );
}

/// Tried with handlers that wait whatever is asked.
#[tokio::test]
async fn who_would_rather_not_wait_is_told_where_to_ask() {
    let dev = shared();
    let (acme, operator) = (dev.tenant("opasync").await, dev.operator());
    let path = format!("/setup/tenants/{}", acme.id);
    let calls = [
        (Method::POST, "/rotate-credentials", json!({})),
        (Method::POST, "/suspend", json!({ "reason": "Not paid." })),
        (Method::POST, "/resume", json!({})),
        (Method::DELETE, "", Value::Null),
        (Method::POST, "/undelete", json!({})),
    ];
    for (method, call, body) in calls {
        let mut request = operator
            .request(method, &format!("{path}{call}"))
            .header("prefer", "respond-async");
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await;
        let accepted = answer.expect(202);
        assert_eq!(
            answer.header("preference-applied"),
            Some("respond-async"),
            "{call}"
        );
        let location = answer.header("location").expect("a location");
        let id = accepted["operationId"].as_str().expect("an id");
        assert_eq!(location, format!("/setup/operations/{id}"));
        let ended = operator
            .get(&format!("{location}?wait=30"))
            .await
            .expect(200);
        assert_eq!(ended["status"], "done", "{call}: {ended}");
    }
    let told = operator.get(&path).await.expect(200);
    assert_eq!(told["status"], "active");
}

#[tokio::test]
async fn deletions_are_operations_too() {
    let dev = shared();
    let acme = dev.tenant("opdel").await;
    let deleted = dev
        .operator()
        .delete(&format!("/setup/tenants/{}", acme.id))
        .await
        .expect(200);
    let id = deleted["operationId"].as_str().expect("an operation");
    let told = dev
        .operator()
        .get(&format!("/setup/operations/{id}"))
        .await
        .expect(200);
    assert_eq!(told["kind"], "delete");
    assert_eq!(told["status"], "done");
}

#[tokio::test]
async fn one_that_is_not_there_is_not_found() {
    let operator = shared().operator();
    operator
        .get("/setup/operations/00000000-0000-7000-8000-000000000000")
        .await
        .problem(404, "OPERATION_NOT_FOUND");
    let refused = operator.get("/setup/operations/junk").await;
    assert!(matches!(refused.status, 400 | 404 | 422), "{refused}");
    refused.any_problem();
}

/// One event as it came: its name, its id and its data.
fn events(text: &str) -> Vec<(String, String, Value)> {
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim().to_owned())
            };
            let data = serde_json::from_str(&field("data:")?).expect("JSON");
            Some((field("event:")?, field("id:").unwrap_or_default(), data))
        })
        .collect()
}

/// Tried: with the journal read from its beginning each time, the second stream tells all of it again.
#[tokio::test]
async fn its_events_come_in_order_and_go_on_behind_the_last_one() {
    let dev = shared();
    let acme = dev.tenant("opevents").await;
    let list = format!("/setup/operations?tenant={}&kind=create", acme.id);
    let listed = dev.operator().get(&list).await.expect(200);
    let id = listed["items"][0]["operationId"].as_str().expect("an id");
    let path = format!("/setup/operations/{id}/events");
    let answer = dev.operator().get(&path).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let all = events(&answer.text);
    let (last, lines) = all.split_last().expect("events");
    assert_eq!(
        (last.0.as_str(), &last.2),
        ("end", &json!({ "status": "done" }))
    );
    let ids: Vec<i64> = lines
        .iter()
        .map(|line| line.1.parse().expect("a number"))
        .collect();
    assert_eq!(
        ids,
        (1..=i64::try_from(ids.len()).expect("few")).collect::<Vec<_>>()
    );
    assert_eq!(lines[0].2["event"], "started");
    assert_eq!(lines[0].0, "step");

    let behind = ids[ids.len() - 2].to_string();
    let rest = dev
        .operator()
        .request(Method::GET, &path)
        .header("last-event-id", &behind)
        .send()
        .await;
    let rest = events(&rest.text);
    assert_eq!(rest, all[all.len() - 2..]);
    dev.operator()
        .get("/setup/operations/00000000-0000-7000-8000-000000000000/events")
        .await
        .problem(404, "OPERATION_NOT_FOUND");
}

/// Tried: with the filter by kind left out, the deletion is not alone.
#[tokio::test]
async fn they_are_listed_the_newest_first_by_what_they_are() {
    let dev = shared();
    let operator = dev.operator();
    let acme = dev.tenant("oplist").await;
    let path = format!("/setup/tenants/{}", acme.id);
    operator.delete(&path).await.expect(200);
    operator
        .post(&format!("{path}/undelete"), json!({}))
        .await
        .expect(200);
    let list = async |query: &str| {
        operator
            .get(&format!("/setup/operations?tenant={}{query}", acme.slug))
            .await
            .expect(200)
    };
    let kinds = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        let kind = |one: &Value| one["kind"].as_str().expect("a kind").to_owned();
        items.iter().map(kind).collect()
    };
    assert_eq!(kinds(&list("").await), ["undelete", "delete", "create"]);
    assert_eq!(kinds(&list("&kind=delete").await), ["delete"]);
    assert_eq!(kinds(&list("&status=done").await).len(), 3);
    assert_eq!(kinds(&list("&status=parked").await), [""; 0]);
    let first = list("&limit=2").await;
    assert_eq!(kinds(&first), ["undelete", "delete"]);
    let cursor = first["nextCursor"].as_str().expect("another page");
    let second = list(&format!("&limit=2&cursor={cursor}")).await;
    assert_eq!(kinds(&second), ["create"]);
    assert_eq!(second["nextCursor"], Value::Null);
    assert_eq!(second["items"][0]["askedBy"], "dev");
    operator
        .get("/setup/operations?cursor=junk")
        .await
        .problem(422, "VALIDATION_FAILED");
    operator
        .get("/setup/operations?tenant=nobody-has-this")
        .await
        .problem(404, "TENANT_NOT_FOUND");
}

/// The databases of tenants, finished or not.
async fn of_tenants(dev: &Dev) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname LIKE 'tnt\\_new\\_%' OR datname LIKE 'tenant\\_%'";
    dev.pg().texts("postgres", sql).await
}

/// A creation whose driver walks away before this step each time that it is taken up.
async fn stuck(fault: &str) -> (Dev, String) {
    let dev = Dev::start_with(
        Options::default()
            .env("TENANTRY_FAULT", fault)
            .env("TENANTRY_SPARES", "0"),
    );
    let body = json!({ "name": "Acme", "slug": "acme", "admin": { "email": "a@b.example" } });
    let accepted = dev
        .operator()
        .request(Method::POST, "/setup/tenants")
        .header("prefer", "respond-async")
        .json(&body)
        .send()
        .await
        .expect(202);
    let id = accepted["operationId"]
        .as_str()
        .expect("an operation")
        .to_owned();
    (dev, id)
}

/// Tried: where the runner does not look at `CancelAsked` the call waits until it may wait no longer: 202.
#[tokio::test]
async fn a_creation_that_is_cancelled_leaves_nothing() {
    let (dev, id) = stuck("create/claim:before-effect=leave").await;
    let operator = dev.operator();
    let path = format!("/setup/operations/{id}");
    wait::until(Duration::from_secs(30), "the step", async || {
        let told = operator.get(&path).await.expect(200);
        let steps = told["steps"].as_array().expect("steps");
        steps.iter().any(|step| step["name"] == "claim")
    })
    .await;
    let told = operator.get(&path).await.expect(200);
    assert_eq!(
        (&told["status"], &told["cancellable"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(of_tenants(&dev).await.len(), 1);

    let cancelled = operator
        .post(
            &format!("{path}/cancel"),
            json!({ "reason": "wrong region" }),
        )
        .await
        .expect(200);
    assert_eq!(cancelled["status"], "failed");
    assert_eq!(cancelled["error"]["code"], "OPERATION_CANCELLED");
    assert_eq!(cancelled["cancellable"], false);
    assert_eq!(of_tenants(&dev).await, [""; 0]);
    operator
        .get("/setup/tenants/acme")
        .await
        .problem(404, "TENANT_NOT_FOUND");
    let roles = dev
        .pg()
        .texts(
            "postgres",
            "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tenant\\_%'",
        )
        .await;
    assert_eq!(roles, [""; 0]);
    let trail = dev
        .pg()
        .texts(
            &dev.pg().catalog,
            "SELECT reason FROM audit WHERE action = 'operation.cancel'",
        )
        .await;
    assert_eq!(trail, ["wrong region"]);
    // It has ended; there is nothing left to decide.
    for (verb, body) in [("cancel", json!({})), ("abandon", json!({ "reason": "x" }))] {
        operator
            .post(&format!("{path}/{verb}"), body)
            .await
            .problem(409, "OPERATION_ENDED");
    }
    operator
        .post(&format!("{path}/retry"), json!({}))
        .await
        .problem(409, "OPERATION_ENDED");
}

#[tokio::test]
async fn a_deletion_has_no_way_back() {
    let dev = shared();
    let acme = dev.tenant("opcancel").await;
    let operator = dev.operator();
    let deleted = operator
        .delete(&format!("/setup/tenants/{}", acme.id))
        .await
        .expect(200);
    let id = deleted["operationId"].as_str().expect("an operation");
    operator
        .post(&format!("/setup/operations/{id}/cancel"), json!({}))
        .await
        .problem(409, "OPERATION_NOT_CANCELLABLE");
    operator
        .post(
            "/setup/operations/00000000-0000-7000-8000-000000000000/retry",
            json!({}),
        )
        .await
        .problem(404, "OPERATION_NOT_FOUND");
}

/// Parks an open operation as its driver does after the last try.
async fn park(dev: &Dev, id: &str) {
    let sql = format!(
        "UPDATE operations o SET status = 'parked', lease_holder = NULL, lease_until = NULL,
                error = '{{\"code\": \"CLUSTER_REFUSED\", \"message\": \"Refused.\", \"retryable\": false}}',
                parked_from = jsonb_build_object('status', t.status, 'reason', t.status_reason, 'purge_at', t.purge_at)
         FROM tenants t WHERE t.id = o.tenant_id AND o.id = '{id}';
         UPDATE tenants SET status = 'error', purge_at = NULL
         WHERE id = (SELECT tenant_id FROM operations WHERE id = '{id}')"
    );
    let pg = dev.pg();
    pg.run(&pg.catalog, &sql).await;
}

/// Tried: with `stand_as_before` left out the tenant stays in `error` and has no `purgeAt`.
#[tokio::test]
async fn a_parked_one_goes_on_when_it_is_retried_and_its_tenant_is_as_before() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let path = format!("/setup/tenants/{}", acme.id);
    dev.stop();
    dev.run_with_env(&[("TENANTRY_FAULT", "delete/drain:before-effect=leave")]);
    let operator = dev.operator();
    let deleting = {
        let (operator, path) = (operator.clone(), path.clone());
        tokio::spawn(async move { operator.request(Method::DELETE, &path).try_send().await })
    };
    let mut id = String::new();
    wait::until(Duration::from_secs(30), "the deletion", async || {
        let list = format!("/setup/operations?tenant={}&kind=delete", acme.id);
        let page = operator.get(&list).await.expect(200);
        id = page["items"][0]["operationId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        !id.is_empty() && operator.get(&path).await.expect(200)["purgeAt"].is_string()
    })
    .await;
    let purge_at = operator.get(&path).await.expect(200)["purgeAt"].clone();
    // Postgres stays.
    dev.kill9();
    drop(deleting);
    park(&dev, &id).await;
    dev.run_with_env(&[]);
    let operator = dev.operator();
    assert_eq!(operator.get(&path).await.expect(200)["status"], "error");
    operator
        .post(&format!("/setup/operations/{id}/cancel"), json!({}))
        .await
        .problem(409, "OPERATION_NOT_CANCELLABLE");

    operator
        .post(&format!("/setup/operations/{id}/retry"), json!({}))
        .await
        .expect(202);
    let told = operator
        .get(&format!("/setup/operations/{id}?wait=30"))
        .await
        .expect(200);
    assert_eq!(told["status"], "done", "{told}");
    let shown = operator.get(&path).await.expect(200);
    assert_eq!(
        (&shown["status"], &shown["purgeAt"]),
        (&json!("deleting"), &purge_at)
    );
    operator
        .post(&format!("{path}/undelete"), json!({}))
        .await
        .expect(200);
    acme.admin.get("/me").await.expect(200);
}

/// Tried: where a purge does not look for what was given up, the database stays.
#[tokio::test]
async fn a_parked_one_that_is_abandoned_holds_nobody_up() {
    let (dev, id) = stuck("create/claim:before-effect=leave").await;
    let operator = dev.operator();
    let path = format!("/setup/operations/{id}");
    operator
        .post(&format!("{path}/abandon"), json!({ "reason": "too early" }))
        .await
        .problem(409, "WRONG_STATE");
    operator
        .post(&format!("{path}/abandon"), json!({}))
        .await
        .problem(422, "VALIDATION_FAILED");
    wait::until(Duration::from_secs(30), "the step", async || {
        let told = operator.get(&path).await.expect(200);
        let steps = told["steps"].as_array().expect("steps");
        steps.iter().any(|step| step["name"] == "claim")
    })
    .await;
    park(&dev, &id).await;
    operator
        .post(&format!("{path}/cancel"), json!({}))
        .await
        .problem(409, "OPERATION_ENDED");
    let abandoned = operator
        .post(
            &format!("{path}/abandon"),
            json!({ "reason": "the disk is gone" }),
        )
        .await
        .expect(200);
    assert_eq!(abandoned["status"], "failed");
    assert_eq!(abandoned["error"]["code"], "OPERATION_ABANDONED");
    let message = abandoned["error"]["message"].as_str().expect("words");
    assert!(
        message.contains("dev") && message.contains("the disk is gone"),
        "{message}"
    );
    operator
        .delete("/setup/tenants/acme?purge=true")
        .await
        .expect(200);
    assert_eq!(of_tenants(&dev).await, [""; 0]);
}

/// Tried: without the layer in `dispatch` the second one is refused: OPERATOR_NAME_TAKEN.
#[tokio::test]
async fn a_repeated_request_gets_the_answer_of_the_first() {
    let dev = shared();
    let operator = dev.operator();
    let name = unique("repeated");
    let send = async |key: &str, body: Value| {
        operator
            .request(Method::POST, "/setup/operators")
            .header("idempotency-key", key)
            .json(&body)
            .send()
            .await
    };
    let key = unique("key");
    let made = send(&key, json!({ "name": name })).await;
    let again = send(&key, json!({ "name": name })).await;
    assert_eq!((made.status, again.status), (201, 201), "{again}");
    assert_eq!(made.text, again.text, "the token, too");
    assert_eq!(made.header("location"), again.header("location"));
    send(&key, json!({ "name": "another" }))
        .await
        .problem(409, "IDEMPOTENCY_KEY_REUSED");
    // What was refused may be sent again when the reason is gone.
    let later = unique("key");
    send(&later, json!({ "name": name }))
        .await
        .problem(409, "OPERATOR_NAME_TAKEN");
    operator
        .delete(&format!("/setup/operators/{name}"))
        .await
        .expect(200);
    send(&later, json!({ "name": name })).await.expect(201);
    send("two words", json!({ "name": name }))
        .await
        .problem(422, "VALIDATION_FAILED");
    // The catalog keeps no token in the clear.
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let sql = "SELECT encode(sealed, 'escape') FROM idempotent_answers WHERE sealed IS NOT NULL";
    let kept = dev.pg().texts(&dev.pg().catalog, sql).await;
    assert!(!kept.is_empty() && !kept.iter().any(|text| text.contains(&token)));
}
