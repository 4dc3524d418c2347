//! Where an operation works: a cluster's admin login, used under the operation's lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::logins::{Login, LoginRole};
use tenantry_cluster::{Address, Admin, AdminConn, ClusterError, sessions};
use tenantry_router::Target;
use tenantry_types::{ClusterId, DatabaseId, DbName, ErrorKind, OperationId, RoleName, Secret};
use tenantry_vault::{AdminKeys, Place, Sealed};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::Lifecycle;
use crate::deps::Deps;
use crate::engine::{Failure, Lease, StepError, chain_of};
use crate::error::StartError;

/// The fence of an operation's first driver.
pub(crate) const FIRST_FENCE: i64 = 1;

/// The admin login of a registered cluster.
pub(crate) fn admin_of(deps: &Deps, cluster: &Cluster) -> Result<Admin, StartError> {
    admin_with(&deps.admin_keys, cluster)
}

/// The same, for whoever has the keys and not all the rest.
pub(crate) fn admin_with(keys: &AdminKeys, cluster: &Cluster) -> Result<Admin, StartError> {
    let place = Place::cluster_admin(cluster.id);
    let password = keys
        .open(&place, &cluster.admin)
        .map_err(|error| StartError::Vault(Box::new(error)))?;
    let login = RoleName::parse(&cluster.admin_login)
        .map_err(|error| StartError::Vault(Box::new(error)))?;
    let maintenance = DbName::parse(&cluster.maintenance_db)
        .map_err(|error| StartError::Vault(Box::new(error)))?;
    let address = Address::new(&cluster.host, cluster.port, cluster.tls.as_str())
        .trusting(cluster.root_ca.clone());
    Ok(Admin::new(address, maintenance, login, password))
}

/// The name of an operation's admin sessions, by which a later driver ends those of a former one.
fn application_name(operation: OperationId, fence: i64) -> String {
    format!("tenantry/op/{operation}/{fence}")
}

/// An admin session of an operation.
///
/// A later driver first ends the sessions of the former ones, and each session asks after it was
/// opened whether the lease is still held: so no two drivers change a cluster at the same time,
/// not even when one of them slept through the end of its lease.
pub(crate) async fn admin_session(
    life: &Lifecycle,
    cluster: &Cluster,
    lease: &Lease,
    durability: Durability,
) -> Result<AdminConn, StepError> {
    let admin = admin_for(life.deps(), cluster, durability)?;
    let name = application_name(lease.operation(), lease.fence());
    let opened = with_a_place(life, cluster.id, PATIENCE, || admin.connect(&name)).await;
    let mut conn = opened.map_err(cluster_failure)?;
    lease.assert_held().await?;
    if lease.fence() > 1 {
        let prefix = format!("tenantry/op/{}/", lease.operation());
        sessions::terminate_by_application(&mut conn, &prefix, &name)
            .await
            .map_err(cluster_failure)?;
    }
    Ok(conn)
}

/// The cluster of an operation.
pub(crate) async fn cluster(conn: &mut PgConnection, id: ClusterId) -> Result<Cluster, StepError> {
    clusters::by_id(conn, id)
        .await?
        .ok_or_else(|| missing("The tenant's cluster is not registered any more."))
}

/// A catalog row that the operation relies on is not there.
pub(crate) fn missing(what: &str) -> StepError {
    StepError::Failed(Failure {
        code: "INTERNAL".to_owned(),
        message: what.to_owned(),
        retryable: false,
        cause: "a row of the catalog is missing".to_owned(),
    })
}

/// Seals a login's password: the router's under `route`, the others under `admin`.
pub(crate) fn seal_login(
    deps: &Deps,
    database: DatabaseId,
    role: LoginRole,
    password: &Secret,
) -> Result<Sealed, StepError> {
    let place = Place::login(database, role.as_str());
    match role {
        LoginRole::Router | LoginRole::RouterOld => {
            deps.route_keys.seal(&deps.entropy, &place, password)
        }
        LoginRole::Owner | LoginRole::User | LoginRole::UserOld => {
            deps.admin_keys.seal(&deps.entropy, &place, password)
        }
    }
    .map_err(|error| vault_failure(&error))
}

/// Opens a login's password again.
pub(crate) fn open_login(deps: &Deps, login: &Login) -> Result<Secret, StepError> {
    let sealed = login
        .sealed
        .as_ref()
        .ok_or_else(|| missing("The login's password was handed out and is not kept."))?;
    let place = Place::login(login.database_id, login.role.as_str());
    match login.role {
        LoginRole::Router | LoginRole::RouterOld => deps.route_keys.open(&place, sealed),
        LoginRole::Owner | LoginRole::User | LoginRole::UserOld => {
            deps.admin_keys.open(&place, sealed)
        }
    }
    .map_err(|error| vault_failure(&error))
}

/// Where the router finds a cluster.
pub(crate) fn address(cluster: &Cluster) -> tenantry_router::Address {
    tenantry_router::Address {
        host: cluster.host.clone(),
        port: cluster.port,
        tls: cluster.tls,
        root_ca: cluster.root_ca.clone(),
    }
}

/// Where and as whom the router is to prove a way.
pub(crate) fn target(
    cluster: &Cluster,
    database: DbName,
    login: RoleName,
    password: Secret,
) -> Target {
    Target {
        address: address(cluster),
        database,
        login,
        password,
    }
}

pub(crate) fn cluster_failure(error: ClusterError) -> StepError {
    let kind = error.kind();
    let message = match kind {
        ErrorKind::Unavailable => "The database server cannot be used right now; try again later.",
        _ => "The database server refused a step of the operation; the journal names it.",
    };
    StepError::Failed(Failure::new(kind, error.code(), message, &error))
}

pub(crate) fn start_failure(error: StartError) -> StepError {
    StepError::Failed(Failure::new(
        error.kind(),
        error.code(),
        "The cluster's admin login cannot be used; check the installation's keys.",
        &error,
    ))
}

/// A step's error where the operation has not begun yet.
pub(crate) fn start_error(error: StepError) -> StartError {
    match error {
        StepError::Interrupted(Some(error)) => error.into(),
        error => StartError::Template(chain_of(&error)),
    }
}

pub(crate) fn vault_failure(error: &(dyn std::error::Error + 'static)) -> StepError {
    StepError::Failed(Failure::new(
        ErrorKind::Internal,
        "INTERNAL",
        "A secret could not be sealed or opened; check the installation's keys.",
        error,
    ))
}

/// Whether an operation's commits on the cluster wait for the disk one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Each does: what was fenced stays fenced when the server crashes.
    Each,
    /// Only the last one does, which is somebody else's: a birth counts when the tenant's first rows
    /// are written, and a spare when [`tenantry_cluster::databases::settle`] says so.
    Last,
}

/// Admin sessions of births that are over, for the next one: opening one is a tenth of a birth.
pub(crate) type Idle = std::sync::Mutex<HashMap<ClusterId, Vec<(Instant, AdminConn)>>>;

/// What a session is called that is left while its operation goes on: a later driver of that operation
/// is not to end it when it is another's by then.
const LEFT: &str = "tenantry/op/none";

/// The name of no session.
const NONE: &str = "";

/// How long a birth that is under way waits for a place on the server, and one that was not begun.
const PATIENCE: Duration = Duration::from_secs(10);
const IMPATIENCE: Duration = Duration::from_secs(3);
/// Between two looks for one.
const AGAIN: Duration = Duration::from_millis(50);

/// How many of them are kept per cluster, and how long.
const IDLE: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Ends idle sessions that nobody needed for a while.
pub(crate) async fn end_idle(life: &Lifecycle) {
    let mut old = Vec::new();
    if let Ok(mut idle) = life.0.idle.lock() {
        for sessions in idle.values_mut() {
            let kept = sessions.partition_point(|(since, _)| since.elapsed() >= IDLE_FOR);
            old.extend(sessions.drain(..kept));
        }
    }
    for (_, session) in old {
        session.close().await;
    }
}

/// Opens a session; where the server has no place for it, idle ones give theirs up, and others that
/// work are waited for.
async fn with_a_place<F>(
    life: &Lifecycle,
    cluster: ClusterId,
    patience: Duration,
    open: impl Fn() -> F,
) -> Result<AdminConn, ClusterError>
where
    F: Future<Output = Result<AdminConn, ClusterError>>,
{
    let until = Instant::now() + patience;
    loop {
        match open().await {
            Err(error) if error.is_full() && Instant::now() < until => {
                end_idle_on(life, cluster).await;
                tokio::time::sleep(AGAIN).await;
            }
            opened => return opened,
        }
    }
}

/// Ends all idle sessions on a cluster.
pub(crate) async fn end_idle_on(life: &Lifecycle, cluster: ClusterId) {
    let idle = life.0.idle.lock().ok();
    let idle = idle.and_then(|mut idle| idle.remove(&cluster));
    for (_, session) in idle.into_iter().flatten() {
        session.close().await;
    }
}

/// How many births of a process may have a second session at a time. More than that at once keep the
/// server's processors busy as it is, and what they hold are places of tenants.
pub(crate) const SECONDS: usize = 2;

/// A second admin session of a birth.
pub(crate) struct Second {
    conn: AdminConn,
    _place: OwnedSemaphorePermit,
}

/// The admin session that the steps of one operation share: opened when first needed, one at a time.
pub(crate) struct Session {
    life: Lifecycle,
    cluster: Cluster,
    durability: Durability,
    lease: Option<Arc<Lease>>,
    conn: Mutex<Option<AdminConn>>,
    /// An operation that begins here counts against [`crate::deps::Settings::at_once`].
    slot: std::sync::Mutex<Option<OwnedSemaphorePermit>>,
}

impl Session {
    /// Opens the session of an operation that is about to begin, before its lease exists.
    pub(crate) async fn first(
        life: &Lifecycle,
        cluster: &Cluster,
        operation: OperationId,
        durability: Durability,
    ) -> Result<Self, StartError> {
        let admin = admin_of(life.deps(), cluster)?;
        let name = application_name(operation, FIRST_FENCE);
        // Waiting here costs nothing and holds nothing; fifty clones at once would only take each
        // other's disk, and fifty admin sessions the places of tenants.
        let slot = life.0.slots.clone().acquire_owned().await.ok();
        let conn = match durability {
            Durability::Each => admin.connect(&name).await?,
            Durability::Last => {
                let admin = admin.relaxed();
                with_a_place(life, cluster.id, IMPATIENCE, || async {
                    match taken_over(life, cluster.id, &name).await {
                        Some(conn) => Ok(conn),
                        None => admin.connect(&name).await,
                    }
                })
                .await?
            }
        };
        Ok(Self {
            life: life.clone(),
            cluster: cluster.clone(),
            durability,
            lease: None,
            conn: Mutex::new(Some(conn)),
            slot: std::sync::Mutex::new(slot),
        })
    }

    /// The session, now that the operation is recorded and leased.
    pub(crate) fn under(mut self, lease: Arc<Lease>) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The session of an operation that was taken up again.
    pub(crate) fn resumed(
        life: &Lifecycle,
        cluster: Cluster,
        lease: Arc<Lease>,
        durability: Durability,
    ) -> Self {
        Self {
            life: life.clone(),
            cluster,
            durability,
            lease: Some(lease),
            conn: Mutex::new(None),
            slot: std::sync::Mutex::default(),
        }
    }

    /// The cluster that the session is on.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The admin's connection, for the time of a few statements.
    pub(crate) async fn admin(&self) -> Result<MappedMutexGuard<'_, AdminConn>, StepError> {
        let mut slot = self.conn.lock().await;
        if slot.is_none() {
            let lease = self
                .lease
                .as_ref()
                .ok_or_else(|| missing("The operation holds no lease."))?;
            let session = admin_session(&self.life, &self.cluster, lease, self.durability).await?;
            *slot = Some(session);
        }
        MutexGuard::try_map(slot, Option::as_mut)
            .map_err(|_| missing("The operation has no admin session."))
    }

    /// Counts no longer among those that are worked on: from here on the operation mostly waits.
    pub(crate) fn rest(&self) {
        self.slot
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
    }

    /// Ends the session while it is not needed; the next who needs it opens another.
    pub(crate) async fn let_go(&self) {
        if let Some(conn) = self.conn.lock().await.take() {
            conn.close().await;
        }
    }

    /// [`Session::admin`], once no other session of the operation is open. A step that failed may have
    /// lost its connection to one that the server still works for: what that makes would come after
    /// the undoing.
    pub(crate) async fn alone(
        &self,
        lease: &Lease,
    ) -> Result<MappedMutexGuard<'_, AdminConn>, StepError> {
        let mut admin = self.admin().await?;
        let of_this = format!("tenantry/op/{}/", lease.operation());
        sessions::terminate_by_application(&mut admin, &of_this, NONE)
            .await
            .map_err(cluster_failure)?;
        Ok(admin)
    }

    /// A second admin session, for what is done beside a long statement of the first; none where too
    /// many births have one, or the server gives none. It may take a while to open: whoever has nothing
    /// left to do beside drops this.
    pub(crate) async fn second(&self, lease: &Lease) -> Result<Option<Second>, StepError> {
        let Ok(place) = self.life.0.seconds.clone().try_acquire_owned() else {
            return Ok(None);
        };
        let name = application_name(lease.operation(), lease.fence());
        let idle = match self.durability {
            Durability::Last => taken_over(&self.life, self.cluster.id, &name).await,
            Durability::Each => None,
        };
        let conn = match idle {
            Some(conn) => {
                lease.assert_held().await?;
                conn
            }
            None => match admin_session(&self.life, &self.cluster, lease, self.durability).await {
                Ok(conn) => conn,
                Err(StepError::Failed(failure)) => {
                    tracing::debug!(operation = %lease.operation(), cause = failure.cause, "no second session");
                    return Ok(None);
                }
                Err(interrupted) => return Err(interrupted),
            },
        };
        Ok(Some(Second {
            conn,
            _place: place,
        }))
    }

    fn keep_idle(&self, conn: AdminConn) {
        if self.durability == Durability::Last
            && let Ok(mut idle) = self.life.0.idle.lock()
        {
            let sessions = idle.entry(self.cluster.id).or_default();
            if sessions.len() < IDLE {
                sessions.push((Instant::now(), conn));
            }
        }
    }

    /// Leaves a second session, whose statements are all over, to the next operation.
    pub(crate) async fn leave_second(&self, second: Second) {
        let mut conn = second.conn;
        if conn.take_over(LEFT).await.is_ok() {
            self.keep_idle(conn);
        }
    }

    /// An admin session inside a tenant's database, for its identity and nothing else.
    pub(crate) async fn inside(
        &self,
        lease: &Lease,
        database: &DbName,
    ) -> Result<AdminConn, StepError> {
        if lease.fence() > FIRST_FENCE {
            // The opening of the first one ends the sessions of former drivers.
            drop(self.admin().await?);
        }
        let admin = admin_for(self.life.deps(), &self.cluster, self.durability)?;
        let name = application_name(lease.operation(), lease.fence());
        let entered = with_a_place(&self.life, self.cluster.id, PATIENCE, || async {
            let entered = admin.enter(database, &name).await;
            if entered.as_ref().is_err_and(ClusterError::is_full) {
                // Of several that wait for a place none may hold one meanwhile.
                if let Some(conn) = self.conn.lock().await.take() {
                    conn.close().await;
                }
            }
            entered
        })
        .await;
        let conn = entered.map_err(cluster_failure)?;
        lease.assert_held().await?;
        Ok(conn)
    }

    /// Leaves the session to the next operation. Only when this one is over and well: then no
    /// statement of it can still be under way.
    pub(crate) async fn leave(&self) {
        if let Some(conn) = self.conn.lock().await.take() {
            self.keep_idle(conn);
        }
    }
}

impl Second {
    /// Its connection.
    pub(crate) fn admin(&mut self) -> &mut AdminConn {
        &mut self.conn
    }
}

/// An idle session that still answers, under the name of the operation that takes it.
async fn taken_over(life: &Lifecycle, cluster: ClusterId, name: &str) -> Option<AdminConn> {
    loop {
        let (_, mut conn) = life.0.idle.lock().ok()?.get_mut(&cluster)?.pop()?;
        if conn.take_over(name).await.is_ok() {
            return Some(conn);
        }
    }
}

fn admin_for(deps: &Deps, cluster: &Cluster, durability: Durability) -> Result<Admin, StepError> {
    let admin = admin_of(deps, cluster).map_err(start_failure)?;
    Ok(match durability {
        Durability::Each => admin,
        Durability::Last => admin.relaxed(),
    })
}
