//! `/openapi.json` and `/docs`: what the product says about itself, without any other host

use reqwest::Method;
use serde_json::Value;
use tenantry_testkit::{Client, shared};

#[tokio::test]
async fn the_document_is_the_one_of_the_repository_for_anyone_at_the_base_domain() {
    let dev = shared();
    let served = dev.base().get("/openapi.json").await;
    let document = served.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.text, tenantry_api::openapi::document());
    let printed = dev.cli(&["openapi"]).expect(0);
    assert_eq!(printed.stdout, served.text);
    // At a tenant's host there is no such thing.
    let tenant = dev.tenant("openapi").await;
    dev.at(&tenant.slug)
        .get("/openapi.json")
        .await
        .problem(404, "NOT_FOUND");
    dev.at(&tenant.slug)
        .get("/docs")
        .await
        .problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn who_has_the_document_already_is_told_so() {
    let base = shared().base();
    for path in ["/openapi.json", "/docs", "/docs/rapidoc-min.js"] {
        let first = base.get(path).await;
        first.expect(200);
        let tag = first.header("etag").expect("an ETag").to_owned();
        assert_eq!(
            first.header("cache-control"),
            Some("public, no-cache"),
            "{path}"
        );
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let again = base
                .request(Method::GET, path)
                .header("if-none-match", &known)
                .send()
                .await;
            again.expect(304);
            assert_eq!(
                (again.text.as_str(), again.header("etag")),
                ("", Some(tag.as_str()))
            );
        }
        let other = base
            .request(Method::GET, path)
            .header("if-none-match", "\"other\"")
            .send()
            .await;
        assert_eq!(other.expect(200), first.json());
    }
}

/// All that a browser would load for the page, from the page on.
#[tokio::test]
async fn the_page_and_all_it_loads_come_from_this_host() {
    let base = shared().base();
    let page = base.get("/docs").await;
    page.expect(200);
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html")),
        "{page}"
    );
    let policy = page.header("content-security-policy").expect("a policy");
    let mut directives = policy.split(';').map(str::trim);
    assert_eq!(directives.next(), Some("default-src 'none'"));
    for directive in directives {
        for source in directive.split(' ').skip(1) {
            let ours = ["'self'", "'none'", "'unsafe-inline'", "data:"].contains(&source);
            assert!(
                ours && !(directive.starts_with("script-src") && source != "'self'"),
                "{directive}"
            );
        }
    }
    let references = references(&page.text);
    assert!(
        references.contains(&"/docs/rapidoc-min.js".to_owned()),
        "{references:?}"
    );
    assert!(
        references.contains(&"/openapi.json".to_owned()),
        "{references:?}"
    );
    for reference in references {
        if reference.starts_with("data:") {
            continue;
        }
        assert!(
            reference.starts_with('/') && !reference.starts_with("//"),
            "{reference} is elsewhere"
        );
        let loaded = base.get(&reference).await;
        loaded.expect(200);
        assert!(!loaded.text.is_empty(), "{reference}");
    }
    assert!(page.text.contains(r#"load-fonts="false""#), "{page}");
    base.get("/docs/rapidoc-min.js.LICENSE.txt")
        .await
        .expect(200);
    for absent in ["/docs/other.js", "/docs/..%2fpage.html", "/docs/page.html"] {
        base.get(absent).await.problem(404, "NOT_FOUND");
    }
}

fn references(page: &str) -> Vec<String> {
    ["src=\"", "href=\"", "spec-url=\"", "action=\"", "url("]
        .iter()
        .flat_map(|attribute| page.split(attribute).skip(1))
        .map(|rest| rest.split(['"', ')']).next().unwrap_or_default().to_owned())
        .collect()
}

/// A few answers of a real program against their schemas; schemathesis does the same with thousands.
#[tokio::test]
async fn errors_are_among_those_that_are_listed() {
    let dev = shared();
    let tenant = dev.tenant("openapi").await;
    let document = dev.base().get("/openapi.json").await.expect(200);
    let at = dev.at(&tenant.slug);
    let cases: Vec<(Client, &str, &str, Option<&str>)> = vec![
        (
            dev.operator(),
            "post /setup/tenants",
            "/setup/tenants",
            Some("{}"),
        ),
        (
            dev.operator(),
            "post /setup/tenants",
            "/setup/tenants",
            Some("{"),
        ),
        (dev.base(), "get /setup/tenants", "/setup/tenants", None),
        (
            dev.operator(),
            "get /setup/tenants/{tenant}",
            "/setup/tenants/nobody",
            None,
        ),
        (
            dev.operator(),
            "get /setup/tenants",
            "/setup/tenants?limit=0",
            None,
        ),
        (at.clone(), "get /me", "/me", None),
        (
            at.clone(),
            "post /auth/login",
            "/auth/login",
            Some(r#"{"email":"a@b.example","password":"wrong"}"#),
        ),
        (at, "post /auth/refresh", "/auth/refresh", None),
        (tenant.admin.clone(), "get /users/{user}", "/users/7", None),
        (dev.base(), "post /auth/refresh", "/auth/refresh", None),
    ];
    for (client, operation, path, body) in cases {
        let (method, template) = operation.split_once(' ').expect("two words");
        let method: Method = method.to_uppercase().parse().expect("a method");
        let mut request = client.request(method.clone(), path);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let answer = request.send().await;
        let problem = answer.any_problem();
        let listed = &document["paths"][template][method.as_str().to_lowercase()]["responses"]
            [answer.status.to_string()]["content"]["application/problem+json"]["schema"];
        let codes = listed["allOf"][1]["properties"]["code"]["enum"].as_array();
        let codes: Vec<&Value> = codes.into_iter().flatten().collect();
        assert!(
            codes.contains(&&problem["code"]),
            "{answer} is not among {codes:?}"
        );
    }
}
