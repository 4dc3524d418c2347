//! What the program logs. That no log holds a secret or a mail address is looked at by the testkit
//! whenever a server ends, in every test.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_api::routes::table;
use tenantry_testkit::{Answer, Client, Dev, Options, Serve, logs, raw, shared};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn with_id(client: &Client, path: &str, id: &str) -> Answer {
    client
        .request(Method::GET, path)
        .header("x-request-id", id)
        .header("traceparent", TRACE)
        .send()
        .await
}

#[tokio::test]
async fn each_request_has_one_line_that_its_id_finds() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_LOG_FORMAT", "json"));
    let acme = dev.tenant("acme").await;
    let fine = with_id(&acme.admin, "/me", "from-the-client.1").await;
    fine.expect(200);
    assert_eq!(fine.header("x-request-id"), Some("from-the-client.1"));
    let missing = with_id(&acme.admin, "/users/none", "from-the-client.2").await;
    assert_eq!(missing.any_problem()["requestId"], "from-the-client.2");
    // Neither what is too long nor what is odd is taken over.
    let long = "a".repeat(65);
    for bad in ["an id", "<b>", "a:b", long.as_str()] {
        let answer = with_id(&acme.admin, "/users/none", bad).await;
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert_ne!(id, bad);
        assert_eq!(answer.any_problem()["requestId"], id.as_str());
        assert!(!dev.log().contains(&format!("\"{bad}\"")), "{bad}");
    }

    let lines: Vec<Value> = dev
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        let time = text("timestamp");
        assert!(
            time.len() >= 20 && time.contains('T') && time.ends_with('Z'),
            "{line}"
        );
        let known = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
        assert!(known.contains(&text("level")), "{line}");
        assert!(
            !text("target").is_empty() && !text("message").is_empty(),
            "{line}"
        );
    }
    let answered = |id: &str| {
        let mut of = lines
            .iter()
            .filter(|line| line["message"] == "answered" && line["span"]["request_id"] == id);
        let line = of.next().expect("a line");
        assert!(of.next().is_none(), "one line for {id}");
        line.clone()
    };
    let line = answered("from-the-client.1");
    assert_eq!(line["status"], 200);
    assert!(
        line["latency_us"].as_u64().is_some_and(|time| time > 0),
        "{line}"
    );
    assert_eq!(line["span"]["route"], "/me");
    assert_eq!(line["span"]["method"], "GET");
    assert_eq!(line["span"]["tenant"], acme.id.as_str());
    assert_eq!(line["span"]["trace_id"], &TRACE[3..35]);
    let line = answered("from-the-client.2");
    assert_eq!(
        line["span"]["route"], "/users/{user}",
        "the route, not the path"
    );
    assert!(line["status"].as_u64().is_some_and(|status| status >= 400));
}

#[tokio::test]
async fn what_a_client_sends_makes_no_line_of_its_own() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_LOG", "debug"));
    let evil = "x\n2026-01-01T00:00:00.000000Z  INFO forged\u{1b}[2J\r";
    let operator = dev.operator();
    for path in ["/setup/tenants", "/setup/operators"] {
        let body = json!({ "name": evil, "slug": evil, "admin": { "email": evil } });
        operator.post(path, body).await;
    }
    operator
        .delete("/setup/operators/x%0a2026%1b%5b2Jforged")
        .await;
    for header in [
        "x-request-id",
        "traceparent",
        "x-tenant-id",
        "idempotency-key",
        "x",
    ] {
        for value in [
            "a\r\n forged",
            "a\u{1b}[2Jforged",
            "a\nforged: yes",
            "\u{85}forged",
        ] {
            let request = format!(
                "POST /setup/tenants HTTP/1.1\r\nHost: localhost\r\n{header}: {value}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            let answer = raw(dev.address(), &request);
            assert!(answer.status >= 400, "{answer}");
        }
    }
    for host in ["a\u{1b}[2Jforged", "forged%0a.localhost", "a\"forged\" b"] {
        let request = format!("GET /me HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert!(raw(dev.address(), &request).status >= 400);
    }
    let log = dev.log();
    for line in log.lines() {
        let year = line
            .get(..4)
            .is_some_and(|year| year.parse::<u16>().is_ok());
        assert!(
            year && !line.starts_with("2026-01-01T00:00:00.000000Z"),
            "{line}"
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_wrong_filter_is_told_at_the_start() {
    for bad in ["inof", "tenantry=loud"] {
        let told = shared().cli_elsewhere(&["serve"], &[("TENANTRY_LOG", bad)]);
        let told = told.expect(2);
        assert!(told.stderr.contains("TENANTRY_LOG"), "{told}");
        assert!(
            told.stderr.contains("info"),
            "and what would be right: {told}"
        );
    }
}

/// Every route, with right and wrong tokens and bodies, at the level that shows most: the testkit
/// looks at both logs when the servers end.
#[tokio::test]
async fn no_level_shows_a_secret_or_a_mail_address() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_LOG", "trace"));
    let json = [("TENANTRY_LOG", "trace"), ("TENANTRY_LOG_FORMAT", "json")];
    let mut serve = Serve::join(&dev, "second", &json);
    let acme = dev.tenant("acme").await;
    let bodies = [
        json!({ "email": acme.email, "password": "a password that is wrong" }),
        json!({ "email": "bob@acme.example", "password": "another password", "roles": ["Viewer"] }),
        json!({ "refreshToken": acme.refresh_token, "name": "ann@acme.example" }),
        json!({ "name": "bob@acme.example", "slug": "bob@acme.example", "admin": { "email": "bob" } }),
    ];
    let jwt = acme.admin.token().to_owned();
    let clients = [
        dev.operator(),
        acme.admin.clone(),
        acme.admin.bearer(&dev.operator_token()),
        dev.base().bearer(&jwt),
        serve.at(&acme.slug).bearer(&jwt),
        serve.base().bearer(&dev.operator_token()),
        serve.base().host("bob@acme.example"),
    ];
    for route in table() {
        for client in &clients {
            for word in [acme.id.as_str(), "ann@acme.example", &jwt] {
                // What is asked for is not done: other tests see to that it works.
                let path = route
                    .path
                    .split('/')
                    .map(|part| if part.starts_with('{') { word } else { part })
                    .collect::<Vec<_>>()
                    .join("/");
                for body in &bodies {
                    let path = format!("{path}?cursor={jwt}&email=ann@acme.example");
                    if route.method == Method::DELETE && word == acme.id {
                        continue;
                    }
                    let request = client.request(route.method.clone(), &path);
                    let request = request.header("idempotency-key", &jwt);
                    request.json(body).send().await;
                    if route.method == Method::GET {
                        break;
                    }
                }
                if !route.path.contains('{') {
                    break;
                }
            }
        }
    }
    let log = serve.process().log();
    assert!(log.contains("\"DEBUG\"") && dev.log().contains("DEBUG"));
}

#[test]
#[should_panic(expected = "a mail address is in this line: INFO sent to ann@acme.example")]
fn an_address_in_a_log_fails_the_test_that_has_the_server() {
    let log = std::env::temp_dir().join(format!("tenantry-a-log-{}", std::process::id()));
    std::fs::write(&log, "INFO sent to ann@acme.example\n").expect("written");
    let _gone = Gone(&log);
    logs::check(&log);
}

struct Gone<'a>(&'a Path);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
