//! Sealing: AES-256-GCM, bound to a purpose and a place.

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use tenantry_types::{
    ClusterId, DatabaseId, Entropy, InstallationId, OperationId, OperatorId, Secret,
};
use zeroize::Zeroizing;

use crate::keyring::{KeyBytes, KeyId, Purpose};

/// Keys for the passwords that routers open tenants' databases with.
#[derive(Clone)]
pub struct RouteKeys(Arc<SealingKeys>);

/// Keys for what only the control plane opens.
#[derive(Clone)]
pub struct AdminKeys(Arc<SealingKeys>);

/// A sealed secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key it was sealed with.
    pub key_id: String,
    /// Nonce (12 bytes), ciphertext, tag (16 bytes).
    pub bytes: Vec<u8>,
}

/// Where a sealed secret is stored. With the purpose it is the associated data: a sealed value that
/// was copied to another row or column does not open there.
///
/// The functions give the place of each sealed column there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's primary key, its parts joined by `/`.
    pub row: String,
    /// The column.
    pub column: &'a str,
}

/// Why a secret was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Beyond AES-GCM's limit of 64 GiB for one message.
    #[error("the secret is too long to be sealed")]
    TooLong,
}

/// Why a sealed secret does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The keyring has no such key for this purpose.
    #[error("the keyring has no {purpose} key `{key_id}`")]
    UnknownKey {
        /// What the key would be for.
        purpose: Purpose,
        /// The id beside the sealed value.
        key_id: String,
    },
    /// Changed, cut, moved from another place, or sealed for another purpose.
    #[error(
        "the sealed value of {table}.{column} does not open: it was changed, or moved from another place"
    )]
    Damaged {
        /// The table it was read from.
        table: String,
        /// The column it was read from.
        column: String,
    },
}

macro_rules! sealing_keys {
    ($name:ident) => {
        impl $name {
            pub(crate) fn new(keys: SealingKeys) -> Self {
                Self(Arc::new(keys))
            }

            /// Seals a secret for one place under the active key, with a fresh random nonce.
            ///
            /// # Errors
            /// When the secret is longer than AES-GCM can seal.
            pub fn seal(
                &self,
                entropy: &Entropy,
                place: &Place<'_>,
                secret: &Secret,
            ) -> Result<Sealed, SealError> {
                self.0.seal(entropy, place, secret)
            }

            /// Opens a secret that was sealed for exactly this place.
            ///
            /// # Errors
            /// When the key is unknown, or the value is not what was sealed for this place.
            pub fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
                self.0.open(place, sealed)
            }

            /// Seals what was sealed for this place with an older key anew under the active one; nothing
            /// when it is sealed with that already.
            ///
            /// # Errors
            /// When it does not open.
            pub fn rewrap(
                &self,
                entropy: &Entropy,
                place: &Place<'_>,
                sealed: &Sealed,
            ) -> Result<Option<Sealed>, OpenError> {
                self.0.rewrap(entropy, place, sealed)
            }

            /// The ids of all keys, first that of the one that seals.
            #[must_use]
            pub fn ids(&self) -> Vec<KeyId> {
                let all = std::iter::once(&self.0.active).chain(&self.0.older);
                all.map(|key| key.id.clone()).collect()
            }

            /// The id of the key that seals.
            #[must_use]
            pub fn active(&self) -> &KeyId {
                &self.0.active.id
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}, ***)"), self.0.active.id)
            }
        }
    };
}

sealing_keys!(RouteKeys);
sealing_keys!(AdminKeys);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.key_id, self.bytes.len())
    }
}

impl Place<'_> {
    /// `clusters.admin_sealed`, under the admin keys.
    #[must_use]
    pub fn cluster_admin(cluster: ClusterId) -> Self {
        Self {
            table: "clusters",
            row: cluster.to_string(),
            column: "admin_sealed",
        }
    }

    /// `logins.sealed`; `role` is `owner` or `user` (admin keys), or `router` or `router_old` (route keys).
    #[must_use]
    pub fn login(database: DatabaseId, role: &str) -> Self {
        Self {
            table: "logins",
            row: format!("{database}/{role}"),
            column: "sealed",
        }
    }

    /// `operation_secrets.sealed`, under the admin keys.
    #[must_use]
    pub fn operation_secret(operation: OperationId, name: &str) -> Self {
        Self {
            table: "operation_secrets",
            row: format!("{operation}/{name}"),
            column: "sealed",
        }
    }

    /// `idempotent_answers.sealed`, under the admin keys.
    #[must_use]
    pub fn idempotent_answer(operator: OperatorId, key: &str) -> Self {
        Self {
            table: "idempotent_answers",
            row: format!("{operator}/{key}"),
            column: "sealed",
        }
    }

    /// `router_login.sealed`, under the route keys.
    #[must_use]
    pub fn router_login(installation: InstallationId) -> Self {
        Self {
            table: "router_login",
            row: installation.to_string(),
            column: "sealed",
        }
    }

    /// Each part after its length, so that no two places give the same bytes.
    fn associated_data(&self, purpose: Purpose) -> Vec<u8> {
        let parts = [
            "tenantry.seal.1",
            purpose.as_str(),
            self.table,
            &self.row,
            self.column,
        ];
        let mut data = Vec::new();
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// The keys of one purpose; the first seals, all open.
pub(crate) struct SealingKeys {
    purpose: Purpose,
    active: SealingKey,
    older: Vec<SealingKey>,
}

struct SealingKey {
    id: KeyId,
    key: KeyBytes,
}

/// 96 bits, the length GCM is made for (NIST SP 800-38D, 5.2.1.1). Random nonces are safe for 2^32
/// messages under one key (8.3): far above the passwords an installation will ever seal.
const NONCE: usize = 12;

impl SealingKeys {
    pub(crate) fn new(
        purpose: Purpose,
        active: (KeyId, KeyBytes),
        older: Vec<(KeyId, KeyBytes)>,
    ) -> Self {
        let key = |(id, key)| SealingKey { id, key };
        Self {
            purpose,
            active: key(active),
            older: older.into_iter().map(key).collect(),
        }
    }

    fn seal(
        &self,
        entropy: &Entropy,
        place: &Place<'_>,
        secret: &Secret,
    ) -> Result<Sealed, SealError> {
        let nonce: [u8; NONCE] = entropy.bytes();
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: &place.associated_data(self.purpose),
        };
        let ciphertext = self
            .active
            .cipher()
            .encrypt(&nonce.into(), payload)
            .map_err(|_| SealError::TooLong)?;
        Ok(Sealed {
            key_id: self.active.id.as_str().to_owned(),
            bytes: [&nonce[..], &ciphertext].concat(),
        })
    }

    fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
        let key = std::iter::once(&self.active)
            .chain(&self.older)
            .find(|key| key.id.as_str() == sealed.key_id)
            .ok_or_else(|| OpenError::UnknownKey {
                purpose: self.purpose,
                key_id: sealed.key_id.clone(),
            })?;
        self.open_with(key, place, &sealed.bytes)
            .ok_or_else(|| OpenError::Damaged {
                table: place.table.to_owned(),
                column: place.column.to_owned(),
            })
    }

    fn rewrap(
        &self,
        entropy: &Entropy,
        place: &Place<'_>,
        sealed: &Sealed,
    ) -> Result<Option<Sealed>, OpenError> {
        if sealed.key_id == self.active.id.as_str() {
            return Ok(None);
        }
        let secret = self.open(place, sealed)?;
        match self.seal(entropy, place, &secret) {
            Ok(sealed) => Ok(Some(sealed)),
            // What was sealed once is not longer now.
            Err(SealError::TooLong) => Err(OpenError::Damaged {
                table: place.table.to_owned(),
                column: place.column.to_owned(),
            }),
        }
    }

    fn open_with(&self, key: &SealingKey, place: &Place<'_>, bytes: &[u8]) -> Option<Secret> {
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: ciphertext,
            aad: &place.associated_data(self.purpose),
        };
        let clear = Zeroizing::new(key.cipher().decrypt(&(*nonce).into(), payload).ok()?);
        Some(Secret::new(std::str::from_utf8(&clear).ok()?))
    }
}

impl SealingKey {
    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.key).into())
    }
}

#[cfg(test)]
mod tests;
