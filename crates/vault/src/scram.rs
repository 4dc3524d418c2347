//! SCRAM-SHA-256 verifiers, worked out here so that no statement and no server log holds a password.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tenantry_types::Secret;
use zeroize::Zeroizing;

use crate::directory::hmac_sha256;

/// Iterations for logins that only we use: their passwords have 256 random bits, which no number of
/// iterations makes harder to guess, and each iteration costs time on every connect.
pub const ROUTER_ITERATIONS: u32 = 1;

/// Iterations for logins that other programs use: what Postgres itself takes, and the least that
/// RFC 7677 (section 4) lets a client insist on.
pub const USER_ITERATIONS: u32 = 4096;

/// What Postgres stores for a password (`pg_authid.rolpassword`), for `ALTER ROLE … PASSWORD '…'`:
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5802 section 3, RFC 7677).
///
/// The result is letters, digits and `+/=:$-` only, so it needs no quoting inside a literal.
/// Zero iterations count as one.
#[must_use]
pub fn verifier(password: &Secret, salt: [u8; 16], iterations: u32) -> String {
    let iterations = iterations.max(1);
    // As Postgres does (`pg_be_scram_build_secret`): a password that SASLprep refuses is taken as it is.
    let prepared =
        stringprep::saslprep(password.expose()).unwrap_or(Cow::Borrowed(password.expose()));
    let salted = salted_password(prepared.as_bytes(), &salt, iterations);
    let client_key = Zeroizing::new(hmac_sha256(salted.as_slice(), &[b"Client Key"]));
    let stored_key: [u8; 32] = Sha256::digest(client_key.as_slice()).into();
    let server_key = hmac_sha256(salted.as_slice(), &[b"Server Key"]);
    format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key),
    )
}

/// `Hi` of RFC 5802 section 2.2: PBKDF2 with HMAC-SHA-256 and one block of output.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let mut block = Zeroizing::new(hmac_sha256(password, &[salt, &1_u32.to_be_bytes()]));
    let mut sum = block.clone();
    for _ in 1..iterations {
        *block = hmac_sha256(password, &[block.as_slice()]);
        for (sum, byte) in sum.iter_mut().zip(block.iter()) {
            *sum ^= byte;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_builds_the_same_verifier() {
        // CREATE ROLE … PASSWORD 'correct horse' on Postgres 15, read back from pg_authid.
        // See also the logins in the tests of tenantry-catalog and tenantry-cluster.
        let salt = STANDARD.decode("pCYXD78/AsflYUAidqs3aQ==").expect("base64");
        let salt = salt.try_into().expect("16 bytes");
        assert_eq!(
            verifier(&Secret::new("correct horse"), salt, 4096),
            "SCRAM-SHA-256$4096:pCYXD78/AsflYUAidqs3aQ==\
             $jCn+guWId1hYsFnDWzDvAzxVO3nervK0BiJ+LRDPruQ=:nNQTs52k6DtOU+b6qjcpY7MtTAK+z/tGFW1r009tNig="
        );
    }

    #[test]
    fn sasl_prep_makes_one_password_of_its_spellings() {
        // A soft hyphen is mapped to nothing, a Roman numeral to its letters (RFC 4013, 3).
        let of = |text: &str| verifier(&Secret::new(text), [7; 16], 1);
        assert_eq!(of("I\u{ad}X"), of("IX"));
        assert_eq!(of("\u{2168}"), of("IX"));
        assert_ne!(of("ix"), of("IX"));
    }
}
