//! What the lifecycle works with, given to it by the binary.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::PgPool;
use tenantry_router::Router;
use tenantry_tenantdb::passwords::Hashing;
use tenantry_types::{Clock, Entropy, InstallationId};
use tenantry_vault::{AdminKeys, DirectoryKey, RouteKeys};

use crate::engine::Faults;

/// Everything the lifecycle works with.
pub struct Deps {
    /// The catalog, through the control plane's own login.
    pub catalog: PgPool,
    /// Opens and seals what only the control plane may know.
    pub admin_keys: AdminKeys,
    /// Seals what routers must open. The lifecycle seals with it and opens nothing of a tenant's.
    pub route_keys: RouteKeys,
    /// Hashes mail addresses for the catalog's directory.
    pub directory: DirectoryKey,
    /// The only opener of tenant connections.
    pub router: Router,
    /// Whose databases we may touch.
    pub installation: InstallationId,
    /// Hashes passwords, as many at once as there are cores.
    pub hashing: Hashing,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// What an operator may set.
    pub settings: Settings,
    /// Faults for tests; none in a program in use.
    pub faults: Faults,
}

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a deleted tenant can come back. Default 7 days.
    pub purge_after: Duration,
    /// How long the subdomain of a former slug redirects to the present one's, where nobody says
    /// otherwise. Default 7 days.
    pub redirect_after_rename: Duration,
    /// How long a driver holds an operation without renewing. Default 6 s, at most 10 s.
    pub lease: Duration,
    /// How often a worker looks for operations without a driver. Default 500 ms.
    pub poll: Duration,
    /// How many operations are driven at once by this process; more wait for their turn. Default 8.
    pub at_once: usize,
    /// How many spare databases are kept ready on each cluster. Default 2.
    pub spares: usize,
    /// How many spares to keep ready at most while tenants come faster than that.
    pub spares_max: usize,
    /// How many tenants are migrated at once per run. Default 4.
    pub parallel_migrations: usize,
    /// How databases and logins are named.
    pub naming: Naming,
    /// How long an answer that holds a password can be replayed. Default 24 h.
    pub answers_kept: Duration,
    /// Whom to ask about domains' records. Default: whom this machine asks.
    pub dns_resolver: Option<SocketAddr>,
    /// How often the record of a served domain is looked for again. Default 24 h.
    pub domain_recheck: Duration,
    /// For how long its record must have been gone before a domain is served no more; zero: it is
    /// served whatever becomes of the record. Default 14 days.
    pub domain_lapse_after: Duration,
    /// How old a tenant's router login may become before it is rotated; none: only when somebody asks.
    pub rotation_every: Option<Duration>,
    /// Over how long the scheduled rotations that are due at once are spread. Default 10 min.
    pub rotation_jitter: Duration,
    /// How long sessions of a router login that was rotated out may go on. Default 5 min.
    pub rotation_wait: Duration,
    /// How many tenants of a fleet are rotated at once. Default 4.
    pub rotations_at_once: usize,
    /// How often the doctor looks by itself; zero: only when somebody asks. Default 1 h.
    pub doctor_every: Duration,
    /// What this process is called where several are told apart.
    pub replica: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            purge_after: Duration::from_secs(7 * 24 * 3600),
            redirect_after_rename: Duration::from_secs(7 * 24 * 3600),
            lease: Duration::from_secs(6),
            poll: Duration::from_millis(500),
            at_once: 8,
            spares: 2,
            spares_max: 20,
            parallel_migrations: 4,
            naming: Naming::Readable,
            answers_kept: Duration::from_secs(24 * 3600),
            dns_resolver: None,
            domain_recheck: Duration::from_secs(24 * 3600),
            domain_lapse_after: Duration::from_secs(14 * 24 * 3600),
            rotation_every: None,
            rotation_jitter: Duration::from_secs(600),
            rotation_wait: Duration::from_secs(300),
            rotations_at_once: 4,
            doctor_every: Duration::from_secs(3600),
            replica: "this process".to_owned(),
        }
    }
}

/// How databases and logins are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Naming {
    /// `tenant_<slug>`.
    #[default]
    Readable,
    /// `tenant_<12 hex digits>`: any login can list `pg_database`, so this hides who the customers are.
    Opaque,
}
