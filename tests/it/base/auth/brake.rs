//! Guesses at the base domain and at a tenant's host are counted on both sides

use std::time::Duration;

use serde_json::json;
use tenantry_testkit::{ADMIN_PASSWORD, Client, Dev, Options, shared};

use crate::base::{PASSWORD, front_door, login, opened, person};

/// One that refuses at once: these tests ask often.
fn quick() -> Dev {
    Dev::start_with(Options::default().env("TENANTRY_SIGN_IN_FLOOR", "1ms"))
}

/// Guesses until a wait of some seconds is asked for, so that what is asked next falls into it.
async fn guess_until_slowed(client: &Client, email: &str) {
    for _ in 0..30 {
        let answer = login(client, email, "a wrong one").await;
        if answer.status == 429 {
            let wait = answer.header("retry-after").and_then(|s| s.parse().ok());
            let wait = wait.expect("Retry-After");
            if wait >= 4 {
                return;
            }
            tokio::time::sleep(Duration::from_secs(wait)).await;
        } else {
            answer.problem(401, "INVALID_CREDENTIALS");
        }
    }
    panic!("thirty wrong passwords are too many");
}

#[tokio::test]
async fn a_brake_at_the_base_domain_holds_there_for_the_right_password_too() {
    let dev = quick();
    let acme = dev.tenant("around").await;
    guess_until_slowed(&front_door(&dev, 21), &acme.email).await;
    login(&front_door(&dev, 22), &acme.email, ADMIN_PASSWORD)
        .await
        .problem(429, "TOO_MANY_ATTEMPTS");
    // Who owns the account is not shut out of the tenant's own host by a stranger elsewhere.
    login(&dev.at(&acme.slug), &acme.email, ADMIN_PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn guesses_at_the_base_domain_do_not_show_at_a_tenant_whose_person_is_meant() {
    let dev = quick();
    let acme = dev.tenant("shows").await;
    let nobody = "nobody@nowhere.example";
    for (n, email) in [acme.email.as_str(), nobody].into_iter().enumerate() {
        let door = front_door(&dev, 27 + u8::try_from(n).expect("few"));
        guess_until_slowed(&door, email).await;
        // Both are refused as on the first try: the brake there has not heard of it.
        login(&dev.at(&acme.slug), email, "a wrong one")
            .await
            .problem(401, "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn a_tenant_of_ones_own_does_not_pay_for_guesses_at_anothers() {
    let dev = quick();
    let (acme, evil) = (dev.tenant("victim").await, dev.tenant("evil").await);
    // Eve lists the victim in her own tenant, with whatever she guesses next as the password: every
    // guess at the base domain then opens something.
    let path = person(&evil, &acme.email, PASSWORD).await;
    let door = front_door(&dev, 24);
    let guess = async |password: &str| {
        let change = json!({ "password": password });
        evil.admin.patch(&path, change).await.expect(200);
        login(&door, &acme.email, password).await
    };
    assert_eq!(
        opened(&guess(ADMIN_PASSWORD).await).len(),
        2,
        "the right one opens both"
    );
    for n in 0..8 {
        let answer = guess(&format!("the guess number {n}")).await;
        assert_eq!(opened(&answer), [evil.slug.as_str()]);
        assert_eq!(answer.json()["incomplete"], false, "{answer}");
    }
    // That eight wrong ones are too many shows in nothing she can see; `throttle/tests.rs` counts them.
}

#[tokio::test]
async fn an_unknown_address_is_slowed_as_a_known_one_is() {
    let dev = quick();
    guess_until_slowed(&front_door(&dev, 25), "nobody@nowhere.example").await;
}

#[tokio::test]
async fn made_up_codes_are_slowed_by_the_address_they_come_from() {
    let dev = shared();
    let acme = dev.tenant("codes").await;
    let host = front_door(dev, 26).host(&dev.host(Some(&acme.slug)));
    for _ in 0..60 {
        let answer = host.post("/auth/redeem", json!({ "code": "x" })).await;
        if answer.status == 429 {
            answer.problem(429, "TOO_MANY_ATTEMPTS");
            return;
        }
        answer.problem(401, "INVALID_CODE");
    }
    panic!("sixty made-up codes were looked at");
}
