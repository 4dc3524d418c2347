//! Failed sign-ins are slowed down, per account and per client address

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Tenant, shared};

/// Clients of these tests come from addresses of their own, so that they slow nobody else down.
fn from(dev: &Dev, tenant: &Tenant, last: u8) -> Client {
    let address = IpAddr::from([127, 0, 77, last]);
    Client::from_address(dev.address(), &dev.host(Some(&tenant.slug)), address)
}

async fn login(client: &Client, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    client.post("/auth/login", body).await
}

fn seconds(refused: &Answer) -> u64 {
    let seconds = refused.header("retry-after").and_then(|s| s.parse().ok());
    seconds.expect("Retry-After")
}

#[tokio::test]
async fn an_account_is_slowed_and_opens_again() {
    let dev = shared();
    let acme = dev.tenant("brake").await;
    let bob = json!({ "email": "bob@acme.example", "password": "long enough" });
    acme.admin.post("/users", bob).await.expect(201);
    let other = dev.tenant("brake").await;

    let client = from(dev, &acme, 1);
    let mut refused = None;
    for _ in 0..20 {
        let answer = login(&client, &acme.email, "a wrong one").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.problem(401, "INVALID_CREDENTIALS");
    }
    let refused = refused.expect("twenty wrong passwords are too many");
    refused.any_problem();
    // Not even the right one is tried now, from wherever it comes.
    let elsewhere = from(dev, &acme, 2);
    assert_eq!(
        login(&elsewhere, &acme.email, ADMIN_PASSWORD).await.status,
        429
    );
    // Others are not concerned: another account here, and the same address at another tenant.
    login(&client, "bob@acme.example", "long enough")
        .await
        .expect(200);
    let there = from(dev, &other, 1);
    login(&there, &other.email, ADMIN_PASSWORD)
        .await
        .expect(200);
    // Who is signed in stays so.
    acme.admin.get("/me").await.expect(200);

    let wait = seconds(&refused);
    assert!(wait <= 60, "{wait} s");
    tokio::time::sleep(Duration::from_secs(wait) + Duration::from_millis(200)).await;
    login(&client, &acme.email, ADMIN_PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn an_unknown_account_is_slowed_as_a_known_one_is() {
    let dev = shared();
    let acme = dev.tenant("nobody").await;
    let client = from(dev, &acme, 3);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(
            login(&client, "nobody@acme.example", "a wrong one")
                .await
                .status,
        );
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn guesses_at_once_are_no_more_than_guesses_in_a_row() {
    let dev = shared();
    let acme = dev.tenant("burst").await;
    let client = from(dev, &acme, 4);
    let guesses = (0..30).map(|n| {
        let (client, email) = (client.clone(), acme.email.clone());
        async move {
            login(&client, &email, &format!("guess number {n}"))
                .await
                .status
        }
    });
    let statuses = futures::future::join_all(guesses).await;
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert!(
        looked_at <= 10,
        "{looked_at} passwords were tried: {statuses:?}"
    );
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_is_slowed() {
    let dev = shared();
    let acme = dev.tenant("spray").await;
    let client = from(dev, &acme, 5);
    let mut refused = None;
    for n in 0..120 {
        let answer = login(&client, &format!("user{n}@acme.example"), "Spring 2026").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    refused
        .expect("one address tried 120 accounts")
        .any_problem();
    // The accounts themselves are open to others.
    login(&from(dev, &acme, 6), &acme.email, ADMIN_PASSWORD)
        .await
        .expect(200);
    // A header that anyone can write does not make another address of it.
    let spoofed = client
        .request(reqwest::Method::POST, "/auth/login")
        .header("x-forwarded-for", "203.0.113.9")
        .json(&json!({ "email": "fresh@acme.example", "password": "Spring 2026" }))
        .send()
        .await;
    assert_eq!(spoofed.status, 429, "{spoofed}");
}
