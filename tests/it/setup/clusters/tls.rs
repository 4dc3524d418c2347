//! TLS to Postgres with real certificates: what each mode takes and refuses, of the admin's connections, of
//! the tenants', and of the catalog's.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Dev, unique};

use super::findings;
use super::server::{Authority, Second};
use crate::wait;

#[tokio::test]
async fn a_server_is_taken_for_what_its_certificate_says() {
    let dev = Dev::start();
    let second = Second::start().await;
    let look = async |host: &str, tls: &str, authority: Option<&Authority>| {
        let mut body = second.body("second", json!({ "host": host, "tls": tls, "check": true }));
        if let Some(authority) = authority {
            body["rootCa"] = json!(authority.pem);
        }
        dev.operator().post("/setup/clusters", body).await
    };
    let refused = async |host: &str, tls: &str, authority: Option<&Authority>| {
        let answer = look(host, tls, authority).await;
        let found = findings(&answer);
        assert_eq!(found.len(), 1, "{answer}");
        found.into_iter().next().expect("one")
    };
    let version = async |host: &str, tls: &str, authority: Option<&Authority>| -> Value {
        let seen = look(host, tls, authority).await.expect(200);
        seen["preflight"]["tlsVersion"].clone()
    };

    // No TLS at all.
    for mode in ["require", "verify-full"] {
        let (field, text) = refused("localhost", mode, None).await;
        assert!(
            field == "tls" && text.contains("offers no TLS"),
            "{mode}: {text}"
        );
    }
    for mode in ["prefer", "disable"] {
        assert_eq!(
            version("localhost", mode, None).await,
            Value::Null,
            "{mode}"
        );
    }

    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    second.serve_tls(&right.certify("localhost")).await;
    let tls13 = json!("TLSv1.3");
    assert_eq!(
        version("localhost", "verify-full", Some(&right)).await,
        tls13
    );
    assert_eq!(version("localhost", "require", None).await, tls13);
    assert_eq!(version("127.0.0.1", "require", None).await, tls13);
    assert_eq!(version("localhost", "prefer", None).await, tls13);
    assert_eq!(version("localhost", "disable", None).await, Value::Null);
    for (host, authority, about, part) in [
        ("localhost", None, "tls", "not from a public authority"),
        (
            "localhost",
            Some(&wrong),
            "rootCa",
            "not from the authority that was given",
        ),
        ("127.0.0.1", Some(&right), "host", "is not for 127.0.0.1"),
    ] {
        let (field, text) = refused(host, "verify-full", authority).await;
        assert!(
            field == about && text.contains(part),
            "{host}: {field}: {text}"
        );
    }
    let answer = look("localhost", "require", Some(&right)).await;
    assert_eq!(answer.wrong_fields(), ["rootCa"], "{answer}");

    second.serve_tls(&right.certify("127.0.0.1")).await;
    assert_eq!(
        version("127.0.0.1", "verify-full", Some(&right)).await,
        tls13
    );
    second.serve_tls(&right.expired("localhost")).await;
    let (field, text) = refused("localhost", "verify-full", Some(&right)).await;
    assert!(
        field == "tls" && text.contains("has expired"),
        "{field}: {text}"
    );
    assert_eq!(version("localhost", "require", None).await, tls13);
}

#[tokio::test]
async fn tenants_are_served_over_a_proven_connection_only_and_follow_a_new_authority() {
    let dev = Dev::start();
    let second = Second::start().await;
    let pg = second.pg();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    second.serve_tls(&old.certify("localhost")).await;
    let verified = |authority: &Authority| json!({ "host": "localhost", "tls": "verify-full", "rootCa": authority.pem });
    let operator = dev.operator();
    let made = operator
        .post("/setup/clusters", second.body("second", verified(&old)))
        .await
        .expect(201);
    assert!(
        made["cluster"]["rootCa"]
            .as_str()
            .is_some_and(|pem| pem.contains("BEGIN CERT")),
        "{made}"
    );
    let slug = unique("acme");
    let body = json!({
        "name": slug, "slug": slug, "cluster": "second",
        "admin": { "email": "ann@acme.example", "password": ADMIN_PASSWORD },
    });
    operator.post("/setup/tenants", body).await.expect(201);
    let (admin, _) = dev
        .at(&slug)
        .sign_in("ann@acme.example", ADMIN_PASSWORD)
        .await;
    admin.get("/me").await.expect(200);
    let clear = "SELECT application_name FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                 WHERE NOT s.ssl AND a.application_name LIKE 'tenantry/%'";
    assert_eq!(pg.texts("postgres", clear).await, [""; 0]);
    let over_tls = "SELECT count(*)::text FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                    WHERE s.ssl AND a.datname LIKE 'tenant\\_%'";
    assert_ne!(pg.texts("postgres", over_tls).await, ["0"]);

    // People get in as the program does, with what they are told.
    let count = ["psql", &slug, "--", "-Atc", "SELECT 1"];
    let told = dev.cli(&count).expect(0);
    assert_eq!(told.stdout.trim(), "1", "{told}");
    let file = dev.folder().join("authority of second.pem");
    let file = file.to_str().expect("a path");
    let url = dev
        .cli(&["tenants", "url", &slug, "--root-cert", file])
        .expect(0);
    let psql = |url: &str| {
        let mut psql = std::process::Command::new("psql");
        let done = psql.args([url.trim(), "-c", "\\conninfo"]);
        done.output().expect("psql")
    };
    let seen = psql(&url.stdout);
    let told = String::from_utf8_lossy(&seen.stdout);
    assert!(told.contains("SSL connection"), "{seen:?}");
    std::fs::write(file, &new.pem).expect("another authority's");
    assert!(
        !psql(&url.stdout).status.success(),
        "nobody else is taken for the server"
    );

    // Somebody else answers, with another authority's certificate for the same name.
    second.serve_tls(&new.certify("localhost")).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tenantry/%'";
    pg.run("postgres", end).await;
    wait::until(Duration::from_secs(20), "nobody is served", async || {
        admin.get("/me").await.status != 200
    })
    .await;
    for _ in 0..5 {
        admin.get("/me").await.problem(503, "DATABASE_UNAVAILABLE");
    }
    assert_eq!(pg.texts("postgres", over_tls).await, ["0"]);

    // The way is changed by who knows the admin's password, to a server that holds the tenant.
    let change = json!({ "rootCa": new.pem });
    let refused = operator
        .patch("/setup/clusters/second", change.clone())
        .await;
    assert_eq!(refused.wrong_fields(), ["adminPassword"]);
    let mut wrong = change.clone();
    wrong["adminPassword"] = json!("wrong");
    let refused = operator.patch("/setup/clusters/second", wrong).await;
    assert_eq!(findings(&refused)[0].0, "adminPassword");
    let empty = Second::start().await;
    let elsewhere = json!({
        "host": "127.0.0.1", "port": empty.port(), "tls": "disable", "adminPassword": empty.admin_password(),
    });
    let refused = operator.patch("/setup/clusters/second", elsewhere).await;
    assert!(findings(&refused)[0].1.contains("lacks"), "{refused}");
    let mut right = change;
    right["adminPassword"] = json!(second.admin_password());
    operator
        .patch("/setup/clusters/second", right)
        .await
        .expect(200);
    wait::until(Duration::from_secs(30), "it is served again", async || {
        admin.get("/me").await.status == 200
    })
    .await;
    assert_eq!(pg.texts("postgres", clear).await, [""; 0]);
}

#[tokio::test]
async fn the_catalogs_own_connection_is_verified_too() {
    let dev = Dev::start();
    let second = Second::start().await;
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    second.serve_tls(&right.certify("localhost")).await;
    second
        .pg()
        .run("postgres", "CREATE DATABASE catalog OWNER tenantry_admin")
        .await;
    let file = |name: &str, authority: &Authority| {
        let path = dev.folder().join(name);
        std::fs::write(&path, &authority.pem).expect("written");
        path.display().to_string()
    };
    let (good, bad) = (file("right.pem", &right), file("wrong.pem", &wrong));
    let url = |database: &str, host: &str, authority: &str| {
        let (password, port) = (second.admin_password(), second.port());
        format!(
            "postgres://tenantry_admin:{password}@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={authority}"
        )
    };
    let init = |catalog: &str, cluster: &str| {
        let env = [("TENANTRY_CATALOG_URL", catalog)];
        dev.cli_elsewhere(&["init", "--cluster-url", cluster], &env)
    };
    let fine = url("postgres", "localhost", &good);
    for catalog in [
        url("catalog", "localhost", &bad),
        url("catalog", "127.0.0.1", &good),
    ] {
        let told = init(&catalog, &fine);
        assert_ne!(told.code, 0, "{told}");
        assert!(told.stderr.contains("certificate"), "{told}");
    }
    let tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(second.pg().texts("catalog", tables).await, ["0"]);
    let told = init(
        &url("catalog", "localhost", &good),
        &url("postgres", "localhost", &bad),
    );
    assert_ne!(told.code, 0, "{told}");
    let catalog = url("catalog", "localhost", &good);
    let told = init(&catalog, &fine).expect(0);
    assert!(told.stdout.contains("TENANTRY_TOKEN="), "{told}");
    let kept = "SELECT tls || ' ' || (root_ca LIKE '-----BEGIN CERTIFICATE%')::text FROM clusters";
    assert_eq!(
        second.pg().texts("catalog", kept).await,
        ["verify-full true"]
    );
}
