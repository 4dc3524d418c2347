//! `migrate-all`: every template, spare and tenant comes to the built-in migrations.
//!
//! Each database is asked, whatever the catalog believes of it, so that one that was restored or
//! changed by hand is found. A database that fails is written down and stops nobody else.
//! The migrations run as the database's owner login, never as the admin.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde::Serialize;
use serde_json::json;
use tenantry_catalog::change_log;
use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::databases::{self, ForMigration};
use tenantry_catalog::logins::{self, LoginRole};
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::tenants::Status;
use tenantry_router::Expected;
use tenantry_tenantdb::migrations;
use tenantry_types::{OperationId, TenantId};
use tokio::sync::{Mutex, watch};
use tokio::time::MissedTickBehavior;

use crate::asker::Asker;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError, chain_of};
use crate::error::StartError;
use crate::place::{self, Durability};
use crate::{Lifecycle, Started, making, template};

/// Under this name a run keeps how far it has come, among what the operation remembers.
pub(crate) const PROGRESS: &str = "progress";
/// How often that is written down.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// The operation `migrate`.
pub struct Migrate {
    life: Lifecycle,
    lease: Arc<Lease>,
    report: Mutex<Vec<Item>>,
}

/// What happened to one database.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    database: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Migrated,
    Current,
    Failed,
    Skipped,
}

impl Kind for Migrate {
    const NAME: &'static str = "migrate";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Migrate>] = &[
            Step {
                name: "templates",
                run: |work| Box::pin(templates(work)),
                undo: None,
            },
            Step {
                name: "databases",
                run: |work| Box::pin(all_databases(work)),
                undo: None,
            },
        ];
        STEPS
    }

    fn result(&self) -> serde_json::Value {
        let Ok(items) = self.report.try_lock() else {
            return json!({});
        };
        let count = |outcome| items.iter().filter(|item| item.outcome == outcome).count();
        json!({
            "total": items.len(),
            "migrated": count(Outcome::Migrated),
            "current": count(Outcome::Current),
            "failed": count(Outcome::Failed),
            "skipped": count(Outcome::Skipped),
            "items": *items,
        })
    }
}

impl Lifecycle {
    /// Begins to bring the whole fleet to the built-in migrations.
    ///
    /// # Errors
    /// [`StartError::InProgress`] when that is going on already.
    pub async fn migrate_all(&self, asker: Asker) -> Result<Started, StartError> {
        let deps = self.deps();
        let id = OperationId::generate(&deps.clock, &deps.entropy);
        let mut tx = deps.catalog.begin().await?;
        if let Some(running) = operations::lock_fleet_kind(&mut tx, Migrate::NAME).await? {
            return Err(StartError::InProgress(running));
        }
        let fence = self
            .record::<Migrate>(&mut tx, id, None, &json!({}), &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "fleet.migrate",
            None,
            Some("bring every tenant to the built-in migrations"),
            json!({ "operationId": id, "schema": tenantry_tenantdb::schema_digest() }),
        )
        .await?;
        tx.commit().await?;
        let lease = self.lease(id, fence);
        let work = Migrate {
            life: self.clone(),
            lease: lease.clone(),
            report: Mutex::default(),
        };
        self.carry(lease, work);
        Ok(Started::anew(id, None))
    }
}

impl Migrate {
    #[expect(
        clippy::unused_async,
        reason = "as the other kinds of operation are resumed"
    )]
    pub(crate) async fn resume(
        life: &Lifecycle,
        _operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ok(Self {
            life: life.clone(),
            lease,
            report: Mutex::default(),
        })
    }
}

/// New births clone the current migrations from here on; old templates go. A cluster that cannot be
/// reached is reported and stops no other.
async fn templates(work: &Migrate) -> Result<(), StepError> {
    let mut conn = work.life.deps().catalog.acquire().await?;
    let all = clusters::list(&mut conn).await?;
    drop(conn);
    for cluster in all {
        match renew_template(work, &cluster).await {
            Ok(()) => {}
            Err(StepError::Interrupted(error)) => return Err(StepError::Interrupted(error)),
            Err(StepError::Failed(failure)) => work.report.lock().await.push(Item {
                tenant_id: None,
                slug: None,
                database: format!("template on {}", cluster.name),
                outcome: Outcome::Failed,
                from: None,
                to: None,
                error: Some(failure.cause),
            }),
        }
    }
    Ok(())
}

async fn renew_template(work: &Migrate, cluster: &Cluster) -> Result<(), StepError> {
    let mut admin =
        place::admin_session(&work.life, cluster, &work.lease, Durability::Each).await?;
    template::ensure(&work.life, cluster, &mut admin).await?;
    template::drop_others(&work.life, cluster, &mut admin).await?;
    admin.close().await;
    Ok(())
}

async fn all_databases(work: &Migrate) -> Result<(), StepError> {
    let deps = work.life.deps();
    let mut conn = deps.catalog.acquire().await?;
    let all = databases::all_for_migration(&mut conn).await?;
    let clusters = clusters::list(&mut conn).await?;
    drop(conn);
    let total = all.len();
    let mut items = futures::stream::iter(all)
        .take_while(|_| std::future::ready(work.life.0.gate.is_open()))
        .map(|row| {
            let cluster = clusters
                .iter()
                .find(|cluster| cluster.id == row.database.cluster_id);
            one(work, row, cluster)
        })
        .buffer_unordered(deps.settings.parallel_migrations.max(1));
    let (progress, seen) = watch::channel(Progress::of(total));
    let mut done = Vec::with_capacity(total);
    let migrating = async {
        while let Some(item) = items.next().await {
            progress.send_modify(|progress| progress.count(item.outcome));
            done.push(item);
        }
    };
    // Beside it, not between two items: it takes a connection to the catalog, as they do, and who is
    // not polled gives none back.
    tokio::select! {
        () = migrating => {}
        () = tell(work, seen) => {}
    }
    if done.len() < total {
        // Paused: those that were at it are done, and whoever takes this up asks them all again.
        return Err(StepError::Interrupted(None));
    }
    work.report.lock().await.extend(done);
    Ok(())
}

/// How far the run has come, for those who watch. It is kept with the operation, so that every
/// process can tell it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    total: usize,
    done: usize,
    migrated: usize,
    current: usize,
    failed: usize,
    skipped: usize,
}

impl Progress {
    fn of(total: usize) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    fn count(&mut self, outcome: Outcome) {
        self.done += 1;
        *match outcome {
            Outcome::Migrated => &mut self.migrated,
            Outcome::Current => &mut self.current,
            Outcome::Failed => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
        } += 1;
    }
}

/// Writes down how far it has come whenever that has changed. Nothing depends on it: what cannot be
/// written now is written with the next one.
async fn tell(work: &Migrate, mut progress: watch::Receiver<Progress>) {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    progress.mark_changed();
    loop {
        ticks.tick().await;
        if !progress.has_changed().unwrap_or(false) {
            continue;
        }
        let params = json!({ PROGRESS: *progress.borrow_and_update() });
        let written = async {
            let mut conn = work.life.deps().catalog.acquire().await?;
            let (id, fence) = (work.lease.operation(), work.lease.fence());
            operations::set_params(&mut conn, id, fence, &params).await?;
            Ok::<_, StepError>(())
        };
        if let Err(error) = written.await {
            tracing::debug!(error = %chain_of(&error), "the progress could not be kept");
        }
    }
}

/// Migrates one database; whatever goes wrong becomes its result.
async fn one(work: &Migrate, row: ForMigration, cluster: Option<&Cluster>) -> Item {
    let mut item = Item {
        tenant_id: row.tenant.as_ref().map(|tenant| tenant.id),
        slug: row
            .tenant
            .as_ref()
            .map(|tenant| tenant.slug.as_str().to_owned()),
        database: row.database.name.as_str().to_owned(),
        outcome: Outcome::Skipped,
        from: None,
        to: None,
        error: None,
    };
    // Its logins are fenced; it is brought up to date by the next run after it came back.
    if row
        .tenant
        .as_ref()
        .is_some_and(|tenant| tenant.status == Status::Deleting)
    {
        item.error = Some("the tenant is deleted".to_owned());
        return item;
    }
    // A spare at these migrations may be taken and renamed at any moment: nothing is to be done there.
    if row.tenant.is_none() && row.database.schema == tenantry_tenantdb::schema_digest() {
        item.outcome = Outcome::Current;
        return item;
    }
    let migrated = match cluster {
        Some(cluster) => migrate(work, &row, cluster).await,
        None => Err(place::missing(
            "The database's cluster is not registered any more.",
        )),
    };
    match migrated {
        Ok(applied) => {
            item.outcome = if applied.applied.is_empty() {
                Outcome::Current
            } else {
                Outcome::Migrated
            };
            item.from = Some(applied.from);
            item.to = Some(applied.to);
        }
        Err(error) => {
            let text = match &error {
                StepError::Failed(failure) => failure.cause.clone(),
                StepError::Interrupted(_) => chain_of(&error),
            };
            tracing::warn!(
                database = row.database.name.as_str(),
                error = text,
                "a database could not be migrated"
            );
            remember_error(work, &row, &text).await;
            item.outcome = Outcome::Failed;
            item.error = Some(text);
        }
    }
    item
}

async fn migrate(
    work: &Migrate,
    row: &ForMigration,
    cluster: &Cluster,
) -> Result<migrations::Applied, StepError> {
    let deps = work.life.deps();
    let mut conn = deps.catalog.acquire().await?;
    let owner = logins::by_database(&mut conn, row.database.id)
        .await?
        .into_iter()
        .find(|login| login.role == LoginRole::Owner)
        .ok_or_else(|| place::missing("The database's owner login is not in the catalog."))?;
    drop(conn);
    let password = place::open_login(deps, &owner)?;
    let target = place::target(cluster, row.database.name.clone(), owner.name, password);
    let expected = Expected {
        installation: deps.installation,
        database_id: row.database.id,
        epoch: row
            .tenant
            .as_ref()
            .map_or(making::FIRST_EPOCH, |tenant| tenant.epoch),
    };
    let mut proven = deps
        .router
        .prove(&target, &expected)
        .await
        .map_err(|error| refused(&error))?;
    work.lease.assert_held().await?;
    let applied = migrations::run(&mut proven)
        .await
        .map_err(|error| refused(&error))?;
    // What the server says to a goodbye changes nothing.
    let _ = proven.close().await;

    let mut tx = deps.catalog.begin().await?;
    databases::set_migrated(&mut tx, row.database.id, tenantry_tenantdb::schema_digest()).await?;
    // Plans that routers' idle connections have cached may not fit the new tables.
    if let (Some(tenant), false) = (&row.tenant, applied.applied.is_empty()) {
        change_log::append(&mut tx, tenant.id, change_log::Kind::Migrated).await?;
    }
    tx.commit().await?;
    Ok(applied)
}

async fn remember_error(work: &Migrate, row: &ForMigration, text: &str) {
    let written = async {
        let mut conn = work.life.deps().catalog.acquire().await?;
        databases::set_migration_error(&mut conn, row.database.id, text).await?;
        Ok::<_, StepError>(())
    };
    if let Err(error) = written.await {
        tracing::warn!(database = row.database.name.as_str(), error = %chain_of(&error), "a migration's error could not be kept");
    }
}

fn refused(error: &(dyn std::error::Error + 'static)) -> StepError {
    crate::engine::Failure::new(
        tenantry_types::ErrorKind::Internal,
        "MIGRATION_FAILED",
        "The database could not be migrated; its result says why.",
        error,
    )
    .into()
}
