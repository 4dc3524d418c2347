//! docs/runbooks/router-wild.md

use std::time::Duration;

use tenantry_testkit::{ADMIN_PASSWORD, Dev, Serve};

use super::Runbook;
use crate::wait;

#[tokio::test]
async fn a_router_that_is_shut_out_of_the_catalog_is_none_soon_and_its_logins_are_replaced() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    // A wild one that shares the catalog's login of routers with ours, and serves.
    let mut wild = Serve::join(&dev, "wild", &[]);
    wild.at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
    let pg = dev.pg();
    let login = pg.texts(&pg.catalog, "SELECT name FROM router_login").await[0].clone();
    let words = [
        ("ROUTER_LOGIN", login.as_str()),
        ("TENANT", acme.slug.as_str()),
    ];
    let mut book = Runbook::open("router-wild");
    book.run(&dev, "routers list", &words);
    book.run(&dev, "top", &words);
    book.run(&dev, "pause", &words);
    let address = wild.address().to_string();
    for begins in [
        "ALTER ROLE ROUTER_LOGIN NOLOGIN",
        "SELECT pg_terminate_backend",
        "DELETE FROM router_login",
    ] {
        pg.run(&pg.catalog, &book.line(begins, &words)).await;
    }
    dev.restart();
    // It goes on running, and is none of ours: neither a lease nor a part of the budget is left to it.
    let live = format!(
        "SELECT count(*)::text FROM routers r WHERE name LIKE '%{address}'
         AND (lease_until > clock_timestamp()
              OR EXISTS (SELECT FROM budget_shares s WHERE s.router_id = r.id))"
    );
    // What it may have been about to connect with is kept for a minute.
    wait::until(Duration::from_secs(240), "it is no router", async || {
        pg.texts(&pg.catalog, &live).await == ["0"]
    })
    .await;
    assert!(wild.process().ended().is_none(), "it was to go on running");
    book.run(&dev, "resume", &words);
    book.run(&dev, "rotate-credentials", &words);
    book.run(&dev, "rotate-credentials --all", &words);
    book.run(&dev, "tenants suspend", &words);
    book.run(&dev, "tenants resume", &words);
    book.run(&dev, "routers list", &words);
    book.run(&dev, "doctor", &words);
    book.done();
    dev.at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
}
