//! `tenantry psql`: a person's session in a tenant's database.

use tenantry_testkit::shared;

/// Tried with the login's end left out: the login is there afterwards.
#[tokio::test]
async fn it_may_what_was_asked_for_and_leaves_no_login() {
    let dev = shared();
    let acme = dev.tenant("clipsql").await;
    let asked = "SELECT current_user, current_setting('application_name')";
    let told = dev
        .cli(&["psql", &acme.slug, "--", "-At", "-c", asked])
        .expect(0);
    assert_eq!(
        told.stdout.trim(),
        "tenantry_readonly|tenantry psql",
        "{told}"
    );
    let write = ["psql", &acme.slug, "--", "-c", "CREATE TABLE mine (id int)"];
    let told = dev.cli(&write);
    assert_eq!(told.code, 1, "{told}");
    assert!(told.stderr.contains("permission denied"), "{told}");
    let role = [
        "psql",
        &acme.slug,
        "--role",
        "owner",
        "--reason",
        "ticket 4711",
    ];
    let told = dev.cli(&[&role[..], &write[2..]].concat());
    assert_eq!(told.code, 0, "{told}");

    let logins = dev
        .operator()
        .get(&format!("/setup/tenants/{}/logins", acme.id))
        .await;
    assert_eq!(logins.expect(200)["items"], serde_json::json!([]));
    let mine = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'mine'";
    assert_eq!(
        dev.pg().texts(&acme.db_name, mine).await,
        ["tenantry_owner"]
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_told_and_leaves_no_login() {
    let dev = shared();
    let acme = dev.tenant("nopsql").await;
    let told = dev.cli(&["psql", &acme.slug, "--psql", "/no/such/psql"]);
    assert_eq!(told.code, 2, "{told}");
    assert!(
        told.stderr.contains("/no/such/psql cannot be run") && told.stderr.contains("--psql"),
        "{told}"
    );
    let logins = dev
        .operator()
        .get(&format!("/setup/tenants/{}/logins", acme.id))
        .await;
    assert_eq!(logins.expect(200)["items"], serde_json::json!([]));
    let told = dev.cli(&["psql", "no-such-tenant"]);
    assert!(
        told.code != 0 && told.stderr.contains("TENANT_NOT_FOUND"),
        "{told}"
    );
}
