//! A tenant's life as durable operations, and the workers that carry them through.
//!
//! An operation begins with one transaction in the catalog and goes on in steps that the
//! [`engine`] journals. Whoever asked may wait for its end; if the process dies, another one (or
//! the next start) takes the operation up where its journal stands. This crate opens no tenant
//! connection itself: it asks `tenantry-router` to prove the way.

mod adopt;
mod aliases;
mod answer;
mod asker;
mod begin;
mod clusters;
mod control;
mod create;
mod credentials;
mod delete;
mod deps;
mod directory;
mod disconnect;
pub mod doctor;
mod domains;
pub mod dump;
pub mod engine;
mod error;
mod follow;
mod followed;
mod gate;
mod making;
mod migrate;
mod notes;
mod pause;
mod place;
mod placement;
mod purge;
mod reaper;
mod rename;
mod repeated;
mod resume;
mod room;
mod rotate;
mod sealer;
mod spare;
mod succession;
mod suspend;
mod sweeper;
mod template;
mod temporary;
mod undelete;
mod unspare;
mod update;
mod wait;
mod worker;

use std::sync::Arc;

pub use adopt::{
    Adopt, AdoptTenant, Checked as AdoptionChecked, STEPS as ADOPT_STEPS, UNADOPT_STEPS, Unadopt,
};
pub use aliases::AliasRef;
pub use answer::{Created, OperationView, StepView, Telling};
pub use asker::{Asker, Idempotency};
pub use clusters::{ClusterChange, Look, NewCluster, Removed, WayIn};
pub use control::{Decided, Shape, shapes};
pub use create::{
    AdminUser, ClusterChoice, Create, CreateTenant, PrimaryDomain, STEPS as CREATE_STEPS,
};
pub use credentials::{
    Credentials, Issue, Issued, RETIRE_STEPS as RETIRE_CREDENTIALS_STEPS, RetireCredentials,
    STEPS as CREDENTIALS_STEPS,
};
pub use delete::{Delete, Deletion, STEPS as DELETE_STEPS};
pub use deps::{Deps, Naming, Settings};
pub use disconnect::Disconnection;
pub use domains::{Record, Verified};
pub use error::StartError;
pub use follow::{Followed, Following};
pub use migrate::Migrate;
pub use pause::{Paused, Replica, Stopping};
pub use purge::{Purge, STEPS as PURGE_STEPS};
pub use repeated::Repeated;
pub use resume::{Resume, STEPS as RESUME_STEPS};
pub use rotate::{Rotate, RotateAll, STEPS as ROTATE_STEPS};
pub use spare::{STEPS as SPARE_STEPS, Spare};
pub use suspend::{STEPS as SUSPEND_STEPS, Suspend, Turned};
pub use temporary::{
    END_STEPS as END_LOGIN_STEPS, EndLogin, IssueLogin, Made as MadeLogin,
    STEPS as ISSUE_LOGIN_STEPS, Wanted as WantedLogin,
};
pub use tenantry_cluster::adoption::{Consent as AdoptionConsent, Refusal as AdoptionRefusal};
pub use tenantry_cluster::preflight::{About, Finding, Room};
pub use undelete::{STEPS as UNDELETE_STEPS, Undelete};
pub use unspare::{STEPS as UNSPARE_STEPS, Unspare};
pub use update::{METADATA_BYTES, METADATA_DEPTH, Update};
pub use wait::{Finished, WaitError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Begins operations, carries them through, and tells how they went.
#[derive(Clone)]
pub struct Lifecycle(Arc<Inner>);

struct Inner {
    deps: Deps,
    /// Who we are in leases: one id per process.
    holder: uuid::Uuid,
    /// Operations that a driver here has left, and whether they are done.
    finished: tokio::sync::broadcast::Sender<(tenantry_types::OperationId, bool)>,
    slots: Arc<tokio::sync::Semaphore>,
    seconds: Arc<tokio::sync::Semaphore>,
    templates: template::Known,
    idle: place::Idle,
    spare_taken: tokio::sync::Notify,
    gate: gate::Gate,
    pause_changed: tokio::sync::Notify,
    running: TaskTracker,
    stopping: CancellationToken,
}

/// What an operation began as.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The operation to wait for.
    pub operation_id: tenantry_types::OperationId,
    /// Its tenant, where it is about one.
    pub tenant_id: Option<tenantry_types::TenantId>,
    /// Whether the same idempotency key had begun it before.
    pub replay: bool,
}

impl Lifecycle {
    /// Composes the lifecycle; nothing runs before [`Lifecycle::start_workers`].
    #[must_use]
    pub fn new(deps: Deps) -> Self {
        let holder = uuid::Builder::from_random_bytes(deps.entropy.bytes::<16>()).into_uuid();
        let deps_at_once = deps.settings.at_once.max(1);
        Self(Arc::new(Inner {
            deps,
            holder,
            finished: tokio::sync::broadcast::channel(1024).0,
            slots: Arc::new(tokio::sync::Semaphore::new(deps_at_once)),
            seconds: Arc::new(tokio::sync::Semaphore::new(place::SECONDS)),
            templates: template::Known::default(),
            idle: place::Idle::default(),
            spare_taken: tokio::sync::Notify::new(),
            gate: gate::Gate::default(),
            pause_changed: tokio::sync::Notify::new(),
            running: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }))
    }

    /// Begins to take up operations whose driver died, to sweep what is due, to keep the directory, to
    /// look for domains' records, to free what dead routers hold of the clusters' budgets, to rotate
    /// logins where that is scheduled, to keep tenants' notes, and to seal the audit trail. All but the freeing and
    /// the sealing do so while nobody has paused them.
    pub fn start_workers(&self) {
        self.0.gate.watch();
        self.0.running.spawn(pause::run(self.clone()));
        self.0.running.spawn(worker::run(self.clone()));
        self.0.running.spawn(sweeper::run(self.clone()));
        self.0.running.spawn(spare::run(self.clone()));
        self.0.running.spawn(directory::run(self.clone()));
        self.0.running.spawn(reaper::run(self.clone()));
        self.0.running.spawn(domains::run(self.clone()));
        self.0.running.spawn(doctor::on_a_timer(self.clone()));
        self.0.running.spawn(rotate::schedule::run(self.clone()));
        self.0.running.spawn(sealer::run(self.clone()));
        self.0.running.spawn(notes::run(self.clone()));
    }

    /// Ends the workers: operations stop at their next step's border and are handed back, so that
    /// another process or the next start goes on at once.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        self.0.running.close();
        self.0.running.wait().await;
        pause::leave(self).await;
    }

    pub(crate) fn deps(&self) -> &Deps {
        &self.0.deps
    }
}
