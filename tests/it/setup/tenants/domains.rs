//! `/setup/tenants/{tenant}/domains`: wanted, proven by DNS, served, given up.

use std::time::Duration;

use futures::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tenantry_testkit::dns::record;
use tenantry_testkit::{Answer, Client, Dev, Options, Serve, Tenant, shared, unique};

use crate::wait;

/// A guard against hanging, no expectation.
const BOUND: Duration = Duration::from_secs(120);

fn path(tenant: &Tenant, domain: &str) -> String {
    format!("/setup/tenants/{}/domains/{domain}", tenant.slug)
}

async fn put(dev: &Dev, tenant: &Tenant, domain: &str) -> Answer {
    let operator = dev.operator();
    let request = operator.request(Method::PUT, &path(tenant, domain));
    request.send().await
}

async fn verify(dev: &Dev, tenant: &Tenant, domain: &str) -> Answer {
    let path = format!("{}/verify", path(tenant, domain));
    dev.operator().request(Method::POST, &path).send().await
}

async fn remove(dev: &Dev, tenant: &Tenant, domain: &str) -> Answer {
    dev.operator().delete(&path(tenant, domain)).await
}

/// The one domain of this name in the list.
async fn shown(dev: &Dev, tenant: &Tenant, domain: &str) -> Value {
    let list = dev
        .operator()
        .get(&format!("/setup/tenants/{}/domains", tenant.slug))
        .await
        .expect(200);
    let items = list["items"].as_array().expect("a list").clone();
    let mut of_it = items.into_iter().filter(|item| item["domain"] == domain);
    of_it
        .next()
        .unwrap_or_else(|| panic!("no {domain} in {list}"))
}

async fn url(dev: &Dev, tenant: &Tenant) -> String {
    let shown = dev
        .operator()
        .get(&format!("/setup/tenants/{}", tenant.slug))
        .await
        .expect(200);
    shown["url"].as_str().expect("a URL").to_owned()
}

/// The domain leads to this tenant: its people's tokens are good there.
async fn leads_to(client: &Client, tenant: &Tenant, domain: &str) {
    let me = client.host(domain).bearer(tenant.admin.token());
    let me = me.get("/me").await.expect(200);
    assert_eq!(
        me["user"]["userId"].as_str().or(me["userId"].as_str()),
        Some(&*tenant.user_id),
        "{me}"
    );
}

async fn leads_nowhere(client: &Client, domain: &str) {
    let answer = client.host(domain).get("/me").await;
    answer.problem(404, "TENANT_NOT_FOUND");
}

// Red when `wish` also served the domain at once, and when `proof::look` took any TXT record for the
// right one.
#[tokio::test]
async fn a_domain_is_served_after_its_own_proof_and_not_before() {
    let dev = shared();
    let (acme, globex) = (dev.tenant("dns").await, dev.tenant("dns").await);
    let domain = format!("shop.{}.example", acme.slug);

    let claimed = put(dev, &acme, &domain).await.expect(201);
    assert_eq!(claimed["state"], "pending", "{claimed}");
    let (name, value) = record(&claimed);
    assert_eq!(name, format!("_tenantry-challenge.{domain}"));
    let again = put(dev, &acme, &domain).await.expect(200);
    assert_eq!(
        again["record"], claimed["record"],
        "the same again is the same"
    );
    leads_nowhere(&dev.base(), &domain).await;

    // No record; others; that of another tenant, of which there may be any number.
    let refused = verify(dev, &acme, &domain).await;
    let told = refused.problem(409, "DOMAIN_NOT_VERIFIED");
    assert!(
        told["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(&value)),
        "{told}"
    );
    let others = put(dev, &globex, &domain).await.expect(201);
    let (_, foreign) = record(&others);
    assert_ne!(foreign, value);
    for wrong in [
        vec!["v=spf1 -all"],
        vec![&foreign],
        vec![&value[..value.len() - 1]],
        vec![value.strip_prefix("tenantry-verify=").expect("a prefix")],
    ] {
        dev.dns().set_txt(&name, &wrong);
        verify(dev, &acme, &domain)
            .await
            .problem(409, "DOMAIN_NOT_VERIFIED");
    }
    dev.dns().set_txt(&domain, &[&value]);
    verify(dev, &acme, &domain)
        .await
        .problem(409, "DOMAIN_NOT_VERIFIED");
    leads_nowhere(&dev.base(), &domain).await;
    assert_eq!(
        shown(dev, &acme, &domain).await["lastCheck"]["outcome"],
        "wrong"
    );

    dev.dns().break_at(&name);
    verify(dev, &acme, &domain)
        .await
        .problem(503, "DNS_UNAVAILABLE");

    dev.dns().set_txt(&name, &["v=spf1 -all", &value]);
    let verified = verify(dev, &acme, &domain).await.expect(200);
    assert_eq!(verified["state"], "verified", "{verified}");
    // Served when it answers, also where it was just said that it leads nowhere.
    leads_to(&dev.base(), &acme, &domain).await;
    leads_to(
        &dev.base(),
        &acme,
        &format!("{}.:80", domain.to_uppercase()),
    )
    .await;
    let foreign = dev.base().host(&domain).bearer(globex.admin.token());
    foreign.get("/me").await.problem(403, "WRONG_TENANT");
    leads_nowhere(&dev.base(), &format!("x.{domain}")).await;
    let again = verify(dev, &acme, &domain).await.expect(200);
    assert_eq!(again["state"], "verified", "{again}");
}

// Red when a claim's challenge was made of tenant and domain and not of chance, and when
// `remove_domain` wrote no row of the change log.
#[tokio::test]
async fn a_domain_given_up_leads_nowhere_at_once_and_its_old_record_proves_nothing() {
    let dev = shared();
    let acme = dev.tenant("dns").await;
    let second = Serve::join(dev, "domains-second", &[]);
    let domain = format!("shop.{}.example", acme.slug);
    dev.prove(&acme.slug, &domain).await;
    leads_to(&dev.base(), &acme, &domain).await;
    leads_to(&second.base(), &acme, &domain).await;
    let before = record(&shown(dev, &acme, &domain).await);

    let removed = remove(dev, &acme, &domain).await.expect(200);
    assert_eq!(removed["state"], "verified", "as it was");
    leads_nowhere(&dev.base(), &domain).await;
    leads_nowhere(&second.base(), &domain).await;
    remove(dev, &acme, &domain)
        .await
        .problem(404, "DOMAIN_NOT_FOUND");
    verify(dev, &acme, &domain)
        .await
        .problem(404, "DOMAIN_NOT_FOUND");

    // The record is still in the DNS, as it is when somebody else gets the domain.
    let claimed = put(dev, &acme, &domain).await.expect(201);
    assert_ne!(record(&claimed), before);
    verify(dev, &acme, &domain)
        .await
        .problem(409, "DOMAIN_NOT_VERIFIED");
}

// Red when `serve` took a domain of another tenant for one that is the tenant's from now on.
#[tokio::test]
async fn who_proves_a_domain_gets_it_and_not_who_wrote_it_first() {
    let dev = shared();
    let (squatter, owner) = (dev.tenant("dns").await, dev.tenant("dns").await);
    let third = dev.tenant("dns").await;
    let domain = format!("shop.{}.example", owner.slug);
    let squatted = put(dev, &squatter, &domain).await.expect(201);
    let owned = put(dev, &owner, &domain).await.expect(201);
    let (name, value) = record(&owned);
    dev.dns().set_txt(&name, &[&value]);
    verify(dev, &squatter, &domain)
        .await
        .problem(409, "DOMAIN_NOT_VERIFIED");
    verify(dev, &owner, &domain).await.expect(200);
    leads_to(&dev.base(), &owner, &domain).await;

    // Proven, a domain stays where it is, whoever can prove it as well.
    let (_, other) = record(&squatted);
    dev.dns().set_txt(&name, &[&value, &other]);
    verify(dev, &squatter, &domain)
        .await
        .problem(409, "DOMAIN_TAKEN");
    put(dev, &third, &domain).await.problem(409, "DOMAIN_TAKEN");
    let late = json!({ "name": "Late", "slug": unique("late"), "primaryDomain": domain });
    let late = dev.operator().post("/setup/tenants", late).await;
    late.problem(409, "DOMAIN_TAKEN");
    leads_to(&dev.base(), &owner, &domain).await;

    // It moves when it was taken from the one and proven by the other.
    remove(dev, &owner, &domain).await.expect(200);
    leads_nowhere(&dev.base(), &domain).await;
    verify(dev, &squatter, &domain).await.expect(200);
    leads_to(&dev.base(), &squatter, &domain).await;
}

// Red when `serve` took a domain of another tenant for one that is the tenant's from now on.
#[tokio::test]
async fn of_two_that_prove_a_domain_at_once_one_gets_it() {
    let dev = shared();
    let (one, two) = (dev.tenant("race").await, dev.tenant("race").await);
    for round in 0..5 {
        let domain = format!("r{round}.{}.example", one.slug);
        let (name, first) = record(&put(dev, &one, &domain).await.expect(201));
        let (_, second) = record(&put(dev, &two, &domain).await.expect(201));
        dev.dns().set_txt(&name, &[&first, &second]);
        let (a, b) = join(verify(dev, &one, &domain), verify(dev, &two, &domain)).await;
        let (winner, loser, refused) = match a.status {
            200 => (&one, &two, b),
            _ => (&two, &one, a),
        };
        refused.problem(409, "DOMAIN_TAKEN");
        leads_to(&dev.base(), winner, &domain).await;
        assert_eq!(shown(dev, loser, &domain).await["state"], "pending");
    }
}

#[tokio::test]
async fn a_domain_has_one_form_and_lies_outside_ours() {
    let dev = shared();
    let acme = dev.tenant("form").await;
    let form = format!("xn--bcher-kva.{}.example", acme.slug);
    let claimed = put(dev, &acme, &format!("B\u{dc}CHER.{}.Example.", acme.slug)).await;
    assert_eq!(claimed.expect(201)["domain"], form.as_str());
    for other in [
        form.clone(),
        form.to_uppercase(),
        format!("b\u{fc}cher.{}.example", acme.slug),
        format!("{form}."),
    ] {
        let same = put(dev, &acme, &other).await.expect(200);
        assert_eq!(same["domain"], form.as_str(), "{other}");
    }
    dev.prove(&acme.slug, &form).await;
    leads_to(&dev.base(), &acme, &form).await;

    let long = format!("{}.example", ["a".repeat(57).as_str(); 4].join("."));
    for bad in [
        "localhost",
        "shop",
        &format!("{}.localhost", acme.slug),
        "a.b.localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.1",
        "%5B::1%5D",
        "shop.example:443",
        "shop..example",
        "sh_op.example",
        "-shop.example",
        "*.shop.example",
        "shop.example%2Fx",
        &long,
    ] {
        let refused = put(dev, &acme, bad).await;
        assert_eq!(refused.status, 422, "{bad}: {refused}");
        assert_eq!(refused.wrong_fields(), ["domain"], "{bad}");
    }
    put(dev, &acme, "notlocalhost.example").await.expect(201);
}

#[tokio::test]
async fn a_tenant_has_any_number_of_domains_and_one_is_primary() {
    let dev = shared();
    let acme = dev.tenant("many").await;
    let domains: Vec<_> = (0..100)
        .map(|n| format!("d{n}.{}.example", acme.slug))
        .collect();
    for some in domains.chunks(10) {
        join_all(some.iter().map(|domain| dev.prove(&acme.slug, domain))).await;
    }
    for domain in &domains {
        leads_to(&dev.base(), &acme, domain).await;
    }
    let list = format!("/setup/tenants/{}/domains", acme.slug);
    let list = dev.operator().get(&list).await.expect(200);
    let items = list["items"].as_array().expect("a list");
    assert_eq!(items.len(), 101, "with the subdomain");
    assert!(items.iter().all(|item| item["state"] == "verified"));

    let subdomain = format!("http://{}", dev.host(Some(&acme.slug)));
    assert_eq!(url(dev, &acme).await, subdomain);
    let primary = async |domain: &str, primary: bool| {
        let body = json!({ "primary": primary });
        let set = dev.operator().put(&path(&acme, domain), body).await;
        assert_eq!(set.expect(200)["primary"], primary, "{domain}");
        url(dev, &acme).await
    };
    assert!(primary(&domains[3], true).await.contains(&domains[3]));
    assert!(primary(&domains[4], true).await.contains(&domains[4]));
    assert_eq!(shown(dev, &acme, &domains[3]).await["primary"], false);
    // Of one that is not primary nothing is taken.
    assert!(primary(&domains[3], false).await.contains(&domains[4]));
    assert_eq!(primary(&domains[4], false).await, subdomain);
    primary(&domains[5], true).await;
    remove(dev, &acme, &domains[5]).await.expect(200);
    assert_eq!(url(dev, &acme).await, subdomain);

    // A wish holds as soon as the domain is proven.
    let wanted = format!("wanted.{}.example", acme.slug);
    let body = json!({ "primary": true });
    dev.operator()
        .put(&path(&acme, &wanted), body)
        .await
        .expect(201);
    assert_eq!(url(dev, &acme).await, subdomain);
    dev.prove(&acme.slug, &wanted).await;
    assert!(url(dev, &acme).await.contains(&wanted));
}

#[tokio::test]
async fn a_record_is_found_without_anybody_asking() {
    let dev = shared();
    let acme = dev.tenant("alone").await;
    let domain = format!("shop.{}.example", acme.slug);
    let claimed = put(dev, &acme, &domain).await.expect(201);
    dev.dns().set_record(&claimed);
    wait::until(BOUND, "the domain is verified", async || {
        shown(dev, &acme, &domain).await["state"] == "verified"
    })
    .await;
    wait::until(BOUND, "the domain is served", async || {
        let token = dev.base().host(&domain).bearer(acme.admin.token());
        token.get("/me").await.status == 200
    })
    .await;
}

// Red when `Step::of` never lapsed, and when no answer counted as a record that is gone.
#[tokio::test]
async fn a_domain_whose_record_stays_gone_is_served_no_more() {
    let options = Options::default()
        .env("TENANTRY_DOMAIN_RECHECK", "1s")
        .env("TENANTRY_DOMAIN_LAPSE_AFTER", "4s");
    let dev = Dev::start_with(options);
    let acme = dev.tenant("lapse").await;
    let domain = format!("shop.{}.example", acme.slug);
    let body = json!({ "primary": true });
    let claimed = dev
        .operator()
        .put(&path(&acme, &domain), body)
        .await
        .expect(201);
    dev.prove(&acme.slug, &domain).await;
    assert!(url(&dev, &acme).await.contains(&domain));

    // No answer is not the same as no record, however long it lasts.
    let (name, value) = record(&claimed);
    dev.dns().break_at(&name);
    let checked = async |outcome: &str| {
        let shown = shown(&dev, &acme, &domain).await;
        shown["lastCheck"]["outcome"] == outcome
    };
    wait::until(BOUND, "no answer", async || checked("unanswered").await).await;
    let first = shown(&dev, &acme, &domain).await["lastCheck"]["at"].clone();
    let at = |text: &Value| text.as_str().expect("a time").to_owned();
    let begun = std::time::Instant::now();
    wait::until(BOUND, "more than the grace has passed", async || {
        let now = shown(&dev, &acme, &domain).await["lastCheck"]["at"].clone();
        begun.elapsed() > Duration::from_secs(6) && at(&now) > at(&first)
    })
    .await;
    let still = shown(&dev, &acme, &domain).await;
    assert_eq!(still["state"], "verified", "{still}");
    assert_eq!(still["unprovenSince"], Value::Null, "{still}");
    leads_to(&dev.base(), &acme, &domain).await;

    dev.dns().set_txt(&name, &[]);
    wait::until(BOUND, "it lapses", async || {
        shown(&dev, &acme, &domain).await["state"] == "pending"
    })
    .await;
    wait::until(BOUND, "nobody serves it", async || {
        dev.base().host(&domain).get("/me").await.status == 404
    })
    .await;
    assert!(!url(&dev, &acme).await.contains(&domain));
    // It was primary, and is again when its record is back.
    dev.dns().set_txt(&name, &[&value]);
    verify(&dev, &acme, &domain).await.expect(200);
    assert!(url(&dev, &acme).await.contains(&domain));
    leads_to(&dev.base(), &acme, &domain).await;
    let pg = dev.pg();
    let trail = pg
        .texts(
            &pg.catalog,
            "SELECT action || ' ' || actor FROM audit WHERE action LIKE 'domain.%' ORDER BY at",
        )
        .await;
    assert!(
        trail.contains(&"domain.lapse tenantry:domains".to_owned()),
        "{trail:?}"
    );
}

// Red when `verify_domain` did not look at the tenant's state.
#[tokio::test]
async fn a_deleted_tenant_keeps_its_domains_until_it_is_purged() {
    let dev = shared();
    let (gone, next) = (dev.tenant("gone").await, dev.tenant("gone").await);
    let (served, pending) = (
        format!("a.{}.example", gone.slug),
        format!("b.{}.example", gone.slug),
    );
    dev.prove(&gone.slug, &served).await;
    let claimed = put(dev, &gone, &pending).await.expect(201);
    let operator = dev.operator();
    let tenant = format!("/setup/tenants/{}", gone.slug);
    operator.delete(&tenant).await.expect(200);

    leads_nowhere(&dev.base(), &served).await;
    put(dev, &next, &served).await.problem(409, "DOMAIN_TAKEN");
    dev.dns().set_record(&claimed);
    verify(dev, &gone, &pending)
        .await
        .problem(409, "WRONG_STATE");
    put(dev, &gone, "c.example")
        .await
        .problem(409, "WRONG_STATE");
    // One that nobody has proven is anybody's to prove.
    dev.prove(&next.slug, &pending).await;
    leads_to(&dev.base(), &next, &pending).await;

    operator
        .post(&format!("{tenant}/undelete"), json!({}))
        .await
        .expect(200);
    leads_to(&dev.base(), &gone, &served).await;
    operator
        .delete(&format!("{tenant}?purge=true"))
        .await
        .expect(200);
    dev.prove(&next.slug, &served).await;
    leads_to(&dev.base(), &next, &served).await;
}

/// A lookup takes as long as the DNS does; the tenant may be deleted meanwhile.
///
/// Tried with the program as it was: 200, and the domain is served.
#[tokio::test]
async fn a_tenant_that_is_deleted_during_the_lookup_gets_no_new_domain() {
    let dev = shared();
    let gone = dev.tenant("during").await;
    let domain = format!("shop.{}.example", gone.slug);
    let claimed = put(dev, &gone, &domain).await.expect(201);
    dev.dns().set_record(&claimed);
    let catalog = &dev.pg().catalog;
    let mut first = dev.pg().enter(catalog).await;
    let lock = format!(
        "BEGIN; UPDATE tenants SET status = 'deleting', purge_at = now() + interval '9 days' WHERE id = '{}'",
        gone.id
    );
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut first)
        .await
        .expect("locked");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut first)
        .await
        .expect("asked");
    let (answer, ()) = join(verify(dev, &gone, &domain), async {
        let waiting = format!(
            "SELECT pid::text FROM pg_stat_activity WHERE {pid} = ANY (pg_blocking_pids(pid))"
        );
        wait::until(BOUND, "it waits for the tenant", async || {
            !dev.pg().texts(catalog, &waiting).await.is_empty()
        })
        .await;
        let done = sqlx::raw_sql("COMMIT").execute(&mut first).await;
        done.expect("committed");
    })
    .await;
    answer.problem(409, "WRONG_STATE");
    let served = format!("SELECT name FROM domains WHERE name = '{domain}'");
    assert!(dev.pg().texts(catalog, &served).await.is_empty());
}

#[tokio::test]
async fn the_trail_tells_who_did_what_with_a_domain() {
    let dev = shared();
    let acme = dev.tenant("trail").await;
    let domain = format!("shop.{}.example", acme.slug);
    dev.prove(&acme.slug, &domain).await;
    remove(dev, &acme, &domain).await.expect(200);
    let pg = dev.pg();
    let sql = format!(
        "SELECT action || ' ' || (detail->>'domain') FROM audit
         WHERE tenant_id = '{}' AND action LIKE 'domain.%' ORDER BY at, id",
        acme.id
    );
    let trail = pg.texts(&pg.catalog, &sql).await;
    let wanted = ["claim", "verify", "remove"].map(|action| format!("domain.{action} {domain}"));
    assert_eq!(trail, wanted);
}
