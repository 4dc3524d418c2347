//! The first half of a birth: a complete database that belongs to nobody yet.

use tenantry_catalog::databases::{self, NewDatabase, State};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_cluster::logins::{LoginKind, NewLogin};
use tenantry_cluster::names::{self, Logins};
use tenantry_cluster::{AdminConn, ClusterError, Mark};
use tenantry_types::{DbName, ErrorKind, RoleName};
use tenantry_vault::scram;

use super::{Create, Origin};
use crate::engine::{Failure, StepError};
use crate::place::{self, cluster_failure};

/// The epoch a tenant begins with.
pub(crate) const FIRST_EPOCH: i64 = 1;

/// Makes sure that there is a template to clone from, and remembers which.
pub(super) async fn template(work: &Create) -> Result<(), StepError> {
    let mut admin = work.session.admin().await?;
    let template = crate::template::ensure(&work.life, work.session.cluster(), &mut admin).await?;
    drop(admin);
    let mut params = work.params.lock().await;
    params.template = Some(Origin {
        id: template.id,
        schema: template.schema,
    });
    work.keep(&params).await
}

/// Clones the template into a closed database that carries our mark.
pub(super) async fn clone(work: &Create) -> Result<(), StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    let template = params.template()?;
    let name = names::spare(params.database_id);

    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    if databases::by_id(&mut tx, params.database_id)
        .await?
        .is_none()
    {
        let new = NewDatabase {
            id: params.database_id,
            cluster_id: params.cluster_id,
            name: &name,
            operation_id: Some(work.lease.operation()),
            schema: &template.schema,
        };
        databases::insert_making(&mut tx, &new)
            .await
            .map_err(name_refused)?;
    }
    tx.commit().await?;

    let mark = mark(work, &params);
    let mut admin = work.session.admin().await?;
    tenantry_cluster::databases::create_closed(
        &mut admin,
        &name,
        &names::template(template.id),
        &mark,
    )
    .await
    .map_err(cluster_failure)
}

/// Walls the database off, opens it for the admin alone, and writes which database it is.
pub(super) async fn open(work: &Create) -> Result<(), StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    let name = current_name(work, &params).await?;
    let template = params.template()?;
    {
        let mut admin = work.session.admin().await?;
        tenantry_cluster::databases::prepare(&mut admin, &name, &mark(work, &params))
            .await
            .map_err(cluster_failure)?;
        tenantry_cluster::databases::open(&mut admin, &name)
            .await
            .map_err(cluster_failure)?;
    }
    let mut inside = place::admin_inside(deps, work.session.cluster(), &work.lease, &name).await?;
    let written = tenantry_cluster::identity::replace(
        &mut inside,
        deps.installation,
        template.id,
        params.database_id,
        FIRST_EPOCH,
    )
    .await;
    inside.close().await;
    written.map_err(cluster_failure)
}

/// Makes the three logins, each password sealed before Postgres learns of it.
pub(super) async fn logins(work: &Create) -> Result<(), StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    let name = current_name(work, &params).await?;
    let wanted = names::login_names(&name);
    let mut new = Vec::with_capacity(3);
    for login in seal_logins(work, &wanted).await? {
        let password = place::open_login(deps, &login)?;
        let (kind, iterations) = kind_of(login.role);
        new.push(NewLogin {
            name: login.name,
            kind,
            verifier: scram::verifier(&password, deps.entropy.bytes::<16>(), iterations),
            mark: mark(work, &params),
        });
    }
    let mut admin = work.session.admin().await?;
    tenantry_cluster::logins::create_all(&mut admin, &new)
        .await
        .map_err(cluster_failure)?;
    tenantry_cluster::logins::set_role_in_database(&mut admin, &wanted.owner, &name)
        .await
        .map_err(cluster_failure)?;
    tenantry_cluster::databases::grant_connect(&mut admin, &name, &wanted.all())
        .await
        .map_err(cluster_failure)?;
    drop(admin);

    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    databases::set_state(&mut tx, params.database_id, State::Spare).await?;
    tx.commit().await?;
    Ok(())
}

/// Drops the database, then its logins (a login with a grant cannot be dropped), then their rows.
pub(super) async fn discard(work: &Create) -> Result<(), StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    let mut admin = work.session.admin().await?;
    discard_named(&mut admin, &bases(&params)?, &mark(work, &params)).await?;
    drop(admin);
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    databases::remove(&mut tx, params.database_id).await?;
    tx.commit().await?;
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

/// What our comment on the database says.
pub(super) fn mark(work: &Create, params: &super::Params) -> Mark {
    Mark::new(work.life.deps().installation, params.database_id)
}

/// The name that the database has now: the step `claim` may have renamed it before a crash.
async fn current_name(work: &Create, params: &super::Params) -> Result<DbName, StepError> {
    let mut conn = work.life.deps().catalog.acquire().await?;
    let row = databases::by_id(&mut conn, params.database_id)
        .await?
        .ok_or_else(|| place::missing("The database of the operation is not in the catalog."))?;
    Ok(row.name)
}

/// The names that the database and its logins may have: as a spare, and as the tenant's.
pub(crate) fn bases(params: &super::Params) -> Result<Vec<DbName>, StepError> {
    let mut bases = vec![names::spare(params.database_id)];
    if let Some(base) = &params.base {
        bases.push(DbName::parse(base).map_err(|error| place::vault_failure(&error))?);
    }
    Ok(bases)
}

/// Passwords are made once: a repeated step finds those that it sealed before.
async fn seal_logins(work: &Create, wanted: &Logins) -> Result<Vec<Login>, StepError> {
    let deps = work.life.deps();
    let database_id = work.params.lock().await.database_id;
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    let mut known = logins::by_database(&mut tx, database_id).await?;
    if known.is_empty() {
        for role in [LoginRole::Owner, LoginRole::Router, LoginRole::User] {
            let login = Login {
                database_id,
                role,
                name: name_of(wanted, role),
                sealed: Some(place::seal_login(
                    deps,
                    database_id,
                    role,
                    &deps.entropy.password(),
                )?),
            };
            logins::insert(&mut tx, &login).await?;
            known.push(login);
        }
    }
    tx.commit().await?;
    Ok(known)
}

/// The catalog has the name for another database already: its look and ours did not agree.
pub(super) fn name_refused(error: databases::NameError) -> StepError {
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
pub(super) fn name_of(names: &Logins, role: LoginRole) -> RoleName {
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
