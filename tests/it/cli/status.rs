//! `tenantry status`: whether somebody must stay.

use tenantry_testkit::{Dev, Options};

#[tokio::test]
async fn it_tells_what_needs_attention_and_what_helps() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let other = dev.tenant("other").await;
    let well = dev.cli(&["status"]).expect(0);
    for told in [
        "2: 2 active",
        "1 alive",
        "default",
        "Nothing needs attention.",
    ] {
        assert!(well.stdout.contains(told), "{told}: {well}");
    }

    let pg = dev.pg();
    pg.run(
        &pg.catalog,
        &format!(
            "UPDATE databases SET schema = 'older' WHERE name = '{}';
             UPDATE databases SET migration_error = 'no' WHERE name = '{}';
             UPDATE tenants SET status = 'error' WHERE slug = '{}';
             UPDATE operations SET status = 'parked', finished_at = NULL,
                    error = '{{\"code\": \"ODD\", \"message\": \"An odd thing.\"}}'
             WHERE tenant_id = '{}'",
            acme.db_name, acme.db_name, acme.slug, acme.id
        ),
    )
    .await;
    let told = dev.cli(&["status"]).expect(1);
    for wanted in [
        "1 active, 1 error; 1 behind",
        "1 parked",
        "An odd thing.",
        "OPERATIONS_PARKED",
        "TENANTS_IN_ERROR",
        "TENANTS_BEHIND",
        "next: Run `tenantry migrate-all`.",
        "MIGRATIONS_FAILED",
        &acme.db_name,
    ] {
        assert!(told.stdout.contains(wanted), "{wanted}: {told}");
    }
    assert!(!told.stdout.contains(&other.slug), "{told}");

    // A router that lags is one thing more.
    pg.run(
        &pg.catalog,
        "INSERT INTO routers (id, name, applied, lease_until)
         SELECT gen_random_uuid(), 'slow', min(number) - 1, now() + interval '1 hour' FROM changes;
         UPDATE changes SET at = now() - interval '5 minutes'",
    )
    .await;
    let lagging = dev.cli(&["status"]).expect(1);
    assert!(
        lagging.stdout.contains("Routers lack changes: slow."),
        "{lagging}"
    );

    assert_eq!(dev.stop(), 0);
    let down = dev.cli(&["status"]).expect(6);
    assert!(down.stderr.contains("nothing listens"), "{down}");
    assert_eq!(down.stdout, "");
}

#[tokio::test]
async fn a_rollout_that_runs_tells_how_far_it_is() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "0"));
    let (held, _, _) = (
        dev.tenant("held").await,
        dev.tenant("free").await,
        dev.tenant("free").await,
    );
    let mut holder = dev.pg().enter(&held.db_name).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE tenantry.migrations")
        .execute(&mut holder)
        .await
        .expect("locked");
    let begun = dev
        .operator()
        .post("/setup/rollouts", serde_json::json!({}))
        .await
        .expect(202);
    let path = format!(
        "/setup/operations/{}",
        begun["operationId"].as_str().expect("an id")
    );
    crate::wait::until(
        std::time::Duration::from_secs(30),
        "two of three are told",
        async || {
            let shown = dev.operator().get(&path).await.expect(200);
            (&shown["progress"]["done"], &shown["progress"]["total"]) == (&2.into(), &3.into())
        },
    )
    .await;
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .expect("let go");
    crate::wait::until(
        std::time::Duration::from_secs(60),
        "it is done",
        async || {
            let shown = dev.operator().get(&path).await.expect(200);
            shown["status"] == "done" && shown["result"]["total"] == 3
        },
    )
    .await;
}

/// Seen red with the program of before, whose table had no places and which told neither.
#[tokio::test]
async fn it_tells_of_sign_ups_without_a_place_and_of_what_the_doctor_found() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "0"));
    let (acme, other) = (dev.tenant("acme").await, dev.tenant("other").await);
    let status = |code| dev.cli(&["status"]).expect(code).stdout;
    let explained = |slug: &str| dev.cli(&["tenants", "explain", slug]).expect(0).stdout;
    assert!(status(0).contains("no limit"));
    let update = |capacity| dev.cli(&["clusters", "update", "default", "--capacity", capacity]);

    update("1").expect(0);
    let full = status(1);
    assert!(
        full.contains("NO_CAPACITY") && full.contains("2/1"),
        "{full}"
    );
    assert!(full.contains("`default` is full (2 of 1)"), "{full}");
    let refused = dev.cli(&["tenants", "create", "third"]).expect(6);
    assert!(refused.stderr.contains("NO_CAPACITY"), "{refused}");
    update("3").expect(0);
    assert!(status(0).contains("2/3"));
    dev.cli(&["clusters", "drain", "default"]).expect(0);
    let draining = status(1);
    assert!(
        draining.contains("NO_CAPACITY") && draining.contains("`default` is draining"),
        "{draining}"
    );
    dev.cli(&["clusters", "accept", "default"]).expect(0);
    status(0);

    let pg = dev.pg();
    let role = |can| format!("ALTER ROLE {}_router {can}", acme.db_name);
    pg.run("postgres", &role("NOLOGIN")).await;
    dev.cli(&["doctor"]).expect(1);
    let found = status(1);
    assert!(
        found.contains("DOCTOR_FINDINGS") && found.contains("The doctor found "),
        "{found}"
    );
    let told = explained(&acme.slug);
    assert!(
        told.contains("DOCTOR_FINDINGS") && told.contains("ROLE_LOCKED_OUT"),
        "{told}"
    );
    let told = explained(&other.slug);
    assert!(!told.contains("DOCTOR_FINDINGS"), "{told}");
    pg.run("postgres", &role("LOGIN")).await;
    // A look at the one tenant is the newest that there is of it, and none of all.
    dev.cli(&["doctor", "--tenant", &acme.slug]).expect(0);
    let told = explained(&acme.slug);
    assert!(!told.contains("DOCTOR_FINDINGS"), "{told}");
    assert!(status(1).contains("DOCTOR_FINDINGS"));
    dev.cli(&["doctor"]).expect(0);
    status(0);

    // A pause says how it ends, and keeps its first reason aloud.
    dev.cli(&["pause", "--reason", "one"]).expect(0);
    let second = dev.cli(&["pause", "--reason", "two"]).expect(0);
    assert!(second.stderr.contains("that reason stays"), "{second}");
    let refused = dev.cli(&["tenants", "create", "third"]).expect(6);
    assert!(refused.stderr.contains("tenantry resume"), "{refused}");
    dev.cli(&["resume"]).expect(0);
}
