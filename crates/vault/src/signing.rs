//! Ed25519 keys that access tokens are signed with.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::keyring::{KeyBytes, KeyId};

/// The keys that access tokens are signed with: one signs, all verify.
#[derive(Clone)]
pub struct SigningKeys(Arc<[SigningKey]>, SigningKey);

/// One Ed25519 key pair (RFC 8032), from its 32-byte seed.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    seed: KeyBytes,
    public: [u8; 32],
}

impl SigningKeys {
    pub(crate) fn new(active: (KeyId, KeyBytes), older: Vec<(KeyId, KeyBytes)>) -> Self {
        let active = SigningKey::new(active);
        let all = std::iter::once(active.clone())
            .chain(older.into_iter().map(SigningKey::new))
            .collect();
        Self(all, active)
    }

    /// The key that new tokens are signed with.
    #[must_use]
    pub fn active(&self) -> &SigningKey {
        &self.1
    }

    /// All keys that tokens may still be signed with, the active one first: the JWKS.
    #[must_use]
    pub fn all(&self) -> &[SigningKey] {
        &self.0
    }

    /// The key of this id, as a token's header names it.
    #[must_use]
    pub fn by_kid(&self, kid: &str) -> Option<&SigningKey> {
        self.0.iter().find(|key| key.kid() == kid)
    }
}

impl SigningKey {
    fn new((id, seed): (KeyId, KeyBytes)) -> Self {
        let public = ed25519_dalek::SigningKey::from_bytes(&seed)
            .verifying_key()
            .to_bytes();
        Self { id, seed, public }
    }

    /// The key's id, for `kid` in a token's header and in the JWKS.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.id.as_str()
    }

    /// The private key as PKCS #8 DER, for `jsonwebtoken::EncodingKey::from_ed_der`.
    #[must_use]
    pub fn pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        // PrivateKeyInfo with id-Ed25519 around an OCTET STRING of the seed (RFC 8410, 7 and 10.3):
        // everything before the seed is constant.
        const HEAD: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        Zeroizing::new([&HEAD[..], self.seed.as_slice()].concat())
    }

    /// The public key's 32 bytes: `x` of the JWK (RFC 8037, 2), and what
    /// `jsonwebtoken::DecodingKey::from_ed_der` takes despite its name.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&&self.0[..]).finish()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ***)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
    use tenantry_types::Entropy;

    use crate::Keyring;

    #[test]
    fn jsonwebtoken_signs_and_verifies_with_these_keys() {
        let keys = Keyring::generate(&Entropy::system()).signing();
        let key = keys.active();
        let claims = serde_json::json!({"sub": "ann", "exp": 4_102_444_800_u64});
        let token = encode(
            &Header::new(Algorithm::EdDSA),
            &claims,
            &EncodingKey::from_ed_der(&key.pkcs8_der()),
        )
        .expect("signed");
        let verify = |public: &[u8; 32]| {
            decode::<serde_json::Value>(
                &token,
                &DecodingKey::from_ed_der(public),
                &Validation::new(Algorithm::EdDSA),
            )
        };
        assert_eq!(verify(key.public()).expect("verified").claims, claims);
        let other = Keyring::generate(&Entropy::system()).signing();
        assert!(verify(other.active().public()).is_err());
    }

    #[test]
    fn the_public_key_is_the_one_of_rfc_8037() {
        // RFC 8037, A.1 and A.2.
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let setting = "signing:k:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A,\
             route:k:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE,\
             admin:k:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI,\
             directory:k:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM";
        let keys = Keyring::parse(&setting.to_owned().into())
            .expect("a keyring")
            .signing();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(keys.active().public()),
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
    }
}
