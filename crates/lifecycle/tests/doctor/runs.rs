//! What goes on is no difference, many orphans are a catalog that is too old, and runs are kept.

use tenantry_lifecycle::doctor::BeginError;
use tenantry_lifecycle::doctor::{Code, Options, Progress};
use tenantry_types::OperationId;

use crate::world::{asker, differences};
use crate::{FIX, Names, codes, full, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_progress_is_no_difference_and_is_not_touched() {
    let world = full().await;
    let names = Names::of(&world).await;
    run(
        &world,
        &names,
        &[
            ("catalog", "INSERT INTO operations (id, kind, tenant_id, status, params, asked_by, lease_holder, lease_until) SELECT '[other]', 'purge', id, 'running', '{}', 'test', '[other]', now() + interval '1 minute' FROM tenants WHERE slug = 'acme'"),
            ("postgres", "ALTER DATABASE tenant_acme CONNECTION LIMIT 5;;ALTER ROLE tenant_acme_user NOLOGIN;;ALTER DATABASE tenant_acme ALLOW_CONNECTIONS false"),
        ],
    )
    .await;
    let report = world.examined(FIX).await;
    assert_eq!(differences(&report), Vec::<&_>::new());
    assert_eq!(report.checked.in_progress, 1);
    run(
        &world,
        &names,
        &[("postgres", "DO $$ BEGIN IF (SELECT datconnlimit FROM pg_database WHERE datname = 'tenant_acme') <> 5 THEN RAISE 'touched'; END IF; END $$")],
    )
    .await;
    // Who could come in from elsewhere is told all the same.
    run(
        &world,
        &names,
        &[(
            "postgres",
            "GRANT CONNECT ON DATABASE tenant_acme TO tenant_sus_user",
        )],
    )
    .await;
    let report = world.examined(FIX).await;
    assert_eq!(codes(&report), ["GRANT_UNEXPECTED".to_owned()].into());
    assert_eq!(report.counts.fixed, 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_lost_its_rows_lets_nothing_be_set_aside() {
    let world = full().await;
    let names = Names::of(&world).await;
    run(
        &world,
        &names,
        &[("catalog", "DELETE FROM databases;;DELETE FROM tenants")],
    )
    .await;
    let report = world.examined(FIX).await;
    let found = codes(&report);
    assert!(found.contains(Code::DatabaseOrphan.as_str()), "{found:?}");
    assert!(found.contains(Code::RoleOrphan.as_str()), "{found:?}");
    assert_eq!(report.counts.fixed, 0);
    let mut conn = world.superuser("postgres").await;
    let aside: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'orphan%')
              + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orphan%')",
    )
    .fetch_one(&mut conn)
    .await
    .expect("a count");
    assert_eq!(aside, 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_is_on_its_way_at_a_time_and_each_fix_is_written_down() {
    let world = full().await;
    let names = Names::of(&world).await;
    let doctor = world.doctor().await;
    let who = asker();
    let (fix, look) = (FIX, Options::default());
    let (first, second) = tokio::join!(
        doctor.begin(&fix, &who, "one"),
        doctor.begin(&look, &who, "two"),
    );
    let (begun, refused) = match (first, second) {
        (Ok(begun), Err(refused)) | (Err(refused), Ok(begun)) => (begun, refused),
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(refused, BeginError::Running(id) if id == begun),
        "{refused:?}"
    );
    run(
        &world,
        &names,
        &[("postgres", "ALTER DATABASE tenant_acme CONNECTION LIMIT 5")],
    )
    .await;
    let report = doctor.carry(begun, FIX, &asker()).await.expect("a report");
    assert_eq!((report.counts.fixed, report.differences()), (1, 0));
    let mut conn = world.superuser("catalog").await;
    let (actor, detail): (String, serde_json::Value) = sqlx::query_as(
        "SELECT actor, detail FROM audit WHERE action = 'doctor.fix' AND tenant_id IS NOT NULL",
    )
    .fetch_one(&mut conn)
    .await
    .expect("one line");
    assert_eq!(actor, asker().name);
    assert_eq!(detail["code"], "DATABASE_LIMIT");
    let last = tenantry_catalog::doctor_runs::last(&mut conn)
        .await
        .expect("a catalog")
        .expect("a run");
    assert_eq!(last.id, begun);
    assert_eq!(last.report, Some(report.to_json()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_passes_is_not_told() {
    let world = full().await;
    let names = Names::of(&world).await;
    run(
        &world,
        &names,
        &[("postgres", "ALTER DATABASE tenant_acme CONNECTION LIMIT 5")],
    )
    .await;
    let doctor = world.doctor().await;
    let progress = Progress::default();
    let healing = async {
        // It has been into the databases: the first look is nearly over.
        while progress.now().0 != "databases" {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        run(
            &world,
            &names,
            &[("postgres", "ALTER DATABASE tenant_acme CONNECTION LIMIT -1")],
        )
        .await;
    };
    let asker = asker();
    let (report, ()) = tokio::join!(doctor.run(FIX, &asker, &progress), healing);
    let report = report.expect("a report");
    assert_eq!((report.differences(), report.counts.fixed), (0, 0));
    world.end().await;
}

/// A parked operation is what is told of its tenant, not all that it left half-way.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_tenant_whose_operation_is_parked_only_that_is_told() {
    let world = full().await;
    let id = OperationId::generate(&world.clock, &tenantry_types::Entropy::system());
    let names = Names::of(&world).await;
    let insert = format!(
        "INSERT INTO operations (id, kind, tenant_id, status, params, asked_by)
         SELECT '{id}', 'purge', id, 'parked', '{{}}', 'test' FROM tenants WHERE slug = 'acme'"
    );
    run(
        &world,
        &names,
        &[
            ("catalog", &insert),
            ("postgres", "ALTER ROLE tenant_acme_user NOLOGIN"),
        ],
    )
    .await;
    let report = world.examined(Options::default()).await;
    assert_eq!(codes(&report), ["OPERATION_PARKED".to_owned()].into());
    world.end().await;
}
