//! Names of a tenant that a request carries in a header: identifiers, channel tokens, API keys.
//!
//! None of them says who asks; an API key's secret is somebody else's to verify.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Entropy, Secret};

/// What a request names a tenant by, beside its host, its token and its id. A channel token is here as
/// its hash only, so that nothing which remembers names remembers a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Alias {
    /// An app of the product's.
    AppId(Reference),
    /// A store of the product's.
    StoreId(Reference),
    /// An opaque token of a sales channel.
    ChannelToken(ChannelTokenHash),
    /// The public part of an API key.
    ApiKey(ApiKeyId),
}

impl Alias {
    /// The name as the catalog keeps it: a channel token's hash in hex, all others as they are.
    #[must_use]
    pub fn stored(&self) -> String {
        match self {
            Self::AppId(name) | Self::StoreId(name) => name.as_str().to_owned(),
            Self::ChannelToken(hash) => hash.to_hex(),
            Self::ApiKey(id) => id.as_str().to_owned(),
        }
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppId(name) => write!(f, "AppId({name})"),
            Self::StoreId(name) => write!(f, "StoreId({name})"),
            Self::ChannelToken(_) => f.write_str("ChannelToken(***)"),
            Self::ApiKey(id) => write!(f, "ApiKey({id})"),
        }
    }
}

/// The product's own name for an app or a store: 1 to 64 letters, digits, `.`, `_` and `-`. No secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(String);

/// Why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits, `.`, `_` and `-`, like `web-shop` or `4711`")]
pub struct InvalidReference;

impl Reference {
    /// Checks a text. Case counts.
    ///
    /// # Errors
    /// When it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidReference)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret that names a tenant: 43 to 128 letters, digits, `_` and `-`, not all alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelToken(Secret);

/// The SHA-256 of a channel token: what is kept of it, and what it is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelTokenHash([u8; 32]);

/// Why a text is no channel token. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 43 to 128 letters, digits, `_` and `-` (256 random bits), at least 16 of them different; leave it out and one is made"
)]
pub struct WeakChannelToken;

impl ChannelToken {
    /// Checks a text. Chance cannot be seen in a text; what is too short for 256 bits, or has hardly any
    /// different characters, can.
    ///
    /// # Errors
    /// When it is too short, too long, too even, or has another character.
    pub fn parse(text: &str) -> Result<Self, WeakChannelToken> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let mut seen = [false; 128];
        let fits = (43..=128).contains(&text.len()) && text.bytes().all(allowed);
        if fits {
            for byte in text.bytes() {
                seen[usize::from(byte)] = true;
            }
        }
        if seen.iter().filter(|seen| **seen).count() >= 16 {
            Ok(Self(Secret::new(text)))
        } else {
            Err(WeakChannelToken)
        }
    }

    /// A new one, of 256 random bits.
    #[must_use]
    pub fn generate(entropy: &Entropy) -> Self {
        Self(entropy.password())
    }

    /// Its hash. A plain one will do: nobody guesses 256 random bits.
    #[must_use]
    pub fn hash(&self) -> ChannelTokenHash {
        ChannelTokenHash(Sha256::digest(self.0.expose().as_bytes()).into())
    }

    /// The token itself, to tell it once.
    #[must_use]
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl ChannelTokenHash {
    /// The hash as 64 hex digits in lower case.
    #[must_use]
    pub fn to_hex(self) -> String {
        use fmt::Write;
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// The public part of an API key, which leads to its tenant: 8 to 32 lower-case letters and digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKeyId(String);

impl ApiKeyId {
    /// Checks a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = (8..=32).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }

    /// A new one: 64 random bits as hex digits.
    #[must_use]
    pub fn generate(entropy: &Entropy) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(entropy.bytes())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An API key as it is sent: `tnt_<id>_<secret>`, the secret 32 to 128 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose it is said to be.
    pub id: ApiKeyId,
    /// What proves it.
    pub secret: Secret,
}

impl ApiKey {
    /// What every key begins with.
    pub const PREFIX: &str = "tnt_";

    /// Reads a key; none when the text has another shape.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(Self::PREFIX)?.split_once('_')?;
        let fits =
            (32..=128).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        let id = ApiKeyId::parse(id)?;
        fits.then(|| Self {
            id,
            secret: Secret::new(secret),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_plain_and_bounded() {
        for good in ["a", "4711", "Web-Shop_1.eu", &"x".repeat(64)] {
            assert!(Reference::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", "a,b", &"x".repeat(65)] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
        assert_ne!(Reference::parse("a"), Reference::parse("A"));
    }

    #[test]
    fn a_channel_token_is_strong_or_refused_and_shows_itself_nowhere() {
        let made = ChannelToken::generate(&Entropy::system()).into_secret();
        let token = ChannelToken::parse(made.expose()).expect("what we make is strong");
        let (hash, text) = (token.hash(), made.expose());
        assert_eq!(hash.to_hex().len(), 64);
        assert!(!hash.to_hex().contains(text));
        let alias = Alias::ChannelToken(hash);
        for shown in [format!("{token:?}"), format!("{alias:?}")] {
            assert!(
                shown.ends_with("(***))") || shown.ends_with("(***)"),
                "{shown}"
            );
        }
        assert_eq!(alias.stored(), hash.to_hex());
        for weak in [
            "",
            "hunter2",
            &text[1..],
            &"ab".repeat(30),
            &text.repeat(3),
            &format!("{} {}", &text[..20], &text[20..]),
            &format!("{text}ä"),
        ] {
            assert_eq!(ChannelToken::parse(weak), Err(WeakChannelToken), "{weak}");
        }
        // SHA-256 of the text, as any other program would compute it.
        let known =
            ChannelToken::parse("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg").expect("fits");
        assert_eq!(
            known.hash().to_hex(),
            "71d84b1859bad11abcb3dfd9353c8d1873aafd883ffaf6f2c9df7cbcfc3e1850"
        );
    }

    #[test]
    fn an_api_key_is_read_by_its_whole_shape() {
        let secret = "s".repeat(43);
        let key = ApiKey::parse(&format!("tnt_0a1b2c3d_{secret}")).expect("a key");
        assert_eq!(
            (key.id.as_str(), key.secret.expose()),
            ("0a1b2c3d", &*secret)
        );
        assert!(!format!("{key:?}").contains(&secret));
        let id = ApiKeyId::generate(&Entropy::system());
        assert!(ApiKey::parse(&format!("tnt_{id}_{secret}")).is_some());
        for bad in [
            format!("tnto_0a1b2c3d_{secret}"),
            format!("TNT_0a1b2c3d_{secret}"),
            format!("tnt_0a1b2c3_{secret}"),
            format!("tnt_0A1B2C3D_{secret}"),
            format!("tnt_{}_{secret}", "a".repeat(33)),
            format!("tnt_0a1b2c3d_{secret}_x"),
            format!("tnt_0a1b2c3d_{}", "s".repeat(129)),
            "tnt_0a1b2c3d_short".to_owned(),
            "tnt_0a1b2c3d".to_owned(),
            "tnt_".to_owned(),
            String::new(),
        ] {
            assert_eq!(ApiKey::parse(&bad), None, "{bad}");
        }
    }
}
