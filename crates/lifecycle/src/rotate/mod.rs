//! The login that routers use is replaced by another, and no request notices.
//!
//! One transaction switches the catalog and tells the routers, which give out connections of the new
//! login from then on and end those of the old one as they come back. A request that holds one keeps
//! it. The old login is locked out when no session of it is left, or when it has had its time.

mod fleet;
pub(crate) mod schedule;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenantry_catalog::change_log;
use tenantry_catalog::logins::{self, LoginRole, Successor};
use tenantry_catalog::operation_secrets;
use tenantry_catalog::operations::Operation;
use tenantry_catalog::tenants::TenantRef;
use tenantry_cluster::names;
use tenantry_types::metric;

use crate::asker::Asker;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::place::{self, cluster_failure};
use crate::succession::{self, Params, Succession, is_served, login_of};
use crate::{Lifecycle, Started};

pub use fleet::RotateAll;

/// The names of the steps of a rotation, in order.
pub const STEPS: &[&str] = &["login", "prove", "switch", "routers", "drain", "retire"];

/// Between two looks whether sessions of the old login are left.
const LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// The operation `rotate`.
pub struct Rotate(Succession);

impl Kind for Rotate {
    const NAME: &'static str = "rotate";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    const NO_WAY_BACK: Option<&'static str> = Some("switch");
    const SERVED_WHEN_PARKED: bool = true;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<Rotate>] = &[
            Step {
                name: "login",
                run: |work| Box::pin(work.0.make()),
                undo: Some(|work| Box::pin(work.0.unmake())),
            },
            Step {
                name: "prove",
                run: |work| Box::pin(work.0.prove()),
                undo: None,
            },
            Step {
                name: "switch",
                run: |work| Box::pin(switch(&work.0)),
                undo: None,
            },
            Step {
                name: "routers",
                run: |work| Box::pin(routers(&work.0)),
                undo: None,
            },
            Step {
                name: "drain",
                run: |work| Box::pin(drain(&work.0)),
                undo: None,
            },
            Step {
                name: "retire",
                run: |work| Box::pin(retire(&work.0)),
                undo: None,
            },
        ];
        LIST
    }

    fn ended(&self, outcome: &'static str) {
        count("router", outcome);
    }

    fn result(&self) -> serde_json::Value {
        json!({ "login": self.0.params.to, "former": self.0.params.from })
    }
}

/// Counts the end of an operation that replaces a login; one that goes on later has not ended.
pub(crate) fn count(login: &'static str, outcome: &'static str) {
    if matches!(outcome, "done" | "failed" | "parked") {
        metrics::counter!(metric::ROTATIONS.name, "login" => login, "outcome" => outcome)
            .increment(1);
    }
}

impl Lifecycle {
    /// Begins to replace the login that routers use for a tenant.
    ///
    /// The cluster is reached before anything is written, so a server that is down changes nothing.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed. [`StartError::WrongState`] unless the tenant is served.
    pub async fn rotate(&self, tenant: &TenantRef, asker: Asker) -> Result<Started, StartError> {
        let deps = self.deps();
        let reached = self.reach_served(tenant).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);

        let mut tx = deps.catalog.begin().await?;
        let (tenant, database, rows) = succession::locked(&mut tx, tenant_id).await?;
        is_served(&tenant)?;
        let current = login_of(&rows, LoginRole::Router)
            .ok_or(StartError::WrongState("the tenant has no router login"))?;
        let params = Params {
            cluster_id: tenant.cluster_id,
            database_id: database.id,
            database: database.name.as_str().to_owned(),
            epoch: tenant.epoch,
            from: current.name.as_str().to_owned(),
            to: names::login_names(&database.name)
                .other_router(&current.name)
                .as_str()
                .to_owned(),
            to_was_in_use: logins::remove(&mut tx, database.id, LoginRole::RouterOld).await?,
        };
        let fence = self
            .record::<Rotate>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.rotate_credentials",
            Some(tenant_id),
            None,
            json!({
                "operationId": id,
                "from": { "login": params.from },
                "to": { "login": params.to },
            }),
        )
        .await?;
        self.seal_password(&mut tx, id).await?;
        logins::begin_rotation(&mut tx, database.id).await?;
        tx.commit().await?;

        let logins = params;
        let work = Succession::begun(self, reached, fence, logins, LoginRole::Router);
        let lease = work.lease.clone();
        self.carry(lease, Rotate(work));
        Ok(Started::anew(id, Some(tenant_id)))
    }
}

impl Rotate {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Succession::resume(life, operation, lease, LoginRole::Router)
            .await
            .map(Self)
    }
}

/// From this commit on routers are led to the new login.
async fn switch(work: &Succession) -> Result<(), StepError> {
    let (deps, database) = (work.deps(), work.params.database_id);
    let to = work.to()?;
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    let rows = logins::lock(&mut tx, database).await?;
    let current = login_of(&rows, LoginRole::Router)
        .ok_or_else(|| place::missing("The tenant's router login is not in the catalog."))?;
    if current.name == to {
        return Ok(());
    }
    let password = work.password(&mut tx).await?;
    let former = place::open_login(deps, current)?;
    let former = place::seal_login(deps, database, LoginRole::RouterOld, &former)?;
    let sealed = place::seal_login(deps, database, LoginRole::Router, &password)?;
    let successor = Successor {
        database,
        role: LoginRole::Router,
        name: &to,
        sealed: Some(&sealed),
        former: LoginRole::RouterOld,
        former_sealed: Some(&former),
        disable_at: None,
    };
    logins::take_over(&mut tx, &successor).await?;
    operation_secrets::remove_working(&mut tx, work.lease.operation()).await?;
    change_log::append(&mut tx, work.tenant_id, change_log::Kind::Rotated).await?;
    tx.commit().await?;
    Ok(())
}

/// Every live router gives out the new login only.
async fn routers(work: &Succession) -> Result<(), StepError> {
    work.session.rest();
    work.life.routers_applied().await
}

/// Waits until no session of the old login is left: requests that hold one end first, each in its own
/// time. Bounded, counted from the switch; a router that does not reach the catalog and goes on with
/// what it has is given this time, too.
async fn drain(work: &Succession) -> Result<(), StepError> {
    work.session.rest();
    let (from, most) = (work.from()?, work.deps().settings.rotation_wait);
    let mut pause = LOOK;
    loop {
        let mut admin = work.session.admin().await?;
        let open = tenantry_cluster::logins::sessions_of(&mut admin, &from)
            .await
            .map_err(cluster_failure)?;
        drop(admin);
        if open == 0 {
            return Ok(());
        }
        let mut conn = work.deps().catalog.acquire().await?;
        let age = logins::age(&mut conn, work.params.database_id, LoginRole::Router).await?;
        drop(conn);
        if age.is_none_or(|age| age >= most) {
            tracing::warn!(tenant = %work.tenant_id, sessions = open,
                "sessions of a login that was rotated out are ended: they have had their time");
            return Ok(());
        }
        if pause >= LONGEST_LOOK {
            // Whoever waits for long takes no place on the server meanwhile.
            work.session.let_go().await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

/// The old login lets nobody in any more, and is forgotten.
async fn retire(work: &Succession) -> Result<(), StepError> {
    work.retire(&work.from()?).await?;
    let mut tx = work.deps().catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    logins::remove(&mut tx, work.params.database_id, LoginRole::RouterOld).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_list_names_the_steps() {
        let names: Vec<_> = Rotate::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
    }
}
