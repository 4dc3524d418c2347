//! What a run says at its end. It is kept as JSON and told as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_types::{TenantId, Timestamp};

use super::finding::{Finding, Outcome, Severity};

/// The most findings that are told one by one.
const TOLD: usize = 1000;

/// What a run is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// Whether to put right what safely can be.
    pub fix: bool,
    /// Whether to leave out what each database has to be entered for.
    pub quick: bool,
    /// The only tenant to tell about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The only cluster to tell about, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether to accept databases of another day first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_epoch: Option<Accept>,
}

/// That the databases which there are, are the tenants' from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// Why; a line of text.
    pub reason: String,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Checked {
    /// Clusters.
    pub clusters: usize,
    /// Databases of the catalog.
    pub databases: usize,
    /// Logins of the catalog.
    pub logins: usize,
    /// Databases that were entered.
    pub connected: usize,
    /// Of these, how many could not be looked at: too busy, or it took too long.
    pub unseen: usize,
    /// Databases that were left alone, as something is going on there.
    pub in_progress: usize,
    /// Databases that bear another installation's mark.
    pub others_databases: usize,
    /// Roles that bear another installation's mark.
    pub others_roles: usize,
}

/// How many findings there are. What was fixed is not among the first three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Something is wrong.
    pub errors: usize,
    /// Something differs.
    pub warnings: usize,
    /// Worth knowing.
    pub notices: usize,
    /// Put right by this run.
    pub fixed: usize,
}

/// What a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it was asked to do.
    pub options: Options,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How much it looked at.
    pub checked: Checked,
    /// How many findings there are.
    pub counts: Counts,
    /// The findings, the worst first, a thousand at most.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub untold: usize,
}

impl Report {
    pub(super) fn new(
        options: Options,
        started_at: Timestamp,
        ended_at: Timestamp,
        checked: Checked,
        mut findings: Vec<Finding>,
    ) -> Self {
        let mut counts = Counts::default();
        for one in &findings {
            match (one.fix, one.severity) {
                (Some(Outcome::Fixed), _) => counts.fixed += 1,
                (_, Severity::Error) => counts.errors += 1,
                (_, Severity::Warning) => counts.warnings += 1,
                (_, Severity::Notice) => counts.notices += 1,
            }
        }
        findings.sort_by(|a, b| {
            let of = |one: &Finding| (one.severity, one.code.clone(), one.subject.name.clone());
            of(a).cmp(&of(b))
        });
        let untold = findings.len().saturating_sub(TOLD);
        findings.truncate(TOLD);
        let took = (ended_at - started_at).num_milliseconds();
        Self {
            options,
            started_at,
            took_ms: u64::try_from(took).unwrap_or(0),
            checked,
            counts,
            findings,
            untold,
        }
    }

    /// How many differences there are.
    #[must_use]
    pub fn differences(&self) -> usize {
        self.counts.errors + self.counts.warnings
    }

    /// As it is kept and told.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
