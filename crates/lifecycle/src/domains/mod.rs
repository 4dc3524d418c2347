//! Domains of a tenant's own: wanted, proven, served, given up.
//!
//! A domain is decided by proof and by nothing else. Any number of tenants may want it; the first that
//! proves it is served there, until it is taken from it or its proof has been gone for long. What is
//! read before a transaction (the DNS) is compared again within it: a claim that was removed and
//! written anew meanwhile has another challenge.

mod proof;
mod worker;

use chrono::TimeDelta;
use sqlx::PgConnection;
use tenantry_catalog::change_log::{self, Kind};
use tenantry_catalog::domain_claims::{self, Checked, Claim, Outcome};
use tenantry_catalog::domains::{self, Serve};
use tenantry_catalog::tenants::{self, Status, Tenant, TenantRef};
use tenantry_types::{DomainName, TenantId, Timestamp};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::deps::{Deps, Settings};
use crate::engine::chain_of;
use crate::error::StartError;

pub use proof::Record;
use proof::Seen;
pub(crate) use worker::run;

/// How soon a new claim is looked at by itself; each later look waits twice as long as the one before.
const SOON: TimeDelta = TimeDelta::seconds(10);
/// How long it waits at most.
const AT_MOST: TimeDelta = TimeDelta::hours(1);
/// How long a claim is looked at by itself. Later only who asks for it makes us look.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(30);

/// What a look for a claim's record came to.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What was found.
    pub outcome: Outcome,
    /// The claim after it.
    pub claim: Claim,
}

impl Lifecycle {
    /// Writes that a tenant wants a domain. Nothing is served by that, see [`Lifecycle::verify_domain`].
    /// `primary` says whether the tenant's URL is to show it, as soon as it is served; without it that
    /// stays as it is. Says whether the claim is new.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed.
    pub async fn claim_domain(
        &self,
        tenant: &TenantRef,
        name: &DomainName,
        primary: Option<bool>,
        asker: &Asker,
    ) -> Result<(Claim, bool), StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let tenant = locked(&mut tx, tenant).await?;
        if tenant.status == Status::Deleting {
            return Err(StartError::WrongState(
                "the tenant is deleted; bring it back first",
            ));
        }
        let before = domain_claims::get(&mut tx, tenant.id, name).await?;
        if before.is_none() {
            wish(self.deps(), &mut tx, tenant.id, name).await?;
        }
        let changed = match primary {
            Some(primary) => set_primary(&mut tx, tenant.id, name, primary).await?,
            None => Changed::Nothing,
        };
        let claim = domain_claims::get(&mut tx, tenant.id, name)
            .await?
            .ok_or(StartError::UnknownDomain)?;
        if before.is_none() || changed != Changed::Nothing {
            let detail = serde_json::json!({
                "domain": name.as_str(),
                "primary": primary,
                "from": { "claimed": before.is_some() },
                "to": { "claimed": true },
            });
            self.audit(
                &mut tx,
                asker,
                "domain.claim",
                Some(tenant.id),
                None,
                detail,
            )
            .await?;
        }
        if changed == Changed::Served {
            change_log::append(&mut tx, tenant.id, Kind::Updated).await?;
        }
        tx.commit().await?;
        Ok((claim, before.is_none()))
    }

    /// Gives a domain up: it leads nowhere once this returns, and another tenant can prove it. Gives the
    /// claim as it was.
    ///
    /// # Errors
    /// See [`StartError`]. [`StartError::RoutersBehind`]: it is given up, but some router may still
    /// serve it for a moment.
    pub async fn remove_domain(
        &self,
        tenant: &TenantRef,
        name: &DomainName,
        asker: &Asker,
    ) -> Result<Claim, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let tenant = locked(&mut tx, tenant).await?;
        let claim = domain_claims::lock(&mut tx, tenant.id, name)
            .await?
            .ok_or(StartError::UnknownDomain)?;
        if claim.served.is_some_and(|served| served.is_primary) {
            domains::set_primary(&mut tx, tenant.id, None).await?;
        }
        domain_claims::remove(&mut tx, tenant.id, name).await?;
        let served = claim.served.is_some();
        let detail = serde_json::json!({
            "domain": name.as_str(),
            "from": { "claimed": true, "served": served },
            "to": { "claimed": false, "served": false },
        });
        self.audit(
            &mut tx,
            asker,
            "domain.remove",
            Some(tenant.id),
            None,
            detail,
        )
        .await?;
        if served {
            change_log::append(&mut tx, tenant.id, Kind::Updated).await?;
        }
        tx.commit().await?;
        if served {
            self.followed().await?;
        }
        Ok(claim)
    }

    /// Looks for the record that proves a claim, and serves the domain where it is there. Returns when
    /// every router knows of it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn verify_domain(
        &self,
        tenant: &TenantRef,
        name: &DomainName,
        asker: &Asker,
    ) -> Result<Verified, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let tenant = tenants::by_ref(&mut conn, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        if tenant.status == Status::Deleting {
            return Err(StartError::WrongState(
                "the tenant is deleted; bring it back first",
            ));
        }
        let claim = domain_claims::get(&mut conn, tenant.id, name)
            .await?
            .ok_or(StartError::UnknownDomain)?;
        // None is held while the DNS is asked.
        drop(conn);
        let outcome = ask(self.deps(), &claim).await;
        let (verified, changed) = self.settle(&claim, outcome, asker).await?;
        if changed {
            self.followed().await?;
        }
        Ok(verified)
    }

    /// Writes down what was found, and lets the domain lead to the tenant, or nowhere, as that demands.
    /// Says whether that changed.
    async fn settle(
        &self,
        asked: &Claim,
        outcome: Outcome,
        asker: &Asker,
    ) -> Result<(Verified, bool), StartError> {
        let deps = self.deps();
        let now = deps.clock.now();
        let (tenant, name) = (asked.tenant_id, &asked.name);
        let mut tx = deps.catalog.begin().await?;
        // Before the claim: whoever changes a tenant's domains takes them in this order.
        let status = locked(&mut tx, &TenantRef::Id(tenant)).await?.status;
        let claim = domain_claims::lock(&mut tx, tenant, name)
            .await?
            .filter(|claim| claim.challenge == asked.challenge)
            .ok_or(StartError::UnknownDomain)?;
        // It may have been deleted while the DNS was asked. What it has goes on being looked at: it is
        // not to come back with a domain that is somebody else's by then.
        if status == Status::Deleting && claim.served.is_none() {
            return Err(StartError::WrongState(
                "the tenant is deleted; bring it back first",
            ));
        }

        let step = Step::of(&claim, outcome, now, &deps.settings);
        let (outcome, action) = match step {
            Step::Serve => match domains::serve(&mut tx, tenant, name).await? {
                Serve::Taken => (Outcome::Taken, None),
                Serve::Begun | Serve::Already => (Outcome::Proven, Some("domain.verify")),
            },
            Step::Lapse => {
                if claim.served.is_some_and(|served| served.is_primary) {
                    domains::set_primary(&mut tx, tenant, None).await?;
                    domain_claims::want_primary(&mut tx, tenant, Some(name)).await?;
                }
                domains::unserve(&mut tx, tenant, name).await?;
                (outcome, Some("domain.lapse"))
            }
            Step::Stay => (outcome, None),
        };
        if action == Some("domain.verify") && claim.wants_primary {
            domains::set_primary(&mut tx, tenant, Some(name)).await?;
            domain_claims::want_primary(&mut tx, tenant, None).await?;
        }
        let checked = checked(&claim, outcome, action.is_some(), now, &deps.settings);
        domain_claims::note(&mut tx, tenant, name, &checked).await?;
        if let Some(action) = action {
            let detail = serde_json::json!({
                "domain": name.as_str(),
                "from": { "served": asked.served.is_some() },
                "to": { "served": action == "domain.verify" },
            });
            self.audit(&mut tx, asker, action, Some(tenant), None, detail)
                .await?;
        }
        let claim = domain_claims::get(&mut tx, tenant, name)
            .await?
            .ok_or(StartError::UnknownDomain)?;
        if action.is_some() {
            change_log::append(&mut tx, tenant, Kind::Updated).await?;
        }
        tx.commit().await?;
        if let Some(action) = action {
            tracing::info!(%tenant, domain = %name, action, "a domain changed its state");
        }
        Ok((Verified { outcome, claim }, action.is_some()))
    }
}

/// Writes the first claim of a tenant on a domain, in the transaction of whoever wants it.
///
/// # Errors
/// [`StartError::DomainTaken`] when the domain is served for another tenant.
pub(crate) async fn wish(
    deps: &Deps,
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
) -> Result<(), StartError> {
    if !proof::fits(name) {
        return Err(StartError::DomainTooLong);
    }
    if domains::owner(conn, name).await?.is_some() {
        return Err(StartError::DomainTaken);
    }
    let challenge = deps.entropy.password();
    let next = deps.clock.now() + SOON;
    domain_claims::insert(conn, tenant, name, challenge.expose(), next).await?;
    Ok(())
}

/// What became of the wish for another primary domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    Nothing,
    /// It holds once the domain is proven.
    Wish,
    Served,
}

async fn set_primary(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
    primary: bool,
) -> Result<Changed, StartError> {
    let claim = domain_claims::get(conn, tenant, name)
        .await?
        .ok_or(StartError::UnknownDomain)?;
    let is = claim.served.is_some_and(|served| served.is_primary);
    match (claim.served, primary) {
        (Some(_), _) if is == primary => Ok(Changed::Nothing),
        (Some(_), primary) => {
            domains::set_primary(conn, tenant, primary.then_some(name)).await?;
            if primary {
                domain_claims::want_primary(conn, tenant, None).await?;
            }
            Ok(Changed::Served)
        }
        (None, primary) if claim.wants_primary == primary => Ok(Changed::Nothing),
        (None, primary) => {
            domain_claims::want_primary(conn, tenant, primary.then_some(name)).await?;
            Ok(Changed::Wish)
        }
    }
}

/// Nobody else changes this tenant's domains until the transaction ends.
async fn locked(conn: &mut PgConnection, tenant: &TenantRef) -> Result<Tenant, StartError> {
    let found = tenants::by_ref(conn, tenant)
        .await?
        .ok_or(StartError::UnknownTenant)?;
    tenants::lock_by_id(conn, found.id)
        .await?
        .ok_or(StartError::UnknownTenant)
}

/// Asks the DNS about a claim.
async fn ask(deps: &Deps, claim: &Claim) -> Outcome {
    match proof::look(&Record::of(claim), deps.settings.dns_resolver).await {
        Ok(Seen::Record) => Outcome::Proven,
        Ok(Seen::Others) => Outcome::Wrong,
        Ok(Seen::Nothing) => Outcome::Missing,
        Err(error) => {
            tracing::debug!(domain = %claim.name, error = %chain_of(&error), "a domain could not be looked up");
            Outcome::Unanswered
        }
    }
}

/// What is to be done about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Serve,
    Stay,
    Lapse,
}

impl Step {
    fn of(claim: &Claim, outcome: Outcome, now: Timestamp, settings: &Settings) -> Self {
        match (outcome, claim.served) {
            (Outcome::Proven, None) => Self::Serve,
            (Outcome::Missing | Outcome::Wrong, Some(_)) => {
                let after = TimeDelta::from_std(settings.domain_lapse_after).ok();
                let gone = claim.unproven_since.map(|since| now - since);
                match (gone, after) {
                    (Some(gone), Some(after)) if after > TimeDelta::zero() && gone >= after => {
                        Self::Lapse
                    }
                    _ => Self::Stay,
                }
            }
            _ => Self::Stay,
        }
    }
}

/// How the claim stands after the look. `turned`: it began or ended to be served.
fn checked(
    claim: &Claim,
    outcome: Outcome,
    turned: bool,
    now: Timestamp,
    settings: &Settings,
) -> Checked {
    let served = claim.served.is_some() != turned;
    let checks = if turned {
        1
    } else {
        claim.checks.saturating_add(1)
    };
    let gone = matches!(outcome, Outcome::Missing | Outcome::Wrong);
    let unproven_since = match outcome {
        Outcome::Proven => None,
        // Of one that lapsed it stays: from there it is counted when to give up.
        _ if !served => claim.unproven_since,
        _ if gone => claim.unproven_since.or(Some(now)),
        _ => claim.unproven_since,
    };
    let again = TimeDelta::from_std(settings.domain_recheck).unwrap_or(TimeDelta::days(1));
    let next = match (served, outcome) {
        (true, Outcome::Proven) => Some(now + again),
        (true, _) => Some(now + again.min(AT_MOST)),
        (false, _) if !turned && now - waits_since(claim, settings) >= GIVEN_UP_AFTER => None,
        (false, _) => Some(now + backoff(checks)),
    };
    Checked {
        outcome,
        at: now,
        checks,
        next,
        unproven_since,
    }
}

/// Since when a claim that is not served has waited for its record: since it lapsed, or was written.
fn waits_since(claim: &Claim, settings: &Settings) -> Timestamp {
    let after = TimeDelta::from_std(settings.domain_lapse_after).unwrap_or_default();
    let lapsed = claim
        .unproven_since
        .and_then(|gone| gone.checked_add_signed(after));
    lapsed.unwrap_or(claim.created_at)
}

fn backoff(checks: u32) -> TimeDelta {
    let times = 2_i32.checked_pow(checks.min(20)).unwrap_or(i32::MAX);
    SOON.checked_mul(times)
        .map_or(AT_MOST, |wait| wait.min(AT_MOST))
}

#[cfg(test)]
mod tests {
    use tenantry_catalog::domain_claims::Served;
    use tenantry_types::Clock;

    use super::*;

    /// Tried by counting from when the claim was written: the lapsed one is looked at once more and
    /// never again.
    #[test]
    fn a_claim_is_given_up_thirty_days_after_it_was_written_or_lapsed() {
        let settings = Settings::default();
        let written = Clock::system().now();
        let mut claim = Claim {
            tenant_id: TenantId::from_uuid(uuid::Uuid::from_bytes([7; 16])),
            name: DomainName::parse("shop.acme.example").expect("a name"),
            challenge: "c".to_owned(),
            wants_primary: false,
            served: None,
            checks: 800,
            outcome: None,
            checked_at: None,
            next_check_at: None,
            unproven_since: None,
            created_at: written,
        };
        let (missing, hour) = (Outcome::Missing, TimeDelta::hours(1));
        let next = |claim: &Claim, now| checked(claim, missing, false, now, &settings).next;
        let end = written + GIVEN_UP_AFTER;
        assert_eq!(next(&claim, end - hour), Some(end));
        assert_eq!(next(&claim, end), None);

        // Proven at once, and its record gone after a year.
        claim.served = Some(Served { is_primary: false });
        let gone = written + TimeDelta::days(365);
        let seen = checked(&claim, missing, false, gone, &settings);
        assert_eq!(seen.unproven_since, Some(gone));
        claim.unproven_since = seen.unproven_since;
        let lapse = gone + TimeDelta::days(14);
        let step = |claim: &Claim, now| Step::of(claim, missing, now, &settings);
        assert_eq!(step(&claim, lapse - hour), Step::Stay);
        assert_eq!(step(&claim, lapse), Step::Lapse);
        let lapsed = checked(&claim, missing, true, lapse, &settings);
        assert!(lapsed.next.is_some());
        (claim.served, claim.unproven_since) = (None, lapsed.unproven_since);
        let end = lapse + GIVEN_UP_AFTER;
        assert_eq!(next(&claim, end - hour), Some(end));
        assert_eq!(next(&claim, end), None);

        // The record is back.
        let back = checked(&claim, Outcome::Proven, true, end, &settings);
        assert_eq!(back.unproven_since, None);
    }

    #[test]
    fn looks_get_rarer_up_to_an_hour() {
        let waits: Vec<_> = [0, 1, 2, 8, 9, 20, u32::MAX]
            .map(|checks| backoff(checks).num_seconds())
            .to_vec();
        assert_eq!(waits, [10, 20, 40, 2560, 3600, 3600, 3600]);
    }
}
