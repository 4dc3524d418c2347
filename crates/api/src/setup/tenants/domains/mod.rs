//! `/setup/tenants/{tenant}/domains`: the host names that lead to a tenant.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod put;
pub(crate) mod verify;

mod view;

use sqlx::PgConnection;
use tenantry_catalog::{CatalogError, domain_claims, domains};
use tenantry_types::{DomainName, TenantId};

pub(super) use view::{State, View};

use crate::app::App;
use crate::config::ApiConfig;
use crate::context::Domain;
use crate::problem::Problem;

/// All of a tenant: the subdomain, then its own, those that wait for their record among them.
pub(super) async fn all(
    conn: &mut PgConnection,
    tenant: TenantId,
    config: &ApiConfig,
) -> Result<Vec<View>, CatalogError> {
    let served = domains::by_tenant(conn, tenant).await?;
    let claims = domain_claims::by_tenant(conn, tenant).await?;
    let subdomains = served
        .into_iter()
        .filter(|domain| domain.kind == domains::Kind::Subdomain)
        .map(|domain| View::of_subdomain(domain, config));
    let own = claims
        .into_iter()
        .map(|claim| View::of_claim(claim, config));
    Ok(subdomains.chain(own).collect())
}

/// A domain that a tenant may have for its own.
///
/// # Errors
/// 422 for what is no host name, has one label only or a port, is an IP address, or lies where the
/// product itself and its tenants' subdomains answer.
pub(super) fn custom(text: &str, field: &str, config: &ApiConfig) -> Result<DomainName, Problem> {
    let name = DomainName::parse(text).map_err(|error| Problem::field(field, error.to_string()))?;
    if name.labels() < 2 {
        let message = "has one label only; a subdomain belongs to its tenant from the beginning";
        return Err(Problem::field(field, message));
    }
    not_ours(&name, field, config)?;
    Ok(name)
}

/// Whether a domain lies outside the base domains, and leaves room for the record's label.
pub(super) fn not_ours(name: &DomainName, field: &str, config: &ApiConfig) -> Result<(), Problem> {
    let ours = |base| name == base || name.under(base).is_some();
    if config.base_domains.iter().any(ours) {
        let message = "lies under a base domain; give the one label of a subdomain instead";
        return Err(Problem::field(field, message));
    }
    if name.as_str().len() > LONGEST {
        let message = format!(
            "must have at most {LONGEST} characters, to leave room for the record that proves it"
        );
        return Err(Problem::field(field, message));
    }
    Ok(())
}

/// 253 (RFC 1035, 3.1) less `_tenantry-challenge.`
const LONGEST: usize = 233;

impl Domain {
    /// The domain, as far as a tenant may have it.
    fn custom(&self, app: &App) -> Result<DomainName, Problem> {
        custom(&self.0, "domain", &app.config)
    }

    /// The domain, or that there is none like it.
    fn known(&self) -> Result<DomainName, Problem> {
        DomainName::parse(&self.0).map_err(|_| Problem::not_found("DOMAIN_NOT_FOUND"))
    }
}
