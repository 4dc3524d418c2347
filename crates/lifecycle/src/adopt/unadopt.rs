//! An adopted database goes back to whom it was of, as it was, with all that was written since. The tenant is gone then.

use std::sync::Arc;

use sqlx::PgConnection;
use tenantry_catalog::adoptions::{self, State};
use tenantry_catalog::operations::Operation;
use tenantry_catalog::tenants::{self, Status, Tenant, TenantRef};
use tenantry_catalog::{change_log, databases, operation_secrets};
use tenantry_cluster::Mark;
use tenantry_cluster::adoption::{self, Former};

use super::Place;
use crate::asker::Asker;
use crate::delete::{Ending, Params};
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::place::{self, Session};
use crate::{Lifecycle, Started};

/// The names of the steps of the way back, in order.
pub const STEPS: &[&str] = &["fence", "drain", "unfurnish", "logins", "return", "forget"];

/// The operation `unadopt`.
pub struct Unadopt(Ending);

impl Kind for Unadopt {
    const NAME: &'static str = "unadopt";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<Unadopt>] = &[
            Step {
                name: "fence",
                run: |work| Box::pin(work.0.fence()),
                undo: None,
            },
            Step {
                name: "drain",
                run: |work| Box::pin(work.0.drain()),
                undo: None,
            },
            Step {
                name: "unfurnish",
                run: |work| Box::pin(work.unfurnish()),
                undo: None,
            },
            Step {
                name: "logins",
                run: |work| Box::pin(work.drop_logins()),
                undo: None,
            },
            Step {
                name: "return",
                run: |work| Box::pin(work.give_back()),
                undo: None,
            },
            Step {
                name: "forget",
                run: |work| Box::pin(work.forget()),
                undo: None,
            },
        ];
        LIST
    }

    fn result(&self) -> serde_json::Value {
        serde_json::json!({ "database": self.0.params.names.first() })
    }
}

impl Lifecycle {
    /// Begins to give a tenant's adopted database back, and to forget the tenant.
    ///
    /// # Errors
    /// [`StartError::NotAdopted`] when the database is one that we made, [`StartError::AdoptionHeld`] when its former
    /// owner is no more or something needs our tables; see [`StartError`]. Nothing was changed.
    pub async fn unadopt(&self, tenant: &TenantRef, asker: Asker) -> Result<Started, StartError> {
        let deps = self.deps();
        let found = self.find(tenant).await?;
        let mut conn = deps.catalog.acquire().await?;
        let adopted = adoptions::by_tenant(&mut conn, found.id)
            .await?
            .ok_or(StartError::NotAdopted)?;
        let database = databases::by_id(&mut conn, adopted.database_id)
            .await?
            .ok_or(StartError::NotAdopted)?;
        drop(conn);
        let reached = self.reach_found(found).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);
        if let Some(former) = adopted.former {
            let former: Former = serde_json::from_value(former)
                .map_err(|error| StartError::Vault(Box::new(error)))?;
            let held = self.held(&reached.session, &database, &former).await?;
            if !held.is_empty() {
                return Err(StartError::AdoptionHeld(held));
            }
        }

        let mut tx = deps.catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let params = Params::of(&mut tx, &locked, None).await?;
        let fence = self
            .record::<Unadopt>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.unadopt",
            Some(tenant_id),
            None,
            serde_json::json!({
                "slug": locked.slug.as_str(),
                "operationId": id,
                "database": database.name.as_str(),
                "from": { "status": locked.status, "purgeAt": locked.purge_at },
            }),
        )
        .await?;
        adoptions::set_state(&mut tx, database.id, State::Returning).await?;
        // No purge is ever due for it, and nothing but this goes on with it.
        let why = "The database is being given back to its former owner.";
        tenants::set_status(&mut tx, tenant_id, Status::Error, Some(why)).await?;
        change_log::append(&mut tx, tenant_id, change_log::Kind::Fenced).await?;
        tx.commit().await?;

        let ending = Ending::begun(self, reached, fence, params);
        self.carry(ending.lease.clone(), Unadopt(ending));
        Ok(Started::anew(id, Some(tenant_id)))
    }

    /// What keeps a database from being given back as it was.
    async fn held(
        &self,
        session: &Session,
        database: &databases::Database,
        former: &Former,
    ) -> Result<Vec<String>, StartError> {
        let admin = place::admin_of(self.deps(), session.cluster())?;
        let mut conn = session.admin().await.map_err(place::start_error)?;
        let mut inside = admin.enter(&database.name, "tenantry/adopt").await?;
        let mark = Mark::new(self.deps().installation, database.id);
        let held = adoption::held_by(&mut conn, &mut inside, &mark, former).await;
        inside.close().await;
        Ok(held?)
    }
}

/// Whether a tenant may be deleted, or purged at once: a database that somebody else made is only ever dropped when
/// its grace period has ended, and never half-way between two owners.
pub(crate) async fn may_end(
    conn: &mut PgConnection,
    tenant: &Tenant,
    at_once: bool,
) -> Result<(), StartError> {
    match adoptions::by_tenant(conn, tenant.id).await? {
        None => Ok(()),
        Some(adoption) if adoption.state != State::Held => Err(StartError::WrongState(
            "the tenant's database is between two owners: retry the operation that waits, or un-adopt the tenant",
        )),
        Some(_) if at_once => Err(StartError::Adopted),
        Some(_) => Ok(()),
    }
}

impl Unadopt {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ending::resume(life, operation, lease).await.map(Self)
    }

    fn place(&self) -> Result<Place<'_>, StepError> {
        let missing = || place::missing("The operation names no database.");
        let names = self.0.params.names()?;
        Ok(Place {
            life: &self.0.life,
            lease: &self.0.lease,
            session: &self.0.session,
            database_id: self.0.params.database_id.ok_or_else(missing)?,
            name: names.into_iter().next().ok_or_else(missing)?,
        })
    }

    async fn unfurnish(&self) -> Result<(), StepError> {
        self.place()?.unfurnish().await
    }

    async fn drop_logins(&self) -> Result<(), StepError> {
        self.place()?.drop_logins().await
    }

    async fn give_back(&self) -> Result<(), StepError> {
        self.place()?.give_back().await
    }

    /// Removes the tenant's rows; its slug and its domains are free again.
    async fn forget(&self) -> Result<(), StepError> {
        let work = &self.0;
        let mut tx = work.life.deps().catalog.begin().await?;
        crate::worker::guard(&mut tx, &work.lease).await?;
        if let Some(id) = work.params.database_id {
            databases::remove(&mut tx, id).await?;
        }
        operation_secrets::remove_of_tenant(&mut tx, work.tenant_id).await?;
        tenants::remove(&mut tx, work.tenant_id).await?;
        change_log::append(&mut tx, work.tenant_id, change_log::Kind::Purged).await?;
        tx.commit().await?;
        Ok(())
    }
}
