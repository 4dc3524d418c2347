//! The base domain, for people who have not said which tenant they mean.

mod auth;
mod directory;

use std::net::IpAddr;

use serde_json::{Value, json};
use tenantry_testkit::{Answer, Client, Dev, Tenant};

pub(crate) const PASSWORD: &str = "one for the front door";

/// A client of the base domain from an address of its own, so that its failures slow nobody else down.
pub(crate) fn front_door(dev: &Dev, last: u8) -> Client {
    let address = IpAddr::from([127, 0, 78, last]);
    Client::from_address(dev.address(), &dev.host(None), address)
}

pub(crate) async fn login(client: &Client, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    client.post("/auth/login", body).await
}

/// Adds a person; gives their path.
pub(crate) async fn person(tenant: &Tenant, email: &str, password: &str) -> String {
    let body = json!({ "email": email, "password": password });
    let made = tenant.admin.post("/users", body).await.expect(201);
    format!("/users/{}", made["userId"].as_str().expect("an id"))
}

/// The slugs that a sign-in opened, in the order of the answer.
#[track_caller]
pub(crate) fn opened(answer: &Answer) -> Vec<String> {
    let body = answer.expect(200);
    let tenants = body["tenants"].as_array().expect("tenants");
    let slug = |tenant: &Value| tenant["slug"].as_str().expect("a slug").to_owned();
    tenants.iter().map(slug).collect()
}

/// The code for a tenant.
#[track_caller]
pub(crate) fn code_for(answer: &Answer, tenant: &Tenant) -> String {
    let body = answer.expect(200);
    let tenants = body["tenants"].as_array().expect("tenants");
    let found = tenants
        .iter()
        .find(|one| one["slug"] == tenant.slug.as_str());
    let found = found.unwrap_or_else(|| panic!("{} in {answer}", tenant.slug));
    found["code"].as_str().expect("a code").to_owned()
}
