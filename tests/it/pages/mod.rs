//! The pages for people: over HTTP, as far as it goes, and in a real browser

mod accessible;
mod errors;
mod forms;
mod renewal;
mod walk;

use reqwest::Url;
use serde_json::json;
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, unique};

/// A tenant whose first person is somebody in particular.
struct Place {
    name: String,
    /// As a browser writes it.
    origin: String,
    /// A client of its host.
    client: Client,
    email: String,
}

/// A tenant under the base domain.
async fn place(dev: &Dev, name: &str, email: &str) -> Place {
    place_at(dev, name, email, None).await
}

/// A tenant, perhaps at a domain of its own.
async fn place_at(dev: &Dev, name: &str, email: &str, domain: Option<&str>) -> Place {
    let slug = unique("place");
    let mut body = json!({
        "name": name, "slug": slug,
        "admin": { "email": email, "password": ADMIN_PASSWORD },
    });
    if let Some(domain) = domain {
        body["primaryDomain"] = json!(domain);
    }
    let made = dev
        .operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    let mut origin = made["url"].as_str().expect("a URL").to_owned();
    if let Some(domain) = domain {
        dev.prove(&slug, domain).await;
        origin = made["domain"]["url"].as_str().expect("a URL").to_owned();
    }
    let host = origin.strip_prefix("http://").expect("a host").to_owned();
    Place {
        name: name.to_owned(),
        client: Client::new(dev.address(), &host),
        origin,
        email: email.to_owned(),
    }
}

impl Place {
    /// The first person's credentials, as the form sends them.
    fn credentials(&self) -> [(&str, &str); 2] {
        [("email", &self.email), ("password", ADMIN_PASSWORD)]
    }

    /// Signs in by the form; the cookies as a browser sends them back.
    async fn sign_in(&self) -> Cookies {
        let from = Some(self.origin.as_str());
        let answer = submit(&self.client, "/sign-in", from, &self.credentials()).await;
        answer.expect(303);
        Cookies::of(&answer)
    }

    /// Asks for a page with cookies.
    async fn get(&self, path: &str, cookies: &str) -> Answer {
        self.client
            .request(reqwest::Method::GET, path)
            .header("cookie", cookies)
            .send()
            .await
    }
}

/// The two cookies of a session, each as `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookies {
    access: String,
    refresh: String,
}

impl Cookies {
    fn of(answer: &Answer) -> Self {
        let pair = |word: &str| {
            let all = answer.headers.get_all("set-cookie").iter();
            all.filter_map(|value| value.to_str().ok()?.split(';').next())
                .find(|pair| pair.contains(word) && !pair.ends_with('='))
                .unwrap_or_else(|| panic!("no {word} cookie in {:?}", answer.headers))
                .to_owned()
        };
        Self {
            access: pair("access"),
            refresh: pair("refresh"),
        }
    }

    fn both(&self) -> String {
        format!("{}; {}", self.access, self.refresh)
    }
}

/// Where a page of the base domain comes from.
fn base_origin(dev: &Dev) -> String {
    format!("http://{}", dev.host(None))
}

/// Sends a form as a browser does that navigates, from a page of this origin.
async fn submit(
    client: &Client,
    path: &str,
    origin: Option<&str>,
    fields: &[(&str, &str)],
) -> Answer {
    let mut request = client
        .request(reqwest::Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", BROWSER)
        .body(encoded(fields));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.send().await
}

/// What a browser that navigates accepts.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn encoded(fields: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://form/", fields).expect("a URL");
    url.query().unwrap_or_default().to_owned()
}

/// Checks that an answer is a page of ours and gives its text.
#[track_caller]
fn html(answer: &Answer, status: u16) -> &str {
    assert_eq!(answer.status, status, "{answer}");
    let kind = answer.header("content-type").unwrap_or_default();
    assert_eq!(kind, "text/html; charset=utf-8", "{answer}");
    let policy = answer
        .header("content-security-policy")
        .unwrap_or_else(|| panic!("no policy: {answer}"));
    for part in [
        "default-src 'none'; style-src 'sha256-",
        "; base-uri 'none'",
        "; frame-ancestors 'none'",
        "; form-action ",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    for loose in ["unsafe", "*", "script-src", "http: ", "https: "] {
        assert!(!policy.contains(loose), "{loose} in {policy}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    assert_eq!(
        answer.header("x-content-type-options"),
        Some("nosniff"),
        "{answer}"
    );
    assert!(answer.text.contains("<html lang=\"en\">"), "{answer}");
    assert_eq!(answer.text.matches("<h1>").count(), 1, "{answer}");
    for script in ["<script", "javascript:", " onclick=", " onload="] {
        assert!(!answer.text.contains(script), "{script} in {answer}");
    }
    &answer.text
}

/// The codes that a page with a choice of tenants holds, by the tenant's URL.
fn codes(page: &str) -> Vec<(String, String)> {
    page.split("<form ")
        .skip(1)
        .map(|form| {
            let between = |before: &str| {
                let rest = form.split(before).nth(1).expect("an attribute");
                rest.split('"').next().expect("a value").to_owned()
            };
            let action = between("action=\"");
            let url = action.strip_suffix("/sign-in/redeem");
            (url.expect("a form").to_owned(), between("value=\""))
        })
        .collect()
}
