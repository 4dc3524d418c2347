//! The login that routers use on the catalog.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use tenantry_catalog::{CatalogError, migrate, router_login, routers, routes};
use tenantry_types::{InstallationId, RoleName, RouterId, Secret};
use tenantry_vault::Keyring;

use crate::shares::renew;
use crate::world::{Db, LONG, execute, sqlstate, try_execute};

fn installation(db: &Db) -> InstallationId {
    // Random in its first digits, which name the login: cases at once must not share one.
    InstallationId::from_uuid(uuid::Uuid::from_bytes(db.entropy.bytes()))
}

async fn ensure(db: &Db, installation: InstallationId) -> (RoleName, Secret) {
    let mut conn = db.conn().await;
    router_login::ensure(&mut conn, &db.keys.route(), &db.entropy, installation)
        .await
        .expect("made")
        .expect("a login")
}

pub async fn it_reads_what_routing_needs_and_nothing_else(db: Db) {
    migrate(&mut db.conn().await).await.expect("closed");
    let id = installation(&db);
    let (name, password) = ensure(&db, id).await;
    assert_eq!(
        name.as_str(),
        format!(
            "tenantry_router_{}",
            &id.as_uuid().simple().to_string()[..8]
        )
    );

    let mut conn = db.superuser().await;
    let rights: Vec<(String, String)> = sqlx::query_as(
        "SELECT relname::text, string_agg(right_of, ' ' ORDER BY right_of) FROM pg_class,
           unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) right_of
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S', 'm', 'p', 'f')
           AND has_table_privilege($1, pg_class.oid, right_of)
         GROUP BY relname",
    )
    .bind(name.as_str())
    .fetch_all(&mut conn)
    .await
    .expect("asked");
    let expected = [
        ("alias_names", "SELECT"),
        ("change_counter", "SELECT"),
        ("changes", "SELECT"),
        ("domains", "SELECT"),
        ("routers", "DELETE INSERT SELECT UPDATE"),
        ("routes", "SELECT"),
    ]
    .map(|(table, rights)| (table.to_owned(), rights.to_owned()));
    let rights: BTreeMap<_, _> = rights.into_iter().collect();
    assert_eq!(rights, BTreeMap::from(expected));

    let mut router = db
        .login(name.as_str(), password.expose())
        .await
        .expect("a login");
    let (number, route) = routes::by_host(&mut router, "acme").await.expect("read");
    assert_eq!((number, route), (0, None));
    let me = RouterId::generate(&db.clock, &db.entropy);
    routers::register(&mut router, me, "r1", 0, LONG)
        .await
        .expect("registered");
    db.cluster("main").await;
    let shares = renew(&mut router, me, 1, &[]).await.expect("registered");
    assert_eq!(shares.len(), 1, "a share of the only cluster");
    for statement in [
        "SELECT * FROM budget_shares",
        "UPDATE budget_shares SET slots = 1000",
        "SELECT budget_set(gen_random_uuid(), 1000)",
        "SELECT budget_allocate(gen_random_uuid(), 1000, NULL)",
        "SELECT budget_changed(gen_random_uuid())",
        "SELECT budget_reap(gen_random_uuid(), gen_random_uuid(), now(), true)",
        "SELECT * FROM logins",
        "SELECT * FROM clusters",
        "SELECT metadata FROM tenants",
        "SELECT * FROM operators",
        "SELECT * FROM operation_secrets",
        "SELECT * FROM router_login",
        "SELECT * FROM directory",
        "SELECT challenge FROM domain_claims",
        "SELECT * FROM aliases",
        "UPDATE change_counter SET value = 0",
        "INSERT INTO changes VALUES (1, gen_random_uuid(), 'created')",
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
    ] {
        let refused = try_execute(&mut router, statement)
            .await
            .expect_err(statement);
        assert_eq!(sqlstate(&refused), "42501", "{statement}: {refused}");
    }
    let beyond = async |conn: &mut PgConnection| {
        let more = router_login::beyond_routing(conn).await;
        more.expect("asked").join(", ")
    };
    assert_eq!(beyond(&mut router).await, "", "what is granted is known");
    let given = format!(
        "GRANT SELECT (name) ON operators TO {name}; GRANT UPDATE ON changes TO {name};
         GRANT CREATE ON SCHEMA public TO {name}"
    );
    execute(&mut conn, &given).await;
    let expected = "CREATE on schema public, table changes, table operators";
    assert_eq!(beyond(&mut router).await, expected);
    let own = beyond(&mut db.conn().await).await;
    assert!(own.contains("table operators"), "{own}");
    assert!(beyond(&mut conn).await.starts_with("all of a superuser"));
}

/// As up to Postgres 14, and in databases that were made by then.
const OPEN: &str =
    "ALTER SCHEMA public OWNER TO postgres; GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC";

/// Tried in psql with the functions as they were (`search_path = public, pg_temp`): what was planted ran
/// as their owner.
pub async fn what_it_plants_is_not_run_by_the_catalogs_functions(db: Db) {
    let (name, password) = ensure(&db, installation(&db)).await;
    execute(&mut db.superuser().await, OPEN).await;
    db.cluster("main").await;
    let mut router = db
        .login(name.as_str(), password.expose())
        .await
        .expect("a login");
    let me = RouterId::generate(&db.clock, &db.entropy);
    routers::register(&mut router, me, "r1", 0, LONG)
        .await
        .expect("registered");
    // Each fits a call in the functions better than the built-in one of that name.
    for planted in [
        "array_position(uuid[], uuid) RETURNS integer",
        "nextval(text) RETURNS bigint",
        "cardinality(uuid[]) RETURNS integer",
        "generate_subscripts(integer[], integer) RETURNS SETOF integer",
        "array_fill(integer, integer[]) RETURNS integer[]",
        "unnest(uuid[]) RETURNS SETOF uuid",
    ] {
        let body = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$";
        execute(
            &mut router,
            &format!("CREATE FUNCTION public.{planted} {body}"),
        )
        .await;
    }
    renew(&mut router, me, 1, &[]).await.expect("registered");
    let again = renew(&mut router, me, 2, &[]).await.expect("registered");
    assert_eq!(again.len(), 1, "a share of the only cluster");

    // All of the catalog's functions, those of later migrations as well.
    let lax: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regprocedure::text FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND proowner = 'tenantry_admin'::regrole
           AND NOT coalesce(proconfig, '{}') @> '{\"search_path=pg_catalog, pg_temp\"}'",
    )
    .fetch_all(&mut db.superuser().await)
    .await
    .expect("asked");
    assert_eq!(lax, Vec::<String>::new());
}

pub async fn nobody_is_let_in_who_could_create_where_names_are_looked_for(db: Db) {
    let id = installation(&db);
    let (mut conn, mut superuser) = (db.conn().await, db.superuser().await);
    // Ours to take.
    execute(&mut conn, "GRANT CREATE ON SCHEMA public TO PUBLIC").await;
    let (name, password) = ensure(&db, id).await;
    let mut router = db
        .login(name.as_str(), password.expose())
        .await
        .expect("a login");
    let plant = "CREATE FUNCTION public.planted() RETURNS integer LANGUAGE sql AS 'SELECT 1'";
    let refused = try_execute(&mut router, plant).await.expect_err("taken");
    assert_eq!(sqlstate(&refused), "42501");

    // A superuser's.
    execute(&mut superuser, OPEN).await;
    let keys = db.keys.route();
    let refused = router_login::ensure(&mut conn, &keys, &db.entropy, id).await;
    let refused = refused.expect_err("open to whoever connects");
    assert!(
        matches!(&refused, CatalogError::SchemaOpenToPublic(name) if *name == db.name),
        "{refused}"
    );
    // What the message says helps.
    let text = refused.to_string();
    let (_, command) = text.split_once("run `").expect("a command");
    execute(&mut superuser, command.trim_end_matches('`')).await;
    assert!(ensure(&db, id).await == (name.clone(), password));

    // The login's alone, by somebody whose gifts are not ours to take.
    let given = format!(
        "ALTER SCHEMA public OWNER TO postgres; GRANT USAGE ON SCHEMA public TO PUBLIC;
         GRANT CREATE ON SCHEMA public TO {name}"
    );
    execute(&mut superuser, &given).await;
    let made = router_login::ensure(&mut conn, &keys, &db.entropy, id).await;
    assert!(made.expect("asked").is_none());
}

pub async fn its_password_is_in_no_statement(db: Db) {
    let name = &db.name;
    let log_all = format!("ALTER ROLE tenantry_admin IN DATABASE {name} SET log_statement = 'all'");
    execute(&mut db.superuser().await, &log_all).await;
    let (name, password) = ensure(&db, installation(&db)).await;
    db.login(name.as_str(), password.expose())
        .await
        .expect("it is the password");
    let log = db.server_log();
    assert!(
        log.contains(&format!("CREATE ROLE {name}")),
        "the server logs statements"
    );
    assert!(
        !log.contains(password.expose()),
        "the server's log holds the password"
    );
    let stored: String = sqlx::query_scalar("SELECT rolpassword FROM pg_authid WHERE rolname = $1")
        .bind(name.as_str())
        .fetch_one(&mut db.superuser().await)
        .await
        .expect("read");
    assert!(stored.starts_with("SCRAM-SHA-256$1:"), "{stored}");
}

pub async fn made_many_times_at_once_it_is_one_login(db: Db) {
    let id = installation(&db);
    let mut makers = Vec::new();
    for _ in 0..6 {
        let (mut conn, keys, entropy) = (db.conn().await, db.keys.route(), db.entropy.clone());
        makers.push(tokio::spawn(async move {
            router_login::ensure(&mut conn, &keys, &entropy, id).await
        }));
    }
    let first = ensure(&db, id).await;
    for maker in makers {
        let made = maker.await.expect("no panic").expect("made");
        assert!(made == Some(first.clone()), "one name, one password");
    }
    let stored = router_login::get(&mut db.conn().await)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(stored.name, first.0);
}

pub async fn grants_are_repaired_and_a_lost_password_is_made_anew(db: Db) {
    let id = installation(&db);
    let (name, password) = ensure(&db, id).await;
    let mut conn = db.conn().await;
    execute(
        &mut conn,
        &format!("REVOKE ALL ON routes FROM {name}; GRANT SELECT ON logins TO {name}"),
    )
    .await;
    assert!(ensure(&db, id).await == (name.clone(), password.clone()));
    let mut router = db
        .login(name.as_str(), password.expose())
        .await
        .expect("a login");
    routes::by_host(&mut router, "acme")
        .await
        .expect("granted again");
    try_execute(&mut router, "SELECT FROM logins")
        .await
        .expect_err("taken away again");

    // Sealed under keys that are gone, or the row is gone: another password.
    let keys = Keyring::generate(&db.entropy).route();
    let made = router_login::ensure(&mut conn, &keys, &db.entropy, id)
        .await
        .expect("made");
    let (_, second) = made.expect("a login");
    assert!(second != password);
    db.login(name.as_str(), second.expose())
        .await
        .expect("the new one");
    db.login(name.as_str(), password.expose())
        .await
        .expect_err("the old one");
    execute(&mut conn, "DELETE FROM router_login").await;
    let (_, third) = ensure(&db, id).await;
    db.login(name.as_str(), third.expose())
        .await
        .expect("the third one");
    drop(router);
    // Its role is gone: made again, as the same login.
    let gone = format!("DROP OWNED BY {name}; DROP ROLE {name}");
    execute(&mut db.superuser().await, &gone).await;
    let (_, fourth) = ensure(&db, id).await;
    db.login(name.as_str(), fourth.expose())
        .await
        .expect("the fourth one");
}

pub async fn without_the_right_to_make_roles_there_is_none(db: Db) {
    let owner = format!("{}_owner", db.name);
    execute(
        &mut db.superuser().await,
        &format!("CREATE ROLE {owner} LOGIN PASSWORD 'x'"),
    )
    .await;
    let empty = db.empty_database(&owner).await;
    let mut conn = empty.login(&owner, "x").await.expect("a login");
    migrate(&mut conn).await.expect("migrated");
    let made =
        router_login::ensure(&mut conn, &db.keys.route(), &db.entropy, installation(&db)).await;
    assert!(made.expect("asked").is_none());
    let stored: Result<_, CatalogError> = router_login::get(&mut conn).await;
    assert_eq!(stored.expect("read"), None);
}
