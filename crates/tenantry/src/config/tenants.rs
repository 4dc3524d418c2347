//! What is done with tenants.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// How tenants are named, how their domains are proven, and how long deleted ones are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct TenantSettings {
    /// `purge_after`: 7d.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub purge_after: Duration,
    /// `redirect_after_rename`: 7d.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub redirect_after_rename: Duration,
    /// `names`: readable.
    pub names: Naming,
    /// `spares`: 2.
    pub spares: usize,
    /// `spares_max`: 20.
    pub spares_max: usize,
    /// `doctor_every`: 1h.
    #[serde(deserialize_with = "super::duration::or_zero")]
    pub doctor_every: Duration,
    /// `dns_resolver`: the system's.
    pub dns_resolver: Option<SocketAddr>,
    /// `domain_recheck`: 1d.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub domain_recheck: Duration,
    /// `domain_lapse_after`: 14d.
    #[serde(deserialize_with = "super::duration::or_zero")]
    pub domain_lapse_after: Duration,
}

/// Names of databases and logins. Any login of a cluster can list its databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// `tenant_acme`: holds the slug.
    #[default]
    Readable,
    /// Hides who the customers are.
    Opaque,
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            purge_after: Duration::from_secs(7 * 24 * 3600),
            redirect_after_rename: Duration::from_secs(7 * 24 * 3600),
            names: Naming::Readable,
            spares: 2,
            spares_max: 20,
            doctor_every: Duration::from_secs(3600),
            dns_resolver: None,
            domain_recheck: Duration::from_secs(24 * 3600),
            domain_lapse_after: Duration::from_secs(14 * 24 * 3600),
        }
    }
}
