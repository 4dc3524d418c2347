use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::context::{Page, UserCursor};
use crate::fields::{Asked, FromFields, Kind, asked};
use crate::routes::{Access, table};

fn parsed() -> Value {
    serde_json::from_str(document()).expect("JSON")
}

/// Each operation with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().expect("an item");
            item.iter()
                .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"]
        .as_str()
        .and_then(|text| text.strip_prefix('#'))
    {
        Some(pointer) => document.pointer(pointer).expect("what is named is there"),
        None => schema,
    }
}

#[test]
fn every_route_is_documented_at_its_kind_of_host_and_nothing_else_is() {
    let told: BTreeSet<_> = annotated()
        .iter()
        .flat_map(|(host, api)| {
            let all = operations(api).into_iter();
            all.map(|(method, path, _)| (format!("{host:?}"), method, path))
                .collect::<Vec<_>>()
        })
        .collect();
    for page in PAGES {
        assert!(table().iter().any(|route| route.path == *page), "{page}");
    }
    let routes: BTreeSet<_> = table()
        .iter()
        .filter(|route| !PAGES.contains(&route.path))
        .map(|route| {
            let host = format!("{:?}", route.host);
            (host, route.method.to_string(), route.path.to_owned())
        })
        .collect();
    let how = "see the first lines of crates/api/src/openapi/mod.rs";
    let forgotten: Vec<_> = routes.difference(&told).collect();
    assert!(
        forgotten.is_empty(),
        "not annotated or not listed: {forgotten:?}; {how}"
    );
    let strange: Vec<_> = told.difference(&routes).collect();
    assert!(
        strange.is_empty(),
        "annotated, but no route: {strange:?}; {how}"
    );
}

#[test]
fn the_file_in_the_repository_is_the_document() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept == document(),
        "docs/openapi.json is not what the code says: run `make openapi` and commit it"
    );
}

#[test]
fn an_operation_says_who_may_call_it() {
    let document = parsed();
    for route in table().iter().filter(|route| !PAGES.contains(&route.path)) {
        let method = route.method.as_str().to_lowercase();
        let operation = &document["paths"][route.path][&method];
        let twins = table()
            .iter()
            .filter(|other| (&other.method, other.path) == (&route.method, route.path));
        if twins.count() > 1 {
            continue;
        }
        let (security, permission) = match route.access {
            Access::Public => (json!([]), Value::Null),
            Access::Operator(_) => (json!([{ "operatorToken": [] }]), Value::Null),
            Access::User(permission) => (
                json!([{ "accessToken": [] }, { "accessCookie": [] }]),
                json!(permission),
            ),
        };
        assert_eq!(operation["security"], security, "{route:?}");
        assert_eq!(operation["x-permission"], permission, "{route:?}");
        let unauthorised = operation["responses"]["401"].is_object();
        assert!(unauthorised || route.access == Access::Public, "{route:?}");
    }
}

#[test]
fn operation_ids_are_told_apart() {
    let document = parsed();
    let ids: Vec<_> = operations(&document)
        .into_iter()
        .map(|(.., operation)| operation["operationId"].as_str().expect("an id").to_owned())
        .collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len(), "{ids:?}");
    let tags: BTreeSet<_> = document["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| tag["name"].clone().to_string())
        .collect();
    for (method, path, operation) in operations(&document) {
        let tag = operation["tags"][0].to_string();
        assert!(
            tags.contains(&tag),
            "{method} {path}: {tag} is not described"
        );
        assert!(
            operation["summary"].is_string() && operation["description"].is_string(),
            "{method} {path}"
        );
    }
}

#[test]
fn every_listed_error_is_a_code_that_there_is() {
    for (_, api) in annotated() {
        for (method, path, operation) in operations(&api) {
            for listed in operation["x-problems"].as_array().into_iter().flatten() {
                let code = listed.as_str().expect("a text");
                let known = problem::status(code).is_some();
                assert!(known, "{method} {path}: {code} is not in problem/texts.rs");
            }
        }
    }
}

/// A request's type, by the name of its schema or by the operation whose query it is.
struct Request {
    of: &'static str,
    asked: Vec<Asked>,
}

fn body<T: FromFields>(of: &'static str) -> Request {
    Request {
        of,
        asked: asked::<T>(),
    }
}

/// All types that read themselves from fields.
fn requests() -> Vec<Request> {
    vec![
        body::<setup::tenants::Request>("NewTenant"),
        body::<setup::tenants::Admin>("NewAdmin"),
        body::<setup::tenants::suspend::Suspension>("Suspension"),
        body::<setup::tenants::rename::Renaming>("Renaming"),
        body::<setup::tenants::update::Patch>("TenantPatch"),
        body::<setup::tenants::update::Limits>("TenantLimitsPatch"),
        body::<setup::tenants::domains::put::Wanted>("WantedDomain"),
        body::<setup::tenants::aliases::put::NewAlias>("NewAlias"),
        body::<setup::clusters::create::Request>("NewCluster"),
        body::<setup::clusters::update::ClusterChange>("ClusterChange"),
        body::<setup::operations::reason::OptionalReason>("OperationReason"),
        body::<setup::operations::reason::RequiredReason>("AbandonReason"),
        body::<setup::operators::create::NewOperator>("NewOperator"),
        body::<setup::adoptions::Adoption>("NewAdoption"),
        body::<setup::rollouts::create::Rollout>("NewRollout"),
        body::<setup::doctor::create::Wanted>("NewDoctorRun"),
        body::<setup::pause::create::NewPause>("NewPause"),
        body::<setup::rotations::create::NewRotation>("NewRotation"),
        body::<setup::tenants::credentials::create::NewCredentials>("NewCredentials"),
        body::<setup::tenants::logins::create::NewLogin>("NewLogin"),
        body::<crate::sign_in::Credentials>("Credentials"),
        body::<tenant::auth::redeem::Code>("SignInCode"),
        body::<tenant::auth::refresh::Token>("RefreshToken"),
        body::<tenant::users::create::NewUser>("NewUser"),
        body::<tenant::users::update::Patch>("UserPatch"),
        body::<setup::tenants::list::Search>("GET /setup/tenants"),
        body::<setup::clusters::remove::How>("DELETE /setup/clusters/{cluster}"),
        body::<setup::tenants::delete::How>("DELETE /setup/tenants/{tenant}"),
        body::<setup::tenants::explain::How>("GET /setup/tenants/{tenant}/explain"),
        body::<setup::operations::list::Search>("GET /setup/operations"),
        body::<setup::operations::show::Patience>("GET /setup/operations/{operation}"),
        body::<setup::top::Order>("GET /setup/top"),
        body::<setup::tenants::aliases::delete::Which>("DELETE /setup/tenants/{tenant}/aliases"),
        body::<setup::operators::update::Change>("OperatorChange"),
        body::<setup::operators::rotate::Rotation>("OperatorRotation"),
        body::<setup::audit::Search>("GET /setup/audit"),
        body::<setup::audit::export::Wanted>("GET /setup/audit/export"),
        body::<setup::audit::verify::Behind>("GET /setup/audit/verify"),
        body::<setup::audit::denied::Span>("GET /setup/audit/denied"),
        body::<Page<UserCursor>>("GET /users"),
    ]
}

#[test]
fn what_is_read_is_what_is_described() {
    let document = parsed();
    for request in requests() {
        let of = request.of;
        if let Some((method, path)) = of.split_once(' ') {
            let parameters = &document["paths"][path][method.to_lowercase()]["parameters"];
            let described: BTreeSet<_> = parameters
                .as_array()
                .expect("parameters")
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| {
                    assert_ne!(parameter["required"], true, "{of}: {parameter}");
                    parameter["name"].as_str().expect("a name")
                })
                .collect();
            let read: BTreeSet<_> = request
                .asked
                .iter()
                .map(|asked| asked.name.as_str())
                .collect();
            assert_eq!(read, described, "{of}: read and described parameters");
            continue;
        }
        let schema = &document["components"]["schemas"][of];
        assert_eq!(schema["additionalProperties"], false, "{of}");
        let empty = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let described: BTreeSet<_> = properties.keys().map(String::as_str).collect();
        let read: BTreeSet<_> = request
            .asked
            .iter()
            .map(|asked| asked.name.as_str())
            .collect();
        assert_eq!(read, described, "{of}: read and described fields");
        let required: BTreeSet<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let needed: BTreeSet<_> = request
            .asked
            .iter()
            .filter(|asked| asked.required)
            .map(|asked| asked.name.as_str())
            .collect();
        assert_eq!(needed, required, "{of}: required fields");
        for asked in &request.asked {
            let property = resolve(&document, &properties[&asked.name]);
            let fits = match &asked.kind {
                Kind::Text => {
                    let any = property["anyOf"].as_array().map_or(&[][..], Vec::as_slice);
                    let text = |one| resolve(&document, one)["type"] == "string";
                    property["type"] == "string" || (!any.is_empty() && any.iter().all(text))
                }
                Kind::Flag => property["type"] == "boolean",
                Kind::Number(least, most) => {
                    property["type"] == "integer"
                        && property["minimum"] == json!(least)
                        && property["maximum"] == json!(most)
                }
                Kind::NullableNumber(least, most) => {
                    property["type"] == json!(["integer", "null"])
                        && property["minimum"] == json!(least)
                        && property["maximum"] == json!(most)
                }
                Kind::List(most) => {
                    property["type"] == "array" && property["maxItems"] == json!(most)
                }
                Kind::Object => property["type"] == "object",
            };
            assert!(
                fits,
                "{of}.{}: read as {:?}, described as {property}",
                asked.name, asked.kind
            );
        }
    }
}

/// So that a new request's type is not left out of the list above.
#[test]
fn every_request_type_is_compared() {
    let implementations: usize = sources()
        .into_iter()
        // Forms of pages, and the internal listener's URLs, which docs/proxies.md describes.
        .filter(|(path, _)| !path.contains("/src/pages/") && !path.contains("/src/internal/"))
        .map(|(_, text)| {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            code.matches("FromFields for ").count()
        })
        .sum();
    assert_eq!(
        implementations,
        requests().len(),
        "name the new type in `requests()`"
    );
}

/// A handler that reads a body or a query has them in its annotation, and the other way round.
#[test]
fn what_a_handler_takes_is_in_its_annotation() {
    for (path, text) in sources() {
        for annotated in text.split("\n#[utoipa::path(").skip(1) {
            let Some((annotation, rest)) = annotated.split_once("\n)]\n") else {
                panic!("{path}: an annotation ends with `)]` on its own line");
            };
            let annotation = annotation.split_whitespace().collect::<Vec<_>>().join(" ");
            let signature = rest.split("{\n").next().unwrap_or_default();
            let body = signature.contains("Body<") || signature.contains("Form<");
            let query = signature.contains("Query<");
            for (taken, told) in [(body, "request_body"), (query, ", Query")] {
                assert_eq!(
                    taken,
                    annotation.contains(told),
                    "{path}: {told} in `{signature}`"
                );
            }
        }
    }
}

fn sources() -> BTreeMap<String, String> {
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut all = BTreeMap::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            all.insert(path.display().to_string(), text);
        }
    }
    all
}

#[test]
fn the_slugs_pattern_names_what_is_reserved() {
    let document = parsed();
    let pattern = document["components"]["schemas"]["Slug"]["pattern"].to_string();
    assert!(
        pattern.contains("|admin|") || pattern.contains("(?:admin|"),
        "{pattern}"
    );
}

#[test]
fn two_routes_of_one_path_become_one_operation_that_tells_both() {
    let base = json!({
        "operationId": "findTenants", "summary": "Find", "description": "Finds.", "security": [],
        "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/a" } } } },
        "responses": {
            "200": { "description": "found", "content": { "application/json": { "schema": { "$ref": "#/b" } } } },
            "429": { "description": "slow", "content": {} },
        },
    });
    let tenant = json!({
        "operationId": "signIn", "summary": "Sign in", "description": "Signs in.", "security": [],
        "servers": [{ "url": "x" }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/a" } } } },
        "responses": {
            "200": { "description": "in", "content": { "application/json": { "schema": { "$ref": "#/c" } } } },
            "403": { "description": "no", "content": {} },
        },
    });
    let one = merge::both(base, tenant);
    assert_eq!(one["operationId"], "findTenants");
    assert_eq!(one["summary"], "Find / Sign in");
    assert_eq!(
        one["description"],
        "At a base domain: Finds.\n\nAt a tenant's host: Signs in."
    );
    assert_eq!(one["security"], json!([]));
    assert_eq!(one["servers"], json!([{ "url": "x" }]));
    assert_eq!(
        one["requestBody"]["content"]["application/json"]["schema"],
        json!({ "$ref": "#/a" })
    );
    assert_eq!(
        one["responses"]["200"]["content"]["application/json"]["schema"],
        json!({ "anyOf": [{ "$ref": "#/b" }, { "$ref": "#/c" }] })
    );
    assert!(one["responses"]["429"].is_object() && one["responses"]["403"].is_object());
}
