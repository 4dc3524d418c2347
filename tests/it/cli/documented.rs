//! `docs/cli.md` and the program say the same: each command is run and its document compared with
//! the page, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenantry_testkit::{Cli, Dev, program};

use crate::setup::clusters::server::Second;

const PAGE: &str = include_str!("../../../docs/cli.md");

/// What the page says of one document.
enum Section {
    Keys(Vec<Key>),
    As(String),
    None,
}

struct Key {
    name: String,
    list: bool,
    kind: String,
    optional: bool,
}

/// The page by its headings.
fn page() -> BTreeMap<String, Section> {
    let mut all = BTreeMap::new();
    for part in PAGE.split("\n### ").skip(1) {
        let (heading, text) = part.split_once('\n').expect("a heading");
        let text = text.split("\n## ").next().unwrap_or(text);
        let keys: Vec<_> = text.lines().filter_map(key).collect();
        let like = text.lines().find_map(|line| {
            let rest = line.strip_prefix("As `")?;
            Some(rest.split_once('`')?.0.to_owned())
        });
        let section = match like {
            Some(other) => Section::As(other),
            None if keys.is_empty() => {
                // `tests/it/bench.rs` compares the other page with the program.
                assert!(
                    text.contains("Prints no document") || text.contains("`docs/benchmarks.md`"),
                    "{heading}: neither keys nor none"
                );
                Section::None
            }
            None => Section::Keys(keys),
        };
        all.insert(heading.trim_matches('`').to_owned(), section);
    }
    all
}

/// A line of a table: "| `items[]` | tenant? | … |".
fn key(line: &str) -> Option<Key> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let name = cells.next()?.trim_end_matches('`');
    let kind = cells.next()?;
    Some(Key {
        name: name.trim_end_matches("[]").to_owned(),
        list: name.ends_with("[]"),
        kind: kind.trim_end_matches('?').to_owned(),
        optional: kind.ends_with('?'),
    })
}

/// Compares a document with a section; collects what differs.
fn compare(
    page: &BTreeMap<String, Section>,
    section: &str,
    at: &str,
    value: &Value,
    wrong: &mut BTreeSet<String>,
) {
    let keys = match page.get(section) {
        Some(Section::Keys(keys)) => keys,
        Some(Section::As(other)) => return compare(page, other, at, value, wrong),
        _ => panic!("the page has no shape `{section}`"),
    };
    let Some(object) = value.as_object() else {
        wrong.insert(format!("{at} is no object"));
        return;
    };
    for name in object.keys() {
        if !keys.iter().any(|key| key.name == *name) {
            wrong.insert(format!("{at}.{name} is not documented"));
        }
    }
    for key in keys {
        let at = format!("{at}.{}", key.name);
        let value = match object.get(&key.name) {
            None | Some(Value::Null) => {
                if !key.optional {
                    wrong.insert(format!("{at} is documented and absent"));
                }
                continue;
            }
            Some(value) => value,
        };
        match (key.list, value) {
            (false, value) => compare_value(page, key, &at, value, wrong),
            (true, Value::Array(items)) => {
                for item in items {
                    compare_value(page, key, &at, item, wrong);
                }
            }
            (true, _) => {
                wrong.insert(format!("{at} is no list"));
            }
        }
    }
}

fn compare_value(
    page: &BTreeMap<String, Section>,
    key: &Key,
    at: &str,
    value: &Value,
    wrong: &mut BTreeSet<String>,
) {
    let is = match key.kind.as_str() {
        "text" => value.is_string(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "object" => value.is_object(),
        "time" => value
            .as_str()
            .is_some_and(|text| text.contains('T') && text.ends_with('Z')),
        shape => return compare(page, shape, at, value, wrong),
    };
    if !is {
        wrong.insert(format!("{at} is no {}: {value}", key.kind));
    }
}

/// All commands, from the names of their manual pages.
fn commands() -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    Cli::of(program(), &["man", "--dir", &path]).expect(0);
    std::fs::read_dir(folder.path())
        .expect("pages")
        .map(|page| {
            let name = page.expect("a page").file_name();
            name.to_string_lossy().replace(".1", "")
        })
        .collect()
}

#[test]
fn every_command_is_on_the_page() {
    let documented: BTreeSet<String> = page()
        .keys()
        .filter(|heading| heading.starts_with("tenantry "))
        .map(|heading| heading.replace(' ', "-"))
        .collect();
    let commands = commands();
    let gone: Vec<_> = documented.difference(&commands).collect();
    assert!(gone.is_empty(), "documented, but not there: {gone:?}");
    // One with commands below it needs a section only if it does something by itself.
    let is_group = |name: &str| {
        let below = format!("{name}-");
        commands.iter().any(|other| other.starts_with(&below))
    };
    let missing: Vec<_> = commands
        .difference(&documented)
        .filter(|name| !is_group(name))
        .collect();
    assert!(missing.is_empty(), "docs/cli.md lacks {missing:?}");
}

#[tokio::test]
async fn every_document_has_the_keys_of_the_page() {
    let dev = Dev::start();
    let page = page();
    let mut tried = BTreeSet::new();
    let mut wrong = BTreeSet::new();
    let mut check = |command: &str, code: i32, told: &Cli| {
        assert_eq!(told.code, code, "{command}: {told}");
        compare(&page, command, command, &told.json(), &mut wrong);
        tried.insert(command.to_owned());
    };
    let json = |arguments: &[&str]| dev.cli(&[arguments, &["--output", "json"]].concat());

    let made = json(&[
        "tenants",
        "create",
        "acme",
        "--admin-email",
        "ann@acme.example",
    ]);
    check("tenantry tenants create", 0, &made);
    let creation = made.json()["operationId"]
        .as_str()
        .expect("an id")
        .to_owned();
    json(&["tenants", "create", "globex", "--metadata", "{\"a\": [1]}"]).expect(0);
    let with_domain = ["tenants", "create", "hooli", "--primary-domain"];
    let made = json(&[&with_domain[..], &["shop.hooli.example"]].concat());
    check("tenantry tenants create", 0, &made);
    check(
        "tenantry tenants list",
        0,
        &json(&["tenants", "list", "--limit", "1"]),
    );
    check(
        "tenantry tenants show",
        0,
        &json(&["tenants", "show", "globex"]),
    );
    let explained = json(&["tenants", "explain", "acme", "--probe"]);
    check("tenantry tenants explain", 0, &explained);
    check("tenantry routers list", 0, &json(&["routers", "list"]));
    let top = json(&["top", "--by", "connections"]);
    check("tenantry top", 0, &top);
    check(
        "tenantry tenants delete",
        0,
        &json(&["tenants", "delete", "globex", "--yes"]),
    );
    check(
        "tenantry tenants show",
        0,
        &json(&["tenants", "show", "globex"]),
    );
    check(
        "tenantry tenants undelete",
        0,
        &json(&["tenants", "undelete", "globex"]),
    );
    for sql in [
        "CREATE ROLE legacy_of LOGIN",
        "CREATE DATABASE legacy OWNER legacy_of",
    ] {
        dev.pg().run("postgres", sql).await;
    }
    let adopt = ["tenants", "adopt", "--database", "legacy", "--slug", "old"];
    let looked = json(&[&adopt[..], &["--check"]].concat());
    check("adoption", 0, &looked);
    check("tenantry tenants adopt", 0, &json(&adopt));
    let again = json(&[&adopt[..], &["--check"]].concat());
    check("adoption", 4, &again);
    check(
        "tenantry tenants unadopt",
        0,
        &json(&["tenants", "unadopt", "old", "--yes"]),
    );
    let update = ["tenants", "update", "globex", "--max-connections", "3"];
    check("tenantry tenants update", 0, &json(&update));
    let rename = [
        "tenants",
        "rename",
        "globex",
        "initech",
        "--redirect-for",
        "1h",
        "--yes",
    ];
    check("tenantry tenants rename", 0, &json(&rename));
    let listed = json(&["tenants", "domains", "list", "initech"]);
    check("tenantry tenants domains list", 0, &listed);
    let suspend = [
        "tenants", "suspend", "initech", "--reason", "Unpaid.", "--yes",
    ];
    check("tenantry tenants suspend", 0, &json(&suspend));
    let explained = json(&["tenants", "explain", "initech"]);
    check("tenantry tenants explain", 0, &explained);
    check(
        "tenantry tenants resume",
        0,
        &json(&["tenants", "resume", "initech"]),
    );
    let domain = "shop.acme.example";
    let added = json(&["tenants", "domains", "add", "acme", domain, "--primary"]);
    check("tenantry tenants domains add", 0, &added);
    dev.dns().set_record(&added.json());
    for (verb, command) in [
        ("verify", "tenantry tenants domains verify"),
        ("remove", "tenantry tenants domains remove"),
    ] {
        let listed = json(&["tenants", "domains", "list", "acme"]);
        check("tenantry tenants domains list", 0, &listed);
        let told = json(&["tenants", "domains", verb, "acme", domain]);
        check(command, 0, &told);
    }
    for arguments in [&["app-id", "web-shop"][..], &["channel-token"]] {
        let set = json(&[&["tenants", "aliases", "set", "acme"], arguments].concat());
        check("tenantry tenants aliases set", 0, &set);
    }
    let listed = json(&["tenants", "aliases", "list", "acme"]);
    check("tenantry tenants aliases list", 0, &listed);
    let remove = ["tenants", "aliases", "remove", "acme"];
    let removed = json(&[&remove[..], &["--kind", "app-id", "web-shop"]].concat());
    check("tenantry tenants aliases remove", 0, &removed);
    check("tenantry migrate-all", 0, &json(&["migrate-all"]));
    let issued = json(&["tenants", "credentials", "acme", "--overlap", "1h"]);
    check("tenantry tenants credentials", 0, &issued);
    let login = json(&["tenants", "url", "acme", "--reason", "to see it"]);
    check("tenantry tenants url", 0, &login);
    let dumps = dev.folder().join("dumps");
    std::fs::create_dir(&dumps).expect("a folder");
    let file = dumps.join("acme.dump").display().to_string();
    let (dir, bin) = (dumps.display().to_string(), crate::dumps::pg_bin());
    let dump = ["tenants", "dump", "acme", "--to", &file, "--pg-bin", &bin];
    check("tenantry tenants dump", 0, &json(&dump));
    check(
        "tenantry dumps list",
        0,
        &json(&["dumps", "list", "--dir", &dir]),
    );
    let restore = [
        "tenants",
        "restore",
        &file,
        "--new",
        "acme-then",
        "--pg-bin",
        &bin,
    ];
    check("tenantry tenants restore", 0, &json(&restore));
    let pause = json(&["pause", "--reason", "to see it"]);
    check("tenantry pause", 0, &pause);
    check("tenantry status", 1, &json(&["status"]));
    check("tenantry resume", 0, &json(&["resume"]));
    let logins = json(&["tenants", "logins", "list", "acme"]);
    check("tenantry tenants logins list", 0, &logins);
    let login = login.json();
    let name = login["dbUsername"].as_str().expect("a login");
    let ended = json(&["tenants", "logins", "end", "acme", name]);
    check("tenantry tenants logins end", 0, &ended);
    let one = json(&["rotate-credentials", "acme"]);
    check("tenantry rotate-credentials", 0, &one);
    let all = json(&["rotate-credentials", "--all"]);
    check("rotationOfAll", 0, &all);
    check(
        "tenantry operations show",
        0,
        &json(&["operations", "show", &creation]),
    );
    check(
        "tenantry operations list",
        0,
        &json(&["operations", "list"]),
    );
    check("tenantry clusters list", 0, &json(&["clusters", "list"]));
    check(
        "tenantry clusters show",
        0,
        &json(&["clusters", "show", "default"]),
    );
    check(
        "tenantry clusters update",
        0,
        &json(&[
            "clusters",
            "update",
            "default",
            "--weight",
            "90",
            "--region",
            "eu",
            "--capacity",
            "500",
        ]),
    );
    check(
        "tenantry clusters drain",
        0,
        &json(&["clusters", "drain", "default"]),
    );
    check(
        "tenantry clusters accept",
        0,
        &json(&["clusters", "accept", "default"]),
    );
    let another = Second::start().await;
    let url = another.url();
    check(
        "tenantry clusters add",
        0,
        &json(&["clusters", "add", "another", "--cluster-url", &url]),
    );
    json(&["clusters", "drain", "another"]);
    check(
        "tenantry clusters remove",
        0,
        &json(&["clusters", "remove", "another", "--yes"]),
    );
    check(
        "tenantry clusters set-budget",
        0,
        &json(&["clusters", "set-budget", "default", "40"]),
    );
    check(
        "tenantry operators create",
        0,
        &json(&["operators", "create", "bot"]),
    );
    check(
        "tenantry operators update",
        0,
        &json(&["operators", "update", "bot", "--role", "read-only"]),
    );
    check(
        "tenantry operators rotate",
        0,
        &json(&["operators", "rotate", "bot", "--overlap", "1h"]),
    );
    check("tenantry audit list", 0, &json(&["audit", "list"]));
    check("tenantry audit verify", 0, &json(&["audit", "verify"]));
    dev.base()
        .get("/setup/tenants")
        .await
        .problem(401, "UNAUTHENTICATED");
    check("tenantry audit denied", 0, &json(&["audit", "denied"]));
    check(
        "tenantry operators revoke",
        0,
        &json(&["operators", "revoke", "bot", "--yes"]),
    );
    check("tenantry operators list", 0, &json(&["operators", "list"]));
    check("tenantry config", 0, &json(&["config"]));
    check("tenantry status", 0, &json(&["status"]));
    check("tenantry doctor", 0, &json(&["doctor"]));
    // What needs attention has shapes of its own.
    let pg = dev.pg();
    pg.run(
        &pg.catalog,
        &format!(
            "UPDATE operations SET status = 'parked', finished_at = NULL,
                    error = '{{\"code\": \"ODD\", \"message\": \"Odd.\", \"retryable\": false}}'
             WHERE id = '{creation}'"
        ),
    )
    .await;
    check("tenantry status", 1, &json(&["status"]));
    check("tenantry doctor", 1, &json(&["doctor", "--quick"]));
    check(
        "tenantry operations show",
        0,
        &json(&["operations", "show", &creation]),
    );

    // A creation that is done has nothing left to do: taken up again it is done again.
    check(
        "tenantry operations retry",
        0,
        &json(&["operations", "retry", &creation]),
    );
    pg.run(
        &pg.catalog,
        &format!(
            "UPDATE operations SET status = 'parked', finished_at = NULL, lease_until = NULL
             WHERE id = '{creation}'"
        ),
    )
    .await;
    let arguments = [
        "operations",
        "abandon",
        &creation,
        "--reason",
        "odd",
        "--yes",
    ];
    check("tenantry operations abandon", 0, &json(&arguments));

    let variables = dev.variables();
    let env: Vec<_> = ["TENANTRY_CATALOG_URL", "TENANTRY_KEYS"]
        .map(|name| (name, variables[name].as_str()))
        .to_vec();
    let local =
        |arguments: &[&str]| dev.cli_elsewhere(&[arguments, &["--output", "json"]].concat(), &env);
    check(
        "tenantry catalog migrate",
        0,
        &local(&["catalog", "migrate"]),
    );
    check(
        "tenantry router-credentials",
        0,
        &local(&["router-credentials"]),
    );
    for verb in ["list", "rewrap"] {
        let command = format!("tenantry keys {verb}");
        check(&command, 0, &local(&["keys", verb]));
    }
    let add = ["keys", "add", "signing", "--standby"];
    check("tenantry keys add", 0, &local(&add));
    let keys = local(&add).json()["keys"]
        .as_str()
        .expect("keys")
        .to_owned();
    let with = [env[0], ("TENANTRY_KEYS", keys.as_str())];
    for verb in ["promote", "retire"] {
        let mut arguments = vec!["keys", verb, "signing", "k2", "--output", "json"];
        arguments.extend((verb == "retire").then_some("--yes"));
        let told = dev.cli_elsewhere(&arguments, &with);
        check(&format!("tenantry keys {verb}"), 0, &told);
    }
    let server = variables["TENANTRY_CATALOG_URL"]
        .rsplit_once('/')
        .expect("a URL")
        .0;
    let cluster = format!("{server}/postgres");
    let init = ["init", "--cluster-url", &cluster, "--issue-token", "second"];
    check("tenantry init", 0, &local(&init));
    check("tenantry keys new", 0, &local(&["keys", "new"]));
    // Of another installation, of which nothing runs.
    pg.run(
        "postgres",
        "CREATE DATABASE another_catalog OWNER tenantry_admin",
    )
    .await;
    let url = format!("{server}/another_catalog");
    let another = [("TENANTRY_CATALOG_URL", url.as_str()), env[1]];
    let elsewhere = |arguments: &[&str]| {
        dev.cli_elsewhere(&[arguments, &["--output", "json"]].concat(), &another)
    };
    elsewhere(&init).expect(0);
    let remint = elsewhere(&["keys", "remint", "--yes"]);
    check("tenantry keys remint", 0, &remint);

    for (heading, section) in &page {
        let without = matches!(section, Section::None);
        let is_command = heading.starts_with("tenantry ");
        assert!(
            !is_command || without || tried.contains(heading),
            "`{heading}` was not tried"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn every_error_has_the_keys_of_the_page() {
    let dev = tenantry_testkit::shared();
    let page = page();
    let mut wrong = BTreeSet::new();
    let url = format!("http://localhost:{}", dev.address().port());
    for (arguments, code, exit) in [
        (&["tenants", "show", "nobody"][..], "TENANT_NOT_FOUND", 3),
        (&["tenants", "create", "Not_A_Slug"], "VALIDATION_FAILED", 2),
        (&["tenants", "shw"], "USAGE", 2),
        (&["tenants"], "USAGE", 2),
        (&["tenants", "delete", "nobody"], "NOT_CONFIRMED", 2),
        (
            &[
                "tenants",
                "list",
                "--url",
                "http://127.0.0.1:1",
                "--token",
                "x",
            ],
            "NO_SERVER",
            6,
        ),
        (
            &["tenants", "list", "--url", "http://127.0.0.1:1"],
            "NO_TOKEN",
            5,
        ),
        (
            &["tenants", "list", "--url", &url, "--token", "x"],
            "UNAUTHENTICATED",
            5,
        ),
    ] {
        let told = dev
            .cli(&[arguments, &["--output", "json"]].concat())
            .expect(exit);
        assert_eq!(told.stdout, "", "{arguments:?}");
        let line = told.stderr.lines().last().unwrap_or_default();
        let document: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{told}"));
        assert_eq!(document["error"]["code"], code, "{told}");
        assert_eq!(document["error"]["exit"], exit, "{told}");
        compare(&page, "error", code, &document["error"], &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
