//! `POST /auth/login` at a base domain
//!
//! The directory says which tenants an address may be of; the password is proven in each one's own
//! database. A stranger learns neither whether a person is known nor in how many tenants: every
//! answer comes at one of few moments ([`until_moment`]). The brake holds on both sides: a guess
//! here counts at the base domain and at each tenant that was tried.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenantry_catalog::directory::{self, Listed};
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{Entrance, Route, Visits};
use tenantry_tenantdb::passwords::PasswordHash;
use tenantry_tenantdb::{sign_in_codes, users};
use tenantry_types::{Email, ErrorKind, TenantId, Timestamp, UserId};
use tokio::task::JoinSet;
use tracing::Instrument;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{BaseVisitor, ClientAddress};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::sign_in::{Credentials, too_many, wrong};
use crate::throttle::Attempt;
use crate::told::Told;

/// An answer to a right password is given at a multiple of this. Whoever has an account of their own
/// under somebody's address would else see by the time how many other tenants were tried.
const OPENED: Duration = Duration::from_millis(250);

/// How long one tenant may take to say who somebody is: a customer can lock its own tables.
const ASKED: Duration = Duration::from_secs(2);

/// What a right password opened.
pub(crate) struct Opened {
    /// At least one, the oldest tenant first.
    pub(crate) tenants: Vec<OpenedTenant>,
    /// Whether there may be more that could not be asked right now.
    pub(crate) incomplete: bool,
}

/// A tenant in which the password is right, and what to show at its host to be signed in there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OpenedTenant {
    #[schema(value_type = words::TenantId)]
    pub(crate) tenant_id: TenantId,
    #[schema(value_type = words::Slug)]
    pub(crate) slug: String,
    #[schema(value_type = words::TenantName)]
    pub(crate) name: String,
    /// Its host, without a path.
    #[schema(value_type = words::Url)]
    pub(crate) url: String,
    /// For `POST /auth/redeem` there, in the body: never in a URL.
    #[schema(value_type = words::Secret)]
    pub(crate) code: Told,
    /// When the code is good for nothing any more.
    #[schema(value_type = words::Timestamp)]
    pub(crate) expires_at: Timestamp,
}

/// The tenants that a password opened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OpenedTenants)]
pub(crate) struct View {
    /// At least one, the oldest first.
    tenants: Vec<OpenedTenant>,
    /// Whether there may be more that could not be asked right now.
    incomplete: bool,
}

/// Finds the tenants in which this is the person's password, with a one-time code for each.
#[utoipa::path(
    post, path = "/auth/login", tag = "sign-in", operation_id = "openTenants",
    request_body = Credentials,
    responses((status = 200, description = "The password is right in these tenants.", body = View)),
    extensions(("x-problems" = json!(["INVALID_CREDENTIALS", "SIGN_IN_UNAVAILABLE", "TOO_MANY_ATTEMPTS"]))),
)]
pub(crate) async fn handle(
    visitor: BaseVisitor,
    client: ClientAddress,
    Body(credentials): Body<Credentials>,
) -> Result<Response, Problem> {
    let Opened {
        tenants,
        incomplete,
    } = open(&visitor.app, &client, credentials).await?;
    let view = View {
        tenants,
        incomplete,
    };
    Ok(Json(view).into_response())
}

/// Opens the tenants in which this is the person's password, with a one-time code for each.
///
/// # Errors
/// 401 `INVALID_CREDENTIALS`, whoever asks and whatever is wrong; 429 `TOO_MANY_ATTEMPTS`; 503 when
/// the catalog is away, or when the password is right and yet no code could be made.
pub(crate) async fn open(
    app: &App,
    client: &ClientAddress,
    credentials: Credentials,
) -> Result<Opened, Problem> {
    let arrived = app.clock.now();
    let mut attempt = app
        .throttle
        .attempt_at_base(&credentials.email, client.0)
        .await
        .map_err(too_many)?;
    let hash = app.directory.hash(&credentials.email);
    let mut conn = app.catalog().await?;
    let listed = directory::tenants_of(&mut conn, &hash, app.config.sign_in_tenants).await?;
    drop(conn);

    attempt.hashing();
    let proven = prove(app, listed, &credentials).await?;
    if proven.tenants.is_empty() {
        attempt.failed();
        let floor = app.config.sign_in_floor;
        tokio::time::sleep(until_moment(arrived, app.clock.now(), floor)).await;
        return Err(wrong());
    }
    attempt.succeeded();
    let opened = give_codes(app, proven).await;
    tokio::time::sleep(until_moment(arrived, app.clock.now(), OPENED)).await;
    opened
}

/// How long an answer still waits: it is given at a multiple of `floor` after its request arrived,
/// so that what was done in between, for nobody or for eight tenants, does not show.
fn until_moment(arrived: Timestamp, now: Timestamp, floor: Duration) -> Duration {
    let Ok(elapsed) = (now - arrived).to_std() else {
        // The clock was set back: the whole.
        return floor;
    };
    let over = elapsed.as_nanos() % floor.as_nanos().max(1);
    if over == 0 && !elapsed.is_zero() {
        return Duration::ZERO;
    }
    // Less than `floor`, so it fits.
    floor.saturating_sub(Duration::from_nanos(u64::try_from(over).unwrap_or(0)))
}

/// Where the password was right.
struct Proven {
    tenants: Vec<ProvenTenant>,
    incomplete: bool,
}

struct ProvenTenant {
    listed: Listed,
    route: Route,
    user: UserId,
    hash: PasswordHash,
}

enum Outcome {
    Right(Box<ProvenTenant>),
    Wrong,
    /// It could not be asked: its database is away.
    NotAsked,
}

/// Tries the password in each tenant at once. For nobody the work of one is done.
async fn prove(
    app: &App,
    listed: Vec<Listed>,
    credentials: &Credentials,
) -> Result<Proven, Problem> {
    if listed.is_empty() {
        app.hashing
            .verify(credentials.password.clone(), None)
            .await?;
    }
    let order: Vec<TenantId> = listed.iter().map(|listed| listed.tenant_id).collect();
    // When this future is dropped, because the client left, so are they; their seats then count.
    let mut tries = JoinSet::new();
    for listed in listed {
        let (app, credentials) = (app.clone(), credentials.clone());
        tries.spawn(async move { try_in(&app, listed, credentials).await }.in_current_span());
    }
    let mut proven = Proven {
        tenants: Vec::new(),
        incomplete: false,
    };
    while let Some(outcome) = tries.join_next().await {
        match outcome.map_err(Problem::internal)? {
            Outcome::Right(tenant) => proven.tenants.push(*tenant),
            Outcome::Wrong => {}
            Outcome::NotAsked => proven.incomplete = true,
        }
    }
    proven
        .tenants
        .sort_by_key(|tenant| order.iter().position(|id| *id == tenant.listed.tenant_id));
    Ok(proven)
}

/// Tries the password in one tenant. Whatever is wrong with the tenant stops no other.
async fn try_in(app: &App, listed: Listed, credentials: Credentials) -> Outcome {
    let Some(attempt) = app
        .throttle
        .attempt_within(listed.tenant_id, &credentials.email)
    else {
        // Not to be told from a wrong password: who sees that there is a brake sees that there is somebody.
        return Outcome::Wrong;
    };
    // A visit to that tenant beside others: a change of it ends this try and no other.
    let visits = Visits::new();
    let entrance = visits.entrance();
    let asking = ask(app, &entrance, &listed, credentials, attempt);
    let asked = visits.until_cut(asking).await;
    match asked.map_err(Problem::from).flatten() {
        Ok(Some((route, user, hash))) => Outcome::Right(Box::new(ProvenTenant {
            listed,
            route,
            user,
            hash,
        })),
        Ok(None) => Outcome::Wrong,
        // Suspended or deleted in this moment: it is not offered, and nothing is missing.
        Err(problem) if !problem.is_unavailable() => Outcome::Wrong,
        Err(problem) => {
            tracing::warn!(
                tenant = %listed.tenant_id,
                code = problem.code(),
                "a tenant could not be asked at a sign-in at the base domain"
            );
            Outcome::NotAsked
        }
    }
}

/// Who this is in the tenant, and the hash that was proven. No connection is held while it is hashed.
async fn ask(
    app: &App,
    entrance: &Entrance,
    listed: &Listed,
    credentials: Credentials,
    mut attempt: Attempt,
) -> Result<Option<(Route, UserId, PasswordHash)>, Problem> {
    let tenant = TenantRef::Id(listed.tenant_id);
    let route = app.router.resolve_tenant(&tenant).await?;
    let route = entrance.enter(&app.router, route).await?;
    let found = tokio::time::timeout(ASKED, person(app, &route, &credentials.email))
        .await
        .map_err(|_| Problem::new(ErrorKind::Unavailable, "SIGN_IN_UNAVAILABLE"))??;
    attempt.hashing();
    let (user, hash) = match found {
        Some((user, hash, true)) => (Some(user), hash),
        // Somebody who may not sign in costs the same work as somebody who may.
        Some((_, hash, false)) => (None, hash),
        None => (None, None),
    };
    let right = app
        .hashing
        .verify(credentials.password, hash.clone())
        .await?;
    match (right, user, hash) {
        (true, Some(user), Some(hash)) => {
            attempt.succeeded();
            Ok(Some((route, user, hash)))
        }
        _ => {
            attempt.failed();
            Ok(None)
        }
    }
}

async fn person(
    app: &App,
    route: &Route,
    email: &Email,
) -> Result<Option<(UserId, Option<PasswordHash>, bool)>, Problem> {
    let mut conn = app.router.acquire(route).await?;
    let found = users::credentials_by_email(&mut conn, email).await?;
    conn.release();
    Ok(found)
}

/// A code for each tenant that was opened; one that gives none is left out.
async fn give_codes(app: &App, proven: Proven) -> Result<Opened, Problem> {
    let mut opened = Opened {
        tenants: Vec::new(),
        incomplete: proven.incomplete,
    };
    for tenant in proven.tenants {
        let id = tenant.listed.tenant_id;
        let visits = Visits::new();
        let entrance = visits.entrance();
        let giving = visits.until_cut(give_code(app, &entrance, tenant));
        match giving.await.map_err(Problem::from).flatten() {
            Ok(tenant) => opened.tenants.push(tenant),
            Err(problem) => {
                tracing::warn!(tenant = %id, code = problem.code(), "no code for a right password");
                opened.incomplete = true;
            }
        }
    }
    if opened.tenants.is_empty() {
        // Only who knows the password comes here, so this tells nothing to anybody else.
        return Err(Problem::new(ErrorKind::Unavailable, "SIGN_IN_UNAVAILABLE"));
    }
    Ok(opened)
}

async fn give_code(
    app: &App,
    entrance: &Entrance,
    tenant: ProvenTenant,
) -> Result<OpenedTenant, Problem> {
    let ProvenTenant {
        listed,
        route,
        user,
        hash,
    } = tenant;
    let lifetime = chrono::Duration::from_std(app.config.sign_in_code_ttl);
    let lifetime = lifetime.map_err(Problem::internal)?;
    let route = entrance.enter(&app.router, route).await?;
    let mut conn = app.router.acquire(&route).await?;
    let (clock, entropy) = (&app.clock, &app.entropy);
    let issued = sign_in_codes::issue(&mut conn, user, &hash, clock, entropy, lifetime).await?;
    conn.release();
    Ok(OpenedTenant {
        tenant_id: listed.tenant_id,
        slug: listed.slug.as_str().to_owned(),
        name: listed.name,
        url: app.config.url_of(&listed.primary_domain),
        code: Told(issued.code),
        expires_at: issued.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use tenantry_types::Clock;

    use super::*;

    const FLOOR: Duration = Duration::from_secs(1);

    /// When a refusal is answered whose work took this long.
    fn answered_after(work: Duration) -> Duration {
        let clock = Clock::adjustable();
        let arrived = clock.now();
        let now = arrived + chrono::Duration::from_std(work).expect("a duration");
        work + until_moment(arrived, now, FLOOR)
    }

    #[test]
    fn a_refusal_is_answered_at_one_moment_however_long_its_work_took() {
        for millis in [0, 1, 30, 31, 250, 999, 1000] {
            assert_eq!(
                answered_after(Duration::from_millis(millis)),
                FLOOR,
                "{millis}"
            );
        }
        for millis in [1001, 1500, 2000] {
            assert_eq!(
                answered_after(Duration::from_millis(millis)),
                2 * FLOOR,
                "{millis}"
            );
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_longer() {
        let clock = Clock::adjustable();
        let arrived = clock.now();
        clock.advance(chrono::Duration::hours(-1));
        assert_eq!(until_moment(arrived, clock.now(), FLOOR), FLOOR);
    }
}
