//! The errors of each route: what every route of its kind can answer, and what its handler adds.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use crate::problem;
use crate::routes::{Access, HostKind, RouteInfo};
use crate::setup::repeated;

const EXAMPLE: &str = "#/components/examples/";

/// Codes, by the one status that each has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problems(BTreeMap<u16, BTreeSet<String>>);

impl Problems {
    /// What a route answers whatever its handler does.
    pub(super) fn of_kind(route: &RouteInfo, operation: &Value) -> Self {
        let mut all = Self::default();
        all.add(&["BAD_HOST", "INTERNAL", "REQUEST_TIMEOUT"]);
        if !crate::dispatch::is_probe(route.path) {
            all.add(&["OVERLOADED"]);
        }
        if let Access::Operator(_) = route.access {
            all.add(&[
                "UNAUTHENTICATED",
                "TOKEN_EXPIRED",
                "ROLE_REQUIRED",
                "CATALOG_UNAVAILABLE",
            ]);
        }
        if route.host == HostKind::Tenant {
            all.add(&[
                "TENANT_NOT_NAMED",
                "TENANT_MOVED",
                "TENANT_SUSPENDED",
                "WRONG_TENANT",
                "TENANT_NOT_FOUND",
                "CATALOG_UNAVAILABLE",
                "DATABASE_UNAVAILABLE",
                "POOL_EXHAUSTED",
                "TENANT_BUSY",
                "TENANT_NOT_READY",
            ]);
        }
        if let Access::User(permission) = route.access {
            all.add(&["UNAUTHENTICATED"]);
            if permission != "own" {
                all.add(&["PERMISSION_DENIED"]);
            }
            if route.method != Method::GET {
                all.add(&["CROSS_SITE"]);
            }
        }
        if operation.get("requestBody").is_some() {
            all.add(&[
                "BAD_REQUEST",
                "MALFORMED_JSON",
                "BODY_TIMEOUT",
                "BODY_TOO_LARGE",
                "UNSUPPORTED_MEDIA_TYPE",
                "VALIDATION_FAILED",
            ]);
        }
        if repeated::applies_to(&route.method, route.path) {
            all.add(&[
                "IDEMPOTENCY_KEY_REUSED",
                "IDEMPOTENCY_KEY_IN_USE",
                "VALIDATION_FAILED",
                // The body is read for the key's sake, also where the call has none.
                "BAD_REQUEST",
                "BODY_TIMEOUT",
                "BODY_TOO_LARGE",
            ]);
        }
        if route.path.contains('{') {
            // An empty segment is another path.
            all.add(&["NOT_FOUND"]);
        }
        let parameters = operation["parameters"].as_array();
        let read = |parameter: &Value| parameter["in"] == "query" || parameter["in"] == "header";
        if parameters.is_some_and(|parameters| parameters.iter().any(read)) {
            all.add(&["VALIDATION_FAILED"]);
        }
        all
    }

    /// What an annotation lists; what it misspells is left out, which a test tells.
    pub(super) fn listed(list: &Value) -> Self {
        let mut all = Self::default();
        let texts = list.as_array().map(Vec::as_slice).unwrap_or_default();
        all.add(&texts.iter().filter_map(Value::as_str).collect::<Vec<_>>());
        all
    }

    pub(super) fn join(&mut self, other: Self) {
        for (status, codes) in other.0 {
            self.0.entry(status).or_default().extend(codes);
        }
    }

    fn add(&mut self, list: &[&str]) {
        for code in list {
            if let Some(status) = problem::status(code) {
                let codes = self.0.entry(status.as_u16()).or_default();
                codes.insert((*code).to_owned());
            }
        }
    }

    /// Adds them to the responses of an operation.
    pub(super) fn describe(&self, responses: &mut Map<String, Value>) {
        for (status, codes) in &self.0 {
            let response = responses
                .entry(status.to_string())
                .or_insert_with(|| json!({ "description": "" }));
            let told: Vec<String> = codes
                .iter()
                .map(|code| {
                    format!(
                        "`{code}`: {}",
                        problem::sample(code)["detail"].as_str().unwrap_or_default()
                    )
                })
                .collect();
            let own = response["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let description = [own.clone(), told.join("\n\n")].join("\n\n");
            response["description"] = json!(description.trim());
            let examples: Map<String, Value> = codes
                .iter()
                .map(|code| (code.clone(), json!({ "$ref": format!("{EXAMPLE}{code}") })))
                .collect();
            response["content"]["application/problem+json"] = json!({
                "schema": {
                    "allOf": [
                        { "$ref": "#/components/schemas/Problem" },
                        { "properties": { "status": { "const": status }, "code": { "enum": codes } } },
                    ],
                },
                "examples": examples,
            });
            let named = match status {
                401 => Some(("www-authenticate", "WwwAuthenticate")),
                429 | 503 => Some(("retry-after", "RetryAfter")),
                _ => None,
            };
            // A probe that is told 503 by its own handler has no Retry-After.
            if let Some((name, component)) = named
                && own.is_empty()
            {
                response["headers"][name] =
                    json!({ "$ref": format!("#/components/headers/{component}") });
            }
        }
    }
}

/// The examples that the answers of these paths name.
pub(super) fn examples(paths: &Map<String, Value>) -> Value {
    let mut all = Map::new();
    let operations = paths
        .values()
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    let responses = operations.filter_map(|operation| operation["responses"].as_object());
    for response in responses.flat_map(Map::values) {
        let named = &response["content"]["application/problem+json"]["examples"];
        for example in named.as_object().into_iter().flat_map(Map::values) {
            let code = example["$ref"]
                .as_str()
                .and_then(|text| text.strip_prefix(EXAMPLE));
            if let Some(code) = code {
                all.insert(code.to_owned(), json!({ "value": problem::sample(code) }));
            }
        }
    }
    all.into()
}
