//! Forms: what they do, and from where they may come

use std::net::IpAddr;

use reqwest::Method;
use serde_json::json;
use tenantry_testkit::{ADMIN_PASSWORD, Client, shared, unique};

use super::{BROWSER, Cookies, base_origin, codes, encoded, html, place, submit};

const EVIL: &str = "http://evil.example";

#[tokio::test]
async fn a_sign_in_at_a_tenants_host_shows_who_and_where() {
    let dev = shared();
    let acme = place(dev, "Acme & Sons", "ann@acme.example").await;
    let form = acme.client.get("/sign-in").await;
    assert!(
        html(&form, 200).contains("Sign in to Acme &#38; Sons"),
        "{form}"
    );

    let from = Some(acme.origin.as_str());
    let signed_in = submit(&acme.client, "/sign-in", from, &acme.credentials()).await;
    signed_in.expect(303);
    assert_eq!(signed_in.header("location"), Some("/"));
    let cookies = Cookies::of(&signed_in);

    let home = acme.get("/", &cookies.both()).await;
    let page = html(&home, 200);
    let host = acme.origin.trim_start_matches("http://");
    for part in [
        "Acme &#38; Sons",
        "ann@acme.example",
        "Admin",
        host,
        "Sign out",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }

    let out = acme
        .client
        .request(Method::POST, "/sign-out")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", &acme.origin)
        .header("cookie", &cookies.both())
        .send()
        .await;
    out.expect(303);
    assert_eq!(out.header("location"), Some("/sign-in"));
    assert_eq!(out.headers.get_all("set-cookie").iter().count(), 2);
    // Both tokens are worth nothing now, should a browser have kept them.
    for kept in [cookies.both(), cookies.access, cookies.refresh] {
        let again = acme.get("/", &kept).await;
        again.expect(303);
        assert_eq!(again.header("location"), Some("/sign-in"), "{kept}");
    }
}

#[tokio::test]
async fn a_base_domain_offers_the_tenants_that_the_password_opens() {
    let dev = shared();
    let email = format!("ann@{}.example", unique("two"));
    let (acme, globex) = (
        place(dev, "Acme", &email).await,
        place(dev, "Globex", &email).await,
    );
    let root = dev.base().get("/").await;
    root.expect(303);
    assert_eq!(root.header("location"), Some("/sign-in"));
    html(&dev.base().get("/sign-in").await, 200);

    let from = base_origin(dev);
    let choice = submit(&dev.base(), "/sign-in", Some(&from), &acme.credentials()).await;
    let page = html(&choice, 200);
    let codes = codes(page);
    let urls: Vec<&str> = codes.iter().map(|(url, _)| url.as_str()).collect();
    assert_eq!(urls, [&acme.origin, &globex.origin], "{page}");
    assert!(page.contains("Continue to Acme") && page.contains("Continue to Globex"));
    // Its forms can be sent to these two tenants and nowhere else.
    let policy = choice.header("content-security-policy").expect("a policy");
    let forms = format!("form-action {} {}", acme.origin, globex.origin);
    assert!(policy.ends_with(&forms), "{policy}");
    assert!(choice.headers.get("set-cookie").is_none(), "{choice}");

    for (place, (_, code)) in [&acme, &globex].into_iter().zip(&codes) {
        let code = [("code", code.as_str())];
        let redeemed = submit(&place.client, "/sign-in/redeem", Some(&from), &code).await;
        redeemed.expect(303);
        assert_eq!(redeemed.header("location"), Some("/"));
        let home = place.get("/", &Cookies::of(&redeemed).both()).await;
        assert!(html(&home, 200).contains(&place.name), "{home}");
    }
}

#[tokio::test]
async fn a_code_opens_its_own_tenant_once() {
    let dev = shared();
    let email = format!("ann@{}.example", unique("once"));
    let acme = place(dev, "Acme", &email).await;
    let other = place(dev, "Other", "bob@other.example").await;
    let from = base_origin(dev);
    let choice = submit(&dev.base(), "/sign-in", Some(&from), &acme.credentials()).await;
    let (_, code) = codes(html(&choice, 200)).remove(0);
    let code = [("code", code.as_str())];

    let foreign = submit(&other.client, "/sign-in/redeem", Some(&from), &code).await;
    let page = html(&foreign, 401);
    assert!(page.contains("role=\"alert\""), "{page}");
    assert!(foreign.headers.get("set-cookie").is_none(), "{foreign}");

    let first = submit(&acme.client, "/sign-in/redeem", Some(&from), &code).await;
    first.expect(303);
    let second = submit(&acme.client, "/sign-in/redeem", Some(&from), &code).await;
    let page = html(&second, 401);
    // What helps is at hand: the form of this tenant.
    assert!(page.contains("action=\"/sign-in\""), "{page}");
    assert!(second.headers.get("set-cookie").is_none(), "{second}");
}

#[tokio::test]
async fn who_is_wrong_reads_one_reason_and_types_the_password_again() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@wrong.example").await;
    let base = base_origin(dev);
    for (client, origin) in [(&acme.client, &acme.origin), (&dev.base(), &base)] {
        for (email, password, status) in [
            ("ann@wrong.example", "not the password", 401),
            ("nobody@wrong.example", "not the password", 401),
            ("no address", "not the password", 422),
            ("", "not the password", 422),
            ("ann@wrong.example", "", 422),
        ] {
            let typed = [("email", email), ("password", password)];
            let refused = submit(client, "/sign-in", Some(origin), &typed).await;
            let page = html(&refused, status);
            assert_eq!(page.matches("role=\"alert\"").count(), 1, "{page}");
            assert!(page.contains("aria-invalid=\"true\" aria-describedby=\"refusal\""));
            assert!(page.contains("<title>Error: "), "{page}");
            assert!(page.contains(&format!("value=\"{email}\"")), "{page}");
            assert!(!page.contains("not the password"), "{page}");
            assert!(refused.headers.get("set-cookie").is_none(), "{refused}");
            if status == 401 {
                assert!(refused.headers.contains_key("www-authenticate"));
            }
        }
    }
}

#[tokio::test]
async fn a_form_of_somebody_elses_page_is_refused() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@forged.example").await;
    let globex = place(dev, "Globex", "eve@forged.example").await;
    let cookies = acme.sign_in().await;
    let base = base_origin(dev);
    let own_port = format!(":{}", dev.address().port());
    let other_port = acme.origin.replace(&own_port, ":1");
    let longer = format!("{}.evil.example", acme.origin);
    let encrypted = acme.origin.replace("http:", "https:");

    let strangers = [
        Some(EVIL),
        Some(&globex.origin),
        Some("null"),
        Some(&other_port),
        Some(&longer),
        Some(&encrypted),
        None,
    ];
    let code = [("code", "x")];
    let credentials = acme.credentials();
    for (path, fields) in [
        ("/sign-in", &credentials[..]),
        ("/sign-in/redeem", &code),
        ("/sign-out", &[]),
    ] {
        for origin in strangers {
            let forged = acme
                .client
                .request(Method::POST, path)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("accept", BROWSER)
                .header("cookie", &cookies.both())
                .body(encoded(fields));
            let forged = match origin {
                Some(origin) => forged.header("origin", origin),
                None => forged,
            };
            let answer = forged.send().await;
            let page = html(&answer, 403);
            assert!(
                page.contains("CROSS_SITE"),
                "{path} from {origin:?}: {page}"
            );
            assert!(answer.headers.get("set-cookie").is_none(), "{answer}");
        }
        // The base domain's page may send a code, and nothing else.
        if path != "/sign-in/redeem" {
            html(&submit(&acme.client, path, Some(&base), fields).await, 403);
        }
    }
    // At the base domain only its own form counts, too.
    for origin in [Some(EVIL), Some(acme.origin.as_str()), Some("null"), None] {
        html(
            &submit(&dev.base(), "/sign-in", origin, &credentials).await,
            403,
        );
    }
    // Where the browser judges by itself, both must hold.
    for (path, origin, site) in [
        ("/sign-in", &acme.origin, "same-site"),
        ("/sign-in", &acme.origin, "cross-site"),
        ("/sign-out", &acme.origin, "none"),
        ("/sign-in/redeem", &globex.origin, "same-site"),
        ("/sign-in/redeem", &base, "none"),
    ] {
        let answer = acme
            .client
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", origin)
            .header("sec-fetch-site", site)
            .body(encoded(&credentials))
            .send()
            .await;
        answer.problem(403, "CROSS_SITE");
    }
    // None of it signed anybody out.
    html(&acme.get("/", &cookies.both()).await, 200);
}

#[tokio::test]
async fn only_a_form_is_read() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@kind.example").await;
    for kind in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
    ] {
        let answer = acme
            .client
            .request(Method::POST, "/sign-in")
            .header("content-type", kind)
            .header("origin", &acme.origin)
            .body(encoded(&acme.credentials()))
            .send()
            .await;
        answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let long = "x".repeat(20_000);
    let typed = [("email", "ann@kind.example"), ("password", long.as_str())];
    let answer = submit(&acme.client, "/sign-in", Some(&acme.origin), &typed).await;
    html(&answer, 413);
}

#[tokio::test]
async fn what_people_write_is_shown_as_text() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    let dev = shared();
    let email = format!("ann@{}.example", unique("markup"));
    let acme = place(dev, SCRIPT, &email).await;
    let (admin, _) = acme.client.sign_in(&email, ADMIN_PASSWORD).await;
    let person =
        json!({ "email": "x\"><img@markup.example", "name": SCRIPT, "password": ADMIN_PASSWORD });
    admin.post("/users", person).await.expect(201);

    let from = Some(acme.origin.as_str());
    let typed = [
        ("email", "x\"><img@markup.example"),
        ("password", "wrong one"),
    ];
    let refused = submit(&acme.client, "/sign-in", from, &typed).await;
    let typed = [typed[0], ("password", ADMIN_PASSWORD)];
    let signed_in = submit(&acme.client, "/sign-in", from, &typed).await;
    let home = acme.get("/", &Cookies::of(&signed_in).both()).await;
    let base = base_origin(dev);
    let choice = submit(&dev.base(), "/sign-in", Some(&base), &acme.credentials()).await;
    for (answer, status) in [
        (acme.client.get("/sign-in").await, 200),
        (refused, 401),
        (home, 200),
        (choice, 200),
    ] {
        // `html` looks for scripts.
        let page = html(&answer, status);
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
        assert!(!page.contains("\"><img"), "{page}");
    }
}

#[tokio::test]
async fn nobody_is_sent_where_a_link_says() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@open.example").await;
    for path in [
        "/?next=https://evil.example",
        "/sign-in?next=//evil.example",
        "/sign-in?redirect_uri=https://evil.example",
    ] {
        let from = Some(acme.origin.as_str());
        let answer = submit(&acme.client, path, from, &acme.credentials()).await;
        if path.starts_with("/sign-in") {
            assert_eq!(answer.header("location"), Some("/"), "{answer}");
        }
        for client in [&acme.client, &dev.base()] {
            let page = client.get(path).await;
            assert!(!page.text.contains("evil"), "{page}");
            let to = page.header("location").unwrap_or("/sign-in");
            assert_eq!(to, "/sign-in", "{page}");
        }
    }
}

#[tokio::test]
async fn who_guesses_reads_that_it_is_too_much() {
    let dev = shared();
    let acme = place(dev, "Acme", "ann@guess.example").await;
    let host = acme.origin.trim_start_matches("http://");
    // From an address of its own, so that it slows nobody else down.
    let client = Client::from_address(dev.address(), host, IpAddr::from([127, 0, 78, 1]));
    let typed = [("email", "ann@guess.example"), ("password", "a wrong one")];
    let mut refused = None;
    for _ in 0..20 {
        let answer = submit(&client, "/sign-in", Some(&acme.origin), &typed).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        html(&answer, 401);
    }
    let refused = refused.expect("twenty wrong passwords are too many");
    let page = html(&refused, 429);
    assert_eq!(page.matches("role=\"alert\"").count(), 1, "{page}");
    assert!(page.contains("Too many failed attempts"), "{page}");
    // The fields are right as far as anybody knows.
    assert!(!page.contains("aria-describedby"), "{page}");
    let seconds = refused.header("retry-after").and_then(|s| s.parse().ok());
    assert!(
        seconds.is_some_and(|s: u32| (1..=60).contains(&s)),
        "{refused}"
    );
}
