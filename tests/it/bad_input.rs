//! What no request gets away with, as tables of requests and answers

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{Client, Dev, raw, shared, unique};

/// A good creation with some fields changed; a null removes one.
fn creation(changes: &Value) -> Value {
    let mut body = json!({ "name": "Good", "slug": unique("good") });
    for (field, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            body.as_object_mut().expect("an object").remove(field);
        } else {
            body[field] = value.clone();
        }
    }
    body
}

#[tokio::test]
async fn each_wrong_field_of_a_creation_is_named() {
    let dev = shared();
    let long = |n: usize| "x".repeat(n);
    let table: Vec<(Value, &[&str])> = vec![
        (json!({ "name": null }), &["name"]),
        (json!({ "slug": null }), &["slug"]),
        (json!({ "name": null, "slug": null }), &["name", "slug"]),
        (json!({ "name": "" }), &["name"]),
        (json!({ "name": "   " }), &["name"]),
        (json!({ "name": long(10_000) }), &["name"]),
        (json!({ "name": "a\u{0}b" }), &["name"]),
        (json!({ "name": "a\nb" }), &["name"]),
        (json!({ "name": 7 }), &["name"]),
        (json!({ "slug": "" }), &["slug"]),
        (json!({ "slug": "Acme" }), &["slug"]),
        (json!({ "slug": "-acme" }), &["slug"]),
        (json!({ "slug": "acme-" }), &["slug"]),
        (json!({ "slug": "ac_me" }), &["slug"]),
        (json!({ "slug": "ac.me" }), &["slug"]),
        (json!({ "slug": "ac me" }), &["slug"]),
        (json!({ "slug": "\u{e4}cme" }), &["slug"]),
        (json!({ "slug": "xn--cme-pla" }), &["slug"]),
        (json!({ "slug": long(41) }), &["slug"]),
        (
            json!({ "slug": "a'; DROP DATABASE postgres; --" }),
            &["slug"],
        ),
        (json!({ "slug": "www" }), &["slug"]),
        (json!({ "slug": "api" }), &["slug"]),
        (json!({ "slug": "admin" }), &["slug"]),
        (json!({ "slug": "setup" }), &["slug"]),
        (json!({ "slug": ["acme"] }), &["slug"]),
        (json!({ "plan": "" }), &["plan"]),
        (json!({ "plan": "Pro Plan" }), &["plan"]),
        (json!({ "primaryDomain": "a..b" }), &["primaryDomain"]),
        (json!({ "primaryDomain": "127.0.0.1" }), &["primaryDomain"]),
        (json!({ "primaryDomain": "www" }), &["primaryDomain"]),
        (json!({ "primaryDomain": "localhost" }), &["primaryDomain"]),
        (
            json!({ "primaryDomain": "acme.localhost" }),
            &["primaryDomain"],
        ),
        (
            json!({ "primaryDomain": "a.b.localhost" }),
            &["primaryDomain"],
        ),
        (json!({ "cluster": "no-such-cluster" }), &["cluster"]),
        (json!({ "dbHost": "127.0.0.1", "dbPort": 0 }), &["dbPort"]),
        (
            json!({ "dbHost": "127.0.0.1", "dbPort": 70000 }),
            &["dbPort"],
        ),
        (
            json!({ "dbHost": "127.0.0.1", "dbPort": "5432" }),
            &["dbPort"],
        ),
        (json!({ "dbPort": 5432 }), &["dbHost"]),
        (json!({ "admin": "ann@acme.example" }), &["admin"]),
        (json!({ "admin": {} }), &["admin.email"]),
        (json!({ "admin": { "email": "ann" } }), &["admin.email"]),
        (
            json!({ "admin": { "email": "ann@acme.example", "password": "short" } }),
            &["admin.password"],
        ),
        (
            json!({ "admin": { "email": "ann@acme.example", "password": long(300) } }),
            &["admin.password"],
        ),
        (
            json!({ "admin": { "email": "ann@acme.example", "role": "x" } }),
            &["admin.role"],
        ),
        (json!({ "metadata": [] }), &["metadata"]),
        (json!({ "metadata": "x" }), &["metadata"]),
        (json!({ "colour": "red" }), &["colour"]),
        (
            json!({ "tenantId": "00000000-0000-7000-8000-000000000000" }),
            &["tenantId"],
        ),
        (json!({ "status": "active" }), &["status"]),
        (
            json!({ "slug": "A", "admin": { "email": "x" }, "x": 1 }),
            &["admin.email", "slug", "x"],
        ),
    ];
    for (changes, fields) in table {
        let answer = dev
            .operator()
            .post("/setup/tenants", creation(&changes))
            .await;
        assert_eq!(answer.wrong_fields(), fields, "{changes}: {answer}");
    }
}

#[tokio::test]
async fn each_wrong_field_of_a_person_is_named() {
    let acme = shared().tenant("fields").await;
    let own = format!("/users/{}", acme.user_id);
    let table: Vec<(Method, &str, Value, &[&str])> = vec![
        (Method::POST, "/users", json!({}), &["email"]),
        (Method::POST, "/users", json!({ "email": "x" }), &["email"]),
        (
            Method::POST,
            "/users",
            json!({ "email": "a@b.c", "password": "1234567" }),
            &["password"],
        ),
        (
            Method::POST,
            "/users",
            json!({ "email": "a@b.c", "name": "x".repeat(1000) }),
            &["name"],
        ),
        (
            Method::POST,
            "/users",
            json!({ "email": "a@b.c", "roles": "Admin" }),
            &["roles"],
        ),
        (
            Method::POST,
            "/users",
            json!({ "email": "a@b.c", "isActive": "yes" }),
            &["isActive"],
        ),
        (
            Method::POST,
            "/users",
            json!({ "email": "a@b.c", "isAdmin": true }),
            &["isAdmin"],
        ),
        (Method::PATCH, &own, json!({ "email": "x" }), &["email"]),
        (
            Method::PATCH,
            &own,
            json!({ "id": "x", "createdAt": "x" }),
            &["createdAt", "id"],
        ),
        (
            Method::PATCH,
            &own,
            json!({ "password": "" }),
            &["password"],
        ),
        (
            Method::POST,
            "/auth/login",
            json!({}),
            &["email", "password"],
        ),
        (
            Method::POST,
            "/auth/login",
            json!({ "email": "x", "password": 7 }),
            &["email", "password"],
        ),
        (
            Method::POST,
            "/auth/login",
            json!({ "email": "a@b.c", "password": "x", "otp": "1" }),
            &["otp"],
        ),
        (
            Method::POST,
            "/auth/refresh",
            json!({ "refreshToken": 7 }),
            &["refreshToken"],
        ),
    ];
    for (method, path, body, fields) in table {
        let answer = acme.admin.request(method, path).json(&body).send().await;
        assert_eq!(answer.wrong_fields(), fields, "{body}: {answer}");
    }
}

#[tokio::test]
async fn wrong_questions_to_lists_are_named() {
    let dev = shared();
    let acme = dev.tenant("query").await;
    let table: &[(Client, &str, &str)] = &[
        (dev.operator(), "/setup/tenants?limit=0", "limit"),
        (dev.operator(), "/setup/tenants?limit=201", "limit"),
        (dev.operator(), "/setup/tenants?limit=-1", "limit"),
        (dev.operator(), "/setup/tenants?limit=ten", "limit"),
        (dev.operator(), "/setup/tenants?cursor=junk", "cursor"),
        (dev.operator(), "/setup/tenants?status=sleeping", "status"),
        (dev.operator(), "/setup/tenants?colour=red", "colour"),
        (acme.admin.clone(), "/users?limit=0", "limit"),
        (acme.admin.clone(), "/users?cursor=junk", "cursor"),
        (acme.admin.clone(), "/users?colour=red", "colour"),
    ];
    for (client, path, field) in table {
        assert_eq!(client.get(path).await.wrong_fields(), [*field], "{path}");
    }
    // One thing said twice is no question.
    let twice = dev.operator().get("/setup/tenants?limit=1&limit=2").await;
    assert!(matches!(twice.status, 400 | 422), "{twice}");
    twice.any_problem();
    // The delete of a tenant is not guessed at either.
    let odd = dev
        .operator()
        .delete(&format!("/setup/tenants/{}?purge=perhaps", acme.id))
        .await;
    assert_eq!(odd.wrong_fields(), ["purge"]);
    acme.admin.get("/me").await.expect(200);
}

#[tokio::test]
async fn what_is_no_json_is_told_as_that() {
    let dev = shared();
    let acme = dev.tenant("json").await;
    let places = [
        (dev.operator(), "/setup/tenants"),
        (dev.operator(), "/setup/operators"),
        (acme.admin.clone(), "/users"),
        (acme.admin.anonymous(), "/auth/login"),
        (acme.admin.anonymous(), "/auth/refresh"),
    ];
    for (client, path) in &places {
        let send = |kind: &'static str, body: Vec<u8>| {
            client
                .request(Method::POST, path)
                .header("content-type", kind)
                .body(body)
                .send()
        };
        for broken in [
            "{",
            "{\"name\": }",
            "nothing",
            "{\"a\":1} trailing",
            "{'name': 'x'}",
            "\u{feff}{}",
            "{\"name\": \"\\ud800\"}",
        ] {
            let answer = send("application/json", broken.into()).await;
            assert_eq!(answer.status, 400, "{broken}: {answer}");
            answer.problem(400, "MALFORMED_JSON");
        }
        send("application/json", vec![0xff, 0xfe, b'{', b'}'])
            .await
            .problem(400, "MALFORMED_JSON");
        // JSON, but no object.
        for other in ["[]", "7", "\"text\"", "null"] {
            let answer = send("application/json", other.into()).await;
            assert!(matches!(answer.status, 400 | 422), "{other}: {answer}");
            answer.any_problem();
        }
        // A field twice: which one would count?
        let twice = "{\"email\":\"a@b.c\",\"email\":\"d@e.f\",\"name\":\"A\",\"name\":\"B\",\"refreshToken\":\"x\",\"refreshToken\":\"y\"}";
        let answer = send("application/json", twice.into()).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
        answer.any_problem();
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            let answer = send(kind, b"{}".to_vec()).await;
            assert_eq!(answer.status, 415, "{kind}: {answer}");
            answer.any_problem();
        }
        // A nest of brackets does not bring it down.
        let nest = "[".repeat(100_000);
        let answer = send("application/json", nest.into_bytes()).await;
        assert!(matches!(answer.status, 400 | 413), "{answer}");
    }
    dev.base().get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let dev = shared();
    let acme = dev.tenant("large").await;
    for (client, path) in [
        (dev.operator(), "/setup/tenants"),
        (acme.admin.clone(), "/users"),
        (acme.admin.anonymous(), "/auth/login"),
    ] {
        let body = json!({ "name": "x".repeat(1_000_000) });
        client.post(path, body).await.problem(413, "BODY_TOO_LARGE");
    }
    // Without a length, in chunks: counted as they come.
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    let answer = raw(
        dev.address(),
        &format!(
            "POST /auth/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
            dev.host(Some(&acme.slug)),
            chunk.repeat(5)
        ),
    );
    assert_eq!(answer.status, 413, "{answer}");
}

#[tokio::test]
async fn a_wrong_method_is_405_and_a_wrong_path_404() {
    let dev = shared();
    let acme = dev.tenant("method").await;
    for (client, method, path, allowed) in [
        (dev.operator(), Method::PUT, "/setup/tenants", "POST"),
        (dev.operator(), Method::PATCH, "/setup/tenants", "GET"),
        (dev.operator(), Method::GET, "/setup/rollouts", "POST"),
        (acme.admin.clone(), Method::GET, "/auth/login", "POST"),
        (acme.admin.clone(), Method::PUT, "/users", "POST"),
        (acme.admin.clone(), Method::DELETE, "/me", "GET"),
        (dev.base(), Method::POST, "/healthz", "GET"),
    ] {
        let answer = client.request(method, path).send().await;
        answer.problem(405, "METHOD_NOT_ALLOWED");
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.contains(allowed), "Allow: {allow} for {answer}");
    }
    for (client, path) in [
        (dev.operator(), "/sign-in/"),
        (dev.operator(), "/setup"),
        (dev.operator(), "/setup/tenant"),
        (dev.operator(), "/setup/tenants/"),
        (dev.operator(), "/setup//tenants"),
        (dev.operator(), "/SETUP/tenants"),
        (dev.operator(), "/../etc/passwd"),
        (acme.admin.clone(), "/nothing"),
        (acme.admin.clone(), "/users/"),
        (acme.admin.clone(), "/setup/tenants"),
        (acme.admin.clone(), "/internal/metrics"),
        (dev.base(), "/metrics"),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 404, "{answer}");
        answer.any_problem();
    }
}

#[tokio::test]
async fn a_request_id_is_given_back_if_it_is_harmless() {
    let dev = shared();
    let with = |id: &'static str| {
        dev.base()
            .request(Method::GET, "/nothing")
            .header("x-request-id", id)
            .send()
    };
    let own = dev.base().get("/nothing").await;
    let id = own.json()["requestId"].as_str().expect("an id").to_owned();
    assert_eq!(own.header("x-request-id"), Some(id.as_str()));
    for bad in ["a b", "<script>", "x\ty"] {
        let answer = with(bad).await;
        let id = answer.json()["requestId"].clone();
        assert_ne!(id, bad, "{answer}");
    }
    let long: &'static str = "x".repeat(5000).leak();
    let answer = with(long).await;
    assert!(answer.text.len() < 2000, "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_harms_nobody() {
    let dev = shared();
    for junk in [
        "HELLO\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let answer = raw(dev.address(), junk);
        assert!(matches!(answer.status, 400 | 505), "{junk:?}: {answer}");
    }
    let many = "x-filler: 1234567890\r\n".repeat(20_000);
    let answer = raw(
        dev.address(),
        &format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
    );
    assert!(matches!(answer.status, 400 | 431), "{answer}");
    dev.base().get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_tenant_that_is_not_ready_asks_to_come_back() {
    let dev = Dev::start();
    let acme = dev.tenant("busy").await;
    let set = async |status: &str| {
        let sql = format!(
            "UPDATE tenants SET status = '{status}' WHERE id = '{}'",
            acme.id
        );
        dev.pg().run(&dev.pg().catalog, &sql).await;
        // A change that the program did not make has no row in the change log.
        dev.operator()
            .post(&format!("/setup/tenants/{}/disconnect", acme.id), json!({}))
            .await;
    };
    for (status, code, name) in [
        ("provisioning", 503, "TENANT_NOT_READY"),
        ("migrating", 503, "TENANT_NOT_READY"),
        ("moving", 503, "TENANT_NOT_READY"),
        ("error", 503, "TENANT_NOT_READY"),
        ("suspended", 403, "TENANT_SUSPENDED"),
    ] {
        set(status).await;
        acme.admin.get("/me").await.problem(code, name);
        let body = json!({ "email": acme.email, "password": tenantry_testkit::ADMIN_PASSWORD });
        acme.admin
            .anonymous()
            .post("/auth/login", body)
            .await
            .problem(code, name);
    }
    set("active").await;
    acme.admin.get("/me").await.expect(200);
}
