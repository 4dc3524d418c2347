//! A product written in axum, with the router inside.

use std::time::Duration;

use axum::Router as App;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use tenantry_catalog::change_log::Kind;
use tenantry_router::axum::{Tenant, TenantDb, layer};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::home::{Home, whoami};

async fn who(Tenant(route): Tenant, mut db: TenantDb) -> String {
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
        assert!(body.contains(code), "{host}: {body}");
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
