//! Connections to tenants' databases: the `[router]` table.

use std::collections::HashMap;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tenantry_types::Plan;

/// Sizes and times of the router.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct RouterSettings {
    /// 10.
    pub per_tenant_max: usize,
    /// None.
    #[serde(deserialize_with = "by_plan")]
    pub plan_max: HashMap<Plan, usize>,
    /// 100.
    pub waiters_per_tenant: usize,
    /// 1000.
    pub waiters_per_cluster: usize,
    /// 8.
    pub connects_in_flight: usize,
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
            plan_max: HashMap::new(),
            waiters_per_tenant: 100,
            waiters_per_cluster: 1_000,
            connects_in_flight: 8,
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

fn by_plan<'de, D: Deserializer<'de>>(from: D) -> Result<HashMap<Plan, usize>, D::Error> {
    HashMap::<String, usize>::deserialize(from)?
        .into_iter()
        .map(|(name, most)| match Plan::parse(&name) {
            Ok(plan) => Ok((plan, most)),
            Err(error) => Err(D::Error::custom(format!("`{name}` {error}"))),
        })
        .collect()
}
