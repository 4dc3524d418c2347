//! The way of a person through the pages, in a real browser and with the keyboard alone

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Browser, Dev, Key, Scripts, shared, unique};

use super::{Place, base_origin, place, place_at};

#[tokio::test]
async fn from_the_base_domain_into_one_of_two_tenants_and_out() {
    walk(Scripts::On).await;
}

#[tokio::test]
async fn the_same_with_scripts_switched_off() {
    walk(Scripts::Off).await;
}

async fn walk(scripts: Scripts) {
    let dev = shared();
    let email = format!("ann@{}.example", unique("walk"));
    let acme = place(dev, "Acme", &email).await;
    let globex = place(dev, "Globex", &email).await;
    let browser = Browser::start(scripts).await;
    assert_eq!(runs_scripts(&browser).await, scripts == Scripts::On);

    choose(dev, &browser, &acme).await;
    let choice = browser.text().await;
    assert!(choice.contains("Continue to Globex"), "{choice}");
    go_on_to(&browser, &globex).await;
    nothing_secret_in_any_address(&browser).await;

    // Signed in there and nowhere else.
    browser.go(&format!("{}/", acme.origin)).await;
    browser.arrive(&format!("{}/sign-in", acme.origin)).await;
    browser.go(&format!("{}/", globex.origin)).await;
    browser.read_heading("Globex").await;

    browser.tab_to("Sign out").await;
    browser.press(Key::Enter).await;
    let sign_in = format!("{}/sign-in", globex.origin);
    browser.arrive(&sign_in).await;
    for _ in 0..2 {
        browser.back().await;
        let page = browser.source().await;
        assert!(!page.contains(&email), "after signing out: {page}");
        assert!(!page.contains("Sign out"), "after signing out: {page}");
    }
}

#[tokio::test]
async fn from_the_base_domain_to_a_tenants_own_domain() {
    let dev = shared();
    let name = unique("own");
    let (email, domain) = (
        format!("ann@{name}.example"),
        format!("shop.{name}.example"),
    );
    let shop = place_at(dev, "The Shop", &email, Some(&domain)).await;
    assert!(shop.origin.contains(&domain), "{}", shop.origin);
    let browser = Browser::start(Scripts::On).await;
    choose(dev, &browser, &shop).await;
    // Another site altogether: the cookies that are set on the way must come back all the same.
    go_on_to(&browser, &shop).await;
    nothing_secret_in_any_address(&browser).await;
    browser.reload().await;
    browser.arrive(&format!("{}/", shop.origin)).await;
    browser.tab_to("Sign out").await;
    browser.press(Key::Enter).await;
    browser.arrive(&format!("{}/sign-in", shop.origin)).await;
}

#[tokio::test]
async fn at_a_tenants_host_a_wrong_password_is_announced_and_typed_again() {
    let dev = shared();
    let email = format!("ann@{}.example", unique("typo"));
    let acme = place(dev, "Acme", &email).await;
    let browser = Browser::start(Scripts::On).await;
    browser.go(&acme.origin).await;
    browser.arrive(&format!("{}/sign-in", acme.origin)).await;
    browser.read_heading("Sign in to Acme").await;
    browser.tab_to("E-mail address").await;
    is_seen(&browser).await;
    browser.type_text(&email).await;
    browser.tab_to("Password").await;
    browser.type_text("not my password").await;
    browser.press(Key::Enter).await;

    // The window says it first, then the field that has the focus, with the reason.
    browser.wait_for("[role=alert]").await;
    assert!(browser.title().await.starts_with("Error: "));
    assert_eq!(browser.focused().await, "Password");
    is_seen(&browser).await;
    let tree = browser
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let nodes = tree["nodes"].as_array().expect("nodes");
    let role = |role: &str| nodes.iter().any(|node| node["role"]["value"] == role);
    assert!(role("alert") && role("main"), "{tree}");
    let field = nodes
        .iter()
        .find(|node| node["name"]["value"] == "Password" && node["role"]["value"] == "textbox")
        .unwrap_or_else(|| panic!("no field in {tree}"));
    let reason = browser.text_of("[role=alert]").await;
    assert_eq!(field["description"]["value"], reason.as_str(), "{field}");
    let invalid = field["properties"].as_array().expect("properties").iter();
    let invalid: Vec<_> = invalid.filter(|one| one["name"] == "invalid").collect();
    assert_eq!(invalid[0]["value"]["value"], "true", "{field}");

    // The address is still there: the password alone is typed again.
    browser.type_text(ADMIN_PASSWORD).await;
    browser.press(Key::Enter).await;
    browser.arrive(&format!("{}/", acme.origin)).await;
    browser.read_heading("Acme").await;
    nothing_secret_in_any_address(&browser).await;
}

/// From the base domain's address to the choice of tenants, by keys.
async fn choose(dev: &Dev, browser: &Browser, person_of: &Place) {
    browser.go(&base_origin(dev)).await;
    let sign_in = format!("{}/sign-in", base_origin(dev));
    browser.arrive(&sign_in).await;
    browser.read_heading("Sign in").await;
    browser.tab_to("E-mail address").await;
    is_seen(browser).await;
    browser.type_text(&person_of.email).await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.focused().await, "Password");
    browser.type_text(ADMIN_PASSWORD).await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.focused().await, "Sign in");
    is_seen(browser).await;
    browser.press(Key::Enter).await;
    browser.read_heading("Choose where to continue").await;
    assert_eq!(browser.url().await, sign_in);
}

/// From the choice to the page that says who and where, by keys.
async fn go_on_to(browser: &Browser, place: &Place) {
    browser.tab_to(&format!("Continue to {}", place.name)).await;
    is_seen(browser).await;
    browser.press(Key::Enter).await;
    browser.arrive(&format!("{}/", place.origin)).await;
    browser.read_heading(&place.name).await;
    let page = browser.text().await;
    let host = place.origin.trim_start_matches("http://");
    for part in [&place.email, host, "Admin"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

/// Whoever uses the keyboard sees where they are.
async fn is_seen(browser: &Browser) {
    let outline = "const style = getComputedStyle(document.activeElement);
        return style.outlineStyle + ' ' + style.outlineWidth";
    assert_eq!(browser.run(outline, &[]).await, "solid 3px");
}

/// Whether a page may run a script here, tried on a page that has one.
async fn runs_scripts(browser: &Browser) -> bool {
    let page = "data:text/html,<title>off</title><script>document.title = 'on'</script>";
    browser.go(page).await;
    browser.title().await == "on"
}

/// What was sent as a code and set as a cookie, looked for in all addresses that the browser has
/// asked for, was told to go to, or keeps in its history.
async fn nothing_secret_in_any_address(browser: &Browser) {
    let traffic = browser.traffic().await;
    let mut secrets = Vec::new();
    let mut addresses = Vec::new();
    for event in &traffic {
        let request = &event["params"]["request"];
        if let Some(sent) = request["postData"].as_str() {
            secrets.extend(sent.split('&').filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                matches!(name, "code" | "password").then(|| value.to_owned())
            }));
        }
        for headers in [&request["headers"], &event["params"]["headers"]] {
            for (name, value) in headers.as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "set-cookie" => secrets.extend(value.lines().filter_map(|cookie| {
                        let pair = cookie.split(';').next()?;
                        let (_, value) = pair.split_once('=')?;
                        (!value.is_empty()).then(|| value.to_owned())
                    })),
                    "location" | "referer" => addresses.push(value.to_owned()),
                    _ => {}
                }
            }
        }
        addresses.extend(strings_named("url", event));
    }
    let history = browser
        .devtools("Page.getNavigationHistory", json!({}))
        .await;
    addresses.extend(strings_named("url", &history));
    let performance = "return performance.getEntries().map(entry => entry.name)";
    let entries = browser.run(performance, &[]).await;
    let entries = entries.as_array().expect("a list").iter();
    addresses.extend(entries.map(|entry| entry.as_str().unwrap_or_default().to_owned()));

    // The browser's own pages are none of ours.
    addresses.retain(|address| address.starts_with("http"));
    // A password at least, and two cookies.
    assert!(secrets.len() >= 3 && addresses.len() >= 5, "{traffic:?}");
    for address in &addresses {
        assert!(!address.contains('?'), "{address}");
        for secret in &secrets {
            assert!(!address.contains(secret.as_str()), "{secret} in {address}");
        }
    }
}

/// All texts under a name, wherever they are.
fn strings_named(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(text) if key == name => vec![text.to_owned()],
                _ => strings_named(name, value),
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .flat_map(|item| strings_named(name, item))
            .collect(),
        _ => Vec::new(),
    }
}
