//! Every route with every wrong token. The list of routes is the program's own, so that a new one is
//! tried without being added here, and fails until what it should allow is written down below.

use reqwest::Method;
use serde_json::json;
use tenantry_api::rights::Right;
use tenantry_api::routes::{Access, HostKind, RouteInfo, table};
use tenantry_testkit::{Answer, Client, Tenant, shared, unique};

/// Who may call what, as the product promises it.
const PROMISED: &[(&str, &str, &str)] = &[
    ("GET", "/healthz", "public"),
    ("GET", "/readyz", "public"),
    ("GET", "/.well-known/jwks.json", "public"),
    ("GET", "/openapi.json", "public"),
    ("GET", "/docs", "public"),
    ("GET", "/docs/{asset}", "public"),
    ("GET", "/setup/status", "read"),
    ("GET", "/setup/health", "read"),
    ("POST", "/setup/doctor", "operate"),
    ("GET", "/setup/doctor", "read"),
    ("GET", "/setup/doctor/{run}", "read"),
    ("GET", "/setup/pause", "read"),
    ("POST", "/setup/pause", "operate"),
    ("DELETE", "/setup/pause", "operate"),
    ("GET", "/", "public"),
    ("GET", "/sign-in", "public"),
    ("POST", "/sign-in", "public"),
    ("POST", "/sign-in/redeem", "public"),
    ("POST", "/sign-out", "public"),
    ("GET", "/setup/clusters", "read"),
    ("POST", "/setup/clusters", "operate"),
    ("GET", "/setup/clusters/{cluster}", "read"),
    ("PATCH", "/setup/clusters/{cluster}", "operate"),
    ("DELETE", "/setup/clusters/{cluster}", "operate"),
    ("POST", "/setup/clusters/{cluster}/drain", "operate"),
    ("POST", "/setup/clusters/{cluster}/accept", "operate"),
    ("GET", "/setup/routers", "read"),
    ("GET", "/setup/top", "read"),
    ("POST", "/setup/tenants", "provision"),
    ("GET", "/setup/tenants", "read"),
    ("GET", "/setup/tenants/{tenant}", "read created"),
    ("DELETE", "/setup/tenants/{tenant}", "operate"),
    ("PATCH", "/setup/tenants/{tenant}", "operate"),
    ("GET", "/setup/tenants/{tenant}/explain", "read"),
    ("POST", "/setup/tenants/{tenant}/undelete", "operate"),
    ("POST", "/setup/tenants/{tenant}/unadopt", "operate"),
    ("POST", "/setup/tenants/{tenant}/suspend", "operate"),
    ("POST", "/setup/tenants/{tenant}/resume", "operate"),
    ("POST", "/setup/tenants/{tenant}/rename", "operate"),
    ("POST", "/setup/tenants/{tenant}/disconnect", "operate"),
    ("GET", "/setup/tenants/{tenant}/domains", "read"),
    ("PUT", "/setup/tenants/{tenant}/domains/{domain}", "operate"),
    (
        "DELETE",
        "/setup/tenants/{tenant}/domains/{domain}",
        "operate",
    ),
    (
        "POST",
        "/setup/tenants/{tenant}/domains/{domain}/verify",
        "operate",
    ),
    ("GET", "/setup/tenants/{tenant}/aliases", "read"),
    ("PUT", "/setup/tenants/{tenant}/aliases", "operate"),
    ("DELETE", "/setup/tenants/{tenant}/aliases", "operate"),
    ("GET", "/setup/operations", "read"),
    ("GET", "/setup/operations/{operation}", "read created"),
    (
        "GET",
        "/setup/operations/{operation}/events",
        "read created",
    ),
    ("POST", "/setup/operations/{operation}/cancel", "operate"),
    ("POST", "/setup/operations/{operation}/retry", "operate"),
    ("POST", "/setup/operations/{operation}/abandon", "operate"),
    ("POST", "/setup/adoptions", "operate"),
    ("POST", "/setup/adoptions/check", "operate"),
    ("POST", "/setup/rollouts", "operate"),
    ("POST", "/setup/operators", "owner"),
    ("GET", "/setup/operators", "read"),
    ("DELETE", "/setup/operators/{operator}", "owner"),
    (
        "POST",
        "/setup/tenants/{tenant}/rotate-credentials",
        "operate",
    ),
    ("POST", "/setup/tenants/{tenant}/credentials", "operate"),
    ("POST", "/setup/rotations", "operate"),
    ("PATCH", "/setup/operators/{operator}", "owner"),
    ("POST", "/setup/operators/{operator}/rotate", "owner"),
    ("GET", "/setup/audit", "read"),
    ("GET", "/setup/audit/export", "read"),
    ("GET", "/setup/audit/verify", "read"),
    ("GET", "/setup/audit/denied", "read"),
    ("POST", "/setup/tenants/{tenant}/logins", "operate"),
    ("GET", "/setup/tenants/{tenant}/logins", "read"),
    (
        "DELETE",
        "/setup/tenants/{tenant}/logins/{login}",
        "operate",
    ),
    // At the base domain and at a tenant's host.
    ("POST", "/auth/login", "public"),
    ("POST", "/auth/login", "public"),
    ("POST", "/auth/redeem", "public"),
    ("POST", "/auth/refresh", "public"),
    ("POST", "/auth/logout", "public"),
    ("GET", "/me", "own"),
    ("GET", "/users", "users:list"),
    ("POST", "/users", "users:create"),
    ("GET", "/users/{user}", "users:read"),
    ("PATCH", "/users/{user}", "users:update"),
    ("DELETE", "/users/{user}", "users:delete"),
    ("GET", "/roles", "roles:list"),
    ("GET", "/permissions", "permissions:list"),
];

#[test]
fn the_programs_table_is_what_was_promised() {
    let mut actual: Vec<(String, String, String)> = table()
        .iter()
        .map(|route| {
            let access = match route.access {
                Access::Public => "public",
                Access::Operator(right) => word_of(right),
                Access::User(permission) => permission,
            };
            (
                route.method.to_string(),
                route.path.to_owned(),
                access.to_owned(),
            )
        })
        .collect();
    let mut promised: Vec<(String, String, String)> = PROMISED
        .iter()
        .map(|(method, path, access)| ((*method).into(), (*path).into(), (*access).into()))
        .collect();
    actual.sort();
    promised.sort();
    assert_eq!(actual, promised);
}

const fn word_of(right: Right) -> &'static str {
    match right {
        Right::Govern => "owner",
        Right::Operate => "operate",
        Right::Read => "read",
        Right::Provision => "provision",
        Right::ReadCreated => "read created",
    }
}

/// Which roles may ask for what is promised by a word: written down here once more.
fn may(word: &str, role: &str) -> bool {
    match word {
        "owner" => role == "owner",
        "operate" => matches!(role, "owner" | "operator"),
        "read" => role != "provisioner",
        "provision" => role != "read_only",
        "read created" => true,
        _ => panic!("no right is called {word}"),
    }
}

#[tokio::test]
async fn every_setup_route_is_for_the_roles_that_were_promised() {
    let dev = shared();
    let mut tried = 0;
    for role in ["owner", "operator", "read_only", "provisioner"] {
        let body = json!({ "name": unique(role), "role": role, "ttl": "1h" });
        let made = dev
            .operator()
            .post("/setup/operators", body)
            .await
            .expect(201);
        let client = dev.base().bearer(made["token"].as_str().expect("a token"));
        for route in table() {
            let Access::Operator(right) = route.access else {
                continue;
            };
            // Of nothing that there is: who may ask is told that, and changes nothing.
            let path = route
                .path
                .replace("{tenant}", "no-such-tenant")
                .replace("{operator}", "no-such-operator")
                .replace("{cluster}", "no-such-cluster")
                .replace("{domain}", "no.such.example")
                .replace("{operation}", "00000000-0000-7000-8000-000000000000");
            let answer = ask(&client, route, &path).await;
            let promised = PROMISED
                .iter()
                .find(|(method, path, _)| (route.method.as_str(), route.path) == (*method, *path));
            let word = promised.expect("in the list").2;
            assert_eq!(word, word_of(right));
            if may(word, role) {
                assert!(
                    !matches!(answer.status, 401 | 403 | 405) && answer.status < 500,
                    "{role}: {answer}"
                );
            } else {
                let told = answer.problem(403, "ROLE_REQUIRED");
                let roles = told["roles"].as_array().expect("roles");
                assert!(!roles.is_empty() && !roles.contains(&json!(role)), "{told}");
                assert!(
                    roles
                        .iter()
                        .all(|role| may(word, role.as_str().unwrap_or_default()))
                );
                // A key does not lead around it.
                let mut request = client.request(route.method.clone(), &path);
                request = request.header("idempotency-key", "around");
                request
                    .json(&json!({}))
                    .send()
                    .await
                    .problem(403, "ROLE_REQUIRED");
            }
            tried += 1;
        }
        let end = format!(
            "/setup/operators/{}",
            made["operatorId"].as_str().expect("an id")
        );
        dev.operator().delete(&end).await.expect(200);
    }
    assert!(tried > 4 * 30, "{tried}");
}

/// One wrong way to ask.
struct Wrong<'a> {
    who: &'a str,
    client: Client,
    status: u16,
    code: &'a str,
}

#[tokio::test]
async fn every_route_refuses_every_wrong_token() {
    let dev = shared();
    let (acme, other) = (dev.tenant("table").await, dev.tenant("table").await);
    let (nobody, nobody_id) = person_without_roles(&acme).await;
    let mut tried = 0;
    for route in table() {
        let path = route
            .path
            .replace("{tenant}", &acme.id)
            .replace("{user}", &acme.user_id)
            .replace("{operator}", "dev")
            .replace("{cluster}", "main")
            .replace("{run}", "00000000-0000-7000-8000-000000000000")
            .replace("{domain}", "shop.table.example")
            .replace("{asset}", "rapidoc-min.js")
            .replace("{operation}", "00000000-0000-7000-8000-000000000000");
        let here = match route.host {
            HostKind::Tenant => dev.at(&acme.slug),
            HostKind::Base | HostKind::Any => dev.base(),
        };
        let unauthenticated = |who, client| Wrong {
            who,
            client,
            status: 401,
            code: "UNAUTHENTICATED",
        };
        let mut wrongs = Vec::new();
        match route.access {
            Access::Public => {
                let answer = ask(&here, route, &path).await;
                assert!(
                    !matches!(answer.status, 403..=405) && answer.status < 500,
                    "{answer}"
                );
            }
            Access::Operator(_) => {
                wrongs.push(unauthenticated("nobody", here.clone()));
                wrongs.push(unauthenticated("junk", here.bearer("junk")));
                wrongs.push(unauthenticated(
                    "a tenant's admin",
                    here.bearer(acme.admin.token()),
                ));
                let almost = format!("{}x", dev.operator_token());
                wrongs.push(unauthenticated("almost an operator", here.bearer(&almost)));
                // With the right token, but at a tenant's host: there is no such thing.
                let misplaced = dev.at(&acme.slug).bearer(&dev.operator_token());
                wrongs.push(Wrong {
                    who: "misplaced",
                    client: misplaced,
                    status: 404,
                    code: "",
                });
            }
            Access::User(permission) => {
                wrongs.push(unauthenticated("nobody", here.clone()));
                wrongs.push(unauthenticated("junk", here.bearer("junk")));
                wrongs.push(unauthenticated(
                    "an operator",
                    here.bearer(&dev.operator_token()),
                ));
                let foreign = here.bearer(other.admin.token());
                wrongs.push(Wrong {
                    who: "foreign",
                    client: foreign,
                    status: 403,
                    code: "WRONG_TENANT",
                });
                if permission != "own" {
                    let without = here.bearer(nobody.token());
                    wrongs.push(Wrong {
                        who: "without roles",
                        client: without,
                        status: 403,
                        code: "PERMISSION_DENIED",
                    });
                }
                // The same route at the base domain, where the token names the tenant.
                wrongs.push(unauthenticated("nobody at the base domain", dev.base()));
            }
        }
        for wrong in wrongs {
            let answer = ask(&wrong.client, route, &path).await;
            let told = (
                answer.status,
                answer.json()["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            assert_eq!(told.0, wrong.status, "{}: {answer}", wrong.who);
            if !wrong.code.is_empty() {
                assert_eq!(told.1, wrong.code, "{}: {answer}", wrong.who);
            }
            answer.any_problem();
            if route.method == Method::GET {
                let head = wrong.client.request(Method::HEAD, &path).send().await;
                assert_eq!(head.status, wrong.status, "{}: HEAD {head}", wrong.who);
            }
        }
        tried += 1;
    }
    assert_eq!(tried, PROMISED.len());
    // None of it had an effect.
    acme.admin
        .get(&format!("/users/{nobody_id}"))
        .await
        .expect(200);
    acme.admin.get("/me").await.expect(200);
    dev.operator().get("/setup/operators").await.expect(200);
    let shown = dev
        .operator()
        .get(&format!("/setup/tenants/{}", acme.id))
        .await
        .expect(200);
    assert_eq!(shown["status"], "active");
}

/// With a body that would be right, and one that is wrong: who may not ask learns nothing of either.
async fn ask(client: &Client, route: &RouteInfo, path: &str) -> Answer {
    let mut request = client.request(route.method.clone(), path);
    if matches!(route.method, Method::POST | Method::PUT | Method::PATCH) {
        request = request.json(&json!({ "email": "eve@evil.example", "unknown": 1 }));
    }
    request.send().await
}

async fn person_without_roles(acme: &Tenant) -> (Client, String) {
    let body = json!({ "email": "none@acme.example", "password": "long enough" });
    let made = acme.admin.post("/users", body).await.expect(201);
    let (client, _) = acme.admin.sign_in("none@acme.example", "long enough").await;
    (client, made["userId"].as_str().expect("an id").to_owned())
}
