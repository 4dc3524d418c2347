//! Rotation of the logins that routers use: the `[rotation]` table.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// When and how logins are rotated.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct RotationSettings {
    /// None: only when somebody asks.
    #[serde(deserialize_with = "optional")]
    pub every: Option<Duration>,
    /// 10m.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub jitter: Duration,
    /// 5m.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub wait: Duration,
    /// 4.
    pub at_once: usize,
}

impl Default for RotationSettings {
    fn default() -> Self {
        Self {
            every: None,
            jitter: Duration::from_secs(600),
            wait: Duration::from_secs(300),
            at_once: 4,
        }
    }
}

fn optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    super::duration::deserialize(input).map(Some)
}
