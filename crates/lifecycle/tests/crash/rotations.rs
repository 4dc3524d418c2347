//! Logins that take one another's place, cut off or failed at each point: one of them is good, and
//! nothing else is left.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::{
    CREDENTIALS_STEPS, Finished, Issue, Lifecycle, ROTATE_STEPS, StartError, Telling,
};
use tenantry_router::Router;
use tenantry_types::{OperationId, Secret, Slug};

use crate::world::{World, asker, ended};
use crate::{POINTS, make};

/// The logins of Acme that let somebody in, as Postgres sees it, and what the catalog has of them.
#[derive(Debug, PartialEq, Eq)]
struct Logins {
    open: Vec<String>,
    catalog: Vec<(String, String)>,
    secrets: i64,
}

const FIRST: [&str; 3] = [
    "tenant_acme_owner",
    "tenant_acme_router",
    "tenant_acme_user",
];

/// Tried with `drain` and `retire` doing nothing: two router logins are open.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_whose_driver_is_gone_is_finished_by_another() {
    let world = World::new().await;
    let (next, router) = world.driver(None).await;
    next.start_workers();
    make(&next, "acme").await;
    let mut current = "tenant_acme_router".to_owned();
    for step in ROTATE_STEPS {
        for point in POINTS {
            served(&router).await;
            let (gone, _) = world
                .driver(Some(&format!("rotate/{step}:{point}=leave")))
                .await;
            let started = gone.rotate(&acme(), asker()).await.expect("a beginning");
            let end = ended(&next, started.operation_id).await;
            assert!(matches!(end, Finished::Done), "{step} {point}: {end:?}");
            current = other(&current, "tenant_acme_router");
            assert_eq!(
                logins(&world).await,
                expected(&current, "tenant_acme_user"),
                "{step} {point}"
            );
            assert_eq!(served(&router).await, current, "{step} {point}");
            world
                .assert_healthy(&format!("rotate {step} {point}"))
                .await;
        }
    }
    // Whatever was rotated goes with the tenant.
    let gone = next.delete(&acme(), true, asker()).await.expect("begun");
    ended(&next, gone.operation_id.expect("an operation")).await;
    let left = world.everything().await;
    assert!(
        !left.roles.iter().any(|role| role.starts_with("tenant_")),
        "{left:?}"
    );
    world.end().await;
}

/// Tried with `NO_WAY_BACK` left out: after the switch it is undone, and the tenant is left with a login that
/// lets nobody in; with the undoing left out: the login that nobody is sent to lets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_fails_is_undone_before_the_switch_and_goes_on_after_it() {
    let world = World::new().await;
    let (next, router) = world.driver(None).await;
    next.start_workers();
    make(&next, "acme").await;
    let mut current = "tenant_acme_router".to_owned();
    for step in ROTATE_STEPS {
        for point in POINTS {
            let (failing, _) = world
                .driver(Some(&format!("rotate/{step}:{point}=fail")))
                .await;
            let started = failing.rotate(&acme(), asker()).await.expect("a beginning");
            let undone = matches!(*step, "login" | "prove");
            let end = ended(&next, started.operation_id).await;
            world.settled(started.operation_id).await;
            assert_eq!(
                matches!(end, Finished::Failed(_)),
                undone,
                "{step} {point}: {end:?}"
            );
            if !undone {
                current = other(&current, "tenant_acme_router");
            }
            let wanted = expected(&current, "tenant_acme_user");
            assert_eq!(logins(&world).await, wanted, "{step} {point}");
            assert_eq!(served(&router).await, current, "{step} {point}");
            world
                .assert_healthy(&format!("rotate {step} {point}"))
                .await;
        }
    }
    world.end().await;
}

/// Tried with the answer not kept: no password is told.
#[tokio::test(flavor = "multi_thread")]
async fn another_login_for_the_product_is_issued_whole_or_not_at_all() {
    let world = World::new().await;
    let (next, _router) = world.driver(None).await;
    next.start_workers();
    make(&next, "acme").await;
    let mut current = "tenant_acme_user".to_owned();
    let now = Issue {
        overlap: Duration::ZERO,
        end_previous: false,
    };
    for act in ["leave", "fail"] {
        for step in CREDENTIALS_STEPS {
            for point in POINTS {
                let (gone, _) = world
                    .driver(Some(&format!("credentials/{step}:{point}={act}")))
                    .await;
                let started = gone
                    .issue_credentials(&acme(), now, asker(), None)
                    .await
                    .expect("a beginning");
                let end = ended(&next, started.operation_id).await;
                world.settled(started.operation_id).await;
                let undone = act == "fail" && matches!(*step, "login" | "prove");
                assert_eq!(
                    matches!(end, Finished::Failed(_)),
                    undone,
                    "{act} {step} {point}: {end:?}"
                );
                if !undone {
                    current = other(&current, "tenant_acme_user");
                    let password = told(&next, started.operation_id).await;
                    product(&world, &current, &password).await.expect("let in");
                }
                assert_eq!(
                    logins(&world).await,
                    expected("tenant_acme_router", &current),
                    "{act} {step} {point}"
                );
            }
        }
    }
    world.end().await;
}

/// Tried with the sweeper's part left out: it is good for ever; and with the retired login opened again by
/// `reopen`: after the undeletion it is among those that let in.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_login_is_good_for_its_overlap_and_ended_after_it_whatever_happens_meanwhile() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    make(&life, "acme").await;
    let first = issue(&life, 3600).await;
    let second = told(&life, first).await;
    assert_eq!(
        good(&world).await,
        ["tenant_acme_user", "tenant_acme_user_2"]
    );

    let again = Issue {
        overlap: Duration::ZERO,
        end_previous: false,
    };
    let refused = life.issue_credentials(&acme(), again, asker(), None).await;
    assert!(
        matches!(refused, Err(StartError::OverlapRunning(_))),
        "{refused:?}"
    );

    // A session that is open, and a driver that is gone in the middle of the end.
    let mut held = product(&world, "tenant_acme_user_2", &second)
        .await
        .expect("let in");
    let third = issue_ending_previous(&life, 3600).await;
    told(&life, third).await;
    assert_eq!(
        good(&world).await,
        ["tenant_acme_user", "tenant_acme_user_2"]
    );
    world.clock.advance(chrono::Duration::hours(2));
    let (gone, _) = world
        .driver(Some("retire-credentials/retire:after-effect=leave"))
        .await;
    gone.start_workers();
    let sql = "SELECT count(*) FROM operations WHERE kind = 'retire-credentials'";
    world.counted(sql, 1).await;
    gone.shutdown().await;
    life.start_workers();
    let sql = "SELECT count(*) FROM logins WHERE role = 'user_old'";
    world.counted(sql, 0).await;
    let sql = "SELECT count(*) FROM operations WHERE status <> 'done'";
    world.counted(sql, 0).await;
    assert_eq!(good(&world).await, ["tenant_acme_user"]);
    assert!(held.ping().await.is_err(), "its session was ended");

    // Who opens the tenant's logins again does not open that one.
    for deletion in [true, false] {
        let operation = match deletion {
            true => {
                let deleted = life.delete(&acme(), false, asker()).await.expect("begun");
                deleted.operation_id.expect("an operation")
            }
            false => {
                let back = life.undelete(&acme(), asker()).await.expect("begun");
                back.operation_id
            }
        };
        assert!(matches!(ended(&life, operation).await, Finished::Done));
    }
    assert_eq!(good(&world).await, ["tenant_acme_user"]);
    world.end().await;
}

/// Tried with `of_fleet` not asking for the age of the login: who takes the run up begins it anew, and is not
/// done in time.
#[tokio::test(flavor = "multi_thread")]
async fn all_tenants_are_rotated_once_though_the_driver_dies_and_one_of_them_fails() {
    let world = World::new().await;
    let (next, _router) = world.driver(None).await;
    for slug in ["acme", "broken", "other"] {
        make(&next, slug).await;
    }
    let mut conn = world.superuser("postgres").await;
    // The name that the rotation would take is somebody else's.
    sqlx::raw_sql("CREATE ROLE tenant_broken_router_2")
        .execute(&mut conn)
        .await
        .expect("a role");
    let (gone, _) = world
        .driver(Some("rotate-all/tenants:after-effect=leave"))
        .await;
    let started = gone
        .rotate_all(Duration::from_millis(100), asker())
        .await
        .expect("a beginning");
    let busy = next.rotate_all(Duration::ZERO, asker()).await;
    assert!(matches!(busy, Err(StartError::InProgress(_))), "{busy:?}");
    world
        .counted(
            "SELECT count(*) FROM logins WHERE role = 'router' AND name LIKE '%router\\_2'",
            2,
        )
        .await;
    next.start_workers();
    assert!(matches!(
        ended(&next, started.operation_id).await,
        Finished::Done
    ));
    let mut conn = world.superuser("catalog").await;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM logins WHERE role = 'router' ORDER BY name")
            .fetch_all(&mut conn)
            .await
            .expect("logins");
    assert_eq!(
        names,
        [
            "tenant_acme_router_2",
            "tenant_broken_router",
            "tenant_other_router_2"
        ]
    );
    // What is left to a second driver is what failed at the first.
    let view = next.operation(started.operation_id).await.expect("read");
    let result = view.and_then(|view| view.result).expect("a result");
    assert_eq!(
        (&result["total"], &result["failed"]),
        (&1.into(), &1.into())
    );
    world.end().await;
}

fn acme() -> TenantRef {
    TenantRef::Slug(Slug::parse("acme").expect("a slug"))
}

fn other(current: &str, first: &str) -> String {
    match current == first {
        true => format!("{first}_2"),
        false => first.to_owned(),
    }
}

fn expected(router: &str, user: &str) -> Logins {
    let mut open = vec![FIRST[0].to_owned(), router.to_owned(), user.to_owned()];
    open.sort();
    let row = |role: &str, name: &str| (role.to_owned(), name.to_owned());
    Logins {
        open,
        catalog: vec![
            row("owner", FIRST[0]),
            row("router", router),
            row("user", user),
        ],
        secrets: 0,
    }
}

async fn logins(world: &World) -> Logins {
    let mut conn = world.superuser("catalog").await;
    let open = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tenant\\_acme\\_%'
         AND (rolcanlogin OR rolconnlimit <> 0
              OR has_database_privilege(oid, 'tenant_acme', 'CONNECT')) ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .expect("roles");
    let catalog = sqlx::query_as("SELECT role, name FROM logins ORDER BY role")
        .fetch_all(&mut conn)
        .await
        .expect("logins");
    let secrets = sqlx::query_scalar("SELECT count(*) FROM operation_secrets")
        .fetch_one(&mut conn)
        .await
        .expect("a count");
    Logins {
        open,
        catalog,
        secrets,
    }
}

/// The product's logins that let somebody in.
async fn good(world: &World) -> Vec<String> {
    let mut conn = world.superuser("postgres").await;
    sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles
         WHERE rolname LIKE 'tenant\\_acme\\_user%' AND rolcanlogin ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .expect("roles")
}

/// Whom a request is served by.
async fn served(router: &Router) -> String {
    let route = router.resolve_tenant(&acme()).await.expect("a route");
    let mut conn = router.acquire(&route).await.expect("a connection");
    let login = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(&mut *conn)
        .await
        .expect("an answer");
    conn.release();
    login
}

async fn issue(life: &Lifecycle, overlap: u64) -> OperationId {
    issued(life, overlap, false).await
}

async fn issue_ending_previous(life: &Lifecycle, overlap: u64) -> OperationId {
    issued(life, overlap, true).await
}

async fn issued(life: &Lifecycle, overlap: u64, end_previous: bool) -> OperationId {
    let wanted = Issue {
        overlap: Duration::from_secs(overlap),
        end_previous,
    };
    let started = life
        .issue_credentials(&acme(), wanted, asker(), None)
        .await
        .expect("a beginning");
    let end = ended(life, started.operation_id).await;
    assert!(matches!(end, Finished::Done), "{end:?}");
    started.operation_id
}

/// The new password, which is told once.
async fn told(life: &Lifecycle, operation: OperationId) -> Secret {
    let issued = life
        .issued(operation, Telling::Once, None)
        .await
        .expect("an answer");
    let again = life
        .issued(operation, Telling::Once, None)
        .await
        .expect("an answer");
    assert!(again.db_password.is_none(), "told once");
    issued.db_password.expect("a password")
}

async fn product(
    world: &World,
    login: &str,
    password: &Secret,
) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(world.server.host())
        .port(world.server.port())
        .username(login)
        .password(password.expose())
        .database("tenant_acme");
    PgConnection::connect_with(&options).await
}
