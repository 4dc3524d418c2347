//! A session goes on while a page is asked for, although its access token has ended

use reqwest::Method;
use serde_json::json;
use tenantry_testkit::{Answer, shared};

use super::{Cookies, Place, html, place};

/// `GET /` of a browser whose access cookie is over.
async fn home(acme: &Place, refresh: &str, destination: &str) -> Answer {
    acme.client
        .request(Method::GET, "/")
        .header("cookie", refresh)
        .header("sec-fetch-dest", destination)
        .send()
        .await
}

async fn refresh(acme: &Place, cookie: &str) -> Answer {
    let (_, token) = cookie.split_once('=').expect("a cookie");
    let body = json!({ "refreshToken": token });
    acme.client.post("/auth/refresh", body).await
}

#[tokio::test]
async fn a_page_renews_the_session_and_two_windows_at_once_do_no_harm() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@renew.example").await;
    let first = acme.sign_in().await;

    // A frame or an image of another page is no reason to.
    for destination in ["iframe", "image", "empty"] {
        let answer = home(&acme, &first.refresh, destination).await;
        answer.expect(303);
        assert!(answer.headers.get("set-cookie").is_none(), "{answer}");
    }

    let windows =
        futures::future::join_all((0..5).map(|_| home(&acme, &first.refresh, "document"))).await;
    // And one whose request was on its way when the others had their answers.
    let late = home(&acme, &first.refresh, "document").await;
    let next: Vec<Cookies> = windows
        .iter()
        .chain([&late])
        .map(|answer| {
            assert!(html(answer, 200).contains("ann@renew.example"), "{answer}");
            Cookies::of(answer)
        })
        .collect();
    assert!(
        next.iter()
            .all(|cookies| cookies.refresh == next[0].refresh)
    );
    assert_ne!(next[0].refresh, first.refresh);
    html(&acme.get("/", &next[0].access).await, 200);

    // The line goes on, once: of two who hold the next token, the second is found out.
    refresh(&acme, &next[0].refresh).await.expect(200);
    refresh(&acme, &next[0].refresh)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    acme.get("/", &next[0].access).await.expect(303);
}

#[tokio::test]
async fn what_a_page_renewed_is_used_up_for_programs() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@used.example").await;
    let first = acme.sign_in().await;
    html(&home(&acme, &first.refresh, "document").await, 200);
    refresh(&acme, &first.refresh)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    // And ends the session, because two had it; a page does not tell the renewal again.
    let over = home(&acme, &first.refresh, "document").await;
    over.expect(303);
    let taken_back = over.headers.get_all("set-cookie").iter().count();
    assert_eq!(taken_back, 2, "{:?}", over.headers);
}

#[tokio::test]
async fn a_session_is_renewed_at_its_own_tenant_only() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@own.example").await;
    let globex = place(dev, "Globex", "ann@own.example").await;
    let cookies = acme.sign_in().await;
    html(&home(&acme, &cookies.refresh, "document").await, 200);
    // Within the seconds in which Acme would tell it again.
    home(&globex, &cookies.refresh, "document")
        .await
        .expect(303);
    globex.get("/", &cookies.access).await.expect(303);
}
