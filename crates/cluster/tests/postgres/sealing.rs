//! Building and sealing a template.

use tenantry_cluster::logins::{self, LoginKind};
use tenantry_cluster::{ClusterError, databases, names, template};

use crate::world::{World, one, sql, state};

crate::tests! {
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
