//! Every route with every wrong token. The list of routes is the program's own, so that a new one is
//! tried without being added here, and fails until what it should allow is written down below.

use reqwest::Method;
use serde_json::json;
use tenantry_api::routes::{Access, HostKind, RouteInfo, table};
use tenantry_testkit::{Answer, Client, Tenant, shared};

/// Who may call what, as the product promises it.
const PROMISED: &[(&str, &str, &str)] = &[
    ("GET", "/healthz", "public"),
    ("GET", "/readyz", "public"),
    ("GET", "/.well-known/jwks.json", "public"),
    ("GET", "/openapi.json", "public"),
    ("GET", "/docs", "public"),
    ("GET", "/docs/{asset}", "public"),
    ("GET", "/setup/status", "operator"),
    ("GET", "/setup/health", "operator"),
    ("POST", "/setup/doctor", "operator"),
    ("GET", "/setup/doctor", "operator"),
    ("GET", "/setup/doctor/{run}", "operator"),
    ("GET", "/", "public"),
    ("GET", "/sign-in", "public"),
    ("POST", "/sign-in", "public"),
    ("POST", "/sign-in/redeem", "public"),
    ("POST", "/sign-out", "public"),
    ("GET", "/setup/clusters", "operator"),
    ("PATCH", "/setup/clusters/{cluster}", "operator"),
    ("GET", "/setup/routers", "operator"),
    ("GET", "/setup/top", "operator"),
    ("POST", "/setup/tenants", "operator"),
    ("GET", "/setup/tenants", "operator"),
    ("GET", "/setup/tenants/{tenant}", "operator"),
    ("DELETE", "/setup/tenants/{tenant}", "operator"),
    ("PATCH", "/setup/tenants/{tenant}", "operator"),
    ("GET", "/setup/tenants/{tenant}/explain", "operator"),
    ("POST", "/setup/tenants/{tenant}/undelete", "operator"),
    ("POST", "/setup/tenants/{tenant}/suspend", "operator"),
    ("POST", "/setup/tenants/{tenant}/resume", "operator"),
    ("POST", "/setup/tenants/{tenant}/rename", "operator"),
    ("POST", "/setup/tenants/{tenant}/disconnect", "operator"),
    (
        "POST",
        "/setup/tenants/{tenant}/rotate-credentials",
        "operator",
    ),
    ("POST", "/setup/tenants/{tenant}/credentials", "operator"),
    ("POST", "/setup/tenants/{tenant}/logins", "operator"),
    ("GET", "/setup/tenants/{tenant}/logins", "operator"),
    (
        "DELETE",
        "/setup/tenants/{tenant}/logins/{login}",
        "operator",
    ),
    ("GET", "/setup/tenants/{tenant}/domains", "operator"),
    (
        "PUT",
        "/setup/tenants/{tenant}/domains/{domain}",
        "operator",
    ),
    (
        "DELETE",
        "/setup/tenants/{tenant}/domains/{domain}",
        "operator",
    ),
    (
        "POST",
        "/setup/tenants/{tenant}/domains/{domain}/verify",
        "operator",
    ),
    ("GET", "/setup/tenants/{tenant}/aliases", "operator"),
    ("PUT", "/setup/tenants/{tenant}/aliases", "operator"),
    ("DELETE", "/setup/tenants/{tenant}/aliases", "operator"),
    ("GET", "/setup/operations", "operator"),
    ("GET", "/setup/operations/{operation}", "operator"),
    ("GET", "/setup/operations/{operation}/events", "operator"),
    ("POST", "/setup/operations/{operation}/cancel", "operator"),
    ("POST", "/setup/operations/{operation}/retry", "operator"),
    ("POST", "/setup/operations/{operation}/abandon", "operator"),
    ("POST", "/setup/rollouts", "operator"),
    ("POST", "/setup/rotations", "operator"),
    ("POST", "/setup/operators", "operator"),
    ("GET", "/setup/operators", "operator"),
    ("DELETE", "/setup/operators/{operator}", "operator"),
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
                Access::Operator => "operator",
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
            Access::Operator => {
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
