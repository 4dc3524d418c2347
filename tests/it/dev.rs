//! `tenantry dev`: started, stopped, killed, and what it leaves for others

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tenantry_testkit::{ADMIN_PASSWORD, Dev, Options};

use crate::wait;

fn runs(pid: i32) -> bool {
    // A killed process whose parent has not asked for it yet is still listed.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let dead = state
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    !dead && test_kill_process(Pid::from_raw(pid).expect("a process id")).is_ok()
}

async fn gone(pid: i32) {
    wait::until(Duration::from_secs(20), "Postgres is gone", async || {
        !runs(pid)
    })
    .await;
}

/// Tried: a server that is always durable says `on` for the second, one that never is `off` for the first.
#[tokio::test]
async fn only_an_ephemeral_one_does_not_wait_for_the_disk() {
    for (durable, fsync) in [(true, "on"), (false, "off")] {
        let dev = Dev::start_with(Options {
            durable,
            ..Options::default()
        });
        let set = dev.pg().texts("postgres", "SHOW fsync").await;
        assert_eq!(set, [fsync]);
    }
}

#[tokio::test]
async fn it_tells_what_a_person_needs_and_keeps_it_private() {
    let dev = Dev::start();
    let banner = dev.process().output();
    let port = dev.address().port();
    for part in [
        format!("http://localhost:{port}"),
        format!("http://localhost:{port}/sign-in"),
        dev.operator_token(),
        "curl".to_owned(),
        dev.data().display().to_string(),
    ] {
        assert!(banner.contains(&part), "{part} in {banner}");
    }
    for name in ["env", "operator-token"] {
        let mode = std::fs::metadata(dev.data().join(name))
            .expect("it is there")
            .mode()
            & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    // Whatever else holds a password or key, nobody else reads it either.
    let secrets = [
        dev.variables()["TENANTRY_KEYS"].clone(),
        dev.variables()["PGPASSWORD"].clone(),
    ];
    each_file(dev.data(), &mut |path| {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        if secrets.iter().any(|secret| text.contains(secret.as_str())) {
            let mode = std::fs::metadata(path).expect("it is there").mode();
            assert_eq!(mode & 0o077, 0, "{} can be read by others", path.display());
        }
    });
}

fn each_file(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            each_file(&path, see);
        } else {
            see(&path);
        }
    }
}

#[tokio::test]
async fn a_second_copy_on_the_same_folder_is_refused() {
    let dev = Dev::start();
    let began = Instant::now();
    let output = dev.dev_command().output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("already"), "{said}");
    assert!(said.contains(&dev.data().display().to_string()), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10));
    dev.base().get("/readyz").await.expect(200);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let dev = Dev::prepared(Options::default());
    let output = dev
        .dev_command_on(port, dev.data())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains(&port.to_string()), "{said}");
    assert!(!dev.data().join("postgres").exists());
}

#[tokio::test]
async fn sigterm_and_ctrl_c_stop_all_of_it_in_order() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    for signal in [Signal::TERM, Signal::INT] {
        let postmaster = dev.postmaster().expect("Postgres runs");
        assert!(runs(postmaster));
        acme.admin.get("/me").await.expect(200);
        let code = dev.end_by(signal);
        assert_eq!(code, 0, "{signal:?}:\n{}", dev.log());
        assert!(!runs(postmaster), "Postgres outlived {signal:?}");
        assert_eq!(dev.postmaster(), None, "it was stopped, not killed");
        dev.run();
    }
    let log = dev.postgres_log();
    assert!(
        !log.contains("was interrupted"),
        "each time it was shut down in order:\n{log}"
    );
    acme.admin.get("/me").await.expect(200);
}

#[tokio::test]
async fn a_request_that_runs_when_it_stops_gets_its_answer() {
    let mut dev = Dev::start();
    let body = serde_json::json!({ "name": "Late", "slug": "late", "admin": { "email": "a@b.example", "password": ADMIN_PASSWORD } });
    let operator = dev.operator();
    // Two who hold a connection and say nothing, or not all, keep nobody waiting for long.
    let silent = std::net::TcpStream::connect(dev.address()).expect("a connection");
    let mut half = std::net::TcpStream::connect(dev.address()).expect("a connection");
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        .expect("half a request");
    let creating = tokio::spawn(async move { operator.post("/setup/tenants", body).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    dev.process().signal(Signal::TERM);
    let answer = creating.await;
    let status = dev.wait_for_end(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{}", dev.log());
    drop((silent, half));
    dev.run();
    // Answered, or never seen; but what was promised is there.
    if let Ok(answer) = answer {
        assert!(matches!(answer.status, 201 | 202 | 503), "{answer}");
        if answer.status == 201 {
            dev.at("late").sign_in("a@b.example", ADMIN_PASSWORD).await;
        }
    }
}

#[tokio::test]
async fn after_kill_9_it_starts_again_by_itself() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let token = dev.operator_token();

    // The program alone: its Postgres is still there at the next start.
    let orphan = dev.postmaster().expect("Postgres runs");
    dev.kill9();
    dev.run();
    assert_eq!(dev.operator_token(), token);
    acme.admin.get("/me").await.expect(200);
    let now = dev.postmaster().expect("Postgres runs");
    assert!(now == orphan || !runs(orphan), "two servers on one folder");

    // Both at once, as in a power cut.
    dev.process().signal(Signal::KILL);
    kill_process(Pid::from_raw(now).expect("a process id"), Signal::KILL).expect("killed");
    dev.wait_for_end(Duration::from_secs(10));
    gone(now).await;
    dev.run();
    acme.admin.get("/me").await.expect(200);
    dev.tenant("new").await;
    assert_eq!(dev.stop(), 0);
}

#[tokio::test]
async fn after_kill_9_of_postgres_the_next_start_recovers() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let postmaster = dev.postmaster().expect("Postgres runs");
    kill_process(
        Pid::from_raw(postmaster).expect("a process id"),
        Signal::KILL,
    )
    .expect("killed");
    gone(postmaster).await;
    // While it is away nothing hangs and nothing lies.
    let began = Instant::now();
    if let Some(answer) = acme
        .admin
        .request(reqwest::Method::GET, "/me")
        .try_send()
        .await
    {
        assert_eq!(answer.status, 503, "{answer}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // Whether the program goes on or ends, it does so without hanging, and a start is all it needs.
    dev.process().signal(Signal::TERM);
    dev.wait_for_end(Duration::from_secs(30));
    dev.run();
    acme.admin.get("/me").await.expect(200);
    dev.tenant("new").await;
}

#[tokio::test]
async fn its_env_file_is_all_that_others_need() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let told = sh(
        &dev,
        "psql --no-psqlrc -At -c 'SELECT current_user, current_setting($$is_superuser$$)'",
    );
    assert_eq!(told.trim(), "postgres|on");
    let told = sh(
        &dev,
        "psql --no-psqlrc -At \"$TENANTRY_CATALOG_URL\" -c 'SELECT slug FROM tenants'",
    );
    assert_eq!(told.trim(), acme.slug);
    let serve = tenantry_testkit::Serve::join(&dev, "second", &[]);
    serve
        .at(&acme.slug)
        .sign_in(&acme.email, ADMIN_PASSWORD)
        .await;
    let operator = serve.base().bearer(&dev.operator_token());
    operator
        .get(&format!("/setup/tenants/{}", acme.slug))
        .await
        .expect(200);
}

/// Runs a line in a shell that has read the `env` file as its first line says.
fn sh(dev: &Dev, line: &str) -> String {
    let script = format!("set -a; . '{}/env'; set +a; {line}", dev.data().display());
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-euc", &script])
        .env_clear()
        .env("PATH", format!("{path}:{}", psql_folder()))
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn psql_folder() -> String {
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<String> = debian
        .map(|entry| entry.path().join("bin").display().to_string())
        .collect();
    folders.extend(std::env::var("TENANTRY_PG_BIN"));
    folders.join(":")
}

#[tokio::test]
async fn a_folder_that_postgres_cannot_reach_is_refused_with_the_reason() {
    if !rustix::process::geteuid().is_root() {
        // Only where we are root does Postgres run as somebody else.
        return;
    }
    let dev = Dev::prepared(Options::default());
    let closed = dev.folder().join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("closed");
    let output = dev
        .dev_command_on(0, &closed.join("data"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains(&closed.display().to_string()), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn the_private_postgres_is_for_this_machine_and_by_password_only() {
    let dev = Dev::start();
    let pg = dev.pg();
    assert_eq!(
        pg.texts("postgres", "SHOW listen_addresses").await,
        ["127.0.0.1"]
    );
    assert_eq!(
        pg.texts("postgres", "SHOW password_encryption").await,
        ["scram-sha-256"]
    );
    let methods = pg
        .texts(
            "postgres",
            "SELECT DISTINCT auth_method FROM pg_hba_file_rules",
        )
        .await;
    assert_eq!(methods, ["scram-sha-256"]);
    let hashes = pg
        .texts(
            "postgres",
            "SELECT rolname::text FROM pg_authid WHERE rolpassword NOT LIKE 'SCRAM-SHA-256$%'",
        )
        .await;
    assert_eq!(hashes, [""; 0]);
    let admin = pg
        .texts(
            "postgres",
            "SELECT format('%s %s %s %s', rolsuper, rolcreatedb, rolcreaterole, pg_has_role(oid, 'pg_signal_backend', 'member'))
             FROM pg_roles WHERE rolname = 'tenantry_admin'",
        )
        .await;
    assert_eq!(admin, ["f t t t"]);
    let error = pg
        .connect("postgres", "", "postgres")
        .await
        .expect_err("a password is needed");
    assert_eq!(
        tenantry_testkit::refusal(&error).as_deref(),
        Some("28P01"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_setting_is_refused_by_name() {
    let mut dev = Dev::prepared(Options::default().env("TENANTRY_PURGE_AFER", "1s"));
    dev.spawn();
    let status = dev.wait_for_end(Duration::from_secs(20));
    assert_eq!(status.code(), Some(2), "{}", dev.log());
    assert!(dev.log().contains("TENANTRY_PURGE_AFTER"), "{}", dev.log());
}
