//! The keyring: reading it from its setting, making a new one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use tenantry_types::{Entropy, Secret};
use zeroize::Zeroizing;

use crate::directory::DirectoryKey;
use crate::sealing::{AdminKeys, RouteKeys, SealingKeys};
use crate::signing::SigningKeys;

/// All keys of an installation.
///
/// Written as `purpose:keyid:key`, comma separated, where the key is 32 bytes in base64url without
/// padding. The first key listed of a purpose is the one new things are sealed or signed with; the
/// others still open and verify.
#[derive(Clone)]
pub struct Keyring {
    entries: Vec<Entry>,
    route: RouteKeys,
    admin: AdminKeys,
    directory: DirectoryKey,
    signing: SigningKeys,
}

/// What a key may be used for. A router holds `route` keys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Seals the passwords that routers open tenants' databases with.
    Route,
    /// Seals what only the control plane opens: admin and owner logins, secrets of operations.
    Admin,
    /// Hashes mail addresses, so that the catalog can find one without knowing it.
    Directory,
    /// Signs access tokens (Ed25519).
    Signing,
}

/// The name of a key, stored in clear beside what was sealed with it: 1 to 32 of `a-z`, `0-9`, `-`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyId(String);

/// Why a setting is no keyring. Names the part that is wrong and never shows it: a setting with a
/// mistake in it still holds keys, and they may stand where a name should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not three parts.
    #[error("key {0} of the list is not of the form purpose:keyid:key")]
    Shape(usize),
    /// The first part is no purpose.
    #[error("key {0} of the list: its purpose is none of route, admin, directory and signing")]
    Purpose(usize),
    /// The second part is no key id.
    #[error("key {0} of the list: its id is not 1 to 32 of a-z, 0-9 and `-`")]
    Id(usize),
    /// The third part is no key.
    #[error("key {0} of the list: the key itself is not 32 bytes in base64url without padding")]
    Key(usize),
    /// Two keys of one purpose under one id.
    #[error("key {0} of the list: its id is already taken by another {1} key")]
    DuplicateId(usize, Purpose),
    /// The same key twice: a key for two purposes would undo what purposes are for.
    #[error("key {0} of the list: the key itself was listed before")]
    DuplicateKey(usize),
    /// More than one directory key: an address hashed under the second would never be found.
    #[error("key {0} of the list: there can be only one directory key")]
    SecondDirectoryKey(usize),
    /// A purpose without a key.
    #[error("the list has no {0} key")]
    Missing(Purpose),
    /// No key of this name.
    #[error("there is no {0} key `{1}`")]
    Unknown(Purpose, KeyId),
    /// A key that a router must not have.
    #[error(
        "key {0} of the list is of the purpose {1}: a router is given route keys and no others"
    )]
    NotForRouters(usize, Purpose),
}

impl Keyring {
    /// Reads a keyring from its setting (`TENANTRY_KEYS`).
    ///
    /// # Errors
    /// The first thing that is wrong, by its place in the list (counted from 1).
    pub fn parse(setting: &Secret) -> Result<Self, KeyError> {
        Self::from_entries(entries(setting)?)
    }

    /// Makes a new keyring: one key per purpose, each with the id `k1`.
    #[must_use]
    pub fn generate(entropy: &Entropy) -> Self {
        let entry = |purpose| Entry {
            purpose,
            id: KeyId("k1".to_owned()),
            key: Zeroizing::new(entropy.bytes()),
        };
        let (route, admin) = (entry(Purpose::Route), entry(Purpose::Admin));
        let (directory, signing) = (entry(Purpose::Directory), entry(Purpose::Signing));
        Self {
            route: RouteKeys::new(SealingKeys::new(Purpose::Route, route.pair(), vec![])),
            admin: AdminKeys::new(SealingKeys::new(Purpose::Admin, admin.pair(), vec![])),
            directory: DirectoryKey::new(directory.pair()),
            signing: SigningKeys::new(signing.pair(), vec![]),
            entries: vec![route, admin, directory, signing],
        }
    }

    /// The keyring as a setting that [`Keyring::parse`] reads.
    #[must_use]
    pub fn to_setting(&self) -> Secret {
        self.setting_of(|_| true)
    }

    /// The route keys alone, as a setting that [`RouteKeys::parse`] reads: what is given to a program
    /// that routes and must not be able to open anything else. Keys of different purposes are random
    /// and independent, so that nothing about the others is in it.
    #[must_use]
    pub fn route_setting(&self) -> Secret {
        self.setting_of(|purpose| purpose == Purpose::Route)
    }

    /// Its keys by name, in their order: the first of a purpose seals or signs, the others open or verify.
    #[must_use]
    pub fn names(&self) -> Vec<(Purpose, KeyId)> {
        let name = |entry: &Entry| (entry.purpose, entry.id.clone());
        self.entries.iter().map(name).collect()
    }

    /// The keyring with one more key of a purpose: before the others, so that it is the one that seals;
    /// or, `standby`, after them, so that it only opens what another program has sealed with it.
    ///
    /// # Errors
    /// [`KeyError::DuplicateId`] or [`KeyError::SecondDirectoryKey`].
    pub fn with_new(
        &self,
        entropy: &Entropy,
        purpose: Purpose,
        id: KeyId,
        standby: bool,
    ) -> Result<Self, KeyError> {
        let entry = Entry {
            purpose,
            id,
            key: Zeroizing::new(entropy.bytes()),
        };
        entry.check_against(self.entries.len() + 1, &self.entries)?;
        let mut entries = self.entries.clone();
        match standby {
            true => entries.push(entry),
            false => entries.insert(0, entry),
        }
        Self::from_entries(entries)
    }

    /// The keyring with this key as the one of its purpose that seals.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn promoting(&self, purpose: Purpose, id: &KeyId) -> Result<Self, KeyError> {
        let (mut entries, at) = (self.entries.clone(), self.find(purpose, id)?);
        let entry = entries.remove(at);
        entries.insert(0, entry);
        Self::from_entries(entries)
    }

    /// The keyring without a key: what was sealed with it opens no more.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], or [`KeyError::Missing`] when it is the only one of its purpose.
    pub fn without(&self, purpose: Purpose, id: &KeyId) -> Result<Self, KeyError> {
        let (mut entries, at) = (self.entries.clone(), self.find(purpose, id)?);
        entries.remove(at);
        Self::from_entries(entries)
    }

    fn find(&self, purpose: Purpose, id: &KeyId) -> Result<usize, KeyError> {
        self.entries
            .iter()
            .position(|entry| entry.purpose == purpose && entry.id == *id)
            .ok_or_else(|| KeyError::Unknown(purpose, id.clone()))
    }

    fn setting_of(&self, wanted: impl Fn(Purpose) -> bool) -> Secret {
        let mut setting = Zeroizing::new(String::new());
        for entry in self.entries.iter().filter(|entry| wanted(entry.purpose)) {
            if !setting.is_empty() {
                setting.push(',');
            }
            setting.push_str(entry.purpose.as_str());
            setting.push(':');
            setting.push_str(entry.id.as_str());
            setting.push(':');
            let key = Zeroizing::new(URL_SAFE_NO_PAD.encode(entry.key.as_slice()));
            setting.push_str(&key);
        }
        Secret::new(setting.as_str())
    }

    /// The keys a router needs.
    #[must_use]
    pub fn route(&self) -> RouteKeys {
        self.route.clone()
    }

    /// The keys only the control plane holds.
    #[must_use]
    pub fn admin(&self) -> AdminKeys {
        self.admin.clone()
    }

    /// The key that mail addresses are hashed with.
    #[must_use]
    pub fn directory(&self) -> DirectoryKey {
        self.directory.clone()
    }

    /// The keys that access tokens are signed with.
    #[must_use]
    pub fn signing(&self) -> SigningKeys {
        self.signing.clone()
    }

    fn from_entries(entries: Vec<Entry>) -> Result<Self, KeyError> {
        let of = |purpose| of_purpose(&entries, purpose);
        let (route, old_route) = of(Purpose::Route)?;
        let (admin, old_admin) = of(Purpose::Admin)?;
        let (directory, _) = of(Purpose::Directory)?;
        let (signing, old_signing) = of(Purpose::Signing)?;
        Ok(Self {
            route: RouteKeys::new(SealingKeys::new(Purpose::Route, route, old_route)),
            admin: AdminKeys::new(SealingKeys::new(Purpose::Admin, admin, old_admin)),
            directory: DirectoryKey::new(directory),
            signing: SigningKeys::new(signing, old_signing),
            entries,
        })
    }
}

impl RouteKeys {
    /// Reads the keys of a program that only routes, as [`Keyring::route_setting`] writes them.
    ///
    /// A setting with keys of other purposes is refused, although a part of it would do: it means
    /// that the program was given what it must not have.
    ///
    /// # Errors
    /// The first thing that is wrong, by its place in the list (counted from 1).
    pub fn parse(setting: &Secret) -> Result<Self, KeyError> {
        let entries = entries(setting)?;
        let mut numbered = (1..).zip(&entries);
        if let Some((number, other)) = numbered.find(|(_, entry)| entry.purpose != Purpose::Route) {
            return Err(KeyError::NotForRouters(number, other.purpose));
        }
        let (active, older) = of_purpose(&entries, Purpose::Route)?;
        Ok(Self::new(SealingKeys::new(Purpose::Route, active, older)))
    }
}

fn entries(setting: &Secret) -> Result<Vec<Entry>, KeyError> {
    let mut entries: Vec<Entry> = Vec::new();
    for (number, text) in (1..).zip(setting.expose().split(',')) {
        let entry = Entry::parse(number, text.trim())?;
        entry.check_against(number, &entries)?;
        entries.push(entry);
    }
    Ok(entries)
}

type Pair = (KeyId, KeyBytes);

/// The active key of a purpose and the others.
fn of_purpose(entries: &[Entry], purpose: Purpose) -> Result<(Pair, Vec<Pair>), KeyError> {
    let mut keys = entries
        .iter()
        .filter(|entry| entry.purpose == purpose)
        .map(Entry::pair);
    let active = keys.next().ok_or(KeyError::Missing(purpose))?;
    Ok((active, keys.collect()))
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self
            .entries
            .iter()
            .map(|e| format!("{}:{}", e.purpose, e.id));
        f.debug_tuple("Keyring")
            .field(&ids.collect::<Vec<_>>())
            .finish()
    }
}

impl Purpose {
    /// The word for it, in settings and in the associated data of what is sealed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Admin => "admin",
            Self::Directory => "directory",
            Self::Signing => "signing",
        }
    }

    /// The purpose of this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Route, Self::Admin, Self::Directory, Self::Signing]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl KeyId {
    /// Checks a text; `None` when it is no key id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shape = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        shape.then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bytes of one key, wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; 32]>;

#[derive(Clone)]
struct Entry {
    purpose: Purpose,
    id: KeyId,
    key: KeyBytes,
}

impl Entry {
    fn parse(number: usize, text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split(':');
        let (Some(purpose), Some(id), Some(key), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::Shape(number));
        };
        Ok(Self {
            purpose: Purpose::parse(purpose).ok_or(KeyError::Purpose(number))?,
            id: KeyId::parse(id).ok_or(KeyError::Id(number))?,
            key: decode(key).ok_or(KeyError::Key(number))?,
        })
    }

    fn check_against(&self, number: usize, before: &[Self]) -> Result<(), KeyError> {
        for other in before {
            if bool::from(self.key.as_slice().ct_eq(other.key.as_slice())) {
                return Err(KeyError::DuplicateKey(number));
            }
            if self.purpose == other.purpose && self.id == other.id {
                return Err(KeyError::DuplicateId(number, self.purpose));
            }
            if self.purpose == Purpose::Directory && other.purpose == Purpose::Directory {
                return Err(KeyError::SecondDirectoryKey(number));
            }
        }
        Ok(())
    }

    fn pair(&self) -> (KeyId, KeyBytes) {
        (self.id.clone(), self.key.clone())
    }
}

fn decode(text: &str) -> Option<KeyBytes> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

#[cfg(test)]
mod tests;
