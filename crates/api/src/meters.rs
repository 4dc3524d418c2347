//! What the HTTP face counts. A series belongs to a route of the table and to words that are
//! written here: what a client sends becomes no label.
//!
//! Handles are made at first use and kept, so that a warm request counts without an allocation, and
//! a route that nobody calls has no series.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tenantry_types::{TenantId, metric};
use tracing::Span;

use crate::context::trace::Traced;
use crate::problem;
use crate::routes::{Place, ROUTES};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];
const PLACES: [&str; 3] = ["base", "tenant", "nowhere"];
const STATUSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "gone"];
const GONE: usize = 4;

/// The meters of the HTTP face.
pub(crate) struct Meters {
    /// By route, in the order of the table.
    routes: Vec<Cells>,
    /// By method, where no route matched.
    others: [Cells; METHODS.len()],
    in_flight: Gauge,
    /// By the order of the documented codes; the last one is for all others.
    problems: Vec<OnceLock<Counter>>,
    sign_ins: [Counter; 4],
}

/// The series of one route.
#[derive(Default)]
struct Cells {
    requests: [[OnceLock<Counter>; STATUSES.len()]; PLACES.len()],
    seconds: OnceLock<Histogram>,
}

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    Right,
    Wrong,
    /// There were too many failures lately.
    Slowed,
    /// Nobody learnt how it would have ended.
    Abandoned,
}

/// What became known of a request on its way inwards, for the outermost layer. It travels as an
/// extension of the request, so that it is there also when an inner layer was cut off.
#[derive(Clone)]
pub(crate) struct Noted(Arc<Notes>);

struct Notes {
    /// The number of the route plus one; 0 for none.
    route: AtomicU16,
    place: AtomicU8,
    /// What log lines show.
    span: Span,
    traced: Traced,
}

impl Noted {
    pub(crate) fn new(span: Span, traced: Traced) -> Self {
        Self(Arc::new(Notes {
            span,
            traced,
            route: AtomicU16::new(0),
            place: AtomicU8::new(Place::Nowhere as u8),
        }))
    }

    /// The route of this number in the table will answer.
    pub(crate) fn route(&self, number: u16) {
        self.0.route.store(number + 1, Ordering::Relaxed);
        if let Some(route) = ROUTES.get(usize::from(number)) {
            self.0.span.record("route", route.info.path);
            let method = METHODS[method_of(&route.info.method)];
            self.0.traced.route(method, route.info.path);
        }
    }

    /// The tenant that the request is about.
    pub(crate) fn tenant(&self, tenant: TenantId) {
        self.0
            .span
            .record("tenant", tracing::field::display(tenant));
        self.0.traced.tenant(tenant);
    }

    pub(crate) fn place(&self, place: Place) {
        self.0.place.store(place as u8, Ordering::Relaxed);
    }
}

/// A request that is worked on. Dropped before it was answered, its client has gone.
pub(crate) struct InFlight<'a> {
    meters: &'a Meters,
    method: Method,
    noted: Noted,
    answered: bool,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let signed_in = |outcome| counter!(metric::SIGN_INS.name, "outcome" => outcome);
        Self {
            routes: ROUTES.iter().map(|_| Cells::default()).collect(),
            others: Default::default(),
            in_flight: gauge!(metric::HTTP_IN_FLIGHT.name),
            problems: (0..=problem::codes().count())
                .map(|_| OnceLock::new())
                .collect(),
            sign_ins: ["right", "wrong", "slowed", "abandoned"].map(signed_in),
        }
    }

    /// A request begins.
    pub(crate) fn begin(&self, method: Method, noted: Noted) -> InFlight<'_> {
        self.in_flight.increment(1.0);
        InFlight {
            meters: self,
            method,
            noted,
            answered: false,
        }
    }

    /// A request is answered with a problem.
    pub(crate) fn problem(&self, code: &str) {
        let known = problem::codes().position(|known| known == code);
        let index = known.unwrap_or(self.problems.len() - 1);
        let counter = self.problems[index].get_or_init(|| {
            let label = problem::codes().nth(index).unwrap_or("other");
            counter!(metric::HTTP_PROBLEMS.name, "code" => label)
        });
        counter.increment(1);
    }

    pub(crate) fn sign_in(&self, how: SignIn) {
        self.sign_ins[how as usize].increment(1);
    }

    fn count(&self, method: &Method, noted: &Noted, status: usize, took: Option<Duration>) {
        let place = usize::from(noted.0.place.load(Ordering::Relaxed)).min(PLACES.len() - 1);
        let number = usize::from(noted.0.route.load(Ordering::Relaxed)).checked_sub(1);
        let route = number.and_then(|number| Some((ROUTES.get(number)?, self.routes.get(number)?)));
        let (path, method, cells) = match route {
            Some((route, cells)) => (route.info.path, method_of(&route.info.method), cells),
            None => ("other", method_of(method), &self.others[method_of(method)]),
        };
        let method = METHODS[method];
        let counter = cells.requests[place][status].get_or_init(|| {
            counter!(metric::HTTP_REQUESTS.name, "route" => path, "method" => method,
                "status" => STATUSES[status], "host" => PLACES[place])
        });
        counter.increment(1);
        if let Some(took) = took {
            let seconds = cells.seconds.get_or_init(
                || histogram!(metric::HTTP_SECONDS.name, "route" => path, "method" => method),
            );
            seconds.record(took);
        }
    }
}

impl InFlight<'_> {
    /// The answer is ready.
    pub(crate) fn answered(mut self, status: StatusCode, took: Duration) {
        self.answered = true;
        let class = match status.as_u16() {
            ..300 => 0,
            300..400 => 1,
            400..500 => 2,
            500.. => 3,
        };
        self.meters
            .count(&self.method, &self.noted, class, Some(took));
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.meters.in_flight.decrement(1.0);
        if !self.answered {
            tracing::info!("the client hung up before the answer");
            self.meters.count(&self.method, &self.noted, GONE, None);
        }
    }
}

/// A method as a label and in a log line: one of a few words.
pub(crate) fn word_of(method: &Method) -> &'static str {
    METHODS[method_of(method)]
}

fn method_of(method: &Method) -> usize {
    let last = METHODS.len() - 1;
    let known = METHODS[..last].iter().position(|known| method == *known);
    known.unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_is_other() {
        assert_eq!(METHODS[method_of(&Method::PATCH)], "PATCH");
        for odd in ["get", "BREW", "X-1"] {
            let method = Method::from_bytes(odd.as_bytes()).expect("a method");
            assert_eq!(METHODS[method_of(&method)], "other");
        }
    }

    #[test]
    fn every_route_has_a_number() {
        assert!(u16::try_from(ROUTES.len() + 1).is_ok());
    }
}
