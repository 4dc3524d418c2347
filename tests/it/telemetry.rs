//! Traces, as a collector receives them: a small one of our own that reads OTLP over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Options, Serve, shared};

use crate::wait;

const BOUND: Duration = Duration::from_secs(20);
const NAMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A span as it was received.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    kind: i32,
    links: Vec<String>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    headers: Vec<String>,
}

/// A collector on a port of its own; it ends with the runtime of its test.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn at(address: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Mutex::new(Received::default()));
        let service = axum::Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, received }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.received.lock().expect("no panic").spans.clone()
    }

    /// The span of a request, once it has come.
    async fn request(&self, id: &str) -> Span {
        let find = || {
            let all = self.spans().into_iter();
            let mut of = all.filter(|span| span.attribute("tenantry.request.id") == id);
            of.next()
        };
        wait::until(BOUND, "the request's span", async || find().is_some()).await;
        find().expect("a span")
    }

    /// All spans of a trace, once there is one of each of these names.
    async fn trace(&self, trace: &str, names: &[&str]) -> Vec<Span> {
        let of = || {
            let all = self.spans().into_iter();
            all.filter(|span| span.trace == trace).collect::<Vec<_>>()
        };
        let what = format!("{names:?} in the trace");
        wait::until(BOUND, &what, async || {
            let all = of();
            names
                .iter()
                .all(|name| all.iter().any(|span| span.name == *name))
        })
        .await;
        of()
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).expect("protobuf");
    let mut received = received.lock().expect("no panic");
    let token = headers.get("x-token").and_then(|value| value.to_str().ok());
    received.headers.extend(token.map(str::to_owned));
    for of in request.resource_spans {
        let resource = of
            .resource
            .map(|resource| resource.attributes)
            .unwrap_or_default();
        let resource = texts(&resource);
        for span in of.scope_spans.into_iter().flat_map(|of| of.spans) {
            received.spans.push(Span {
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind,
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                attributes: texts(&span.attributes),
                resource: resource.clone(),
            });
        }
    }
    Vec::new()
}

impl Span {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn texts(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.clone())
    {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    all.iter()
        .map(|pair| (pair.key.clone(), text(&pair.value)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(all: &'a [Span], name: &str) -> &'a Span {
    all.iter()
        .find(|span| span.name == name)
        .expect("a span of this name")
}

/// A program that sends to this collector, often.
fn options(url: &str) -> Options {
    Options::default()
        .env("TENANTRY_TELEMETRY_OTLP_ENDPOINT", url)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
}

async fn with_id(client: &Client, path: &str, id: &str) -> Answer {
    let request = client.request(Method::GET, path).header("x-request-id", id);
    request.send().await
}

/// Tried by recording no tenant, and by opening connections outside of the request's span: the first
/// has no tenant, the others have another trace.
#[tokio::test]
async fn one_request_is_one_trace_with_what_it_had_to_do() {
    let collector = Collector::start().await;
    let dev = Dev::start_with(
        options(&collector.url())
            .env("TENANTRY_LOG_FORMAT", "json")
            .env(
                "TENANTRY_TELEMETRY_OTLP_HEADERS",
                "x-token=of-the-collector",
            )
            .env(
                "TENANTRY_TELEMETRY_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test",
            )
            .env("OTEL_SERVICE_NAME", "named-by-the-usual-variable"),
    );
    let acme = dev.tenant("acme").await;
    let path = format!("/setup/tenants/{}/disconnect", acme.id);
    dev.operator().post(&path, json!({})).await.expect(200);

    let cold = with_id(&acme.admin, "/me", "cold-1").await;
    cold.expect(200);
    let request = collector.request("cold-1").await;
    assert_eq!(request.name, "GET /me");
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(request.parent, "", "it begins the trace");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/me"),
        ("http.response.status_code", "200"),
        ("tenantry.tenant.id", acme.id.as_str()),
    ] {
        assert_eq!(request.attribute(name), value, "{request:?}");
    }
    for (name, value) in [
        ("service.name", "named-by-the-usual-variable"),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(request.resource.get(name).map(String::as_str), Some(value));
    }
    let all = collector
        .trace(&request.trace, &["resolve", "connect", "prove"])
        .await;
    let connect = named(&all, "connect");
    assert_eq!(named(&all, "resolve").parent, request.id, "{all:?}");
    assert_eq!(connect.parent, request.id, "{all:?}");
    assert_eq!(connect.attribute("tenantry.tenant.id"), acme.id);
    assert_eq!(connect.attribute("outcome"), "done");
    assert_eq!(named(&all, "prove").parent, connect.id, "{all:?}");
    // The client and the log have the same ids.
    let told = format!("00-{}-{}-01", request.trace, request.id);
    assert_eq!(cold.header("traceresponse"), Some(told.as_str()));
    let line = dev.log();
    let mut lines = line.lines().filter(|line| line.contains("cold-1"));
    let line: Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
    assert_eq!(line["span"]["trace_id"], request.trace.as_str(), "{line}");
    assert_eq!(line["span"]["tenant"], acme.id.as_str(), "{line}");

    // Warm, a request has one span and nothing else.
    with_id(&acme.admin, "/me", "warm-1").await.expect(200);
    let warm = collector.request("warm-1").await;
    with_id(&acme.admin, "/users/none", "warm-2").await;
    let failed = collector.request("warm-2").await;
    assert_eq!(
        failed.name, "GET /users/{user}",
        "the template, not the path"
    );
    let of_warm = collector.spans().into_iter();
    assert_eq!(of_warm.filter(|span| span.trace == warm.trace).count(), 1);
    let headers = collector.received.lock().expect("no panic").headers.clone();
    assert!(headers.iter().all(|token| token == "of-the-collector") && !headers.is_empty());
}

/// Tried by spawning the operation without its span: it has no part in the request's trace.
#[tokio::test]
async fn an_operation_is_in_the_trace_of_its_request_and_nothing_secret_is_anywhere() {
    let collector = Collector::start().await;
    let dev = Dev::start_with(options(&collector.url()));
    let body = json!({
        "name": "Acme", "slug": "acme",
        "admin": { "email": "ann@acme.example", "password": ADMIN_PASSWORD },
    });
    let request = dev.operator().request(Method::POST, "/setup/tenants");
    let request = request.header("x-request-id", "birth-1").json(&body);
    let made = request.send().await.expect(201);
    let (client, signed) = dev
        .at("acme")
        .sign_in("ann@acme.example", ADMIN_PASSWORD)
        .await;
    client.get("/users?email=ann@acme.example").await;

    let request = collector.request("birth-1").await;
    let all = collector
        .trace(&request.trace, &["create", "claim", "seed"])
        .await;
    let operation = named(&all, "create");
    assert_eq!(operation.parent, request.id, "{all:?}");
    let id = made["operationId"].as_str().expect("an id");
    for step in ["create", "claim", "seed"] {
        assert_eq!(named(&all, step).attribute("tenantry.operation.id"), id);
    }
    assert_eq!(named(&all, "seed").parent, operation.id);

    let token = dev.operator_token();
    let secrets = [
        ADMIN_PASSWORD,
        token.as_str(),
        signed["accessToken"].as_str().expect("a token"),
        made["dbPassword"].as_str().expect("a password"),
        "ann",
        "@",
    ];
    let spans = collector.spans();
    assert!(spans.len() > 5, "{spans:?}");
    for span in spans {
        let texts = span.attributes.values().chain(span.resource.values());
        for text in texts.chain([&span.name]) {
            for secret in secrets {
                assert!(!text.contains(secret), "{secret} in {span:?}");
            }
        }
    }
}

/// Tried with a `traceparent` that is believed from anybody: the stranger's request joins the trace.
#[tokio::test]
async fn only_a_trusted_proxy_names_the_trace_and_decides_whether_it_is_kept() {
    let collector = Collector::start().await;
    let dev = Dev::start_with(options(&collector.url()));
    let url = collector.url();
    let env = [
        ("TENANTRY_TELEMETRY_OTLP_ENDPOINT", url.as_str()),
        ("TENANTRY_TRUSTED_PROXIES", "127.0.0.1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let behind = Serve::join(&dev, "behind", &env);
    let ask = async |client: Client, id: &str, named: &str| {
        let request = client
            .request(Method::GET, "/openapi.json")
            .header("x-request-id", id);
        request
            .header("traceparent", named)
            .send()
            .await
            .expect(200);
    };
    ask(dev.base(), "stranger-1", NAMED).await;
    let stranger = collector.request("stranger-1").await;
    assert_ne!(stranger.trace, &NAMED[3..35]);
    assert_eq!(stranger.parent, "");
    assert_eq!(stranger.links, [&NAMED[3..35]], "and yet it can be found");

    ask(behind.base(), "proxied-1", NAMED).await;
    let proxied = collector.request("proxied-1").await;
    assert_eq!(proxied.trace, &NAMED[3..35]);
    assert_eq!(proxied.parent, &NAMED[36..52]);
    assert!(proxied.links.is_empty());

    // Not sampled there, not sampled here.
    let unsampled = NAMED.replace("4bf9", "5bf9").replace("-01", "-00");
    ask(behind.base(), "unsampled-1", &unsampled).await;
    ask(behind.base(), "proxied-2", NAMED).await;
    collector.request("proxied-2").await;
    let all = collector.spans();
    assert!(
        all.iter()
            .all(|span| span.attribute("tenantry.request.id") != "unsampled-1")
    );
}

/// Tried without the wait for the exporter at the program's end: nothing arrives.
#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let options = options(&collector.url()).env("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut dev = Dev::start_with(options);
    with_id(&dev.base(), "/openapi.json", "last-1")
        .await
        .expect(200);
    assert!(collector.spans().is_empty(), "nothing was sent yet");
    assert_eq!(dev.stop(), 0, "{}", dev.log());
    collector.request("last-1").await;
}

/// Tried with a warning for each batch: there are many lines.
#[tokio::test]
async fn a_collector_that_is_away_disturbs_nobody_and_is_told_once() {
    // A port that is ours, and where nothing listens for now.
    let place = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = place.local_addr().expect("an address");
    drop(place);
    let dev = Dev::start_with(options(&format!("http://{address}")));
    let acme = dev.tenant("acme").await;
    let away = "traces cannot be exported";
    let until = std::time::Instant::now() + Duration::from_secs(2);
    while std::time::Instant::now() < until {
        acme.admin.get("/me").await.expect(200);
    }
    wait::until(BOUND, "the warning", async || dev.log().contains(away)).await;
    assert_eq!(dev.log().matches(away).count(), 1, "{}", dev.log());

    let collector = Collector::at(address).await;
    wait::until(BOUND, "spans again", async || {
        acme.admin.get("/me").await.expect(200);
        !collector.spans().is_empty()
    })
    .await;
    wait::until(BOUND, "and that is told", async || {
        dev.log().contains("traces are exported again")
    })
    .await;
    assert_eq!(dev.log().matches(away).count(), 1);
}

#[tokio::test]
async fn without_a_collector_there_are_no_traces() {
    let answer = with_id(&shared().base(), "/openapi.json", "none-1").await;
    answer.expect(200);
    assert_eq!(answer.header("traceresponse"), None);
    let env = [("TENANTRY_TELEMETRY_OTLP_ENDPOINT", "http://ann:hunter2@a:1")];
    let told = shared().cli_elsewhere(&["serve"], &env).expect(2);
    assert!(told.stderr.contains("telemetry.otlp_endpoint"), "{told}");
    assert!(!told.stderr.contains("hunter2"), "{told}");
}
