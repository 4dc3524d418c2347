//! What the operations that put one login of a tenant in another's place have in common.
//!
//! The new password is sealed in the operation before Postgres is told of it. The new login is made
//! beside the old one and proven by a real login before anybody is sent to it; the old one is locked out
//! last. Names alternate between two, so that nothing piles up on the cluster.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tenantry_catalog::databases::{self, Database};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_catalog::operation_secrets;
use tenantry_catalog::operations::Operation;
use tenantry_catalog::tenants::{self, Status, Tenant, TenantRef};
use tenantry_cluster::Mark;
use tenantry_cluster::logins::NewLogin;
use tenantry_router::{Expected, Target};
use tenantry_types::{
    ClusterId, DatabaseId, DbName, ErrorKind, OperationId, RoleName, Secret, TenantId,
};
use tenantry_vault::{Place, scram};

use crate::begin::Reached;
use crate::deps::Deps;
use crate::engine::{Failure, Lease, StepError};
use crate::error::StartError;
use crate::place::{self, Durability, Session, cluster_failure};
use crate::{Lifecycle, making};

/// Under this name the new password is sealed in the operation.
const PASSWORD: &str = "password";
/// How often a server that is busy is asked to let the new login in.
const PROOFS: usize = 3;

/// What such an operation keeps of its request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params {
    pub cluster_id: ClusterId,
    pub database_id: DatabaseId,
    pub database: String,
    pub epoch: i64,
    /// The login that is used when the operation begins.
    pub from: String,
    /// The one that takes over.
    pub to: String,
    /// Whether the one that takes over may still have sessions and a password of the time before it was
    /// replaced itself.
    #[serde(default)]
    pub to_was_in_use: bool,
}

/// One login takes over from another.
pub(crate) struct Succession {
    pub life: Lifecycle,
    pub lease: Arc<Lease>,
    pub tenant_id: TenantId,
    pub params: Params,
    pub session: Session,
    pub role: LoginRole,
}

impl Lifecycle {
    /// Reaches the cluster of a tenant that is served.
    pub(crate) async fn reach_served(&self, tenant: &TenantRef) -> Result<Reached, StartError> {
        self.reach(tenant, is_served).await
    }

    /// Seals a new password in an operation that is being recorded.
    pub(crate) async fn seal_password(
        &self,
        conn: &mut PgConnection,
        operation: OperationId,
    ) -> Result<(), StartError> {
        let deps = self.deps();
        let place = Place::operation_secret(operation, PASSWORD);
        let sealed = deps
            .admin_keys
            .seal(&deps.entropy, &place, &deps.entropy.password())
            .map_err(|error| StartError::Vault(Box::new(error)))?;
        operation_secrets::put(conn, operation, PASSWORD, &sealed, None).await?;
        Ok(())
    }
}

/// A login is made only for a tenant that is served: it would be a way into one that is closed.
pub(crate) fn is_served(tenant: &Tenant) -> Result<(), StartError> {
    match tenant.status {
        Status::Active => Ok(()),
        _ => Err(StartError::WrongState("the tenant is not active")),
    }
}

/// The tenant and its database with its logins, all locked.
pub(crate) async fn locked(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<(Tenant, Database, Vec<Login>), StartError> {
    let tenant = tenants::lock_by_id(conn, tenant)
        .await?
        .ok_or(StartError::UnknownTenant)?;
    let database = databases::by_tenant(conn, tenant.id)
        .await?
        .ok_or(StartError::WrongState("the tenant has no database"))?;
    let logins = logins::lock(conn, database.id).await?;
    Ok((tenant, database, logins))
}

/// The login of a role.
pub(crate) fn login_of(logins: &[Login], role: LoginRole) -> Option<&Login> {
    logins.iter().find(|login| login.role == role)
}

impl Succession {
    /// One whose operation was recorded just now.
    pub(crate) fn begun(
        life: &Lifecycle,
        reached: Reached,
        fence: i64,
        params: Params,
        role: LoginRole,
    ) -> Self {
        let tenant_id = reached.tenant.id;
        let (lease, session) = reached.held(life, fence);
        Self {
            life: life.clone(),
            lease,
            tenant_id,
            params,
            session,
            role,
        }
    }

    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
        role: LoginRole,
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
            role,
        })
    }

    pub(crate) fn deps(&self) -> &Deps {
        self.life.deps()
    }

    fn mark(&self) -> Mark {
        Mark::new(self.deps().installation, self.params.database_id)
    }

    fn database(&self) -> Result<DbName, StepError> {
        DbName::parse(&self.params.database).map_err(|error| place::vault_failure(&error))
    }

    pub(crate) fn from(&self) -> Result<RoleName, StepError> {
        RoleName::parse(&self.params.from).map_err(|error| place::vault_failure(&error))
    }

    pub(crate) fn to(&self) -> Result<RoleName, StepError> {
        RoleName::parse(&self.params.to).map_err(|error| place::vault_failure(&error))
    }

    /// The new password, as the operation keeps it.
    pub(crate) async fn password(&self, conn: &mut PgConnection) -> Result<Secret, StepError> {
        password_of(self.deps(), conn, self.lease.operation()).await
    }

    async fn kept(&self) -> Result<Secret, StepError> {
        let mut conn = self.deps().catalog.acquire().await?;
        self.password(&mut conn).await
    }

    /// Makes the new login beside the old one.
    pub(crate) async fn make(&self) -> Result<(), StepError> {
        if self.params.to_was_in_use {
            self.retire(&self.to()?).await?;
        }
        let (kind, iterations) = making::kind_of(self.role);
        let verifier = verifier_of(self.deps(), self.kept().await?, iterations).await?;
        let login = NewLogin {
            name: self.to()?,
            kind,
            verifier,
            mark: self.mark(),
        };
        let mut admin = self.session.admin().await?;
        tenantry_cluster::logins::create_for(&mut admin, &self.database()?, &[login])
            .await
            .map_err(cluster_failure)
    }

    /// Takes the new login back: nobody was sent to it.
    pub(crate) async fn unmake(&self) -> Result<(), StepError> {
        self.retire(&self.to()?).await?;
        let mut tx = self.deps().catalog.begin().await?;
        crate::worker::guard(&mut tx, &self.lease).await?;
        operation_secrets::remove_working(&mut tx, self.lease.operation()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Logs in as the new login and sees that the right database answers.
    pub(crate) async fn prove(&self) -> Result<(), StepError> {
        let expected = Expected {
            installation: self.deps().installation,
            database_id: self.params.database_id,
            epoch: self.params.epoch,
        };
        let target = place::target(
            self.session.cluster(),
            self.database()?,
            self.to()?,
            self.kept().await?,
        );
        proven(self.deps(), &target, &expected).await
    }

    /// Locks a login out for good.
    pub(crate) async fn retire(&self, login: &RoleName) -> Result<(), StepError> {
        let mut admin = self.session.admin().await?;
        tenantry_cluster::logins::retire(&mut admin, &self.database()?, login, &self.mark())
            .await
            .map_err(cluster_failure)
    }
}

/// The password that [`Lifecycle::seal_password`] has put in an operation.
pub(crate) async fn password_of(
    deps: &Deps,
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<Secret, StepError> {
    let sealed = operation_secrets::get(conn, operation, PASSWORD)
        .await?
        .ok_or_else(|| place::missing("The operation has lost its password."))?;
    deps.admin_keys
        .open(&Place::operation_secret(operation, PASSWORD), &sealed)
        .map_err(|error| place::vault_failure(&error))
}

/// The verifier of a password, which is all that a cluster is told of it.
pub(crate) async fn verifier_of(
    deps: &Deps,
    password: Secret,
    iterations: u32,
) -> Result<String, StepError> {
    let salt = deps.entropy.bytes::<16>();
    tokio::task::spawn_blocking(move || scram::verifier(&password, salt, iterations))
        .await
        .map_err(|error| place::vault_failure(&error))
}

/// Logs in and sees that the right database answers.
pub(crate) async fn proven(
    deps: &Deps,
    target: &Target,
    expected: &Expected,
) -> Result<(), StepError> {
    for left in (0..PROOFS).rev() {
        match deps.router.prove(target, expected).await {
            Ok(proven) => {
                proven.close().await;
                break;
            }
            Err(error) if left > 0 && error.kind() == ErrorKind::Unavailable => {}
            Err(error) => {
                return Err(Failure::new(
                    error.kind(),
                    error.code(),
                    "The database did not let the new login in; those that were there are used as before.",
                    &error,
                )
                .into());
            }
        }
    }
    Ok(())
}
