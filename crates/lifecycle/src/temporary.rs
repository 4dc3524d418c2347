//! Logins of people and tools to one tenant's database, each with an end.
//!
//! Making one and ending it are operations of the tenant, so that no suspension or deletion runs beside:
//! whoever closes a tenant closes these with the rest, and none is made in a tenant that is closed. The
//! row that counts its connections is written first and goes last.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_catalog::clusters::{self, TlsMode};
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::temporary_logins::{self, Role, TemporaryLogin};
use tenantry_catalog::tenants::{self, Tenant, TenantRef};
use tenantry_catalog::{databases, operation_secrets};
use tenantry_cluster::logins::temporary::{self as on_cluster, Group, NewTemporary};
use tenantry_cluster::{Mark, names, preflight};
use tenantry_router::Expected;
use tenantry_types::{
    ClusterId, DatabaseId, DbName, OperationId, Reason, RoleName, RootCa, Secret, TenantId,
    Timestamp,
};
use tenantry_vault::scram;

use crate::answer::{self, ANSWER, Answer, Telling};
use crate::asker::Asker;
use crate::begin::Reached;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::place::{self, Durability, Session, cluster_failure};
use crate::succession::{self, is_served};
use crate::{Lifecycle, Started};

/// The names of the steps by which a login is made, in order.
pub const STEPS: &[&str] = &["login", "prove", "issue"];
/// The names of the steps by which logins end.
pub const END_STEPS: &[&str] = &["end"];

/// How long what was told is kept for a client that lost the answer, where that is longer than the login
/// is good.
const LEAST_KEPT: Duration = Duration::from_secs(60);

/// A login that is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it may do.
    pub role: Role,
    /// For how long.
    pub ttl: Duration,
    /// How many sessions it may have, 1 to 20.
    pub connections: u32,
    /// What for.
    pub reason: Option<Reason>,
}

/// A login that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its database.
    pub db_name: DbName,
    /// Where that is.
    pub db_host: String,
    /// At which port.
    pub db_port: u16,
    /// How to use TLS to it.
    pub tls: TlsMode,
    /// The authority that its certificate is from, where it is not a public one.
    pub root_ca: Option<RootCa>,
    /// The login.
    pub login: RoleName,
    /// Its password, as long as it may be told.
    pub password: Option<Secret>,
    /// What it may do.
    pub role: Role,
    /// How many sessions it may have.
    pub connections: u32,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// What both operations keep of their request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    cluster_id: ClusterId,
    database_id: DatabaseId,
    database: String,
    epoch: i64,
    logins: Vec<String>,
    /// Of a login that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<New>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct New {
    role: String,
    connections: u32,
    expires_at: Timestamp,
}

/// What the steps work with.
struct Work {
    life: Lifecycle,
    lease: Arc<Lease>,
    params: Params,
    session: Session,
}

/// The operation `issue-login`.
pub struct IssueLogin(Work);

impl Kind for IssueLogin {
    const NAME: &'static str = "issue-login";
    const RUNS_WHEN_PAUSED: bool = true;
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    const NO_WAY_BACK: Option<&'static str> = Some("issue");
    const SERVED_WHEN_PARKED: bool = true;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<IssueLogin>] = &[
            Step {
                name: "login",
                run: |work| Box::pin(work.0.make()),
                undo: Some(|work| Box::pin(work.0.end())),
            },
            Step {
                name: "prove",
                run: |work| Box::pin(work.0.prove()),
                undo: None,
            },
            Step {
                name: "issue",
                run: |work| Box::pin(work.0.issue()),
                undo: None,
            },
        ];
        LIST
    }

    fn result(&self) -> serde_json::Value {
        json!({ "dbUsername": self.0.params.logins.first(), "expiresAt": self.0.params.new.as_ref().map(|new| new.expires_at) })
    }
}

/// The operation `end-login`: logins whose time is over, or of which somebody has had enough.
pub struct EndLogin(Work);

impl Kind for EndLogin {
    const NAME: &'static str = "end-login";
    const RUNS_WHEN_PAUSED: bool = true;
    const ON_FAILURE: OnFailure = OnFailure::Retry;
    const SERVED_WHEN_PARKED: bool = true;

    fn steps() -> &'static [Step<Self>] {
        static LIST: &[Step<EndLogin>] = &[Step {
            name: "end",
            run: |work| Box::pin(work.0.end()),
            undo: None,
        }];
        LIST
    }

    fn result(&self) -> serde_json::Value {
        json!({ "logins": self.0.params.logins })
    }
}

impl Lifecycle {
    /// Begins to make a login; see [`Lifecycle::made_login`] for the answer.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed. [`StartError::NoRoom`] when the cluster has no connections
    /// left for it beside the tenants' and the operations'.
    pub async fn issue_login(
        &self,
        tenant: &TenantRef,
        wanted: Wanted,
        asker: Asker,
    ) -> Result<Started, StartError> {
        let deps = self.deps();
        let may = |tenant: &Tenant| is_open_to(tenant, wanted.role);
        let reached = self.reach(tenant, may).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);
        let room = {
            let mut admin = reached
                .session
                .admin()
                .await
                .map_err(|_| StartError::NoCluster)?;
            preflight::room(&mut admin).await?
        };
        let now = deps.clock.now();
        let ttl = chrono::Duration::from_std(wanted.ttl).unwrap_or_default();

        let mut tx = deps.catalog.begin().await?;
        let (tenant, database, _) = succession::locked(&mut tx, tenant_id).await?;
        may(&tenant)?;
        let cluster = reached.session.cluster();
        let held = temporary_logins::held_on(&mut tx, cluster.id).await?;
        // Half of what the tenants' budget leaves: the other half is for operations and migrations.
        let most = room.free.saturating_sub(cluster.connection_budget) / 2;
        if held.saturating_add(wanted.connections) > most {
            return Err(StartError::NoRoom { held, most });
        }
        let login = TemporaryLogin {
            name: names::temporary(id.as_uuid()),
            database_id: database.id,
            role: wanted.role,
            connections: wanted.connections,
            asked_by: asker.name.clone(),
            reason: wanted
                .reason
                .as_ref()
                .map(|reason| reason.as_str().to_owned()),
            created_at: now,
            expires_at: now + ttl,
        };
        let params = Params {
            cluster_id: tenant.cluster_id,
            database_id: database.id,
            database: database.name.as_str().to_owned(),
            epoch: tenant.epoch,
            logins: vec![login.name.as_str().to_owned()],
            new: Some(New {
                role: login.role.as_str().to_owned(),
                connections: login.connections,
                expires_at: login.expires_at,
            }),
        };
        let detail = json!({
            "operationId": id,
            "login": login.name.as_str(),
            "role": login.role,
            "connections": login.connections,
            "expiresAt": login.expires_at,
        });
        let reason = login.reason.as_deref();
        let fence = self
            .record::<IssueLogin>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.issue_login",
            Some(tenant_id),
            reason,
            detail,
        )
        .await?;
        self.seal_password(&mut tx, id).await?;
        temporary_logins::insert(&mut tx, &login).await?;
        tx.commit().await?;
        let work = Work::begun(self, reached, fence, params);
        self.carry(work.lease.clone(), IssueLogin(work));
        Ok(Started::anew(id, Some(tenant_id)))
    }

    /// The answer of a login's making that is done.
    ///
    /// # Errors
    /// [`StartError::UnknownTenant`] when the tenant is gone, or the operation made no login.
    pub async fn made_login(
        &self,
        operation: OperationId,
        telling: Telling,
        reader: Option<&Asker>,
    ) -> Result<Made, StartError> {
        let deps = self.deps();
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| StartError::Vault(error);
        let mut conn = deps.catalog.acquire().await?;
        let found = operations::by_id(&mut conn, operation)
            .await?
            .filter(|operation| operation.kind == IssueLogin::NAME)
            .ok_or(StartError::UnknownTenant)?;
        let tenant_id = found.tenant_id.ok_or(StartError::UnknownTenant)?;
        let params: Params =
            serde_json::from_value(found.params).map_err(|error| unreadable(error.into()))?;
        tenants::by_id(&mut conn, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let cluster = clusters::by_id(&mut conn, params.cluster_id)
            .await?
            .ok_or(StartError::NoCluster)?;
        let new = params
            .new
            .as_ref()
            .ok_or_else(|| unreadable("the operation keeps no login".into()))?;
        let role = new
            .role
            .parse()
            .map_err(|_| unreadable("unknown role".into()))?;
        let db_name = DbName::parse(&params.database).map_err(|error| unreadable(error.into()))?;
        let login = params.first().map_err(|error| unreadable(error.into()))?;
        // Last: some of it is told once, and nothing may fail after that.
        let sealed = self
            .tell(&mut conn, operation, tenant_id, telling, reader)
            .await?;
        let answer = sealed
            .map(|sealed| answer::open(deps, operation, &sealed))
            .transpose()?;
        Ok(Made {
            tenant_id,
            db_name,
            db_host: cluster.host,
            db_port: cluster.port,
            tls: cluster.tls,
            root_ca: cluster.root_ca,
            login,
            password: answer.map(|answer| Secret::new(answer.db_password)),
            role,
            connections: new.connections,
            expires_at: new.expires_at,
        })
    }

    /// The logins of a tenant that are there now, or are being made or ended.
    ///
    /// # Errors
    /// [`StartError::UnknownTenant`], or when the catalog cannot be used.
    pub async fn logins(&self, tenant: &TenantRef) -> Result<Vec<TemporaryLogin>, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let tenant = tenants::by_ref(&mut conn, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        match databases::by_tenant(&mut conn, tenant.id).await? {
            Some(database) => Ok(temporary_logins::of_database(&mut conn, database.id).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Begins the end of a login, before its time.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed. [`StartError::UnknownLogin`] when there is none of this name.
    pub async fn end_login(
        &self,
        tenant: &TenantRef,
        login: &RoleName,
        asker: Asker,
    ) -> Result<Started, StartError> {
        let tenant = self.find(tenant).await?;
        self.end_those(tenant, asker, |found| found.name == *login)
            .await?
            .ok_or(StartError::UnknownLogin)
    }

    /// Begins the end of all logins of a tenant that have had their time; does nothing if there is none.
    pub(crate) async fn end_logins_when_due(
        &self,
        tenant_id: TenantId,
        asker: Asker,
    ) -> Result<Option<Started>, StartError> {
        let tenant = self.find(&TenantRef::Id(tenant_id)).await?;
        let now = self.deps().clock.now();
        self.end_those(tenant, asker, |found| found.expires_at <= now)
            .await
    }

    async fn end_those(
        &self,
        tenant: Tenant,
        asker: Asker,
        which: impl Fn(&TemporaryLogin) -> bool,
    ) -> Result<Option<Started>, StartError> {
        let reached = self.reach_found(tenant).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);
        let mut tx = self.deps().catalog.begin().await?;
        let (tenant, database, _) = succession::locked(&mut tx, tenant_id).await?;
        let mut found = temporary_logins::of_database(&mut tx, database.id).await?;
        found.retain(which);
        if found.is_empty() {
            return Ok(None);
        }
        let params = Params {
            cluster_id: tenant.cluster_id,
            database_id: database.id,
            database: database.name.as_str().to_owned(),
            epoch: tenant.epoch,
            logins: found
                .iter()
                .map(|login| login.name.as_str().to_owned())
                .collect(),
            new: None,
        };
        let fence = self
            .record::<EndLogin>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.end_login",
            Some(tenant_id),
            None,
            json!({ "operationId": id, "logins": params.logins }),
        )
        .await?;
        tx.commit().await?;
        let work = Work::begun(self, reached, fence, params);
        self.carry(work.lease.clone(), EndLogin(work));
        Ok(Some(Started::anew(id, Some(tenant_id))))
    }
}

/// Whoever restores or repairs a suspended tenant works as its owner, as migrations do.
fn is_open_to(tenant: &Tenant, role: Role) -> Result<(), StartError> {
    match (tenant.status, role) {
        (tenants::Status::Suspended, Role::Owner) => Ok(()),
        _ => is_served(tenant),
    }
}

impl IssueLogin {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Work::resume(life, operation, lease).await.map(Self)
    }
}

impl EndLogin {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Work::resume(life, operation, lease).await.map(Self)
    }
}

impl Params {
    fn first(&self) -> Result<RoleName, tenantry_types::InvalidIdent> {
        RoleName::parse(self.logins.first().map_or("", String::as_str))
    }
}

impl Work {
    fn begun(life: &Lifecycle, reached: Reached, fence: i64, params: Params) -> Self {
        let (lease, session) = reached.held(life, fence);
        Self {
            life: life.clone(),
            params,
            session,
            lease,
        }
    }

    async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        let params: Params = crate::worker::params(operation)?;
        let mut conn = life.deps().catalog.acquire().await?;
        let cluster = place::cluster(&mut conn, params.cluster_id).await?;
        Ok(Self {
            life: life.clone(),
            session: Session::resumed(life, cluster, lease.clone(), Durability::Each),
            params,
            lease,
        })
    }

    fn mark(&self) -> Mark {
        Mark::new(self.life.deps().installation, self.params.database_id)
    }

    fn database(&self) -> Result<DbName, StepError> {
        DbName::parse(&self.params.database).map_err(|error| place::vault_failure(&error))
    }

    fn login(&self) -> Result<RoleName, StepError> {
        self.params
            .first()
            .map_err(|error| place::vault_failure(&error))
    }

    async fn password(&self) -> Result<Secret, StepError> {
        let deps = self.life.deps();
        let mut conn = deps.catalog.acquire().await?;
        succession::password_of(deps, &mut conn, self.lease.operation()).await
    }

    async fn make(&self) -> Result<(), StepError> {
        let new = self.params.new.as_ref();
        let new = new.ok_or_else(|| place::missing("The operation keeps no login."))?;
        let group = match new.role.parse() {
            Ok(Role::Owner) => Group::Owner,
            Ok(Role::User) => Group::App,
            Ok(Role::Readonly) => Group::Readonly,
            Err(error) => return Err(place::vault_failure(&error)),
        };
        let deps = self.life.deps();
        let login = NewTemporary {
            name: self.login()?,
            group,
            verifier: succession::verifier_of(deps, self.password().await?, scram::USER_ITERATIONS)
                .await?,
            mark: self.mark(),
            connections: new.connections,
            valid_until: new.expires_at,
        };
        let mut admin = self.session.admin().await?;
        on_cluster::create(&mut admin, &self.database()?, &login)
            .await
            .map_err(cluster_failure)
    }

    async fn prove(&self) -> Result<(), StepError> {
        let deps = self.life.deps();
        let expected = Expected {
            installation: deps.installation,
            database_id: self.params.database_id,
            epoch: self.params.epoch,
        };
        let target = place::target(
            self.session.cluster(),
            self.database()?,
            self.login()?,
            self.password().await?,
        );
        succession::proven(deps, &target, &expected).await
    }

    /// What it was told waits to be read; the password is kept nowhere else.
    async fn issue(&self) -> Result<(), StepError> {
        let deps = self.life.deps();
        let operation = self.lease.operation();
        let mut tx = deps.catalog.begin().await?;
        crate::worker::guard(&mut tx, &self.lease).await?;
        if operation_secrets::get(&mut tx, operation, ANSWER)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let answer = Answer {
            db_password: succession::password_of(deps, &mut tx, operation)
                .await?
                .expose()
                .to_owned(),
            admin_password: None,
        };
        let sealed = answer::seal(deps, operation, &answer)?;
        operation_secrets::remove_working(&mut tx, operation).await?;
        let new = self.params.new.as_ref();
        let least = chrono::Duration::from_std(LEAST_KEPT).unwrap_or_default();
        let least = deps.clock.now() + least;
        let until = new.map_or(least, |new| new.expires_at.max(least));
        operation_secrets::put(&mut tx, operation, ANSWER, &sealed, Some(until)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Nobody gets in by these any more, nobody is in, and they are forgotten.
    async fn end(&self) -> Result<(), StepError> {
        let (database, mark) = (self.database()?, self.mark());
        let mut admin = self.session.admin().await?;
        for name in &self.params.logins {
            let name = RoleName::parse(name).map_err(|error| place::vault_failure(&error))?;
            on_cluster::end(&mut admin, &database, &name, &mark)
                .await
                .map_err(cluster_failure)?;
        }
        drop(admin);
        let mut tx = self.life.deps().catalog.begin().await?;
        crate::worker::guard(&mut tx, &self.lease).await?;
        temporary_logins::remove(&mut tx, &self.params.logins).await?;
        operation_secrets::remove_working(&mut tx, self.lease.operation()).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_lists_name_the_steps() {
        let names: Vec<_> = IssueLogin::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
        let names: Vec<_> = EndLogin::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, END_STEPS);
    }
}
