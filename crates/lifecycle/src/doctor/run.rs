//! Runs of the doctor as the catalog keeps them: one at a time over all processes, under a lease.
//!
//! A run is no operation: it has no steps and nothing to undo. When its process dies it is over, and the next
//! one looks at everything anew.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use tenantry_catalog::doctor_runs::{self, NewRun};
use tenantry_catalog::{CatalogError, audit};
use tenantry_types::{AuditId, DoctorRunId, TenantId, metric};

use super::{Counts, Doctor, Options, PAUSE, Progress, Report};
use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// How long a run is held without a word from its process.
const LEASE: Duration = Duration::from_secs(30);
/// How often its process says how far it has come.
const RENEW: Duration = Duration::from_secs(2);
/// How often the timer looks whether a run is due.
const LOOK: Duration = Duration::from_secs(15);

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another one is on its way.
    #[error("the doctor is looking already")]
    Running(DoctorRunId),
    /// The catalog cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Doctor {
    /// Records a run, held by this process.
    ///
    /// # Errors
    /// [`BeginError::Running`], or when the catalog fails.
    pub async fn begin(
        &self,
        options: &Options,
        asker: &Asker,
        replica: &str,
    ) -> Result<DoctorRunId, BeginError> {
        let id = DoctorRunId::generate(&self.clock, &self.entropy);
        let mut tx = self.begun().await?;
        let value = told(options);
        let new = new(id, asker, replica, &value);
        match doctor_runs::begin(&mut tx, &new, LEASE).await {
            Ok(Ok(())) => {
                let detail = json!({ "runId": id, "options": value });
                self.note(&mut tx, asker, "doctor.run", None, &detail)
                    .await
                    .map_err(StartError::from)?;
                tx.commit().await.map_err(catalog)?;
                Ok(id)
            }
            Ok(Err(running)) => Err(BeginError::Running(running)),
            Err(error) => Err(StartError::from(error).into()),
        }
    }

    /// Writes a line of the audit trail.
    pub(super) async fn note(
        &self,
        conn: &mut PgConnection,
        asker: &Asker,
        action: &str,
        tenant: Option<TenantId>,
        detail: &serde_json::Value,
    ) -> Result<(), CatalogError> {
        let entry = audit::Entry {
            actor: &asker.name,
            operator: asker.operator,
            action,
            tenant,
            request_id: asker.request_id.as_deref(),
            address: asker.address.as_deref(),
            agent: asker.agent.as_deref(),
            reason: None,
            detail,
        };
        audit::record(conn, AuditId::generate(&self.clock, &self.entropy), &entry).await
    }

    async fn begun(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, StartError> {
        self.catalog.begin().await.map_err(catalog)
    }

    /// Carries a run that was recorded to its end, and writes down what came of it.
    ///
    /// # Errors
    /// When the catalog fails, or somebody else took the run for dead.
    pub async fn carry(
        &self,
        id: DoctorRunId,
        options: Options,
        asker: &Asker,
    ) -> Result<Report, StartError> {
        let progress = Progress::default();
        let ran = tokio::select! {
            ran = Box::pin(self.run(options, asker, &progress)) => ran,
            () = self.keep(id, &progress) => Err(StartError::WrongState("the run was given up")),
        };
        let mut conn = self.catalog.acquire().await.map_err(catalog)?;
        match ran {
            Ok(report) => {
                let value = report.to_json();
                doctor_runs::finish(&mut conn, id, Ok(&value)).await?;
                Ok(report)
            }
            Err(error) => {
                // In our words: what a server said is in the log.
                let text = format!("{error} ({})", error.code());
                doctor_runs::finish(&mut conn, id, Err(&text)).await?;
                Err(error)
            }
        }
    }

    /// Renews the lease; returns when it is somebody else's, or was not renewed for as long as it lasts.
    async fn keep(&self, id: DoctorRunId, progress: &Progress) {
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RENEW).await;
            let (what, done, all) = progress.now();
            let value = json!({ "at": what, "done": done, "of": all });
            let renewal = async {
                let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
                doctor_runs::renew(&mut conn, id, LEASE, &value).await
            };
            match renewal.await {
                Ok(true) => renewed = tokio::time::Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "the doctor's lease was not renewed; trying again");
                    if renewed.elapsed() > LEASE {
                        return;
                    }
                }
            }
        }
    }
}

impl Lifecycle {
    /// The doctor, with what this process has.
    #[must_use]
    pub fn doctor(&self) -> Doctor {
        let deps = self.deps();
        Doctor {
            catalog: deps.catalog.clone(),
            admin_keys: deps.admin_keys.clone(),
            route_keys: deps.route_keys.clone(),
            prover: deps.router.prover(),
            installation: deps.installation,
            clock: deps.clock.clone(),
            entropy: deps.entropy.clone(),
            pause: PAUSE,
        }
    }

    /// Begins a run in the background: it goes on when its asker hangs up.
    ///
    /// # Errors
    /// As [`Doctor::begin`].
    pub async fn examine(&self, options: Options, asker: Asker) -> Result<DoctorRunId, BeginError> {
        let doctor = self.doctor();
        let id = doctor
            .begin(&options, &asker, &self.deps().settings.replica)
            .await?;
        self.spawn(doctor, id, options, asker);
        Ok(id)
    }

    fn spawn(&self, doctor: Doctor, id: DoctorRunId, options: Options, asker: Asker) {
        let life = self.clone();
        self.0.running.spawn(async move {
            let stopped = life.0.stopping.cancelled();
            tokio::select! {
                () = Box::pin(examined(&doctor, id, options, &asker)) => {}
                // Its lease ends by itself.
                () = stopped => {
                    let Ok(mut conn) = doctor.catalog.acquire().await else { return };
                    let _ = doctor_runs::finish(&mut conn, id, Err("its process was stopped")).await;
                }
            }
        });
    }
}

async fn examined(doctor: &Doctor, id: DoctorRunId, options: Options, asker: &Asker) {
    let outcome = match doctor.carry(id, options, asker).await {
        Ok(report) => {
            let (counts, took) = (report.counts, report.took_ms);
            if report.differences() > 0 {
                tracing::warn!(run = %id, errors = counts.errors, warnings = counts.warnings,
                    fixed = counts.fixed, took_ms = took, "the doctor found differences");
            } else {
                tracing::info!(run = %id, notices = counts.notices, took_ms = took, "the doctor found no difference");
            }
            "done"
        }
        Err(error) => {
            tracing::warn!(run = %id, error = &error as &dyn std::error::Error, "the doctor could not look");
            "failed"
        }
    };
    metrics::counter!(metric::DOCTOR_RUNS.name, "outcome" => outcome).increment(1);
}

/// Sets what was found last, whatever process found it.
async fn gauge(life: &Lifecycle) -> Result<(), StartError> {
    let mut conn = life.deps().catalog.acquire().await.map_err(catalog)?;
    let Some(counts) = doctor_runs::last_counts(&mut conn).await? else {
        return Ok(());
    };
    let counts: Counts = serde_json::from_value(counts).unwrap_or_default();
    for (severity, count) in [
        ("error", counts.errors),
        ("warning", counts.warnings),
        ("notice", counts.notices),
    ] {
        metrics::gauge!(metric::DOCTOR_FINDINGS.name, "severity" => severity).set(count as f64);
    }
    Ok(())
}

/// Lets the doctor look by itself, in one process at a time, until the program stops.
pub(crate) async fn on_a_timer(life: Lifecycle) {
    let every = life.deps().settings.doctor_every;
    loop {
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let looked = async {
            if !every.is_zero() {
                when_due(&life, every).await?;
            }
            gauge(&life).await
        };
        if let Err(error) = looked.await {
            tracing::debug!(%error, "could not see whether the doctor is due; trying again");
        }
    }
}

async fn when_due(life: &Lifecycle, every: Duration) -> Result<(), StartError> {
    let Some(_at_work) = life.at_work("doctor") else {
        return Ok(());
    };
    let (doctor, options) = (life.doctor(), Options::default());
    let asker = Asker::product("sweeper");
    let id = DoctorRunId::generate(&doctor.clock, &doctor.entropy);
    let mut tx = doctor.begun().await?;
    let value = told(&options);
    let new = new(id, &asker, &life.deps().settings.replica, &value);
    let begun = doctor_runs::begin_when_due(&mut tx, &new, LEASE, every).await?;
    tx.commit().await.map_err(catalog)?;
    if begun {
        life.spawn(doctor, id, options, asker);
    }
    Ok(())
}

fn new<'a>(
    id: DoctorRunId,
    asker: &'a Asker,
    replica: &'a str,
    options: &'a serde_json::Value,
) -> NewRun<'a> {
    NewRun {
        id,
        asked_by: &asker.name,
        replica,
        options,
    }
}

fn told(options: &Options) -> serde_json::Value {
    serde_json::to_value(options).unwrap_or_default()
}

fn catalog(error: sqlx::Error) -> StartError {
    CatalogError::from(error).into()
}
