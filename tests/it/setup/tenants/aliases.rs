//! `/setup/tenants/{tenant}/aliases`: names that requests carry in a header.

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Serve, Tenant, shared, unique};

async fn put(dev: &Dev, tenant: &Tenant, body: Value) -> Answer {
    let path = format!("/setup/tenants/{}/aliases", tenant.slug);
    dev.operator().put(&path, body).await
}

async fn remove(dev: &Dev, tenant: &Tenant, query: &str) -> Answer {
    let path = format!("/setup/tenants/{}/aliases?{query}", tenant.slug);
    dev.operator().delete(&path).await
}

async fn list(dev: &Dev, tenant: &Tenant) -> Vec<Value> {
    let path = format!("/setup/tenants/{}/aliases", tenant.slug);
    let list = dev.operator().get(&path).await.expect(200);
    list["items"].as_array().expect("a list").clone()
}

/// Signs a tenant's admin in at the base domain, with a header that names the tenant.
async fn sign_in(base: &Client, tenant: &Tenant, header: &str, value: &str) -> Answer {
    let body = json!({ "email": tenant.email, "password": ADMIN_PASSWORD });
    base.request(reqwest::Method::POST, "/auth/login")
        .header(header, value)
        .json(&body)
        .send()
        .await
}

#[tokio::test]
async fn each_kind_of_alias_leads_to_one_tenant() {
    let dev = shared();
    let (acme, globex) = (dev.tenant("alias").await, dev.tenant("alias").await);
    let base = dev.base();
    for (kind, header) in [("appId", "x-app-id"), ("storeId", "x-store-id")] {
        let value = unique("Web.Shop_1");
        // Known to lead nowhere before it leads somewhere.
        let before = sign_in(&base, &acme, header, &value).await;
        before.problem(404, "TENANT_NOT_FOUND");
        let body = json!({ "kind": kind, "value": value });
        let made = put(dev, &acme, body.clone()).await.expect(201);
        assert_eq!(
            (&made["kind"], &made["value"]),
            (&json!(kind), &json!(value))
        );
        let again = put(dev, &acme, body.clone()).await.expect(200);
        assert_eq!(again, made, "the same again is the same");
        put(dev, &globex, body).await.problem(409, "ALIAS_TAKEN");

        let signed_in = sign_in(&base, &acme, header, &value).await.expect(200);
        let token = signed_in["accessToken"].as_str().expect("a token");
        let me = acme.admin.bearer(token).get("/me").await;
        me.expect(200);
        // The name authenticates nobody.
        let named = base.request(reqwest::Method::GET, "/me");
        let named = named.header(header, &value).send().await;
        named.problem(401, "UNAUTHENTICATED");
        // Another case is another name, and another kind has names of its own.
        let other = sign_in(&base, &acme, header, &value.to_uppercase()).await;
        other.problem(404, "TENANT_NOT_FOUND");
    }
    let (app, store) = (unique("one"), unique("two"));
    for (tenant, kind, value) in [
        (&acme, "appId", &app),
        (&globex, "storeId", &app),
        (&globex, "appId", &store),
    ] {
        let body = json!({ "kind": kind, "value": value });
        put(dev, tenant, body).await.expect(201);
    }
    sign_in(&base, &acme, "x-app-id", &app).await.expect(200);
    sign_in(&base, &globex, "x-store-id", &app)
        .await
        .expect(200);
    let kinds: Vec<_> = list(dev, &globex).await;
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}

#[tokio::test]
async fn of_a_channel_token_only_a_hash_is_kept() {
    let dev = shared();
    let acme = dev.tenant("token").await;
    let made = put(dev, &acme, json!({ "kind": "channelToken" }))
        .await
        .expect(201);
    let token = made["token"].as_str().expect("told once").to_owned();
    assert_eq!(token.len(), 43);
    let signed_in = sign_in(&dev.base(), &acme, "x-channel-token", &token).await;
    signed_in.expect(200);

    // One of the caller's own; the same again is no other.
    let own = format!("{}-{}", token.chars().rev().collect::<String>(), acme.slug);
    let body = json!({ "kind": "channelToken", "value": own });
    let first = put(dev, &acme, body.clone()).await.expect(201);
    let again = put(dev, &acme, body).await.expect(200);
    assert_eq!(first["aliasId"], again["aliasId"]);
    sign_in(&dev.base(), &acme, "x-channel-token", &own)
        .await
        .expect(200);

    let pg = dev.pg();
    for table in ["aliases", "alias_names", "audit", "changes"] {
        let sql = format!("SELECT t::text FROM {table} t");
        for row in pg.texts(&pg.catalog, &sql).await {
            assert!(
                !row.contains(&token) && !row.contains(&own),
                "{table}: {row}"
            );
        }
    }
    let sql = format!(
        "SELECT count(*)::text FROM aliases WHERE kind = 'channelToken'
         AND name IN (encode(sha256('{token}'), 'hex'), encode(sha256('{own}'), 'hex'))"
    );
    assert_eq!(pg.texts(&pg.catalog, &sql).await, ["2"]);
    let listed = Value::Array(list(dev, &acme).await).to_string();
    assert!(
        !listed.contains(&token) && !listed.contains(&own),
        "{listed}"
    );

    let id = made["aliasId"].as_str().expect("an id");
    remove(dev, &acme, &format!("aliasId={id}"))
        .await
        .expect(200);
    let gone = sign_in(&dev.base(), &acme, "x-channel-token", &token).await;
    gone.problem(404, "TENANT_NOT_FOUND");
    sign_in(&dev.base(), &acme, "x-channel-token", &own)
        .await
        .expect(200);
}

#[tokio::test]
async fn what_is_no_alias_is_refused() {
    let dev = shared();
    let acme = dev.tenant("bad").await;
    for (body, field) in [
        (json!({ "kind": "apiKey", "value": "0a1b2c3d" }), "kind"),
        (json!({ "kind": "host", "value": "a" }), "kind"),
        (json!({ "value": "a" }), "kind"),
        (json!({ "kind": "appId" }), "value"),
        (json!({ "kind": "appId", "value": "" }), "value"),
        (json!({ "kind": "storeId", "value": "a b" }), "value"),
        (
            json!({ "kind": "storeId", "value": "x".repeat(65) }),
            "value",
        ),
        (
            json!({ "kind": "channelToken", "value": "hunter2" }),
            "value",
        ),
        (
            json!({ "kind": "channelToken", "value": "a".repeat(64) }),
            "value",
        ),
    ] {
        let refused = put(dev, &acme, body.clone()).await;
        assert_eq!(refused.status, 422, "{body}: {refused}");
        assert_eq!(refused.wrong_fields(), [field], "{body}");
    }
    for query in [
        "",
        "kind=appId",
        "value=a",
        "kind=channelToken&value=a",
        "aliasId=x",
    ] {
        let refused = remove(dev, &acme, query).await;
        assert_eq!(refused.status, 422, "{query}: {refused}");
    }
    let missing = remove(dev, &acme, "kind=appId&value=nobody-has-this").await;
    missing.problem(404, "ALIAS_NOT_FOUND");
    // Another tenant's is not there either.
    let globex = dev.tenant("bad").await;
    let value = unique("theirs");
    let body = json!({ "kind": "appId", "value": value });
    let theirs = put(dev, &globex, body).await.expect(201);
    let id = theirs["aliasId"].as_str().expect("an id");
    for query in [format!("aliasId={id}"), format!("kind=appId&value={value}")] {
        let refused = remove(dev, &acme, &query).await;
        refused.problem(404, "ALIAS_NOT_FOUND");
    }
    sign_in(&dev.base(), &globex, "x-app-id", &value)
        .await
        .expect(200);
}

// Red when `remove_alias` wrote no row of the change log.
#[tokio::test]
async fn a_removed_alias_leads_nowhere_on_any_router() {
    let dev = shared();
    let acme = dev.tenant("remove").await;
    let second = Serve::join(dev, "aliases-second", &[]);
    let off = Serve::join(dev, "aliases-off", &[("TENANTRY_ALIAS_HEADERS", "false")]);
    let value = unique("gone");
    put(dev, &acme, json!({ "kind": "storeId", "value": value }))
        .await
        .expect(201);
    for base in [dev.base(), second.base()] {
        sign_in(&base, &acme, "x-store-id", &value)
            .await
            .expect(200);
    }
    // Where they are off, it is as if the header was not there: a sign-in at the base domain.
    let without = sign_in(&off.base(), &acme, "x-store-id", &value)
        .await
        .expect(200);
    assert_eq!(without["accessToken"], Value::Null, "{without}");
    remove(dev, &acme, &format!("kind=storeId&value={value}"))
        .await
        .expect(200);
    for base in [dev.base(), second.base()] {
        let gone = sign_in(&base, &acme, "x-store-id", &value).await;
        gone.problem(404, "TENANT_NOT_FOUND");
    }
}
