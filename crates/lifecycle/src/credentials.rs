//! The product's own login, issued anew when somebody asks, and the end of the one before.
//!
//! Nobody is led from one to the other: the product has to take the new one up, and is given a time for
//! that, after which the sweeper begins the end of the old one. Both are operations, so that neither is
//! forgotten by a process that dies.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_catalog::logins::{self, LoginRole, Successor};
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_catalog::{clusters, operation_secrets};
use tenantry_cluster::names;
use tenantry_types::{DbName, OperationId, RoleName, Secret, TenantId, Timestamp};

use crate::answer::{self, ANSWER, Answer, Telling};
use crate::asker::{Asker, Idempotency};
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::place;
use crate::rotate::count;
use crate::succession::{self, Succession, is_served, login_of};
use crate::{Lifecycle, Started};

/// The names of the steps of an issue, in order. `retire` is there only without an overlap.
pub const STEPS: &[&str] = &["login", "prove", "issue", "retire"];
/// The names of the steps by which a former login ends when its overlap has.
pub const RETIRE_STEPS: &[&str] = &["retire"];

/// A login for the product that is to be.
#[derive(Clone, Copy, Debug)]
pub struct Issue {
    /// How long the login that the product has now goes on to be good.
    pub overlap: Duration,
    /// Whether one that is still good from an earlier issue is ended now.
    pub end_previous: bool,
}

/// A login that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its database.
    pub db_name: DbName,
    /// Where that is.
    pub db_host: String,
    /// At which port.
    pub db_port: u16,
    /// The new login.
    pub db_username: RoleName,
    /// Its password, as long as it may be told.
    pub db_password: Option<Secret>,
    /// The one before.
    pub previous_username: RoleName,
    /// Until when that is good.
    pub previous_valid_until: Timestamp,
}

/// What an issue keeps of its request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    #[serde(flatten)]
    logins: succession::Params,
    valid_until: Timestamp,
    overlaps: bool,
}

/// The operation `credentials`.
pub struct Credentials {
    work: Succession,
    params: Params,
}

impl Kind for Credentials {
    const NAME: &'static str = "credentials";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    const NO_WAY_BACK: Option<&'static str> = Some("issue");
    const SERVED_WHEN_PARKED: bool = true;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<Credentials>] = &[
            Step {
                name: "login",
                run: |work| Box::pin(work.work.make()),
                undo: Some(|work| Box::pin(work.work.unmake())),
            },
            Step {
                name: "prove",
                run: |work| Box::pin(work.work.prove()),
                undo: None,
            },
            Step {
                name: "issue",
                run: |work| Box::pin(issue(work)),
                undo: None,
            },
            Step {
                name: "retire",
                run: |work| Box::pin(retire(&work.work)),
                undo: None,
            },
        ];
        LIST
    }

    fn skips(&self, step: &str) -> bool {
        self.params.overlaps && step == "retire"
    }

    fn ended(&self, outcome: &'static str) {
        count("user", outcome);
    }

    fn result(&self) -> serde_json::Value {
        json!({
            "dbUsername": self.params.logins.to,
            "previousUsername": self.params.logins.from,
            "previousValidUntil": self.params.valid_until,
        })
    }
}

/// The operation `retire-credentials`: a former login of the product ends with its overlap.
pub struct RetireCredentials(Succession);

impl Kind for RetireCredentials {
    const NAME: &'static str = "retire-credentials";
    const ON_FAILURE: OnFailure = OnFailure::Retry;
    const SERVED_WHEN_PARKED: bool = true;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<RetireCredentials>] = &[Step {
            name: "retire",
            run: |work| Box::pin(retire(&work.0)),
            undo: None,
        }];
        LIST
    }

    fn result(&self) -> serde_json::Value {
        json!({ "login": self.0.params.from })
    }
}

impl Lifecycle {
    /// Begins to issue another login to the product; see [`Lifecycle::issued`] for the answer.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed. [`StartError::OverlapRunning`] while the login before the
    /// present one is still good, unless that is to be ended.
    pub async fn issue_credentials(
        &self,
        tenant: &TenantRef,
        wanted: Issue,
        asker: Asker,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, StartError> {
        if let Some(key) = &idempotency
            && let Some(started) = self.replayed(key).await?
        {
            return Ok(started);
        }
        let deps = self.deps();
        let reached = self.reach_served(tenant).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);

        let now = deps.clock.now();
        let mut tx = deps.catalog.begin().await?;
        let (tenant, database, rows) = succession::locked(&mut tx, tenant_id).await?;
        is_served(&tenant)?;
        let current = login_of(&rows, LoginRole::User)
            .ok_or(StartError::WrongState("the tenant has no product login"))?;
        let good_until = logins::disable_at(&mut tx, database.id).await?;
        if let Some(until) = good_until.filter(|until| *until > now && !wanted.end_previous) {
            return Err(StartError::OverlapRunning(until));
        }
        let overlap = chrono::Duration::from_std(wanted.overlap).unwrap_or_default();
        let params = Params {
            logins: succession::Params {
                cluster_id: tenant.cluster_id,
                database_id: database.id,
                database: database.name.as_str().to_owned(),
                epoch: tenant.epoch,
                from: current.name.as_str().to_owned(),
                to: names::login_names(&database.name)
                    .other_user(&current.name)
                    .as_str()
                    .to_owned(),
                to_was_in_use: logins::remove(&mut tx, database.id, LoginRole::UserOld).await?,
            },
            valid_until: now + overlap,
            overlaps: !wanted.overlap.is_zero(),
        };
        let fence = self
            .record::<Credentials>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        if !self.take_key(&mut tx, idempotency.as_ref(), id).await? {
            drop(tx);
            return self.replayed_meanwhile(idempotency.as_ref()).await;
        }
        self.audit(
            &mut tx,
            &asker,
            "tenant.issue_credentials",
            Some(tenant_id),
            None,
            json!({
                "operationId": id,
                "from": { "login": params.logins.from },
                "to": { "login": params.logins.to },
                "validUntil": params.valid_until,
                "endsPrevious": good_until.is_some(),
            }),
        )
        .await?;
        self.seal_password(&mut tx, id).await?;
        tx.commit().await?;

        let logins = params.logins.clone();
        let work = Succession::begun(self, reached, fence, logins, LoginRole::User);
        let lease = work.lease.clone();
        self.carry(lease, Credentials { work, params });
        Ok(Started::anew(id, Some(tenant_id)))
    }

    /// The answer of an issue that is done.
    ///
    /// # Errors
    /// [`StartError::UnknownTenant`] when the tenant is gone, or the operation is no issue.
    pub async fn issued(
        &self,
        operation: OperationId,
        telling: Telling,
        reader: Option<&Asker>,
    ) -> Result<Issued, StartError> {
        let deps = self.deps();
        let mut conn = deps.catalog.acquire().await?;
        let found = operations::by_id(&mut conn, operation)
            .await?
            .filter(|operation| operation.kind == Credentials::NAME)
            .ok_or(StartError::UnknownTenant)?;
        let tenant_id = found.tenant_id.ok_or(StartError::UnknownTenant)?;
        let unreadable = |error| StartError::Vault(Box::new(error));
        let params: Params = serde_json::from_value(found.params).map_err(unreadable)?;
        tenants::by_id(&mut conn, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let cluster = clusters::by_id(&mut conn, params.logins.cluster_id)
            .await?
            .ok_or(StartError::NoCluster)?;
        let name =
            |name: &str| RoleName::parse(name).map_err(|error| StartError::Vault(Box::new(error)));
        let (db_username, previous_username) =
            (name(&params.logins.to)?, name(&params.logins.from)?);
        let db_name = DbName::parse(&params.logins.database)
            .map_err(|error| StartError::Vault(Box::new(error)))?;
        // Last: some of it is told once, and nothing may fail after that.
        let sealed = self
            .tell(&mut conn, operation, tenant_id, telling, reader)
            .await?;
        let answer = sealed
            .map(|sealed| answer::open(deps, operation, &sealed))
            .transpose()?;
        Ok(Issued {
            tenant_id,
            db_name,
            db_host: cluster.host,
            db_port: cluster.port,
            db_username,
            db_password: answer.map(|answer| Secret::new(answer.db_password)),
            previous_username,
            previous_valid_until: params.valid_until,
        })
    }

    /// Begins the end of a former login whose overlap is over; does nothing if there is none any more.
    pub(crate) async fn retire_when_due(
        &self,
        tenant_id: TenantId,
        asker: Asker,
    ) -> Result<Option<OperationId>, StartError> {
        let deps = self.deps();
        let found = self.find(&TenantRef::Id(tenant_id)).await?;
        let reached = self.reach_found(found).await?;
        let id = reached.operation;

        let mut tx = deps.catalog.begin().await?;
        let (tenant, database, rows) = succession::locked(&mut tx, tenant_id).await?;
        let due = logins::disable_at(&mut tx, database.id).await?;
        let former = login_of(&rows, LoginRole::UserOld);
        let Some(former) = former.filter(|_| due.is_some_and(|due| due <= deps.clock.now())) else {
            return Ok(None);
        };
        let params = succession::Params {
            cluster_id: tenant.cluster_id,
            database_id: database.id,
            database: database.name.as_str().to_owned(),
            epoch: tenant.epoch,
            from: former.name.as_str().to_owned(),
            to: names::login_names(&database.name)
                .other_user(&former.name)
                .as_str()
                .to_owned(),
            to_was_in_use: false,
        };
        let fence = self
            .record::<RetireCredentials>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.retire_credentials",
            Some(tenant_id),
            None,
            json!({ "operationId": id, "login": params.from }),
        )
        .await?;
        tx.commit().await?;
        let logins = params;
        let work = Succession::begun(self, reached, fence, logins, LoginRole::User);
        let lease = work.lease.clone();
        self.carry(lease, RetireCredentials(work));
        Ok(Some(id))
    }
}

impl Credentials {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ok(Self {
            params: crate::worker::params(operation)?,
            work: Succession::resume(life, operation, lease, LoginRole::User).await?,
        })
    }
}

impl RetireCredentials {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Succession::resume(life, operation, lease, LoginRole::User)
            .await
            .map(Self)
    }
}

/// From this commit on the new login is the product's, and what it was told waits to be read.
async fn issue(work: &Credentials) -> Result<(), StepError> {
    let (succession, params) = (&work.work, &work.params);
    let (deps, database) = (succession.deps(), params.logins.database_id);
    let operation = succession.lease.operation();
    let to = succession.to()?;
    let kept = chrono::Duration::from_std(deps.settings.answers_kept)
        .unwrap_or(chrono::Duration::hours(24));
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &succession.lease).await?;
    let rows = logins::lock(&mut tx, database).await?;
    let current = login_of(&rows, LoginRole::User)
        .ok_or_else(|| place::missing("The product's login is not in the catalog."))?;
    if current.name == to {
        return Ok(());
    }
    let successor = Successor {
        database,
        role: LoginRole::User,
        name: &to,
        sealed: None,
        former: LoginRole::UserOld,
        former_sealed: None,
        disable_at: Some(params.valid_until),
    };
    let answer = Answer {
        db_password: succession.password(&mut tx).await?.expose().to_owned(),
        admin_password: None,
    };
    let sealed = answer::seal(deps, operation, &answer)?;
    logins::take_over(&mut tx, &successor).await?;
    operation_secrets::remove_working(&mut tx, operation).await?;
    let until = Some(deps.clock.now() + kept);
    operation_secrets::put(&mut tx, operation, ANSWER, &sealed, until).await?;
    tx.commit().await?;
    Ok(())
}

/// The former login lets nobody in any more, its sessions are ended, and it is forgotten.
async fn retire(work: &Succession) -> Result<(), StepError> {
    work.retire(&work.from()?).await?;
    let mut tx = work.deps().catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    logins::remove(&mut tx, work.params.database_id, LoginRole::UserOld).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_lists_name_the_steps() {
        let names: Vec<_> = Credentials::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
        let names: Vec<_> = RetireCredentials::steps()
            .iter()
            .map(|step| step.name)
            .collect();
        assert_eq!(names, RETIRE_STEPS);
    }
}
