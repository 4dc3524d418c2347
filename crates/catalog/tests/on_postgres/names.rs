//! Domains of a tenant's own, which have to be proven, and aliases.

use chrono::TimeDelta;
use tenantry_catalog::aliases::{self, Put};
use tenantry_catalog::domain_claims::{self, Checked, Outcome};
use tenantry_catalog::domains::{self, Domain, Kind, Serve};
use tenantry_catalog::tenants::{self, Tenant};
use tenantry_catalog::{MIGRATOR, routes};
use tenantry_types::{Alias, AliasId, ChannelToken, DomainName, Reference, TenantId};

use crate::world::{Db, execute, sqlstate, try_execute, waits};

fn name(text: &str) -> DomainName {
    DomainName::parse(text).expect("a name")
}

async fn claim(db: &Db, tenant: TenantId, name: &DomainName) {
    let challenge = db.entropy.password();
    let mut conn = db.conn().await;
    let new = domain_claims::insert(&mut conn, tenant, name, challenge.expose(), db.clock.now());
    assert!(new.await.expect("written"));
}

async fn shown(db: &Db, tenant: TenantId) -> Tenant {
    let found = tenants::by_id(&mut db.conn().await, tenant).await;
    found.expect("read").expect("a tenant")
}

// Red when the foreign key of `domains` was dropped.
pub async fn no_custom_domain_is_served_without_a_claim(db: Db) {
    let tenant = db.tenant(db.cluster("one").await, "acme").await;
    let mut conn = db.conn().await;
    let own = name("shop.acme.example");
    let by_hand = Domain {
        name: own.to_string(),
        tenant_id: tenant,
        kind: Kind::Custom,
        is_primary: false,
        redirects_until: None,
    };
    domains::insert(&mut conn, &by_hand)
        .await
        .expect_err("nobody claimed it");
    domains::serve(&mut conn, tenant, &own)
        .await
        .expect_err("nobody claimed it");

    claim(&db, tenant, &own).await;
    let (_, route) = routes::by_host(&mut conn, own.as_str())
        .await
        .expect("read");
    assert_eq!(route, None, "a claim serves nobody");
    let begun = domains::serve(&mut conn, tenant, &own)
        .await
        .expect("served");
    assert_eq!(begun, Serve::Begun);
    let again = domains::serve(&mut conn, tenant, &own)
        .await
        .expect("served");
    assert_eq!(again, Serve::Already);
    let (_, route) = routes::by_host(&mut conn, own.as_str())
        .await
        .expect("read");
    assert_eq!(route.map(|route| route.tenant_id), Some(tenant));

    let gone = domain_claims::remove(&mut conn, tenant, &own).await;
    assert!(gone.expect("removed"));
    let (_, route) = routes::by_host(&mut conn, own.as_str())
        .await
        .expect("read");
    assert_eq!(route, None, "the domain went with its claim");
}

pub async fn of_two_who_serve_a_domain_at_once_one_waits_and_finds_it_taken(db: Db) {
    let cluster = db.cluster("one").await;
    let (acme, ben) = (
        db.tenant(cluster, "acme").await,
        db.tenant(cluster, "ben").await,
    );
    let own = name("shop.acme.example");
    claim(&db, acme, &own).await;
    claim(&db, ben, &own).await;
    let mut first = db.conn().await;
    execute(&mut first, "BEGIN").await;
    let begun = domains::serve(&mut first, acme, &own)
        .await
        .expect("served");
    assert_eq!(begun, Serve::Begun);
    let mut second = db.conn().await;
    let theirs = own.clone();
    let mut task = tokio::spawn(async move { domains::serve(&mut second, ben, &theirs).await });
    assert!(waits(&mut task).await);
    execute(&mut first, "COMMIT").await;
    let refused = task.await.expect("no panic").expect("an answer");
    assert_eq!(refused, Serve::Taken);
    let owner = domains::owner(&mut first, &own).await.expect("read");
    assert_eq!(owner, Some(acme));
}

pub async fn a_claim_that_is_due_is_taken_once_and_not_of_a_deleted_tenant(db: Db) {
    let cluster = db.cluster("one").await;
    let (acme, gone) = (
        db.tenant(cluster, "acme").await,
        db.tenant(cluster, "gone").await,
    );
    let (one, two) = (name("a.acme.example"), name("b.acme.example"));
    // Tried with all that a deleted tenant has left out: a domain that became somebody else's meanwhile
    // is served for it when it is back.
    let served = name("served.gone.example");
    for (tenant, own) in [(acme, &one), (acme, &two), (gone, &one), (gone, &served)] {
        claim(&db, tenant, own).await;
    }
    let mut conn = db.conn().await;
    domains::serve(&mut conn, gone, &served)
        .await
        .expect("served");
    let deleted = "UPDATE tenants SET status = 'deleting', purge_at = now() WHERE slug = 'gone'";
    execute(&mut conn, deleted).await;
    let now = db.clock.now() + TimeDelta::seconds(1);
    let later = now + TimeDelta::minutes(2);
    let mut due = domain_claims::take_due(&mut conn, now, later, 10)
        .await
        .expect("taken");
    due.sort_by_key(|(_, name)| name.to_string());
    let expected = [
        (acme, one.clone()),
        (acme, two.clone()),
        (gone, served.clone()),
    ];
    assert_eq!(due, expected, "what the deleted one has, and no more");
    let again = domain_claims::take_due(&mut conn, now, later, 10).await;
    assert_eq!(again.expect("taken"), [], "they are leased");
    let checked = Checked {
        outcome: Outcome::Missing,
        at: now,
        checks: 3,
        next: None,
        unproven_since: None,
    };
    domain_claims::note(&mut conn, acme, &one, &checked)
        .await
        .expect("noted");
    let late = later + TimeDelta::days(99);
    let due = domain_claims::take_due(&mut conn, late, late, 10).await;
    let mut due = due.expect("taken");
    due.sort_by_key(|(_, name)| name.to_string());
    assert_eq!(due, [(acme, two), (gone, served)], "the other was given up");
    let read = domain_claims::get(&mut conn, acme, &one)
        .await
        .expect("read");
    let read = read.expect("a claim");
    assert_eq!((read.outcome, read.checks), (Some(Outcome::Missing), 3));
}

pub async fn one_domain_is_primary_and_the_slugs_where_none_is_named(db: Db) {
    let tenant = db.tenant(db.cluster("one").await, "acme").await;
    let mut conn = db.conn().await;
    for (label, is_primary) in [("aaa", true), ("acme", false)] {
        let domain = Domain {
            name: label.to_owned(),
            tenant_id: tenant,
            kind: Kind::Subdomain,
            is_primary,
            redirects_until: None,
        };
        domains::insert(&mut conn, &domain).await.expect("inserted");
    }
    let own = name("shop.acme.example");
    claim(&db, tenant, &own).await;
    domains::serve(&mut conn, tenant, &own)
        .await
        .expect("served");
    for (named, primary) in [(Some(&own), own.as_str()), (None, "acme")] {
        domains::set_primary(&mut conn, tenant, named)
            .await
            .expect("set");
        let shown = shown(&db, tenant).await;
        assert_eq!(shown.primary_domain.as_deref(), Some(primary));
    }
}

// Red when the CHECK of the table was dropped.
pub async fn an_alias_leads_to_one_tenant_and_a_token_is_not_kept(db: Db) {
    let cluster = db.cluster("one").await;
    let (acme, ben) = (
        db.tenant(cluster, "acme").await,
        db.tenant(cluster, "ben").await,
    );
    let mut conn = db.conn().await;
    let shop = Reference::parse("web-shop").expect("a reference");
    let token = ChannelToken::generate(&db.entropy);
    let aliases = [
        Alias::AppId(shop.clone()),
        Alias::StoreId(shop),
        Alias::ChannelToken(token.hash()),
    ];
    let secret = token.into_secret();
    for alias in &aliases {
        let id = || AliasId::generate(&db.clock, &db.entropy);
        let made = aliases::put(&mut conn, id(), acme, alias)
            .await
            .expect("put");
        let Put::Made(made) = made else {
            panic!("{made:?}")
        };
        assert_ne!(made.name, secret.expose());
        let there = aliases::put(&mut conn, id(), acme, alias)
            .await
            .expect("put");
        assert_eq!(there, Put::There(made));
        let taken = aliases::put(&mut conn, id(), ben, alias)
            .await
            .expect("put");
        assert_eq!(taken, Put::Taken);
        let (_, route) = routes::by_alias(&mut conn, alias).await.expect("read");
        assert_eq!(route.map(|route| route.tenant_id), Some(acme), "{alias:?}");
        let theirs = aliases::remove(&mut conn, ben, alias).await;
        assert_eq!(theirs.expect("asked"), None);
    }
    let in_clear = format!(
        "INSERT INTO aliases (kind, name, id, tenant_id)
         VALUES ('channelToken', '{}', gen_random_uuid(), '{acme}')",
        secret.expose()
    );
    let refused = try_execute(&mut conn, &in_clear)
        .await
        .expect_err("in clear");
    assert_eq!(sqlstate(&refused), "23514");
    for alias in &aliases {
        let removed = aliases::remove(&mut conn, acme, alias).await;
        assert!(removed.expect("removed").is_some());
        let (_, route) = routes::by_alias(&mut conn, alias).await.expect("read");
        assert_eq!(route, None);
    }
}

// Red when the migration left `domains` as it was.
pub async fn domains_from_before_there_was_a_proof_have_to_be_proven(db: Db) {
    let old = db.empty_database("tenantry_admin").await;
    let mut conn = old.conn().await;
    let before: Vec<_> = MIGRATOR.iter().filter(|one| one.version < 9).collect();
    for migration in before {
        execute(&mut conn, migration.sql.as_str()).await;
    }
    let rows = "
        INSERT INTO clusters (id, name, host, port, maintenance_db, tls, admin_login, admin_key_id, admin_sealed, connection_budget)
        SELECT gen_random_uuid(), 'c', 'h', 1, 'postgres', 'disable', 'a', 'k', '', 1;
        INSERT INTO tenants (id, slug, name, status, cluster_id)
        SELECT gen_random_uuid(), slug, slug, 'active', c.id FROM clusters c, unnest('{acme,ben}'::text[]) slug;
        INSERT INTO domains (name, tenant_id, kind, is_primary)
        SELECT slug, id, 'subdomain', slug = 'ben' FROM tenants;
        INSERT INTO domains (name, tenant_id, kind, is_primary)
        SELECT n || '.acme.example', id, 'custom', n = 'shop' FROM tenants, unnest('{shop,www}'::text[]) n
        WHERE slug = 'acme';
        UPDATE change_counter SET value = 7";
    execute(&mut conn, rows).await;
    let last = MIGRATOR.iter().find(|one| one.version == 9).expect("it");
    execute(&mut conn, last.sql.as_str()).await;

    let texts = async |sql: &'static str| -> Vec<String> {
        let mut conn = old.conn().await;
        sqlx::query_scalar(sql)
            .fetch_all(&mut conn)
            .await
            .expect("read")
    };
    let served = texts("SELECT name || ' ' || is_primary FROM domains ORDER BY 1").await;
    assert_eq!(served, ["acme true", "ben true"]);
    let claims = texts(
        "SELECT name || ' ' || wants_primary FROM domain_claims
         WHERE length(challenge) = 64 AND next_check_at <= now() ORDER BY 1",
    )
    .await;
    assert_eq!(claims, ["shop.acme.example true", "www.acme.example false"]);
    let changes = texts(
        "SELECT c.number || ' ' || c.kind || ' ' || t.slug || ' of ' || n.value
         FROM changes c JOIN tenants t ON t.id = c.tenant_id, change_counter n",
    )
    .await;
    assert_eq!(changes, ["8 updated acme of 8"]);
}
