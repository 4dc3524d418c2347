//! What is seen of a server before it is a cluster: nothing is written before all of it is well.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::{Dev, Options, World};

use super::server::Second;
use super::{audited, cluster, findings};
use crate::wait;

/// What a server is called, what is asked for it, and what is said of which field.
type Unfit<'a> = (&'a str, Value, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn a_server_that_is_not_fit_is_refused_with_a_sentence_per_point_and_nothing_is_written() {
    let dev = Dev::start();
    let second = Second::start().await;
    let pg = second.pg();
    for sql in [
        "CREATE ROLE powerless LOGIN PASSWORD 'powerless'",
        "GRANT CONNECT ON DATABASE postgres TO powerless",
        "CREATE ROLE outside LOGIN PASSWORD 'outside'",
    ] {
        pg.run("postgres", sql).await;
    }
    let (mine, theirs) = (World::of(&dev.pg()).await, second.ours().await);
    let audit = audited(&dev).await;

    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let cases: [Unfit; 9] = [
        (
            "nobody listens",
            json!({ "port": nobody }),
            &[("host", "Nothing listens at 127.0.0.1")],
        ),
        (
            "no Postgres",
            json!({ "port": dev.address().port() }),
            &[("host", "does not answer as a Postgres server does")],
        ),
        (
            "no such name",
            json!({ "host": "nowhere.invalid" }),
            &[("host", "leads to no address")],
        ),
        (
            "a machine's secrets",
            json!({ "host": "169.254.169.254" }),
            &[("host", "169.254.169.254 is an address")],
        ),
        (
            "no TLS there",
            json!({ "tls": "verify-full" }),
            &[("tls", "The server offers no TLS")],
        ),
        (
            "another password",
            json!({ "adminPassword": "wrong" }),
            &[("adminPassword", "with this name and password")],
        ),
        (
            "no such database",
            json!({ "adminDatabase": "nowhere" }),
            &[("adminLogin", "does not exist there")],
        ),
        (
            "no right to come in",
            json!({ "adminLogin": "outside", "adminPassword": "outside" }),
            &[("adminLogin", "GRANT CONNECT ON DATABASE")],
        ),
        (
            "no rights",
            json!({ "adminLogin": "powerless", "adminPassword": "powerless" }),
            &[
                ("", "ALTER ROLE powerless CREATEDB"),
                ("", "ALTER ROLE powerless CREATEROLE"),
                ("", "GRANT pg_signal_backend TO powerless"),
            ],
        ),
    ];
    for (case, more, wanted) in cases {
        for check in [true, false] {
            let mut more = more.clone();
            more["check"] = json!(check);
            let body = second.body("second", more);
            let answer = dev.operator().post("/setup/clusters", body.clone()).await;
            let found = findings(&answer);
            assert_eq!(found.len(), wanted.len(), "{case}: {answer}");
            for ((field, text), (about, part)) in found.iter().zip(wanted) {
                assert!(field == about && text.contains(part), "{case}: {answer}");
            }
            let password = body["adminPassword"].as_str().expect("a text");
            let secret = ["powerless", "outside"].contains(&password);
            assert!(
                secret || !answer.text.contains(password),
                "{case}: {answer}"
            );
        }
    }
    let large = second.body("second", json!({ "connectionBudget": 5000 }));
    dev.operator()
        .post("/setup/clusters", large)
        .await
        .problem(422, "BUDGET_TOO_LARGE");
    let wrong = json!({
        "name": "018f2a2e-0b8e-7c1d-8f52-63d0c1e4a911", "host": "/run/postgresql", "port": 0, "tls": "verify-ca",
        "rootCa": "none", "adminLogin": "Robert'); DROP", "region": "EU", "weight": 1001, "capacity": 0,
        "connectionBudget": 0, "check": "yes",
    });
    let refused = dev.operator().post("/setup/clusters", wrong).await;
    let fields = refused.wrong_fields();
    let all = [
        "adminLogin",
        "adminPassword",
        "capacity",
        "check",
        "connectionBudget",
        "host",
        "name",
        "port",
        "region",
        "rootCa",
        "tls",
        "weight",
    ];
    assert_eq!(fields, all, "{refused}");

    let fit = second.body("second", json!({ "check": true }));
    let seen = dev
        .operator()
        .post("/setup/clusters", fit)
        .await
        .expect(200);
    assert!(seen.get("cluster").is_none(), "{seen}");
    assert_eq!(seen["preflight"]["offersTls"], false, "{seen}");
    assert_eq!(seen["preflight"]["maxConnections"], 300, "{seen}");
    assert_eq!(mine.difference(&World::of(&dev.pg()).await), [""; 0]);
    assert_eq!(second.ours().await, theirs);
    assert_eq!(audited(&dev).await, audit);
}

#[tokio::test]
async fn one_server_is_one_cluster_of_one_installation() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "1"));
    let second = Second::start().await;
    let operator = dev.operator();
    let made = operator
        .post("/setup/clusters", second.body("second", json!({})))
        .await
        .expect(201);
    assert_eq!(made["cluster"]["name"], "second", "{made}");
    assert!(made["cluster"].get("adminPassword").is_none(), "{made}");
    for (body, said) in [
        (json!({}), "of this name"),
        (json!({ "name": "third" }), "at this host and port"),
        (
            json!({ "name": "third", "host": "LOCALHOST" }),
            "as the cluster `second`",
        ),
    ] {
        let answer = operator
            .post("/setup/clusters", second.body("second", body))
            .await;
        let problem = answer.problem(409, "CLUSTER_EXISTS");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains(said), "{answer}");
    }
    // A server that another installation has made something on.
    wait::until(Duration::from_secs(60), "a template", async || {
        !second.ours().await.is_empty() && cluster(&dev, "second").await["spares"] != 0
    })
    .await;
    let other = Dev::start();
    let answer = other
        .operator()
        .post("/setup/clusters", second.body("second", json!({})))
        .await;
    let found = findings(&answer);
    assert!(found[0].1.contains("of another installation"), "{answer}");
    // One that was forgotten while it held something of this one.
    let pg = dev.pg();
    let ours = pg
        .texts(&pg.catalog, "SELECT id::text FROM installation")
        .await;
    let third = Second::start().await;
    let mark = format!("tenantry:{}:{}", ours[0], uuid::Uuid::nil());
    third
        .pg()
        .run("postgres", "CREATE DATABASE left_behind")
        .await;
    let comment = format!("COMMENT ON DATABASE left_behind IS '{mark}'");
    third.pg().run("postgres", &comment).await;
    let answer = operator
        .post("/setup/clusters", third.body("third", json!({})))
        .await;
    let found = findings(&answer);
    assert!(
        found[0].1.contains("1 databases of this installation"),
        "{answer}"
    );
}

/// The same in words, for people.
#[tokio::test]
async fn the_command_line_tells_what_was_seen() {
    let dev = Dev::start();
    let second = Second::start().await;
    let url = |password: &str, mode: &str| {
        let port = second.port();
        format!("postgres://tenantry_admin:{password}@127.0.0.1:{port}/postgres{mode}")
    };
    let add = |url: &str, more: &[&str]| {
        let command = [&["clusters", "add", "second", "--cluster-url", url], more].concat();
        dev.cli(&command)
    };
    // Nobody said how: then as strict as can be.
    let told = add(&url(second.admin_password(), ""), &[]).expect(2).stderr;
    assert!(told.contains("tls: The server offers no TLS"), "{told}");
    let told = add(&url("wrong", "?sslmode=disable"), &[]).expect(2).stderr;
    assert!(
        told.contains("adminPassword: The server knows no login with this name"),
        "{told}"
    );
    let good = url(second.admin_password(), "?sslmode=disable");
    let told = add(&good, &["--check"]).expect(0);
    assert!(told.stdout.contains("Nothing was written"), "{told}");
    let told = add(&good, &["--region", "eu", "--capacity", "9"]).expect(0);
    assert!(
        told.stdout.contains("The cluster second takes tenants"),
        "{told}"
    );
    let shown = dev.cli(&["clusters", "show", "second"]).expect(0).stdout;
    assert!(
        shown.contains("0 of 9") && shown.contains("open"),
        "{shown}"
    );
    let shown = dev
        .cli(&[
            "clusters",
            "update",
            "second",
            "--capacity",
            "none",
            "--weight",
            "7",
        ])
        .expect(0)
        .stdout;
    assert!(!shown.contains("0 of 9"), "{shown}");
    let listed = dev.cli(&["clusters", "list"]).expect(0).stdout;
    assert!(
        listed.contains("second") && listed.contains("eu"),
        "{listed}"
    );
    dev.cli(&["clusters", "drain", "second"]).expect(0);
    let listed = dev.cli(&["clusters", "list"]).expect(0).stdout;
    assert!(listed.contains("draining"), "{listed}");
    dev.cli(&["clusters", "accept", "second"]).expect(0);
    let told = dev
        .cli(&["clusters", "remove", "second", "--yes"])
        .expect(4);
    assert!(told.stderr.contains("takes new tenants"), "{told}");
    assert_eq!(
        audited(&dev).await,
        [
            "cluster.add",
            "cluster.update",
            "cluster.drain",
            "cluster.accept"
        ]
    );
}
