//! Groups and preflight.

use tenantry_cluster::{Address, Admin, ClusterError, groups, preflight};
use tenantry_types::Secret;

use crate::world::{World, db, one, role, sql};

crate::tests! {
    a_fit_cluster_has_no_problems,
    a_weak_login_is_told_what_it_lacks,
    groups_are_made_once_by_eight_at_once,
    a_group_that_may_log_in_is_refused,
}

async fn a_fit_cluster_has_no_problems(world: World) {
    let report = preflight::check(&mut world.conn().await)
        .await
        .expect("a report");
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(
        report.version_num / 10_000,
        i32::try_from(world.version).expect("small")
    );
    assert!(report.max_connections > report.reserved_connections);
    let expected = if world.version == 14 { 1 } else { 0 };
    assert_eq!(report.warnings.len(), expected, "{:?}", report.warnings);
}

async fn a_weak_login_is_told_what_it_lacks(world: World) {
    let mut superuser = world.superuser("postgres").await;
    sql(
        &mut superuser,
        "CREATE ROLE weak LOGIN PASSWORD 'weak'; GRANT CONNECT ON DATABASE postgres TO weak",
    )
    .await
    .expect("made");
    let weak = Admin::new(
        world.admin.address().clone(),
        db("postgres"),
        role("weak"),
        Secret::new("weak"),
    );
    let report = preflight::check(&mut weak.connect("test").await.expect("in"))
        .await
        .expect("a report");
    assert!(!report.usable());
    for word in ["CREATEDB", "CREATEROLE", "pg_signal_backend"] {
        assert!(
            report.problems.iter().any(|problem| problem.contains(word)),
            "{word}: {report:?}"
        );
    }
    sql(
        &mut superuser,
        "GRANT CONNECT ON DATABASE template1 TO PUBLIC",
    )
    .await
    .expect("opened");
    let report = preflight::check(&mut world.conn().await)
        .await
        .expect("a report");
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.contains("template1")),
        "{report:?}"
    );
    sql(
        &mut superuser,
        "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC; DROP OWNED BY weak; DROP ROLE weak",
    )
    .await
    .expect("closed");

    let nowhere = Admin::new(
        Address::new("127.0.0.1", 1, "disable"),
        db("postgres"),
        role("weak"),
        Secret::new("weak"),
    );
    let error = nowhere.connect("test").await.expect_err("nobody listens");
    assert_eq!(error.code(), "CLUSTER_UNAVAILABLE");
    let wrong = Admin::new(
        world.admin.address().clone(),
        db("postgres"),
        role("tenantry_admin"),
        Secret::new("x"),
    );
    let error = wrong.connect("test").await.expect_err("a wrong password");
    assert!(
        matches!(&error, ClusterError::Refused { sqlstate, .. } if sqlstate == "28P01"),
        "{error}"
    );
}

async fn groups_are_made_once_by_eight_at_once(world: World) {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let world = world.clone();
        running.spawn(async move { groups::ensure(&mut world.conn().await).await });
    }
    for outcome in running.join_all().await {
        outcome.expect("made");
    }
    let mut superuser = world.superuser("postgres").await;
    let count: i64 = one(
        &mut superuser,
        "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tenantry\\_%' AND NOT rolcanlogin",
    )
    .await;
    assert_eq!(count, 3);
    let groups: String = one(
        &mut superuser,
        "SELECT string_agg(DISTINCT roleid::regrole::text, ' ' ORDER BY roleid::regrole::text)
         FROM pg_auth_members WHERE member = 'tenantry_admin'::regrole",
    )
    .await;
    assert_eq!(
        groups,
        "pg_signal_backend tenantry_app tenantry_owner tenantry_readonly"
    );
    let superuser: bool = one(
        &mut superuser,
        "SELECT rolsuper FROM pg_roles WHERE rolname = 'tenantry_admin'",
    )
    .await;
    assert!(!superuser, "the admin of these tests is no superuser");
}

async fn a_group_that_may_log_in_is_refused(world: World) {
    let mut superuser = world.superuser("postgres").await;
    sql(&mut superuser, "ALTER ROLE tenantry_readonly LOGIN")
        .await
        .expect("altered");
    let outcome = groups::ensure(&mut world.conn().await).await;
    sql(&mut superuser, "ALTER ROLE tenantry_readonly NOLOGIN")
        .await
        .expect("altered");
    assert!(
        matches!(outcome, Err(ClusterError::Unsuitable(_))),
        "{outcome:?}"
    );
    groups::ensure(&mut world.conn().await)
        .await
        .expect("fit again");
}
