//! Signing in at a base domain.

use std::time::Duration;

use serde::Deserialize;

use super::LimitSettings;
use crate::failure::{Failure, Result};

/// How a sign-in at a base domain is tried and refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct SignInSettings {
    /// `sign_in_tenants`: 8.
    pub sign_in_tenants: u32,
    /// `sign_in_floor`: 1s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub sign_in_floor: Duration,
    /// `sign_in_code_ttl`: 60s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub sign_in_code_ttl: Duration,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            sign_in_tenants: 8,
            sign_in_floor: Duration::from_secs(1),
            sign_in_code_ttl: Duration::from_secs(60),
        }
    }
}

impl SignInSettings {
    /// Itself, if its parts are usable.
    pub(super) fn checked(self, limits: &LimitSettings) -> Result<Self> {
        if !(1..=64).contains(&self.sign_in_tenants) {
            return Err(Failure::usage("`sign_in_tenants` must be from 1 to 64"));
        }
        if self.sign_in_floor >= limits.request_timeout {
            return Err(Failure::usage(
                "`sign_in_floor` must be shorter than `request_timeout`: a refusal waits for it",
            ));
        }
        Ok(self)
    }
}
