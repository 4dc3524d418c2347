//! The main job from end to end: two customers, their people, an operator, two servers.

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Client, Dev, Serve};

/// Creates a customer and signs its admin in.
async fn sign_up(dev: &Dev, slug: &str) -> (Value, Client) {
    let email = format!("admin@{slug}.example");
    let made = dev
        .operator()
        .post(
            "/setup/tenants",
            json!({
                "name": slug.to_uppercase(), "slug": slug, "plan": "pro",
                "admin": { "email": email, "password": ADMIN_PASSWORD },
            }),
        )
        .await
        .expect(201);
    assert_eq!(made["slug"], slug);
    assert_eq!(made["status"], "active");
    assert_eq!(made["url"], format!("http://{}", dev.host(Some(slug))));
    assert_eq!(made["dbName"], format!("tenant_{slug}"));
    assert_eq!(made["dbUsername"], format!("tenant_{slug}_user"));
    let (admin, login) = dev.at(slug).sign_in(&email, ADMIN_PASSWORD).await;
    assert_eq!(login["tenantId"], made["tenantId"]);
    assert!(
        login["expiresIn"].as_u64().is_some_and(|s| s > 0),
        "{login}"
    );
    (made, admin)
}

async fn mails(client: &Client) -> Vec<String> {
    let page = client.get("/users").await.expect(200);
    let items = page["items"].as_array().expect("items");
    let mut mails: Vec<String> = items
        .iter()
        .map(|user| user["email"].as_str().expect("a mail address").to_owned())
        .collect();
    mails.sort();
    mails
}

#[tokio::test]
async fn two_customers_from_sign_up_to_purge() {
    let mut dev = Dev::start();
    let (acme, acme_admin) = sign_up(&dev, "acme").await;
    let (globex, globex_admin) = sign_up(&dev, "globex").await;
    assert_ne!(acme["tenantId"], globex["tenantId"]);
    assert_ne!(acme["dbPassword"], globex["dbPassword"]);

    people_see_their_own_only(&acme_admin, &globex_admin).await;
    the_product_reaches_its_database(&dev, &acme).await;
    the_fleet_is_migrated(&dev, 2);

    dev.restart();
    let globex_again = Client::new(dev.address(), &dev.host(Some("globex")));
    let globex_again = globex_again.bearer(globex_admin.token());
    assert_eq!(mails(&globex_again).await, ["admin@globex.example"]);
    let (acme_admin, _) = dev
        .at("acme")
        .sign_in("admin@acme.example", ADMIN_PASSWORD)
        .await;

    a_second_server_knows_the_same(&dev, &acme_admin).await;
    purged_and_free_again(&dev, &acme).await;
    assert_eq!(mails(&globex_again).await, ["admin@globex.example"]);
    assert_eq!(dev.stop(), 0);
}

async fn people_see_their_own_only(acme: &Client, globex: &Client) {
    acme.post(
        "/users",
        json!({ "email": "bob@acme.example", "name": "Bob", "password": "long enough", "roles": ["Viewer"] }),
    )
    .await
    .expect(201);
    assert_eq!(
        mails(acme).await,
        ["admin@acme.example", "bob@acme.example"]
    );
    assert_eq!(mails(globex).await, ["admin@globex.example"]);
    // The same person at the other customer is somebody else.
    let bob = json!({ "email": "bob@acme.example", "password": "long enough" });
    acme.anonymous()
        .post("/auth/login", bob.clone())
        .await
        .expect(200);
    globex
        .anonymous()
        .post("/auth/login", bob)
        .await
        .problem(401, "INVALID_CREDENTIALS");
    let me = acme.get("/me").await.expect(200);
    assert!(me.to_string().contains("admin@acme.example"), "{me}");
}

async fn the_product_reaches_its_database(dev: &Dev, made: &Value) {
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    let mut conn = dev
        .pg()
        .connect(&text("dbUsername"), &text("dbPassword"), &text("dbName"))
        .await
        .expect("the login of the answer works");
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM tenantry.users")
        .fetch_one(&mut conn)
        .await
        .expect("it reads its tables");
    assert_eq!(users, 2);
    let account: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tenantry.object_definitions WHERE api_name = 'Account'",
    )
    .fetch_one(&mut conn)
    .await
    .expect("it reads its tables");
    assert_eq!(account, 1);
}

fn the_fleet_is_migrated(dev: &Dev, tenants: usize) {
    let told = dev
        .cli(&["migrate-all", "--output", "json"])
        .expect(0)
        .json();
    let items = told
        .pointer("/items")
        .or(told.pointer("/result/items"))
        .and_then(Value::as_array)
        .unwrap_or_else(|| panic!("a result per database in {told}"));
    let of_tenants = items.iter().filter(|item| item["slug"].is_string());
    assert_eq!(of_tenants.count(), tenants, "{told}");
    for item in items {
        assert!(
            item["outcome"] == "current" || item["outcome"] == "migrated",
            "{item}"
        );
    }
}

async fn a_second_server_knows_the_same(dev: &Dev, acme: &Client) {
    let serve = Serve::join(dev, "second", &[]);
    let there = serve.at("acme").bearer(acme.token());
    assert_eq!(mails(&there).await, mails(acme).await);
    serve
        .base()
        .bearer(&dev.operator_token())
        .get("/setup/tenants/acme")
        .await
        .expect(200);

    // A delete that was answered is known everywhere: no waiting here.
    let deleted = dev
        .operator()
        .delete("/setup/tenants/acme")
        .await
        .expect(200);
    assert_eq!(deleted["success"], true);
    assert!(deleted["purgeAt"].is_string(), "{deleted}");
    there.get("/users").await.problem(404, "TENANT_NOT_FOUND");
    acme.get("/users").await.problem(404, "TENANT_NOT_FOUND");

    // And so is its return.
    dev.operator()
        .post("/setup/tenants/acme/undelete", json!({}))
        .await
        .expect(200);
    assert_eq!(mails(&there).await.len(), 2);
    assert_eq!(mails(acme).await.len(), 2);
}

async fn purged_and_free_again(dev: &Dev, acme: &Value) {
    let operator = dev.operator();
    operator
        .delete("/setup/tenants/acme?purge=true")
        .await
        .expect(200);
    operator.get("/setup/tenants/acme").await.expect(404);
    assert!(!dev.pg().has_database("tenant_acme").await);
    let (again, admin) = sign_up(dev, "acme").await;
    assert_ne!(again["tenantId"], acme["tenantId"]);
    // Nothing of the former customer came back.
    assert_eq!(mails(&admin).await, ["admin@acme.example"]);
}
