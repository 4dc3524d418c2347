//! A database that was somebody's before, cut off or failed at each step of either way: it is a tenant's, or it is
//! as it was.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tenantry_catalog::tenants::{Status as TenantStatus, TenantRef};
use tenantry_lifecycle::{
    ADOPT_STEPS, AdoptTenant, AdoptionConsent, Finished, Lifecycle, StartError, Telling,
    UNADOPT_STEPS,
};

use crate::world::{World, asker, ended, wanted};
use crate::{POINTS, assert_one_seed};

/// With things of each kind that the ways meet: `crates/cluster/tests/postgres/adoption.rs` has all kinds.
const CONTENTS: &str = "
    CREATE ROLE legacy LOGIN PASSWORD 'legacy';
    CREATE ROLE reporting LOGIN;
    CREATE DATABASE legacy OWNER legacy;
    COMMENT ON DATABASE legacy IS 'of old';
    ALTER DATABASE legacy CONNECTION LIMIT 7;
    GRANT CONNECT ON DATABASE legacy TO reporting";
const INSIDE: &str = "
    SET SESSION AUTHORIZATION legacy;
    CREATE SCHEMA app; GRANT CREATE ON SCHEMA app TO PUBLIC; GRANT USAGE ON SCHEMA app TO reporting;
    CREATE TABLE app.orders (id serial PRIMARY KEY, who text);
    INSERT INTO app.orders (who) VALUES ('ann');
    CREATE VIEW app.seen AS SELECT * FROM app.orders;
    CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
    REVOKE EXECUTE ON FUNCTION app.f() FROM PUBLIC;
    SELECT lo_create(4711)";

async fn legacy(world: &World) {
    let mut conn = world.superuser("postgres").await;
    for statement in CONTENTS.split(';') {
        sqlx::raw_sql(statement)
            .execute(&mut conn)
            .await
            .expect(statement);
    }
    let mut conn = world.superuser("legacy").await;
    sqlx::raw_sql(INSIDE)
        .execute(&mut conn)
        .await
        .expect("filled");
    conn.close().await.expect("closed");
}

/// What `pg_dump` says of it, and what it leaves out: who owns the database and may do what with it.
async fn picture(world: &World) -> (String, Vec<String>) {
    let mut superuser = world.superuser("postgres").await;
    let shared = sqlx::query_scalar::<_, String>(
        "SELECT concat_ws(' | ', datdba::regrole, datconnlimit, shobj_description(oid, 'pg_database'),
                (SELECT string_agg(a::text, ',') FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a))
         FROM pg_database WHERE datname = 'legacy'
         UNION ALL SELECT roleid::regrole || ' in ' || member::regrole FROM pg_auth_members WHERE roleid = 'legacy'::regrole
         UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'legacy%' ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .expect("asked");
    let mut inside = world.superuser("legacy").await;
    let things = sqlx::query_scalar::<_, String>(
        "SELECT concat_ws(' | ', c.oid::regclass, relkind, relowner::regrole,
                (SELECT string_agg(a::text, ',') FROM aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, relowner))) a))
         FROM pg_class c WHERE oid >= 16384 AND relkind IN ('r', 'v', 'S', 'i')
         UNION ALL SELECT concat_ws(' | ', p.oid::regprocedure, proowner::regrole,
                (SELECT string_agg(a::text, ',') FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a))
         FROM pg_proc p WHERE oid >= 16384
         UNION ALL SELECT concat_ws(' | ', nspname, nspowner::regrole,
                (SELECT string_agg(a::text, ',') FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a))
         FROM pg_namespace WHERE nspname !~ '^pg_'
         UNION ALL SELECT concat_ws(' | ', oid, lomowner::regrole,
                (SELECT string_agg(a::text, ',') FROM aclexplode(coalesce(lomacl, acldefault('L', lomowner))) a))
         FROM pg_largeobject_metadata
         UNION ALL SELECT defaclacl::text FROM pg_default_acl
         ORDER BY 1",
    )
    .fetch_all(&mut inside)
    .await
    .expect("asked");
    inside.close().await.expect("closed");
    (shared.join("\n"), things)
}

fn adoption() -> AdoptTenant {
    AdoptTenant {
        tenant: wanted("acme"),
        database: "legacy".to_owned(),
        consent: AdoptionConsent {
            disconnect: true,
            shut_out: true,
            extensions: Vec::new(),
        },
    }
}

fn acme() -> TenantRef {
    "acme".parse().expect("a slug")
}

async fn adopt(life: &Lifecycle, next: &Lifecycle) -> Finished {
    let started = life
        .adopt(adoption(), asker(), None)
        .await
        .expect("a beginning");
    let end = ended(next, started.operation_id).await;
    if matches!(end, Finished::Done) {
        let created = next
            .created(started.operation_id, Telling::Once, None)
            .await
            .expect("an answer");
        assert!(created.db_password.is_some());
        assert_eq!(created.tenant.status, TenantStatus::Active);
    }
    end
}

async fn unadopt(life: &Lifecycle, next: &Lifecycle) {
    let started = life.unadopt(&acme(), asker()).await.expect("a beginning");
    let end = ended(next, started.operation_id).await;
    assert!(matches!(end, Finished::Done), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_fails_at_any_point_leaves_the_database_as_it_was() {
    let world = World::new().await;
    legacy(&world).await;
    let (warm, _router) = world.driver(None).await;
    adopt(&warm, &warm).await;
    unadopt(&warm, &warm).await;
    let (before, looks) = (world.everything().await, picture(&world).await);
    for step in ADOPT_STEPS {
        for point in POINTS {
            let (life, _router) = world
                .driver(Some(&format!("adopt/{step}:{point}=fail")))
                .await;
            let started = life
                .adopt(adoption(), asker(), None)
                .await
                .expect("a beginning");
            let end = ended(&life, started.operation_id).await;
            assert!(
                matches!(end, Finished::Failed(_)),
                "{step} {point}: {end:?}"
            );
            world.settled(started.operation_id).await;
            assert_eq!(world.everything().await, before, "{step} {point}");
            assert_eq!(picture(&world).await, looks, "{step} {point}");
            world.assert_healthy(&format!("adopt {step} {point}")).await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_of_a_driver_that_is_gone_are_finished_by_another() {
    let world = World::new().await;
    legacy(&world).await;
    let (next, router) = world.driver(None).await;
    next.start_workers();
    adopt(&next, &next).await;
    unadopt(&next, &next).await;
    let (before, looks) = (world.everything().await, picture(&world).await);
    for step in ADOPT_STEPS {
        for point in POINTS {
            let (gone, _) = world
                .driver(Some(&format!("adopt/{step}:{point}=leave")))
                .await;
            let end = adopt(&gone, &next).await;
            assert!(matches!(end, Finished::Done), "{step} {point}: {end:?}");
            assert_one_seed(&router, "acme").await;
            world.assert_healthy(&format!("adopt {step} {point}")).await;
            unadopt(&next, &next).await;
            assert_eq!(picture(&world).await, looks, "{step} {point}");
        }
    }
    for step in UNADOPT_STEPS {
        for point in POINTS {
            adopt(&next, &next).await;
            let (gone, _) = world
                .driver(Some(&format!("unadopt/{step}:{point}=leave")))
                .await;
            unadopt(&gone, &next).await;
            assert_eq!(world.everything().await, before, "{step} {point}");
            assert_eq!(picture(&world).await, looks, "{step} {point}");
            world
                .assert_healthy(&format!("unadopt {step} {point}"))
                .await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_database_is_dropped_only_when_its_grace_period_has_ended() {
    let world = World::new().await;
    legacy(&world).await;
    let (life, _router) = world.driver(None).await;
    life.start_workers();
    adopt(&life, &life).await;
    let purge = life.delete(&acme(), true, asker()).await;
    assert!(matches!(purge, Err(StartError::Adopted)), "{purge:?}");
    let deleted = life.delete(&acme(), false, asker()).await.expect("begun");
    ended(&life, deleted.operation_id.expect("an operation")).await;
    let purge = life.delete(&acme(), true, asker()).await;
    assert!(matches!(purge, Err(StartError::Adopted)), "{purge:?}");
    // From its grace period it goes back as well, with what is in it.
    unadopt(&life, &life).await;
    let mut conn: PgConnection = world.superuser("legacy").await;
    let rows =
        sqlx::query_scalar::<_, i64>(AssertSqlSafe("SELECT count(*) FROM app.orders".to_owned()));
    assert_eq!(rows.fetch_one(&mut conn).await.expect("its data"), 1);
    conn.close().await.expect("closed");

    adopt(&life, &life).await;
    let deleted = life.delete(&acme(), false, asker()).await.expect("begun");
    ended(&life, deleted.operation_id.expect("an operation")).await;
    world.clock.advance(chrono::Duration::days(8));
    world.counted("SELECT count(*) FROM tenants", 0).await;
    let left = world.everything().await;
    assert!(!left.databases.contains(&"legacy".to_owned()), "{left:?}");
    world.end().await;
}
