//! `POST /auth/login` and `POST /auth/logout`, with tokens and with cookies

mod redeem;

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, shared};

async fn login(host: &Client, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    host.anonymous().post("/auth/login", body).await
}

/// What tells nothing about why: all but the request's id.
fn told(answer: &Answer) -> Value {
    let mut body = answer.problem(401, "INVALID_CREDENTIALS");
    body["requestId"] = Value::Null;
    body
}

#[tokio::test]
async fn a_login_answers_who_and_where() {
    let dev = shared();
    let acme = dev.tenant("login").await;
    let answer = login(
        &acme.admin,
        &format!(" {} ", acme.email.to_uppercase()),
        ADMIN_PASSWORD,
    )
    .await;
    let body = answer.expect(200);
    assert_eq!(body["tenantId"], acme.id);
    assert_eq!(body["userId"], acme.user_id);
    assert!(
        body["expiresIn"]
            .as_u64()
            .is_some_and(|s| (60..=3600).contains(&s)),
        "{body}"
    );
    for token in ["accessToken", "refreshToken"] {
        assert!(
            body[token].as_str().is_some_and(|token| token.len() > 30),
            "{body}"
        );
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    let me = acme.admin.get("/me").await.expect(200);
    let text = me.to_string();
    for part in [&acme.user_id, &acme.email, &acme.id, "Admin"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("$argon2"), "{text}");
}

#[tokio::test]
async fn who_is_unknown_inactive_or_wrong_hears_the_same() {
    let dev = shared();
    let acme = dev.tenant("wrong").await;
    let bob = json!({ "email": "bob@acme.example", "password": "long enough", "isActive": false });
    acme.admin.post("/users", bob).await.expect(201);
    let eve = json!({ "email": "eve@acme.example" });
    acme.admin.post("/users", eve).await.expect(201);

    let wrong = told(&login(&acme.admin, &acme.email, "not the password").await);
    let unknown = told(&login(&acme.admin, "nobody@acme.example", "not the password").await);
    let inactive = told(&login(&acme.admin, "bob@acme.example", "long enough").await);
    let without = told(&login(&acme.admin, "eve@acme.example", "long enough").await);
    assert_eq!(wrong, unknown);
    assert_eq!(wrong, inactive);
    assert_eq!(wrong, without);
}

#[tokio::test]
async fn a_logout_ends_the_session_and_no_other() {
    let dev = shared();
    let acme = dev.tenant("logout").await;
    let (other, _) = acme.admin.sign_in(&acme.email, ADMIN_PASSWORD).await;
    let body = json!({ "refreshToken": acme.refresh_token });
    let answer = acme.admin.post("/auth/logout", body.clone()).await;
    assert!(matches!(answer.status, 200 | 204), "{answer}");
    acme.admin.get("/me").await.problem(401, "UNAUTHENTICATED");
    acme.admin
        .anonymous()
        .post("/auth/refresh", body)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    other.get("/me").await.expect(200);
}

#[tokio::test]
async fn cookies_are_for_this_host_and_not_for_scripts() {
    let dev = shared();
    let (acme, other) = (dev.tenant("cookie").await, dev.tenant("cookie").await);
    let answer = login(&acme.admin, &acme.email, ADMIN_PASSWORD).await;
    answer.expect(200);
    let mut sent = Vec::new();
    for cookie in answer.headers.get_all("set-cookie") {
        let cookie = cookie.to_str().expect("a cookie");
        let lower = cookie.to_lowercase();
        assert!(lower.contains("httponly"), "{cookie}");
        assert!(
            lower.contains("samesite=lax") || lower.contains("samesite=strict"),
            "{cookie}"
        );
        assert!(!lower.contains("domain="), "host-only: {cookie}");
        sent.push(cookie.split(';').next().expect("a pair").to_owned());
    }
    assert!(!sent.is_empty(), "{:?}", answer.headers);
    let cookies = sent.join("; ");
    let with = |client: &Client, method: Method, path: &str| {
        client
            .anonymous()
            .request(method, path)
            .header("cookie", &cookies)
    };
    with(&acme.admin, Method::GET, "/me")
        .send()
        .await
        .expect(200);
    // At another customer's host a browser would not send them, and they would not help.
    let there = with(&other.admin, Method::GET, "/me").send().await;
    assert!(matches!(there.status, 401 | 403), "{there}");
    there.any_problem();

    // A page of somebody else's makes the browser send them along.
    let forged = with(&acme.admin, Method::POST, "/users")
        .header("origin", "http://evil.example")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({ "email": "eve@evil.example" }))
        .send()
        .await;
    assert_eq!(forged.status, 403, "{forged}");

    let out = with(&acme.admin, Method::POST, "/auth/logout")
        .header("sec-fetch-site", "same-origin")
        .header("origin", &format!("http://{}", dev.host(Some(&acme.slug))))
        .send()
        .await;
    assert!(matches!(out.status, 200 | 204), "{out}");
    let ended = out.headers.get_all("set-cookie").iter().count();
    assert_eq!(
        ended,
        sent.len(),
        "cookies are taken back: {:?}",
        out.headers
    );
    with(&acme.admin, Method::GET, "/me")
        .send()
        .await
        .problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn in_serve_cookies_travel_encrypted_only() {
    let dev = shared();
    let acme = dev.tenant("secure").await;
    let serve = tenantry_testkit::Serve::join(
        dev,
        "secure",
        &[
            ("TENANTRY_SECURE_COOKIES", "true"),
            ("TENANTRY_PUBLIC_URL", "https://localhost"),
        ],
    );
    let answer = login(&serve.at(&acme.slug), &acme.email, ADMIN_PASSWORD).await;
    answer.expect(200);
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert!(!cookies.is_empty());
    for cookie in cookies {
        let cookie = cookie.to_str().expect("a cookie");
        assert!(cookie.to_lowercase().contains("; secure"), "{cookie}");
        assert!(
            cookie.starts_with("__Host-") || cookie.starts_with("__Secure-"),
            "{cookie}"
        );
    }
}
