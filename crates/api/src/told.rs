//! Secrets that an answer tells: the only way from a [`Secret`] into a body.

use serde::{Serialize, Serializer};
use tenantry_types::Secret;

/// A secret that is told to the one who may know it.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Secret);

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl From<Secret> for Told {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}
