//! Making a complete database that belongs to nobody yet: for the tenant whose operation this is, or
//! to be put by as a spare.
//!
//! Its commits on the cluster do not wait for the disk one by one ([`place::Durability::Last`]).

use sqlx::PgConnection;
use tenantry_catalog::databases::{self, NewDatabase};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_cluster::logins::{LoginKind, NewLogin};
use tenantry_cluster::names::{self, Logins};
use tenantry_cluster::{AdminConn, ClusterError, Mark};
use tenantry_types::{ClusterId, DatabaseId, DbName, ErrorKind, OperationId, RoleName};
use tenantry_vault::scram;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Lifecycle;
use crate::deps::Deps;
use crate::engine::{Failure, Lease, StepError};
use crate::place::{self, Session, cluster_failure};

/// The epoch a database begins with.
pub(crate) const FIRST_EPOCH: i64 = 1;

/// The template of a database: until the clone has its own identity it carries this one's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub id: DatabaseId,
    /// Digest of the migrations in it.
    pub schema: String,
}

/// The rows of a database in the catalog, with its logins.
#[derive(Clone)]
pub(crate) struct Rows {
    pub name: DbName,
    pub logins: Vec<Login>,
}

/// What one drive of an operation knows of the database that it makes, so that no step asks for what
/// an earlier one wrote: while it holds the lease nobody else writes it.
#[derive(Default)]
pub(crate) struct Known {
    /// Whether this drive began the operation. A later one finds the cluster ahead of the catalog's
    /// journal, where a crash took the last lines, and has to look.
    newborn: bool,
    rows: Mutex<Option<Rows>>,
}

impl Known {
    /// Of an operation that this process began, with the rows that it wrote.
    pub(crate) fn newborn(rows: Option<Rows>) -> Self {
        Self {
            newborn: true,
            rows: Mutex::new(rows),
        }
    }

    /// The rows have these names now.
    pub(crate) async fn renamed(&self, name: &DbName) {
        if let Some(rows) = self.rows.lock().await.as_mut() {
            let names = names::login_names(name);
            rows.name = name.clone();
            for login in &mut rows.logins {
                login.name = name_of(&names, login.role);
            }
        }
    }
}

/// What the steps of one operation make.
pub(crate) struct Making<'a> {
    pub life: &'a Lifecycle,
    pub lease: &'a Lease,
    pub session: &'a Session,
    pub cluster: ClusterId,
    pub database: DatabaseId,
    /// The names that it may have by now, the first one first.
    pub bases: Vec<DbName>,
    pub known: &'a Known,
}

impl Making<'_> {
    /// What our comment on the database says.
    pub(crate) fn mark(&self) -> Mark {
        Mark::new(self.life.deps().installation, self.database)
    }

    /// The template to clone from; made if there is none.
    pub(crate) async fn template(&self) -> Result<Origin, StepError> {
        let mut admin = self.session.admin().await?;
        let template =
            crate::template::ensure(self.life, self.session.cluster(), &mut admin).await?;
        Ok(Origin {
            id: template.id,
            schema: template.schema,
        })
    }

    /// Clones the template into a closed database, and makes the three logins, whose passwords the
    /// catalog has, sealed, since the row was written. Either can be there without the other.
    ///
    /// The logins are made beside the clone where a second session is at hand before that is done, and
    /// otherwise after it: a birth that holds one session never fails for want of another.
    pub(crate) async fn clone(&self, template: &Origin) -> Result<(), StepError> {
        if self.find().await?.is_none() {
            self.record(template).await?;
        }
        let first = names::spare(self.database);
        if self.current_name().await? != first {
            return Ok(());
        }
        // Before the second one: its opening ends the sessions of former drivers.
        let mut admin = self.session.admin().await?;
        let (template, mark) = (names::template(template.id), self.mark());
        let over = CancellationToken::new();
        let clone = async {
            let _over = over.clone().drop_guard();
            tenantry_cluster::databases::clone_closed(&mut admin, &first, &template, &mark).await
        };
        let beside = Box::pin(self.make_logins_beside(&first, &over));
        let (cloned, made) = tokio::join!(clone, beside);
        cloned.map_err(cluster_failure)?;
        match made? {
            None => Ok(()),
            Some(left) => create_logins(&mut admin, &left).await,
        }
    }

    /// Makes the logins in a second session, if one is there before the first one's work is over;
    /// otherwise gives what there is to be made.
    async fn make_logins_beside(
        &self,
        database: &DbName,
        over: &CancellationToken,
    ) -> Result<Option<Vec<NewLogin>>, StepError> {
        let new = async { self.new_logins(database).await };
        let second = over.run_until_cancelled(Box::pin(self.session.second(self.lease)));
        let (new, second) = tokio::join!(new, second);
        let (new, second) = (new?, second.transpose()?.flatten());
        let Some(mut second) = second else {
            return Ok(Some(new));
        };
        create_logins(second.admin(), &new).await?;
        self.session.leave_second(second).await;
        Ok(None)
    }

    async fn new_logins(&self, database: &DbName) -> Result<Vec<NewLogin>, StepError> {
        let names = names::login_names(database);
        let verifiers = self.verify().await?.into_iter();
        let new = verifiers.map(|(role, verifier)| NewLogin {
            name: name_of(&names, role),
            kind: kind_of(role).0,
            verifier,
            mark: self.mark(),
        });
        Ok(new.collect())
    }

    /// Whether the database is still the closed clone, under its first name; then its logins are there.
    pub(crate) async fn incomplete(&self) -> Result<bool, StepError> {
        let name = self.current_name().await?;
        if name != names::spare(self.database) {
            return Ok(false);
        }
        if !self.known.newborn {
            // A crash of the cluster may have taken them, whatever the journal says.
            let new = self.new_logins(&name).await?;
            let mut admin = self.session.admin().await?;
            create_logins(&mut admin, &new).await?;
        }
        Ok(true)
    }

    /// Walls the database off, lets its logins in and opens it. It keeps its name.
    pub(crate) async fn grant(&self) -> Result<(), StepError> {
        if !self.incomplete().await? {
            return Ok(());
        }
        let name = names::spare(self.database);
        let mut admin = self.session.admin().await?;
        tenantry_cluster::databases::complete(&mut admin, &name, &name, &self.mark())
            .await
            .map_err(cluster_failure)
    }

    /// Writes into the database which one it is. The session is still in it: who renames the database
    /// next has to [`AdminConn::end`] it.
    pub(crate) async fn write_identity(
        &self,
        database: &DbName,
        template: &Origin,
    ) -> Result<AdminConn, StepError> {
        let mut inside = self.session.inside(self.lease, database).await?;
        tenantry_cluster::identity::replace(
            &mut inside,
            self.life.deps().installation,
            template.id,
            self.database,
            FIRST_EPOCH,
        )
        .await
        .map_err(cluster_failure)?;
        Ok(inside)
    }

    /// The verifiers of the logins' passwords: one takes thousands of rounds.
    async fn verify(&self) -> Result<Vec<(LoginRole, String)>, StepError> {
        let (life, rows) = (self.life.clone(), self.rows().await?);
        let verifying = tokio::task::spawn_blocking(move || {
            let deps = life.deps();
            let verifier = |login: &Login| {
                let password = place::open_login(deps, login)?;
                let salt = deps.entropy.bytes::<16>();
                let verifier = scram::verifier(&password, salt, kind_of(login.role).1);
                Ok((login.role, verifier))
            };
            rows.logins.iter().map(verifier).collect()
        });
        verifying
            .await
            .map_err(|error| place::vault_failure(&error))?
    }

    /// The catalog's rows.
    pub(crate) async fn rows(&self) -> Result<Rows, StepError> {
        let rows = self.find().await?;
        rows.ok_or_else(|| place::missing("The database of the operation is not in the catalog."))
    }

    async fn find(&self) -> Result<Option<Rows>, StepError> {
        let mut known = self.known.rows.lock().await;
        if known.is_none() {
            let mut conn = self.life.deps().catalog.acquire().await?;
            if let Some(row) = databases::by_id(&mut conn, self.database).await? {
                *known = Some(Rows {
                    name: row.name,
                    logins: logins::by_database(&mut conn, self.database).await?,
                });
            }
        }
        Ok(known.clone())
    }

    async fn record(&self, template: &Origin) -> Result<(), StepError> {
        let deps = self.life.deps();
        let (operation, database) = (self.lease.operation(), (self.cluster, self.database));
        let mut tx = deps.catalog.begin().await?;
        crate::worker::guard(&mut tx, self.lease).await?;
        let rows = record(deps, &mut tx, operation, database, template).await?;
        tx.commit().await?;
        *self.known.rows.lock().await = Some(rows);
        Ok(())
    }

    /// The name that the database has on the cluster: the step `claim` may have given it another one
    /// before a crash, of which the catalog may have lost the last lines.
    async fn current_name(&self) -> Result<DbName, StepError> {
        let first = names::spare(self.database);
        if self.known.newborn {
            return Ok(first);
        }
        let mut admin = self.session.admin().await?;
        for base in &self.bases {
            let found = tenantry_cluster::databases::mark_of(&mut admin, base).await;
            if found.map_err(cluster_failure)? == Some(self.mark()) {
                return Ok(base.clone());
            }
        }
        Ok(first)
    }

    /// Drops the database, then its logins (a login with a grant cannot be dropped), then their rows.
    pub(crate) async fn discard(&self) -> Result<(), StepError> {
        let deps = self.life.deps();
        let mut admin = self.session.alone(self.lease).await?;
        // The rows go for good, so nothing may come back in a crash.
        admin.wait_for_disk().await.map_err(cluster_failure)?;
        discard_named(&mut admin, &self.bases, &self.mark()).await?;
        drop(admin);
        let mut tx = deps.catalog.begin().await?;
        crate::worker::guard(&mut tx, self.lease).await?;
        databases::remove(&mut tx, self.database).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Writes the rows of a database that is about to be made, its logins with sealed passwords among
/// them: whatever Postgres is given, the catalog knew before.
pub(crate) async fn record(
    deps: &Deps,
    conn: &mut PgConnection,
    operation: OperationId,
    (cluster, database): (ClusterId, DatabaseId),
    template: &Origin,
) -> Result<Rows, StepError> {
    let name = names::spare(database);
    record_as(
        deps,
        conn,
        operation,
        (cluster, database),
        name,
        &template.schema,
    )
    .await
}

/// [`record`] for a database of another name, at these migrations.
pub(crate) async fn record_as(
    deps: &Deps,
    conn: &mut PgConnection,
    operation: OperationId,
    (cluster, database): (ClusterId, DatabaseId),
    name: DbName,
    schema: &str,
) -> Result<Rows, StepError> {
    let new = NewDatabase {
        id: database,
        cluster_id: cluster,
        name: &name,
        operation_id: Some(operation),
        schema,
    };
    databases::insert_making(conn, &new)
        .await
        .map_err(name_refused)?;
    let names = names::login_names(&name);
    let mut new = Vec::new();
    for role in [LoginRole::Owner, LoginRole::Router, LoginRole::User] {
        let password = deps.entropy.password();
        new.push(Login {
            database_id: database,
            role,
            name: name_of(&names, role),
            sealed: Some(place::seal_login(deps, database, role, &password)?),
        });
    }
    logins::insert_all(conn, &new).await?;
    Ok(Rows { name, logins: new })
}

/// Drops what carries our mark under any of these names. What carries another's is not what we made:
/// the name was taken by somebody else before we could give it.
pub(crate) async fn discard_named(
    admin: &mut AdminConn,
    bases: &[DbName],
    mark: &Mark,
) -> Result<(), StepError> {
    let ours = |dropped: Result<(), ClusterError>| match dropped {
        Ok(()) | Err(ClusterError::NotOurs(_)) => Ok(()),
        Err(error) => Err(cluster_failure(error)),
    };
    for base in bases {
        let dropped = tenantry_cluster::databases::drop_forced(admin, base, mark).await;
        ours(dropped.map(drop))?;
    }
    for base in bases {
        for login in names::login_names(base).all() {
            let dropped = tenantry_cluster::logins::drop(admin, &login, mark).await;
            ours(dropped.map(drop))?;
        }
    }
    let temporary = tenantry_cluster::logins::temporary::of(admin, mark).await;
    for login in temporary.map_err(cluster_failure)? {
        let dropped = tenantry_cluster::logins::drop(admin, &login, mark).await;
        ours(dropped.map(drop))?;
    }
    Ok(())
}

/// The catalog has the name for another database already: its look and ours did not agree.
pub(crate) fn name_refused(error: databases::NameError) -> StepError {
    match error {
        databases::NameError::Catalog(error) => error.into(),
        other => Failure::new(
            ErrorKind::Conflict,
            "DATABASE_NAME_TAKEN",
            "The catalog has another database of this name.",
            &other,
        )
        .into(),
    }
}

/// The name that a login has under this set of names.
pub(crate) fn name_of(names: &Logins, role: LoginRole) -> RoleName {
    match role {
        LoginRole::Owner => names.owner.clone(),
        LoginRole::Router => names.router.clone(),
        LoginRole::User => names.user.clone(),
        // A database that is being made has none of these.
        LoginRole::RouterOld => names.router_2.clone(),
        LoginRole::UserOld => names.user_2.clone(),
    }
}

async fn create_logins(admin: &mut AdminConn, new: &[NewLogin]) -> Result<(), StepError> {
    tenantry_cluster::logins::create_all(admin, new)
        .await
        .map_err(cluster_failure)
}

/// What sort of login it is, and the iterations of its verifier.
pub(crate) fn kind_of(role: LoginRole) -> (LoginKind, u32) {
    match role {
        LoginRole::Owner => (LoginKind::Owner, scram::ROUTER_ITERATIONS),
        LoginRole::Router | LoginRole::RouterOld => (LoginKind::Router, scram::ROUTER_ITERATIONS),
        LoginRole::User | LoginRole::UserOld => (LoginKind::User, scram::USER_ITERATIONS),
    }
}
