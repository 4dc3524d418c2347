//! The body of `POST /setup/tenants`.

use serde_json::{Map, Value, json};
use tenantry_lifecycle::{
    AdminUser, ClusterChoice, CreateTenant, METADATA_BYTES, METADATA_DEPTH, PrimaryDomain,
};
use tenantry_tenantdb::passwords;
use tenantry_types::{DbHost, DomainName, Email, Plan, Secret, Slug};
use utoipa::ToSchema;

use crate::fields::{Fields, FromFields, line};
use crate::openapi::words;
use crate::setup::clusters::request::some_region;

/// A customer to make, checked.
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) slug: Slug,
    pub(crate) primary_domain: Option<PrimaryDomain>,
    pub(crate) plan: Plan,
    pub(crate) cluster: ClusterChoice,
    pub(crate) region: Option<String>,
    pub(crate) admin: Option<Admin>,
    pub(crate) metadata: Map<String, Value>,
}

/// A tenant's first person.
#[derive(ToSchema)]
#[schema(as = NewAdmin)]
pub(crate) struct Admin {
    #[schema(value_type = words::Email)]
    pub(crate) email: Email,
    /// Without one we make one and tell it once.
    #[schema(value_type = words::NewPassword, required = false)]
    pub(crate) password: Option<Secret>,
}

/// A customer to make. `cluster` names where its database is to be, or `dbHost` and `dbPort` do, not
/// both; by default we choose, within `region` where one is given.
#[derive(ToSchema)]
#[schema(
    as = NewTenant, rename_all = "camelCase",
    examples(
        json!({ "name": "Acme Ltd", "slug": "acme", "admin": { "email": "ann@acme.example", "password": "correct horse battery" } }),
        json!({ "name": "Globex", "slug": "globex", "primaryDomain": "shop.globex.example", "plan": "pro", "cluster": "default", "metadata": { "crmId": 4711 } }),
    )
)]
#[expect(
    dead_code,
    reason = "only described: `Request` is what its fields are read into"
)]
pub(crate) struct Written {
    name: words::TenantName,
    slug: words::Slug,
    /// Where people reach it; by default the slug's subdomain.
    #[schema(required = false)]
    primary_domain: words::PrimaryDomain,
    /// By default `free`.
    #[schema(required = false)]
    plan: words::Plan,
    #[schema(required = false)]
    cluster: words::ClusterName,
    /// Where its database is to be.
    #[schema(required = false)]
    region: words::Region,
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
}

impl FromFields for Request {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let region = fields.optional("region", some_region);
        Self::in_region(fields, region)
    }
}

impl Request {
    /// Reads all but the region, which is not asked for where it is known already.
    pub(crate) fn in_region(fields: &mut Fields, region: Option<String>) -> Option<Self> {
        let name = fields.required("name", |text| line(text, 1, 200));
        let slug = fields.required("slug", Slug::parse);
        let primary_domain = fields.optional("primaryDomain", primary_domain);
        let plan = fields.optional("plan", Plan::parse);
        let cluster = cluster(fields);
        let admin = fields.nested("admin");
        let metadata = metadata(fields);
        Some(Self {
            name: name?,
            slug: slug?,
            primary_domain,
            plan: plan.unwrap_or_default(),
            cluster,
            region,
            admin,
            metadata: metadata.unwrap_or_default(),
        })
    }
}

impl FromFields for Admin {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.required("email", Email::parse);
        let password = fields.password("password");
        Some(Self {
            email: email?,
            password,
        })
    }
}

impl Request {
    /// The request as one value, the same however it was written: spaces, order of fields, a default
    /// that was spelled out. For the hash of an `Idempotency-Key`.
    pub(crate) fn canonical(&self) -> Value {
        let cluster = match &self.cluster {
            ClusterChoice::Any => Value::Null,
            ClusterChoice::Named(name) => json!(name),
            ClusterChoice::At { host, port } => json!([host.as_str(), port]),
        };
        let mut value = json!({
            "name": self.name,
            "slug": self.slug.as_str(),
            "primaryDomain": self.primary_domain.as_ref().map(|domain| match domain {
                PrimaryDomain::Subdomain(slug) => slug.as_str(),
                PrimaryDomain::Custom(name) => name.as_str(),
            }),
            "plan": self.plan.as_str(),
            "cluster": cluster,
            "admin": self.admin.as_ref().map(|admin| json!({
                "email": admin.email.as_str(),
                "password": admin.password.as_ref().map(Secret::expose),
            })),
            "metadata": self.metadata,
        });
        // Only where it is given: requests of before it was known have the same hash as then.
        if let Some(region) = &self.region {
            value["region"] = json!(region);
        }
        value
    }

    /// Which fields chose the cluster, to name them when there is no such one.
    pub(crate) fn cluster_fields(&self) -> &'static [&'static str] {
        match self.cluster {
            ClusterChoice::Any => &[],
            ClusterChoice::Named(_) => &["cluster"],
            ClusterChoice::At { .. } => &["dbHost"],
        }
    }
}

impl From<Request> for CreateTenant {
    fn from(request: Request) -> Self {
        Self {
            name: request.name,
            slug: request.slug,
            primary_domain: request.primary_domain,
            plan: request.plan,
            cluster: request.cluster,
            region: request.region,
            admin: request.admin.map(|admin| AdminUser {
                email: admin.email,
                password: admin.password,
            }),
            metadata: Value::Object(request.metadata),
        }
    }
}

/// One label is a subdomain, more is a name of the customer's own.
fn primary_domain(text: &str) -> Result<PrimaryDomain, String> {
    if text.contains('.') {
        let name = DomainName::parse(text).map_err(|error| error.to_string())?;
        if name.labels() > 1 {
            return Ok(PrimaryDomain::Custom(name));
        }
    }
    let slug = Slug::parse(text.strip_suffix('.').unwrap_or(text));
    slug.map(PrimaryDomain::Subdomain)
        .map_err(|error| error.to_string())
}

fn cluster(fields: &mut Fields) -> ClusterChoice {
    let named = fields.has("cluster");
    let cluster = fields.optional("cluster", |text| line(text, 1, 100));
    let (has_host, has_port) = (fields.has("dbHost"), fields.has("dbPort"));
    let host = fields.optional("dbHost", DbHost::parse);
    let port = fields.number("dbPort", 1, u64::from(u16::MAX));
    if named && (has_host || has_port) {
        fields.wrong("cluster", "cannot be given together with dbHost or dbPort");
    }
    if has_port && !has_host {
        fields.wrong("dbHost", "is required where dbPort is given");
    }
    match (cluster, host) {
        (Some(name), _) => ClusterChoice::Named(name),
        (None, Some(host)) => ClusterChoice::At {
            host,
            port: port
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(5432),
        },
        (None, None) => ClusterChoice::Any,
    }
}

/// What the product wants to remember: bounded, and such that the catalog can hold it.
pub(super) fn metadata(fields: &mut Fields) -> Option<Map<String, Value>> {
    let metadata = fields.object("metadata")?;
    let bytes = serde_json::to_vec(&metadata).map_or(usize::MAX, |text| text.len());
    if bytes > METADATA_BYTES {
        fields.wrong(
            "metadata",
            format!("must have at most {METADATA_BYTES} bytes as JSON"),
        );
    }
    if metadata
        .values()
        .any(|value| depth(value) >= METADATA_DEPTH)
    {
        fields.wrong(
            "metadata",
            format!("must have at most {METADATA_DEPTH} objects and lists in one another"),
        );
    }
    if metadata
        .iter()
        .any(|(key, value)| key.contains('\0') || has_nul(value))
    {
        // jsonb cannot hold it: https://www.postgresql.org/docs/current/datatype-json.html
        fields.wrong("metadata", "must not hold the character U+0000");
    }
    Some(metadata)
}

/// How many objects and lists lie in one another. What was read is no deeper than the reader goes.
fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(object) => object.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + deepest.unwrap_or(0)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(object) => object
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Fields {
    /// A password that is good enough to be set.
    pub(crate) fn password(&mut self, name: &str) -> Option<Secret> {
        let password = self.secret(name)?;
        match passwords::check_strength(&password) {
            Ok(()) => Some(password),
            Err(weak) => {
                self.wrong(name, weak.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::read;

    fn wrong(value: Value) -> Vec<String> {
        let errors = read::<Request>(value).err().expect("it is wrong");
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let all = wrong(json!({
            "name": " ", "slug": "Not_A_Slug", "primaryDomain": "a..b", "plan": "PRO",
            "dbPort": 70000, "metadata": [], "colour": "red",
            "admin": { "email": "nobody", "password": "short", "name": "x" },
        }));
        assert_eq!(
            all,
            [
                "name",
                "slug",
                "primaryDomain",
                "plan",
                "dbPort",
                "dbHost",
                "admin.email",
                "admin.password",
                "admin.name",
                "metadata",
                "colour"
            ]
        );
    }

    #[test]
    fn the_least_request_is_a_name_and_a_slug() {
        let request: Request =
            read(json!({ "name": "  Acme Corp ", "slug": "acme" })).expect("right");
        assert_eq!(request.name, "Acme Corp");
        assert_eq!(request.plan.as_str(), "free");
        assert!(matches!(request.cluster, ClusterChoice::Any));
    }

    #[test]
    fn a_primary_domain_of_one_label_is_a_subdomain() {
        let of = |text: &str| primary_domain(text).ok();
        assert!(matches!(of("shop"), Some(PrimaryDomain::Subdomain(_))));
        assert!(matches!(
            of("shop.acme.example"),
            Some(PrimaryDomain::Custom(_))
        ));
        assert!(matches!(
            of("Shop.Acme.Example."),
            Some(PrimaryDomain::Custom(_))
        ));
        for bad in ["www", "Shop", "127.0.0.1", "", ".", "a b.c"] {
            assert!(of(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_cluster_is_named_in_one_way() {
        let base = |extra: Value| {
            let mut value = json!({ "name": "A", "slug": "a" });
            for (key, field) in extra.as_object().expect("an object") {
                value[key] = field.clone();
            }
            value
        };
        assert_eq!(
            wrong(base(json!({ "cluster": "eu", "dbHost": "db1" }))),
            ["cluster"]
        );
        assert_eq!(wrong(base(json!({ "dbPort": 5432 }))), ["dbHost"]);
        let at: Request = read(base(json!({ "dbHost": "db1", "dbPort": 5433 }))).expect("right");
        assert!(matches!(at.cluster, ClusterChoice::At { port: 5433, .. }));
    }

    #[test]
    fn metadata_is_what_the_catalog_can_hold() {
        let of = |metadata: Value| wrong(json!({ "name": "A", "slug": "a", "metadata": metadata }));
        assert_eq!(of(json!({ "k": "x".repeat(METADATA_BYTES) })), ["metadata"]);
        assert_eq!(of(json!({ "k": ["a\0b"] })), ["metadata"]);
        assert_eq!(of(json!("text")), ["metadata"]);
        let nested = |levels| (1..levels).fold(json!({}), |inner, _| json!({ "k": inner }));
        assert_eq!(of(nested(METADATA_DEPTH + 1)), ["metadata"]);
        let request = json!({ "name": "A", "slug": "a", "metadata": nested(METADATA_DEPTH) });
        assert!(read::<Request>(request).is_ok());
    }
}
