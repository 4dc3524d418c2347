//! The errors of each route: what every route of its kind can answer, and what its handler adds.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::problem;
use crate::routes::{Access, HostKind, RouteInfo};

const EXAMPLE: &str = "#/components/examples/";

/// Codes by status, as the annotations write them: `409 SLUG_TAKEN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problems(BTreeMap<u16, BTreeSet<String>>);

impl Problems {
    /// What a route answers whatever its handler does.
    pub(super) fn of_kind(route: &RouteInfo, operation: &Value) -> Self {
        let mut all = Self::default();
        all.add(&["400 BAD_HOST", "500 INTERNAL", "503 REQUEST_TIMEOUT"]);
        if !crate::dispatch::is_probe(route.path) {
            all.add(&["503 OVERLOADED"]);
        }
        if route.access == Access::Operator {
            all.add(&["401 UNAUTHENTICATED", "503 CATALOG_UNAVAILABLE"]);
        }
        if route.host == HostKind::Tenant {
            all.add(&[
                "400 TENANT_NOT_NAMED",
                "403 TENANT_SUSPENDED",
                "403 WRONG_TENANT",
                "404 TENANT_NOT_FOUND",
                "503 CATALOG_UNAVAILABLE",
                "503 DATABASE_UNAVAILABLE",
                "503 POOL_EXHAUSTED",
                "503 TENANT_BUSY",
                "503 TENANT_NOT_READY",
            ]);
        }
        if let Access::User(permission) = route.access {
            all.add(&["401 UNAUTHENTICATED"]);
            if permission != "own" {
                all.add(&["403 PERMISSION_DENIED"]);
            }
            if route.method != Method::GET {
                all.add(&["403 CROSS_SITE"]);
            }
        }
        if operation.get("requestBody").is_some() {
            all.add(&[
                "400 BAD_REQUEST",
                "400 MALFORMED_JSON",
                "408 BODY_TIMEOUT",
                "413 BODY_TOO_LARGE",
                "415 UNSUPPORTED_MEDIA_TYPE",
                "422 VALIDATION_FAILED",
            ]);
        }
        if route.path.contains('{') {
            // An empty segment is another path.
            all.add(&["404 NOT_FOUND"]);
        }
        let parameters = operation["parameters"].as_array();
        let read = |parameter: &Value| parameter["in"] == "query" || parameter["in"] == "header";
        if parameters.is_some_and(|parameters| parameters.iter().any(read)) {
            all.add(&["422 VALIDATION_FAILED"]);
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
        for text in list {
            let Some((status, code)) = text.split_once(' ') else {
                continue;
            };
            if let Ok(status) = status.parse() {
                self.0.entry(status).or_default().insert(code.to_owned());
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
                        sample(*status, code)["detail"].as_str().unwrap_or_default()
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
                .map(|code| {
                    (
                        code.clone(),
                        json!({ "$ref": format!("{EXAMPLE}{status}.{code}") }),
                    )
                })
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
            let name = example["$ref"]
                .as_str()
                .and_then(|text| text.strip_prefix(EXAMPLE));
            let Some((name, (status, code))) =
                name.and_then(|name| Some((name, name.split_once('.')?)))
            else {
                continue;
            };
            let value = sample(status.parse().unwrap_or_default(), code);
            all.insert(name.to_owned(), json!({ "value": value }));
        }
    }
    all.into()
}

/// The problem as it is answered, for an example.
fn sample(status: u16, code: &str) -> Value {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    problem::sample(status, code)
}
