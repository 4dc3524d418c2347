//! The table of everything that is counted: names, labels and what they mean.
//!
//! The crates record by these names, the binary describes them to the exporter, and
//! `docs/metrics.md` is printed from here. A label has few values, known beforehand: never a person, a
//! host, a path or anything else that a client chooses. A tenant's id is a label of [`OF_TENANTS`] and
//! of nothing else: these have at most [`TENANTS`] series at any time.

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// Its labels, each with what its values are.
    pub labels: &'static [(&'static str, &'static str)],
    /// What it tells, in a sentence.
    pub about: &'static str,
}

/// How a metric's values behave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only rises, until a restart.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts of values up to each of these bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Requests: warm ones take a millisecond, those that hash a password a good part of a second.
const OF_REQUESTS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];
/// Waits and connects: bounded by `router.acquire_wait` and `router.connect_timeout`.
const OF_CONNECTIONS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0];
/// Operations: a creation takes a tenth of a second, a drain or a large migration minutes.
const OF_OPERATIONS: &[f64] = &[
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

macro_rules! table {
    ($($constant:ident = $kind:expr, $name:literal, [$($label:literal: $values:literal),*], $about:literal;)*) => {
        $(
            #[doc = $about]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: $kind,
                labels: &[$(($label, $values)),*],
                about: $about,
            };
        )*

        /// All of them, in the order in which they are documented.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

table! {
    HTTP_REQUESTS = Counter, "tenantry_http_requests_total",
        ["route": "the template, like `/users/{user}`; `other` where none matched",
         "method": "the route's; for `other` the request's, or `other`",
         "status": "`2xx` to `5xx`; `gone` when the client hung up before the answer",
         "host": "`base`, `tenant`, or `nowhere` for a host that can be nobody's"],
        "Requests answered on the public port.";
    HTTP_SECONDS = Histogram(OF_REQUESTS), "tenantry_http_request_duration_seconds",
        ["route": "as above", "method": "as above"],
        "How long requests took, from their head to the head of the answer.";
    HTTP_IN_FLIGHT = Gauge, "tenantry_http_requests_in_flight", [],
        "Requests being worked on now.";
    HTTP_PROBLEMS = Counter, "tenantry_http_problems_total",
        ["code": "the problem's `code`; `other` for one that is not documented"],
        "Requests answered with a problem.";
    SIGN_INS = Counter, "tenantry_sign_ins_total",
        ["outcome": "`right`, `wrong`, `slowed` (too many failures lately), `abandoned` (the client or the database went away)"],
        "Sign-ins by mail address and password.";

    ROUTER_RESOLUTIONS = Counter, "tenantry_router_resolutions_total",
        ["result": "`hit` (remembered), `negative` (remembered to lead nowhere), `miss` (the catalog was asked), `error` (the catalog did not answer)"],
        "Names and tokens that were to lead to a tenant.";
    ROUTER_TENANTS = Gauge, "tenantry_router_cached_tenants", [],
        "Tenants whose route is remembered, about.";
    ROUTER_LOADS = Counter, "tenantry_router_loads_total",
        ["outcome": "`done`, `failed`"],
        "Readings of routes from the catalog.";
    ROUTER_CONNECTIONS = Gauge, "tenantry_router_connections",
        ["cluster": "the cluster's name", "state": "`idle`, `leased`, or `changing` (being opened or closed)"],
        "Connections to tenants' databases by what is done with them.";
    ROUTER_WAITING = Gauge, "tenantry_router_waiting_requests",
        ["cluster": "the cluster's name"],
        "Requests that wait for a connection now.";
    ROUTER_BUDGET_USED = Gauge, "tenantry_router_budget_used_connections",
        ["cluster": "the cluster's name"],
        "Connections that count against the cluster's budget: all, until the server has ended them.";
    ROUTER_BUDGET = Gauge, "tenantry_router_budget_limit_connections",
        ["cluster": "the cluster's name"],
        "How many connections this router may have open: its share of the cluster's budget.";
    ROUTER_CONNECTING = Gauge, "tenantry_router_connecting",
        ["cluster": "the cluster's name"],
        "Connections that are being opened, at most `router.connects_in_flight`.";
    ROUTER_BREAKER = Gauge, "tenantry_router_breaker_state",
        ["cluster": "the cluster's name", "state": "`closed` (its server answers), `half_open` (one request looks whether it is back), `open` (its tenants are told at once that it is not)"],
        "1 for the state in which the cluster's breaker is.";
    ROUTER_BREAKER_OPENED = Counter, "tenantry_router_breaker_opened_total",
        ["cluster": "the cluster's name"],
        "How often a cluster's server was found not to answer.";
    CLUSTER_BUDGET = Gauge, "tenantry_cluster_budget_connections",
        ["cluster": "the cluster's name"],
        "The cluster's whole budget: how many connections may be open, over all routers.";
    ROUTER_WAIT_SECONDS = Histogram(OF_CONNECTIONS), "tenantry_router_wait_duration_seconds", [],
        "How long requests waited for a connection, of those that had to.";
    TOP_WAITS = Gauge, "tenantry_router_top_tenant_waiting_requests",
        ["tenant": "the tenant's id; of the twenty with most, others have no series"],
        "Requests that had to wait for a connection lately, at least, of the tenants with most. What is five minutes old counts half.";
    TOP_CONNECTIONS = Gauge, "tenantry_router_top_tenant_connections",
        ["tenant": "as above"],
        "Connections that are open now, of the tenants with most.";
    TOP_ERRORS = Gauge, "tenantry_router_top_tenant_failed_requests",
        ["tenant": "as above"],
        "Requests that got no connection lately, at least, of the tenants with most. What is five minutes old counts half.";
    ROUTER_REFUSALS = Counter, "tenantry_router_acquire_failures_total",
        ["reason": "`tenant_busy`, `budget_full`, `unavailable`, `wrong_database`, `login_refused`, `not_served`, `server_down` (told at once while the breaker is open)"],
        "Requests that got no connection to their tenant's database.";
    ROUTER_CONNECTS = Counter, "tenantry_router_connects_total",
        ["outcome": "`proven`, `unavailable` (no answer, full, slow), `login_refused`, `wrong_database`, `sealed` (the keys do not open the password)"],
        "Attempts to open a connection to a tenant's database.";
    ROUTER_CONNECT_SECONDS = Histogram(OF_CONNECTIONS), "tenantry_router_connect_duration_seconds", [],
        "How long it took to open and prove a connection.";
    ROUTER_WRONG_DATABASE = Counter, "tenantry_router_wrong_database_total", [],
        "How often the catalog led to a database that was not the expected one. Nothing was handed out; any is an alarm.";
    ROUTER_CLOSED = Counter, "tenantry_router_connections_closed_total",
        ["reason": "`idle` (unused for `router.idle`), `room` (another tenant needed the slot), `retired` (the tenant changed, moved or ended)"],
        "Idle connections that were closed.";
    ROUTER_UNSEEN_ENDS = Counter, "tenantry_router_unseen_ends_total", [],
        "Connections whose end on the server was not seen in time; until then their slot stays taken.";
    ROUTER_APPLIED = Gauge, "tenantry_router_change_log_applied_number", [],
        "The change up to which nothing older is used.";
    ROUTER_ACKED = Gauge, "tenantry_router_change_log_acknowledged_number", [],
        "The change up to which, besides, no connection of before is open.";
    ROUTER_LAG_SECONDS = Gauge, "tenantry_router_change_log_lag_seconds", [],
        "Time since the change log was last read to its end: how old the router's knowledge may be.";
    ROUTER_LEASE = Gauge, "tenantry_router_lease_held", [],
        "1 while the router's lease in the catalog is running; else it serves what it knows, or nothing.";
    ROUTER_AWAY = Gauge, "tenantry_router_catalog_away", [],
        "1 while known tenants are served although the catalog cannot be reached.";
    ROUTER_LEASE_LOST = Counter, "tenantry_router_lease_losses_total", [],
        "How often the router's lease ran out before it was renewed.";

    OPERATIONS = Counter, "tenantry_operations_total",
        ["kind": "`create`, `delete`, …", "outcome": "`done`, `failed` (undone), `parked` (waits for a person), `later` (tried again after a while), `interrupted` (handed to another driver)"],
        "Drives of operations by how they ended. One operation may need several.";
    OPERATION_SECONDS = Histogram(OF_OPERATIONS), "tenantry_operation_duration_seconds",
        ["kind": "as above"],
        "How long a drive to `done` took in this process.";
    OPERATION_STEPS_FAILED = Counter, "tenantry_operation_step_failures_total",
        ["kind": "as above", "direction": "`forward`, `undo`"],
        "Steps of operations that failed; each is tried again, undone or parked.";
    SPARE_CLAIMS = Counter, "tenantry_spare_claims_total",
        ["outcome": "`hit` (the tenant got a spare), `miss` (there was none, and its database was cloned)"],
        "Creations, by whether a spare was ready for them.";
    ROTATIONS = Counter, "tenantry_rotations_total",
        ["login": "`router` (ours), `user` (the product's own, issued anew)", "outcome": "`done`, `failed` (undone: the former login is used as before), `parked` (waits for a person; the tenant is served)"],
        "Logins that were to be replaced, by how that ended.";
    OPERATIONS_PARKED = Gauge, "tenantry_operations_parked", [],
        "Operations that wait for a person, as last counted by the sweeper.";
    SWEEPS = Counter, "tenantry_sweeper_runs_total",
        ["outcome": "`done`, `failed`"],
        "Runs of the sweeper: purges that are due, old answers, keys and changes.";
    DOCTOR_RUNS = Counter, "tenantry_doctor_runs_total",
        ["outcome": "`done`, `failed`"],
        "Runs of the doctor in this process.";
    DOCTOR_FINDINGS = Gauge, "tenantry_doctor_findings",
        ["severity": "`error`, `warning`, `notice`"],
        "What the doctor found when it last looked, in whatever process; errors and warnings are differences.";

    CATALOG_CONNECTIONS = Gauge, "tenantry_catalog_connections",
        ["pool": "`control` (the control plane's login), `router`", "state": "`idle`, `used`"],
        "Connections to the catalog.";
    BUILD = Gauge, "tenantry_build_info",
        ["version": "the program's version"],
        "Always 1.";
    PROCESS_CPU = Counter, "process_cpu_seconds_total", [],
        "Processor time that the process used, user and system.";
    PROCESS_MEMORY = Gauge, "process_resident_memory_bytes", [],
        "Memory that the process holds.";
    PROCESS_FDS = Gauge, "process_open_fds", [],
        "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge, "process_max_fds", [],
        "How many file descriptors may be open.";
    PROCESS_THREADS = Gauge, "process_threads", [],
        "Threads of the process.";
    PROCESS_START = Gauge, "process_start_time_seconds", [],
        "When the process started, in seconds since 1970.";
}

/// The metrics with a series for each of the tenants that have most: no other names a tenant.
pub const OF_TENANTS: [Metric; 3] = [TOP_WAITS, TOP_CONNECTIONS, TOP_ERRORS];

/// How many series each of [`OF_TENANTS`] has at most, at any time.
pub const TENANTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_its_unit_and_stands_once() {
        for (index, metric) in ALL.iter().enumerate() {
            let counts = metric.name.ends_with("_total");
            assert_eq!(counts, metric.kind == Counter, "{}", metric.name);
            if matches!(metric.kind, Histogram(_)) {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
            }
            let ours = metric.name.starts_with("tenantry_") || metric.name.starts_with("process_");
            assert!(ours && metric.about.ends_with('.'), "{}", metric.name);
            assert!(
                ALL[index + 1..]
                    .iter()
                    .all(|other| other.name != metric.name)
            );
        }
    }

    #[test]
    fn no_label_is_named_after_what_there_are_many_of() {
        for metric in ALL {
            let of_tenants = OF_TENANTS.iter().any(|other| other.name == metric.name);
            for (label, _) in metric.labels {
                let many = ["tenant", "slug", "user", "path", "email", "database", "id"];
                let allowed = of_tenants && *label == "tenant" && metric.labels.len() == 1;
                assert!(!many.contains(label) || allowed, "{}: {label}", metric.name);
            }
        }
    }

    #[test]
    fn the_bounds_of_a_histogram_rise() {
        for metric in ALL {
            if let Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted_by(|a, b| a < b), "{}", metric.name);
            }
        }
    }
}
