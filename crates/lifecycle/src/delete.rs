//! Deletion: the tenant is gone for everybody at once, and can come back until the grace period ends.

use std::sync::Arc;

use chrono::Duration;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::tenants::{self, Status, Tenant, TenantRef};
use tenantry_catalog::{change_log, databases};
use tenantry_cluster::{Mark, fence, names};
use tenantry_types::{ClusterId, DatabaseId, DbName, OperationId, RoleName, TenantId, Timestamp};

use crate::asker::Asker;
use crate::begin::Reached;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::place::{self, Durability, Session, cluster_failure};
use crate::{Create, Lifecycle, Purge, create, dump};

/// The names of the steps of a deletion, in order.
pub const STEPS: &[&str] = &["fence", "drain"];

/// What a request to delete began.
#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The operation to wait for; none when the tenant was deleted before.
    pub operation_id: Option<OperationId>,
    /// When its data will be gone; none when that begins now.
    pub purge_at: Option<Timestamp>,
}

/// The operation `delete`: fence the tenant's logins, drain the routers. Its data stays.
pub struct Delete(pub(crate) Ending);

impl Kind for Delete {
    const NAME: &'static str = "delete";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Delete>] = &[
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
        ];
        STEPS
    }
}

/// What the operations that end a tenant keep of their request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params {
    pub cluster_id: ClusterId,
    pub database_id: Option<DatabaseId>,
    /// The names that the database may have: one, or those of a creation that did not get to its end.
    pub names: Vec<String>,
    /// Whether a purge takes a final dump first, as was set when it began.
    #[serde(default)]
    pub dump: bool,
}

/// What the operations that end a tenant share.
pub(crate) struct Ending {
    pub life: Lifecycle,
    pub lease: Arc<Lease>,
    pub tenant_id: TenantId,
    pub params: Params,
    pub session: Session,
}

impl Lifecycle {
    /// Deletes a tenant: nobody reaches it any more when the operation is done. With `purge` its
    /// data goes at once, otherwise when the grace period ends.
    ///
    /// The cluster is reached before anything is written, so a server that is down changes nothing.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed.
    pub async fn delete(
        &self,
        tenant: &TenantRef,
        purge: bool,
        asker: Asker,
    ) -> Result<Deletion, StartError> {
        let wanted = if purge { Wanted::Purge } else { Wanted::Delete };
        self.end(tenant, wanted, asker).await
    }

    /// Purges a tenant whose grace period has ended; does nothing if it came back meanwhile.
    pub(crate) async fn purge_when_due(
        &self,
        tenant: TenantId,
        asker: Asker,
    ) -> Result<Deletion, StartError> {
        self.end(&TenantRef::Id(tenant), Wanted::PurgeWhenDue, asker)
            .await
    }

    async fn end(
        &self,
        tenant: &TenantRef,
        wanted: Wanted,
        asker: Asker,
    ) -> Result<Deletion, StartError> {
        let deps = self.deps();
        let found = self.find(tenant).await?;
        if !wanted.applies_to(&found, deps.clock.now()) {
            return Ok(Deletion {
                tenant_id: found.id,
                operation_id: None,
                purge_at: found.purge_at,
            });
        }
        let (tenant_id, purge_at) = (found.id, found.purge_at);
        let reached = self.reach_found(found).await?;
        let id = reached.operation;
        let begun = self.record_end(tenant_id, id, wanted, &asker).await?;

        let Some(begun) = begun else {
            return Ok(Deletion {
                tenant_id,
                operation_id: None,
                purge_at,
            });
        };
        let ending = Ending::begun(self, reached, begun.fence, begun.params);
        let lease = ending.lease.clone();
        if wanted.purges() {
            self.carry(lease, Purge(ending));
        } else {
            self.carry(lease, Delete(ending));
        }
        Ok(Deletion {
            tenant_id,
            operation_id: Some(id),
            purge_at: begun.purge_at,
        })
    }

    /// Sets the tombstone and begins the operation, in one transaction. None when another request
    /// deleted the tenant meanwhile and nothing is left to begin.
    async fn record_end(
        &self,
        tenant_id: TenantId,
        id: OperationId,
        wanted: Wanted,
        asker: &Asker,
    ) -> Result<Option<Begun>, StartError> {
        let deps = self.deps();
        let mut tx = deps.catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let now = deps.clock.now();
        if !wanted.applies_to(&locked, now) {
            return Ok(None);
        }
        let purge = wanted.purges();
        crate::adopt::may_end(&mut tx, &locked, wanted == Wanted::Purge).await?;
        // An operation that waits for a person gives way: there will be nothing left to repair.
        let superseded = if purge {
            operations::supersede_parked(&mut tx, tenant_id, id).await?
        } else {
            None
        };
        // What a creation left that a person gave up is as much the tenant's as what one left that waits.
        let unfinished = match superseded {
            Some(parked) if parked.kind == Create::NAME => Some(parked),
            _ => operations::given_up(&mut tx, tenant_id, Create::NAME).await?,
        };
        let purge_at = if purge {
            now
        } else {
            now + Duration::from_std(deps.settings.purge_after).unwrap_or(Duration::days(7))
        };
        let mut params = Params::of(&mut tx, &locked, unfinished.as_ref()).await?;
        // What never was a whole tenant has nothing to dump.
        params.dump = purge && unfinished.is_none() && dump::last::wanted(self);
        let tenant = Some(locked.id);
        let fence = if purge {
            self.record::<Purge>(&mut tx, id, tenant, &params, asker)
                .await?
        } else {
            self.record::<Delete>(&mut tx, id, tenant, &params, asker)
                .await?
        };
        self.audit(
            &mut tx,
            asker,
            if purge {
                "tenant.purge"
            } else {
                "tenant.delete"
            },
            Some(tenant_id),
            None,
            serde_json::json!({
                "slug": locked.slug.as_str(),
                "operationId": id,
                "from": { "status": locked.status, "purgeAt": locked.purge_at },
                "to": { "status": Status::Deleting, "purgeAt": purge_at },
            }),
        )
        .await?;
        tenants::set_deleting(&mut tx, tenant_id, purge_at, None).await?;
        change_log::append(&mut tx, tenant_id, change_log::Kind::Fenced).await?;
        tx.commit().await?;
        Ok(Some(Begun {
            fence,
            params,
            purge_at: (!purge).then_some(purge_at),
        }))
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Gone for everybody, its data kept for the grace period.
    Delete,
    /// Its data gone as well, now.
    Purge,
    /// Its data gone, if it still is deleted and its grace period has ended.
    PurgeWhenDue,
}

impl Wanted {
    fn purges(self) -> bool {
        self != Self::Delete
    }

    /// Asked again under the tenant's lock: it may have been deleted, or brought back, meanwhile.
    fn applies_to(self, tenant: &Tenant, now: Timestamp) -> bool {
        match self {
            Self::Delete => tenant.status != Status::Deleting,
            Self::Purge => true,
            Self::PurgeWhenDue => tenant.purge_at.is_some_and(|due| due <= now),
        }
    }
}

struct Begun {
    fence: i64,
    params: Params,
    purge_at: Option<Timestamp>,
}

impl Delete {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ending::resume(life, operation, lease).await.map(Self)
    }
}

impl Params {
    /// Where the tenant's data is. `unfinished` is a creation that waits for a person, or that one gave
    /// up: what it made has no tenant yet.
    pub(crate) async fn of(
        conn: &mut PgConnection,
        tenant: &Tenant,
        unfinished: Option<&Operation>,
    ) -> Result<Self, StartError> {
        let database = databases::by_tenant(conn, tenant.id).await?;
        let birth: Option<create::Params> = unfinished
            .filter(|operation| operation.kind == Create::NAME)
            .and_then(|operation| serde_json::from_value(operation.params.clone()).ok());
        let (database_id, names) = match (database, birth) {
            // The catalog and Postgres may not agree on the name yet.
            (_, Some(birth)) => (
                Some(birth.database_id),
                birth
                    .bases()
                    .map_err(|error| StartError::Vault(Box::new(error)))?
                    .iter()
                    .map(|name| name.as_str().to_owned())
                    .collect(),
            ),
            (Some(database), None) => (Some(database.id), vec![database.name.as_str().to_owned()]),
            (None, None) => (None, Vec::new()),
        };
        Ok(Self {
            cluster_id: tenant.cluster_id,
            database_id,
            names,
            dump: false,
        })
    }

    /// The names, parsed again.
    pub(crate) fn names(&self) -> Result<Vec<DbName>, StepError> {
        self.names
            .iter()
            .map(|name| DbName::parse(name).map_err(|error| place::vault_failure(&error)))
            .collect()
    }
}

/// Whom the fence is for.
#[derive(Clone, Copy)]
enum Door {
    /// All logins.
    All,
    /// Those by which the tenant is used.
    Use,
}

impl Ending {
    /// One whose operation was recorded just now.
    pub(crate) fn begun(life: &Lifecycle, reached: Reached, fence: i64, params: Params) -> Self {
        let tenant_id = reached.tenant.id;
        let (lease, session) = reached.held(life, fence);
        Self {
            life: life.clone(),
            lease,
            tenant_id,
            params,
            session,
        }
    }

    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        let params: Params = crate::worker::params(operation)?;
        let tenant_id = operation
            .tenant_id
            .ok_or_else(|| place::missing("The operation names no tenant."))?;
        let mut conn = life.deps().catalog.acquire().await?;
        let cluster = place::cluster(&mut conn, params.cluster_id).await?;
        Ok(Self {
            life: life.clone(),
            tenant_id,
            params,
            session: Session::resumed(life, cluster, lease.clone(), Durability::Each),
            lease,
        })
    }

    /// Closes the door in Postgres itself: no login of the tenant gets in, none stays in.
    pub(crate) async fn fence(&self) -> Result<(), StepError> {
        self.close(Door::All).await
    }

    /// Closes the door to all but the owner's login, which is ours and runs migrations only: those go on
    /// while a tenant is suspended.
    pub(crate) async fn fence_use(&self) -> Result<(), StepError> {
        self.close(Door::Use).await
    }

    async fn close(&self, door: Door) -> Result<(), StepError> {
        let Some(id) = self.params.database_id else {
            return Ok(());
        };
        let mark = Mark::new(self.life.deps().installation, id);
        let mut admin = self.session.admin().await?;
        for name in self.params.names()? {
            // Under a name that an unfinished creation only wanted, somebody else may live.
            let found = tenantry_cluster::databases::mark_of(&mut admin, &name)
                .await
                .map_err(cluster_failure)?;
            if found != Some(mark) {
                continue;
            }
            let logins = names::login_names(&name);
            // Nothing opens these again.
            let mut out = tenantry_cluster::logins::temporary::of(&mut admin, &mark)
                .await
                .map_err(cluster_failure)?;
            let closed = match door {
                Door::All => {
                    out.extend(logins.all());
                    fence::close(&mut admin, &name, &out).await
                }
                Door::Use => {
                    out.extend(logins.of_use());
                    fence::close_but(&mut admin, &name, &out, &logins.owner).await
                }
            };
            closed.map_err(cluster_failure)?;
        }
        Ok(())
    }

    /// Lets the tenant's logins in again.
    pub(crate) async fn unfence(&self) -> Result<(), StepError> {
        self.unfence_some(|logins| logins.all().to_vec()).await
    }

    /// Lets the login in again that a suspended tenant has.
    pub(crate) async fn unfence_owner(&self) -> Result<(), StepError> {
        self.unfence_some(|logins| vec![logins.owner.clone()]).await
    }

    async fn unfence_some(
        &self,
        which: fn(&names::Logins) -> Vec<RoleName>,
    ) -> Result<(), StepError> {
        let mut admin = self.session.admin().await?;
        for name in self.params.names()? {
            fence::reopen(&mut admin, &which(&names::login_names(&name)))
                .await
                .map_err(cluster_failure)?;
        }
        Ok(())
    }

    /// Waits until every live router has let the tenant go.
    pub(crate) async fn drain(&self) -> Result<(), StepError> {
        self.life.routers_applied().await
    }
}
