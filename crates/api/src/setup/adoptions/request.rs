//! The body of `POST /setup/adoptions` and of its check.

use serde_json::{Value, json};
use tenantry_lifecycle::{AdoptTenant, AdoptionConsent, StartError};
use utoipa::ToSchema;

use crate::fields::{Fields, FromFields, line};
use crate::openapi::words;
use crate::problem::Problem;
use crate::setup::tenants::create::unknown_cluster;
use crate::setup::tenants::request::{Admin, Request};

/// How many extensions may be named.
const EXTENSIONS: usize = 50;

/// A customer whose database exists, checked.
pub(crate) struct Adoption {
    pub(crate) tenant: Request,
    database: String,
    consent: AdoptionConsent,
}

/// A customer whose database exists. `cluster` names where it stands, or `dbHost` and `dbPort` do; with one
/// cluster it is that one.
#[derive(ToSchema)]
#[schema(
    as = NewAdoption, rename_all = "camelCase",
    examples(json!({ "name": "Acme Ltd", "slug": "acme", "dbName": "acme_production", "cluster": "default", "shutOut": true }))
)]
#[expect(
    dead_code,
    reason = "only described: `Adoption` is what its fields are read into"
)]
pub(crate) struct Written {
    name: words::TenantName,
    slug: words::Slug,
    /// The database, which keeps its name.
    db_name: words::DatabaseName,
    /// Where people reach it; by default the slug's subdomain.
    #[schema(required = false)]
    primary_domain: words::PrimaryDomain,
    /// By default `free`.
    #[schema(required = false)]
    plan: words::Plan,
    #[schema(required = false)]
    cluster: words::ClusterName,
    /// The host of a registered cluster.
    #[schema(required = false)]
    db_host: words::HostName,
    /// Its port, by default 5432.
    #[schema(required = false)]
    db_port: words::Port,
    /// The tenant's first person, who holds every permission in it.
    #[schema(required = false)]
    admin: Admin,
    #[schema(required = false)]
    metadata: words::Metadata,
    /// Whether sessions that are open in the database are ended. Without it, an open one is a refusal.
    #[schema(required = false)]
    disconnect: bool,
    /// Whether other roles lose their rights on the database as long as it is a tenant's. Without it, such a
    /// role is a refusal.
    #[schema(required = false)]
    shut_out: bool,
    /// Extensions that Postgres does not trust, and that may stay.
    #[schema(required = false, max_items = 50, value_type = Vec<words::DatabaseName>)]
    extensions: Vec<String>,
}

impl FromFields for Adoption {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let database = fields.required("dbName", |text| line(text, 1, 63));
        let disconnect = fields.flag("disconnect");
        let shut_out = fields.flag("shutOut");
        let extensions = fields.list("extensions", EXTENSIONS, |text| line(text, 1, 63));
        // The database stays where it is.
        let tenant = Request::in_region(fields, None);
        Some(Self {
            database: database?,
            consent: AdoptionConsent {
                disconnect: disconnect.unwrap_or(false),
                shut_out: shut_out.unwrap_or(false),
                extensions: extensions.unwrap_or_default(),
            },
            tenant: tenant?,
        })
    }
}

impl Adoption {
    /// The request as one value, for the hash of an `Idempotency-Key`.
    pub(crate) fn canonical(&self) -> Value {
        json!({
            "adopt": self.database,
            "consent": self.consent,
            "tenant": self.tenant.canonical(),
        })
    }

    /// What a cluster that is not there means to this request.
    pub(crate) fn problem_of(fields: &'static [&'static str], error: StartError) -> Problem {
        match error {
            StartError::UnknownCluster if fields.is_empty() => {
                Problem::field("cluster", "is required: there are several clusters")
            }
            StartError::UnknownCluster => unknown_cluster(fields),
            error => error.into(),
        }
    }
}

impl From<Adoption> for AdoptTenant {
    fn from(adoption: Adoption) -> Self {
        Self {
            tenant: adoption.tenant.into(),
            database: adoption.database,
            consent: adoption.consent,
        }
    }
}
