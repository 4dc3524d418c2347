//! Every page, checked by axe-core for what keeps people out: light and dark, wide and narrow

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Browser, Key, Scripts, shared, unique};

use super::{base_origin, place};

#[tokio::test]
async fn no_page_keeps_anybody_out() {
    let dev = shared();
    let email = format!("ann@{}.example", unique("axe"));
    // A name that has to be broken on a small screen.
    let name = "Donaudampfschifffahrtselektrizit\u{e4}tenhauptbetriebswerk GmbH & Co.";
    let acme = place(dev, name, &email).await;
    let globex = place(dev, "Globex", &email).await;
    let browser = Browser::start(Scripts::On).await;
    let base = base_origin(dev);

    browser.go(&format!("{base}/sign-in")).await;
    check(&browser, "the form of the base domain").await;
    browser.go(&format!("{}/sign-in", acme.origin)).await;
    check(&browser, "the form of a tenant").await;
    browser.tab_to("E-mail address").await;
    browser.type_text(&email).await;
    browser.tab_to("Password").await;
    browser.type_text("not my password").await;
    browser.press(Key::Enter).await;
    browser.wait_for("[role=alert]").await;
    check(&browser, "a refused sign-in").await;

    browser.go(&format!("{base}/sign-in")).await;
    browser.tab_to("E-mail address").await;
    browser.type_text(&email).await;
    browser.tab_to("Password").await;
    browser.type_text(ADMIN_PASSWORD).await;
    browser.press(Key::Enter).await;
    browser.wait_for(".places").await;
    check(&browser, "the choice of tenants").await;
    browser.tab_to(&format!("Continue to {name}")).await;
    browser.press(Key::Enter).await;
    browser.arrive(&format!("{}/", acme.origin)).await;
    check(&browser, "who and where").await;

    for (path, what) in [
        ("/nothing-here", "nothing at this address"),
        ("/me", "not signed in"),
        ("/sign-in/redeem", "not the right method"),
    ] {
        browser.go(&format!("{}{path}", globex.origin)).await;
        check(&browser, what).await;
    }
    browser
        .go(&base.replace("localhost", "nobody.localhost"))
        .await;
    check(&browser, "a host of nobody's").await;
}

async fn check(browser: &Browser, page: &str) {
    for (scheme, width) in [("light", 1000), ("dark", 1000), ("light", 320)] {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        browser
            .devtools(
                "Emulation.setEmulatedMedia",
                json!({ "features": [feature] }),
            )
            .await;
        browser
            .devtools(
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": width, "height": 640, "deviceScaleFactor": 1, "mobile": false }),
            )
            .await;
        let seen = format!("{page}, {scheme}, {width} px wide");
        let overflow = "return document.documentElement.scrollWidth - window.innerWidth";
        assert_eq!(
            browser.run(overflow, &[]).await,
            0,
            "{seen}: it scrolls sideways"
        );
        // The style is there: its hash in the policy is right.
        let paper = "return getComputedStyle(document.body).backgroundColor";
        let paper = browser.run(paper, &[]).await;
        let expected = if scheme == "dark" {
            "rgb(16, 20, 26)"
        } else {
            "rgb(244, 246, 249)"
        };
        assert_eq!(paper, expected, "{seen}");

        let found = browser.run_async(&script(), &[]).await;
        let found = found
            .as_array()
            .unwrap_or_else(|| panic!("{seen}: {found}"));
        let told: Vec<String> = found.iter().map(tell).collect();
        assert!(told.is_empty(), "{seen}:\n{}", told.join("\n"));
    }
    browser
        .devtools("Emulation.clearDeviceMetricsOverride", json!({}))
        .await;
}

/// axe-core, and what is asked of it: all its rules, but for experimental ones. Incomplete checks are
/// violations here: nothing on these pages is too hard to judge.
fn script() -> String {
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/axe/axe.js");
    let path = std::env::var("TENANTRY_AXE").unwrap_or_else(|_| built_in.to_owned());
    let axe = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}; `.ci/axe.sh target/axe` fetches it"));
    format!(
        "{axe};
        const done = arguments[arguments.length - 1];
        axe.run(document, {{ preload: false, resultTypes: ['violations', 'incomplete'] }}).then(
            found => done(found.passes.length > 0 ? [...found.violations, ...found.incomplete] : 'nothing was checked'),
            error => done(String(error)))"
    )
}

fn tell(violation: &Value) -> String {
    let nodes = violation["nodes"].as_array().into_iter().flatten();
    let places: Vec<String> = nodes
        .map(|node| format!("{} {}", node["html"], node["failureSummary"]))
        .collect();
    format!(
        "{}: {}: {}",
        violation["id"],
        violation["help"],
        places.join("; ")
    )
}
