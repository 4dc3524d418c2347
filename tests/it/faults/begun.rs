//! How each kind of operation is begun, so that the victim carries it.

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Client, Request};

use super::cases::Kind;
use super::stage::Subject;

/// How an operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Somebody asks the victim for it.
    Asked,
    /// The victim sees that it is due, while the survivor stands still.
    Due,
    /// The victim begins it as it starts.
    AtStart,
}

const BEGUN: &[(&str, How)] = &[
    ("create", How::Asked),
    ("spare", How::AtStart),
    ("unspare", How::Due),
    ("delete", How::Asked),
    ("purge", How::Asked),
    ("undelete", How::Asked),
    ("suspend", How::Asked),
    ("resume", How::Asked),
    ("migrate", How::Asked),
    ("rotate", How::Asked),
    ("rotate-all", How::Asked),
    ("credentials", How::Asked),
    ("retire-credentials", How::Due),
    ("issue-login", How::Asked),
    ("end-login", How::Asked),
    ("adopt", How::Asked),
    ("unadopt", How::Asked),
];

/// How a kind begins; none: nobody has said it yet.
pub fn how(kind: &Kind) -> Option<How> {
    let known = BEGUN.iter().find(|(name, _)| *name == kind.name);
    known.map(|(_, how)| *how)
}

/// What begins the operation, to be sent to the victim.
pub fn request(operator: &Client, kind: &Kind, subject: &Subject) -> Request {
    let path = format!("/setup/tenants/{}", subject.slug);
    let to = |path: &str, body: Value| operator.request(Method::POST, path).json(&body);
    let post = |tail: &str, body: Value| to(&format!("{path}/{tail}"), body);
    match kind.name {
        "create" => to("/setup/tenants", customer(&subject.slug)),
        "unspare" => to("/setup/clusters/default/drain", json!({})),
        "delete" => operator.request(Method::DELETE, &path),
        "purge" => operator.request(Method::DELETE, &format!("{path}?purge=true")),
        "undelete" => post("undelete", json!({})),
        "suspend" => post("suspend", json!({ "reason": "a test" })),
        "resume" => post("resume", json!({})),
        "migrate" => to("/setup/rollouts", json!({})),
        "rotate" => post("rotate-credentials", json!({})),
        "rotate-all" => to("/setup/rotations", json!({})),
        "credentials" => post("credentials", json!({ "overlap": "0s" })),
        "issue-login" => post("logins", json!({ "role": "user", "ttl": "1h" })),
        "adopt" => to("/setup/adoptions", adoption(&subject.slug)),
        "unadopt" => post("unadopt", json!({})),
        "end-login" => {
            let login = subject.login.as_deref().unwrap_or_default();
            operator.request(Method::DELETE, &format!("{path}/logins/{login}"))
        }
        other => panic!("nothing that is asked for begins a {other}"),
    }
}

/// Of whom a tenant is asked for.
pub const ANN: &str = "ann@fault.example";

/// A tenant to be, in a database that is there.
pub fn adoption(slug: &str) -> Value {
    let mut customer = customer(slug);
    customer["dbName"] = json!(database_of(slug));
    // Who made it may be in there yet.
    customer["disconnect"] = json!(true);
    customer
}

/// What a database is called that somebody made for a customer.
pub fn database_of(slug: &str) -> String {
    format!("own_{}", slug.replace('-', "_"))
}

/// A tenant to be.
pub fn customer(slug: &str) -> Value {
    json!({ "name": "Fault", "slug": slug, "admin": { "email": ANN, "password": ADMIN_PASSWORD } })
}
