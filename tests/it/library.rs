//! `docs/library.md`, done as it says: its commands are read from the page and run in a shell.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tenantry_testkit::{Client, Dev, Process, program};

use crate::wait;

const PAGE: &str = include_str!("../../docs/library.md");

/// The lines of the page's shell blocks that begin with this, without what is aligned in them.
fn lines(begin: &str) -> Vec<String> {
    let lines: Vec<_> = PAGE
        .lines()
        .filter(|line| line.starts_with(begin))
        .map(str::to_owned)
        .collect();
    assert!(!lines.is_empty(), "the page has no `{begin}`");
    lines
}

/// The example, which `cargo test` builds beside the program.
fn example() -> PathBuf {
    let program = PathBuf::from(program().get_program());
    let example = program.with_file_name("examples").join("axum");
    assert!(
        example.is_file(),
        "the example is not built: `cargo build -p tenantry-router --example axum`"
    );
    example
}

/// A shell in the test's folder, where `tenantry` is the program under test.
fn shell(dev: &Dev, script: &str) -> Command {
    let mut command = program();
    let bin = Path::new(command.get_program()).parent().expect("a folder");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").expect("a path")
    );
    // `program` knows which variables must not be there.
    let removed: Vec<_> = command
        .get_envs()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.to_owned())
        .collect();
    command = Command::new("sh");
    command
        .args(["-euc", script])
        .current_dir(dev.folder())
        .env("PATH", path);
    for name in removed {
        command.env_remove(name);
    }
    command
}

#[track_caller]
fn run(dev: &Dev, script: &str) -> String {
    let done = shell(dev, script)
        .env("TENANTRY_DATA", dev.data())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{script}: {told}");
    String::from_utf8(done.stdout).expect("text")
}

/// Tried with all keys printed by the command: it is told that these are more than route keys.
#[tokio::test]
async fn the_guide_leads_to_a_running_product() {
    let mut dev = Dev::start();
    for line in lines("tenantry tenants create") {
        run(&dev, &line);
    }
    for line in lines("tenantry router-credentials") {
        run(&dev, &line);
    }
    let given = std::fs::read_to_string(dev.folder().join("product.env")).expect("the file");
    for pair in given.lines() {
        let (name, value) = pair.split_once('=').expect("a variable");
        let held = PAGE.contains(&format!("| `{name}` |"));
        assert!(
            held && !value.is_empty(),
            "the page does not tell of {name}"
        );
    }
    let all = &dev.variables()["TENANTRY_KEYS"];
    for key in all.split(',') {
        let (is_route, secret) = (key.starts_with("route:"), key.rsplit(':').next());
        let secret = secret.expect("a key");
        assert_eq!(given.contains(secret), is_route, "route keys and no others");
    }
    let admin = &dev.variables()["TENANTRY_CATALOG_URL"];
    let password = admin
        .split(':')
        .nth(2)
        .and_then(|rest| rest.split('@').next());
    assert!(
        !given.contains(password.expect("a password")),
        "the admin's"
    );

    // What the page has cargo build is built; the port is one that is free.
    let set = lines("set -a;").remove(0);
    assert_eq!(lines("cargo run -p tenantry-router").len(), 1);
    let run_it = format!("{set}\nexec '{}'", example().display());
    let mut command = shell(&dev, &run_it);
    command.env("LISTEN", "127.0.0.1:0");
    let mut product = Process::spawn(command, dev.folder(), "product");
    let mut address = None;
    wait::until(Duration::from_secs(60), "the product listens", async || {
        let out = product.output();
        address = out
            .lines()
            .find_map(|line| line.strip_prefix("listening on http://")?.parse().ok());
        address.is_some() || product.log().contains("Error")
    })
    .await;
    let address: std::net::SocketAddr = address.unwrap_or_else(|| panic!("{}", product.log()));

    let answers: Vec<_> = lines("curl -H 'Host: ")
        .iter()
        .map(|line| run(&dev, &line.replace("127.0.0.1:8080", &address.to_string())))
        .collect();
    assert_eq!(
        answers,
        [r#"["ann@acme.example"]"#, r#"["bob@globex.example"]"#]
    );
    for answer in answers {
        assert!(PAGE.contains(&format!("`{answer}`")), "the page says so");
    }
    let nobody = Client::new(address, "nobody.localhost")
        .get("/people")
        .await;
    assert_eq!(nobody.expect(404)["code"], "TENANT_NOT_FOUND");

    let renamed = Client::new(address, "acme.localhost:8080")
        .request(reqwest::Method::PUT, "/people")
        .body("Ann")
        .send()
        .await;
    assert_eq!(renamed.expect(200)[0], "Ann <ann@acme.example>");
    let kept = dev
        .pg()
        .texts("tenant_globex", "SELECT name FROM tenantry.users")
        .await;
    assert_ne!(kept, ["Ann"], "the other tenant's are its own");

    // It ends in order, and nobody waits for it then.
    product.signal(Signal::TERM);
    let ended = product.wait(Duration::from_secs(30));
    assert_eq!(ended.code(), Some(0), "{}", product.log());
    let pg = dev.pg();
    let mine = "SELECT name FROM routers WHERE name = 'my-product'";
    let left = pg.texts(&pg.catalog, mine).await;
    assert_eq!(left, [""; 0], "it has taken itself out");
    assert_eq!(dev.stop(), 0);
}

#[test]
fn credentials_go_to_a_new_file_that_nobody_else_can_read() {
    let dev = Dev::start();
    let file = dev.folder().join("given.env");
    let path = file.to_str().expect("a path");
    let printed = dev.cli(&["router-credentials"]).expect(0).stdout;
    let told = dev.cli(&["router-credentials", "--out", path]).expect(0);
    assert_eq!(told.stdout, "");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), printed);
    let mode = std::fs::metadata(&file)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    std::fs::write(&file, "somebody's").expect("written");
    let refused = dev.cli(&["router-credentials", "--out", path]).expect(4);
    assert!(refused.stderr.contains("given.env"), "{refused}");
    let kept = std::fs::read_to_string(&file).expect("there");
    assert_eq!(kept, "somebody's");
    let nowhere = dev.folder().join("nowhere").join("given.env");
    let nowhere = nowhere.to_str().expect("a path");
    dev.cli(&["router-credentials", "--out", nowhere]).expect(1);

    let other = dev.folder().join("other.env");
    let other = other.to_str().expect("a path");
    let told = dev
        .cli(&["router-credentials", "--out", other, "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(told, serde_json::json!({ "file": other }));
}

/// Tried with the program as it was: the catalog's own login is printed.
#[test]
fn a_login_that_may_do_more_than_route_is_not_given_out() {
    let dev = Dev::start();
    let variables = dev.variables();
    let given = |url: &str| {
        let environment = [
            (
                "TENANTRY_CATALOG_URL",
                variables["TENANTRY_CATALOG_URL"].as_str(),
            ),
            ("TENANTRY_KEYS", variables["TENANTRY_KEYS"].as_str()),
            ("TENANTRY_ROUTER_CATALOG_URL", url),
        ];
        dev.cli_elsewhere(&["router-credentials", "--output", "json"], &environment)
    };
    let own = given(&variables["TENANTRY_CATALOG_URL"]).expect(5);
    assert_eq!(own.stdout, "", "{own}");
    assert!(own.stderr.contains("table operators"), "{own}");
    let made = dev
        .cli(&["router-credentials", "--output", "json"])
        .expect(0)
        .json();
    let made = made["routerCatalogUrl"].as_str().expect("a URL");
    assert_eq!(given(made).expect(0).json()["routerCatalogUrl"], made);
}

/// The catalog keeps the login, so that a second product gets the same and the first goes on.
#[test]
fn credentials_are_printed_again_and_only_where_there_are_keys() {
    let dev = Dev::start();
    let print = || dev.cli(&["router-credentials"]).expect(0).stdout;
    let first = print();
    assert_eq!(first, print());
    let json = dev
        .cli(&["router-credentials", "--output", "json"])
        .expect(0)
        .json();
    for (variable, key) in [
        ("TENANTRY_ROUTER_CATALOG_URL", "routerCatalogUrl"),
        ("TENANTRY_KEYS", "keys"),
        ("TENANTRY_INSTALLATION", "installationId"),
    ] {
        let text = json[key].as_str().expect("a text");
        assert!(first.contains(&format!("{variable}={text}\n")), "{first}");
    }
    let elsewhere = dev.cli_elsewhere(&["router-credentials"], &[]).expect(2);
    assert!(elsewhere.stderr.contains("catalog"), "{elsewhere}");
    let variables = dev.variables();
    let url = (
        "TENANTRY_CATALOG_URL",
        variables["TENANTRY_CATALOG_URL"].as_str(),
    );
    let without = dev.cli_elsewhere(&["router-credentials"], &[url]).expect(2);
    assert!(without.stderr.contains("TENANTRY_KEYS"), "{without}");
    // With a router's keys one cannot make another's: that is for who holds them all.
    let keys = ("TENANTRY_KEYS", json["keys"].as_str().expect("keys"));
    let refused = dev
        .cli_elsewhere(&["router-credentials"], &[url, keys])
        .expect(2);
    assert!(refused.stderr.contains("no admin key"), "{refused}");
    let refused = dev.cli_elsewhere(&["serve"], &[url, keys]).expect(2);
    assert!(refused.stderr.contains("no admin key"), "{refused}");
}
