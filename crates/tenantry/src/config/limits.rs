//! What one request may take.

use std::time::Duration;

use serde::Deserialize;

/// Limits on requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct LimitSettings {
    /// `request_timeout`: 30s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub request_timeout: Duration,
    /// `body_limit`: 262144 bytes.
    pub body_limit: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            body_limit: 256 * 1024,
        }
    }
}
