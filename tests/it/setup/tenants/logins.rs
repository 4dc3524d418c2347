//! `/setup/tenants/{id}/logins`: logins of people and tools.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tenantry_testkit::{Dev, Tenant, shared};

use crate::wait;

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {answer}"))
}

fn path(tenant: &Tenant) -> String {
    format!("/setup/tenants/{}/logins", tenant.id)
}

async fn made(dev: &Dev, tenant: &Tenant, wanted: Value) -> Value {
    dev.operator().post(&path(tenant), wanted).await.expect(201)
}

async fn enter(dev: &Dev, tenant: &Tenant, login: &Value) -> Result<PgConnection, sqlx::Error> {
    let (name, password) = (text(login, "dbUsername"), text(login, "dbPassword"));
    dev.pg().connect(name, password, &tenant.db_name).await
}

async fn run(conn: &mut PgConnection, sql: &'static str) -> Result<u64, String> {
    let done = sqlx::raw_sql(sql).execute(conn).await;
    done.map(|done| done.rows_affected())
        .map_err(|error| error.to_string())
}

async fn roles_named(dev: &Dev, like: &str) -> i64 {
    let mut admin = dev.pg().enter("postgres").await;
    sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname LIKE $1")
        .bind(like)
        .fetch_one(&mut admin)
        .await
        .expect("counted")
}

/// Tried with INHERIT: who steps back from the group may still define.
#[tokio::test]
async fn each_role_may_what_it_says_and_what_it_makes_is_the_groups() {
    let dev = shared();
    let acme = dev.tenant("roles").await;
    let owner = made(dev, &acme, json!({ "role": "owner", "reason": "a look" })).await;
    assert_eq!(text(&owner, "dbName"), acme.db_name);
    assert_eq!(owner["connections"], 2);
    let mut conn = enter(dev, &acme, &owner).await.expect("the owner's");
    run(
        &mut conn,
        "CREATE TABLE made (id int); INSERT INTO made VALUES (1)",
    )
    .await
    .expect("it may define");
    let of: String =
        sqlx::query_scalar("SELECT tableowner::text FROM pg_tables WHERE tablename = 'made'")
            .fetch_one(&mut conn)
            .await
            .expect("its owner");
    assert_eq!(of, "tenantry_owner");
    let stepped_back = run(
        &mut conn,
        "SET ROLE NONE; CREATE TABLE public.other (id int)",
    )
    .await;
    assert!(
        stepped_back
            .expect_err("no right")
            .contains("permission denied")
    );

    let user = made(dev, &acme, json!({ "role": "user" })).await;
    let mut conn = enter(dev, &acme, &user).await.expect("the user's");
    run(&mut conn, "INSERT INTO made VALUES (2)")
        .await
        .expect("it may write");
    let refused = run(&mut conn, "CREATE TABLE other (id int)").await;
    assert!(refused.expect_err("no DDL").contains("permission denied"));

    let reader = made(dev, &acme, json!({ "role": "readonly" })).await;
    let mut conn = enter(dev, &acme, &reader).await.expect("the reader's");
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM made")
        .fetch_one(&mut conn)
        .await
        .expect("it may read");
    assert_eq!(seen, 2);
    let refused = run(&mut conn, "INSERT INTO made VALUES (3)").await;
    assert!(
        refused
            .expect_err("no writes")
            .contains("permission denied")
    );
    let refused = run(&mut conn, "SELECT password_hash FROM tenantry.users").await;
    assert!(
        refused
            .expect_err("no hashes")
            .contains("permission denied")
    );
    let refused = run(&mut conn, "SET ROLE tenantry_owner").await;
    assert!(
        refused
            .expect_err("no other role")
            .contains("permission denied")
    );

    // Into no other tenant's database, nor where the catalog or nothing is.
    let other = dev.tenant("walled").await;
    for database in [other.db_name.as_str(), "postgres", "tenantry", "template1"] {
        for login in [&owner, &user, &reader] {
            let (name, password) = (text(login, "dbUsername"), text(login, "dbPassword"));
            let entered = dev.pg().connect(name, password, database).await;
            assert!(entered.is_err(), "{name} got into {database}");
        }
    }

    let listed = dev.operator().get(&path(&acme)).await.expect(200);
    let items = listed["items"].as_array().expect("items");
    assert_eq!(items.len(), 3);
    assert_eq!(items[0]["dbUsername"], owner["dbUsername"]);
    assert_eq!(items[0]["reason"], "a look");
    assert!(!listed.to_string().contains(text(&owner, "dbPassword")));
    acme.admin.get("/me").await.expect(200);
}

/// Tried with CONNECTION LIMIT left out.
#[tokio::test]
async fn it_has_as_many_sessions_as_were_asked_for_and_is_told_once() {
    let dev = shared();
    let acme = dev.tenant("limited").await;
    let login = made(dev, &acme, json!({ "role": "user", "connections": 1 })).await;
    let first = enter(dev, &acme, &login).await.expect("the first session");
    let second = enter(dev, &acme, &login).await;
    let error = second.expect_err("the second").to_string();
    assert!(error.contains("too many connections for role"), "{error}");
    drop(first);

    let operation = format!("/setup/operations/{}", text(&login, "operationId"));
    let operation = dev.operator().get(&operation).await.expect(200);
    assert_eq!(operation["kind"], "issue-login");
    assert!(operation["result"]["dbPassword"].is_null(), "{operation}");

    for (wrong, field) in [
        (json!({}), "role"),
        (json!({ "role": "admin" }), "role"),
        (json!({ "role": "user", "ttl": "8d" }), "ttl"),
        (json!({ "role": "user", "ttl": "1s" }), "ttl"),
        (json!({ "role": "user", "connections": 0 }), "connections"),
        (json!({ "role": "user", "connections": 21 }), "connections"),
    ] {
        let refused = dev.operator().post(&path(&acme), wrong).await;
        assert_eq!(refused.status, 422, "{refused}");
        assert!(refused.to_string().contains(field), "{refused}");
    }
    let missing = dev
        .operator()
        .get("/setup/tenants/nobody-here/logins")
        .await;
    missing.problem(404, "TENANT_NOT_FOUND");
}

#[tokio::test]
async fn a_key_makes_it_safe_to_ask_again() {
    let dev = shared();
    let acme = dev.tenant("keyed-login").await;
    let ask = async |role: &str| {
        let request = dev.operator().request(Method::POST, &path(&acme));
        let request = request.header("idempotency-key", &format!("login-{}", acme.slug));
        request.json(&json!({ "role": role })).send().await
    };
    let first = ask("readonly").await.expect(201);
    assert_eq!(ask("readonly").await.expect(201), first);
    ask("owner").await.problem(409, "IDEMPOTENCY_KEY_REUSED");
    let listed = dev.operator().get(&path(&acme)).await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}

/// Tried with the sweeper's call left out: the session goes on and the role stays.
#[tokio::test(flavor = "multi_thread")]
async fn its_time_ends_it_with_its_sessions_also_over_a_restart() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let login = made(&dev, &acme, json!({ "role": "owner", "ttl": "5s" })).await;
    let mut held = enter(&dev, &acme, &login).await.expect("in its time");
    // What would keep Postgres from dropping it.
    run(
        &mut held,
        "CREATE TABLE kept (id int); SET ROLE NONE; SELECT lo_create(4711)",
    )
    .await
    .expect("made");
    wait::until(Duration::from_secs(60), "gone", async || {
        roles_named(&dev, "tnt_jit_%").await == 0
    })
    .await;
    assert!(held.ping().await.is_err(), "its session was ended");
    assert!(enter(&dev, &acme, &login).await.is_err());
    let listed = dev.operator().get(&path(&acme)).await.expect(200);
    assert_eq!(listed["items"], json!([]));

    let login = made(&dev, &acme, json!({ "role": "readonly", "ttl": "5s" })).await;
    dev.restart();
    wait::until(Duration::from_secs(60), "gone", async || {
        roles_named(&dev, "tnt_jit_%").await == 0
    })
    .await;
    assert!(enter(&dev, &acme, &login).await.is_err());
}

/// Tried with `temporary::of` left out of the fence: it gets in again after the suspension.
#[tokio::test]
async fn it_ends_at_once_when_asked_and_when_its_tenant_is_closed() {
    let dev = shared();
    let acme = dev.tenant("closed-login").await;
    let ended = made(dev, &acme, json!({ "role": "user" })).await;
    let mut held = enter(dev, &acme, &ended).await.expect("in");
    let one = format!("{}/{}", path(&acme), text(&ended, "dbUsername"));
    dev.operator().delete(&one).await.expect(200);
    assert!(held.ping().await.is_err());
    assert!(enter(dev, &acme, &ended).await.is_err());
    assert_eq!(roles_named(dev, text(&ended, "dbUsername")).await, 0);
    dev.operator()
        .delete(&one)
        .await
        .problem(404, "LOGIN_NOT_FOUND");
    let router = format!("{}/{}_router", path(&acme), acme.db_name);
    let refused = dev.operator().delete(&router).await;
    refused.problem(404, "LOGIN_NOT_FOUND");

    let owner = made(dev, &acme, json!({ "role": "owner" })).await;
    let mut held = enter(dev, &acme, &owner).await.expect("in");
    let tenant = format!("/setup/tenants/{}", acme.id);
    let reason = json!({ "reason": "a test" });
    dev.operator()
        .post(&format!("{tenant}/suspend"), reason)
        .await
        .expect(200);
    assert!(held.ping().await.is_err(), "ended by the suspension");
    assert!(enter(dev, &acme, &owner).await.is_err(), "and not let in");
    let refused = dev
        .operator()
        .post(&path(&acme), json!({ "role": "user" }))
        .await;
    refused.problem(409, "WRONG_STATE");
    // But an operator may look after its data, as to restore them.
    let keeper = made(dev, &acme, json!({ "role": "owner" })).await;
    enter(dev, &acme, &keeper).await.expect("let in");
    let back = format!("{tenant}/resume");
    dev.operator().post(&back, json!({})).await.expect(200);
    assert!(enter(dev, &acme, &owner).await.is_err(), "ended for good");

    let last = made(dev, &acme, json!({ "role": "readonly" })).await;
    dev.operator().delete(&tenant).await.expect(200);
    assert!(
        enter(dev, &acme, &last).await.is_err(),
        "of a deleted tenant"
    );
    let purge = format!("{tenant}?purge=true");
    dev.operator().delete(&purge).await.expect(200);
    for login in [&owner, &last] {
        assert_eq!(roles_named(dev, text(login, "dbUsername")).await, 0);
    }
}

/// Tried with 20 connections more let through.
#[tokio::test(flavor = "multi_thread")]
async fn all_together_have_half_of_what_the_budget_leaves() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let globex = dev.tenant("globex").await;
    let mut answers = Vec::new();
    for _ in 0..40 {
        let ask = |tenant: &Tenant| {
            let (path, operator) = (path(tenant), dev.operator().clone());
            async move {
                let wanted = json!({ "role": "readonly", "connections": 20 });
                operator.post(&path, wanted).await
            }
        };
        let (one, other) = tokio::join!(ask(&acme), ask(&globex));
        answers.extend([one, other]);
        if answers.iter().any(|answer| answer.status == 409) {
            break;
        }
    }
    let last = answers
        .iter()
        .find(|answer| answer.status == 409)
        .expect("full at some time");
    last.problem(409, "LOGINS_FULL");
    let mut catalog = dev.pg().enter("postgres").await;
    let (most, held): (i64, i64) = sqlx::query_as(
        "SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
                coalesce(sum(rolconnlimit), 0)::bigint FROM pg_roles WHERE starts_with(rolname, 'tnt_jit_')",
    )
    .fetch_one(&mut catalog)
    .await
    .expect("counted");
    let budget = dev.operator().get("/setup/clusters").await.expect(200);
    let budget = budget["items"][0]["connectionBudget"]
        .as_i64()
        .expect("a budget");
    assert!(held <= (most - budget) / 2, "{held} of {most} - {budget}");
    assert!(held > 0);
}
