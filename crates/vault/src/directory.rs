//! The directory key: finding a mail address without storing it.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tenantry_types::Email;

use crate::keyring::{KeyBytes, KeyId};

/// Hashes mail addresses, so that the catalog can say "this one is known" without holding it.
///
/// Keyed, because mail addresses can be guessed: a plain hash of one is as good as the address.
#[derive(Clone)]
pub struct DirectoryKey(Arc<Inner>);

struct Inner {
    key: KeyBytes,
    name: String,
}

/// Marks the one use of the key that is no address: an address has an `@`.
const NAME: &[u8] = b"tenantry directory key";

impl DirectoryKey {
    pub(crate) fn new((id, key): (KeyId, KeyBytes)) -> Self {
        let [a, b, c, d, ..] = hmac_sha256(key.as_slice(), &[NAME]);
        let name = format!("{id}.{:08x}", u32::from_be_bytes([a, b, c, d]));
        Self(Arc::new(Inner { key, name }))
    }

    /// What to call the key beside what was hashed with it: its id and 32 bits that another key under
    /// the same id does not have, so that one which was replaced without a new id is noticed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// HMAC-SHA-256 of the address in its normal form (RFC 2104).
    #[must_use]
    pub fn hash(&self, email: &Email) -> [u8; 32] {
        hmac_sha256(self.0.key.as_slice(), &[email.as_str().as_bytes()])
    }
}

impl fmt::Debug for DirectoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectoryKey(***)")
    }
}

/// HMAC-SHA-256 over the parts one after another. Takes a key of any length, as HMAC does.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length (RFC 2104, 2)"
    )]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use tenantry_types::Entropy;

    use super::*;
    use crate::Keyring;

    #[test]
    fn an_address_has_one_hash_under_one_key() {
        let key = Keyring::generate(&Entropy::system()).directory();
        let of = |text: &str| key.hash(&Email::parse(text).expect("an address"));
        assert_eq!(of("Ann@Acme.example"), of("ann@acme.example "));
        assert_ne!(of("ann@acme.example"), of("ben@acme.example"));
        let other = Keyring::generate(&Entropy::system()).directory();
        let ann = Email::parse("ann@acme.example").expect("an address");
        assert_ne!(key.hash(&ann), other.hash(&ann));
    }

    #[test]
    fn a_key_is_called_by_its_id_and_by_what_it_is() {
        let (one, two) = (
            Keyring::generate(&Entropy::system()).directory(),
            Keyring::generate(&Entropy::system()).directory(),
        );
        assert!(one.name().starts_with("k1.") && one.name().len() == 11);
        assert_ne!(one.name(), two.name(), "both have the id k1");
    }

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // RFC 4231, 4.3 (test case 2).
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let hash = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
