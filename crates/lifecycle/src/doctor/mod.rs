//! The doctor: compares the catalog with databases, roles, grants, secrets, identities and routers, in
//! both directions, and tells what differs.
//!
//! It changes nothing unless it is asked to, and then only what is safe (`fix.rs`). Something that is in
//! progress is no difference. What looks like one is looked at once more before it is told.

mod accept;
mod compare;
mod finding;
mod fix;
mod inside;
mod keys;
mod look;
mod rebuild;
mod report;
mod run;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tenantry_router::Prover;
use tenantry_types::{Clock, Entropy, InstallationId};
use tenantry_vault::{AdminKeys, RouteKeys};

pub use finding::{Code, Finding, Outcome, Severity, Subject};
pub use rebuild::{Found as RebuiltTenant, Left, Rebuilt};
pub use report::{Accept, Checked, Counts, Options, Report};
pub use run::BeginError;
pub(crate) use run::on_a_timer;

use crate::asker::Asker;
use crate::error::StartError;
use look::{Into, Looked, look};

/// How long what is half-way is given to become whole, before it is looked at once more.
pub const PAUSE: Duration = Duration::from_secs(1);

/// What the doctor works with. It needs no router and no worker, so that it can look when none runs.
pub struct Doctor {
    /// The catalog, through the control plane's own login.
    pub catalog: PgPool,
    /// Opens what only the control plane may know.
    pub admin_keys: AdminKeys,
    /// Opens what routers open.
    pub route_keys: RouteKeys,
    /// Logs in as tenants' logins, and proves what answers.
    pub prover: Prover,
    /// Whose databases are ours.
    pub installation: InstallationId,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// How long after a first look what seems to differ is looked at once more: [`PAUSE`].
    pub pause: Duration,
}

/// How far a run has come, for whoever waits.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<(&'static str, usize, usize)>>);

impl Progress {
    /// What it is at, how many of these are done, and how many there are.
    #[must_use]
    pub fn now(&self) -> (&'static str, usize, usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, what: &'static str, done: usize, all: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (what, done, all);
    }
}

impl Doctor {
    /// Looks at everything, once more at what seems to differ, and puts right what it is asked to.
    ///
    /// # Errors
    /// When the catalog cannot be read. What cannot be looked at elsewhere is a finding.
    pub async fn run(
        &self,
        options: Options,
        asker: &Asker,
        progress: &Progress,
    ) -> Result<Report, StartError> {
        let begun = self.clock.now();
        if let Some(wanted) = &options.accept_epoch {
            Box::pin(self.accept(&options, wanted, asker, progress)).await?;
        }
        let into = if options.quick { Into::None } else { Into::All };
        let first = self.look(&into, &options, progress).await?;
        let checked = first.checked;
        let mut findings = first.findings;
        if findings.iter().any(Finding::is_difference) {
            // What was half-way is whole by now, or in progress.
            tokio::time::sleep(self.pause).await;
            let again = self.suspects(&options, &findings, progress).await?;
            findings = again
                .findings
                .into_iter()
                .filter(|one| findings.iter().any(|before| before.key() == one.key()))
                .collect();
        }
        if options.fix && findings.iter().any(|one| one.remedy.is_some()) {
            progress.say("fixes", 0, findings.len());
            fix::fix_all(self, asker, &mut findings).await?;
            self.look_at_fixes(&options, &mut findings, progress)
                .await?;
        }
        Ok(Report::new(
            options,
            begun,
            self.clock.now(),
            checked,
            findings,
        ))
    }

    async fn look(
        &self,
        into: &Into,
        options: &Options,
        progress: &Progress,
    ) -> Result<Looked, StartError> {
        let only = options.tenant;
        let mut looked = Box::pin(look(self, into, only, progress)).await?;
        if only.is_some() {
            looked.findings.retain(|one| one.subject.tenant_id == only);
        }
        if options.cluster.is_some() {
            looked
                .findings
                .retain(|one| one.subject.cluster == options.cluster);
        }
        Ok(looked)
    }

    /// Another look, into those databases only of whose tenants something was told.
    async fn suspects(
        &self,
        options: &Options,
        findings: &[Finding],
        progress: &Progress,
    ) -> Result<Looked, StartError> {
        let into = if options.quick {
            Into::None
        } else {
            let tenants: HashSet<_> = findings.iter().map(|one| one.subject.tenant_id).collect();
            Into::Tenants(tenants)
        };
        self.look(&into, options, progress).await
    }

    /// Only what is gone at the next look was put right; what only came up by it is told as well.
    async fn look_at_fixes(
        &self,
        options: &Options,
        findings: &mut Vec<Finding>,
        progress: &Progress,
    ) -> Result<(), StartError> {
        let left = self.suspects(options, findings, progress).await?.findings;
        for one in findings.iter_mut() {
            let still = left.iter().any(|left| left.key() == one.key());
            one.fix = match (still, one.fix) {
                (true, Some(Outcome::Fixed)) => Some(Outcome::Failed),
                // What another fix did was enough.
                (false, None) => Some(Outcome::Fixed),
                (_, fix) => fix,
            };
        }
        let known: HashSet<_> = findings.iter().map(Finding::key).collect();
        findings.extend(left.into_iter().filter(|one| !known.contains(&one.key())));
        Ok(())
    }
}
