//! All that names a tenant in a request must name the same one.

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Dev, Request, Tenant, unique};

/// A way to name a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Host,
    Token,
    BearerKey,
    ApiKey,
    AppId,
    StoreId,
    ChannelToken,
    TenantId,
}

use Source::{ApiKey, AppId, BearerKey, ChannelToken, Host, StoreId, TenantId, Token};

const ALL: [Source; 8] = [
    Host,
    Token,
    BearerKey,
    ApiKey,
    AppId,
    StoreId,
    ChannelToken,
    TenantId,
];

/// All names of one tenant.
struct Names {
    tenant: Tenant,
    app: String,
    store: String,
    channel: String,
    key: String,
}

impl Names {
    async fn of(dev: &Dev) -> Self {
        let tenant = dev.tenant("chain").await;
        let (app, store) = (unique("app"), unique("store"));
        let path = format!("/setup/tenants/{}/aliases", tenant.slug);
        let put = async |body: Value| dev.operator().put(&path, body).await.expect(201);
        put(json!({ "kind": "appId", "value": app })).await;
        put(json!({ "kind": "storeId", "value": store })).await;
        let token = put(json!({ "kind": "channelToken" })).await;
        let channel = token["token"].as_str().expect("told once").to_owned();
        // Keys are made by a part that is to come; their ids are aliases like any other.
        let id = tenant.id.replace('-', "");
        let pg = dev.pg();
        let sql = format!(
            "INSERT INTO aliases (kind, name, id, tenant_id)
             VALUES ('apiKey', '{id}', gen_random_uuid(), '{}')",
            tenant.id
        );
        pg.run(&pg.catalog, &sql).await;
        Self {
            key: format!("tnt_{id}_{}", "s".repeat(43)),
            tenant,
            app,
            store,
            channel,
        }
    }

    /// Names that nobody has, in the same shapes. The token is that of `purged`.
    fn of_nobody(purged: Self) -> Self {
        let mut tenant = purged.tenant;
        tenant.slug = unique("nobody");
        tenant.id = "018f2a31-7c11-7a53-9d0e-2f6f4c1b7a10".to_owned();
        Self {
            tenant,
            app: unique("no-app"),
            store: unique("no-store"),
            channel: "nobody-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned(),
            key: format!("tnt_0123456789abcdef_{}", "s".repeat(43)),
        }
    }
}

/// A sign-in as `person`, naming tenants in some ways.
async fn sign_in(dev: &Dev, person: &Tenant, names: &[(Source, &Names)]) -> Answer {
    let host = names.iter().find(|(source, _)| *source == Host);
    let client = match host {
        Some((_, names)) => dev.at(&names.tenant.slug),
        None => dev.base(),
    };
    let body = json!({ "email": person.email, "password": ADMIN_PASSWORD });
    let mut request = client.request(Method::POST, "/auth/login").json(&body);
    for (source, names) in names {
        request = named(request, *source, names);
    }
    request.send().await
}

fn named(request: Request, source: Source, names: &Names) -> Request {
    match source {
        Host => request,
        Token => request.header(
            "authorization",
            &format!("Bearer {}", names.tenant.admin.token()),
        ),
        BearerKey => request.header("authorization", &format!("Bearer {}", names.key)),
        ApiKey => request.header("x-api-key", &names.key),
        AppId => request.header("x-app-id", &names.app),
        StoreId => request.header("x-store-id", &names.store),
        ChannelToken => request.header("x-channel-token", &names.channel),
        TenantId => request.header("x-tenant-id", &names.tenant.id),
    }
}

/// What an answer tells, without what is different each time.
fn told(answer: &Answer) -> (u16, Value, Value) {
    let body = answer.json();
    (answer.status, body["code"].clone(), body["detail"].clone())
}

// Red when `agreed` did not compare the names at a base domain with one another, and when `said` left
// the last sources out.
#[tokio::test]
async fn of_each_two_names_both_must_lead_to_the_same_tenant() {
    let dev = Dev::start();
    let (a, b) = (Names::of(&dev).await, Names::of(&dev).await);
    let (deleted, purged) = (Names::of(&dev).await, Names::of(&dev).await);
    let operator = dev.operator();
    let path = |names: &Names| format!("/setup/tenants/{}", names.tenant.slug);
    operator.delete(&path(&deleted)).await.expect(200);
    let purge = format!("{}?purge=true", path(&purged));
    operator.delete(&purge).await.expect(200);
    let nobody = Names::of_nobody(purged);

    for source in ALL {
        let alone = sign_in(&dev, &a.tenant, &[(source, &a)]).await;
        assert_eq!(alone.status, 200, "{source:?}: {alone}");
        let unknown = sign_in(&dev, &a.tenant, &[(source, &nobody)]).await;
        unknown.problem(404, "TENANT_NOT_FOUND");
        let hidden = sign_in(&dev, &a.tenant, &[(source, &deleted)]).await;
        assert_eq!(told(&hidden), told(&unknown), "{source:?}");
    }
    for (index, first) in ALL.into_iter().enumerate() {
        for second in ALL.into_iter().skip(index + 1) {
            if (first, second) == (Token, BearerKey) {
                // One header.
                continue;
            }
            let agree = sign_in(&dev, &a.tenant, &[(first, &a), (second, &a)]).await;
            assert_eq!(agree.status, 200, "{first:?} {second:?}: {agree}");
            for (one, two) in [
                (&a, &b),
                (&b, &a),
                (&a, &nobody),
                (&nobody, &a),
                (&a, &deleted),
                (&deleted, &a),
                (&nobody, &nobody),
                (&deleted, &deleted),
            ] {
                let names = [(first, one), (second, two)];
                let refused = sign_in(&dev, &a.tenant, &names).await;
                let of = format!(
                    "{first:?}: {}, {second:?}: {}",
                    one.tenant.slug, two.tenant.slug
                );
                // At a host that is nobody's there is nothing, whatever else is sent.
                let nowhere = first == Host && !std::ptr::eq(one, &a) && !std::ptr::eq(one, &b);
                let wanted = if nowhere { 404 } else { 403 };
                assert_eq!(refused.status, wanted, "{of}: {refused}");
                let code = if nowhere {
                    "TENANT_NOT_FOUND"
                } else {
                    "WRONG_TENANT"
                };
                assert_eq!(refused.json()["code"], code, "{of}");
            }
        }
    }
}

// Red when `leads_to` passed over what is nobody's name, and when `said` left the last sources out.
#[tokio::test]
async fn all_of_them_at_once_and_none_twice() {
    let dev = Dev::start();
    let (a, b) = (Names::of(&dev).await, Names::of(&dev).await);
    let all: Vec<_> = ALL
        .into_iter()
        .filter(|source| *source != BearerKey)
        .collect();
    let names: Vec<_> = all.iter().map(|source| (*source, &a)).collect();
    sign_in(&dev, &a.tenant, &names).await.expect(200);
    for odd in 0..all.len() {
        let mut names = names.clone();
        names[odd].1 = &b;
        let refused = sign_in(&dev, &a.tenant, &names).await;
        refused.problem(403, "WRONG_TENANT");
    }
    for source in [ApiKey, AppId, StoreId, ChannelToken, TenantId] {
        let twice = [(source, &a), (source, &a)];
        let refused = sign_in(&dev, &a.tenant, &twice).await;
        refused.problem(403, "WRONG_TENANT");
    }
    // A key names a tenant and lets nobody in: nobody looks at its secret yet.
    for source in [BearerKey, ApiKey] {
        let request = dev.at(&a.tenant.slug).request(Method::GET, "/me");
        let answer = named(request, source, &a).send().await;
        answer.problem(401, "UNAUTHENTICATED");
    }
    // What is not in our shape is somebody else's key.
    let body = json!({ "email": a.tenant.email, "password": ADMIN_PASSWORD });
    let at = dev.at(&a.tenant.slug);
    let request = at.request(Method::POST, "/auth/login").json(&body);
    request
        .header("x-api-key", "gateway-7f")
        .send()
        .await
        .expect(200);
    // Of ours that is broken it cannot be said whose it is.
    let request = at.request(Method::POST, "/auth/login").json(&body);
    let broken = request.header("x-api-key", "tnt_x").send().await;
    broken.problem(403, "WRONG_TENANT");
    let log = dev.log();
    assert!(
        !log.contains(&"s".repeat(43)),
        "a key's secret is in the log"
    );
}
