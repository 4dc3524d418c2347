//! Errors: a page for whoever navigates, a problem for every program

use reqwest::Method;
use tenantry_testkit::{Client, shared};

use super::{BROWSER, html};

#[tokio::test]
async fn who_navigates_reads_a_page_and_a_program_a_problem() {
    let dev = shared();
    let acme = dev.tenant("errors").await;
    let nobody = Client::new(dev.address(), "nobody-has-this.localhost");
    let at = dev.at(&acme.slug);
    for (client, method, path, status, code) in [
        (&nobody, Method::GET, "/", 404, "TENANT_NOT_FOUND"),
        (&nobody, Method::GET, "/sign-in", 404, "TENANT_NOT_FOUND"),
        (&at, Method::GET, "/nothing-here", 404, "NOT_FOUND"),
        (&at, Method::GET, "/me", 401, "UNAUTHENTICATED"),
        (&at, Method::GET, "/sign-out", 405, "METHOD_NOT_ALLOWED"),
        (
            &dev.base(),
            Method::GET,
            "/setup/tenants",
            401,
            "UNAUTHENTICATED",
        ),
    ] {
        let ask = || client.request(method.clone(), path);
        for (name, value) in [("accept", BROWSER), ("sec-fetch-mode", "navigate")] {
            let answer = ask().header(name, value).send().await;
            let page = html(&answer, status);
            let id = answer.header("x-request-id").expect("an id");
            assert!(page.contains(code) && page.contains(id), "{page}");
            let policy = answer.header("content-security-policy").expect("a policy");
            assert!(policy.ends_with("form-action 'none'"), "{policy}");
            // The way in is offered where it helps.
            assert_eq!(page.contains("href=\"/sign-in\""), status == 401, "{page}");
        }
        ask().send().await.problem(status, code);
        for (name, value) in [
            ("accept", "application/json"),
            ("accept", "application/problem+json, text/html;q=0.5"),
            ("sec-fetch-mode", "cors"),
        ] {
            ask().header(name, value).send().await.problem(status, code);
        }
    }
}
