//! `tenantry tenants dump|restore`, the final dump of a purge, and `tenantry dumps list`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Cli, Dev, Options, Tenant};

use crate::wait;

/// Where the client programs of the server are: the others may be older.
pub(crate) fn pg_bin() -> String {
    let found = tenantry_devpg::find_binaries(
        std::env::var_os("TENANTRY_PG_BIN")
            .map(PathBuf::from)
            .as_deref(),
    );
    let found = found.expect("a server");
    found.dir().display().to_string()
}

fn run(dev: &Dev, arguments: &[&str]) -> Cli {
    let bin = pg_bin();
    let mut all = arguments.to_vec();
    all.extend(["--pg-bin", &bin]);
    dev.cli(&all)
}

async fn row(dev: &Dev, database: &str, sql: &str) -> Vec<String> {
    dev.pg().texts(database, sql).await
}

/// As a product's migration makes it.
async fn with_notes(dev: &Dev, acme: &Tenant, text: &str) {
    let sql = format!(
        "SET ROLE tenantry_owner; CREATE TABLE IF NOT EXISTS notes (text text);
         CREATE SCHEMA IF NOT EXISTS extra; CREATE TABLE IF NOT EXISTS extra.more (n int);
         DELETE FROM notes; INSERT INTO notes VALUES ('{text}')"
    );
    dev.pg().run(&acme.db_name, &sql).await;
}

const NOTES: &str = "SELECT text FROM notes";

fn no_difference(dev: &Dev) {
    let looked = dev.cli(&["doctor"]);
    assert_eq!(looked.code, 0, "{looked}");
}

#[tokio::test]
async fn a_dump_comes_back_into_its_tenant_and_into_a_new_one_and_into_no_other() {
    let dev = Dev::start();
    let (acme, globex) = (dev.tenant("acme").await, dev.tenant("globex").await);
    with_notes(&dev, &acme, "then").await;
    let file = dev.folder().join("acme.dump");
    let to = file.display().to_string();
    let told = run(
        &dev,
        &[
            "tenants", "dump", &acme.slug, "--to", &to, "--output", "json",
        ],
    );
    let told = told.expect(0).json();
    assert_eq!(told["tenantId"], acme.id.as_str(), "{told}");
    for path in [to.clone(), format!("{to}.json")] {
        let mode = std::fs::metadata(&path).expect(&path).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
    // Not over another one, and no login is left.
    run(&dev, &["tenants", "dump", &acme.slug, "--to", &to]).expect(2);
    let logins = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tnt\\_jit%'";
    assert!(row(&dev, "postgres", logins).await.is_empty());

    // What came after the dump is gone, with people and tables; what was before is there.
    with_notes(&dev, &acme, "later").await;
    dev.pg()
        .run(
            &acme.db_name,
            "SET ROLE tenantry_owner; CREATE TABLE newer (n int)",
        )
        .await;
    let body = json!({ "email": "new@acme.example", "password": ADMIN_PASSWORD });
    acme.admin.post("/users", body).await.expect(201);
    let into = ["tenants", "restore", &to, "--into", &globex.slug, "--yes"];
    let refused = run(&dev, &into).expect(2);
    assert!(refused.stderr.contains("--as-other"), "{refused}");
    run(
        &dev,
        &["tenants", "restore", &to, "--into", &acme.slug, "--yes"],
    )
    .expect(0);
    assert_eq!(row(&dev, &acme.db_name, NOTES).await, ["then"]);
    let tables = "SELECT count(*)::text FROM pg_tables WHERE tablename IN ('newer', 'more')";
    assert_eq!(row(&dev, &acme.db_name, tables).await, ["1"]);
    let (signed_in, _) = dev
        .at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
    let users = signed_in.get("/users").await.expect(200);
    assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users}");
    no_difference(&dev);

    // Into a new one: its identity is its own.
    run(&dev, &["tenants", "restore", &to, "--new", "acme-then"]).expect(0);
    let new = dev
        .operator()
        .get("/setup/tenants/acme-then")
        .await
        .expect(200);
    assert_eq!(new["status"], "active", "{new}");
    assert_eq!(
        row(&dev, new["dbName"].as_str().expect("a name"), NOTES).await,
        ["then"]
    );
    dev.at("acme-then")
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
    no_difference(&dev);

    // Of another release: told before it is done, and every database is asked.
    let beside = format!("{to}.json");
    let manifest = std::fs::read_to_string(&beside).expect("the manifest");
    let mut older: Value = serde_json::from_str(&manifest).expect("JSON");
    older["schema"] = json!("older");
    std::fs::write(&beside, older.to_string()).expect("another manifest");
    let into = [
        "tenants",
        "restore",
        &to,
        "--into",
        &acme.slug,
        "--yes",
        "--no-dump",
    ];
    let told = run(&dev, &into).expect(0);
    assert!(told.stderr.contains("of another release"), "{told}");
    let rollouts = dev.operator().get("/setup/operations?kind=migrate").await;
    let rollouts = rollouts.expect(200);
    assert_eq!(rollouts["items"][0]["status"], "done", "{rollouts}");
    let path = format!("/setup/tenants/{}", acme.id);
    let shown = dev.operator().get(&path).await.expect(200);
    assert_eq!(shown["status"], "active");
    std::fs::write(&beside, manifest).expect("the manifest");

    // One that was changed is refused before anything is done, and one that fails changes nothing.
    let bad = dev.folder().join("bad.dump");
    std::fs::copy(format!("{to}.json"), format!("{}.json", bad.display())).expect("a copy");
    let mut bytes = std::fs::read(&file).expect("the dump");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&bad, bytes).expect("another");
    let path = bad.display().to_string();
    let refused = run(
        &dev,
        &["tenants", "restore", &path, "--into", &acme.slug, "--yes"],
    )
    .expect(2);
    assert!(refused.stderr.contains("SHA-256"), "{refused}");
    // It fails in the middle. What stops it is in no schema of the owners, or it would be dropped first.
    with_notes(&dev, &acme, "kept").await;
    dev.pg()
        .run(
            &acme.db_name,
            "CREATE SCHEMA aside; CREATE FUNCTION aside.stop() RETURNS event_trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION ''no more''; END';
             CREATE EVENT TRIGGER stop ON ddl_command_start WHEN TAG IN ('CREATE INDEX')
             EXECUTE FUNCTION aside.stop()",
        )
        .await;
    let failed = run(
        &dev,
        &[
            "tenants",
            "restore",
            &to,
            "--into",
            &acme.slug,
            "--yes",
            "--no-dump",
        ],
    );
    assert!(
        failed.clone().expect(1).stderr.contains("no more"),
        "{failed}"
    );
    assert_eq!(row(&dev, &acme.db_name, NOTES).await, ["kept"]);
    dev.at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
}

/// A program that is none of Postgres's: it says that it is of this version, and leaves a trace and some text
/// when it is run for anything else.
fn pretend(folder: &Path, program: &str, version: &str, text: &str) {
    let ran = folder.join("ran").display().to_string();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit 0; fi\n\
         echo {program} >> '{ran}'\ncat <<'END'\n{text}\nEND\n"
    );
    let path = folder.join(program);
    std::fs::write(&path, script).expect("a program");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Tried: without the question before anything is done, a dump of what is replaced is begun.
#[tokio::test]
async fn a_restore_by_programs_that_would_obey_the_dump_is_refused_before_anything_is_done() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    with_notes(&dev, &acme, "kept").await;
    let to = dev.folder().join("acme.dump").display().to_string();
    run(&dev, &["tenants", "dump", &acme.slug, "--to", &to]).expect(0);
    let (old, new) = (
        " (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)",
        " (PostgreSQL) 15.14",
    );
    for (reader, writer, told) in [
        (new, old, "psql (PostgreSQL) 15.13"),
        (old, new, "pg_restore (PostgreSQL) 15.13"),
        (new, " (PostgreSQL) 18beta1", "18beta1"),
        (new, " of another house", "psql of another house"),
    ] {
        let bin = tempfile::tempdir().expect("a folder");
        pretend(bin.path(), "pg_restore", &format!("pg_restore{reader}"), "");
        pretend(bin.path(), "psql", &format!("psql{writer}"), "");
        let bins = bin.path().display().to_string();
        for target in [
            &["--new", "acme-then"][..],
            &["--into", &acme.slug, "--yes"],
        ] {
            let mut arguments = vec!["tenants", "restore", &to, "--pg-bin", &bins];
            arguments.extend(target);
            let refused = dev.cli(&arguments).expect(2);
            assert!(refused.stderr.contains(told), "{refused}");
            assert!(refused.stderr.contains("14.19, 15.14, 16.10"), "{refused}");
            assert!(refused.stderr.contains("TENANTRY_PG_BIN"), "{refused}");
        }
        assert!(!bin.path().join("ran").exists(), "{told}");
    }
    // Nobody was made for it, suspended for it, or dumped before it.
    let none = dev.operator().get("/setup/tenants/acme-then").await;
    none.problem(404, "TENANT_NOT_FOUND");
    let files = dumps(dev.folder());
    let before = |name: &&String| name.contains("before-restore");
    assert_eq!(files.iter().find(before), None);
    let operations = dev.operator().get("/setup/operations?kind=suspend").await;
    assert_eq!(operations.expect(200)["items"], json!([]));

    // One that says of itself that it is new, and is not: what it writes is shown to nobody.
    let bin = tempfile::tempdir().expect("a folder");
    let script = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped\nSELECT 1;\nCOMMIT;";
    pretend(
        bin.path(),
        "pg_restore",
        "pg_restore (PostgreSQL) 17.6",
        script,
    );
    pretend(bin.path(), "psql", "psql (PostgreSQL) 17.6", "");
    let bins = bin.path().display().to_string();
    let arguments = [
        "tenants",
        "restore",
        &to,
        "--into",
        &acme.slug,
        "--yes",
        "--no-dump",
        "--pg-bin",
        &bins,
        "--output",
        "json",
    ];
    let refused = dev.cli(&arguments).expect(2);
    assert!(refused.stderr.contains("\"PROGRAMS_UNSAFE\""), "{refused}");
    let ran = std::fs::read_to_string(bin.path().join("ran")).expect("what ran");
    assert_eq!(ran, "pg_restore\n");
    assert_eq!(row(&dev, &acme.db_name, NOTES).await, ["kept"]);
    dev.at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
}

/// A dump that somebody has prepared: one statement in it ends early, and a command of `psql` follows, which makes a file.
/// Tried: without the line `\restrict` in what `psql` reads the file is made.
#[tokio::test]
async fn a_dump_that_was_prepared_runs_nothing_on_the_machine_that_restores_it() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let room = " ".repeat(200);
    let function = format!(
        "SET ROLE tenantry_owner; CREATE FUNCTION prepared() RETURNS text LANGUAGE sql AS 'SELECT 1::text --{room}'"
    );
    dev.pg().run(&acme.db_name, &function).await;
    with_notes(&dev, &acme, "kept").await;
    let to = dev.folder().join("acme.dump");
    let path = to.display().to_string();
    run(&dev, &["tenants", "dump", &acme.slug, "--to", &path]).expect(0);

    let trace = tempfile::tempdir().expect("a folder");
    let made = trace.path().join("made");
    let body = format!("SELECT 1::text --{room}");
    let hidden = format!("$$;\n\\! touch {}\nSELECT $$", made.display());
    let hidden = format!("SELECT 1::text{hidden:<width$}", width = body.len() - 14);
    assert_eq!(hidden.len(), body.len(), "it has to fit into its place");
    let mut bytes = std::fs::read(&to).expect("the dump");
    let at = bytes
        .windows(body.len())
        .position(|window| window == body.as_bytes())
        .expect("the function's text");
    bytes[at..at + body.len()].copy_from_slice(hidden.as_bytes());
    std::fs::write(&to, bytes).expect("another dump");
    // Who prepares a dump writes its manifest as well.
    let sum = std::process::Command::new("sha256sum")
        .arg(&to)
        .output()
        .expect("sha256sum");
    let sum = String::from_utf8_lossy(&sum.stdout);
    let beside = format!("{path}.json");
    let text = std::fs::read_to_string(&beside).expect("the manifest");
    let mut manifest: Value = serde_json::from_str(&text).expect("JSON");
    manifest["sha256"] = json!(sum.split_whitespace().next());
    std::fs::write(&beside, manifest.to_string()).expect("another manifest");

    let into = ["tenants", "restore", &path, "--into", &acme.slug, "--yes"];
    let failed = run(&dev, &[&into[..], &["--no-dump"]].concat()).expect(1);
    assert!(!made.exists(), "it ran: {failed}");
    assert!(failed.stderr.contains("restrict"), "{failed}");
    assert_eq!(row(&dev, &acme.db_name, NOTES).await, ["kept"]);
    dev.at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
}

/// Makes it with a folder for final dumps.
fn keeping(folder: &Path) -> Options {
    Options::default()
        .env("TENANTRY_DUMPS_DIR", &folder.display().to_string())
        .env("TENANTRY_DUMPS_PG_BIN", &pg_bin())
}

fn dumps(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Tried: with a folder that others can look into taken for a good one, the database is dropped.
#[tokio::test]
async fn a_purge_takes_a_final_dump_or_drops_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("dumps");
    let mut dev = Dev::start_with(keeping(&folder));
    let acme = dev.tenant("acme").await;
    with_notes(&dev, &acme, "last words").await;
    let purge = ["tenants", "delete", &acme.slug, "--purge", "--yes"];

    // Others can look into the folder: nothing is dropped.
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    dev.cli(&[
        "tenants",
        "delete",
        &acme.slug,
        "--purge",
        "--yes",
        "--no-wait",
    ])
    .expect(0);
    let pg = dev.pg();
    let failed =
        "SELECT detail->>'message' FROM operation_steps WHERE step = 'dump' AND event = 'failed'";
    wait::until(Duration::from_secs(30), "a failed dump", async || {
        !pg.texts(&pg.catalog, failed).await.is_empty()
    })
    .await;
    let why = pg.texts(&pg.catalog, failed).await;
    assert!(why[0].contains("others can look into it"), "{why:?}");
    assert!(pg.has_database(&acme.db_name).await);
    assert!(dumps(&folder).is_empty());
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("a mode");

    wait::until(Duration::from_secs(60), "the purge", async || {
        !pg.has_database(&acme.db_name).await
    })
    .await;
    let names = dumps(&folder);
    assert_eq!(names.len(), 2, "{names:?}");
    let dir = folder.display().to_string();
    let listed = dev
        .cli(&["dumps", "list", "--dir", &dir, "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(listed["items"][0]["tenantId"], acme.id.as_str(), "{listed}");
    let path = listed["items"][0]["path"]
        .as_str()
        .expect("a path")
        .to_owned();
    wait::until(
        Duration::from_secs(30),
        "the end of the purge",
        async || {
            dev.operator()
                .get(&format!("/setup/tenants/{}", acme.id))
                .await
                .status
                == 404
        },
    )
    .await;
    dev.cli(&purge).expect(3);
    no_difference(&dev);
    run(&dev, &["tenants", "restore", &path, "--new", "acme-again"]).expect(0);
    let again = dev
        .operator()
        .get("/setup/tenants/acme-again")
        .await
        .expect(200);
    let database = again["dbName"].as_str().expect("a name").to_owned();
    assert_eq!(row(&dev, &database, NOTES).await, ["last words"]);

    // Kept for no time, it goes; what a person has put there stays.
    let by_hand = folder.join("by-hand.dump").display().to_string();
    run(&dev, &["tenants", "dump", "acme-again", "--to", &by_hand]).expect(0);
    assert_eq!(dev.stop(), 0);
    let bin = pg_bin();
    dev.run_with_env(&[
        ("TENANTRY_DUMPS_DIR", &dir),
        ("TENANTRY_DUMPS_PG_BIN", &bin),
        ("TENANTRY_DUMPS_KEEP", "1s"),
    ]);
    wait::until(Duration::from_secs(30), "its end", async || {
        dumps(&folder) == ["by-hand.dump", "by-hand.dump.json"]
    })
    .await;
}

/// Tried: with half a dump of an attempt before left where it is, the purge never gets through.
#[tokio::test]
async fn killed_in_the_middle_of_a_final_dump_nothing_half_is_left() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("dumps");
    for point in ["before-effect", "after-effect", "after-record"] {
        let mut dev = Dev::start_with(keeping(&folder));
        let acme = dev.tenant("acme").await;
        with_notes(&dev, &acme, point).await;
        assert_eq!(dev.stop(), 0);
        let (dir, bin) = (folder.display().to_string(), pg_bin());
        let fault = format!("purge/dump:{point}=kill");
        let env = [
            ("TENANTRY_DUMPS_DIR", dir.as_str()),
            ("TENANTRY_DUMPS_PG_BIN", bin.as_str()),
            ("TENANTRY_FAULT", fault.as_str()),
        ];
        dev.run_with_env(&env);
        let path = format!("/setup/tenants/{}?purge=true", acme.id);
        let asked = dev.operator().request(reqwest::Method::DELETE, &path);
        assert!(asked.try_send().await.is_none(), "{fault} did not strike");
        assert!(!dev.wait_for_end(Duration::from_secs(30)).success());
        // An attempt that was cut off in the middle of the file.
        let pg = dev.pg();
        let id = "SELECT id::text FROM operations WHERE kind = 'purge' AND status = 'running'";
        let id = pg.texts(&pg.catalog, id).await[0].clone();
        let part = folder.join(format!(".{}-{id}.dump.part", acme.slug));
        if point == "before-effect" {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
                .expect("a mode");
            std::fs::write(&part, "half").expect("half a dump");
        }
        dev.run_with_env(&env[..2]);
        wait::until(Duration::from_secs(60), "the purge", async || {
            !pg.has_database(&acme.db_name).await
        })
        .await;
        let names = dumps(&folder);
        let dump = format!("{}-{id}.dump", acme.slug);
        assert!(
            names.contains(&dump) && names.contains(&format!("{dump}.json")),
            "{names:?}"
        );
        assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
        let logins = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tnt\\_jit%'";
        assert!(row(&dev, "postgres", logins).await.is_empty());
    }
    let listed = Value::from(dumps(&folder));
    assert_eq!(listed.as_array().map(Vec::len), Some(6), "{listed}");
}
