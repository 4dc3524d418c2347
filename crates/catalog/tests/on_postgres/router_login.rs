//! The login that routers use on the catalog.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use tenantry_catalog::{CatalogError, MIGRATOR, migrate, router_login, routers, routes};
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
        "SELECT * FROM routers",
        "UPDATE routers SET applied = 1000",
        "DELETE FROM routers",
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

/// A login made by hand, as docs/library.md says.
async fn by_hand(db: &Db, name: &str) {
    let statements = format!(
        "CREATE ROLE {name} LOGIN NOINHERIT PASSWORD 'x';
         GRANT CONNECT ON DATABASE {} TO {name};
         GRANT USAGE ON SCHEMA public TO {name};
         GRANT SELECT ON routes, domains, alias_names, changes, change_counter TO {name};
         GRANT EXECUTE ON FUNCTION router_register, router_renew, router_report, router_leave TO {name}",
        db.name
    );
    execute(&mut db.superuser().await, &statements).await;
}

/// A row of `routers`: how far it is, whether it lives, whether it has told of itself, whose it is.
async fn row(db: &Db, router: RouterId) -> Option<(i64, bool, bool, Option<String>)> {
    sqlx::query_as(
        "SELECT applied, lease_until > clock_timestamp(), report IS NOT NULL, login::text
         FROM routers WHERE id = $1",
    )
    .bind(router.as_uuid())
    .fetch_optional(&mut db.superuser().await)
    .await
    .expect("read")
}

/// Tried: with `router_renew` renewing whatever id it is given, the other login renews it.
pub async fn a_router_is_its_logins_alone(db: Db) {
    migrate(&mut db.conn().await).await.expect("closed");
    let (name, password) = ensure(&db, installation(&db)).await;
    let other = format!("{}_product", db.name);
    by_hand(&db, &other).await;
    let mut mine = db
        .login(name.as_str(), password.expose())
        .await
        .expect("a login");
    let mut theirs = db.login(&other, "x").await.expect("another");
    db.cluster("main").await;
    let id = RouterId::generate(&db.clock, &db.entropy);
    let register = async |conn: &mut PgConnection| {
        routers::register(conn, id, "r1", 3, LONG)
            .await
            .map_err(|error| error.to_string())
    };
    register(&mut mine).await.expect("registered");
    let share = renew(&mut mine, id, 1, &[]).await.expect("renewed");
    let expected = Some((3, true, false, Some(name.as_str().to_owned())));
    assert_eq!(row(&db, id).await, expected);

    assert!(renew(&mut theirs, id, 2, &[]).await.is_none());
    register(&mut theirs).await.expect_err("it is another's");
    let report = routers::Report::default();
    let told = routers::report(&mut theirs, id, &report).await;
    assert!(!told.expect("asked"));
    tenantry_catalog::shares::leave(&mut theirs, id, &[])
        .await
        .expect("asked");
    assert_eq!(row(&db, id).await, expected, "nothing has changed");
    // Nor after its lease has ended.
    let end = "UPDATE routers SET lease_until = clock_timestamp() - interval '1 hour'";
    execute(&mut db.superuser().await, end).await;
    register(&mut theirs).await.expect_err("it is another's");

    register(&mut mine).await.expect("its own, anew");
    assert_eq!(
        renew(&mut mine, id, 2, &[])
            .await
            .map(|shares| shares.len()),
        Some(share.len())
    );
    assert!(
        routers::report(&mut mine, id, &report)
            .await
            .expect("asked")
    );
    assert_eq!(row(&db, id).await.map(|row| row.2), Some(true));
    let long = format!(
        "SELECT router_report('{}', to_jsonb(repeat('x', 2000000)))",
        id.as_uuid()
    );
    try_execute(&mut mine, &long).await.expect_err("too long");
    tenantry_catalog::shares::leave(&mut mine, id, &[])
        .await
        .expect("asked");
    assert_eq!(row(&db, id).await, None, "gone");
}

/// Tried: without the block at the end of the migration the login keeps its rights on the table, and has
/// none on the functions.
pub async fn a_login_that_could_write_the_table_gets_the_functions(db: Db) {
    let old = db.empty_database("tenantry_admin").await;
    let mut conn = old.conn().await;
    for migration in MIGRATOR.iter().filter(|one| one.version < 12) {
        execute(&mut conn, migration.sql.as_str()).await;
    }
    let (name, reader) = (format!("{}_hand", db.name), format!("{}_see", db.name));
    let id = RouterId::generate(&db.clock, &db.entropy);
    let before = format!(
        "CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'; CREATE ROLE {reader} LOGIN PASSWORD 'x';
         GRANT SELECT, INSERT, UPDATE, DELETE ON routers TO \"{name}\";
         GRANT SELECT ON routers TO {reader};
         INSERT INTO routers (id, name, applied, lease_until) VALUES ('{}', 'r', 0, now() + interval '1 hour')",
        id.as_uuid()
    );
    execute(&mut old.superuser().await, &before).await;
    let last = MIGRATOR.iter().find(|one| one.version == 12);
    execute(&mut conn, last.expect("it").sql.as_str()).await;

    let rights = async |login: &str| -> (bool, i64) {
        sqlx::query_as(
            "SELECT has_any_column_privilege($1, 'routers', 'SELECT, INSERT, UPDATE')
                      OR has_table_privilege($1, 'routers', 'DELETE'),
                    (SELECT count(*) FROM pg_proc p WHERE proname LIKE 'router\\_%' AND prosecdef
                     AND has_function_privilege($1, p.oid, 'EXECUTE'))",
        )
        .bind(login)
        .fetch_one(&mut old.superuser().await)
        .await
        .expect("asked")
    };
    assert_eq!(rights(&name).await, (false, 4));
    assert_eq!(rights(&reader).await, (false, 0));
    // A router that was there before belongs to the login that goes on with it.
    assert_eq!(row(&old, id).await.map(|row| row.3), Some(None));
    let mut login = old.login(&name, "x").await.expect("a login");
    assert!(renew(&mut login, id, 1, &[]).await.is_some());
    assert_eq!(row(&old, id).await.map(|row| row.3), Some(Some(name)));
    assert!(renew(&mut conn, id, 2, &[]).await.is_none());
}
