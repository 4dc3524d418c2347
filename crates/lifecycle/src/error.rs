//! Why an operation did not begin.

use tenantry_catalog::CatalogError;
use tenantry_catalog::pause::Pause;
use tenantry_cluster::ClusterError;
use tenantry_cluster::adoption::Refusal;
use tenantry_cluster::preflight::{Finding, Room};
use tenantry_types::{ErrorKind, OperationId, Timestamp};

/// Why an operation did not begin. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No tenant of that name or id.
    #[error("there is no such tenant")]
    UnknownTenant,
    /// No cluster of that name or address.
    #[error("there is no such cluster")]
    UnknownCluster,
    /// No cluster is in the region.
    #[error("no registered cluster is in this region")]
    UnknownRegion,
    /// The cluster that was asked for is in another region than the one that was asked for.
    #[error("the cluster is in another region")]
    OtherRegion,
    /// No cluster that may be taken has a place.
    #[error("no cluster that may be taken has a place for another tenant")]
    NoCapacity,
    /// New tenants are not put on the cluster that was asked for.
    #[error("the cluster takes no new tenants")]
    ClusterDraining,
    /// A cluster of this name, at this address or on this server is registered. The text is for who asks.
    #[error("{0}")]
    ClusterExists(String),
    /// There is something on the cluster that was to be removed. The text is for who asks.
    #[error("{0}")]
    ClusterInUse(String),
    /// The cluster's server is not fit, for these reasons.
    #[error("the server is not fit to be a cluster")]
    Unfit(Vec<Finding>),
    /// The budget is larger than the server has room for.
    #[error("the server has not that many connections")]
    BudgetTooLarge(Room),
    /// No cluster at all.
    #[error("no cluster is registered yet; register one with `tenantry clusters add`")]
    NoCluster,
    /// Another tenant, perhaps a deleted one in its grace period, has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// Another tenant has the domain.
    #[error("the domain is taken")]
    DomainTaken,
    /// The tenant does not have the domain.
    #[error("the tenant does not have this domain")]
    UnknownDomain,
    /// There is no room in the name for the label of the record that would prove it.
    #[error("the domain is too long to be proven")]
    DomainTooLong,
    /// Another tenant has the alias.
    #[error("the alias is taken")]
    AliasTaken,
    /// The tenant does not have the alias.
    #[error("the tenant does not have this alias")]
    UnknownAlias,
    /// It is done, but not every router has heard of it.
    #[error("some routers have not applied the change yet")]
    RoutersBehind,
    /// Another operation of this tenant is on its way or waits for a person.
    #[error("another operation of this tenant is in progress")]
    InProgress(OperationId),
    /// The tenant is not in a state in which this can be done.
    #[error("{0}")]
    WrongState(&'static str),
    /// The database cannot be taken over, for these reasons.
    #[error("the database cannot be adopted")]
    CannotAdopt(Vec<Refusal>),
    /// The tenant's database was adopted, and is not dropped before its grace period has ended.
    #[error("the tenant's database was adopted")]
    Adopted,
    /// The tenant's database was not adopted.
    #[error("the tenant's database was not adopted")]
    NotAdopted,
    /// The adopted database cannot be given back as it was, for these reasons.
    #[error("the adopted database cannot be given back")]
    AdoptionHeld(Vec<String>),
    /// With what is to be added, the tenant's metadata would be larger than it may be.
    #[error("the metadata would be too large")]
    MetadataTooLarge,
    /// There is no such operation.
    #[error("there is no such operation")]
    UnknownOperation,
    /// The operation has ended.
    #[error("{0}")]
    Ended(&'static str),
    /// The operation has no way back.
    #[error("{0}")]
    NotCancellable(&'static str),
    /// The product's login before the one it has now is good for a while yet.
    #[error("the login before this one is valid until {0}")]
    OverlapRunning(Timestamp),
    /// The tenant has no temporary login of this name.
    #[error("there is no such login")]
    UnknownLogin,
    /// Temporary logins have as many connections of the cluster as they may.
    #[error("temporary logins of the cluster hold {held} of {most} connections")]
    NoRoom {
        /// How many they hold.
        held: u32,
        /// How many they may.
        most: u32,
    },
    /// Somebody has paused all background work.
    #[error("background work is paused")]
    Paused(Pause),
    /// The idempotency key was used with another request.
    #[error("this Idempotency-Key was used with another request")]
    KeyReused,
    /// The cluster cannot be reached.
    #[error("the tenant's database server cannot be used right now")]
    Cluster(#[source] ClusterError),
    /// The catalog cannot be reached or is not as it should be.
    #[error("the catalog cannot be used right now")]
    Catalog(#[source] CatalogError),
    /// The template could not be made.
    #[error("the template could not be made: {0}")]
    Template(String),
    /// A login of a tenant's is not let in, or another database answers.
    #[error("the tenant's database did not let its login in")]
    Unproven(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored secret does not open with the configured keys.
    #[error("a stored secret does not open with the configured keys")]
    Vault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// What kind of error this is to the one who asked.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTenant
            | Self::UnknownDomain
            | Self::UnknownAlias
            | Self::UnknownCluster
            | Self::UnknownOperation
            | Self::UnknownLogin => ErrorKind::NotFound,
            Self::UnknownRegion
            | Self::OtherRegion
            | Self::Unfit(_)
            | Self::BudgetTooLarge(_)
            | Self::DomainTooLong
            | Self::MetadataTooLarge => ErrorKind::Invalid,
            Self::NoCluster | Self::NoCapacity | Self::RoutersBehind | Self::Paused(_) => {
                ErrorKind::Unavailable
            }
            Self::ClusterDraining
            | Self::ClusterExists(_)
            | Self::ClusterInUse(_)
            | Self::SlugTaken
            | Self::DomainTaken
            | Self::AliasTaken
            | Self::InProgress(_)
            | Self::WrongState(_)
            | Self::CannotAdopt(_)
            | Self::Adopted
            | Self::NotAdopted
            | Self::AdoptionHeld(_)
            | Self::Ended(_)
            | Self::NotCancellable(_)
            | Self::OverlapRunning(_)
            | Self::NoRoom { .. }
            | Self::KeyReused => ErrorKind::Conflict,
            Self::Cluster(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Template(_) | Self::Unproven(_) | Self::Vault(_) => ErrorKind::Internal,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTenant => "TENANT_NOT_FOUND",
            Self::UnknownCluster => "CLUSTER_NOT_FOUND",
            Self::UnknownRegion
            | Self::OtherRegion
            | Self::DomainTooLong
            | Self::MetadataTooLarge => "VALIDATION_FAILED",
            Self::NoCapacity => "NO_CAPACITY",
            Self::ClusterDraining => "CLUSTER_DRAINING",
            Self::ClusterExists(_) => "CLUSTER_EXISTS",
            Self::ClusterInUse(_) => "CLUSTER_IN_USE",
            Self::Unfit(_) => "CLUSTER_UNFIT",
            Self::BudgetTooLarge(_) => "BUDGET_TOO_LARGE",
            Self::UnknownDomain => "DOMAIN_NOT_FOUND",
            Self::UnknownAlias => "ALIAS_NOT_FOUND",
            Self::AliasTaken => "ALIAS_TAKEN",
            Self::RoutersBehind => "ROUTERS_BEHIND",
            Self::NoCluster => "NO_CLUSTER",
            Self::SlugTaken => "SLUG_TAKEN",
            Self::DomainTaken => "DOMAIN_TAKEN",
            Self::InProgress(_) => "OPERATION_IN_PROGRESS",
            Self::WrongState(_) => "WRONG_STATE",
            Self::CannotAdopt(refusals) => {
                refusals.first().map_or("ADOPT_NO_DATABASE", Refusal::code)
            }
            Self::Adopted => "TENANT_ADOPTED",
            Self::NotAdopted => "NOT_ADOPTED",
            Self::AdoptionHeld(_) => "ADOPTION_HELD",
            Self::UnknownOperation => "OPERATION_NOT_FOUND",
            Self::Ended(_) => "OPERATION_ENDED",
            Self::NotCancellable(_) => "OPERATION_NOT_CANCELLABLE",
            Self::OverlapRunning(_) => "OVERLAP_RUNNING",
            Self::UnknownLogin => "LOGIN_NOT_FOUND",
            Self::NoRoom { .. } => "LOGINS_FULL",
            Self::Paused(_) => "PAUSED",
            Self::KeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::Cluster(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::Template(_) | Self::Unproven(_) | Self::Vault(_) => "INTERNAL",
        }
    }
}

impl From<CatalogError> for StartError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<sqlx::Error> for StartError {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalog(error.into())
    }
}

impl From<ClusterError> for StartError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}
