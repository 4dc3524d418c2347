//! Puts the annotations together with what the URL table knows: who may call a route, where it
//! answers, and what every route of its kind answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::problems::{self, Problems};
use super::{annotated, merge, words};
use crate::routes::{Access, HostKind, RouteInfo, table};
use crate::setup::repeated;

const REF: &str = "#/components/schemas/";
/// How `utoipa` begins the name of a page of something: the type with its parameter.
const LIST: &str = "Items_";

/// The document, its keys in any order.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for (host, api) in annotated() {
        for route in table().iter().filter(|route| route.host == host) {
            let method = route.method.as_str().to_ascii_lowercase();
            let annotated = &api["paths"][route.path][&method];
            // A test names what is missing.
            if annotated.is_object() {
                let operation = with_kind(annotated.clone(), route);
                put(&mut paths, route.path, &method, operation);
            }
        }
        let own = api["components"]["schemas"].as_object().cloned();
        schemas.extend(own.unwrap_or_default());
    }
    name_items(&mut schemas);
    schemas.extend(
        words::all()
            .into_iter()
            .map(|(name, schema)| (name.to_owned(), schema)),
    );
    let operations = paths.values_mut().filter_map(Value::as_object_mut);
    operations.flat_map(Map::values_mut).for_each(finish);
    close_requests(&paths, &mut schemas);

    let mut document = frame();
    document["components"]["examples"] = problems::examples(&paths);
    document["paths"] = paths.into();
    document["components"]["schemas"] = schemas.into();
    drop_unused(&mut document);
    rename_lists(document)
}

/// The same with sorted keys; whether serde_json keeps them in order depends on a feature that any
/// crate can turn on.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let fields = fields.into_iter();
            Value::Object(fields.map(|(name, value)| (name, sorted(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        plain => plain,
    }
}

fn frame() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tenantry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": include_str!("about.md"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": at_base(),
        "tags": [
            { "name": "tenants", "description": "Customers, each with a database of its own." },
            { "name": "operations", "description": "Durable changes: how they go, step by step." },
            { "name": "clusters", "description": "The Postgres servers that hold tenants' databases." },
            { "name": "audit", "description": "What was done through the setup API, and whether the trail of it is intact." },
            { "name": "operators", "description": "Persons and programs that may run the control plane." },
            { "name": "sign-in", "description": "Sessions of a tenant's users." },
            { "name": "users", "description": "The people of one tenant, and what they may do." },
            { "name": "service", "description": "For whoever watches over the process or reads about it." },
        ],
        "components": {
            "securitySchemes": {
                "operatorToken": {
                    "type": "http", "scheme": "bearer",
                    "description": "The token of an operator, as `tenantry init`, `tenantry dev` or `POST /setup/operators` told it.",
                },
                "accessToken": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "The access token of a signed-in user, as `POST /auth/login` told it. It names its tenant and ends after minutes; `POST /auth/refresh` gives the next.",
                },
                "accessCookie": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-tenantry_access",
                    "description": "The same token as a browser keeps it (without `__Host-` where the service is not behind TLS). With it, requests that change something must come from the tenant's own pages.",
                },
            },
            "parameters": {
                "IdempotencyKey": {
                    "name": "idempotency-key", "in": "header", "required": false,
                    "schema": { "$ref": format!("{REF}RequestKey") },
                    "description": "Makes it safe to send the request again: for 24 hours the same key with the same request gets the same answer. What was refused may be sent again with the same key.",
                },
                "Prefer": {
                    "name": "prefer", "in": "header", "required": false,
                    "schema": { "type": "string" },
                    "description": "`respond-async` (RFC 7240): answer at once with the operation.",
                    "example": "respond-async",
                },
                "RequestId": {
                    "name": "x-request-id", "in": "header", "required": false,
                    "schema": { "type": "string" },
                    "description": "Your own id for the request: 1 to 64 letters, digits, `.`, `_` and `-`. Another is replaced by one of ours.",
                    "example": "checkout-4711",
                },
            },
            "headers": {
                "PreferenceApplied": {
                    "required": false, "schema": { "type": "string", "const": "respond-async" },
                    "description": "`respond-async`, where it was asked for.",
                },
                "RequestId": {
                    "required": true, "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
                    "description": "The id of the request, in our logs as well.",
                },
                "RetryAfter": {
                    "required": true, "schema": { "type": "integer", "minimum": 1 },
                    "description": "Seconds after which another try can help.",
                },
                "WwwAuthenticate": {
                    "required": true, "schema": { "type": "string" },
                    "description": "How to sign in: `Bearer`.",
                },
            },
        },
    })
}

/// Adds to an annotated operation what its line in the table says.
fn with_kind(mut operation: Value, route: &RouteInfo) -> Value {
    title(&mut operation);
    let mut problems = Problems::of_kind(route, &operation);
    if let Some(object) = operation.as_object_mut() {
        let listed = object.remove("x-problems").unwrap_or_default();
        problems.join(Problems::listed(&listed));
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        problems.describe(responses);
    }
    if repeated::applies_to(&route.method, route.path) {
        add_parameter(&mut operation, "IdempotencyKey");
    }
    may_be_left_to_itself(&mut operation);
    operation["security"] = match route.access {
        Access::Public => json!([]),
        Access::Operator(_) => json!([{ "operatorToken": [] }]),
        Access::User(_) => json!([{ "accessToken": [] }, { "accessCookie": [] }]),
    };
    if let Access::User(permission) = route.access {
        operation["x-permission"] = json!(permission);
    }
    if let Access::Operator(right) = route.access {
        operation["x-roles"] = json!(right.roles().collect::<Vec<_>>());
    }
    if route.host == HostKind::Tenant {
        operation["servers"] = at_tenant();
    }
    operation
}

fn add_parameter(operation: &mut Value, name: &str) {
    let parameter = json!({ "$ref": format!("#/components/parameters/{name}") });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}

/// What waits for an operation, and answers with 202 when that takes too long, need not wait at all.
fn may_be_left_to_itself(operation: &mut Value) {
    let responses = &operation["responses"];
    let waits = responses["200"].is_object() || responses["201"].is_object();
    if !waits || !responses["202"].is_object() {
        return;
    }
    operation["responses"]["202"]["headers"]["preference-applied"] =
        json!({ "$ref": "#/components/headers/PreferenceApplied" });
    add_parameter(operation, "Prefer");
}

/// What is written over a handler describes it; its short title is its id in words.
fn title(operation: &mut Value) {
    let texts = [&operation["summary"], &operation["description"]];
    let texts = texts.into_iter().filter_map(Value::as_str);
    operation["description"] = json!(texts.collect::<Vec<_>>().join("\n\n"));
    let mut title = String::new();
    for letter in operation["operationId"]
        .as_str()
        .unwrap_or_default()
        .chars()
    {
        match (letter.is_ascii_uppercase(), title.is_empty()) {
            (_, true) => title.push(letter.to_ascii_uppercase()),
            (true, false) => title.extend([' ', letter.to_ascii_lowercase()]),
            (false, false) => title.push(letter),
        }
    }
    operation["summary"] = json!(title);
}

fn at_base() -> Value {
    json!([
        { "url": "/", "description": "The base domain that this document was read from" },
        {
            "url": "{scheme}://{baseDomain}",
            "description": "A base domain",
            "variables": {
                "scheme": { "default": "https", "enum": ["https", "http"] },
                "baseDomain": { "default": "example.com" },
            },
        },
    ])
}

fn at_tenant() -> Value {
    json!([
        {
            "url": "{scheme}://{tenant}.{baseDomain}",
            "description": "The tenant's host: its subdomain, or a domain of its own",
            "variables": {
                "scheme": { "default": "https", "enum": ["https", "http"] },
                "tenant": { "default": "acme", "description": "The tenant's slug" },
                "baseDomain": { "default": "example.com" },
            },
        },
        { "url": "/", "description": "A base domain, where the access token names the tenant" },
    ])
}

fn put(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let item = &mut paths.entry(path).or_insert_with(|| json!({}))[method];
    *item = match item.take() {
        Value::Null => operation,
        other => merge::both(other, operation),
    };
}

/// What every operation has.
fn finish(operation: &mut Value) {
    if !operation["parameters"].is_array() {
        operation["parameters"] = json!([]);
    }
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        // `Option` says that it may be left out; null cannot be sent.
        let schemas = parameters
            .iter_mut()
            .filter_map(|one| one.get_mut("schema"));
        schemas.for_each(not_null);
        parameters.push(json!({ "$ref": "#/components/parameters/RequestId" }));
    }
    if operation["requestBody"].is_object() {
        let body = &mut operation["requestBody"];
        if body["required"].is_null() {
            body["required"] = json!(false);
        }
        let contents = body["content"].as_object_mut();
        for content in contents.into_iter().flat_map(Map::values_mut) {
            not_null(&mut content["schema"]);
        }
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for response in responses.values_mut() {
        response["headers"]["x-request-id"] = json!({ "$ref": "#/components/headers/RequestId" });
        for always in ["location", "etag"] {
            if response["headers"][always].is_object() {
                response["headers"][always]["required"] = json!(true);
            } else if let Some(headers) = response["headers"].as_object_mut() {
                headers.remove(always);
            }
        }
    }
}

fn not_null(schema: &mut Value) {
    let either = schema["oneOf"].as_array().or(schema["type"].as_array());
    let null = |one: &Value| *one == "null" || one["type"] == "null";
    let left: Vec<Value> = either
        .into_iter()
        .flatten()
        .filter(|one| !null(one))
        .cloned()
        .collect();
    match left.as_slice() {
        [Value::String(kind)] => *schema = json!({ "type": kind }),
        [one] => *schema = one.clone(),
        _ => {}
    }
}

/// The items of a list have a name like everything else.
fn name_items(schemas: &mut Map<String, Value>) {
    let lists: Vec<String> = schemas
        .keys()
        .filter(|name| name.starts_with(LIST))
        .cloned()
        .collect();
    for list in lists {
        let items = &mut schemas[&list]["properties"]["items"]["items"];
        let name = list.trim_start_matches(LIST).to_owned();
        let item = std::mem::replace(items, json!({ "$ref": format!("{REF}{name}") }));
        schemas.entry(name).or_insert(item);
    }
}

/// A request with a field that nobody asked for is refused: its schemas say so.
fn close_requests(paths: &Map<String, Value>, schemas: &mut Map<String, Value>) {
    let mut named = BTreeSet::new();
    for item in paths.values().filter_map(Value::as_object) {
        for operation in item.values() {
            refs(&operation["requestBody"], &mut named);
        }
    }
    let mut left: Vec<String> = named.iter().cloned().collect();
    while let Some(name) = left.pop() {
        let Some(schema) = schemas.get_mut(&name) else {
            continue;
        };
        let mut inner = BTreeSet::new();
        refs(schema, &mut inner);
        left.extend(inner.into_iter().filter(|name| named.insert(name.clone())));
        if schema["type"] == "object" && schema["additionalProperties"].is_null() {
            schema["additionalProperties"] = json!(false);
        }
        // Null is no value of a field that may be left out; indexing has made none of these two.
        if let Some(object) = schema.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
    }
}

fn refs(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str().and_then(|text| text.strip_prefix(REF)) {
                    Some(name) if key == "$ref" => {
                        into.insert(name.to_owned());
                    }
                    _ => refs(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| refs(item, into)),
        _ => {}
    }
}

/// A word that no route uses is left out.
fn drop_unused(document: &mut Value) {
    let mut used = BTreeSet::new();
    refs(&document["paths"], &mut used);
    let mut left: Vec<String> = used.iter().cloned().collect();
    while let Some(name) = left.pop() {
        let mut inner = BTreeSet::new();
        refs(&document["components"]["schemas"][&name], &mut inner);
        left.extend(inner.into_iter().filter(|name| used.insert(name.clone())));
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| used.contains(name));
    }
}

/// `Items_User`, as the generic type is called, reads better as `UserList`.
fn rename_lists(value: Value) -> Value {
    let renamed = |text: String| {
        let (front, name) = match text.strip_prefix(REF) {
            Some(name) => (REF, name),
            None => ("", text.as_str()),
        };
        match name.strip_prefix(LIST) {
            Some(item) => format!("{front}{item}List"),
            None => text,
        }
    };
    match value {
        Value::Object(object) => {
            let fields = object.into_iter();
            Value::Object(
                fields
                    .map(|(key, value)| (renamed(key), rename_lists(value)))
                    .collect(),
            )
        }
        Value::Array(items) => items.into_iter().map(rename_lists).collect(),
        Value::String(text) => Value::String(renamed(text)),
        plain => plain,
    }
}
