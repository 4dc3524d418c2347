//! Connections that were opened with a password in clear.

use sqlx::PgConnection;
use tenantry_catalog::clusters::TlsMode;
use tenantry_catalog::tenants::Status;
use tenantry_router::{Address, Expected, ProveError, Target};
use tenantry_types::{RoleName, Secret};

use crate::home::{Home, Tenant, conn, pid};

fn target(home: &Home, tenant: &Tenant, login: &RoleName) -> Target {
    Target {
        address: Address {
            host: "127.0.0.1".to_owned(),
            port: home.cluster_wire.port,
            tls: TlsMode::Disable,
            root_ca: None,
        },
        database: tenant.db.clone(),
        login: login.clone(),
        password: tenant.password.clone(),
    }
}

fn expected(home: &Home, tenant: &Tenant) -> Expected {
    Expected {
        installation: home.installation,
        database_id: tenant.database,
        epoch: 1,
    }
}

/// Tried: with `adopt` dropping what it took over, and without `make_pooled`, the server sees no
/// pooled connection.
pub async fn a_proven_connection_becomes_the_first_pooled_one(home: Home) {
    let router = home.router(Home::config()).await;
    let tenant = home.database("acme").await;
    let target = target(&home, &tenant, &tenant.logins.router);
    let expected = expected(&home, &tenant);
    // As at a birth: adopted before the tenant is active.
    let born = home.register(&tenant, Status::Provisioning).await;
    router.wait_applied(born).await;
    let mut proven = router.prove(&target, &expected).await.expect("proven");
    let first = pid(&mut proven).await;
    assert!(router.adopt(tenant.id, proven).await);
    let active = home
        .set_status(
            &tenant,
            "active",
            tenantry_catalog::change_log::Kind::Created,
        )
        .await;
    router.wait_applied(active).await;
    assert_eq!(
        home.connections(&router).await,
        1,
        "it counts against the budget now"
    );
    let mut adopted = conn(&router, &tenant).await;
    assert_eq!(pid(&mut adopted).await, first);
    let mut second = conn(&router, &tenant).await;
    for conn in [&mut adopted, &mut second] {
        assert_eq!(settings(conn).await, "pg_catalog,public|30s|5s|1min");
    }
    adopted.release();
    second.release();
    router.shutdown().await;
}

/// What holds in a session, whatever the tenant set for its roles or its database.
async fn settings(conn: &mut PgConnection) -> String {
    sqlx::query_scalar(
        "SELECT concat_ws('|', current_setting('search_path'), current_setting('statement_timeout'),
                current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'))",
    )
    .fetch_one(conn)
    .await
    .expect("settings")
}

/// Tried: with the comparison in `connect.rs` replaced by `true`, another database is proven; with
/// the login left out of `leads_to`, the owner's is pooled.
pub async fn another_database_or_an_owner_login_is_not_adopted(home: Home) {
    let router = home.router(Home::config()).await;
    let (tenant, other) = (home.tenant("acme").await, home.tenant("other").await);
    let (right, wrong) = (expected(&home, &tenant), expected(&home, &other));
    let as_router = target(&home, &tenant, &tenant.logins.router);
    let as_owner = target(&home, &tenant, &tenant.logins.owner);

    let outcome = router.prove(&as_router, &wrong).await;
    assert!(
        matches!(outcome, Err(ProveError::WrongDatabase(_))),
        "{outcome:?}"
    );
    let later = Expected { epoch: 2, ..right };
    assert!(matches!(
        router.prove(&as_router, &later).await,
        Err(ProveError::WrongDatabase(_))
    ));
    let bad = Target {
        password: Secret::new("guess"),
        ..as_router.clone()
    };
    let outcome = router.prove(&bad, &right).await;
    assert!(
        matches!(outcome, Err(ProveError::Refused { .. })),
        "{outcome:?}"
    );

    let owner = router
        .prove(&as_owner, &right)
        .await
        .expect("the owner login gets in");
    assert!(
        !router.adopt(tenant.id, owner).await,
        "an owner login is never pooled"
    );
    let proven = router.prove(&as_router, &right).await.expect("proven");
    assert!(
        !router.adopt(other.id, proven).await,
        "nor is another tenant's"
    );
    assert_eq!(router.stats().open, 0);
    router.shutdown().await;
}

/// Whoever owned an adopted database may have put names of its own before Postgres's. Tried without `search_path` in
/// `PROOF`: the constraint is the stranger's function.
pub async fn a_migration_finds_postgres_own_functions_whatever_the_database_sets(home: Home) {
    let router = home.router(Home::config()).await;
    let tenant = home.tenant("acme").await;
    let (right, as_owner) = (
        expected(&home, &tenant),
        target(&home, &tenant, &tenant.logins.owner),
    );
    let mut owner = router.prove(&as_owner, &right).await.expect("in");
    sqlx::raw_sql(
        "CREATE SCHEMA evil;
         CREATE FUNCTION evil.octet_length(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
    )
    .execute(&mut *owner)
    .await
    .expect("made");
    owner.close().await;
    let mut superuser = home.world.connect("postgres", "postgres").await;
    let set = format!(
        "ALTER DATABASE {} SET search_path = evil, pg_catalog",
        tenant.db
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(set))
        .execute(&mut superuser)
        .await
        .expect("set");
    let mut owner = router.prove(&as_owner, &right).await.expect("in");
    sqlx::raw_sql("CREATE TABLE tenantry.probe (t text CHECK (octet_length(t) < 10))")
        .execute(&mut *owner)
        .await
        .expect("made");
    let theirs: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
         JOIN pg_constraint c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
         WHERE c.connamespace = 'tenantry'::regnamespace AND p.pronamespace = 'evil'::regnamespace",
    )
    .fetch_one(&mut *owner)
    .await
    .expect("asked");
    assert_eq!(theirs, 0);
    router.shutdown().await;
}
