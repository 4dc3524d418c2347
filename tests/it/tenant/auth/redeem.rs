//! `POST /auth/redeem`

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Tenant, shared};

use crate::base::{PASSWORD, code_for, front_door, login, person};

async fn redeem(client: &Client, code: &str) -> Answer {
    client.post("/auth/redeem", json!({ "code": code })).await
}

/// A code for a new person of a tenant, and their path.
async fn code(dev: &Dev, tenant: &Tenant, name: &str, last: u8) -> (String, String) {
    let mail = format!("{name}@{}.example", tenant.slug);
    let path = person(tenant, &mail, PASSWORD).await;
    let answer = login(&front_door(dev, last), &mail, PASSWORD).await;
    (code_for(&answer, tenant), path)
}

fn fields(body: &Value) -> Vec<&String> {
    body.as_object().expect("an object").keys().collect()
}

#[tokio::test]
async fn a_code_answers_as_a_sign_in_does_and_once() {
    let dev = shared();
    let acme = dev.tenant("redeem").await;
    let door = login(&front_door(dev, 61), &acme.email, ADMIN_PASSWORD).await;
    let (code, host) = (code_for(&door, &acme), dev.at(&acme.slug));
    let usual = login(&host, &acme.email, ADMIN_PASSWORD).await;
    let redeemed = redeem(&host, &code).await;
    let body = redeemed.expect(200);
    assert_eq!(fields(&body), fields(&usual.expect(200)));
    assert_eq!(body["userId"], acme.user_id.as_str());
    assert_eq!(body["tenantId"], acme.id.as_str());
    let names = |answer: &Answer| -> Vec<String> {
        let cookies = answer.headers.get_all("set-cookie").iter();
        cookies
            .map(|value| {
                value
                    .to_str()
                    .expect("text")
                    .split('=')
                    .next()
                    .expect("a name")
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(names(&redeemed), names(&usual));
    assert_eq!(names(&redeemed).len(), 2);
    let token = body["accessToken"].as_str().expect("a token");
    host.bearer(token).get("/me").await.expect(200);
    let refresh = json!({ "refreshToken": body["refreshToken"] });
    host.post("/auth/refresh", refresh).await.expect(200);

    redeem(&host, &code).await.problem(401, "INVALID_CODE");
}

#[tokio::test]
async fn a_code_of_one_tenant_is_nothing_at_another() {
    let dev = shared();
    let (acme, beta) = (dev.tenant("own").await, dev.tenant("other").await);
    let (code, _) = code(dev, &acme, "kim", 62).await;
    redeem(&dev.at(&beta.slug), &code)
        .await
        .problem(401, "INVALID_CODE");
    // It was not used up there.
    let body = redeem(&dev.at(&acme.slug), &code).await.expect(200);
    let token = body["accessToken"].as_str().expect("a token");
    dev.at(&beta.slug)
        .bearer(token)
        .get("/me")
        .await
        .problem(403, "WRONG_TENANT");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_code_the_answer_is_one() {
    let dev = shared();
    let acme = dev.tenant("wrong").await;
    let (pg, host) = (dev.pg(), dev.at(&acme.slug));
    let said = |answer: &Answer| {
        let mut body = answer.problem(401, "INVALID_CODE");
        body.as_object_mut().expect("an object").remove("requestId");
        assert_eq!(answer.header("set-cookie"), None, "{answer}");
        body
    };
    let unknown = said(&redeem(&host, &"A".repeat(43)).await);
    assert_eq!(said(&redeem(&host, "x").await), unknown);

    let (used, _) = code(dev, &acme, "used", 63).await;
    redeem(&host, &used).await.expect(200);
    assert_eq!(said(&redeem(&host, &used).await), unknown);

    let (over, _) = code(dev, &acme, "over", 63).await;
    pg.run(
        &acme.db_name,
        "UPDATE tenantry.sign_in_codes SET expires_at = now() - interval '1 second'",
    )
    .await;
    assert_eq!(said(&redeem(&host, &over).await), unknown);

    for (name, change) in [
        ("asleep", json!({ "isActive": false })),
        ("changed", json!({ "password": "another one by now" })),
    ] {
        let (code, path) = code(dev, &acme, name, 63).await;
        acme.admin.patch(&path, change).await.expect(200);
        assert_eq!(said(&redeem(&host, &code).await), unknown, "{name}");
    }
    let (removed, path) = code(dev, &acme, "removed", 63).await;
    acme.admin.delete(&path).await.expect(204);
    assert_eq!(said(&redeem(&host, &removed).await), unknown);

    // Another name or role is no reason.
    let (renamed, path) = code(dev, &acme, "renamed", 63).await;
    let change = json!({ "name": "Kim", "roles": ["Viewer"] });
    acme.admin.patch(&path, change).await.expect(200);
    redeem(&host, &renamed).await.expect(200);
    let nothing = host.post("/auth/redeem", json!({})).await;
    assert_eq!(nothing.wrong_fields(), ["code"]);
}

#[tokio::test]
async fn of_twenty_who_redeem_one_code_one_is_signed_in() {
    let dev = shared();
    let acme = dev.tenant("race").await;
    let (code, _) = code(dev, &acme, "kim", 64).await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (host, code) = (dev.at(&acme.slug), code.clone());
        tries.spawn(async move { redeem(&host, &code).await });
    }
    let answers = tries.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        answer.problem(401, "INVALID_CODE");
    }
    let begun = dev
        .pg()
        .texts(
            &acme.db_name,
            "SELECT s.id::text FROM tenantry.sessions s JOIN tenantry.users u ON u.id = s.user_id
             WHERE u.email LIKE 'kim@%'",
        )
        .await;
    assert_eq!(begun.len(), 1, "and one session was begun");
}

#[tokio::test]
async fn a_person_has_few_codes_at_a_time() {
    let dev = shared();
    let acme = dev.tenant("few").await;
    let (door, host) = (front_door(dev, 65), dev.at(&acme.slug));
    let mut codes = Vec::new();
    for _ in 0..6 {
        let answer = login(&door, &acme.email, ADMIN_PASSWORD).await;
        codes.push(code_for(&answer, &acme));
    }
    redeem(&host, &codes[0]).await.problem(401, "INVALID_CODE");
    for code in &codes[1..] {
        redeem(&host, code).await.expect(200);
    }
}
