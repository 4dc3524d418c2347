//! A domain as the control plane tells it.

use serde::Serialize;
use tenantry_catalog::domain_claims::{Claim, Outcome};
use tenantry_catalog::domains::{self, Kind};
use tenantry_lifecycle::Record;
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use crate::config::ApiConfig;
use crate::openapi::words;

/// A host name of a tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Domain)]
pub(crate) struct View {
    #[schema(value_type = words::PrimaryDomain)]
    pub(in crate::setup::tenants) domain: String,
    #[schema(value_type = words::DomainKind)]
    kind: Kind,
    pub(in crate::setup::tenants) state: State,
    /// Whether it is the one that the tenant's `url` shows, or is to be once it is verified.
    primary: bool,
    /// Where it leads once it is verified.
    #[schema(value_type = words::Url)]
    url: String,
    /// The record that proves it. Leave it in place. A subdomain needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(in crate::setup::tenants) record: Option<TxtRecord>,
    /// What the last look for the record found, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(in crate::setup::tenants) last_check: Option<LastCheck>,
    /// When we look again by ourselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    next_check_at: Option<Timestamp>,
    /// Since when the record of a verified domain has been gone. It is not served for ever without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    pub(in crate::setup::tenants) unproven_since: Option<Timestamp>,
    /// Until when the subdomain of a former slug redirects to the present one's, and is kept for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    pub(in crate::setup::tenants) redirects_until: Option<Timestamp>,
}

/// Whether a domain is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DomainState)]
pub(in crate::setup::tenants) enum State {
    Pending,
    Verified,
    /// The subdomain of a former slug.
    Redirecting,
}

/// A DNS record to set.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DnsRecord)]
pub(in crate::setup::tenants) struct TxtRecord {
    #[serde(rename = "type")]
    #[schema(example = "TXT")]
    kind: &'static str,
    #[schema(example = "_tenantry-challenge.shop.acme.example")]
    pub(in crate::setup::tenants) name: String,
    #[schema(example = "tenantry-verify=iWB1o3v0M2eK5CzC1yqXkJr8dH4sLq9TtUu7wXy6Za3")]
    pub(in crate::setup::tenants) value: String,
}

/// What a look for a record found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DomainCheck)]
pub(in crate::setup::tenants) struct LastCheck {
    #[schema(value_type = words::CheckOutcome)]
    pub(in crate::setup::tenants) outcome: Outcome,
    #[schema(value_type = words::Timestamp)]
    pub(in crate::setup::tenants) at: Timestamp,
}

impl View {
    pub(crate) fn of_claim(claim: Claim, config: &ApiConfig) -> Self {
        let record = Record::of(&claim);
        let check = claim.outcome.zip(claim.checked_at);
        Self {
            domain: claim.name.as_str().to_owned(),
            kind: Kind::Custom,
            state: match claim.served {
                Some(_) => State::Verified,
                None => State::Pending,
            },
            primary: match claim.served {
                Some(served) => served.is_primary,
                None => claim.wants_primary,
            },
            url: config.url_of(claim.name.as_str()),
            record: Some(TxtRecord {
                kind: "TXT",
                name: record.name,
                value: record.value,
            }),
            last_check: check.map(|(outcome, at)| LastCheck { outcome, at }),
            next_check_at: claim.next_check_at,
            unproven_since: claim.served.and(claim.unproven_since),
            redirects_until: None,
        }
    }

    pub(super) fn of_subdomain(domain: domains::Domain, config: &ApiConfig) -> Self {
        Self {
            url: config.url_of(&domain.name),
            domain: domain.name,
            kind: domain.kind,
            state: match domain.redirects_until {
                Some(_) => State::Redirecting,
                None => State::Verified,
            },
            primary: domain.is_primary,
            record: None,
            last_check: None,
            next_check_at: None,
            unproven_since: None,
            redirects_until: domain.redirects_until,
        }
    }
}
