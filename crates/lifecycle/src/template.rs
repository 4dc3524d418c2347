//! The database to clone from: one per cluster and set of migrations, sealed, never opened again.

use std::collections::HashMap;

use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::templates::{self, Template};
use tenantry_cluster::logins::{LoginKind, NewLogin};
use tenantry_cluster::{AdminConn, Mark, databases, identity, logins, names, template};
use tenantry_router::Expected;
use tenantry_tenantdb::{migrations, schema_digest};
use tenantry_types::{ClusterId, DatabaseId, ErrorKind};
use tenantry_vault::scram;
use tokio::sync::Mutex;

use crate::Lifecycle;
use crate::deps::Deps;
use crate::engine::{Failure, StepError};
use crate::error::StartError;
use crate::place::{self, cluster_failure};

/// Templates that this process has seen ready: asking the catalog at each birth is a query too many.
pub(crate) type Known = Mutex<HashMap<ClusterId, Template>>;

/// A template's own epoch. No tenant has it, so a clone that was not given its identity yet is
/// taken for nobody's.
const EPOCH: i64 = 0;

/// What admin sessions that build templates are called.
const SESSION: &str = "tenantry/template";

impl Lifecycle {
    /// Makes sure that a cluster has the current template, so that the first customer need not wait for it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn ensure_template(&self, cluster: ClusterId) -> Result<(), StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let cluster = clusters::by_id(&mut conn, cluster)
            .await?
            .ok_or(StartError::NoCluster)?;
        drop(conn);
        let mut admin = place::admin_of(self.deps(), &cluster)?
            .connect(SESSION)
            .await?;
        let ensured = ensure(self, &cluster, &mut admin).await;
        admin.close().await;
        ensured.map(drop).map_err(place::start_error)
    }
}

/// The current template of a cluster, where this process has seen it ready and it is still there.
/// Does not wait for one that is being built.
pub(crate) async fn known(
    life: &Lifecycle,
    cluster: &Cluster,
    admin: &mut AdminConn,
) -> Result<Option<Template>, StepError> {
    let known = match life.0.templates.try_lock() {
        Ok(known) => known.get(&cluster.id).cloned(),
        Err(_) => None,
    };
    let Some(template) = known else {
        return Ok(None);
    };
    let exists = databases::exists(admin, &template.db_name).await;
    Ok(exists.map_err(cluster_failure)?.then_some(template))
}

/// The current template of a cluster; built now if there is none.
pub(crate) async fn ensure(
    life: &Lifecycle,
    cluster: &Cluster,
    admin: &mut AdminConn,
) -> Result<Template, StepError> {
    // Held while one is built: fifty births at once wait for one template and build no second.
    let mut known = life.0.templates.lock().await;
    if let Some(template) = known.get(&cluster.id)
        && databases::exists(admin, &template.db_name)
            .await
            .map_err(cluster_failure)?
    {
        return Ok(template.clone());
    }
    let template = find_or_build(life.deps(), cluster, admin).await?;
    known.insert(cluster.id, template.clone());
    Ok(template)
}

/// Drops the templates of other sets of migrations, once the current one is there.
pub(crate) async fn drop_others(
    life: &Lifecycle,
    cluster: &Cluster,
    admin: &mut AdminConn,
) -> Result<(), StepError> {
    let deps = life.deps();
    let mut conn = deps.catalog.acquire().await?;
    let known = templates::list(&mut conn, cluster.id).await?;
    drop(conn);
    for old in known.iter().filter(|known| known.schema != schema_digest()) {
        let mark = Mark::new(deps.installation, old.id);
        databases::drop_forced(admin, &old.db_name, &mark)
            .await
            .map_err(cluster_failure)?;
        logins::drop(admin, &names::builder(old.id), &mark)
            .await
            .map_err(cluster_failure)?;
        let mut conn = deps.catalog.acquire().await?;
        templates::remove(&mut conn, old.id).await?;
    }
    Ok(())
}

/// Of several processes one builds, holding the template's row; the others wait and find it.
///
/// The row is written before anything carries its name, so a build that died is found again by it
/// and goes on where it was.
async fn find_or_build(
    deps: &Deps,
    cluster: &Cluster,
    admin: &mut AdminConn,
) -> Result<Template, StepError> {
    let id = DatabaseId::generate(&deps.clock, &deps.entropy);
    let mut conn = deps.catalog.acquire().await?;
    templates::ensure(
        &mut conn,
        id,
        cluster.id,
        schema_digest(),
        &names::template(id),
    )
    .await?;
    drop(conn);

    let mut tx = deps.catalog.begin().await?;
    let template = templates::lock_by_schema(&mut tx, cluster.id, schema_digest())
        .await?
        .ok_or_else(|| place::missing("The template's row is gone."))?;
    let exists = databases::exists(admin, &template.db_name)
        .await
        .map_err(cluster_failure)?;
    if !(template.ready && exists) {
        build(deps, cluster, admin, template.id).await?;
        templates::set_ready(&mut tx, template.id).await?;
    }
    tx.commit().await?;
    Ok(template)
}

/// Builds the house as the admin, runs the migrations as a builder login, seals it.
async fn build(
    deps: &Deps,
    cluster: &Cluster,
    conn: &mut AdminConn,
    id: DatabaseId,
) -> Result<(), StepError> {
    let (name, builder) = (names::template(id), names::builder(id));
    let mark = Mark::new(deps.installation, id);
    let admin = place::admin_of(deps, cluster).map_err(place::start_failure)?;
    template::build(&admin, &name, &mark, SESSION)
        .await
        .map_err(cluster_failure)?;

    let mut inside = admin.enter(&name, SESSION).await.map_err(cluster_failure)?;
    identity::write(&mut inside, deps.installation, id, EPOCH)
        .await
        .map_err(cluster_failure)?;
    inside.close().await;

    let password = deps.entropy.password();
    let login = NewLogin {
        name: builder.clone(),
        kind: LoginKind::Owner,
        verifier: scram::verifier(
            &password,
            deps.entropy.bytes::<16>(),
            scram::ROUTER_ITERATIONS,
        ),
        mark,
    };
    logins::create(conn, &login)
        .await
        .map_err(cluster_failure)?;
    logins::set_role_in_database(conn, &builder, &name)
        .await
        .map_err(cluster_failure)?;
    databases::grant_connect(conn, &name, std::slice::from_ref(&builder))
        .await
        .map_err(cluster_failure)?;

    let target = place::target(cluster, name.clone(), builder.clone(), password);
    let expected = Expected {
        installation: deps.installation,
        database_id: id,
        epoch: EPOCH,
    };
    let mut proven = deps
        .router
        .prove(&target, &expected)
        .await
        .map_err(|error| failed(&error))?;
    migrations::run(&mut proven)
        .await
        .map_err(|error| failed(&error))?;
    // What the server says to a goodbye changes nothing.
    let _ = proven.close().await;
    template::seal(conn, &name, &mark, &builder)
        .await
        .map_err(cluster_failure)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> StepError {
    Failure::new(
        ErrorKind::Internal,
        "TEMPLATE_FAILED",
        "The template could not be made; the log says why.",
        error,
    )
    .into()
}
