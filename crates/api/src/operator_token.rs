//! Operators' tokens: 256 random bits, of which the catalog keeps a hash only.

use sha2::{Digest, Sha256};
use tenantry_types::{Entropy, Secret};

const PREFIX: &str = "tnto_";

/// A new operator token: `tnto_` and 43 letters and digits.
#[must_use]
pub fn new_operator_token(entropy: &Entropy) -> Secret {
    Secret::new(format!("{PREFIX}{}", entropy.password().expose()))
}

/// What the catalog keeps of a token. A plain hash will do: nobody guesses 256 random bits.
#[must_use]
pub fn hash_token(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// Whether a text can be an operator token at all, before the catalog is asked.
pub(crate) fn has_shape(token: &str) -> bool {
    token
        .strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_has_the_shape_and_its_own_hash() {
        let (a, b) = (
            new_operator_token(&Entropy::system()),
            new_operator_token(&Entropy::system()),
        );
        assert!(has_shape(a.expose()));
        assert_ne!(hash_token(&a), hash_token(&b));
        for bad in [
            "",
            "tnto_",
            "tnto_x",
            &a.expose()[5..],
            &format!("{}x", a.expose()),
        ] {
            assert!(!has_shape(bad), "{bad}");
        }
    }
}
