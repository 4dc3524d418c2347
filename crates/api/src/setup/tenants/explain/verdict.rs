//! What of all this is the reason, and what helps.
//!
//! Findings stand in the order in which they are likely to be why a request fails: a state in which
//! nobody is served before a server that is down, that before connections that are all in use, that
//! before what may merely be late.

use chrono::TimeDelta;
use serde::Serialize;
use tenantry_catalog::databases;
use tenantry_catalog::logins::LoginRole;
use tenantry_catalog::operations;
use tenantry_catalog::tenants::Status;
use tenantry_router::Reach;
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use super::view::{OperationView, View};
use crate::setup::doctor::view as doctor;
use crate::setup::tenants::domains::State;

/// How old an error may be to be still the reason.
const FRESH: TimeDelta = TimeDelta::minutes(5);

/// One thing that was found.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Finding)]
pub(super) struct Finding {
    /// What it is, for programs.
    #[schema(example = "CLUSTER_UNREACHABLE")]
    code: &'static str,
    /// The same for people.
    message: String,
    /// What helps.
    what_to_do: String,
}

/// What was found of a tenant; at least that nothing was.
pub(super) fn of(
    view: &View,
    doctor: &[doctor::Difference],
    reach: Option<Reach>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    found.state(view);
    found.operation(view);
    found.place(view);
    let proven = view.probe.as_ref().is_some_and(|probe| probe.ok);
    if !proven {
        found.probe(view);
        found.cluster(view, reach);
        found.last_errors(view, now);
    }
    found.room(view);
    found.routers(view);
    found.database(view);
    found.doctor(view, doctor);
    found.domains(view);
    found.well(view, proven);
    found.redirects(view);
    found.0
}

struct Found(Vec<Finding>);

impl Found {
    fn add(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        what_to_do: impl Into<String>,
    ) {
        // The same of several routers is one finding.
        if self.0.iter().all(|finding| finding.code != code) {
            self.add_each(code, message, what_to_do);
        }
    }

    /// Of a thing of which a tenant has several.
    fn add_each(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        what_to_do: impl Into<String>,
    ) {
        self.0.push(Finding {
            code,
            message: message.into(),
            what_to_do: what_to_do.into(),
        });
    }

    fn state(&mut self, view: &View) {
        let why = view.status_reason.as_deref();
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let since = moment(view.updated_at);
        let slug = &view.slug;
        match view.status {
            Status::Active => {}
            Status::Provisioning => self.add(
                "TENANT_PROVISIONING",
                "It is still being made.",
                "It is served when its operation is done.",
            ),
            Status::Suspended => {
                let since = view.suspended_at.map_or(since, moment);
                self.add(
                    "TENANT_SUSPENDED",
                    format!("It has been suspended since {since}{}", ended(why)),
                    format!("`tenantry tenants resume {slug}` serves it again."),
                );
            }
            Status::Deleting => {
                let until = view.purge_at.map(moment).unwrap_or_default();
                self.add(
                    "TENANT_DELETED",
                    format!("It was deleted and will be gone for good at {until}."),
                    format!("Until then `tenantry tenants undelete {slug}` brings it back."),
                );
            }
            Status::Migrating => self.add(
                "TENANT_MIGRATING",
                "A release that needs it for itself is being applied.",
                "It is served when that is done.",
            ),
            Status::Moving => self.add(
                "TENANT_MOVING",
                "Its database moves to another place.",
                "It is served when its operation is done.",
            ),
            Status::Error => self.add(
                "TENANT_IN_ERROR",
                format!("Something failed half-way, last changed {since}{why}."),
                "Its operation tells at which step; a person has to decide.",
            ),
        }
    }

    fn operation(&mut self, view: &View) {
        let Some(OperationView {
            operation_id: id,
            kind,
            status,
            message,
            ..
        }) = &view.operation
        else {
            return;
        };
        if *status == operations::Status::Parked {
            let why = message.as_deref().unwrap_or("it failed too often");
            self.add(
                "OPERATION_PARKED",
                format!("Its operation `{kind}` stopped half-way and waits for a person: {why}"),
                format!("`tenantry operations show {id}` tells at which step."),
            );
        } else {
            self.add(
                "OPERATION_RUNNING",
                format!("Its operation `{kind}` is under way."),
                format!("`tenantry operations show {id} --wait` follows it."),
            );
        }
    }

    /// Whether the catalog has somewhere to connect to.
    fn place(&mut self, view: &View) {
        if view.status != Status::Active {
            return;
        }
        let complete = view.database.as_ref().is_some_and(|database| {
            database.state == databases::State::Claimed
                && database.logins.contains(&LoginRole::Router)
        });
        if !complete || view.cluster.is_none() {
            self.add(
                "NO_DATABASE",
                "It is active, but the catalog has no complete place for it: database, login and cluster.",
                "This should not be: ask the people who run the catalog before anything is changed.",
            );
        }
    }

    fn probe(&mut self, view: &View) {
        let Some(probe) = &view.probe else { return };
        let why = probe.reason.as_deref().unwrap_or_default();
        match probe.what {
            Some("refused") => self.add(
                "PROBE_REFUSED",
                format!("A connection tried just now was refused: {why}."),
                "The server is up. See that the database and the tenant's router login are there and are what the catalog says.",
            ),
            Some("unreachable") => self.add(
                "PROBE_UNREACHABLE",
                format!("A connection tried just now did not reach the server: {why}."),
                "See that the server runs and that its address can be reached from here.",
            ),
            Some("no-place") => self.add(
                "PROBE_IMPOSSIBLE",
                "No connection could be tried: there is no place to connect to, or the catalog did not tell it.",
                "What else is found here tells why.",
            ),
            _ => self.add(
                "PROBE_NOT_TRIED",
                "No connection was tried: others are being tried on this cluster, one at a time.",
                "Ask again.",
            ),
        }
    }

    fn domains(&mut self, view: &View) {
        if !view
            .domains
            .iter()
            .any(|domain| domain.state == State::Verified)
        {
            self.add(
                "NO_DOMAIN",
                "No host name leads to it.",
                "Requests must name it by a token until it has a domain.",
            );
        }
        for domain in &view.domains {
            let Some(record) = &domain.record else {
                continue;
            };
            let (name, record, value) = (&domain.domain, &record.name, &record.value);
            let looked = domain.last_check.as_ref().map_or_else(
                || "nobody has looked for its record yet".to_owned(),
                |check| {
                    format!(
                        "the last look, at {}, found: {}",
                        moment(check.at),
                        check.outcome
                    )
                },
            );
            if domain.state == State::Pending {
                self.add_each(
                    "DOMAIN_NOT_VERIFIED",
                    format!("`{name}` is not served: {looked}."),
                    format!(
                        "Set the TXT record `{record}` to `{value}`, then `tenantry tenants domains verify {} {name}`.",
                        view.slug,
                    ),
                );
            } else if let Some(since) = domain.unproven_since {
                self.add_each(
                    "DOMAIN_RECORD_GONE",
                    format!(
                        "`{name}` is served, but its record has been gone since {}; {looked}.",
                        moment(since),
                    ),
                    format!("Set the TXT record `{record}` to `{value}` again; the domain is not served for ever without."),
                );
            }
        }
    }

    fn cluster(&mut self, view: &View, reach: Option<Reach>) {
        let Some(cluster) = &view.cluster else { return };
        let address = format!("{}:{}", cluster.host, cluster.port);
        for router in view.routers.iter().filter(|router| router.live) {
            let Some(on) = &router.cluster else { continue };
            if let Some(since) = on.unreachable_since {
                let why = reach.filter(|_| router.answering);
                let why = why.and_then(|reach| reach.reason);
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                self.add(
                    "CLUSTER_UNREACHABLE",
                    format!(
                        "The server of cluster `{}` ({address}) has not been reached since {} by router {}{why}.",
                        cluster.name, moment(since), router.name,
                    ),
                    "See that the server runs and that its address can be reached from there. All tenants of the cluster are concerned.",
                );
            }
            if on.breaker.as_deref() == Some("open") {
                self.add(
                    "CIRCUIT_OPEN",
                    format!(
                        "Router {} refuses requests for cluster `{}` at once, because its server fails.",
                        router.name, cluster.name,
                    ),
                    "It tries again by itself, and serves as soon as the server answers.",
                );
            }
        }
    }

    /// Errors that only the tenant's own database or login can have.
    fn last_errors(&mut self, view: &View, now: Timestamp) {
        for router in &view.routers {
            for error in &router.last_errors {
                if now - error.at > FRESH {
                    continue;
                }
                let at = moment(error.at);
                let (why, name) = (&error.reason, &router.name);
                match error.code.as_str() {
                    "WRONG_DATABASE" => self.add(
                        "WRONG_DATABASE",
                        format!("Another database answered than the tenant's, last at {at} (router {name}). Nothing was handed out."),
                        "This is an alarm: somebody put another database in its place. Compare the server's databases with the catalog before anything else.",
                    ),
                    "LOGIN_REFUSED" => self.add(
                        "LOGIN_REFUSED",
                        format!("Its login was refused, last at {at} (router {name}): {why}."),
                        "See that its router login can log in on the server and has the password that the catalog has.",
                    ),
                    "SECRET_UNREADABLE" => self.add(
                        "SECRET_UNREADABLE",
                        format!("The password of its login does not open with the keys of router {name}, last at {at}."),
                        "Start that process with the keys of this installation.",
                    ),
                    "DATABASE_UNAVAILABLE" => self.add(
                        "DATABASE_UNAVAILABLE",
                        format!("Its database could not be reached, last at {at} (router {name}): {why}."),
                        "See that the server runs and has connections to spare.",
                    ),
                    _ => {}
                }
            }
        }
        self.refused_lately(view, now);
    }

    /// Requests that found all connections in use.
    fn refused_lately(&mut self, view: &View, now: Timestamp) {
        for router in &view.routers {
            for error in router
                .last_errors
                .iter()
                .filter(|error| now - error.at <= FRESH)
            {
                let at = moment(error.at);
                match error.code.as_str() {
                    "POOL_EXHAUSTED" => self.add(
                        "BUDGET_FULL",
                        format!("All connections that router {} may have on the cluster were in use, last at {at}.", router.name),
                        "`tenantry top --by connections` shows who has them. Raise the cluster's budget if the server can take it.",
                    ),
                    "TENANT_BUSY" => self.add(
                        "TENANT_BUSY",
                        format!("It had as many connections on router {} as one tenant may, all in use, last at {at}.", router.name),
                        "Its requests come too many at once or its queries are slow; raise `router.per_tenant_max` if the budget allows.",
                    ),
                    _ => {}
                }
            }
        }
    }

    /// Requests that wait now.
    fn room(&mut self, view: &View) {
        for router in view.routers.iter().filter(|router| router.live) {
            let pool = router.pool.as_ref();
            if let Some(pool) = pool.filter(|pool| pool.waiting > 0 && pool.open >= pool.cap) {
                self.add(
                    "TENANT_BUSY",
                    format!(
                        "All {} connections that it may have on router {} are in use; {} of its requests wait.",
                        pool.cap, router.name, pool.waiting,
                    ),
                    "Its requests come too many at once or its queries are slow; raise `router.per_tenant_max` if the budget allows.",
                );
            }
            let on = router.cluster.as_ref();
            if let Some(on) = on.filter(|on| on.waiting > 0 && on.open >= on.share) {
                self.add(
                    "BUDGET_FULL",
                    format!(
                        "All {} connections that router {} may have on the cluster are in use; {} requests wait.",
                        on.share, router.name, on.waiting,
                    ),
                    "`tenantry top --by connections` shows who has them. Raise the cluster's budget if the server can take it.",
                );
            }
        }
    }

    fn routers(&mut self, view: &View) {
        if !view.routers.iter().any(|router| router.live) {
            self.add(
                "NO_ROUTER",
                "No router is alive: no tenant is served.",
                "Look at the log of `tenantry serve`; it registers again by itself when it reaches the catalog.",
            );
        }
        let mut behind = view
            .routers
            .iter()
            .filter(|one| one.live && !one.has_last_change);
        if let Some(router) = behind.next() {
            let age = router.behind_seconds.unwrap_or_default();
            self.add(
                "ROUTER_BEHIND",
                format!(
                    "Router {} has not done what the tenant's last change says; it is {age:.1} s behind.",
                    router.name,
                ),
                "It may still drain connections. If it stays so, look at its log; a router is restarted without harm.",
            );
        }
    }

    fn database(&mut self, view: &View) {
        let Some(database) = &view.database else {
            return;
        };
        if let Some(error) = &database.migration_error {
            self.add(
                "MIGRATION_FAILED",
                format!("Its database could not be migrated: {error}"),
                "Correct that and run `tenantry migrate-all`.",
            );
        } else if !database.current {
            self.add(
                "MIGRATIONS_BEHIND",
                "Its database has not this program's migrations.",
                "Run `tenantry migrate-all`.",
            );
        }
    }

    /// What the doctor saw when it last looked; it may have been put right since.
    fn doctor(&mut self, view: &View, doctor: &[doctor::Difference]) {
        for one in doctor {
            self.add_each(
                "DOCTOR_FINDINGS",
                format!(
                    "The doctor found {} at {}: {}",
                    one.code,
                    moment(one.at),
                    ended(one.message.clone()),
                ),
                format!(
                    "{} `tenantry doctor --tenant {}` looks again.",
                    ended(one.what_to_do.clone()),
                    view.slug,
                ),
            );
        }
    }

    /// Last, as nothing is wrong with it: who still uses a former host is sent on.
    fn redirects(&mut self, view: &View) {
        for domain in &view.domains {
            let Some(until) = domain.redirects_until else {
                continue;
            };
            self.add_each(
                "FORMER_HOST_REDIRECTS",
                format!(
                    "`{}` was its subdomain and redirects to `{}` until {}; nobody else gets that slug before.",
                    domain.domain, view.slug, moment(until),
                ),
                "Nothing, but who calls it there should learn its present host by then.",
            );
        }
    }

    fn well(&mut self, view: &View, proven: bool) {
        if let Some(probe) = view.probe.as_ref().filter(|_| proven) {
            let took = probe.took_ms.unwrap_or_default();
            let (code, what_to_do) = if self.0.is_empty() {
                ("ALL_WELL", "Nothing.")
            } else {
                (
                    "PROBE_DONE",
                    "The database itself is in order; the rest is above.",
                )
            };
            self.add(
                code,
                format!("A connection was opened and proven just now in {took:.1} ms."),
                what_to_do,
            );
        } else if self.0.is_empty() {
            self.add(
                "NOTHING_FOUND",
                "Nothing is wrong as far as it is known.",
                format!(
                    "`tenantry tenants explain {} --probe` tries a connection now.",
                    view.slug
                ),
            );
        }
    }
}

/// A sentence ends with its own full stop, or with ours.
fn ended(mut text: String) -> String {
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
