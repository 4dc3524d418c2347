//! A change that takes a tenant away waits for the requests that are with it, also for those that hold no
//! connection, until their answers were sent; at the deadline it ends them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router as App;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use futures::StreamExt;
use tenantry_catalog::change_log::Kind;
use tenantry_router::axum::{Tenant, TenantDb, layer};
use tenantry_router::{Config, ResolveError, Router, Visits};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::home::{Home, conn, eventually, resolve};

/// A deadline that no case lives to see.
const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_millis(500);

async fn router(home: &Home, drain_deadline: Duration) -> Router {
    let config = Config {
        drain_deadline,
        ..Home::config()
    };
    home.router(config).await
}

/// Where a handler is.
#[derive(Clone, Default)]
struct Stage {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
    gone: Arc<AtomicBool>,
}

/// Tells when it is dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Stage {
    /// A product whose handler takes its tenant by two names and no connection, and waits.
    fn product(&self, router: &Router) -> App {
        let stage = self.clone();
        let handler = async move |Tenant(..): Tenant, Tenant(..): Tenant| {
            let _gone = Gone(Arc::clone(&stage.gone));
            stage.begun.notify_one();
            stage.go_on.notified().await;
            "done"
        };
        App::new()
            .route("/", get(handler))
            .route(
                "/panics",
                get(async |_: Tenant| -> () { panic!("a test's") }),
            )
            .layer(layer(router.clone()))
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

async fn ask(app: App, path: &'static str) -> Response<Body> {
    let request = Request::get(path).header("host", "acme.localhost");
    let request = request.body(Body::empty()).expect("a request");
    app.oneshot(request).await.expect("an answer")
}

/// A request that is in the middle of its handler.
async fn begun(stage: &Stage, router: &Router) -> JoinHandle<Response<Body>> {
    let asked = tokio::spawn(ask(stage.product(router), "/"));
    stage.begun.notified().await;
    asked
}

async fn text(answer: Response<Body>) -> (StatusCode, String) {
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// Less than a router takes to give up what cannot be ended.
const BOUND: Duration = Duration::from_secs(20);

async fn drained(router: &Router, number: i64) {
    let done = timeout(BOUND, router.wait_drained(number)).await;
    done.expect("acknowledged");
}

async fn others_are_told(home: &Home, number: i64) {
    eventually("others are told", async || {
        home.behind(number).await.is_empty()
    })
    .await;
}

/// Tried with a drain that looks at leases alone: acknowledged while the handler is in the middle.
pub async fn a_change_waits_for_a_handler_without_a_connection(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, NEVER).await;
    let stage = Stage::default();
    let asked = begun(&stage, &router).await;

    let number = home.change(&tenant, Kind::Disconnect).await;
    router.wait_applied(number).await;
    // Who comes now is served, and waited for by nobody.
    conn(&router, &tenant).await.release();
    assert_eq!(home.behind(number).await, [router.id()]);
    assert!(router.stats().acked < number);

    stage.go_on.notify_one();
    let answer = asked.await.expect("not cancelled");
    assert!(router.stats().acked < number, "nor before it is sent");
    assert_eq!(text(answer).await, (StatusCode::OK, "done".to_owned()));
    drained(&router, number).await;
    others_are_told(&home, number).await;
    router.shutdown().await;
}

/// Tried without `Present::cut`: nothing is acknowledged, and the handler goes on.
pub async fn a_handler_is_ended_at_the_deadline(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, SOON).await;
    let stage = Stage::default();
    let asked = begun(&stage, &router).await;

    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    drained(&router, number).await;
    assert!(stage.is_gone(), "nothing of it goes on");
    let (status, body) = text(asked.await.expect("not cancelled")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#""code":"DATABASE_UNAVAILABLE""#), "{body}");
    others_are_told(&home, number).await;
    router.shutdown().await;
}

/// A product whose answer goes on for as long as something is sent here.
fn streaming(router: &Router) -> (App, mpsc::Sender<&'static str>) {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let handler = async move |_: Tenant| {
        let parts = futures::stream::unfold(receiver, async |receiver| {
            let part = receiver.lock().await.recv().await?;
            Some((Ok::<_, Infallible>(part), receiver))
        });
        Body::from_stream(parts)
    };
    let app = App::new().route("/", get(handler));
    (app.layer(layer(router.clone())), sender)
}

async fn part(body: &mut axum::body::BodyDataStream) -> Option<Result<Bytes, axum::Error>> {
    timeout(BOUND, body.next())
        .await
        .expect("a part or the end")
}

/// Tried with `until_sent` that leaves the body as it is: acknowledged between its parts.
pub async fn a_change_waits_for_an_answer_that_is_still_sent(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, NEVER).await;
    let (app, sender) = streaming(&router);
    sender.send("one").await.expect("sent");
    let mut body = ask(app.clone(), "/").await.into_body().into_data_stream();
    let one = part(&mut body).await.expect("a part").expect("no error");
    assert_eq!(one, "one");
    // A client that went away is waited for by nobody, nor one that asked for no body.
    drop(ask(app, "/").await);

    let number = home.change(&tenant, Kind::Disconnect).await;
    router.wait_applied(number).await;
    conn(&router, &tenant).await.release();
    assert_eq!(home.behind(number).await, [router.id()]);
    sender.send("two").await.expect("sent");
    let two = part(&mut body).await.expect("a part").expect("no error");
    assert_eq!(two, "two");
    assert!(router.stats().acked < number);
    drop(sender);
    assert!(part(&mut body).await.is_none());
    drained(&router, number).await;
    others_are_told(&home, number).await;
    router.shutdown().await;
}

/// Tried without `Present::cut`: both go on, and nothing is acknowledged. Tried with unread answers that
/// count after the cut: the one that nobody reads holds the change up.
pub async fn an_answer_breaks_off_at_the_deadline(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, SOON).await;
    // One whose client waits for the next part, and one whose client reads nothing.
    let (app, sender) = streaming(&router);
    sender.send("one").await.expect("sent");
    let mut body = ask(app, "/").await.into_body().into_data_stream();
    part(&mut body).await.expect("a part").expect("no error");
    let waiting = tokio::spawn(async move { part(&mut body).await });
    let (app, other) = streaming(&router);
    let unread = ask(app, "/").await;
    assert!(!unread.body().is_end_stream());

    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    drained(&router, number).await;
    others_are_told(&home, number).await;
    let broken = waiting.await.expect("not cancelled");
    assert!(broken.expect("not its end").is_err(), "it breaks off");
    other.send("too late").await.expect("nobody took it");
    let mut unread = unread.into_body().into_data_stream();
    let broken = part(&mut unread).await.expect("not its end");
    assert!(broken.is_err(), "nor does it go on when it is read");
    assert!(part(&mut unread).await.is_none());
    router.shutdown().await;
}

/// Tried with visits that outlive their owner: never acknowledged.
pub async fn a_request_that_panics_or_is_given_up_is_not_waited_for(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, NEVER).await;
    let stage = Stage::default();
    let asked = begun(&stage, &router).await;
    let panicked = tokio::spawn(ask(stage.product(&router), "/panics"));
    assert!(panicked.await.is_err_and(|error| error.is_panic()));

    let number = home.change(&tenant, Kind::Disconnect).await;
    router.wait_applied(number).await;
    assert!(router.stats().acked < number, "one is left");
    asked.abort();
    drained(&router, number).await;
    assert!(stage.is_gone());
    router.shutdown().await;
}

/// Tried with `is_retired` in place of `is_ending` in `change_log.rs`: the fence is acknowledged at once.
pub async fn a_migration_ends_no_request_and_a_later_change_waits_for_it(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, NEVER).await;
    let stage = Stage::default();
    let asked = begun(&stage, &router).await;
    let number = home.change(&tenant, Kind::Migrated).await;
    drained(&router, number).await;
    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    router.wait_applied(number).await;
    assert!(router.stats().acked < number, "of before the migration");
    stage.go_on.notify_one();
    let answer = asked.await.expect("not cancelled");
    assert_eq!(text(answer).await.0, StatusCode::OK);
    drained(&router, number).await;
    router.shutdown().await;
}

/// Tried with a visit that does not look whether its generation was retired: it is let in to a tenant
/// that is suspended.
pub async fn nobody_enters_by_a_route_that_was_overtaken(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, NEVER).await;
    let route = resolve(&router, &tenant).await.expect("a route");
    let number = home.change(&tenant, Kind::Disconnect).await;
    drained(&router, number).await;

    // By a newer one then, which the next change waits for.
    let visits = Visits::new();
    let newer = visits.entrance().enter(&router, route.clone()).await;
    assert_eq!(newer.expect("still served").tenant_id(), tenant.id);
    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    router.wait_applied(number).await;
    assert!(router.stats().acked < number);
    drop(visits);
    drained(&router, number).await;

    let visits = Visits::new();
    let refused = visits.entrance().enter(&router, route).await;
    assert!(
        matches!(refused, Err(ResolveError::Suspended { .. })),
        "{refused:?}"
    );
    assert!(visits.is_empty());
    router.shutdown().await;
}

/// A lease in a request's hands goes with it. Tried without `Present::cut`.
pub async fn a_request_with_a_connection_is_ended_with_it(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = router(&home, SOON).await;
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let handler = async move |mut db: TenantDb| {
        told.notify_one();
        let slept = sqlx::query("SELECT pg_sleep(600)").execute(&mut *db).await;
        format!("{slept:?}")
    };
    let app = App::new().route("/", get(handler));
    let asked = tokio::spawn(ask(app.layer(layer(router.clone())), "/"));
    begun.notified().await;
    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    drained(&router, number).await;
    let answer = asked.await.expect("not cancelled");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    eventually("no connection is left", async || {
        home.connections(&router).await == 0
    })
    .await;
    router.shutdown().await;
}
