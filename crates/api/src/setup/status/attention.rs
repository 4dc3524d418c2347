//! What of all this a person should look at, and what helps.

use chrono::TimeDelta;
use serde::Serialize;
use tenantry_catalog::doctor_runs::Run;
use tenantry_catalog::pause::Pause;
use tenantry_catalog::routers::Standing;
use tenantry_catalog::tenants::Status;
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use super::{Cluster, Number, Operations, Tenants};
use crate::setup::doctor::view::Counts;

/// How long a live router may lack a change. It polls each second, and a drain takes a few.
const BEHIND_FOR: TimeDelta = TimeDelta::seconds(30);

/// One thing to look at.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attention {
    /// What it is, for programs.
    #[schema(example = "NO_ROUTER")]
    code: &'static str,
    /// The same for people.
    message: String,
    /// What helps.
    what_to_do: &'static str,
}

/// What was seen.
pub(super) struct Seen<'a> {
    pub(super) now: Timestamp,
    pub(super) tenants: &'a Tenants,
    pub(super) operations: &'a Operations,
    pub(super) routers: &'a [Standing],
    pub(super) clusters: &'a [Cluster],
    pub(super) failed: &'a [String],
    pub(super) pause: Option<&'a Pause>,
    /// The doctor's last look at the whole installation.
    pub(super) doctor: Option<&'a Run>,
}

/// All that needs a person; nothing of it: all is well.
pub(super) fn list(seen: &Seen<'_>) -> Vec<Attention> {
    let mut all = Vec::new();
    let mut add = |code, message, what_to_do| {
        all.push(Attention {
            code,
            message,
            what_to_do,
        });
    };
    if let Some(pause) = seen.pause {
        add(
            "PAUSED",
            format!(
                "{} has paused all background work: {}",
                pause.asked_by, pause.reason
            ),
            "Run `tenantry resume` when that is over: until then nothing that is due is done.",
        );
    }
    if seen.clusters.is_empty() {
        add(
            "NO_CLUSTER",
            "No Postgres server for tenants is registered.".to_owned(),
            "Run `tenantry init --cluster-url …`.",
        );
    }
    let refused: Vec<_> = seen.clusters.iter().map_while(no_place).collect();
    if !refused.is_empty() && refused.len() == seen.clusters.len() {
        add(
            "NO_CAPACITY",
            format!(
                "No cluster takes a tenant that asks for none, so sign-ups are refused: {}.",
                refused.join(", ")
            ),
            "Add one with `tenantry clusters add`, raise --capacity with `clusters update`, or end a drain with `clusters accept`.",
        );
    }
    let live = || seen.routers.iter().filter(|one| one.router.live);
    if live().next().is_none() {
        add(
            "NO_ROUTER",
            "No router is alive: tenants are not served.".to_owned(),
            "Look at the log of `tenantry serve`; it registers again by itself when it reaches the catalog.",
        );
    }
    let late = |one: &&Standing| {
        one.behind_since
            .is_some_and(|since| seen.now - since > BEHIND_FOR)
    };
    let late: Vec<&str> = live()
        .filter(late)
        .map(|one| one.router.name.as_str())
        .collect();
    if !late.is_empty() {
        add(
            "ROUTER_BEHIND",
            format!("Routers lack changes: {}.", late.join(", ")),
            "Look at their logs; a router that is stuck is restarted without harm.",
        );
    }
    if seen.operations.parked > 0 {
        add(
            "OPERATIONS_PARKED",
            format!(
                "{} stopped half-way and {} for a person.",
                several(seen.operations.parked, true, "operation"),
                if seen.operations.parked == 1 {
                    "waits"
                } else {
                    "wait"
                },
            ),
            "`tenantry operations show ID` tells why; deleting the tenant with --purge clears up what is left of it.",
        );
    }
    let abandoned = seen.operations.stuck.iter();
    let abandoned = abandoned.filter(|one| one.why == "abandoned").count();
    // While it is paused, nobody is to drive them.
    if abandoned > 0 && seen.pause.is_none() {
        add(
            "OPERATIONS_ABANDONED",
            "Operations are open that no process has driven for a minute.".to_owned(),
            "Check that a `tenantry serve` runs and reaches the catalog: it takes them up by itself.",
        );
    }
    let in_error = seen.tenants.states.iter();
    let in_error = in_error
        .filter(|state| state.status == Status::Error)
        .map(|state| state.number)
        .find(|number| number.count > 0);
    if let Some(number) = in_error {
        add(
            "TENANTS_IN_ERROR",
            format!("{} in state `error`.", are(number, "tenant")),
            "`tenantry tenants list --status error` shows them, `tenantry tenants show SLUG` why.",
        );
    }
    if seen.tenants.behind.count > 0 {
        add(
            "TENANTS_BEHIND",
            format!(
                "{} not at this program's migrations.",
                are(seen.tenants.behind, "database")
            ),
            "Run `tenantry migrate-all`.",
        );
    }
    let failed = seen.tenants.migrations_failed;
    if failed.count > 0 {
        add(
            "MIGRATIONS_FAILED",
            format!(
                "{} could not be migrated: {}{}.",
                several(failed.count, failed.exact, "database"),
                seen.failed.join(", "),
                if usize::try_from(failed.count).is_ok_and(|all| all > seen.failed.len()) {
                    ", …"
                } else {
                    ""
                },
            ),
            "Correct what `tenantry migrate-all` says of them and run it again.",
        );
    }
    if seen.tenants.purge_overdue.count > 0 {
        add(
            "PURGE_OVERDUE",
            format!(
                "{} deleted and past the end of the grace period.",
                are(seen.tenants.purge_overdue, "tenant")
            ),
            "Look in the server's log for why they cannot be purged.",
        );
    }
    if let Some((run, counts)) = seen.doctor.and_then(differences) {
        let of = |count: u64, what| several(i64::try_from(count).unwrap_or(i64::MAX), true, what);
        add(
            "DOCTOR_FINDINGS",
            format!(
                "The doctor found {} and {} when it last looked at everything, {} UTC.",
                of(counts.errors, "error"),
                of(counts.warnings, "warning"),
                run.started_at.format("%Y-%m-%d %H:%M:%S"),
            ),
            "`tenantry doctor` looks again and tells each with what to do; --fix puts right what safely can be.",
        );
    }
    all
}

/// Why no tenant that asks for no cluster is put there; none: it is.
fn no_place(cluster: &Cluster) -> Option<String> {
    let name = &cluster.name;
    if cluster.status == "draining" {
        return Some(format!("`{name}` is draining"));
    }
    match (cluster.tenants, cluster.capacity) {
        (Some(tenants), Some(capacity)) if tenants >= capacity => {
            Some(format!("`{name}` is full ({tenants} of {capacity})"))
        }
        _ if !cluster.chosen => Some(format!("`{name}` has the weight 0")),
        _ => None,
    }
}

/// How much differed when the doctor last could look.
fn differences(run: &Run) -> Option<(&Run, Counts)> {
    let counts = run.report.as_ref()?.get("counts")?;
    let counts: Counts = serde_json::from_value(counts.clone()).ok()?;
    (counts.errors + counts.warnings > 0).then_some((run, counts))
}

fn several(count: i64, exact: bool, what: &str) -> String {
    let more = if exact { "" } else { "more than " };
    let s = if count == 1 { "" } else { "s" };
    format!("{more}{count} {what}{s}")
}

fn are(number: Number, what: &str) -> String {
    let are = if number.count == 1 { "is" } else { "are" };
    format!("{} {are}", several(number.count, number.exact, what))
}

#[cfg(test)]
mod tests {
    use super::super::InState;
    use super::*;

    #[test]
    fn nothing_is_told_twice_and_each_says_what_to_do() {
        let number = |count| Number { count, exact: true };
        let tenants = Tenants {
            total: number(3),
            states: vec![InState {
                status: Status::Error,
                number: number(1),
            }],
            behind: Number {
                count: 10_000,
                exact: false,
            },
            migrations_failed: number(2),
            purge_overdue: number(0),
        };
        let operations = Operations {
            running: 0,
            undoing: 0,
            parked: 1,
            stuck: Vec::new(),
        };
        let told = list(&Seen {
            now: tenantry_types::Clock::system().now(),
            tenants: &tenants,
            operations: &operations,
            routers: &[],
            clusters: &[],
            failed: &["tenant_a".to_owned()],
            pause: None,
            doctor: None,
        });
        let texts: Vec<_> = told
            .iter()
            .map(|one| (one.code, one.message.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (
                    "NO_CLUSTER",
                    "No Postgres server for tenants is registered."
                ),
                ("NO_ROUTER", "No router is alive: tenants are not served."),
                (
                    "OPERATIONS_PARKED",
                    "1 operation stopped half-way and waits for a person."
                ),
                ("TENANTS_IN_ERROR", "1 tenant is in state `error`."),
                (
                    "TENANTS_BEHIND",
                    "more than 10000 databases are not at this program's migrations."
                ),
                (
                    "MIGRATIONS_FAILED",
                    "2 databases could not be migrated: tenant_a, …."
                ),
            ]
        );
        assert!(told.iter().all(|one| !one.what_to_do.is_empty()));
    }

    #[test]
    fn sign_ups_are_refused_when_no_cluster_has_a_place() {
        let cluster = |status, places: Option<(u32, u32)>, chosen| Cluster {
            cluster_id: uuid::Uuid::from_u128(1).into(),
            name: "c".to_owned(),
            host: "h".to_owned(),
            port: 5432,
            status,
            tenants: places.map(|(tenants, _)| tenants),
            capacity: places.map(|(_, capacity)| capacity),
            connection_budget: 1,
            chosen,
            template_ready: true,
        };
        let refused = [
            ("`c` is draining", cluster("draining", None, true)),
            ("`c` is full (5 of 2)", cluster("open", Some((5, 2)), true)),
            ("`c` is full (2 of 2)", cluster("open", Some((2, 2)), true)),
            ("`c` has the weight 0", cluster("open", None, false)),
        ];
        for (why, one) in refused {
            assert_eq!(no_place(&one).as_deref(), Some(why));
        }
        for one in [
            cluster("open", None, true),
            cluster("open", Some((1, 2)), true),
        ] {
            assert_eq!(no_place(&one), None);
        }
    }
}
