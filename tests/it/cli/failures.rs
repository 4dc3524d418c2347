//! What a person is told when something stands in the way: what it is, and what to do.

use std::net::TcpListener;

use tenantry_testkit::{program, shared};

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

/// Before, each of them was taken for a value: a token that nobody has, a URL that is none, a usage error. Seen red with
/// the program of then.
#[tokio::test]
async fn an_empty_variable_counts_as_unset() {
    let dev = shared();
    let folder = dev.data().display().to_string();
    for name in [
        "TENANTRY_TOKEN",
        "TENANTRY_URL",
        "TENANTRY_OUTPUT",
        "TENANTRY_CONFIG",
        "TENANTRY_LOG_FORMAT",
    ] {
        dev.cli_elsewhere(&["tenants", "list", "--data", &folder], &[(name, "")])
            .expect(0);
    }
    let unset = dev.cli_elsewhere(&["tenants", "list"], &[("TENANTRY_DATA", "")]);
    assert!(
        unset.expect(2).stderr.contains("which control plane?"),
        "as without it"
    );
}

/// Seen red with the program that had no groups for these: it named one alternative, and each variable that was set.
#[tokio::test]
async fn a_usage_names_what_was_typed_and_all_that_can_be() {
    let dev = shared();
    let env = [
        ("TENANTRY_URL", "http://127.0.0.1:1"),
        ("TENANTRY_TOKEN", "x"),
        ("TENANTRY_DATA", "/nowhere"),
    ];
    for (arguments, wanted) in [
        (&["rotate-credentials"][..], "<TENANT|--all>"),
        (
            &["tenants", "restore", "x.dump"],
            "<--new <SLUG>|--into <TENANT>>",
        ),
        (
            &["operators", "update", "ann"],
            "<--role <ROLE>|--ttl <TTL>>",
        ),
    ] {
        let told = dev.cli_elsewhere(arguments, &env).expect(2);
        assert!(told.stderr.contains(wanted), "{told}");
        let usage = told.stderr.lines().find(|line| line.contains("Usage:"));
        let usage = usage.expect("a usage");
        assert!(
            !usage.contains("--url") && !usage.contains("--token") && !usage.contains("--data"),
            "{told}"
        );
    }
}

/// `| head -1`: with a pipe whose reader is gone before anything is written. Seen red with the program that told of it.
#[tokio::test]
async fn a_reader_that_has_gone_is_told_nothing() {
    let dev = shared();
    let folder = dev.data().display().to_string();
    for arguments in [
        &["completions", "bash"][..],
        &["man"],
        &["config"],
        &["openapi"],
        &["tenants", "list", "--data", &folder],
        &["audit", "list", "--output", "json", "--data", &folder],
        &["audit", "export", "--data", &folder],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = program()
            .args(arguments)
            .stdout(writer)
            .output()
            .expect("the program runs");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(told, "", "{arguments:?}");
        assert_eq!(ended.status.code(), Some(141), "{arguments:?}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full");
    let ended = program()
        .arg("config")
        .stdout(full.expect("a device"))
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("stdout cannot be written"), "{told}");
}

#[tokio::test]
async fn what_is_told_names_flags_and_the_list_to_look_at() {
    let dev = shared();
    let acme = dev.tenant("words").await;
    let slug = acme.slug.as_str();
    let none = "00000000-0000-7000-8000-000000000000";
    for (arguments, wanted) in [
        (
            &["tenants", "create", "elsewhere", "--cluster", "nowhere"][..],
            "tenantry clusters list",
        ),
        (
            &["tenants", "aliases", "remove", slug, none],
            "tenantry tenants aliases list",
        ),
        (
            &["tenants", "logins", "end", slug, "nobody"],
            "tenantry tenants logins list",
        ),
        (&["operations", "show", none], "tenantry operations list"),
        (&["audit", "verify", "--head", "x"], "--head: "),
    ] {
        let told = dev.cli(arguments);
        assert!(
            told.code != 0 && told.stderr.contains(wanted),
            "{arguments:?}: {told}"
        );
        assert!(!told.stderr.contains("base domain"), "{told}");
        assert!(!told.stderr.contains("`errors`"), "{told}");
    }
    dev.cli(&["tenants", "credentials", slug]).expect(0);
    let again = dev.cli(&["tenants", "credentials", slug]).expect(4);
    assert!(
        again.stderr.contains("next: ") && again.stderr.contains("`--end-previous`"),
        "{again}"
    );
    assert!(!again.stderr.contains("endPrevious"), "{again}");
}
