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

/// What the steps of one operation make.
pub(crate) struct Making<'a> {
    pub life: &'a Lifecycle,
    pub lease: &'a Lease,
    pub session: &'a Session,
    pub cluster: ClusterId,
    pub database: DatabaseId,
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

    /// Clones the template into a closed database that carries our mark.
    pub(crate) async fn clone(&self, template: &Origin) -> Result<(), StepError> {
        let deps = self.life.deps();
        let mut conn = deps.catalog.acquire().await?;
        let known = databases::by_id(&mut conn, self.database).await?.is_some();
        drop(conn);
        if !known {
            let mut tx = deps.catalog.begin().await?;
            crate::worker::guard(&mut tx, self.lease).await?;
            record(
                deps,
                &mut tx,
                self.lease.operation(),
                (self.cluster, self.database),
                template,
            )
            .await?;
            tx.commit().await?;
        }
        let mut admin = self.session.admin().await?;
        tenantry_cluster::databases::create_closed(
            &mut admin,
            &names::spare(self.database),
            &names::template(template.id),
            &self.mark(),
        )
        .await
        .map_err(cluster_failure)
    }

    /// Walls the database off, opens it for the admin alone, and writes which database it is.
    pub(crate) async fn open(&self, template: &Origin) -> Result<(), StepError> {
        let name = self.current_name().await?;
        {
            let mut admin = self.session.admin().await?;
            tenantry_cluster::databases::prepare(&mut admin, &name, &self.mark())
                .await
                .map_err(cluster_failure)?;
            tenantry_cluster::databases::open(&mut admin, &name)
                .await
                .map_err(cluster_failure)?;
        }
        let mut inside = self.session.inside(self.lease, &name).await?;
        let written = tenantry_cluster::identity::replace(
            &mut inside,
            self.life.deps().installation,
            template.id,
            self.database,
            FIRST_EPOCH,
        )
        .await;
        inside.close().await;
        written.map_err(cluster_failure)
    }

    /// Makes the three logins, whose passwords the catalog has, sealed, since the row was written.
    pub(crate) async fn logins(&self) -> Result<(), StepError> {
        let deps = self.life.deps();
        let mut conn = deps.catalog.acquire().await?;
        let sealed = logins::by_database(&mut conn, self.database).await?;
        drop(conn);
        let name = self.current_name().await?;
        let mut new = Vec::with_capacity(sealed.len());
        for login in sealed {
            let password = place::open_login(deps, &login)?;
            let (kind, iterations) = kind_of(login.role);
            new.push(NewLogin {
                name: login.name,
                kind,
                verifier: scram::verifier(&password, deps.entropy.bytes::<16>(), iterations),
                mark: self.mark(),
            });
        }
        let wanted = names::login_names(&name);
        let mut admin = self.session.admin().await?;
        tenantry_cluster::logins::create_all(&mut admin, &new)
            .await
            .map_err(cluster_failure)?;
        tenantry_cluster::logins::set_role_in_database(&mut admin, &wanted.owner, &name)
            .await
            .map_err(cluster_failure)?;
        tenantry_cluster::databases::grant_connect(&mut admin, &name, &wanted.all())
            .await
            .map_err(cluster_failure)
    }

    /// Drops the database, then its logins (a login with a grant cannot be dropped), then their rows.
    pub(crate) async fn discard(&self, bases: &[DbName]) -> Result<(), StepError> {
        let deps = self.life.deps();
        let mut admin = self.session.admin().await?;
        // The rows go for good, so nothing may come back in a crash.
        admin.wait_for_disk().await.map_err(cluster_failure)?;
        discard_named(&mut admin, bases, &self.mark()).await?;
        drop(admin);
        let mut tx = deps.catalog.begin().await?;
        crate::worker::guard(&mut tx, self.lease).await?;
        databases::remove(&mut tx, self.database).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The name that the database has now: the step `claim` may have renamed it before a crash.
    async fn current_name(&self) -> Result<DbName, StepError> {
        let mut conn = self.life.deps().catalog.acquire().await?;
        let row = databases::by_id(&mut conn, self.database)
            .await?
            .ok_or_else(|| {
                place::missing("The database of the operation is not in the catalog.")
            })?;
        Ok(row.name)
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
) -> Result<(), StepError> {
    let name = names::spare(database);
    let new = NewDatabase {
        id: database,
        cluster_id: cluster,
        name: &name,
        operation_id: Some(operation),
        schema: &template.schema,
    };
    databases::insert_making(conn, &new)
        .await
        .map_err(name_refused)?;
    let names = names::login_names(&name);
    for role in [LoginRole::Owner, LoginRole::Router, LoginRole::User] {
        let password = deps.entropy.password();
        let login = Login {
            database_id: database,
            role,
            name: name_of(&names, role),
            sealed: Some(place::seal_login(deps, database, role, &password)?),
        };
        logins::insert(conn, &login).await?;
    }
    Ok(())
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
    }
}

fn kind_of(role: LoginRole) -> (LoginKind, u32) {
    match role {
        LoginRole::Owner => (LoginKind::Owner, scram::ROUTER_ITERATIONS),
        LoginRole::Router => (LoginKind::Router, scram::ROUTER_ITERATIONS),
        LoginRole::User => (LoginKind::User, scram::USER_ITERATIONS),
    }
}
