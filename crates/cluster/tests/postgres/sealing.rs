//! Building and sealing a template.

use tenantry_cluster::logins::{self, LoginKind};
use tenantry_cluster::{ClusterError, databases, identity, names, template};

use crate::world::{World, db, one, sql, state};

crate::tests! {
    the_identity_is_open_to_nobody_whatever_the_admins_defaults_are,
    a_template_is_built_and_sealed_once_however_often_it_is_asked,
    a_builders_own_things_keep_it_from_being_sealed,
    another_installations_template_is_left_alone,
}

async fn a_template_is_built_and_sealed_once_however_often_it_is_asked(world: World) {
    let mark = world.mark();
    let (name, builder) = (
        names::template(mark.database),
        names::builder(mark.database),
    );
    let mut conn = world.conn().await;
    for _ in 0..2 {
        template::build(&world.admin, &name, &mark, "test")
            .await
            .expect("built");
        logins::create(
            &mut conn,
            &world.new_login(&builder, LoginKind::Owner, mark),
        )
        .await
        .expect("made");
        databases::grant_connect(&mut conn, &name, std::slice::from_ref(&builder))
            .await
            .expect("granted");
        logins::set_role_in_database(&mut conn, &builder, &name)
            .await
            .expect("set");
    }
    let mut migration = world.login(&name, &builder).await.expect("in");
    sql(&mut migration, "CREATE TABLE public.t (i int)")
        .await
        .expect("migrated");
    for _ in 0..2 {
        template::seal(&mut conn, &name, &mark, &builder)
            .await
            .expect("sealed");
        template::build(&world.admin, &name, &mark, "test")
            .await
            .expect("nothing to do");
    }
    assert_eq!(
        state(world.open(name.as_str(), "postgres", "super").await),
        "55000",
        "closed to all"
    );
    let mut superuser = world.superuser("postgres").await;
    let text = format!(
        "SELECT count(*) FROM pg_roles WHERE rolname = '{}'",
        builder.as_str()
    );
    assert_eq!(one::<i64>(&mut superuser, &text).await, 0);
}

async fn a_builders_own_things_keep_it_from_being_sealed(world: World) {
    let mark = world.mark();
    let (name, builder) = (
        names::template(mark.database),
        names::builder(mark.database),
    );
    let mut conn = world.conn().await;
    template::build(&world.admin, &name, &mark, "test")
        .await
        .expect("built");
    logins::create(
        &mut conn,
        &world.new_login(&builder, LoginKind::Owner, mark),
    )
    .await
    .expect("made");
    databases::grant_connect(&mut conn, &name, std::slice::from_ref(&builder))
        .await
        .expect("granted");
    // Without its role set in the database it still has the group's rights, and owns what it makes.
    let mut migration = world.login(&name, &builder).await.expect("in");
    sql(&mut migration, "CREATE TABLE public.t (i int)")
        .await
        .expect("migrated");
    let error = template::seal(&mut conn, &name, &mark, &builder)
        .await
        .expect_err("it owns a table");
    assert!(
        matches!(&error, ClusterError::Refused { sqlstate, .. } if sqlstate == "2BP01"),
        "{error}"
    );
}

async fn another_installations_template_is_left_alone(world: World) {
    let mark = world.mark();
    let name = names::template(mark.database);
    template::build(&world.admin, &name, &mark, "test")
        .await
        .expect("built");
    let mut other = mark;
    other.installation = uuid::Uuid::from_u128(1).into();
    let error = template::build(&world.admin, &name, &other, "test")
        .await
        .expect_err("not ours");
    assert!(matches!(error, ClusterError::NotOurs(_)), "{error}");
    let builder = names::builder(mark.database);
    let error = template::seal(&mut world.conn().await, &name, &other, &builder)
        .await
        .expect_err("not ours");
    assert!(matches!(error, ClusterError::NotOurs(_)), "{error}");
}

async fn the_identity_is_open_to_nobody_whatever_the_admins_defaults_are(world: World) {
    let (mark, mut conn) = (world.mark(), world.conn().await);
    let name = names::template(mark.database);
    let source = if world.version < 15 {
        "template1"
    } else {
        "template0"
    };
    databases::create_closed(&mut conn, &name, &db(source), &mark)
        .await
        .expect("cloned");
    let mut superuser = world.superuser("postgres").await;
    let open = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    sql(&mut superuser, &open).await.expect("opened");
    let mut superuser = world.superuser(name.as_str()).await;
    for text in [
        "ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_admin GRANT ALL ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_admin GRANT ALL ON TABLES TO tenantry_owner WITH GRANT OPTION",
        "ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_admin GRANT ALL ON SCHEMAS TO PUBLIC, tenantry_app",
    ] {
        sql(&mut superuser, text).await.expect(text);
    }
    // Tried without revoking, and without the proof, too: it was not built.
    template::build(&world.admin, &name, &mark, "test")
        .await
        .expect("built");
    let others = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
                  LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(n.nspacl)) a
                  WHERE c.oid = 'tenantry_self.identity'::regclass AND a.grantee <> c.relowner
                    AND (a.grantee = 0 OR a.is_grantable OR a.privilege_type NOT IN ('SELECT', 'USAGE'))";
    assert_eq!(one::<i64>(&mut superuser, others).await, 0);
    let mut inside = world.admin.enter(&name, "test").await.expect("inside");
    identity::write(&mut inside, mark.installation, mark.database, 1)
        .await
        .expect("written");

    // What a hole would leave: nothing is written where somebody's code could run. Tried without the proof: it was written.
    for (hole, mended) in [
        (
            "GRANT TRIGGER ON tenantry_self.identity TO tenantry_owner",
            "REVOKE TRIGGER ON tenantry_self.identity FROM tenantry_owner",
        ),
        (
            "GRANT REFERENCES (is_only) ON tenantry_self.identity TO PUBLIC",
            "REVOKE REFERENCES (is_only) ON tenantry_self.identity FROM PUBLIC",
        ),
        (
            "GRANT CREATE ON SCHEMA tenantry_self TO tenantry_owner",
            "REVOKE CREATE ON SCHEMA tenantry_self FROM tenantry_owner",
        ),
        (
            "CREATE RULE trap AS ON INSERT TO tenantry_self.identity DO ALSO SELECT 1",
            "DROP RULE trap ON tenantry_self.identity",
        ),
        (
            "CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON tenantry_self.identity FOR EACH ROW
             EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "DROP TRIGGER trap ON tenantry_self.identity",
        ),
    ] {
        sql(&mut superuser, hole).await.expect(hole);
        let written = identity::write(&mut inside, mark.installation, mark.database, 2).await;
        assert!(
            matches!(written, Err(ClusterError::Unsuitable(_))),
            "{hole}: {written:?}"
        );
        sql(&mut superuser, mended).await.expect(mended);
    }
}
