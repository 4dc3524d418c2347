//! A database that somebody else made becomes a tenant's where it stands, and can go back as it was.
//!
//! Nothing is copied. How the database was is in the catalog before anything is changed (step `look`), in a form that
//! later releases read; each step has its undoing, which ends in the database that was there before. `unadopt.rs` is
//! the same way back for a tenant that was served. `docs/adr/0026-a-database-is-adopted-where-it-stands.md` says why so.

mod begin;
mod steps;
mod unadopt;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenantry_catalog::adoptions;
use tenantry_cluster::Mark;
use tenantry_cluster::adoption::{Consent, Former};
use tenantry_router::ProvenConn;
use tenantry_types::{ClusterId, DatabaseId, DbName, TenantId, UserId};
use tokio::sync::Mutex;

pub use begin::{AdoptTenant, Checked};
pub(crate) use unadopt::may_end;
pub use unadopt::{STEPS as UNADOPT_STEPS, Unadopt};

use crate::Lifecycle;
use crate::create::Hashing;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::place::{self, Session};

/// The names of the steps of an adoption, in order.
pub const STEPS: &[&str] = &[
    "reserve", "look", "close", "furnish", "logins", "migrate", "seed", "activate",
];

/// What the catalog keeps of an adoption.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params {
    pub cluster_id: ClusterId,
    pub database_id: DatabaseId,
    /// The database's name, which it keeps.
    pub database: String,
    pub admin_id: Option<UserId>,
    pub consent: Consent,
}

/// The operation `adopt`.
pub struct Adopt {
    life: Lifecycle,
    lease: Arc<Lease>,
    tenant_id: TenantId,
    params: Params,
    session: Session,
    hashing: Mutex<Option<Hashing>>,
    /// The way into the database that the step `seed` has proven, for the router.
    way: Mutex<Option<ProvenConn>>,
}

impl Kind for Adopt {
    const NAME: &'static str = "adopt";
    const ON_FAILURE: OnFailure = OnFailure::Undo;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<Adopt>] = &[
            Step {
                name: "reserve",
                run: |work| Box::pin(steps::reserved(work)),
                undo: Some(|work| Box::pin(steps::unreserve(work))),
            },
            Step {
                name: "look",
                run: |work| Box::pin(steps::look(work)),
                undo: None,
            },
            Step {
                name: "close",
                run: |work| Box::pin(steps::close(work)),
                undo: Some(|work| Box::pin(steps::give_back(work))),
            },
            Step {
                name: "furnish",
                run: |work| Box::pin(steps::furnish(work)),
                undo: Some(|work| Box::pin(steps::unfurnish(work))),
            },
            Step {
                name: "logins",
                run: |work| Box::pin(steps::logins(work)),
                undo: Some(|work| Box::pin(steps::drop_logins(work))),
            },
            Step {
                name: "migrate",
                run: |work| Box::pin(steps::migrate(work)),
                undo: None,
            },
            Step {
                name: "seed",
                run: |work| Box::pin(steps::seed(work)),
                undo: Some(|work| Box::pin(steps::unseed(work))),
            },
            Step {
                name: "activate",
                run: |work| Box::pin(steps::activate(work)),
                undo: None,
            },
        ];
        LIST
    }

    fn result(&self) -> serde_json::Value {
        serde_json::json!({ "database": self.params.database })
    }
}

/// What the steps of both ways work with.
struct Place<'a> {
    life: &'a Lifecycle,
    lease: &'a Lease,
    session: &'a Session,
    database_id: DatabaseId,
    name: DbName,
}

impl Place<'_> {
    fn mark(&self) -> Mark {
        Mark::new(self.life.deps().installation, self.database_id)
    }

    /// How the database was; none as long as nothing was changed.
    async fn former(&self) -> Result<Option<Former>, StepError> {
        let mut conn = self.life.deps().catalog.acquire().await?;
        let kept = adoptions::by_database(&mut conn, self.database_id).await?;
        let Some(former) = kept.and_then(|adoption| adoption.former) else {
            return Ok(None);
        };
        let former: Former =
            serde_json::from_value(former).map_err(|error| place::vault_failure(&error))?;
        if former.is_known() {
            Ok(Some(former))
        } else {
            Err(place::missing(
                "How the database was is noted in a form that this version does not know.",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_lists_name_the_steps() {
        let names: Vec<_> = Adopt::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
        let names: Vec<_> = Unadopt::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, UNADOPT_STEPS);
    }
}
