//! What of all this a person should look at, and what helps.

use chrono::TimeDelta;
use serde::Serialize;
use tenantry_catalog::pause::Pause;
use tenantry_catalog::routers::Standing;
use tenantry_catalog::tenants::Status;
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use super::{Cluster, Number, Operations, Tenants};

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
    all
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
}
