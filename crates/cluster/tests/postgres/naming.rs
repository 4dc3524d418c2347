//! Logins that another tenant's database names, so that Postgres does not let them go.

use tenantry_cluster::logins::{self, Dropped, LoginKind};
use tenantry_cluster::names::{self, Naming};
use tenantry_cluster::{ClusterError, databases, template};
use tenantry_types::{RoleName, Slug};

use crate::world::{Tenant, World, one, role, sql, state};

crate::tests! {
    a_login_that_others_name_in_their_databases_leaves_a_tombstone,
    a_grant_that_is_not_committed_does_not_keep_a_login,
    a_grant_to_the_builder_does_not_keep_a_template_from_being_sealed,
}

async fn a_login_that_others_name_in_their_databases_leaves_a_tombstone(world: World) {
    let (attacker, victim) = (world.tenant().await, world.tenant().await);
    let mut conn = world.conn().await;
    let slug = Slug::parse(&format!("named-{}", world.number())).expect("a slug");
    let base = names::database(&slug);
    databases::rename_with_logins(&mut conn, &victim.db, &base, &victim.mark)
        .await
        .expect("renamed");
    let logins = names::login_names(&base);
    name_in_its_database(&world, &attacker, &logins.first()).await;

    let error = logins::drop(&mut conn, &logins.user, &victim.mark)
        .await
        .expect_err("its own database is still there");
    assert!(matches!(&error, ClusterError::Refused { sqlstate, .. } if sqlstate == "2BP01"));
    databases::drop_forced(&mut conn, &base, &victim.mark)
        .await
        .expect("dropped");
    let id = victim.mark.database.as_uuid().simple();
    for (login, kind) in logins.first().iter().zip(["owner", "router", "user"]) {
        let tombstone = role(&format!("dropped_{id}_{kind}"));
        for (name, outcome) in [
            (login, Dropped::Tombstone(tombstone.clone())),
            (login, Dropped::Absent),
            (&tombstone, Dropped::Tombstone(tombstone.clone())),
        ] {
            let dropped = logins::drop(&mut conn, name, &victim.mark).await;
            assert_eq!(dropped.expect("dropped"), outcome);
        }
    }
    let free = names::free_base(&mut conn, Naming::Readable(&slug)).await;
    assert_eq!(free.expect("a name"), base, "free for the next tenant");
    let mut superuser = world.superuser("postgres").await;
    let harmless = format!(
        "SELECT count(*) FROM pg_authid r WHERE rolname LIKE 'dropped_{id}_%' AND NOT rolcanlogin
           AND rolpassword IS NULL AND rolconnlimit = 0
           AND NOT EXISTS (SELECT FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid
                           WHERE a.member = r.oid AND g.rolname LIKE 'tenantry%')"
    );
    assert_eq!(one::<i64>(&mut superuser, &harmless).await, 3);

    // They go when the database that names them does.
    logins::sweep(&mut conn, world.installation)
        .await
        .expect("swept");
    assert_eq!(tombstones_of(&world, &victim).await, 3);
    databases::drop_forced(&mut conn, &attacker.db, &attacker.mark)
        .await
        .expect("dropped");
    logins::sweep(&mut conn, world.installation)
        .await
        .expect("swept");
    assert_eq!(tombstones_of(&world, &victim).await, 0);
    assert_eq!(one::<i64>(&mut superuser, &harmless).await, 0);
}

/// Each way to name a role that a tenant has in its own database.
async fn name_in_its_database(world: &World, tenant: &Tenant, others: &[RoleName]) {
    let mut owner = world
        .login(&tenant.db, &tenant.logins.owner)
        .await
        .expect("in");
    for other in others {
        let statements = format!(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {other};
             GRANT SELECT ON public.things TO {other};
             DO $$ BEGIN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO {other}', lo_create(0)); END $$;
             CREATE POLICY {other} ON public.things TO {other} USING (true)"
        );
        sql(&mut owner, &statements).await.expect("named");
    }
}

async fn tombstones_of(world: &World, tenant: &Tenant) -> usize {
    let all = logins::tombstones(&mut world.conn().await, world.installation).await;
    let all = all.expect("listed");
    all.iter().filter(|(_, mark)| *mark == tenant.mark).count()
}

async fn a_grant_that_is_not_committed_does_not_keep_a_login(world: World) {
    let (attacker, victim) = (world.tenant().await, world.tenant().await);
    let mut owner = world
        .login(&attacker.db, &attacker.logins.owner)
        .await
        .expect("in");
    let grant = format!(
        "BEGIN; GRANT SELECT ON public.things TO {}",
        victim.logins.user
    );
    sql(&mut owner, &grant).await.expect("granted");
    let mut conn = world.conn().await;
    databases::drop_forced(&mut conn, &victim.db, &victim.mark)
        .await
        .expect("dropped");
    let dropped = logins::drop(&mut conn, &victim.logins.user, &victim.mark).await;
    assert_eq!(dropped.expect("dropped"), Dropped::Gone);
    sql(&mut owner, "COMMIT").await.expect_err("it was ended");
}

async fn a_grant_to_the_builder_does_not_keep_a_template_from_being_sealed(world: World) {
    let attacker = world.tenant().await;
    let mark = world.mark();
    let name = names::template(mark.database);
    let builder = names::builder(mark.database);
    template::build(&world.admin, &name, &mark, "test")
        .await
        .expect("built");
    let mut conn = world.conn().await;
    let login = world.new_login(&builder, LoginKind::Owner, mark);
    logins::create(&mut conn, &login).await.expect("made");
    name_in_its_database(&world, &attacker, std::slice::from_ref(&builder)).await;
    for _ in 0..2 {
        template::seal(&mut conn, &name, &mark, &builder)
            .await
            .expect("sealed");
    }
    assert_eq!(state(world.login(&name, &builder).await), "28P01", "gone");
}
