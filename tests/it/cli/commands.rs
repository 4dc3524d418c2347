//! What the commands do, and how they end.

use serde_json::json;
use tenantry_testkit::{Dev, shared, unique};

#[tokio::test]
async fn a_tenant_from_creation_to_purge() {
    let dev = shared();
    let slug = unique("cli");
    let file = dev.folder().join(format!("{slug}.password"));
    std::fs::write(&file, "a long password\n").expect("a file");
    let file = file.display().to_string();
    let made = dev
        .cli(&[
            "tenants",
            "create",
            &slug,
            "--name",
            "Command Line",
            "--plan",
            "pro",
            "--admin-email",
            "ann@cli.example",
            "--admin-password-file",
            &file,
            "--output",
            "json",
        ])
        .expect(0)
        .json();
    assert_eq!(made["slug"], slug);
    dev.at(&slug)
        .sign_in("ann@cli.example", "a long password")
        .await;
    let id = made["tenantId"].as_str().expect("an id");

    let listed = dev
        .cli(&["tenants", "list", "--search", &slug, "--output", "json"])
        .expect(0);
    assert_eq!(listed.json()["items"][0]["tenantId"], id, "{listed}");
    let table = dev.cli(&["tenants", "list", "--search", &slug]).expect(0);
    assert!(
        table.stdout.contains(&slug) && table.stdout.contains("active"),
        "{table}"
    );
    let shown = dev
        .cli(&["tenants", "show", &slug, "--output", "json"])
        .expect(0);
    assert_eq!(shown.json()["tenantId"], id);
    assert_eq!(dev.cli(&["tenants", "show", id]).expect(0).code, 0);

    // Nobody is at a terminal here who could say yes.
    let asked = dev.cli(&["tenants", "delete", &slug]).expect(2);
    assert!(asked.stderr.contains("--yes"), "{asked}");
    assert_eq!(dev.cli(&["tenants", "delete", &slug, "--purge"]).code, 2);
    assert_eq!(
        dev.cli(&["tenants", "show", &slug, "--output", "json"])
            .json()["status"],
        "active"
    );

    let deleted = dev
        .cli(&["tenants", "delete", &slug, "--yes", "--output", "json"])
        .expect(0);
    assert_eq!(deleted.json()["success"], true);
    dev.cli(&["tenants", "undelete", &slug]).expect(0);
    dev.at(&slug)
        .sign_in("ann@cli.example", "a long password")
        .await;
    dev.cli(&["tenants", "delete", &slug, "--yes", "--purge"])
        .expect(0);
    dev.cli(&["tenants", "show", &slug]).expect(3);
}

#[tokio::test]
async fn the_exit_code_tells_what_kind_of_failure_it_was() {
    let dev = shared();
    let acme = dev.tenant("exit").await;
    let slug = acme.slug.as_str();
    let url = format!("http://localhost:{}", dev.address().port());
    for (arguments, code) in [
        (vec!["tenants", "show", slug], 0),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec![], 2),
        (vec!["tenants"], 2),
        (vec!["tenants", "sing"], 2),
        (vec!["tenants", "list", "--colour", "red"], 2),
        (vec!["tenants", "list", "--status", "sleeping"], 2),
        (vec!["tenants", "create", "Not_A_Slug"], 2),
        (vec!["tenants", "create", "www"], 2),
        (vec!["tenants", "create", "x", "--metadata", "nothing"], 2),
        (vec!["tenants", "show", "nobody-here"], 3),
        (vec!["tenants", "delete", "nobody-here", "--yes"], 3),
        (vec!["tenants", "create", slug], 4),
        (vec!["tenants", "undelete", slug], 4),
        (
            vec!["tenants", "list", "--url", &url, "--token", "wrong"],
            5,
        ),
        (
            vec![
                "tenants",
                "list",
                "--url",
                "http://127.0.0.1:1",
                "--token",
                "x",
            ],
            6,
        ),
        (vec!["tenants", "list", "--url", "http://127.0.0.1:1"], 5),
        (vec!["tenants", "list", "--url", "ftp://127.0.0.1:1"], 2),
        (vec!["operators", "update", "first"], 2),
        (vec!["operations", "list", "--kind", "nonsense"], 2),
        (vec!["dumps", "list", "--dir", "/no-such-folder"], 3),
    ] {
        let told = dev.cli(&arguments);
        assert_eq!(told.code, code, "{arguments:?}: {told}");
        assert!(!told.stderr.contains("panicked"), "{told}");
        if code > 2 {
            assert!(!told.stderr.trim().is_empty(), "{arguments:?} says nothing");
            assert_eq!(told.stdout, "", "results only: {told}");
        }
    }
}

#[tokio::test]
async fn it_works_from_elsewhere_with_url_and_token() {
    let dev = shared();
    let acme = dev.tenant("far").await;
    let url = format!("http://localhost:{}", dev.address().port());
    let token = dev.operator_token();
    let env = [
        ("TENANTRY_URL", url.as_str()),
        ("TENANTRY_TOKEN", token.as_str()),
        ("TENANTRY_OUTPUT", "json"),
    ];
    let told = dev
        .cli_elsewhere(&["tenants", "show", &acme.slug], &env)
        .expect(0);
    assert_eq!(told.json()["slug"], acme.slug);
    let nothing = dev.cli_elsewhere(&["tenants", "list"], &[]).expect(2);
    assert!(nothing.stderr.contains("--url"), "{nothing}");
}

#[tokio::test]
async fn operators_come_and_go() {
    let dev = shared();
    let name = unique("human");
    let made = dev
        .cli(&["operators", "create", &name, "--output", "json"])
        .expect(0)
        .json();
    let token = made["token"].as_str().expect("a token");
    let url = format!("http://localhost:{}", dev.address().port());
    let list = ["tenants", "list", "--url", &url, "--token", token];
    dev.cli(&list).expect(0);
    dev.cli(&["operators", "create", &name]).expect(4);
    let listed = dev.cli(&["operators", "list"]).expect(0);
    assert!(
        listed.stdout.contains(&name) && !listed.stdout.contains(token),
        "{listed}"
    );
    let json = dev
        .cli(&["operators", "list", "--output", "json"])
        .expect(0)
        .json();
    assert!(json["items"].is_array(), "{json}");
    dev.cli(&["operators", "revoke", &name, "--yes"]).expect(0);
    dev.cli(&list).expect(5);
    dev.cli(&["operators", "revoke", &name, "--yes"]).expect(3);
}

#[tokio::test]
async fn migrate_all_goes_on_past_a_tenant_that_fails() {
    let dev = Dev::start();
    let (acme, broken, last) = (
        dev.tenant("acme").await,
        dev.tenant("broken").await,
        dev.tenant("last").await,
    );
    let pg = dev.pg();
    dev.cli(&["migrate-all"]).expect(0);

    // All are behind, as far as the catalog knows; one was changed by hand.
    pg.run(&pg.catalog, "UPDATE databases SET schema = 'older'")
        .await;
    pg.run(
        &broken.db_name,
        "UPDATE tenantry.migrations SET checksum = '\\x00'",
    )
    .await;
    let told = dev.cli(&["migrate-all", "--output", "json"]).expect(1);
    let document = told.json();
    let items = document
        .pointer("/items")
        .or(document.pointer("/result/items"))
        .and_then(|items| items.as_array().cloned())
        .unwrap_or_else(|| panic!("items in {told}"));
    let of = |slug: &str| {
        items
            .iter()
            .find(|item| item["slug"] == slug)
            .unwrap_or_else(|| panic!("{slug} in {told}"))
    };
    assert_eq!(of(&broken.slug)["outcome"], "failed");
    assert!(
        of(&broken.slug)["error"]
            .as_str()
            .is_some_and(|why| !why.is_empty()),
        "{told}"
    );
    for good in [&acme, &last] {
        assert_ne!(of(&good.slug)["outcome"], "failed", "{told}");
        let shown = dev
            .operator()
            .get(&format!("/setup/tenants/{}", good.slug))
            .await
            .expect(200);
        assert_eq!(shown["schema"], "current");
        good.admin.get("/users").await.expect(200);
    }
    let shown = dev
        .operator()
        .get(&format!("/setup/tenants/{}", broken.slug))
        .await
        .expect(200);
    assert_eq!(shown["schema"], "behind");
    let table = dev.cli(&["migrate-all"]).expect(1);
    assert!(
        table.stdout.contains(&broken.slug) && table.stdout.contains("failed"),
        "{table}"
    );
}

#[tokio::test]
async fn migrate_all_brings_what_is_behind_to_the_built_in_migrations() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let pg = dev.pg();
    // As a database would be that was made before the newest migration: it is taken back by hand.
    let newest = "(SELECT max(version) FROM tenantry.migrations)";
    let before = pg
        .texts(
            &acme.db_name,
            "SELECT version::text FROM tenantry.migrations ORDER BY 1",
        )
        .await;
    pg.run(
        &acme.db_name,
        &format!(
            "DELETE FROM tenantry.migrations WHERE version = {newest};
             DROP TABLE tenantry.sign_in_codes"
        ),
    )
    .await;
    pg.run(&pg.catalog, "UPDATE databases SET schema = 'older'")
        .await;
    let told = dev.cli(&["migrate-all", "--output", "json"]);
    assert_eq!(told.code, 0, "{told}");
    let after = pg
        .texts(
            &acme.db_name,
            "SELECT version::text FROM tenantry.migrations ORDER BY 1",
        )
        .await;
    assert_eq!(after, before);
    let codes = pg
        .texts(
            &acme.db_name,
            "SELECT code_hash FROM tenantry.sign_in_codes",
        )
        .await;
    assert!(codes.is_empty(), "the table is there again");
    acme.admin.get("/users").await.expect(200);
}

#[tokio::test]
async fn init_and_serve_on_an_existing_postgres() {
    let dev = Dev::start();
    let pg = dev.pg();
    let variables = dev.variables();
    let admin = &variables["TENANTRY_CATALOG_URL"];
    let (server, _) = admin.rsplit_once('/').expect("a URL");
    pg.run(
        "postgres",
        "CREATE DATABASE second_catalog OWNER tenantry_admin",
    )
    .await;
    let catalog = format!("{server}/second_catalog");
    let cluster = format!("{server}/postgres");

    // A catalog that was not prepared is not served, and it says what to do.
    let unprepared = dev.cli_elsewhere(
        &["serve", "--listen", "127.0.0.1:0"],
        &[
            ("TENANTRY_CATALOG_URL", &catalog),
            ("TENANTRY_KEYS", &variables["TENANTRY_KEYS"]),
        ],
    );
    assert_ne!(unprepared.code, 0);
    assert!(
        unprepared.stderr.contains("tenantry init")
            || unprepared.stderr.contains("catalog migrate"),
        "{unprepared}"
    );

    let env = [("TENANTRY_CATALOG_URL", catalog.as_str())];
    // Nobody has lost a token yet.
    let none = dev.cli_elsewhere(&["init", "--issue-token", "x"], &env);
    assert!(
        none.expect(2).stderr.contains("give --cluster-url"),
        "a catalog without a cluster"
    );
    let made = dev
        .cli_elsewhere(
            &["init", "--cluster-url", &cluster, "--output", "json"],
            &env,
        )
        .expect(0)
        .json();
    let keys = made["keys"].as_str().expect("keys");
    let token = made["operatorToken"].as_str().expect("a token");
    let with_keys = [env[0], ("TENANTRY_KEYS", keys)];
    // The way back in asks for the catalog alone, whatever the cluster is called and with what keys.
    let back = ["init", "--issue-token", "back", "--output", "json"];
    let back = dev.cli_elsewhere(&back, &env).expect(0).json();
    assert_eq!(back["installationId"], made["installationId"]);
    assert!(back["operatorToken"].is_string(), "{back}");
    assert!(
        back["keys"].is_null() && back["clusterId"].is_null(),
        "{back}"
    );
    // Again: nothing is made twice.
    let again = dev
        .cli_elsewhere(
            &["init", "--cluster-url", &cluster, "--output", "json"],
            &with_keys,
        )
        .expect(0)
        .json();
    assert_eq!(again["installationId"], made["installationId"]);
    assert_eq!(again["operatorToken"], serde_json::Value::Null);
    dev.cli_elsewhere(&["catalog", "migrate"], &with_keys)
        .expect(0);

    let serve = tenantry_testkit::Serve::join(&dev, "existing", &with_keys);
    let body = json!({ "name": "Acme", "slug": "acme", "admin": { "email": "a@b.example", "password": "long enough" } });
    let made = serve
        .base()
        .bearer(token)
        .post("/setup/tenants", body)
        .await
        .expect(201);
    assert_eq!(made["status"], "active");
    serve.at("acme").sign_in("a@b.example", "long enough").await;
    let back = back["operatorToken"].as_str().expect("a token");
    serve
        .base()
        .bearer(back)
        .get("/setup/tenants/acme")
        .await
        .expect(200);
    // The other installation on the same server knows nothing of it, and its operator nothing here.
    dev.operator().get("/setup/tenants/acme").await.expect(404);
    serve
        .base()
        .bearer(&dev.operator_token())
        .get("/setup/tenants")
        .await
        .expect(401);
    // It may have a tenant of the same name, in a database of its own.
    let body = json!({ "name": "Acme", "slug": "acme" });
    let second = dev
        .operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    assert_ne!(second["dbName"], made["dbName"]);
}

#[tokio::test]
async fn a_creation_that_nobody_waits_for_tells_its_password_to_who_follows_it() {
    let dev = shared();
    let slug = unique("later");
    let begun = dev
        .cli(&["tenants", "create", &slug, "--no-wait", "--output", "json"])
        .expect(0)
        .json();
    let id = begun["operationId"].as_str().expect("an operation");
    let followed = dev.cli(&["operations", "show", id, "--wait"]).expect(0);
    let field = |name: &str| {
        let line = followed.stdout.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().last());
        value
            .unwrap_or_else(|| panic!("{name}: {followed}"))
            .to_owned()
    };
    let database = format!("tenant_{}", slug.replace('-', "_"));
    dev.pg()
        .connect(&field("login"), &field("password"), &database)
        .await
        .expect("the password that was told opens the database");
    let again = dev.cli(&["operations", "show", id]).expect(0);
    assert!(!again.stdout.contains(&field("password")), "{again}");
}
