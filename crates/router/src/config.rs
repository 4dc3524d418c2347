//! What can be set about a router.

use std::collections::HashMap;
use std::time::Duration;

use tenantry_types::{DomainName, Plan};

use crate::budget::Rules;

/// The settings of a [`Router`](crate::Router). `Config::default()` has every default below.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domains whose subdomains are tenants. Default: `localhost`.
    pub base_domains: Vec<DomainName>,
    /// Connections that one tenant may hold at a time, unless its plan says otherwise. Default: 10.
    pub per_tenant_max: usize,
    /// The same for the tenants on a plan. Default: none.
    pub plan_max: HashMap<Plan, usize>,
    /// Requests of one tenant that may wait for a connection; one more is told that the tenant is
    /// busy. Default: 100.
    pub waiters_per_tenant: usize,
    /// The same over all tenants of a cluster. Where it is full, a tenant with a short queue takes
    /// the place of the newest in the longest one. Default: 1,000.
    pub waiters_per_cluster: usize,
    /// Connections that are being opened on a cluster at a time, by one tenant no more than half of
    /// them. As many again may be attempts that the server has not answered in time. When this router
    /// dies, twice as many slots at most, the logins that may be under way, are given to others only
    /// after the server's own time limit for logins. Default: 8.
    pub connects_in_flight: usize,
    /// How long an unused connection is kept. Default: 60 s.
    pub idle: Duration,
    /// How long a request waits for a connection before it is told that there is none. Default: 3 s.
    pub acquire_wait: Duration,
    /// How long opening a connection and reading its identity may take together. Default: 3 s.
    pub connect_timeout: Duration,
    /// How long an attempt to connect that was not answered in time keeps its slot, unless its end is seen
    /// before: no less than the servers' `authentication_timeout`. Default: 60 s, as Postgres has it.
    pub login_time: Duration,
    /// How many tenants, and how many names of tenants, are remembered. Default: 100,000.
    pub cache_capacity: u64,
    /// After how long a remembered tenant is read again though nothing was said to have changed;
    /// each entry takes up to a tenth off, so that not all expire at once. Default: 5 min.
    pub cache_ttl: Duration,
    /// How long it is remembered that a name leads nowhere. Default: 2 s.
    pub negative_ttl: Duration,
    /// How many names that lead nowhere are remembered. Default: 10,000.
    pub negative_capacity: u64,
    /// How long this router counts as alive after its last renewal. Default: 5 s.
    pub lease: Duration,
    /// How often the change log is read though nobody said that there is something. Default: 1 s.
    pub poll: Duration,
    /// Whether to listen for notifications of changes. Off behind a pooler in transaction mode:
    /// then a change takes up to one `poll`. Default: on.
    pub listen: bool,
    /// How long known tenants are served while the catalog cannot be reached. Default: 5 min.
    pub away: Duration,
    /// How long a lease may go on after its tenant was fenced, purged, disconnected or moved,
    /// before its connection is ended on the server. Default: 3 s.
    pub drain_deadline: Duration,
    /// What this router takes of every cluster's budget at most. Default: what there is.
    pub budget_override: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_domains: DomainName::parse("localhost").into_iter().collect(),
            per_tenant_max: 10,
            plan_max: HashMap::new(),
            waiters_per_tenant: 100,
            waiters_per_cluster: 1_000,
            connects_in_flight: 8,
            idle: Duration::from_secs(60),
            acquire_wait: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            login_time: Duration::from_secs(60),
            cache_capacity: 100_000,
            cache_ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(2),
            negative_capacity: 10_000,
            lease: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            listen: true,
            away: Duration::from_secs(300),
            drain_deadline: Duration::from_secs(3),
            budget_override: None,
        }
    }
}

impl Config {
    /// How many connections a tenant on this plan may hold, or one that has a number of its own. The one
    /// place that knows.
    pub(crate) fn connections_of(&self, plan: &Plan, own: Option<u32>) -> usize {
        let own = own.and_then(|own| usize::try_from(own).ok());
        let most = own.or_else(|| self.plan_max.get(plan).copied());
        most.unwrap_or(self.per_tenant_max).max(1)
    }

    /// The most logins that a cluster's server may have under way for this router.
    pub(crate) fn logins_in_flight(&self) -> usize {
        self.connects_in_flight.max(1).saturating_mul(2)
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            waiters_per_tenant: self.waiters_per_tenant,
            waiters_per_cluster: self.waiters_per_cluster,
            connects: self.connects_in_flight.max(1),
        }
    }
}
