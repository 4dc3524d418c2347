//! A tenant's birth: claim a spare database; with no spare at hand, make one first.
//!
//! The tenant's row, its domains, the operation and the audit line are one transaction, so that a
//! name is taken or refused at once; the same transaction takes a spare for it. The steps then make
//! the database where there was none, give it the tenant's name, prove the way into it as the
//! tenant, and open it for requests.

pub(crate) mod begin;
pub(crate) mod claim;

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tenantry_catalog::operations;
use tenantry_cluster::names;
use tenantry_router::ProvenConn;
use tenantry_tenantdb::passwords::{HashError, PasswordHash};
use tenantry_types::{
    ClusterId, DatabaseId, DbHost, DbName, DomainName, Email, Plan, Secret, Slug, TenantId, UserId,
};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::Lifecycle;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::making::{Known, Making, Origin};
use crate::place::{self, Session};

/// A customer to make, checked at the edge.
#[derive(Clone, Debug)]
pub struct CreateTenant {
    /// What people call it.
    pub name: String,
    /// Its short name; also its label under the base domain.
    pub slug: Slug,
    /// The host name it is known by first, where that is not the slug's.
    pub primary_domain: Option<PrimaryDomain>,
    /// Its plan.
    pub plan: Plan,
    /// On which cluster.
    pub cluster: ClusterChoice,
    /// In which region; none: in any.
    pub region: Option<String>,
    /// The first person in it, with every permission.
    pub admin: Option<AdminUser>,
    /// Free keys of the product: a JSON object.
    pub metadata: serde_json::Value,
}

/// The host name a tenant is known by first.
#[derive(Clone, Debug)]
pub enum PrimaryDomain {
    /// Another label under the base domain.
    Subdomain(Slug),
    /// A name of the customer's own.
    Custom(DomainName),
}

/// Which cluster a tenant goes to.
#[derive(Clone, Debug)]
pub enum ClusterChoice {
    /// Where a further tenant has most; see `placement.rs`.
    Any,
    /// By its name.
    Named(String),
    /// By its address.
    At {
        /// Host name or address.
        host: DbHost,
        /// Port; 5432 where none was given.
        port: u16,
    },
}

/// The first person in a new tenant.
#[derive(Clone, Debug)]
pub struct AdminUser {
    /// Their address, unique in the tenant.
    pub email: Email,
    /// Their password; where none is given one is made and told once.
    pub password: Option<Secret>,
}

/// What the catalog keeps of a creation. No secret and no mail address: those are sealed apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params {
    pub slug: String,
    pub cluster_id: ClusterId,
    pub database_id: DatabaseId,
    /// Whether the database was a spare, so that nothing has to be made.
    #[serde(default)]
    pub from_spare: bool,
    pub admin_id: Option<UserId>,
    /// What the database is cloned from: known at the beginning, or chosen by the step `template`.
    pub template: Option<Origin>,
    /// The name that the database and its logins get: chosen at the beginning, and once more by the
    /// step `claim` when somebody took it meanwhile.
    pub base: Option<String>,
}

impl Params {
    /// The template, which the step of this name chose before.
    fn template(&self) -> Result<&Origin, StepError> {
        self.template
            .as_ref()
            .ok_or_else(|| place::missing("The operation chose no template."))
    }

    /// The names that the database and its logins may have: as a spare, and as the tenant's.
    pub(crate) fn bases(&self) -> Result<Vec<DbName>, StepError> {
        let mut bases = vec![names::spare(self.database_id)];
        if let Some(base) = &self.base {
            bases.push(DbName::parse(base).map_err(|error| place::vault_failure(&error))?);
        }
        Ok(bases)
    }
}

impl Create {
    fn making(&self, params: &Params) -> Result<Making<'_>, StepError> {
        Ok(Making {
            life: &self.life,
            lease: &self.lease,
            session: &self.session,
            cluster: params.cluster_id,
            database: params.database_id,
            bases: params.bases()?,
            known: &self.known,
        })
    }

    /// Keeps what a step chose, before anything is done with it.
    async fn keep(&self, params: &Params) -> Result<(), StepError> {
        let mut conn = self.life.deps().catalog.acquire().await?;
        let value = serde_json::to_value(params).unwrap_or_default();
        let (id, fence) = (self.lease.operation(), self.lease.fence());
        if operations::set_params(&mut conn, id, fence, &value).await? {
            Ok(())
        } else {
            Err(StepError::Interrupted(None))
        }
    }
}

/// The first person, as sealed in the running operation.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealedAdmin {
    pub email: String,
    pub password: String,
    /// Whether we made the password and have to tell it.
    pub made: bool,
}

/// The names of the steps of a creation, in order.
pub const STEPS: &[&str] = &["reserve", "template", "clone", "claim", "seed", "activate"];

/// The password hash of the first person, worked out beside the other steps.
pub(crate) type Hashing = JoinHandle<Result<PasswordHash, HashError>>;

/// The operation `create`.
pub struct Create {
    life: Lifecycle,
    lease: Arc<Lease>,
    tenant_id: TenantId,
    from_spare: bool,
    params: Mutex<Params>,
    session: Session,
    known: Known,
    hashing: Mutex<Option<Hashing>>,
    /// The way into the tenant's database that the step `seed` has proven, for the router.
    way: Mutex<Option<ProvenConn>>,
    /// The change that opened the tenant, if this drive did.
    opened: OnceLock<i64>,
}

impl Kind for Create {
    const NAME: &'static str = "create";
    const ON_FAILURE: OnFailure = OnFailure::Undo;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Create>] = &[
            Step {
                name: "reserve",
                run: |work| Box::pin(begin::reserved(work)),
                undo: Some(|work| Box::pin(begin::unreserve(work))),
            },
            Step {
                name: "template",
                run: |work| Box::pin(template(work)),
                undo: None,
            },
            Step {
                name: "clone",
                run: |work| Box::pin(clone(work)),
                undo: None,
            },
            Step {
                name: "claim",
                run: |work| Box::pin(claim::claim(work)),
                undo: None,
            },
            Step {
                name: "seed",
                run: |work| Box::pin(claim::seed(work)),
                undo: Some(|work| Box::pin(claim::unseed(work))),
            },
            Step {
                name: "activate",
                run: |work| Box::pin(claim::activate(work)),
                undo: None,
            },
        ];
        STEPS
    }

    fn skips(&self, step: &str) -> bool {
        self.from_spare && matches!(step, "template" | "clone")
    }

    /// Our own router forgets at once that there was nothing at this name; others within a moment.
    async fn beside_the_end(&self) {
        if let Some(number) = self.opened.get() {
            self.life.deps().router.wait_applied(*number).await;
        }
    }

    fn result(&self) -> serde_json::Value {
        serde_json::json!({ "database": if self.from_spare { "spare" } else { "template" } })
    }
}

async fn template(work: &Create) -> Result<(), StepError> {
    let mut params = work.params.lock().await;
    if params.template.is_none() {
        params.template = Some(work.making(&params)?.template().await?);
        work.keep(&params).await?;
    }
    Ok(())
}

async fn clone(work: &Create) -> Result<(), StepError> {
    let params = work.params.lock().await.clone();
    work.making(&params)?.clone(params.template()?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_list_names_the_steps() {
        let names: Vec<_> = Create::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
    }
}
