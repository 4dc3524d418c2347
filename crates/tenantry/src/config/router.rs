//! Connections to tenants' databases: the `[router]` table.

use std::time::Duration;

use serde::Deserialize;

/// Sizes and times of the router.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct RouterSettings {
    /// 10.
    pub per_tenant_max: usize,
    /// 1m.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub idle: Duration,
    /// 3s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub acquire_wait: Duration,
    /// 3s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub connect_timeout: Duration,
    /// 100000.
    pub cache_capacity: u64,
    /// 5m.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub cache_ttl: Duration,
    /// 2s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub negative_ttl: Duration,
    /// 10000.
    pub negative_capacity: u64,
    /// 5s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub lease: Duration,
    /// 1s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub poll: Duration,
    /// On.
    pub listen: bool,
    /// 5m.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub away: Duration,
    /// 3s.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub drain_deadline: Duration,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            per_tenant_max: 10,
            idle: Duration::from_secs(60),
            acquire_wait: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            cache_capacity: 100_000,
            cache_ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(2),
            negative_capacity: 10_000,
            lease: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            listen: true,
            away: Duration::from_secs(300),
            drain_deadline: Duration::from_secs(3),
        }
    }
}
