//! What a person is told when something stands in the way: what it is, and what to do.

use std::net::TcpListener;

use tenantry_testkit::shared;

#[tokio::test]
async fn a_failure_says_what_to_do_in_words_of_the_setting() {
    let dev = shared();
    let port = dev.address().port();
    let (plain, tls) = (
        format!("http://localhost:{port}"),
        format!("https://localhost:{port}"),
    );
    let told = |arguments: &[&str], env: &[(&str, &str)]| dev.cli_elsewhere(arguments, env).stderr;
    let list = ["tenants", "list", "--token", "x", "--url"];
    let at = |url: &str| told(&[&list[..], &[url]].concat(), &[]);
    for (said, wanted) in [
        (
            at(&tls),
            &["does not speak TLS", &format!("next: write --url {plain}")][..],
        ),
        (
            at("http://127.0.0.1:1"),
            &["nothing listens at http://127.0.0.1:1", "tenantry dev"],
        ),
        (
            at("http://nowhere.invalid"),
            &["no address is known for `nowhere.invalid`", "--url"],
        ),
        (
            at("localhost:3000"),
            &["no URL of a control plane", "http://localhost:3000"],
        ),
        (at(&plain), &["next: give a valid operator token"]),
        (
            told(&["tenants", "list"], &[]),
            &["which control plane?", "--url and --token"],
        ),
        (
            told(&["serve", "--listen", "3100"], &[]),
            &["write it like 127.0.0.1:3100"],
        ),
        (told(&["tenats", "list"], &[]), &["tenants"]),
        (
            told(
                &["catalog", "migrate"],
                &[("TENANTRY_CATALOG_URL", "db.internal")],
            ),
            &[
                "`catalog_url` is no URL of a Postgres database",
                "postgres://login:password@host",
            ],
        ),
        (
            told(
                &["init", "--cluster-url", "db.internal"],
                &[("TENANTRY_CATALOG_URL", "postgres://a:b@127.0.0.1:1/c")],
            ),
            &[
                "the cluster's URL is not usable",
                "postgres://admin:password@",
            ],
        ),
        (
            told(&["catalog", "migrate"], &[("TENANTRY_CATALOG_ULR", "x")]),
            &["did you mean `TENANTRY_CATALOG_URL`"],
        ),
        (
            told(&["catalog", "migrate", "--config", "/nowhere.toml"], &[]),
            &["there is no file `/nowhere.toml`", "--config"],
        ),
    ] {
        for wanted in wanted {
            assert!(said.contains(wanted), "`{wanted}` is not in:\n{said}");
        }
        assert!(
            !said.contains("relative URL") && !said.contains("panicked"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_told() {
    let dev = shared();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", socket.local_addr().expect("an address"));
    // As a TLS server answers plain HTTP: an alert record.
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = socket.accept().expect("a client");
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 10]);
    });
    let told = dev
        .cli_elsewhere(&["status", "--token", "x", "--url", &url], &[])
        .expect(2);
    server.join().expect("it answered");
    assert!(
        told.stderr.contains("does not speak plain HTTP") && told.stderr.contains("https://127"),
        "{told}"
    );
}

#[tokio::test]
async fn an_address_of_no_cluster_is_one_mistake() {
    let dev = shared();
    let refused = dev
        .operator()
        .post(
            "/setup/tenants",
            serde_json::json!({ "name": "X", "slug": "nowhere", "dbHost": "10.0.0.1", "dbPort": 1 }),
        )
        .await;
    assert_eq!(refused.wrong_fields(), ["dbHost"], "{refused}");
    let states = dev.operator().get("/setup/tenants?status=sleeping").await;
    assert!(
        states.text.contains("`error`\"") && !states.text.contains(", \""),
        "{states}"
    );
}
