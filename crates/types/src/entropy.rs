//! Randomness as an argument.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use crate::Secret;

/// Where ids, nonces, salts and passwords get their random bytes from.
#[derive(Clone, Default)]
pub struct Entropy {
    seeded: Option<Arc<Mutex<StdRng>>>,
}

impl Entropy {
    /// The operating system's generator (`getrandom(2)`).
    #[must_use]
    pub fn system() -> Self {
        Self { seeded: None }
    }

    /// A repeatable generator for tests. Never for secrets that matter.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seeded: Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))),
        }
    }

    /// `N` random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing secret can be made then.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.seeded {
            Some(rng) => rng
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .fill_bytes(&mut bytes),
            None => {
                #[expect(
                    clippy::expect_used,
                    reason = "without randomness no key, nonce or password may be made"
                )]
                SysRng
                    .try_fill_bytes(&mut bytes)
                    .expect("the operating system gives random bytes");
            }
        }
        bytes
    }

    /// A secret of 256 random bits as 43 letters and digits, safe in a URL and in a shell.
    #[must_use]
    pub fn password(&self) -> Secret {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        // 43 symbols of log2(62) = 5.95 bits are 256.03 bits. Bytes of 248 and above are passed
        // over, so that each symbol is equally likely.
        let mut text = String::with_capacity(43);
        while text.len() < 43 {
            for byte in self.bytes::<64>() {
                if byte < 248 && text.len() < 43 {
                    text.push(char::from(ALPHABET[usize::from(byte % 62)]));
                }
            }
        }
        Secret::new(text)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_43_letters_and_digits_and_no_two_are_alike() {
        let entropy = Entropy::system();
        let (a, b) = (entropy.password(), entropy.password());
        assert_eq!(a.expose().len(), 43);
        assert!(a.expose().chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(a.expose(), b.expose());
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(
            Entropy::seeded(7).bytes::<16>(),
            Entropy::seeded(7).bytes::<16>()
        );
    }
}
