//! `POST /auth/login` at the base domain

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Dev, Options, shared};

use crate::base::{PASSWORD, code_for, front_door, login, opened, person};

#[tokio::test]
async fn who_does_not_know_their_tenant_is_told_it_with_a_code() {
    let dev = shared();
    let acme = dev.tenant("door").await;
    let answer = login(&front_door(dev, 1), &acme.email, ADMIN_PASSWORD).await;
    let body = answer.expect(200);
    assert_eq!(body["incomplete"], false, "{answer}");
    let tenants = body["tenants"].as_array().expect("tenants");
    assert_eq!(tenants.len(), 1, "{answer}");
    let told = tenants[0].as_object().expect("an object");
    let mut fields: Vec<_> = told.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["code", "expiresAt", "name", "slug", "tenantId", "url"]
    );
    assert_eq!(told["tenantId"], acme.id.as_str());
    assert_eq!(told["name"], format!("The {}", acme.slug));
    assert_eq!(
        told["url"],
        format!("http://{}", dev.host(Some(&acme.slug)))
    );
    assert_eq!(told["code"].as_str().expect("a code").len(), 43);
    // No cookie at the base domain, and nothing to keep.
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let redeemed = dev
        .at(&acme.slug)
        .post("/auth/redeem", json!({ "code": told["code"] }))
        .await
        .expect(200);
    assert_eq!(redeemed["userId"], acme.user_id.as_str());
}

#[tokio::test]
async fn one_person_in_two_tenants_opens_those_whose_password_it_is() {
    let dev = shared();
    let (acme, beta, gamma) = (
        dev.tenant("two").await,
        dev.tenant("two").await,
        dev.tenant("two").await,
    );
    let mail = format!("kim@{}.example", acme.slug);
    person(&acme, &mail, PASSWORD).await;
    person(&beta, &mail, PASSWORD).await;
    person(&gamma, &mail, "quite another one").await;
    let door = front_door(dev, 2);

    let both = login(&door, &mail, PASSWORD).await;
    assert_eq!(opened(&both), [acme.slug.as_str(), beta.slug.as_str()]);
    assert_eq!(both.json()["incomplete"], false, "{both}");
    // However the address is written.
    let other = login(&door, &mail.to_uppercase(), "quite another one").await;
    assert_eq!(opened(&other), [gamma.slug.as_str()]);
    login(&door, &mail, "of none of them")
        .await
        .problem(401, "INVALID_CREDENTIALS");
}

/// What an answer says but for what differs from request to request.
fn said(answer: &Answer) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.json();
    body.as_object_mut().expect("an object").remove("requestId");
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "x-request-id" | "date"))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect();
    headers.sort();
    (answer.status, body, headers)
}

#[tokio::test]
async fn a_refusal_says_the_same_of_everybody() {
    let dev = shared();
    let (acme, beta, gone) = (
        dev.tenant("same").await,
        dev.tenant("same").await,
        dev.tenant("same").await,
    );
    let mail = |name: &str| format!("{name}@{}.example", acme.slug);
    person(&acme, &mail("one"), PASSWORD).await;
    person(&acme, &mail("two"), PASSWORD).await;
    person(&beta, &mail("two"), PASSWORD).await;
    let sleeper = person(&acme, &mail("asleep"), PASSWORD).await;
    acme.admin
        .patch(&sleeper, json!({ "isActive": false }))
        .await
        .expect(200);
    acme.admin
        .post("/users", json!({ "email": mail("unset") }))
        .await
        .expect(201);
    person(&gone, &mail("gone"), PASSWORD).await;
    dev.operator()
        .delete(&format!("/setup/tenants/{}", gone.id))
        .await
        .expect(200);

    let door = front_door(dev, 3);
    let unknown = login(&door, &mail("nobody"), PASSWORD).await;
    unknown.problem(401, "INVALID_CREDENTIALS");
    for (name, password) in [
        ("one", "a wrong one"),
        ("two", "a wrong one"),
        ("asleep", PASSWORD),
        ("unset", PASSWORD),
        ("gone", PASSWORD),
    ] {
        let answer = login(&door, &mail(name), password).await;
        assert_eq!(said(&answer), said(&unknown), "{name}");
    }
}

#[tokio::test]
async fn a_deleted_tenant_is_not_offered_until_it_comes_back() {
    let dev = shared();
    let (acme, beta) = (dev.tenant("back").await, dev.tenant("back").await);
    let mail = format!("kim@{}.example", acme.slug);
    person(&acme, &mail, PASSWORD).await;
    person(&beta, &mail, PASSWORD).await;
    let (door, operator) = (front_door(dev, 4), dev.operator());
    let path = format!("/setup/tenants/{}", beta.id);

    operator.delete(&path).await.expect(200);
    let answer = login(&door, &mail, PASSWORD).await;
    assert_eq!(opened(&answer), [acme.slug.as_str()]);
    // Not that something is missing: nobody is to know of it.
    assert_eq!(answer.json()["incomplete"], false);
    operator
        .post(&format!("{path}/undelete"), json!({}))
        .await
        .expect(200);
    let answer = login(&door, &mail, PASSWORD).await;
    assert_eq!(opened(&answer), [acme.slug.as_str(), beta.slug.as_str()]);
}

#[tokio::test]
async fn who_names_a_tenant_at_the_base_domain_signs_in_to_it() {
    let dev = shared();
    let acme = dev.tenant("named").await;
    let door = front_door(dev, 5);
    let body = json!({ "email": acme.email, "password": ADMIN_PASSWORD });
    // `tenantry dev` lets the header choose.
    let by_header = door
        .request(reqwest::Method::POST, "/auth/login")
        .header("x-tenant-id", &acme.slug)
        .json(&body)
        .send()
        .await;
    assert_eq!(by_header.expect(200)["tenantId"], acme.id.as_str());
    let by_token = door.bearer(acme.admin.token());
    let by_token = by_token.post("/auth/login", body.clone()).await;
    assert_eq!(by_token.expect(200)["tenantId"], acme.id.as_str());
    // What is no token names nobody, and a cookie that was left keeps nobody from the front door.
    let with_junk = door.bearer("junk").post("/auth/login", body.clone()).await;
    assert_eq!(opened(&with_junk), [acme.slug.as_str()]);
    let cookie = format!("tenantry_access={}", acme.admin.token());
    let with_cookie = door
        .request(reqwest::Method::POST, "/auth/login")
        .header("cookie", &cookie)
        .json(&body)
        .send()
        .await;
    assert_eq!(opened(&with_cookie), [acme.slug.as_str()]);
}

#[tokio::test]
async fn what_is_sent_is_checked_as_at_a_tenants_host() {
    let dev = shared();
    let door = front_door(dev, 6);
    let wrong = door
        .post("/auth/login", json!({ "email": "kim", "x": 1 }))
        .await;
    assert_eq!(wrong.wrong_fields(), ["email", "password", "x"]);
    door.get("/auth/login")
        .await
        .problem(405, "METHOD_NOT_ALLOWED");
    // A code belongs to a tenant's host.
    door.post("/auth/redeem", json!({ "code": "x" }))
        .await
        .problem(400, "TENANT_NOT_NAMED");
}

#[tokio::test]
async fn a_tenant_that_cannot_be_asked_stops_no_other_and_is_no_tell() {
    let dev = shared();
    let (acme, away, old) = (
        dev.tenant("stays").await,
        dev.tenant("away").await,
        dev.tenant("old").await,
    );
    let mail = |name: &str| format!("{name}@{}.example", acme.slug);
    for tenant in [&acme, &away, &old] {
        person(tenant, &mail("all"), PASSWORD).await;
    }
    person(&away, &mail("away"), PASSWORD).await;
    person(&old, &mail("old"), PASSWORD).await;
    let (pg, door) = (dev.pg(), front_door(dev, 7));
    // One database has not had the migration yet, and one lets nobody in.
    pg.run(&old.db_name, "DROP TABLE tenantry.sign_in_codes")
        .await;
    pg.run(
        "postgres",
        &format!("ALTER ROLE \"{}\" NOLOGIN", away.router()),
    )
    .await;
    dev.operator()
        .post(&format!("/setup/tenants/{}/disconnect", away.id), json!({}))
        .await;

    let answer = login(&door, &mail("all"), PASSWORD).await;
    assert_eq!(opened(&answer), [acme.slug.as_str()]);
    assert_eq!(answer.json()["incomplete"], true, "{answer}");
    // Who cannot be asked about is refused as nobody is.
    let unknown = login(&door, &mail("nobody"), PASSWORD).await;
    let unasked = login(&door, &mail("away"), PASSWORD).await;
    assert_eq!(said(&unasked), said(&unknown));
    // Who has shown the right password may know that it is not their fault.
    login(&door, &mail("old"), PASSWORD)
        .await
        .problem(503, "SIGN_IN_UNAVAILABLE");
    let wrong = login(&door, &mail("old"), "a wrong one").await;
    assert_eq!(said(&wrong), said(&unknown));
    let junk = json!({ "code": "x" });
    dev.at(&old.slug)
        .post("/auth/redeem", junk)
        .await
        .problem(401, "INVALID_CODE");
    // At its own host everything goes on as before.
    login(&dev.at(&old.slug), &mail("old"), PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn no_more_tenants_are_tried_than_are_allowed_and_the_oldest_first() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SIGN_IN_TENANTS", "2"));
    let mut tenants = Vec::new();
    for _ in 0..3 {
        let tenant = dev.tenant("many").await;
        person(&tenant, "kim@many.example", PASSWORD).await;
        tenants.push(tenant);
    }
    let door = front_door(&dev, 8);
    let answer = login(&door, "kim@many.example", PASSWORD).await;
    assert_eq!(opened(&answer), [&*tenants[0].slug, &*tenants[1].slug]);
    // The third is not lost: it has its own door.
    login(&dev.at(&tenants[2].slug), "kim@many.example", PASSWORD)
        .await
        .expect(200);
    let code = code_for(&answer, &tenants[1]);
    dev.at(&tenants[1].slug)
        .post("/auth/redeem", json!({ "code": code }))
        .await
        .expect(200);
}
