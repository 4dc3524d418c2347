//! Tenants, their names, their list, their end.

use serde_json::json;
use tenantry_catalog::databases;
use tenantry_catalog::domains::{self, Domain, InsertError as DomainError, Kind};
use tenantry_catalog::operations::{self, Status as OperationStatus};
use tenantry_catalog::tenants::{
    self, Cursor, Filter, InsertError, InvalidCursor, NewTenant, Status, TenantRef,
};
use tenantry_types::{DbName, ErrorKind, Plan, Slug};

use crate::world::{Db, LONG};

fn subdomain(name: &str, tenant_id: tenantry_types::TenantId) -> Domain {
    Domain {
        name: name.to_owned(),
        tenant_id,
        kind: Kind::Subdomain,
        is_primary: true,
        redirects_until: None,
    }
}

pub async fn a_slug_and_a_domain_lead_to_one_tenant(db: Db) {
    let cluster = db.cluster("one").await;
    let acme = db.named_tenant(cluster, "acme", "Acme").await;
    let ben = db.tenant(cluster, "ben").await;
    let mut conn = db.conn().await;
    let new = NewTenant {
        id: db.tenant_id(),
        slug: &Slug::parse("acme").expect("a slug"),
        name: "Another",
        plan: &Plan::default(),
        status: Status::Provisioning,
        metadata: &json!({}),
        cluster_id: cluster,
    };
    let refused = tenants::insert(&mut conn, &new).await.expect_err("taken");
    assert!(matches!(refused, InsertError::SlugTaken));
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Conflict, "SLUG_TAKEN")
    );

    domains::insert(&mut conn, &subdomain("acme", acme))
        .await
        .expect("inserted");
    let refused = domains::insert(&mut conn, &subdomain("acme", ben)).await;
    assert!(matches!(refused, Err(DomainError::DomainTaken(name)) if name == "acme"));
    let found = domains::by_tenant(&mut conn, acme).await.expect("read");
    assert_eq!(found, [subdomain("acme", acme)]);

    for named in ["acme".to_owned(), acme.to_string()] {
        let named: TenantRef = named.parse().expect("a tenant's name");
        let found = tenants::by_ref(&mut conn, &named)
            .await
            .expect("read")
            .expect("there");
        assert_eq!((found.id, found.name.as_str()), (acme, "Acme"));
        assert_eq!(
            (found.cluster_name.as_str(), found.status),
            ("one", Status::Active)
        );
        assert_eq!(found.primary_domain.as_deref(), Some("acme"));
    }
    assert!("Not A Slug".parse::<TenantRef>().is_err());
    let locked = tenants::lock_by_id(&mut conn, ben).await.expect("read");
    assert_eq!(locked.map(|tenant| tenant.id), Some(ben));
}

pub async fn pages_follow_each_other_without_gaps(db: Db) {
    let cluster = db.cluster("one").await;
    let mut all = Vec::new();
    for n in 0..7 {
        all.push(db.tenant(cluster, &format!("t{n}")).await);
    }
    let mut conn = db.conn().await;
    assert!(
        tenants::set_status(&mut conn, all[4], Status::Suspended, Some("unpaid"))
            .await
            .expect("set")
    );

    let mut filter = Filter {
        limit: 3,
        ..Filter::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = tenants::page(&mut conn, &filter).await.expect("listed");
        pages.push(
            page.items
                .iter()
                .map(|tenant| tenant.id)
                .collect::<Vec<_>>(),
        );
        let Some(next) = page.next else { break };
        // As a client passes it on.
        filter.after = Some(next.to_string().parse().expect("our own cursor"));
    }
    assert_eq!(pages, [&all[..3], &all[3..6], &all[6..]]);

    let exactly = Filter {
        limit: 7,
        ..Filter::default()
    };
    let page = tenants::page(&mut conn, &exactly).await.expect("listed");
    assert!(
        page.items.len() == 7 && page.next.is_none(),
        "no empty page follows"
    );
    let suspended = Filter {
        limit: 7,
        status: Some(Status::Suspended),
        ..Filter::default()
    };
    let page = tenants::page(&mut conn, &suspended).await.expect("listed");
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].status_reason.as_deref(), Some("unpaid"));
    for broken in ["", "x", "acme", "AAAA", "!!!!", &all[0].to_string()] {
        assert_eq!(broken.parse::<Cursor>(), Err(InvalidCursor), "{broken}");
    }
    assert_eq!(InvalidCursor.kind(), ErrorKind::Invalid);
}

pub async fn search_takes_its_text_literally(db: Db) {
    let cluster = db.cluster("one").await;
    for (slug, name) in [
        ("acme", "Acme 100% Inc"),
        ("bits", "Bits_and\\Bytes"),
        ("plain", "Umbrella ÄG"),
        ("also-acme", "1000 things"),
    ] {
        db.named_tenant(cluster, slug, name).await;
    }
    let mut conn = db.conn().await;
    let mut found = async |text: &str| {
        let filter = Filter {
            limit: 10,
            search: Some(text.to_owned()),
            ..Filter::default()
        };
        let page = tenants::page(&mut conn, &filter).await.expect("listed");
        let slugs: Vec<_> = page
            .items
            .iter()
            .map(|tenant| tenant.slug.to_string())
            .collect();
        slugs.join(" ")
    };
    assert_eq!(found("ACME").await, "acme also-acme");
    assert_eq!(found("100%").await, "acme");
    assert_eq!(found("s_a").await, "bits");
    assert_eq!(found("and\\B").await, "bits");
    assert_eq!(found("_").await, "bits");
    assert_eq!(found("umbrella").await, "plain");
    assert_eq!(found("nothing").await, "");
    assert_eq!(found("'; DROP TABLE tenants; --").await, "");
    assert_eq!(found("").await, "acme bits plain also-acme");
}

pub async fn a_purge_frees_the_names_and_forgets_no_database(db: Db) {
    let cluster = db.cluster("one").await;
    let acme = db.tenant(cluster, "acme").await;
    let mut conn = db.conn().await;
    domains::insert(&mut conn, &subdomain("acme", acme))
        .await
        .expect("inserted");
    let database = db.making(cluster, "spare").await;
    let name = DbName::parse("tenant_acme").expect("a name");
    databases::claim(&mut conn, database, acme, &name)
        .await
        .expect("claimed");

    tenants::remove(&mut conn, acme)
        .await
        .expect_err("its database is still there");
    assert!(
        tenants::by_id(&mut conn, acme)
            .await
            .expect("read")
            .is_some()
    );
    assert!(
        databases::remove(&mut conn, database)
            .await
            .expect("removed")
    );
    assert!(tenants::remove(&mut conn, acme).await.expect("removed"));
    assert!(!tenants::remove(&mut conn, acme).await.expect("asked"));
    assert_eq!(domains::by_tenant(&mut conn, acme).await.expect("read"), []);

    let again = db.tenant(cluster, "acme").await;
    domains::insert(&mut conn, &subdomain("acme", again))
        .await
        .expect("the domain is free");
    let database = db.making(cluster, "spare").await;
    databases::claim(&mut conn, database, again, &name)
        .await
        .expect("the name is free");
}

pub async fn what_is_due_for_purge_has_no_open_operation(db: Db) {
    let cluster = db.cluster("one").await;
    let (due, later) = (
        db.tenant(cluster, "due").await,
        db.tenant(cluster, "later").await,
    );
    let (busy, back) = (
        db.tenant(cluster, "busy").await,
        db.tenant(cluster, "back").await,
    );
    let mut conn = db.conn().await;
    let now = db.clock.now();
    let hour = chrono::Duration::hours(1);
    for (tenant, purge_at) in [
        (due, now - hour),
        (later, now + hour),
        (busy, now - hour),
        (back, now - hour),
    ] {
        assert!(
            tenants::set_deleting(&mut conn, tenant, purge_at, None)
                .await
                .expect("set")
        );
    }
    db.operation(&mut conn, Some(busy), LONG)
        .await
        .expect("begun");
    assert!(
        tenants::set_status(&mut conn, back, Status::Active, None)
            .await
            .expect("undeleted")
    );

    assert_eq!(
        tenants::due_for_purge(&mut conn, now, 10)
            .await
            .expect("asked"),
        [due]
    );
    let open = operations::running_for_tenant(&mut conn, busy)
        .await
        .expect("read")
        .expect("open");
    let end = operations::finish(&mut conn, open, 1, OperationStatus::Done, None, None).await;
    assert!(end.expect("ended"));
    let found = tenants::due_for_purge(&mut conn, now, 10)
        .await
        .expect("asked");
    assert_eq!(found.len(), 2);
    let found = tenants::due_for_purge(&mut conn, now, 1)
        .await
        .expect("asked");
    assert_eq!(found.len(), 1);
    let shown = tenants::by_id(&mut conn, due)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(shown.status, Status::Deleting);
    assert!(shown.purge_at.is_some());
}
