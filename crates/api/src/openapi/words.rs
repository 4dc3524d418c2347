//! The words of the interface as schemas: ids, names, moments. One definition each, so that a client
//! made from the document has one type each.
//!
//! A struct says `#[schema(value_type = words::Slug)]` where its own type is not ours to annotate.

use serde_json::{Value, json};
use tenantry_catalog::{audit, operations, operators, tenants};
use utoipa::openapi::{Object, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// No control characters (Unicode's category Cc) and none that turn text around, nowhere.
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$";
/// The same, and something to be seen.
const VISIBLE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*[^\s\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069][^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$";

/// As [`VISIBLE_LINE`], without separators of lines and marks of direction as well.
const REASON: &str = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*[^\s\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069][^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$";

macro_rules! words {
    ($($name:ident = $schema:expr;)+) => {
        $(
            pub(crate) struct $name;

            impl PartialSchema for $name {
                /// What counts is in [`all`]: the types of `utoipa` know fewer keywords than JSON Schema.
                fn schema() -> RefOr<Schema> {
                    Object::new().into()
                }
            }

            impl ToSchema for $name {
                fn name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )+

        /// Each word with its schema.
        pub(super) fn all() -> Vec<(&'static str, Value)> {
            vec![$((stringify!($name), $schema)),+]
        }
    };
}

words! {
    TenantId = id("A tenant's id. It never changes.", "018f2a31-7c11-7a53-9d0e-2f6f4c1b7a10");
    ClusterId = id("A cluster's id.", "018f2a2e-0b8e-7c1d-8f52-63d0c1e4a911");
    OperationId = id("An operation's id.", "018f2a31-7c15-7b0f-a1c4-9be2d54f0e21");
    OperatorId = id("An operator's id.", "018f2a2e-1f44-7e0a-b6a7-5d1c0a9e3b32");
    DoctorRunId = id("The id of a run of the doctor.", "018f2a35-2c40-7a1b-9c2d-3e4f5a6b7c8d");
    AliasId = id("An alias's id.", "018f2a33-1b20-7d6e-9f11-7c8d9e0f1a21");
    UserId = id("A user's id, within one tenant.", "018f2a31-7d02-7f4e-8c39-0a7b6e5d4c43");
    RoleId = id("A role's id, within one tenant.", "018f2a31-7d03-7120-9b1a-4c5d6e7f8a54");

    OperatorRole = json!({
        "type": "string", "enum": operators::Role::ALL,
        "description": "What an operator may do: everything; tenants, clusters and operations; read what holds no secret; or create tenants and read what it created.",
        "examples": ["operator"],
    });
    TokenTtl = json!({
        "type": "string", "minLength": 2, "maxLength": 9, "pattern": "^([0-9]{1,8}[smhd]|never)$",
        "description": "For how long a token is good: from a minute to 366 days, as a whole number and `s`, `m`, `h` or `d`; or `never`, for an owner's that never ends.",
        "examples": ["90d"],
    });
    AuditOutcome = json!({
        "type": "string", "enum": audit::Outcome::ALL,
        "description": "How an act ended. `pending`: its operation goes on.",
        "examples": ["done"],
    });
    AuditAction = json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": VISIBLE_LINE,
        "description": "An act, as `tenant.suspend`, or the beginning of some, as `tenant.`.",
        "examples": ["tenant.suspend"],
    });
    AuditHead = json!({
        "type": "string", "pattern": "^[0-9]{1,18}:[0-9a-fA-F]{64}$",
        "description": "A seal of the audit trail: its number and its hash.",
        "examples": ["4711:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    });
    AuditFinding = json!({
        "type": "string", "enum": audit::Finding::ALL,
        "description": "What is not as it was sealed: a row gone, changed, in no seal, or with a time long before its seal; a seal gone, changed, or not following the one before; or a head that is not in the chain.",
        "examples": ["row_changed"],
    });
    Timestamp = json!({
        "type": "string", "format": "date-time",
        "description": "A moment in UTC (RFC 3339).",
        "examples": ["2026-03-14T09:26:53.589793Z"],
    });
    Duration = json!({
        "type": "string", "minLength": 2, "maxLength": 9, "pattern": "^[0-9]{1,8}[smhd]$",
        "description": "How long: a whole number and `s`, `m`, `h` or `d`.",
        "examples": ["24h"],
    });
    Slug = json!({
        "type": "string", "minLength": 1, "maxLength": 40, "pattern": slug_pattern(),
        "description": "The short name of a tenant, and its subdomain: a DNS label of lower-case letters, digits and inner hyphens. Some names are reserved.",
        "examples": ["acme"],
    });
    TenantRef = json!({
        "description": "A tenant's id or its slug.",
        "anyOf": [
            { "$ref": "#/components/schemas/TenantId" },
            { "$ref": "#/components/schemas/Slug" },
        ],
        "examples": ["acme"],
    });
    TenantName = json!({
        "type": "string", "minLength": 1, "maxLength": 200, "pattern": VISIBLE_LINE,
        "description": "The tenant's name, for people: one line.",
        "examples": ["Acme Ltd"],
    });
    TenantStatus = json!({
        "type": "string", "enum": tenants::Status::ALL,
        "description": "The state of a tenant. `active` is the one that is served.",
        "examples": ["active"],
    });
    Reason = json!({
        "type": "string", "minLength": 1, "maxLength": 500, "pattern": REASON,
        "description": "Why, in words for people: one line, without characters that change a text's direction. It is kept in the audit trail.",
        "examples": ["The invoice of March is not paid."],
    });
    Plan = json!({
        "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,39}$",
        "description": "The name of a plan.",
        "examples": ["free"],
    });
    PrimaryDomain = json!({
        "type": "string", "minLength": 1, "maxLength": 253,
        "description": "One label is a subdomain of the base domain, more are a host name of the customer's own, which must not lie under a base domain.",
        "examples": ["acme", "shop.acme.example"],
    });
    DomainName = json!({
        "type": "string", "minLength": 3, "maxLength": 253, "pattern": VISIBLE_LINE,
        "description": "A host name of the customer's own, of two labels or more: no IP address, no port, nothing at or under a base domain. Case and a final dot do not count.",
        "examples": ["shop.acme.example"],
    });
    DomainKind = json!({
        "type": "string", "enum": tenantry_catalog::domains::Kind::ALL,
        "description": "One label below the base domain, or a name of the customer's own.",
        "examples": ["custom"],
    });
    CheckOutcome = json!({
        "type": "string", "enum": tenantry_catalog::domain_claims::Outcome::ALL,
        "description": "What was found: the record, no record, other records only, the record while another tenant is served there, or no answer.",
        "examples": ["missing"],
    });
    AliasKind = json!({
        "type": "string", "enum": ["appId", "storeId", "channelToken"],
        "description": "What kind of name it is. Each kind has names of its own.",
        "examples": ["appId"],
    });
    AliasValue = json!({
        "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$",
        "description": "An app's or a store's identifier of 1 to 64 characters, or a channel token of 43 to 128.",
        "examples": ["web-shop"],
    });
    Reference = json!({
        "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$",
        "description": "An app's or a store's identifier.",
        "examples": ["web-shop"],
    });
    HostName = json!({
        "type": "string", "minLength": 1, "maxLength": 253, "pattern": VISIBLE_LINE,
        "description": "A host name or an IP address.",
        "examples": ["db-1.internal"],
    });
    Port = json!({
        "type": "integer", "minimum": 1, "maximum": 65535,
        "description": "A TCP port.",
        "examples": [5432],
    });
    ClusterName = json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": VISIBLE_LINE,
        "description": "The name of a cluster.",
        "examples": ["default"],
    });
    LoginRole = json!({
        "type": "string", "enum": tenantry_catalog::temporary_logins::Role::ALL,
        "description": "What a login may do in a tenant's database: `owner` all that migrations may, `user` read and write, `readonly` read.",
        "examples": ["readonly"],
    });
    ClusterTls = json!({
        "type": "string", "enum": tenantry_catalog::clusters::TlsMode::ALL,
        "description": "How TLS is used. Only with `verify-full` is it certain who answers.",
        "examples": ["verify-full"],
    });
    ClusterState = json!({
        "type": "string", "enum": ["open", "draining"],
        "description": "Whether new tenants are put there.",
        "examples": ["open"],
    });
    RootCa = json!({
        "type": "string", "minLength": 1, "maxLength": 65_536,
        "description": "One certificate or more in PEM, and no private key.",
        "examples": ["-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"],
    });
    Region = json!({
        "type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z0-9][a-z0-9-]*$",
        "description": "Where clusters are, by a name of your own.",
        "examples": ["eu-central"],
    });
    DatabaseName = json!({
        "type": "string", "minLength": 1, "maxLength": 63,
        "description": "The name of a database or a login in Postgres.",
        "examples": ["tenant_acme"],
    });
    Metadata = json!({
        "type": "object", "additionalProperties": true,
        "description": "Whatever you want to keep with the tenant: at most 16 KiB as JSON, no more than 16 objects and lists in one another, without the character U+0000.",
        "examples": [{ "crmId": 4711 }],
    });
    OperationStatus = json!({
        "type": "string", "enum": operations::Status::ALL,
        "description": "How far an operation has come. `done`, `failed` (and undone) and `parked` (it waits for a person) are final.",
        "examples": ["done"],
    });
    OperationKind = json!({
        "type": "string", "minLength": 1, "maxLength": 40, "pattern": VISIBLE_LINE,
        "description": "What an operation does.",
        "examples": ["create"],
    });
    Actor = json!({
        "type": "string", "minLength": 1, "maxLength": 200, "pattern": VISIBLE_LINE,
        "description": "Who did something: an operator's name, or a part of the program.",
        "examples": ["billing backend"],
    });
    OperatorName = json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": VISIBLE_LINE,
        "description": "Who the operator is: one line, unique among those that are not revoked.",
        "examples": ["billing backend"],
    });
    ClusterRef = json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": VISIBLE_LINE,
        "description": "A cluster's id or name.",
        "examples": ["default"],
    });
    OperatorRef = json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": VISIBLE_LINE,
        "description": "An operator's id or name.",
        "examples": ["billing backend"],
    });
    Email = json!({
        "type": "string", "format": "email", "maxLength": 254,
        "description": "A mail address; compared in lower case, without spaces around it.",
        "examples": ["ann@acme.example"],
    });
    NewPassword = json!({
        "type": "string", "format": "password",
        "minLength": tenantry_tenantdb::passwords::MIN_CHARS,
        "maxLength": tenantry_tenantdb::passwords::MAX_CHARS,
        "description": "A password to be set. Its length is all that is asked of it.",
        "examples": ["correct horse battery"],
    });
    Secret = json!({
        "type": "string", "format": "password",
        "description": "A secret. Log it nowhere.",
        "examples": ["correct horse battery"],
    });
    PersonName = json!({
        "type": "string", "maxLength": 200, "pattern": LINE,
        "description": "A person's name: one line, perhaps empty.",
        "examples": ["Ann Archer"],
    });
    RoleName = json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": VISIBLE_LINE,
        "description": "The name of a role.",
        "examples": ["admin"],
    });
    Permission = json!({
        "type": "string", "pattern": "^[a-z_]+:[a-z_]+$",
        "description": "`resource:action`, as a 403 names it.",
        "examples": ["users:list"],
    });
    Url = json!({
        "type": "string", "format": "uri",
        "description": "What a browser opens.",
        "examples": ["https://acme.example.com"],
    });
    Limit = json!({
        "type": "integer", "minimum": 1, "maximum": 200, "default": 50,
        "description": "How many at most.",
        "examples": [50],
    });
    Cursor = json!({
        "type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$",
        "description": "`nextCursor` of the page before, as it was given.",
        "examples": ["AY8qMX0Cf06MOQp7bl1MQw"],
    });
    Search = json!({
        "type": "string", "maxLength": 200, "pattern": LINE,
        "description": "What slug or name must hold; upper and lower case are the same.",
        "examples": ["acme"],
    });
    Flag = json!({
        "type": "string", "enum": ["true", "false", "1", "0", ""], "default": "false",
        "description": "Yes or no; present and empty is yes.",
        "examples": ["true"],
    });
    TopOrder = json!({
        "type": "string", "enum": ["waits", "connections", "errors"], "default": "errors",
        "description": "What those with most are found by.",
        "examples": ["waits"],
    });
    RequestKey = json!({
        "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$",
        "description": "1 to 255 visible ASCII characters.",
        "examples": ["signup-4711"],
    });
}

fn id(description: &str, example: &str) -> Value {
    json!({
        "type": "string", "format": "uuid",
        "description": description,
        "examples": [example],
    })
}

/// What [`tenantry_types::Slug`] takes, in ECMA-262.
fn slug_pattern() -> String {
    let reserved = tenantry_types::Slug::reserved().join("|");
    format!("^(?!(?:{reserved})$)(?!..--)[a-z0-9](?:[a-z0-9-]{{0,38}}[a-z0-9])?$")
}
