use tenantry_vault::Keyring;

use serde_json::{Value, json};

use super::*;

struct World {
    tokens: Tokens,
    keys: SigningKeys,
    clock: Clock,
    who: (TenantId, UserId, SessionId),
}

fn world() -> World {
    let (clock, entropy) = (Clock::adjustable(), Entropy::system());
    let keys = Keyring::generate(&entropy).signing();
    World {
        tokens: Tokens::new(&keys, "tenantry:test".into(), Duration::from_secs(900)),
        who: (
            TenantId::generate(&clock, &entropy),
            UserId::generate(&clock, &entropy),
            SessionId::generate(&clock, &entropy),
        ),
        keys,
        clock,
    }
}

impl World {
    fn token(&self) -> String {
        let token = self.tokens.issue(self.who, &self.clock, &Entropy::system());
        token.expect("a token").expose().to_owned()
    }

    fn verify(&self, token: &str) -> Result<Claims, InvalidToken> {
        self.tokens.verify(token, self.clock.now())
    }

    fn claims(&self) -> Value {
        serde_json::to_value(self.verify(&self.token()).expect("valid")).expect("JSON")
    }

    /// Signs anything with our real key.
    fn sign(&self, header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_ed_der(&self.keys.active().pkcs8_der());
        jsonwebtoken::encode(header, claims, &key).expect("a token")
    }

    fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.keys.active().kid().to_owned());
        header
    }
}

fn b64(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn our_own_token_is_accepted_and_names_tenant_person_and_session() {
    let world = world();
    let claims = world.verify(&world.token()).expect("valid");
    assert_eq!((claims.tid, claims.sub, claims.sid), world.who);
    assert_eq!(claims.aud, claims.tid);
    assert_eq!(claims.exp - claims.iat, 900);
}

#[test]
fn a_token_ends() {
    let world = world();
    let token = world.token();
    world.clock.advance(chrono::Duration::seconds(899));
    assert!(world.verify(&token).is_ok());
    world.clock.advance(chrono::Duration::seconds(7));
    assert_eq!(world.verify(&token), Err(InvalidToken));
}

#[test]
fn no_algorithm_and_a_foreign_algorithm_are_refused() {
    let world = world();
    let claims = world.claims();
    let kid = world.keys.active().kid();
    for alg in ["none", "None", "NONE", "", "HS256", "RS256", "ES256"] {
        let unsigned = format!(
            "{}.{}.",
            b64(&json!({"alg": alg, "kid": kid})),
            b64(&claims)
        );
        assert_eq!(world.verify(&unsigned), Err(InvalidToken), "{alg}");
    }
    // The public key taken for an HMAC secret.
    for secret in [
        world.keys.active().public().to_vec(),
        URL_SAFE_NO_PAD
            .encode(world.keys.active().public())
            .into_bytes(),
    ] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(kid.to_owned());
        let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret));
        assert_eq!(world.verify(&forged.expect("a token")), Err(InvalidToken));
    }
}

#[test]
fn a_key_that_is_not_ours_or_not_named_is_refused() {
    let world = world();
    let claims = world.claims();
    let other = Keyring::generate(&Entropy::system()).signing();
    let other_key = EncodingKey::from_ed_der(&other.active().pkcs8_der());
    let same_kid = jsonwebtoken::encode(&world.header(), &claims, &other_key);
    assert_eq!(world.verify(&same_kid.expect("a token")), Err(InvalidToken));

    for kid in [None, Some("k2"), Some(""), Some("../k1")] {
        let mut header = world.header();
        header.kid = kid.map(str::to_owned);
        assert_eq!(
            world.verify(&world.sign(&header, &claims)),
            Err(InvalidToken),
            "{kid:?}"
        );
    }
    assert!(world.verify(&world.sign(&world.header(), &claims)).is_ok());
}

#[test]
fn a_retired_key_still_verifies() {
    let clock = Clock::system();
    let entropy = Entropy::system();
    let old = Keyring::generate(&entropy).to_setting();
    let part = |purpose: &str| {
        let setting = old.expose().split(',');
        let found = setting
            .map(str::trim)
            .find(|part| part.starts_with(purpose));
        found.expect("a key of each purpose").to_owned()
    };
    let fresh = "signing:k9:BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";
    let both = [
        fresh.to_owned(),
        part("signing"),
        part("route"),
        part("admin"),
        part("directory"),
    ];
    let both = Keyring::parse(&Secret::new(both.join(","))).expect("a keyring");
    let before = Tokens::new(
        &Keyring::parse(&old).expect("a keyring").signing(),
        "i".into(),
        Duration::from_secs(60),
    );
    let after = Tokens::new(&both.signing(), "i".into(), Duration::from_secs(60));
    let who = (
        TenantId::generate(&clock, &entropy),
        UserId::generate(&clock, &entropy),
        SessionId::generate(&clock, &entropy),
    );
    let token = before.issue(who, &clock, &entropy).expect("a token");
    assert!(after.verify(token.expose(), clock.now()).is_ok());
    assert_eq!(after.jwks().keys.len(), 2);
}

#[test]
fn another_issuer_and_another_audience_are_refused() {
    let world = world();
    let other = TenantId::generate(&world.clock, &Entropy::system());
    for (name, value) in [
        ("iss", json!("somebody")),
        ("iss", json!(null)),
        ("aud", json!(other)),
        ("aud", json!([world.who.0, other])),
        ("tid", json!(other)),
        ("exp", json!("never")),
        ("exp", json!(null)),
        ("sid", json!("x")),
    ] {
        let mut claims = world.claims();
        claims[name] = value.clone();
        let token = world.sign(&world.header(), &claims);
        assert_eq!(world.verify(&token), Err(InvalidToken), "{name} = {value}");
    }
    for name in ["iss", "aud", "sub", "tid", "sid", "exp"] {
        let mut claims = world.claims();
        claims.as_object_mut().expect("an object").remove(name);
        let token = world.sign(&world.header(), &claims);
        assert_eq!(world.verify(&token), Err(InvalidToken), "without {name}");
    }
}

#[test]
fn changed_huge_and_critical_tokens_are_refused() {
    let world = world();
    let token = world.token();
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let mut claims = world.claims();
    claims["sub"] = json!(UserId::generate(&world.clock, &Entropy::system()));
    parts[1] = b64(&claims);
    assert_eq!(world.verify(&parts.join(".")), Err(InvalidToken));

    let mut header = world.header();
    header.crit = Some(vec!["b64".into()]);
    assert_eq!(
        world.verify(&world.sign(&header, &world.claims())),
        Err(InvalidToken)
    );

    let mut claims = world.claims();
    claims["pad"] = json!("x".repeat(4096));
    assert_eq!(
        world.verify(&world.sign(&world.header(), &claims)),
        Err(InvalidToken)
    );
    for junk in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        &format!("{token}.x"),
        &format!("{token}="),
    ] {
        assert_eq!(world.verify(junk), Err(InvalidToken), "{junk}");
    }
}

#[test]
fn the_jwks_has_what_rfc_8037_asks() {
    let world = world();
    let key = &json!(world.tokens.jwks())["keys"][0];
    assert_eq!(key["kty"], "OKP");
    assert_eq!(key["crv"], "Ed25519");
    assert_eq!(key["alg"], "EdDSA");
    assert_eq!(key["use"], "sig");
    let x = URL_SAFE_NO_PAD
        .decode(key["x"].as_str().expect("x"))
        .expect("base64url");
    assert_eq!(x, world.keys.active().public());
    assert!(key.get("d").is_none());
}
