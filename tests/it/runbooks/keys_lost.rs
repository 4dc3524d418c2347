//! docs/runbooks/keys-lost.md

use std::time::Duration;

use reqwest::Method;
use tenantry_testkit::{ADMIN_PASSWORD, Cli, Dev, Serve, logs};

use super::Runbook;
use crate::wait;

/// Tried: without the look who runs, passwords are minted under a program that holds the lost keys.
#[tokio::test]
async fn with_no_key_left_every_login_is_minted_anew_and_every_tenant_served() {
    let mut dev = Dev::start();
    let (acme, globex) = (dev.tenant("acme").await, dev.tenant("globex").await);
    let (pg, variables) = (dev.pg(), dev.variables());
    let token = dev.operator_token();
    // As a superuser may.
    pg.set_password("tenantry_admin", "another-admin-password")
        .await;
    dev.kill9();
    let catalog = variables["TENANTRY_CATALOG_URL"].clone();
    let admin = format!(
        "postgres://tenantry_admin:another-admin-password@{}:{}/postgres?sslmode=disable",
        pg.host, pg.port
    );
    // The catalog may be another login's; here it is the same.
    let catalog = match catalog.contains("tenantry_admin:") {
        true => {
            let (_, rest) = catalog.split_once('@').expect("a login");
            format!("postgres://tenantry_admin:another-admin-password@{rest}")
        }
        false => catalog,
    };
    let file = dev.folder().join("admin.url");
    std::fs::write(&file, format!("{admin}\n")).expect("written");
    let file = file.to_str().expect("a path").to_owned();
    let words = [("CLUSTER", "default"), ("FILE", file.as_str())];
    let mut book = Runbook::open("keys-lost");
    let new = book.arguments("keys new", &words);
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let printed = dev.cli_elsewhere(&new, &[]).expect(0).stdout;
    let (_, keys) = printed.trim().split_once('=').expect("a variable");
    for key in keys.split(',') {
        logs::learn(key.rsplit(':').next().unwrap_or_default());
    }
    let env = [
        ("TENANTRY_CATALOG_URL", catalog.as_str()),
        ("TENANTRY_KEYS", keys),
    ];
    let here = |arguments: &[String]| -> Cli {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        dev.cli_elsewhere(&arguments, &env)
    };
    let remint = book.arguments("keys remint", &words);
    let told = dev.cli_elsewhere(
        &["keys", "remint", "--cluster", &format!("default={admin}")],
        &env,
    );
    assert!(
        told.code == 2 && told.stderr.contains("write it into a file"),
        "{told}"
    );
    // The one that was killed counts for a while yet.
    let told = here(&remint).expect(4);
    assert!(
        told.stderr.contains("PROGRAMS_RUN") || told.stderr.contains("run:"),
        "{told}"
    );
    wait::until(Duration::from_secs(60), "nobody runs", async || {
        let told = here(&remint);
        assert!([0, 4].contains(&told.code), "{told}");
        told.code == 0
    })
    .await;
    // A second run finds nothing to do.
    let again = [&remint[..], &["--output".to_owned(), "json".to_owned()]].concat();
    assert_eq!(here(&again).expect(0).json()["logins"], 0);

    let serve = Serve::join(&dev, "after", &env);
    for tenant in [&acme, &globex] {
        serve
            .at(&tenant.slug)
            .sign_in(&tenant.email, ADMIN_PASSWORD)
            .await;
        // What the product was given is good as before.
        pg.connect(&tenant.db_username, &tenant.db_password, &tenant.db_name)
            .await
            .expect("the product's login");
    }
    let operator = serve.base().bearer(&token);
    let rotate = format!("/setup/tenants/{}/rotate-credentials", acme.id);
    let answer = operator.request(Method::POST, &rotate).send().await;
    assert!([200, 202].contains(&answer.status), "{answer}");
    here(&book.arguments("router-credentials", &words)).expect(0);
    let url = format!("http://localhost:{}", serve.address().port());
    let asking = [
        ("TENANTRY_URL", url.as_str()),
        ("TENANTRY_TOKEN", token.as_str()),
    ];
    let ask = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        dev.cli_elsewhere(&arguments, &asking).expect(0)
    };
    ask(book.arguments("operations list", &words));
    ask(book.arguments("doctor", &words));
    here(&book.arguments("keys list", &words)).expect(0);
    ask(book.arguments("audit verify", &words));
    book.done();
}
