//! Access tokens: EdDSA JWTs (RFC 7519, RFC 8037) that name a tenant, a person and a session.
//!
//! They say who someone is, never what they may do: permissions are read from the tenant's own
//! database on each request. The time comes from the [`Clock`], not from the JWT library.

use std::collections::HashMap;
use std::time::Duration;

use crate::jwks::{Key, KeySet};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tenantry_types::{Clock, Entropy, Secret, SessionId, TenantId, Timestamp, UserId};
use tenantry_vault::SigningKeys;
use uuid::Uuid;

/// Signs and verifies access tokens.
pub(crate) struct Tokens {
    active: (String, EncodingKey),
    known: HashMap<String, DecodingKey>,
    validation: Validation,
    issuer: String,
    lifetime: Duration,
    jwks: KeySet,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Who signed it.
    pub(crate) iss: String,
    /// For whom: the tenant's id.
    pub(crate) aud: TenantId,
    /// The person.
    pub(crate) sub: UserId,
    /// The tenant.
    pub(crate) tid: TenantId,
    /// The session it belongs to.
    pub(crate) sid: SessionId,
    /// When it was signed, in seconds since 1970.
    pub(crate) iat: i64,
    /// When it ends, in seconds since 1970.
    pub(crate) exp: i64,
    /// Its own id.
    pub(crate) jti: Uuid,
}

/// A token that is not one of ours, or not any more. Which of the two, and why, is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not valid")]
pub(crate) struct InvalidToken;

/// Clocks of several processes differ a little.
const LEEWAY_SECONDS: i64 = 5;
/// Ours have about 600 bytes; more is not looked at.
const LONGEST: usize = 2048;

impl Tokens {
    pub(crate) fn new(keys: &SigningKeys, issuer: String, lifetime: Duration) -> Self {
        let active = keys.active();
        let known = keys.all().iter().map(|key| {
            let decoding = DecodingKey::from_ed_der(key.public());
            (key.kid().to_owned(), decoding)
        });
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Time is checked against our clock, and the audience against `tid`, in `verify`.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            active: (
                active.kid().to_owned(),
                EncodingKey::from_ed_der(&active.pkcs8_der()),
            ),
            known: known.collect(),
            validation,
            issuer,
            lifetime,
            jwks: jwks_of(keys),
        }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// When the active key cannot sign, which its making has ruled out.
    pub(crate) fn issue(
        &self,
        (tenant, user, session): (TenantId, UserId, SessionId),
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<Secret, jsonwebtoken::errors::Error> {
        let now = clock.now().timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: tenant,
            sub: user,
            tid: tenant,
            sid: session,
            iat: now,
            exp: now.saturating_add_unsigned(self.lifetime.as_secs()),
            jti: uuid::Builder::from_random_bytes(entropy.bytes::<16>()).into_uuid(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.active.0.clone());
        jsonwebtoken::encode(&header, &claims, &self.active.1).map(Secret::new)
    }

    /// Checks a token: our algorithm, a key we know, our issuer, one audience, not expired.
    ///
    /// # Errors
    /// When any of it is not so.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, InvalidToken> {
        if token.len() > LONGEST {
            return Err(InvalidToken);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken)?;
        // A key is for one algorithm, whatever the header says (RFC 8725, 3.1). What a header calls
        // critical we would have to understand (RFC 7515, 4.1.11), and keys come from us alone.
        if header.alg != Algorithm::EdDSA || header.crit.is_some() {
            return Err(InvalidToken);
        }
        let key = header
            .kid
            .and_then(|kid| self.known.get(&kid))
            .ok_or(InvalidToken)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation)
            .map_err(|_| InvalidToken)?
            .claims;
        let alive = claims.exp.saturating_add(LEEWAY_SECONDS) > now.timestamp();
        if alive && claims.aud == claims.tid {
            Ok(claims)
        } else {
            Err(InvalidToken)
        }
    }

    /// How long a token lives, in seconds.
    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The public keys, for others to verify with (RFC 7517).
    pub(crate) fn jwks(&self) -> &KeySet {
        &self.jwks
    }
}

fn jwks_of(keys: &SigningKeys) -> KeySet {
    let keys = keys.all().iter().map(|key| Key {
        kty: "OKP",
        crv: "Ed25519",
        x: URL_SAFE_NO_PAD.encode(key.public()),
        kid: key.kid().to_owned(),
        usage: "sig",
        alg: "EdDSA",
    });
    KeySet {
        keys: keys.collect(),
    }
}

#[cfg(test)]
mod tests;
