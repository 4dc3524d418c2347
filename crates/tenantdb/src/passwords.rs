//! People's passwords: Argon2id, in PHC form, with the parameters that OWASP names.
//!
//! Nothing here reads or writes a table. Who is unknown costs the same work as who is known: ask
//! [`Hashing::verify`] with whatever was found, and never answer before it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tenantry_types::{Entropy, ErrorKind, Secret};
use tokio::sync::Semaphore;

/// The least number of characters (NIST SP 800-63B, 5.1.1.2).
pub const MIN_CHARS: usize = 8;
/// The greatest number of characters; a bound on the work that a stranger can ask for.
pub const MAX_CHARS: usize = 256;

/// Memory in KiB, passes and lanes.
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id>
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// What a stored hash may ask for at most. A tenant's own login may write to its `users` table; a
/// hash planted there must not be able to eat the memory of a server that serves all tenants.
const MOST: (u32, u32, u32) = (65_536, 4, 4);

/// A password's hash in PHC form. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// A text that is no Argon2id hash in PHC form within our bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no Argon2id hash in PHC form within the allowed cost")]
pub struct InvalidHash;

/// Why a password is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`MIN_CHARS`].
    #[error("must have at least {MIN_CHARS} characters")]
    TooShort,
    /// More than [`MAX_CHARS`].
    #[error("must have at most {MAX_CHARS} characters")]
    TooLong,
}

/// Hashing could not be done, for no reason that lies in the password.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

impl HashError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }

    /// The stable code for an API's answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "INTERNAL"
    }
}

/// Hashes off the async threads, at most as many at once as there are cores.
///
/// Each takes 19 MiB and tens of milliseconds: without a bound, a burst of sign-ins would take all
/// memory and starve every other request. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Hashing(Arc<Inner>);

struct Inner {
    entropy: Entropy,
    permits: Semaphore,
    dummy: OnceLock<PasswordHash>,
    runs: AtomicU64,
}

impl PasswordHash {
    /// Takes a hash in PHC form, e.g. one that is stored.
    ///
    /// # Errors
    /// When it is none of Argon2id, or asks for more work than we do for anyone.
    pub fn parse(text: &str) -> Result<Self, InvalidHash> {
        let hash = phc::PasswordHash::new(text).map_err(|_| InvalidHash)?;
        let params = Params::try_from(&hash).map_err(|_| InvalidHash)?;
        let bounded =
            params.m_cost() <= MOST.0 && params.t_cost() <= MOST.1 && params.p_cost() <= MOST.2;
        let whole = hash.salt.is_some() && hash.hash.is_some();
        if hash.algorithm == argon2::ARGON2ID_IDENT && bounded && whole {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidHash)
        }
    }

    /// The hash in PHC form, to store it in `users.password_hash` or sealed in an operation.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// Checks that a password is long enough to be one, counted in characters.
///
/// Length only, no classes of characters (NIST SP 800-63B, 5.1.1.2).
///
/// # Errors
/// What is wrong, as a sentence for the person who chose it.
pub fn check_strength(password: &Secret) -> Result<(), WeakPassword> {
    match password.expose().chars().count() {
        ..MIN_CHARS => Err(WeakPassword::TooShort),
        MIN_CHARS..=MAX_CHARS => Ok(()),
        _ => Err(WeakPassword::TooLong),
    }
}

/// Hashes a password with a new salt. Blocks for tens of milliseconds: not on an async thread.
///
/// # Errors
/// When there is no memory for it.
pub fn hash(password: &Secret, entropy: &Entropy) -> Result<PasswordHash, HashError> {
    argon2()?
        .hash_password_with_salt(password.expose().as_bytes(), &entropy.bytes::<16>())
        .map(|hash| PasswordHash(hash.to_string()))
        .map_err(|error| HashError(error.to_string()))
}

/// Whether this is the password. Blocks for tens of milliseconds: not on an async thread.
#[must_use]
pub fn verify(password: &Secret, hash: &PasswordHash) -> bool {
    // The parameters are those of the hash, so that older ones stay valid when ours rise.
    phc::PasswordHash::new(&hash.0).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

impl Hashing {
    /// Bounded by the cores of this machine; salts come from `entropy`.
    #[must_use]
    pub fn new(entropy: &Entropy) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Inner {
            entropy: entropy.clone(),
            permits: Semaphore::new(cores),
            dummy: OnceLock::new(),
            runs: AtomicU64::new(0),
        }))
    }

    /// Hashes a password with a new salt.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub async fn hash(&self, password: Secret) -> Result<PasswordHash, HashError> {
        self.blocking(move |inner| inner.hash(&password)).await?
    }

    /// Whether this is the password; with no hash (an unknown address, a person without a
    /// password) the same work is done on a dummy and the answer is no.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub async fn verify(
        &self,
        password: Secret,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        self.blocking(move |inner| {
            let dummy = inner.dummy()?;
            inner.runs.fetch_add(1, Ordering::Relaxed);
            Ok(match &hash {
                Some(hash) => verify(&password, hash),
                None => {
                    let _ = std::hint::black_box(verify(&password, dummy));
                    false
                }
            })
        })
        .await?
    }

    /// How often Argon2 was run, as a metric.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::Relaxed)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let inner = Arc::clone(&self.0);
        let failed = |error: &dyn std::fmt::Display| HashError(error.to_string());
        // The permit is bound to the work and not to this future: a client that goes away does
        // not free a core that is still hashing for it.
        let entered = Arc::clone(&self.0);
        let permit = entered.permits.acquire().await.map_err(|e| failed(&e))?;
        permit.forget();
        tokio::task::spawn_blocking(move || {
            let _permit = Returned(&inner.permits);
            work(&inner)
        })
        .await
        .map_err(|e| failed(&e))
    }
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashing")
    }
}

impl Inner {
    fn hash(&self, password: &Secret) -> Result<PasswordHash, HashError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        hash(password, &self.entropy)
    }

    /// A hash of a password that nobody has, made with the parameters of a real one. Before it is
    /// needed, so that the first unknown address does not take twice as long as a known one.
    fn dummy(&self) -> Result<&PasswordHash, HashError> {
        if let Some(dummy) = self.dummy.get() {
            return Ok(dummy);
        }
        let dummy = self.hash(&self.entropy.password())?;
        Ok(self.dummy.get_or_init(|| dummy))
    }
}

/// Gives a permit back when the work ends, also by a panic.
struct Returned<'a>(&'a Semaphore);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let (memory, passes, lanes) = COST;
    let params =
        Params::new(memory, passes, lanes, None).map_err(|error| HashError(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_opens_for_its_password_only_and_does_not_print() {
        let entropy = Entropy::system();
        let hash = hash(&Secret::new("correct horse"), &entropy).expect("a hash");
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(format!("{hash:?}"), "PasswordHash(***)");
        let stored = PasswordHash::parse(hash.expose()).expect("our own form");
        assert!(verify(&Secret::new("correct horse"), &stored));
        assert!(!verify(&Secret::new("correct hors"), &stored));
        let other = super::hash(&Secret::new("correct horse"), &entropy).expect("a hash");
        assert_ne!(hash.expose(), other.expose(), "each has its own salt");
    }

    #[test]
    fn a_planted_hash_cannot_ask_for_more_work_than_ours() {
        let tail = "$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let form = |head: &str| PasswordHash::parse(&format!("{head}{tail}"));
        assert!(form("$argon2id$v=19$m=19456,t=2,p=1").is_ok());
        for bad in [
            "$argon2id$v=19$m=4194304,t=2,p=1",
            "$argon2id$v=19$m=19456,t=4000,p=1",
            "$argon2id$v=19$m=19456,t=2,p=64",
            "$argon2i$v=19$m=19456,t=2,p=1",
            "$argon2d$v=19$m=19456,t=2,p=1",
        ] {
            assert!(form(bad).is_err(), "{bad}");
        }
        assert!(PasswordHash::parse("$argon2id$v=19$m=19456,t=2,p=1").is_err());
        assert!(PasswordHash::parse("secret").is_err());
    }

    #[test]
    fn passwords_have_8_to_256_characters() {
        let check = |count| check_strength(&Secret::new("ä".repeat(count)));
        assert_eq!(check(7), Err(WeakPassword::TooShort));
        assert_eq!(check(8), Ok(()));
        assert_eq!(check(256), Ok(()));
        assert_eq!(check(257), Err(WeakPassword::TooLong));
    }

    #[tokio::test]
    async fn an_unknown_address_costs_the_same_hashing_as_a_known_one() {
        let hashing = Hashing::new(&Entropy::system());
        let hash = hashing
            .hash(Secret::new("correct horse"))
            .await
            .expect("a hash");
        let right = || Secret::new("correct horse");
        // The first check of all makes the dummy.
        assert!(
            hashing
                .verify(right(), Some(hash.clone()))
                .await
                .expect("checked")
        );

        let before = hashing.runs();
        assert!(hashing.verify(right(), Some(hash)).await.expect("checked"));
        let known = hashing.runs() - before;
        let before = hashing.runs();
        assert!(!hashing.verify(right(), None).await.expect("checked"));
        assert_eq!((known, hashing.runs() - before), (1, 1));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_gives_its_place_back() {
        let hashing = Hashing::new(&Entropy::system());
        let places = hashing.0.permits.available_permits();
        for _ in 0..places * 3 {
            let call = hashing.hash(Secret::new("correct horse"));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(1), call).await;
        }
        hashing
            .hash(Secret::new("correct horse"))
            .await
            .expect("a place was free");
        // A hash that was begun is worked out to its end, and its place is free only then.
        let all_free = async {
            while hashing.0.permits.available_permits() < places {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), all_free)
            .await
            .expect("all places are free again");
    }
}
