//! The second half of a birth: the database becomes the tenant's.

use chrono::Duration;
use tenantry_catalog::births;
use tenantry_catalog::logins::{Login, LoginRole};
use tenantry_cluster::{AdminConn, ClusterError, names};
use tenantry_router::{Expected, ProveError, ProvenConn, Target};
use tenantry_tenantdb::seed;
use tenantry_types::{DatabaseId, DbName, Email, ErrorKind, Slug};

use super::{Create, Params};
use crate::answer::{self, Answer};
use crate::deps::{Deps, Naming};
use crate::engine::StepError;
use crate::making::{FIRST_EPOCH, Rows, name_of, name_refused};
use crate::place::{self, cluster_failure};

/// Gives the database and its logins the tenant's name; before that, in the same transaction, a fresh
/// clone gets all that a spare has.
pub(super) async fn claim(work: &Create) -> Result<(), StepError> {
    let base = rename(work).await?;
    let names = names::login_names(&base);
    let logins = [LoginRole::Owner, LoginRole::Router, LoginRole::User]
        .map(|role| (role, name_of(&names, role)));
    let claim = births::Claim {
        database: work.params.lock().await.database_id,
        tenant: work.tenant_id,
        name: &base,
        logins: &logins,
    };
    let mut conn = work.life.deps().catalog.acquire().await?;
    let (operation, fence) = (work.lease.operation(), work.lease.fence());
    if !births::claim(&mut conn, operation, fence, &claim)
        .await
        .map_err(name_refused)?
    {
        return Err(StepError::Interrupted(None));
    }
    work.known.renamed(&base).await;
    Ok(())
}

/// Renames in Postgres. A name that somebody took between our look and our rename is given up for
/// the next free one.
async fn rename(work: &Create) -> Result<DbName, StepError> {
    for _ in 0..5 {
        let base = choose_base(work).await?;
        let params = work.params.lock().await.clone();
        let spare = names::spare(params.database_id);
        let making = work.making(&params)?;
        let mark = making.mark();
        let clone = !work.from_spare;
        if clone && !making.incomplete().await? {
            return Ok(base);
        }
        let mut admin = work.session.admin().await?;
        let named = if clone {
            tenantry_cluster::databases::complete(&mut admin, &spare, &base, &mark).await
        } else {
            tenantry_cluster::databases::rename_with_logins(&mut admin, &spare, &base, &mark).await
        };
        match named {
            Ok(()) => return Ok(base),
            Err(ClusterError::NameTaken(_)) => {
                drop(admin);
                let mut params = work.params.lock().await;
                params.base = None;
                work.keep(&params).await?;
            }
            Err(error) => return Err(cluster_failure(error)),
        }
    }
    Err(place::missing(
        "No free name was found for the tenant's database.",
    ))
}

/// Logs in as the tenant's router login, proves the way, writes the first rows, and keeps the
/// connection for the router. A fresh clone gets its identity beside the login.
///
/// Its commit is the cluster's one that waits for the disk ([`place::Durability::Last`]).
pub(super) async fn seed(work: &Create) -> Result<(), StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    let admin = work.admin().await?;
    let rows = work.making(&params)?.rows().await?;
    let login = login_of(&rows, LoginRole::Router)
        .ok_or_else(|| place::missing("The tenant's router login is not in the catalog."))?;
    let password = place::open_login(deps, login)?;
    let (cluster, name) = (work.session.cluster(), rows.name.clone());
    let target = place::target(cluster, name, login.name.clone(), password);
    let expected = Expected {
        installation: deps.installation,
        database_id: params.database_id,
        epoch: FIRST_EPOCH,
    };
    let mut proven = way(work, &params, &target, &expected).await?;
    let first = match (admin, params.admin_id) {
        (Some(admin), Some(user_id)) => Some(seed::Admin {
            user_id,
            email: Email::parse(&admin.email).map_err(|error| place::vault_failure(&error))?,
            password_hash: Some(work.password_hash(&admin).await?),
        }),
        _ => None,
    };
    seed::seed(&mut proven, first.as_ref(), &deps.clock, &deps.entropy)
        .await
        .map_err(tenantdb_failure)?;
    *work.way.lock().await = Some(proven);
    Ok(())
}

/// The router forgets the tenant, so that its connections do not hold up the drop.
pub(super) async fn unseed(work: &Create) -> Result<(), StepError> {
    if let Some(proven) = work.way.lock().await.take() {
        proven.close().await;
    }
    work.life.deps().router.disconnect(work.tenant_id).await;
    Ok(())
}

/// Opens the tenant for requests, and seals what has to be told. Beside that the router takes the
/// proven connection as the tenant's first one.
pub(super) async fn activate(work: &Create) -> Result<(), StepError> {
    let adopted = async {
        if let Some(proven) = work.way.lock().await.take() {
            let router = &work.life.deps().router;
            router.adopt(work.tenant_id, proven).await;
        }
    };
    let (opened, ()) = tokio::join!(open(work), adopted);
    // This drive opens it once only.
    let _ = work.opened.set(opened?);
    work.session.leave().await;
    work.life.0.spare_taken.notify_one();
    Ok(())
}

async fn open(work: &Create) -> Result<i64, StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    let (operation, fence) = (work.lease.operation(), work.lease.fence());
    let rows = work.making(&params)?.rows().await?;
    let user = login_of(&rows, LoginRole::User);
    // Gone when a crash came after this transaction: then the answer is sealed already.
    let user = user.filter(|login| login.sealed.is_some());
    let mut sealed = None;
    if let Some(user) = user {
        let admin = work.admin().await?;
        let first = admin.as_ref().map(|admin| admin.email.as_str());
        let first_person = crate::directory::hash_of(deps, first);
        let answer = Answer {
            db_password: place::open_login(deps, user)?.expose().to_owned(),
            admin_password: admin.filter(|admin| admin.made).map(|admin| admin.password),
        };
        sealed = Some((answer::seal(deps, operation, &answer)?, first_person));
    }
    let opening = births::Opening {
        tenant: work.tenant_id,
        told: sealed.as_ref().map(|(sealed, first_person)| births::Told {
            name: answer::ANSWER,
            answer: sealed,
            until: deps.clock.now()
                + Duration::from_std(deps.settings.answers_kept).unwrap_or(Duration::hours(24)),
            database: params.database_id,
            directory_key: deps.directory.name(),
            first_person: *first_person,
            listed_again: crate::directory::AGAIN,
        }),
    };
    let mut conn = deps.catalog.acquire().await?;
    births::open(&mut conn, operation, fence, &opening)
        .await?
        .ok_or(StepError::Interrupted(None))
}

pub(crate) fn login_of(rows: &Rows, role: LoginRole) -> Option<&Login> {
    rows.logins.iter().find(|login| login.role == role)
}

/// The name that was chosen, or another one, kept in the operation before anything carries it.
async fn choose_base(work: &Create) -> Result<DbName, StepError> {
    let mut params = work.params.lock().await;
    if let Some(base) = &params.base {
        return DbName::parse(base).map_err(|error| place::vault_failure(&error));
    }
    let slug = Slug::parse(&params.slug).map_err(|error| place::vault_failure(&error))?;
    let mut admin = work.session.admin().await?;
    let base = free_base(work.life.deps(), &mut admin, &slug, params.database_id)
        .await
        .map_err(cluster_failure)?;
    drop(admin);
    params.base = Some(base.as_str().to_owned());
    work.keep(&params).await?;
    Ok(base)
}

/// A name that no database and no login of the cluster has.
pub(super) async fn free_base(
    deps: &Deps,
    admin: &mut AdminConn,
    slug: &Slug,
    database: DatabaseId,
) -> Result<DbName, ClusterError> {
    let wanted = match deps.settings.naming {
        Naming::Readable => names::Naming::Readable(slug),
        Naming::Opaque => names::Naming::Opaque(database),
    };
    names::free_base(admin, wanted).await
}

/// Opens the way and proves it; on a server that is busy more than once, as all that is left are a few
/// rows. The lease was held at a moment when the way was open, or when the identity was written, which
/// nobody else's is proven without.
async fn way(
    work: &Create,
    params: &Params,
    target: &Target,
    expected: &Expected,
) -> Result<ProvenConn, StepError> {
    let router = &work.life.deps().router;
    let identity = async {
        if work.from_spare {
            return Ok(());
        }
        let making = work.making(params)?;
        let inside = making
            .write_identity(&target.database, params.template()?)
            .await?;
        // Nothing waits for the end of it.
        work.life.0.running.spawn(inside.close());
        Ok::<_, StepError>(())
    };
    let (written, knocked) = tokio::join!(identity, router.knock(target));
    written?;
    let mut proven = match knocked {
        Ok(conn) => conn.prove(router, expected).await,
        Err(error) => Err(error),
    };
    for _ in 0..2 {
        match &proven {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                proven = router.prove(target, expected).await;
            }
            _ => break,
        }
    }
    if work.from_spare {
        work.lease.assert_held().await?;
    }
    proven.map_err(prove_failure)
}

pub(crate) fn prove_failure(error: ProveError) -> StepError {
    crate::engine::Failure::new(
        error.kind(),
        error.code(),
        "The new database did not let the tenant in; try again later.",
        &error,
    )
    .into()
}

pub(crate) fn tenantdb_failure(error: tenantry_tenantdb::TenantDbError) -> StepError {
    crate::engine::Failure::new(
        error.kind(),
        error.code(),
        "The new database could not be filled; try again later.",
        &error,
    )
    .into()
}
