//! `/setup/adoptions`: a database that somebody made without us is a tenant's, and goes back as it was.

use serde_json::{Value, json};
use tenantry_testkit::{Dev, refusal};

use crate::runbooks::catalog_lost::noted;

/// Made by the database's own role, as a team has it that has one database for each customer.
const CONTENTS: &str = "
    SET SESSION AUTHORIZATION shop;
    CREATE SCHEMA sales;
    CREATE TYPE sales.state AS ENUM ('open', 'paid');
    CREATE TABLE public.orders (id serial PRIMARY KEY, who text NOT NULL, state sales.state DEFAULT 'open');
    CREATE TABLE sales.lines (id int GENERATED ALWAYS AS IDENTITY, order_id int REFERENCES public.orders, price numeric);
    CREATE VIEW sales.totals AS SELECT order_id, sum(price) AS total FROM sales.lines GROUP BY 1;
    CREATE FUNCTION sales.next(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
    REVOKE EXECUTE ON FUNCTION sales.next(int) FROM PUBLIC;
    GRANT USAGE ON SCHEMA sales TO reporting;
    GRANT SELECT ON ALL TABLES IN SCHEMA sales TO reporting;
    ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO reporting;
    SELECT lo_from_bytea(4711, 'a large object');
    INSERT INTO public.orders (who) VALUES ('ann'), ('bob');
    INSERT INTO sales.lines (order_id, price) VALUES (1, 2.5)";

pub(crate) async fn shop(dev: &Dev) {
    let pg = dev.pg();
    for sql in [
        "CREATE ROLE shop LOGIN PASSWORD 'shop'",
        "CREATE ROLE reporting LOGIN PASSWORD 'reporting'",
        "CREATE DATABASE shop_live OWNER shop",
        "COMMENT ON DATABASE shop_live IS 'the shop''s'",
        "ALTER DATABASE shop_live CONNECTION LIMIT 42",
        "ALTER DATABASE shop_live SET work_mem = '5MB'",
        "GRANT CONNECT ON DATABASE shop_live TO reporting",
    ] {
        pg.run("postgres", sql).await;
    }
    pg.run("shop_live", CONTENTS).await;
}

/// What `pg_dump` writes, with the database's own rights, settings and comment.
pub(crate) async fn dump(dev: &Dev) -> String {
    let pg = dev.pg();
    let bins = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
    let bins = pg.texts("postgres", bins).await.remove(0);
    let dumped = std::process::Command::new(format!("{bins}/pg_dump"))
        .env("PGPASSWORD", &pg.password)
        .args(["--create", "--host", &pg.host, "--username", &pg.superuser])
        .args(["--port", &pg.port.to_string(), "shop_live"])
        .output()
        .expect("pg_dump runs");
    assert!(dumped.status.success(), "{dumped:?}");
    let text = String::from_utf8(dumped.stdout).expect("text");
    // Newer ones write a line with a random word.
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    lines.collect::<Vec<_>>().join("\n")
}

async fn clean(dev: &Dev, after: &str) {
    let told = dev.cli(&["doctor", "--output", "json"]);
    assert_eq!(told.code, 0, "after {after}: {told}");
}

/// What the product reads and writes, who is shut out, and what is dumped before and after.
/// Tried: given back without its limit of connections, the dumps differ.
#[tokio::test]
async fn a_database_is_served_as_any_other_and_goes_back_byte_for_byte() {
    let dev = Dev::start();
    shop(&dev).await;
    let (pg, operator) = (dev.pg(), dev.operator());
    let before = dump(&dev).await;
    let url = format!("postgres://shop:shop@{}:{}/shop_live", pg.host, pg.port);
    let adopt = ["tenants", "adopt", "--database-url", &url, "--slug", "shop"];

    // All that stands against it, at once, and nothing changed.
    let mut old = pg.connect("shop", "shop", "shop_live").await.expect("in");
    let looked = dev
        .cli(&[&adopt[..], &["--check", "--output", "json"]].concat())
        .expect(4)
        .json();
    let codes: Vec<_> = looked["refusals"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["code"].clone())
        .collect();
    assert_eq!(codes, ["ADOPT_OTHER_LOGINS", "ADOPT_SESSIONS"], "{looked}");
    let warnings = looked["warnings"].to_string();
    assert!(warnings.contains("work_mem=5MB"), "{looked}");
    let refused = dev.cli(&adopt).expect(4);
    assert!(refused.stderr.contains("reporting"), "{refused}");
    assert_eq!(dump(&dev).await, before);

    let body = json!({
        "name": "The Shop", "slug": "shop", "dbName": "shop_live", "disconnect": true, "shutOut": true,
        "admin": { "email": "ann@shop.example", "password": "correct horse battery" },
    });
    let adopted = operator.post("/setup/adoptions", body).await.expect(201);
    assert_eq!(adopted["dbName"], "shop_live");
    assert!(
        sqlx::raw_sql("SELECT 1").execute(&mut old).await.is_err(),
        "its session is over"
    );
    for (login, password) in [("shop", "shop"), ("reporting", "reporting")] {
        let shut = pg
            .connect(login, password, "shop_live")
            .await
            .expect_err("shut out");
        assert_eq!(refusal(&shut).as_deref(), Some("42501"), "{login}");
    }

    // The tenant's people, and the product with the login that it was given.
    let signed_in = json!({ "email": "ann@shop.example", "password": "correct horse battery" });
    dev.at("shop")
        .post("/auth/login", signed_in)
        .await
        .expect(200);
    let word = |name: &str| adopted[name].as_str().expect(name).to_owned();
    let mut product = pg
        .connect(&word("dbUsername"), &word("dbPassword"), "shop_live")
        .await
        .expect("the product gets in");
    sqlx::raw_sql(
        "INSERT INTO public.orders (who) VALUES ('eve'); UPDATE public.orders SET state = 'paid' WHERE who = 'ann';
         SELECT sales.next(1), lo_get(4711), * FROM sales.totals;
         DELETE FROM public.orders WHERE who = 'eve'; UPDATE public.orders SET state = 'open';
         SELECT setval('public.orders_id_seq', 2)",
    )
    .execute(&mut product)
    .await
    .map(drop)
    .or_else(|error| match refusal(&error).as_deref() {
        // Only who owns a sequence sets it.
        Some("42501") => Ok(()),
        _ => Err(error),
    })
    .expect("it reads and writes");
    drop(product);
    clean(&dev, "the adoption").await;
    // Its note tells how it was, so that it can go back also when the catalog is lost.
    noted(&pg).await;
    let note = "SELECT obj_description('tenantry_self'::regnamespace, 'pg_namespace')";
    let note = pg.texts("shop_live", note).await.remove(0);
    let note: Value = serde_json::from_str(&note).expect("JSON");
    assert_eq!(note["tenant"], adopted["tenantId"], "{note}");
    assert_eq!(note["adopted"]["owner"], "shop", "{note}");
    assert_eq!(note["adopted"]["connectionLimit"], 42, "{note}");
    clean(&dev, "its note").await;

    let tenant = format!("/setup/tenants/{}", word("tenantId"));
    for (path, body) in [
        ("rotate-credentials", json!({})),
        ("suspend", json!({ "reason": "a look" })),
        ("resume", json!({})),
    ] {
        let done = operator.post(&format!("{tenant}/{path}"), body).await;
        assert!((200..300).contains(&done.status), "{path}: {done}");
        clean(&dev, path).await;
    }
    let purge = operator
        .delete(&format!("{tenant}?purge=true"))
        .await
        .expect(409);
    assert_eq!(purge["code"], "TENANT_ADOPTED");
    operator.delete(&tenant).await.expect(200);
    operator
        .post(&format!("{tenant}/undelete"), json!({}))
        .await
        .expect(200);
    clean(&dev, "a deletion that was taken back").await;

    // What cannot go back is told before anybody is shut out.
    pg.run(
        "shop_live",
        "CREATE PUBLICATION news; ALTER PUBLICATION news OWNER TO tenantry_owner;
         SET ROLE tenantry_owner;
         CREATE FUNCTION public.planted() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    )
    .await;
    let held = operator
        .post(&format!("{tenant}/unadopt"), json!({}))
        .await
        .expect(409);
    assert_eq!(held["code"], "ADOPTION_HELD", "{held}");
    let why = held["detail"].as_str().expect("why");
    assert!(
        why.contains("publication news") && why.contains("public.planted()"),
        "{held}"
    );
    assert_eq!(operator.get(&tenant).await.expect(200)["status"], "active");
    pg.run(
        "shop_live",
        "DROP PUBLICATION news; DROP FUNCTION public.planted()",
    )
    .await;

    dev.cli(&["tenants", "unadopt", "shop", "--yes"]).expect(0);
    pg.run("shop_live", "SELECT setval('public.orders_id_seq', 2)")
        .await;
    let mut back = pg
        .connect("shop", "shop", "shop_live")
        .await
        .expect("let in again");
    sqlx::raw_sql("TABLE public.orders")
        .execute(&mut back)
        .await
        .expect("its own again");
    let after = dump(&dev).await;
    let sorted = |text: &str| {
        // A row that was written lies elsewhere.
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&after), sorted(&before));
    operator.get(&tenant).await.expect(404);
    let log = dev.log();
    assert!(!log.contains("a tenant's note"), "{log}");
    clean(&dev, "the way back").await;
    let again = operator.post(&format!("{tenant}/unadopt"), json!({})).await;
    assert_eq!(again.expect(404)["code"], "TENANT_NOT_FOUND");
}

/// A key makes a repeated request safe, a tenant of our own is nobody else's, and a cluster must be one of ours.
#[tokio::test]
async fn what_is_no_database_to_adopt_is_told() {
    let dev = Dev::start();
    let (pg, operator) = (dev.pg(), dev.operator());
    let acme = dev.tenant("acme").await;
    let body = |database: &str| json!({ "name": "X", "slug": "x", "dbName": database });
    for (database, code) in [
        (acme.db_name.as_str(), "ADOPT_TAKEN"),
        (pg.catalog.as_str(), "ADOPT"),
        ("postgres", "ADOPT_SYSTEM_DATABASE"),
        ("nowhere", "ADOPT_NO_DATABASE"),
    ] {
        let refused = operator
            .post("/setup/adoptions", body(database))
            .await
            .expect(409);
        let found = refused["code"].as_str().expect("a code");
        assert!(found.starts_with(code), "{database}: {refused}");
    }
    let mut elsewhere = body("shop");
    elsewhere["dbHost"] = json!("db.example.com");
    let refused = operator
        .post("/setup/adoptions", elsewhere)
        .await
        .expect(422);
    assert_eq!(refused["errors"][0]["field"], "dbHost", "{refused}");
    let not = operator
        .post(&format!("/setup/tenants/{}/unadopt", acme.id), json!({}))
        .await
        .expect(409);
    assert_eq!(not["code"], "NOT_ADOPTED");
    clean(&dev, "nothing").await;
}
