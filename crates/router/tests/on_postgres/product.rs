//! A product written in axum, with the router inside.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router as App;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use tenantry_catalog::change_log::Kind;
use tenantry_router::axum::{Error, Tenant, TenantDb, layer};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::home::{Home, whoami};

async fn who(Tenant(route, ..): Tenant, mut db: TenantDb) -> String {
    let slug = whoami(&mut db).await.expect("asked");
    assert_eq!(db.tenant().tenant_id(), route.tenant_id());
    db.release();
    slug
}

async fn ask(app: &App, host: &str) -> (StatusCode, String) {
    let request = Request::get("/")
        .header("host", host)
        .body(Body::empty())
        .expect("a request");
    let response: Response<Body> = app.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = to_bytes(response.into_body(), 10_000)
        .await
        .expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// Tried: with the first of two hosts taken, it is served; with suspended tenants served in
/// `resolve.rs`, it is not refused.
pub async fn a_handler_takes_its_tenants_database_as_an_argument(home: Home) {
    let (a, _b) = (home.tenant("acme").await, home.tenant("globex").await);
    let router = home.router(Home::config()).await;
    let app = App::new().route("/", get(who)).layer(layer(router.clone()));
    for slug in ["acme", "globex", "acme"] {
        let answer = ask(&app, &format!("{slug}.localhost:8080")).await;
        assert_eq!(answer, (StatusCode::OK, slug.to_owned()));
    }
    for (host, status, code) in [
        (
            "nobody.localhost",
            StatusCode::NOT_FOUND,
            "TENANT_NOT_FOUND",
        ),
        ("localhost", StatusCode::NOT_FOUND, "TENANT_NOT_FOUND"),
        ("a b", StatusCode::BAD_REQUEST, "BAD_HOST"),
    ] {
        let (found, body) = ask(&app, host).await;
        assert_eq!(found, status, "{host}");
        let told: serde_json::Value = serde_json::from_str(&body).expect("a problem");
        assert_eq!(told["type"], format!("urn:tenantry:error:{code}"), "{body}");
        assert_eq!(told["status"], status.as_u16(), "{body}");
        assert_eq!(told["code"], code, "{body}");
        assert!(told["detail"].is_string(), "{body}");
    }
    let two = Request::get("/")
        .header("host", "acme.localhost")
        .header("host", "globex.localhost");
    let two = app
        .clone()
        .oneshot(two.body(Body::empty()).expect("a request"))
        .await;
    assert_eq!(
        two.expect("an answer").status(),
        StatusCode::BAD_REQUEST,
        "two hosts are none"
    );

    let number = home.set_status(&a, "suspended", Kind::Fenced).await;
    timeout(Duration::from_secs(2), router.wait_applied(number))
        .await
        .expect("applied");
    let (found, body) = ask(&app, "acme.localhost").await;
    assert_eq!(found, StatusCode::FORBIDDEN);
    assert!(body.contains("TENANT_SUSPENDED"), "{body}");

    let bare = App::new().route("/", get(who));
    assert_eq!(
        ask(&bare, "acme.localhost").await.0,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    router.shutdown().await;
}

/// A proxy that sets `Host` and passes on what the client sent beside it.
///
/// Tried: with `agreed` believing the proxy's word alone, the other tenant answers.
pub async fn a_forwarded_host_does_not_count_against_the_hosts_tenant(home: Home) {
    home.tenant("acme").await;
    home.tenant("globex").await;
    let router = home.router(Home::config()).await;
    let proxy: SocketAddr = "10.0.0.1:1".parse().expect("an address");
    let trusted = layer(router.clone()).trusting(["10.0.0.0/8".parse().expect("a network")]);
    let app = App::new().route("/", get(who)).layer(trusted);
    let ask = async |host: &str, forwarded: &str| {
        let request = Request::get("/")
            .header("host", host)
            .header("x-forwarded-host", forwarded)
            .extension(ConnectInfo(proxy));
        let answer = app
            .clone()
            .oneshot(request.body(Body::empty()).expect("a request"));
        let answer = answer.await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    };
    for (host, forwarded) in [
        ("10.1.2.3:8080", "globex.localhost"),
        ("product:8080", "globex.localhost"),
        ("product.internal", "globex.localhost"),
        ("localhost", "globex.localhost"),
        ("nobody.localhost", "globex.localhost"),
        ("GLOBEX.localhost:8080", "globex.localhost"),
    ] {
        let answer = ask(host, forwarded).await;
        assert_eq!(answer, (StatusCode::OK, "globex".to_owned()), "{host}");
    }
    for (forwarded, status, code) in [
        ("globex.localhost", StatusCode::FORBIDDEN, "WRONG_TENANT"),
        ("nobody.localhost", StatusCode::FORBIDDEN, "WRONG_TENANT"),
        ("shop.example", StatusCode::FORBIDDEN, "WRONG_TENANT"),
        ("localhost", StatusCode::BAD_REQUEST, "BAD_HOST"),
        ("10.1.2.3", StatusCode::BAD_REQUEST, "BAD_HOST"),
    ] {
        let (found, body) = ask("acme.localhost", forwarded).await;
        assert_eq!(found, status, "{forwarded}: {body}");
        let told: serde_json::Value = serde_json::from_str(&body).expect("a problem");
        assert_eq!(told["code"], code, "{body}");
    }
    router.shutdown().await;
}

/// Rows that a handler wrote in a transaction, by whether it came to its commit.
async fn write(tenant: Tenant, body: String) -> Result<&'static str, Error> {
    let mut db = tenant.db().await?;
    let mut tx = db.begin().await?;
    sqlx::query("UPDATE whoami SET slug = $1")
        .bind(&body)
        .execute(&mut *tx)
        .await?;
    if body == "fails" {
        sqlx::query("SELECT secret_column FROM whoami")
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok("written")
}

async fn read(mut db: TenantDb) -> Result<String, Error> {
    Ok(sqlx::query_scalar("SELECT slug FROM whoami")
        .fetch_one(&mut *db)
        .await?)
}

/// Tried by a commit before the failing statement: the row is then "fails"; and by putting the
/// database's own words into the answer.
pub async fn what_fails_half_way_is_rolled_back_and_tells_nothing(home: Home) {
    home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    let app = App::new()
        .route("/", get(read).post(write))
        .layer(layer(router.clone()));
    let post = async |body: &'static str| {
        let request = Request::post("/").header("host", "acme.localhost");
        let answer = app
            .clone()
            .oneshot(request.body(Body::from(body)).expect("a request"));
        let answer = answer.await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    };
    assert_eq!(post("second").await.0, StatusCode::OK);
    let (status, body) = post("fails").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains(r#""code":"INTERNAL""#), "{body}");
    assert!(!body.contains("secret_column"), "{body}");
    assert_eq!(
        ask(&app, "acme.localhost").await,
        (StatusCode::OK, "second".to_owned())
    );
    router.shutdown().await;
}
