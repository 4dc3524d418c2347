//! A run of the doctor, as it is told.

use serde::{Deserialize, Serialize};
use tenantry_catalog::doctor_runs::{Run, Status};
use tenantry_types::{DoctorRunId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::openapi::words;

/// A run of the doctor.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DoctorRun)]
pub(crate) struct View {
    #[schema(value_type = words::DoctorRunId)]
    run_id: DoctorRunId,
    /// `running`, `done` (it has looked), or `failed` (it could not look, or its process ended).
    #[schema(value_type = String, example = "done")]
    status: Status,
    /// Who asked for it: an operator, or `tenantry:sweeper` for the timer.
    asked_by: String,
    /// The process that carried it.
    replica: String,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    finished_at: Option<Timestamp>,
    /// How far it has come; while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    progress: Option<Progress>,
    /// What it found; once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    report: Option<Report>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// How far a run has come.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = DoctorProgress)]
pub(crate) struct Progress {
    /// `clusters`, `databases`, `tenants` or `fixes`.
    #[schema(example = "databases")]
    at: String,
    done: u64,
    of: u64,
}

/// What a run found.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DoctorReport)]
pub(crate) struct Report {
    options: Options,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
    took_ms: u64,
    checked: Checked,
    counts: Counts,
    /// The worst first, a thousand at most.
    findings: Vec<Finding>,
    /// How many more there are.
    untold: u64,
}

/// What a run was asked to do.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DoctorOptions)]
pub(crate) struct Options {
    fix: bool,
    quick: bool,
    /// The only tenant to tell about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = words::TenantId, required = false)]
    tenant: Option<TenantId>,
    /// The only cluster to tell about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    cluster: Option<String>,
    /// That databases were accepted before it looked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    accept_epoch: Option<Accepted>,
}

/// That databases of another day were accepted, and why.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = DoctorAcceptance)]
pub(crate) struct Accepted {
    reason: String,
}

/// How much was looked at.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DoctorChecked)]
pub(crate) struct Checked {
    clusters: u64,
    databases: u64,
    logins: u64,
    /// Databases that were entered.
    connected: u64,
    /// Of these, how many could not be looked at: too busy, or it took too long.
    unseen: u64,
    /// Databases that were left alone, as something is going on there.
    in_progress: u64,
    /// Databases and roles that bear another installation's mark; nothing is done to them.
    others_databases: u64,
    others_roles: u64,
}

/// How many findings there are. Errors and warnings are differences; what was fixed is in neither.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = DoctorCounts)]
pub(crate) struct Counts {
    pub(crate) errors: u64,
    pub(crate) warnings: u64,
    pub(crate) notices: u64,
    pub(crate) fixed: u64,
}

/// One thing that is wrong.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DoctorFinding)]
pub(crate) struct Finding {
    /// What it is, for programs; `docs/doctor.md` lists them.
    #[schema(example = "LOGIN_REFUSED")]
    code: String,
    /// `error`, `warning` or `notice`.
    #[schema(example = "error")]
    severity: String,
    subject: Subject,
    /// What is wrong.
    message: String,
    /// What to do.
    what_to_do: String,
    /// Whether `fix` puts it right.
    fixable: bool,
    /// What came of that: `fixed`, `failed`, or `inProgress` (something is going on there now).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    fix: Option<String>,
}

/// What a finding is about.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DoctorSubject)]
pub(crate) struct Subject {
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = words::TenantId, required = false)]
    tenant_id: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = words::Slug, required = false)]
    slug: Option<String>,
    /// `database`, `role`, `tenant`, `operation`, `router`, `cluster` or `table`.
    #[schema(example = "database")]
    kind: String,
    /// Its name or id.
    name: String,
}

/// What was wrong with a tenant.
pub(crate) struct Difference {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) what_to_do: String,
    /// When the run began that saw it.
    pub(crate) at: Timestamp,
}

impl View {
    /// What was found of a tenant and not fixed, the worst first; no notices.
    pub(crate) fn differences_of(self, tenant: TenantId) -> Vec<Difference> {
        let at = self.started_at;
        let all = self.report.map(|report| report.findings);
        let of_it = all.unwrap_or_default().into_iter().filter(|one| {
            one.subject.tenant_id == Some(tenant)
                && one.severity != "notice"
                && one.fix.as_deref() != Some("fixed")
        });
        of_it
            .map(|one| Difference {
                code: one.code,
                message: one.message,
                what_to_do: one.what_to_do,
                at,
            })
            .collect()
    }

    pub(crate) fn new(run: Run) -> Self {
        let running = run.status == Status::Running;
        Self {
            run_id: run.id,
            status: run.status,
            asked_by: run.asked_by,
            replica: run.replica,
            started_at: run.started_at,
            finished_at: run.finished_at,
            progress: serde_json::from_value(run.progress)
                .ok()
                .filter(|_| running),
            // Another version's words are no words.
            report: run
                .report
                .and_then(|report| serde_json::from_value(report).ok()),
            error: run.error,
        }
    }
}
