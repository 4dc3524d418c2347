//! `POST /auth/refresh`: tokens rotate, and one that is used twice ends its family

use futures::future::join_all;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, shared};

async fn refresh(host: &Client, token: &str) -> Answer {
    let body = json!({ "refreshToken": token });
    host.anonymous().post("/auth/refresh", body).await
}

fn token<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().expect("a token")
}

#[tokio::test]
async fn each_refresh_gives_new_tokens() {
    let dev = shared();
    let acme = dev.tenant("rotate").await;
    let second = refresh(&acme.admin, &acme.refresh_token).await.expect(200);
    assert_ne!(second["refreshToken"], acme.refresh_token.as_str());
    assert_eq!(second["tenantId"], acme.id);
    assert_eq!(second["userId"], acme.user_id);
    let third = refresh(&acme.admin, token(&second, "refreshToken"))
        .await
        .expect(200);
    let newest = acme.admin.bearer(token(&third, "accessToken"));
    newest.get("/me").await.expect(200);
}

#[tokio::test]
async fn a_token_used_twice_ends_its_family_and_no_other() {
    let dev = shared();
    let acme = dev.tenant("reuse").await;
    let (elsewhere, other) = acme.admin.sign_in(&acme.email, ADMIN_PASSWORD).await;
    let second = refresh(&acme.admin, &acme.refresh_token).await.expect(200);
    let newest = acme.admin.bearer(token(&second, "accessToken"));

    refresh(&acme.admin, &acme.refresh_token)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    // The thief's and the owner's, both.
    refresh(&acme.admin, token(&second, "refreshToken"))
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    newest.get("/me").await.problem(401, "UNAUTHENTICATED");
    acme.admin.get("/me").await.problem(401, "UNAUTHENTICATED");

    elsewhere.get("/me").await.expect(200);
    refresh(&acme.admin, token(&other, "refreshToken"))
        .await
        .expect(200);
}

#[tokio::test]
async fn of_many_uses_at_once_at_most_one_wins() {
    let dev = shared();
    let acme = dev.tenant("storm").await;
    let answers = join_all((0..8).map(|_| refresh(&acme.admin, &acme.refresh_token))).await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert!(won.len() <= 1, "{} won", won.len());
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        lost.problem(401, "INVALID_REFRESH_TOKEN");
    }
    for won in won {
        let next = won.json();
        refresh(&acme.admin, token(&next, "refreshToken"))
            .await
            .problem(401, "INVALID_REFRESH_TOKEN");
    }
}

#[tokio::test]
async fn a_token_of_one_tenant_is_nothing_at_another() {
    let dev = shared();
    let (acme, other) = (dev.tenant("ours").await, dev.tenant("theirs").await);
    refresh(&other.admin, &acme.refresh_token)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    // And the try did not use it up.
    refresh(&acme.admin, &acme.refresh_token).await.expect(200);
    for junk in ["x", "", "00000000-0000-7000-8000-000000000000"] {
        let refused = refresh(&acme.admin, junk).await;
        assert!(matches!(refused.status, 401 | 422), "{refused}");
        refused.any_problem();
    }
}

#[tokio::test]
async fn they_are_stored_hashed() {
    let dev = shared();
    let acme = dev.tenant("hashed").await;
    let sql = "SELECT encode(token_hash, 'hex') || encode(token_hash, 'base64') || encode(token_hash, 'escape') FROM tenantry.refresh_tokens";
    let rows = dev.pg().texts(&acme.db_name, sql).await;
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].contains(&acme.refresh_token));
    let sql = format!(
        "SELECT (token_hash = sha256(convert_to('{}', 'UTF8')))::text FROM tenantry.refresh_tokens",
        acme.refresh_token
    );
    let plain = dev.pg().texts(&acme.db_name, &sql).await;
    assert_eq!(plain, ["true"], "SHA-256 of the token as it is told");
}
