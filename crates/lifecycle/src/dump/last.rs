//! The final dump, which a purge takes before it drops the database, and the end of those that are old.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use tenantry_catalog::{rebuild, tenants};
use tenantry_cluster::logins::temporary::{self, Group, NewTemporary};
use tenantry_cluster::{Mark, names};
use tenantry_types::{DbName, ErrorKind, RoleName, Secret};
use tenantry_vault::scram;

use super::programs::is_there;
use super::{DumpError, Programs, Taking, Way, check_folder, kept, read, verify, write};
use crate::delete::Ending;
use crate::engine::{Failure, StepError};
use crate::place::cluster_failure;
use crate::{Lifecycle, succession};

/// How long the login of a dump is good. A dump that takes longer fails, and is taken again.
const LOGIN: TimeDelta = TimeDelta::days(2);
/// Of these one dumps and one may wait for it.
const CONNECTIONS: u32 = 2;

/// Where final dumps are kept, and for how long.
#[derive(Clone, Debug)]
pub struct Dumps {
    /// The folder.
    pub folder: PathBuf,
    /// Whether a purge takes one.
    pub before_purge: bool,
    /// For how long.
    pub keep: Duration,
    /// The programs of Postgres.
    pub programs: Programs,
}

/// Whether a purge that begins now takes a dump first.
pub(crate) fn wanted(life: &Lifecycle) -> bool {
    let dumps = life.deps().settings.dumps.as_ref();
    dumps.is_some_and(|dumps| dumps.before_purge)
}

/// Takes the final dump, unless it is there. Without one the purge goes no further.
pub(crate) async fn take(work: &Ending) -> Result<(), StepError> {
    let deps = work.life.deps();
    let (Some(id), Some(name)) = (work.params.database_id, work.params.names()?.pop()) else {
        return Ok(());
    };
    let Some(dumps) = &deps.settings.dumps else {
        return Err(failed(
            "This process has no folder for final dumps (`dumps.dir`), and the purge was begun with one. \
             Nothing was dropped. Set it and retry; or, to purge without a dump, turn `dumps.before_purge` off \
             and ask for the purge again.",
            &DumpError::File {
                path: PathBuf::new(),
                why: "dumps.dir is not set".to_owned(),
            },
        ));
    };
    let mark = Mark::new(deps.installation, id);
    let mut conn = deps.catalog.acquire().await?;
    // Its cluster is back from a backup that does not have it: what is not there leaves nothing to dump.
    if rebuild::is_lost(&mut conn, id).await? {
        let mut admin = work.session.admin().await?;
        let found = tenantry_cluster::databases::mark_of(&mut admin, &name).await;
        if found.map_err(cluster_failure)?.is_none() {
            return Ok(());
        }
    }
    let tenant = tenants::by_id(&mut conn, work.tenant_id).await?;
    drop(conn);
    // Forgotten already: it was dropped by a run before this one.
    let Some(tenant) = tenant else { return Ok(()) };
    let operation = work.lease.operation();
    let to = dumps
        .folder
        .join(format!("{}-{operation}.dump", tenant.slug.as_str()));
    if is_there(&to)
        && read(&to)
            .and_then(|manifest| verify(&to, &manifest))
            .is_ok()
    {
        return Ok(());
    }
    check_folder(&dumps.folder).map_err(|error| told(&error))?;
    let taking = Taking {
        tenant_id: tenant.id,
        slug: tenant.slug.as_str().to_owned(),
        taken_at: deps.clock.now(),
        operation_id: Some(operation),
    };
    let login = names::temporary(operation.as_uuid());
    let password = deps.entropy.password();
    let new = NewTemporary {
        name: login.clone(),
        group: Group::Owner,
        verifier: succession::verifier_of(deps, password.clone(), scram::USER_ITERATIONS).await?,
        mark,
        connections: CONNECTIONS,
        valid_until: deps.clock.now() + LOGIN,
    };
    let mut admin = work.session.admin().await?;
    temporary::create(&mut admin, &name, &new)
        .await
        .map_err(cluster_failure)?;
    drop(admin);
    let taken = dumped(work, dumps, &name, &login, password, &to, &taking).await;
    // Ended also after a failure; should this fail too, the next run ends it, and the drop does.
    let mut admin = work.session.admin().await?;
    temporary::end(&mut admin, &name, &login, &mark)
        .await
        .map_err(cluster_failure)?;
    let manifest = taken.map_err(|error| told(&error))?;
    tracing::info!(tenant = %tenant.id, operation = %operation, bytes = manifest.bytes, "a final dump was taken");
    Ok(())
}

async fn dumped(
    work: &Ending,
    dumps: &Dumps,
    database: &DbName,
    login: &RoleName,
    password: Secret,
    to: &Path,
    taking: &Taking,
) -> Result<super::Manifest, DumpError> {
    let cluster = work.session.cluster();
    let root_ca = match &cluster.root_ca {
        None => None,
        Some(root) => Some(super::files::root_ca(to, root.as_str())?),
    };
    let way = Way {
        host: cluster.host.clone(),
        port: cluster.port,
        database: database.as_str().to_owned(),
        login: login.as_str().to_owned(),
        password,
        ssl_mode: cluster.tls.as_str().to_owned(),
        root_ca: root_ca.as_ref().map(|file| file.path().to_owned()),
    };
    write(&dumps.programs, &way, to, taking).await
}

fn told(error: &DumpError) -> StepError {
    // What the programs say names hosts, logins and tables; who may read operations may not read those. It is in the log.
    let what = match error {
        DumpError::Program { program, .. } => format!("{program} cannot be run"),
        DumpError::TooOld { program, .. } => format!("{program} is older than the server"),
        DumpError::Unsafe { program, .. } | DumpError::Failed { program, .. } => {
            format!("{program} failed, and the log of the server says why")
        }
        DumpError::File { why, .. } | DumpError::Damaged { why, .. } => {
            format!("the folder of dumps cannot be used: {why}")
        }
    };
    failed(
        &format!(
            "The final dump could not be taken, and nothing was dropped: {what}. Put that right and retry the \
             operation; or, to purge without a dump, turn `dumps.before_purge` off and ask for the purge again."
        ),
        error,
    )
}

fn failed(message: &str, error: &DumpError) -> StepError {
    Failure::new(ErrorKind::Internal, "DUMP_FAILED", message, error).into()
}

/// Removes the final dumps of this process's folder that were kept long enough.
pub(crate) fn prune(life: &Lifecycle) {
    let Some(dumps) = &life.deps().settings.dumps else {
        return;
    };
    let now = life.deps().clock.now();
    let keep = TimeDelta::from_std(dumps.keep).unwrap_or(TimeDelta::MAX);
    let all = match kept(&dumps.folder) {
        Ok(all) => all,
        Err(error) => return tracing::warn!(%error, "final dumps cannot be listed"),
    };
    // A dump that somebody has put there by hand names no purge, and stays.
    for one in all.iter().filter(|one| one.manifest.operation_id.is_some()) {
        if now.signed_duration_since(one.manifest.taken_at) < keep {
            continue;
        }
        match one.remove() {
            Ok(()) => {
                tracing::info!(tenant = %one.manifest.tenant_id, "a final dump was kept long enough, and is removed")
            }
            Err(error) => tracing::warn!(%error, "a final dump could not be removed; trying again"),
        }
    }
}
