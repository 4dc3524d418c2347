//! Routes: the row and the change log's number, read as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection;
use tenantry_catalog::change_log::{self, Kind};
use tenantry_catalog::clusters::TlsMode;
use tenantry_catalog::domains::{self, Domain};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_catalog::{CatalogError, databases, domain_claims, routes};
use tenantry_types::{DbName, DomainName, ErrorKind, RoleName, Secret, Slug};
use tenantry_vault::Place;

use crate::world::{Db, execute};

pub async fn the_number_comes_also_without_a_row(db: Db) {
    let mut conn = db.conn().await;
    for _ in 0..3 {
        change_log::append(&mut conn, db.tenant_id(), Kind::Purged)
            .await
            .expect("appended");
    }
    let slug = Slug::parse("nobody").expect("a slug");
    assert_eq!(
        routes::by_host(&mut conn, "nobody").await.expect("read"),
        (3, None)
    );
    assert_eq!(
        routes::by_slug(&mut conn, &slug).await.expect("read"),
        (3, None)
    );
    assert_eq!(
        routes::by_tenant(&mut conn, db.tenant_id())
            .await
            .expect("read"),
        (3, None)
    );
}

pub async fn a_route_tells_the_way_to_the_database(db: Db) {
    let cluster = db.cluster("one").await;
    let tenant = db.named_tenant(cluster, "acme", "Acme Inc").await;
    let mut conn = db.conn().await;
    let domain = Domain {
        name: "acme".to_owned(),
        tenant_id: tenant,
        kind: domains::Kind::Subdomain,
        is_primary: true,
        redirects_until: None,
    };
    domains::insert(&mut conn, &domain).await.expect("inserted");
    let own = DomainName::parse("shop.acme.example").expect("a name");
    domain_claims::insert(&mut conn, tenant, &own, "challenge", db.clock.now())
        .await
        .expect("claimed");
    domains::serve(&mut conn, tenant, &own)
        .await
        .expect("served");
    // Before it has a database.
    let (_, route) = routes::by_tenant(&mut conn, tenant).await.expect("read");
    let route = route.expect("a route");
    assert!(route.database_id.is_none() && route.db_name.is_none());
    assert!(route.login.is_none() && route.sealed.is_none());

    let database = db.making(cluster, "spare").await;
    let db_name = DbName::parse("tenant_acme").expect("a name");
    databases::claim(&mut conn, database, tenant, &db_name)
        .await
        .expect("claimed");
    let (keys, place) = (db.keys.route(), Place::login(database, "router"));
    let secret = Secret::new("of the router");
    for role in [LoginRole::Owner, LoginRole::Router, LoginRole::User] {
        let sealed = keys.seal(&db.entropy, &place, &secret).expect("sealed");
        let login = Login {
            database_id: database,
            role,
            name: RoleName::parse(format!("tenant_acme_{role}")).expect("a name"),
            sealed: Some(sealed),
        };
        logins::insert(&mut conn, &login).await.expect("inserted");
    }
    let number = change_log::append(&mut conn, tenant, Kind::Created)
        .await
        .expect("appended");

    let (read_at, route) = routes::by_host(&mut conn, "acme").await.expect("read");
    let route = route.expect("a route");
    assert_eq!((read_at, route.read_at), (number, number));
    assert_eq!((route.tenant_id, route.slug.as_str()), (tenant, "acme"));
    assert_eq!(
        (route.tenant_name.as_str(), route.plan.to_string().as_str()),
        ("Acme Inc", "free")
    );
    assert_eq!(
        (route.cluster_id, route.host.as_str(), route.port),
        (cluster, "one", 5432)
    );
    assert_eq!(
        (route.tls, route.connection_budget, route.epoch),
        (TlsMode::Prefer, 80, 1)
    );
    assert_eq!(
        (route.database_id, route.db_name.as_ref()),
        (Some(database), Some(&db_name))
    );
    assert_eq!(
        route.login.as_ref().map(RoleName::as_str),
        Some("tenant_acme_router")
    );
    let sealed = route.sealed.as_ref().expect("a password");
    assert_eq!(keys.open(&place, sealed), Ok(secret));

    let same = Some(route);
    let (_, by_custom) = routes::by_host(&mut conn, "shop.acme.example")
        .await
        .expect("read");
    let slug = Slug::parse("acme").expect("a slug");
    let (_, by_slug) = routes::by_slug(&mut conn, &slug).await.expect("read");
    let (_, by_tenant) = routes::by_tenant(&mut conn, tenant).await.expect("read");
    assert_eq!(
        (by_custom, by_slug, by_tenant),
        (same.clone(), same.clone(), same)
    );
}

pub async fn row_and_number_are_of_one_moment(db: Db) {
    let cluster = db.cluster("one").await;
    let tenant = db.named_tenant(cluster, "acme", "0").await;
    let (mut writer, mut reader) = (db.conn().await, db.conn().await);
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    // Each change writes into the name the number that it will have.
    let writing = tokio::spawn(async move {
        for number in 1..=300_i64 {
            let mut tx = writer.begin().await.expect("begun");
            sqlx::query("UPDATE tenants SET name = $1")
                .bind(number.to_string())
                .execute(&mut *tx)
                .await
                .expect("updated");
            let appended = change_log::append(&mut tx, tenant, Kind::Updated).await;
            assert_eq!(appended.expect("appended"), number);
            tx.commit().await.expect("committed");
        }
        finished.store(true, Ordering::Relaxed);
    });
    let mut seen = 0;
    while !done.load(Ordering::Relaxed) && !writing.is_finished() {
        let (number, route) = routes::by_tenant(&mut reader, tenant).await.expect("read");
        assert_eq!(route.expect("a route").tenant_name, number.to_string());
        seen += 1;
    }
    writing.await.expect("written");
    assert!(seen > 20, "read only {seen} times meanwhile");
}

pub async fn a_row_we_would_not_have_written_is_named(db: Db) {
    let cluster = db.cluster("one").await;
    let tenant = db.tenant(cluster, "acme").await;
    let mut conn = db.conn().await;
    execute(&mut conn, "UPDATE tenants SET slug = 'not_ours'").await;
    let error = routes::by_tenant(&mut conn, tenant)
        .await
        .expect_err("a bad row");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Internal, "INTERNAL")
    );
    let CatalogError::Inconsistent {
        table, column, row, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((table, column, row), ("routes", "slug", tenant.to_string()));
}
