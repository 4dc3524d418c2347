//! `/setup/operators`

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{Dev, shared, unique};

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let dev = shared();
    let operator = dev.operator();
    let name = unique("robot");
    let made = operator
        .post("/setup/operators", json!({ "name": name }))
        .await
        .expect(201);
    let token = made["token"].as_str().expect("a token");
    let robot = dev.base().bearer(token);
    robot.get("/setup/tenants").await.expect(200);
    operator
        .post("/setup/operators", json!({ "name": name }))
        .await
        .problem(409, "OPERATOR_NAME_TAKEN");

    let listed = operator.get("/setup/operators").await;
    assert!(listed.text.contains(&name), "{listed}");
    assert!(!listed.text.contains(token), "a token is told once");

    operator
        .delete(&format!("/setup/operators/{name}"))
        .await
        .expect(200);
    robot
        .get("/setup/tenants")
        .await
        .problem(401, "UNAUTHENTICATED");
    operator
        .delete(&format!("/setup/operators/{name}"))
        .await
        .problem(404, "OPERATOR_NOT_FOUND");
    // The name can be given anew, with another token.
    let again = operator
        .post("/setup/operators", json!({ "name": name }))
        .await
        .expect(201);
    assert_ne!(again["token"], made["token"]);
    robot
        .get("/setup/tenants")
        .await
        .problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_last_owner_cannot_be_revoked_nor_given_an_end() {
    let dev = Dev::start();
    let operator = dev.operator();
    let listed = operator.get("/setup/operators").await.expect(200);
    let items = listed["items"].as_array().expect("items");
    let all: Vec<&Value> = items
        .iter()
        .filter(|one| one["revokedAt"].is_null())
        .collect();
    assert_eq!(all.len(), 1, "{listed}");
    let id = all[0]["operatorId"].as_str().expect("an id");
    operator
        .delete(&format!("/setup/operators/{id}"))
        .await
        .problem(409, "LAST_OWNER");
    let path = format!("/setup/operators/{id}");
    for change in [json!({ "ttl": "366d" }), json!({ "role": "operator" })] {
        operator
            .patch(&path, change)
            .await
            .problem(409, "LAST_OWNER");
    }
    operator
        .post(&format!("{path}/rotate"), json!({ "ttl": "1h" }))
        .await
        .problem(409, "LAST_OWNER");
    // An owner whose token ends does not stand in; one whose token does not end does.
    let new = |name: &str, ttl: &str| json!({ "name": name, "role": "owner", "ttl": ttl });
    operator
        .post("/setup/operators", new("brief", "1h"))
        .await
        .expect(201);
    operator.delete(&path).await.problem(409, "LAST_OWNER");
    let lasting = operator
        .post("/setup/operators", new("lasting", "never"))
        .await
        .expect(201);
    operator.delete(&path).await.expect(200);
    let lasting = dev
        .base()
        .bearer(lasting["token"].as_str().expect("a token"));
    lasting.get("/setup/tenants").await.expect(200);
    lasting
        .delete("/setup/operators/lasting")
        .await
        .problem(409, "LAST_OWNER");
}

/// Two owners that end each other at the same moment: one of them stays.
#[tokio::test]
async fn two_owners_cannot_end_each_other() {
    let dev = Dev::start();
    let operator = dev.operator();
    for round in 0..5 {
        let name = |who: &str| format!("{who}-{round}");
        let mut owners = Vec::new();
        for who in ["ann", "ben"] {
            let body = json!({ "name": name(who), "role": "owner" });
            let made = operator.post("/setup/operators", body).await.expect(201);
            owners.push(dev.base().bearer(made["token"].as_str().expect("a token")));
        }
        // So that these two are the last.
        let sql = "UPDATE operators SET expires_at = now() + interval '1 hour' WHERE name = 'dev'";
        dev.pg().run(&dev.pg().catalog, sql).await;
        let (of_ann, of_ben) = (
            format!("/setup/operators/{}", name("ann")),
            format!("/setup/operators/{}", name("ben")),
        );
        let (one, two) = tokio::join!(owners[0].delete(&of_ben), owners[1].delete(&of_ann));
        let mut ended = [one.status, two.status];
        ended.sort_unstable();
        assert!(matches!(ended, [200, 401 | 409]), "{ended:?}");
        let sql = "UPDATE operators SET expires_at = NULL WHERE name = 'dev'";
        dev.pg().run(&dev.pg().catalog, sql).await;
    }
}

#[tokio::test]
async fn another_role_is_in_force_when_the_call_returns() {
    let dev = shared();
    let (owner, name) = (dev.operator(), unique("roles"));
    let made = owner
        .post("/setup/operators", json!({ "name": name }))
        .await
        .expect(201);
    assert_eq!(made["role"], "operator");
    assert!(made["expiresAt"].is_string(), "{made}");
    let client = dev.base().bearer(made["token"].as_str().expect("a token"));
    let path = format!("/setup/operators/{name}");
    let suspend = "/setup/tenants/no-such/suspend";
    let reason = json!({ "reason": "x" });
    for _ in 0..5 {
        client
            .post(suspend, reason.clone())
            .await
            .problem(404, "TENANT_NOT_FOUND");
        owner
            .patch(&path, json!({ "role": "read_only" }))
            .await
            .expect(200);
        client
            .post(suspend, reason.clone())
            .await
            .problem(403, "ROLE_REQUIRED");
        owner
            .patch(&path, json!({ "role": "operator" }))
            .await
            .expect(200);
    }
    // Nobody but an owner has a token without an end.
    owner
        .patch(&path, json!({ "ttl": "never" }))
        .await
        .problem(422, "VALIDATION_FAILED");
    owner.delete(&path).await.expect(200);
}

#[tokio::test]
async fn a_token_ends_and_another_takes_its_place() {
    let dev = shared();
    let (owner, name) = (dev.operator(), unique("ends"));
    let body = json!({ "name": name, "role": "read_only", "ttl": "2h" });
    let made = owner.post("/setup/operators", body).await.expect(201);
    let first = dev.base().bearer(made["token"].as_str().expect("a token"));
    first.get("/setup/tenants").await.expect(200);
    let path = format!("/setup/operators/{name}");
    let rotated = owner
        .post(
            &format!("{path}/rotate"),
            json!({ "overlap": "1h", "ttl": "30d" }),
        )
        .await
        .expect(200);
    let second = dev
        .base()
        .bearer(rotated["token"].as_str().expect("a token"));
    for client in [&first, &second] {
        client.get("/setup/tenants").await.expect(200);
    }
    // At once, without an overlap.
    let third = owner
        .post(&format!("{path}/rotate"), json!({}))
        .await
        .expect(200);
    let third = dev.base().bearer(third["token"].as_str().expect("a token"));
    for client in [&first, &second] {
        client
            .get("/setup/tenants")
            .await
            .problem(401, "UNAUTHENTICATED");
    }
    third.get("/setup/tenants").await.expect(200);
    let sql = format!("UPDATE operators SET expires_at = now() WHERE name = '{name}'");
    dev.pg().run(&dev.pg().catalog, &sql).await;
    third
        .get("/setup/tenants")
        .await
        .problem(401, "TOKEN_EXPIRED");
    let listed = owner.get("/setup/operators").await.expect(200);
    let all = listed["items"].as_array().expect("items");
    let mine = all
        .iter()
        .find(|one| one["name"] == name.as_str())
        .expect("listed");
    assert_eq!(mine["role"], "read_only");
    assert!(
        mine["lastUsedAt"].is_string() && mine["expiresAt"].is_string(),
        "{mine}"
    );
    owner.delete(&path).await.expect(200);
}

/// A provisioner creates, reads what it created, with the password, and nothing else.
#[tokio::test]
async fn a_provisioner_knows_of_its_own_tenants_only() {
    let dev = shared();
    let acme = dev.tenant("foreign").await;
    let name = unique("sign-up");
    let body = json!({ "name": name, "role": "provisioner" });
    let made = dev
        .operator()
        .post("/setup/operators", body)
        .await
        .expect(201);
    let client = dev.base().bearer(made["token"].as_str().expect("a token"));
    for path in [
        format!("/setup/tenants/{}", acme.id),
        format!("/setup/tenants/{}", acme.slug),
    ] {
        client.get(&path).await.problem(404, "TENANT_NOT_FOUND");
    }
    let sql = format!(
        "SELECT id::text FROM operations WHERE tenant_id = '{}'",
        acme.id
    );
    let foreign = &dev.pg().texts(&dev.pg().catalog, &sql).await[0];
    for path in [
        format!("/setup/operations/{foreign}"),
        format!("/setup/operations/{foreign}?wait=1"),
        format!("/setup/operations/{foreign}/events"),
    ] {
        client.get(&path).await.problem(404, "OPERATION_NOT_FOUND");
    }
    let slug = unique("own");
    let body = json!({ "name": "Own", "slug": slug });
    let request = client.request(Method::POST, "/setup/tenants").json(&body);
    let begun = request
        .header("prefer", "respond-async")
        .send()
        .await
        .expect(202);
    let own = begun["operationId"]
        .as_str()
        .expect("an operation")
        .to_owned();
    let path = format!("/setup/operations/{own}");
    // Who only reads is told no password, and takes it from nobody.
    let body = json!({ "name": unique("reader"), "role": "read_only" });
    let reader = dev
        .operator()
        .post("/setup/operators", body)
        .await
        .expect(201);
    let reader = dev
        .base()
        .bearer(reader["token"].as_str().expect("a token"));
    let read = reader.get(&format!("{path}?wait=30")).await.expect(200);
    assert_eq!(read["status"], "done", "{read}");
    assert!(read["result"].get("dbPassword").is_none(), "{read}");
    let told = client.get(&path).await.expect(200);
    assert!(told["result"]["dbPassword"].is_string(), "{told}");
    client
        .get(&format!("/setup/tenants/{slug}"))
        .await
        .expect(200);
    // That it was told is in the trail.
    let trail = dev
        .operator()
        .get("/setup/audit?action=operation.read_secrets&limit=200")
        .await;
    let trail = trail.expect(200);
    let lines = trail["items"].as_array().expect("lines");
    let line = lines
        .iter()
        .find(|line| line["operationId"] == own.as_str());
    assert_eq!(line.expect("a line")["actor"], name.as_str());
    // A name that is given anew gives nobody what was another's.
    dev.operator()
        .delete(&format!("/setup/operators/{name}"))
        .await
        .expect(200);
    let body = json!({ "name": name, "role": "provisioner" });
    let heir = dev
        .operator()
        .post("/setup/operators", body)
        .await
        .expect(201);
    let heir = dev.base().bearer(heir["token"].as_str().expect("a token"));
    heir.get(&format!("/setup/tenants/{slug}"))
        .await
        .problem(404, "TENANT_NOT_FOUND");
}

#[tokio::test]
async fn what_was_done_is_in_the_audit_trail() {
    let dev = shared();
    let acme = dev.tenant("audit").await;
    let sql = format!(
        "SELECT format('%s %s', actor, action) FROM audit WHERE tenant_id = '{}'",
        acme.id
    );
    let lines = dev.pg().texts(&dev.pg().catalog, &sql).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("create"), "{lines:?}");
}
