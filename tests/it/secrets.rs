//! No secret in clear: not in the catalog, not in Postgres's log, not in the program's, not in a
//! list of processes

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tenantry_testkit::{Client, Dev, Options, Serve};
use tenantry_types::Secret;
use tenantry_vault::{Keyring, Place, RouteKeys, Sealed};

const ADMIN: &str = "the admin's own secret 1";
const USER: &str = "the user's own secret 2";
const CHANGED: &str = "the changed secret 3";
const WRONG: &str = "the mistyped secret 4";
const MAIL: &str = "ann.very-findable@acme.example";
const USER_MAIL: &str = "bob.very-findable@acme.example";

/// Everything that must be found nowhere, with a name for the message.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, name: &str, text: &str) {
        assert!(
            text.len() >= 8,
            "{name} is too short to be searched for: {text}"
        );
        self.0.push((name.to_owned(), text.to_owned()));
    }

    fn add_from(&mut self, answer: &Value, fields: &[&str]) {
        for field in fields {
            self.add(
                field,
                answer[field]
                    .as_str()
                    .unwrap_or_else(|| panic!("{field} in {answer}")),
            );
        }
    }

    /// Looks for each, plain and in the forms in which bytes are shown.
    #[track_caller]
    fn not_in(&self, place: &str, text: &str) {
        for (name, secret) in &self.0 {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            let base64 = STANDARD.encode(secret);
            for form in [secret.as_str(), &hex, base64.trim_end_matches('=')] {
                if let Some(at) = text.find(form) {
                    let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
                    let end = text[at..]
                        .find('\n')
                        .map_or(text.len(), |length| at + length);
                    panic!("{name} is in {place}: {}", &text[line..end]);
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "a password is in the dump: row 2: x 6675")]
fn what_is_there_is_found() {
    let mut secrets = Secrets::default();
    secrets.add("a password", "full moon");
    secrets.not_in("the dump", "row 1: nothing");
    // As a column of bytes is shown.
    secrets.not_in(
        "the dump",
        "row 1: nothing\nrow 2: x 66756c6c206d6f6f6e\nrow 3: nothing",
    );
}

#[tokio::test]
async fn nothing_secret_is_written_down_in_clear() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_LOG", "trace"));
    let pg = dev.pg();
    // Postgres tells all that it is asked, from here on in every session.
    dev.let_postgres_tell_all().await;
    let mut serve = Serve::join(&dev, "second", &[("TENANTRY_LOG", "trace")]);

    let mut secrets = Secrets::default();
    let variables = dev.variables();
    secrets.add("the operator's token", &dev.operator_token());
    secrets.add("the superuser's password", &variables["PGPASSWORD"]);
    let url = &variables["TENANTRY_CATALOG_URL"];
    let password = url
        .split(':')
        .nth(2)
        .and_then(|rest| rest.split('@').next());
    secrets.add(
        "the admin login's password",
        password.expect("a password in the URL"),
    );
    for key in variables["TENANTRY_KEYS"].split(',') {
        secrets.add("a key", key.rsplit(':').next().expect("a key"));
    }
    for (name, text) in [
        ("admin", ADMIN),
        ("user", USER),
        ("changed", CHANGED),
        ("wrong", WRONG),
    ] {
        secrets.add(name, text);
    }
    live(&dev, &serve, &mut secrets).await;

    // Passwords of the router and the owner are in nobody's hands; Postgres has their verifiers.
    let verifiers = pg
        .texts(
            "postgres",
            "SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'tenant\\_%'",
        )
        .await;
    assert!(
        verifiers.len() >= 3
            && verifiers
                .iter()
                .all(|text| text.starts_with("SCRAM-SHA-256$"))
    );

    let catalog = everything_in(&dev, &pg.catalog).await;
    assert!(catalog.contains("acme"), "the dump is one");
    assert!(catalog.contains("directory: ("), "with the directory in it");
    secrets.not_in("the catalog", &catalog);
    let log = dev.postgres_log();
    assert!(
        log.contains("CREATE DATABASE") || log.contains("ALTER DATABASE"),
        "Postgres logs statements"
    );
    secrets.not_in("Postgres's log", &log);
    let own = format!("{}\n{}", dev.log(), serve.process().log());
    assert!(own.contains("DEBUG"), "the program logs at this level");
    secrets.not_in("the program's log", &own);
    secrets.not_in("a list of processes", &command_lines());
    // In the tenant's own database passwords and tokens are hashed as well.
    let tenant = everything_in(&dev, "tenant_acme").await;
    assert!(tenant.contains("$argon2id$"), "hashed");
    secrets.not_in("the tenant's database", &tenant);

    // The catalog and the logs do not know people's addresses either.
    let mut people = Secrets::default();
    people.add("a mail address", MAIL);
    people.add("a mail address", USER_MAIL);
    people.not_in("the catalog", &catalog);
    people.not_in("the program's log", &own);
}

/// Everything that has to do with a secret, done once, also in ways that fail.
async fn live(dev: &Dev, serve: &Serve, secrets: &mut Secrets) {
    let operator = dev.operator();
    let body =
        json!({ "name": "Acme", "slug": "acme", "admin": { "email": MAIL, "password": ADMIN } });
    let create = |body: &Value, header: &'static str, value: &'static str| {
        operator
            .request(Method::POST, "/setup/tenants")
            .header(header, value)
            .json(body)
            .send()
    };
    let made = create(&body, "idempotency-key", "the-first")
        .await
        .expect(201);
    secrets.add_from(&made, &["dbPassword"]);
    create(&body, "idempotency-key", "the-first")
        .await
        .expect(201);
    create(&body, "x-none", "x")
        .await
        .problem(409, "SLUG_TAKEN");
    let body = json!({ "name": "Two", "slug": "two", "admin": { "email": MAIL } });
    let accepted = create(&body, "prefer", "respond-async").await.expect(202);
    let path = format!(
        "/setup/operations/{}",
        accepted["operationId"].as_str().expect("an id")
    );
    crate::wait::until(std::time::Duration::from_secs(60), "made", async || {
        let told = operator.get(&path).await.expect(200);
        let done = told["status"] == "done";
        if done {
            secrets.add_from(&told["result"], &["dbPassword", "adminPassword"]);
        }
        done
    })
    .await;

    let made = operator
        .post("/setup/operators", json!({ "name": "second" }))
        .await
        .expect(201);
    secrets.add_from(&made, &["token"]);

    for host in [dev.at("acme"), serve.at("acme")] {
        let (admin, told) = host.sign_in(MAIL, ADMIN).await;
        secrets.add_from(&told, &["accessToken", "refreshToken"]);
        let refresh = json!({ "refreshToken": told["refreshToken"] });
        let told = host
            .post("/auth/refresh", refresh.clone())
            .await
            .expect(200);
        secrets.add_from(&told, &["accessToken", "refreshToken"]);
        host.post("/auth/login", json!({ "email": MAIL, "password": WRONG }))
            .await
            .expect(401);
        front_door(&host.host(&dev.host(None)), &host, secrets).await;
        by_page(&host, secrets).await;
        host.post(
            "/auth/login",
            json!({ "email": MAIL, "password": WRONG, "x": 1 }),
        )
        .await
        .expect(422);
        let broken = format!("{{\"email\":\"{MAIL}\",\"password\":\"{WRONG}\"");
        host.request(Method::POST, "/auth/login")
            .header("content-type", "application/json")
            .body(broken)
            .send()
            .await
            .expect(400);
        host.get(&format!(
            "/users?cursor={}",
            told["accessToken"].as_str().expect("a token")
        ))
        .await;
        let user = json!({ "email": USER_MAIL, "password": USER, "roles": ["Viewer"] });
        let made = admin.post("/users", user.clone()).await.expect(201);
        admin.post("/users", user).await.expect(409);
        let path = format!("/users/{}", made["userId"].as_str().expect("an id"));
        admin
            .patch(&path, json!({ "password": CHANGED }))
            .await
            .expect(200);
        let (_, told) = host.sign_in(USER_MAIL, CHANGED).await;
        secrets.add_from(&told, &["accessToken", "refreshToken"]);
        admin.delete(&path).await;
        host.post("/auth/refresh", refresh).await.expect(401);
    }
    operator.delete("/setup/tenants/two").await.expect(200);
    operator
        .post("/setup/tenants/two/undelete", json!({}))
        .await
        .expect(200);
    operator
        .delete("/setup/tenants/two?purge=true")
        .await
        .expect(200);
    dev.cli(&["migrate-all"]).expect(0);
}

/// A sign-in on a page, a wrong one before, and a page that renews the session.
async fn by_page(host: &Client, secrets: &mut Secrets) {
    let mut cookie = String::new();
    for (path, password, status) in [
        ("/sign-in", WRONG, 401),
        ("/sign-in", ADMIN, 303),
        ("/", "", 200),
    ] {
        let form =
            Url::parse_with_params("http://form/", [("email", MAIL), ("password", password)]);
        let form = form.expect("a form").query().expect("fields").to_owned();
        let request = match path {
            "/" => host.request(Method::GET, path).header("cookie", &cookie),
            _ => host
                .request(Method::POST, path)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", &host.origin())
                .body(form),
        };
        let answer = request.send().await;
        answer.expect(status);
        for pair in answer.headers.get_all("set-cookie") {
            let pair = pair.to_str().expect("a cookie").split(';').next();
            let pair = pair.expect("a pair").to_owned();
            let (name, value) = pair.split_once('=').expect("a pair");
            secrets.add(name, value);
            cookie = pair; // The refresh cookie is the last.
        }
    }
}

/// A sign-in at the base domain, redeemed and not.
async fn front_door(base: &Client, host: &Client, secrets: &mut Secrets) {
    for (password, status) in [(ADMIN, 200), (WRONG, 401), (ADMIN, 200)] {
        let body = json!({ "email": MAIL, "password": password });
        let told = base.post("/auth/login", body).await.expect(status);
        if status == 200 {
            secrets.add_from(&told["tenants"][0], &["code"]);
            let code = json!({ "code": told["tenants"][0]["code"] });
            let told = host.post("/auth/redeem", code.clone()).await.expect(200);
            secrets.add_from(&told, &["accessToken", "refreshToken"]);
            host.post("/auth/redeem", code).await.expect(401);
        }
    }
    // One that stays where it is kept.
    let body = json!({ "email": MAIL, "password": ADMIN });
    let told = base.post("/auth/login", body).await.expect(200);
    secrets.add_from(&told["tenants"][0], &["code"]);
}

/// Every row of every table of a database, as text.
async fn everything_in(dev: &Dev, database: &str) -> String {
    let pg = dev.pg();
    let tables = pg
        .texts(
            database,
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
        )
        .await;
    assert!(tables.len() > 5, "{tables:?}");
    let mut all = String::new();
    for table in tables {
        for row in pg
            .texts(database, &format!("SELECT t::text FROM {table} t"))
            .await
        {
            all.push_str(&format!("{table}: {row}\n"));
        }
    }
    all
}

fn command_lines() -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        all.push_str(&String::from_utf8_lossy(&line).replace('\0', " "));
        all.push('\n');
    }
    all
}

#[tokio::test]
async fn a_sealed_secret_moved_to_another_row_opens_nothing() {
    let dev = Dev::start();
    let (acme, other) = (dev.tenant("acme").await, dev.tenant("other").await);
    let pg = dev.pg();
    acme.admin.get("/me").await.expect(200);
    // Somebody who can write the catalog, but has no keys, gives acme the other's sealed login.
    pg.run(
        &pg.catalog,
        &format!(
            "UPDATE logins SET sealed = o.sealed, key_id = o.key_id, name = o.name FROM logins o
             JOIN databases od ON od.id = o.database_id, databases d
             WHERE d.id = logins.database_id AND d.tenant_id = '{}' AND od.tenant_id = '{}'
               AND logins.role = 'router' AND o.role = 'router'",
            acme.id, other.id
        ),
    )
    .await;
    let path = format!("/setup/tenants/{}/disconnect", acme.id);
    dev.operator().post(&path, json!({})).await;
    let answer = acme.admin.get("/users").await;
    assert!(answer.status >= 500, "{answer}");
    answer.any_problem();
    assert!(!answer.text.contains(&other.email), "{answer}");
    other.admin.get("/users").await.expect(200);
}

/// What is given to a program that routes, in the words of `tenantry router-credentials`.
fn given_to_routers(dev: &Dev) -> (RouteKeys, Url) {
    let printed = dev
        .cli(&["router-credentials", "--output", "json"])
        .expect(0);
    let given = printed.json();
    let text = |key: &str| given[key].as_str().expect("a text").to_owned();
    let keys = RouteKeys::parse(&Secret::new(text("keys"))).expect("route keys");
    let url = text("routerCatalogUrl").parse().expect("a URL");
    (keys, url)
}

/// Tried with all keys printed: they are refused as a router's.
#[tokio::test]
async fn a_routers_keys_open_routers_logins_and_nothing_else() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    // Its answer waits to be fetched, with a password in it.
    let body = json!({ "name": "Two", "slug": "two", "admin": { "email": MAIL } });
    let request = dev.operator().request(Method::POST, "/setup/tenants");
    let request = request.header("prefer", "respond-async").json(&body);
    request.send().await.expect(202);
    let mut conn = dev.pg().enter_catalog().await;
    let secrets: (i64,) = sqlx::query_as("SELECT count(*) FROM operation_secrets")
        .fetch_one(&mut conn)
        .await
        .expect("counted");
    assert!(secrets.0 > 0, "there is a sealed secret of an operation");

    let (keys, _) = given_to_routers(&dev);
    let everything = Keyring::parse(&Secret::new(dev.variables()["TENANTRY_KEYS"].as_str()));
    let admin = everything.expect("all keys").admin();
    let rows: Vec<(String, String, String, Vec<u8>)> = sqlx::query_as(
        "SELECT 'cluster', id::text, admin_key_id, admin_sealed FROM clusters
         UNION ALL SELECT role, database_id::text, key_id, sealed FROM logins WHERE sealed IS NOT NULL
         UNION ALL SELECT 'secret', operation_id || '/' || name, key_id, sealed FROM operation_secrets",
    )
    .fetch_all(&mut conn)
    .await
    .expect("the sealed rows");
    let mut seen = std::collections::BTreeMap::new();
    for (kind, row, key_id, bytes) in rows {
        let sealed = Sealed { key_id, bytes };
        let place = match kind.as_str() {
            "cluster" => Place::cluster_admin(row.parse().expect("an id")),
            "secret" => {
                let (id, name) = row.split_once('/').expect("two parts");
                Place::operation_secret(id.parse().expect("an id"), name)
            }
            role => Place::login(row.parse().expect("an id"), role),
        };
        let routers = kind == "router";
        assert_eq!(keys.open(&place, &sealed).is_ok(), routers, "{kind} {row}");
        assert_eq!(
            admin.open(&place, &sealed).is_ok(),
            !routers,
            "{kind} {row} is what it is"
        );
        *seen.entry(kind).or_insert(0) += 1;
    }
    for kind in ["cluster", "owner", "router", "secret"] {
        assert!(seen.contains_key(kind), "{kind} among {seen:?}");
    }
    acme.admin.get("/me").await.expect(200);
}

/// All that a router may see of the catalog. A table that is not named here must be closed to it.
const FOR_ROUTERS: &[(&str, &str)] = &[
    ("public.alias_names", "SELECT"),
    ("public.change_counter", "SELECT"),
    ("public.changes", "SELECT"),
    ("public.domains", "SELECT"),
    ("public.routes", "SELECT"),
];

/// All that it may run with other rights than its own.
const FUNCTIONS_FOR_ROUTERS: &[&str] = &[
    "may run router_leave(uuid,uuid[],integer[])",
    "may run router_register(uuid,text,bigint,double precision)",
    "may run router_renew(uuid,bigint,double precision,bigint,integer,uuid[],bigint[],integer[],integer[],integer[],integer[],integer[])",
    "may run router_report(uuid,jsonb)",
];

#[tokio::test]
async fn the_routers_catalog_login_reads_what_routing_needs_and_no_more() {
    let dev = Dev::start();
    let _acme = dev.tenant("acme").await;
    let pg = dev.pg();
    let (_, url) = given_to_routers(&dev);
    let (login, password) = (url.username(), url.password().expect("a password"));
    let mut conn = pg
        .connect(login, password, &pg.catalog)
        .await
        .expect("the catalog, as printed");

    // Everything that there is, in whichever schema, and what may be done with it or a part of it.
    let relations: Vec<(String, String)> = sqlx::query_as(
        "SELECT format('%I.%I', n.nspname, c.relname),
             coalesce((SELECT string_agg(asked, ' ' ORDER BY asked) FROM
                 unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) asked
                 WHERE CASE WHEN asked IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN has_table_privilege(c.oid, asked)
                       ELSE has_any_column_privilege(c.oid, asked) END), '')
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(&mut conn)
    .await
    .expect("asked");
    assert!(relations.len() >= 15, "{relations:?}");
    for (relation, rights) in &relations {
        let allowed = FOR_ROUTERS.iter().find(|(name, _)| name == relation);
        let allowed = allowed.map_or("", |(_, rights)| rights);
        assert_eq!(rights, allowed, "{relation}");
        let select = format!("SELECT * FROM {relation} LIMIT 1");
        if allowed.is_empty() {
            crate::isolation::refuses(&mut conn, &select).await;
            crate::isolation::refuses(&mut conn, &format!("DELETE FROM {relation}")).await;
        } else {
            let read = sqlx::raw_sql(sqlx::AssertSqlSafe(select));
            read.fetch_all(&mut conn).await.expect("what routing needs");
        }
    }
    for (name, _) in FOR_ROUTERS {
        assert!(
            relations.iter().any(|(relation, _)| relation == name),
            "{name} is gone"
        );
    }
    let roles = pg
        .texts(
            "postgres",
            "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tenantry\\_router\\_%'",
        )
        .await;
    assert_eq!(roles, [login]);
    let more: Vec<(String,)> = sqlx::query_as(
        "SELECT 'member of ' || roleid::regrole FROM pg_auth_members
         WHERE member = current_user::regrole
         UNION ALL SELECT 'may run ' || p.oid::regprocedure FROM pg_proc p
         JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosecdef
           AND has_function_privilege(p.oid, 'EXECUTE')
         UNION ALL SELECT 'sequence ' || oid::regclass FROM pg_class
         WHERE CASE WHEN relkind = 'S' THEN has_sequence_privilege(oid, 'USAGE, SELECT, UPDATE') END",
    )
    .fetch_all(&mut conn)
    .await
    .expect("asked");
    // By functions it writes of itself, and of no other: see `a_router_is_its_logins_alone` in
    // crates/catalog/tests/on_postgres/router_login.rs.
    let mut more: Vec<_> = more.into_iter().map(|(what,)| what).collect();
    more.sort();
    assert_eq!(more, FUNCTIONS_FOR_ROUTERS, "nothing by another way");
    for statement in [
        "UPDATE domains SET tenant_id = tenant_id",
        "UPDATE routers SET applied = 1000000",
        "INSERT INTO changes VALUES (1, gen_random_uuid(), 'updated')",
        "UPDATE change_counter SET value = 0",
        "CREATE TABLE public.plot (x int)",
        "CREATE TEMP TABLE plot (x int)",
    ] {
        crate::isolation::refuses(&mut conn, statement).await;
    }
    for database in ["postgres", "template1", "tenant_acme_1"] {
        assert!(
            pg.connect(login, password, database).await.is_err(),
            "{database}"
        );
    }
}
