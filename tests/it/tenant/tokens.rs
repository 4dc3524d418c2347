//! Access tokens: what is in them, who can check them, and what is no token

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use tenantry_testkit::{Dev, Options, Tenant, shared};

#[tokio::test]
async fn others_can_check_them_by_the_published_keys() {
    let dev = shared();
    let acme = dev.tenant("jwks").await;
    let published = dev.base().get("/.well-known/jwks.json").await.expect(200);
    // Public parts only.
    for key in published["keys"].as_array().expect("keys") {
        assert_eq!(key["d"], Value::Null);
        assert_eq!(
            (&key["kty"], &key["crv"]),
            (&json!("OKP"), &json!("Ed25519"))
        );
    }
    let keys: JwkSet = serde_json::from_value(published).expect("RFC 7517");
    let header = decode_header(acme.admin.token()).expect("a JWT");
    assert_eq!(header.alg, Algorithm::EdDSA);
    let key = keys
        .find(&header.kid.expect("a key's id"))
        .expect("the key");
    let key = DecodingKey::from_jwk(key).expect("a usable key");
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.validate_aud = false;
    let claims = decode::<Value>(acme.admin.token(), &key, &rules)
        .expect("signed")
        .claims;
    assert_eq!(claims["tid"], acme.id);
    assert_eq!(claims["sub"], acme.user_id);
    let (from, to) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    let life = to.zip(from).map(|(to, from)| to - from);
    assert!(
        life.is_some_and(|life| (60..=3600).contains(&life)),
        "short-lived: {claims}"
    );
    assert!(claims["iss"].is_string(), "{claims}");
    for secret in [&acme.email, "assword"] {
        assert!(!claims.to_string().contains(secret), "{claims}");
    }
}

#[tokio::test]
async fn a_changed_token_is_no_token() {
    let dev = shared();
    let (acme, other) = (dev.tenant("forge").await, dev.tenant("forge").await);
    for (what, forged) in forgeries(&acme, &other) {
        for tenant in [&acme, &other] {
            let answer = tenant.admin.bearer(&forged).get("/me").await;
            assert_eq!(answer.status, 401, "{what}: {answer}");
            answer.any_problem();
        }
    }
}

fn forgeries(acme: &Tenant, other: &Tenant) -> Vec<(&'static str, String)> {
    let token = acme.admin.token();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, body, signature] = parts[..] else {
        panic!("a JWT has three parts");
    };
    let decoded = |part: &str| -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |field: &str, value: Value| {
        let mut claims = decoded(body);
        claims[field] = value;
        encoded(&claims)
    };
    let head = |alg: &str| {
        let mut head = decoded(header);
        head["alg"] = json!(alg);
        encoded(&head)
    };
    let far = json!(4_102_444_800_i64);
    let others_signature = other.admin.token().rsplit('.').next().expect("a signature");
    vec![
        (
            "another tenant",
            format!("{header}.{}.{signature}", with("tid", json!(other.id))),
        ),
        (
            "another user",
            format!("{header}.{}.{signature}", with("sub", json!(other.user_id))),
        ),
        (
            "a longer life",
            format!("{header}.{}.{signature}", with("exp", far)),
        ),
        (
            "another's signature",
            format!("{header}.{body}.{others_signature}"),
        ),
        ("no signature", format!("{header}.{body}.")),
        ("alg none", format!("{}.{body}.", head("none"))),
        ("alg None", format!("{}.{body}.{signature}", head("None"))),
        ("alg HS256", format!("{}.{body}.{signature}", head("HS256"))),
        ("two parts", format!("{header}.{body}")),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("junk", "x".repeat(10_000)),
    ]
}

#[tokio::test]
async fn an_old_token_is_no_token() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_ACCESS_TOKEN_TTL", "1s"));
    let acme = dev.tenant("old").await;
    // A token's times are whole seconds, and a little leeway is usual.
    crate::wait::until(std::time::Duration::from_secs(90), "expired", async || {
        acme.admin.get("/me").await.status == 401
    })
    .await;
    let fresh = acme
        .admin
        .anonymous()
        .post(
            "/auth/refresh",
            json!({ "refreshToken": acme.refresh_token }),
        )
        .await
        .expect(200);
    assert!(fresh["accessToken"].is_string());
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let dev = shared();
    let acme = dev.tenant("kinds").await;
    acme.admin
        .bearer(&acme.refresh_token)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
    acme.admin
        .bearer(&dev.operator_token())
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
}
