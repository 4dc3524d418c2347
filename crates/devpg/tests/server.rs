//! The private server, on every Postgres at hand: the installed one and those in
//! `TENANTRY_TEST_PG_BINS` (folders separated by colons).

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; the lint's own exception leaves out helpers"
)]
#![expect(clippy::print_stdout, reason = "shows how long each start took")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tenantry_devpg::{Error, Server, Settings, find_binaries};
use tenantry_types::Secret;

const SUPERUSER: &str = "super's \"secret\"";
const ADMIN: &str = "admin's \\secret";

#[tokio::test]
async fn stops_and_a_restart_keeps_data_and_port() {
    for bins in versions() {
        let folder = Scratch::new();
        let server = Server::start(folder.settings(&bins)).await.unwrap();
        let port = server.port();
        execute(
            &mut superuser(&server, "postgres").await,
            "CREATE TABLE kept AS SELECT 7 AS x",
        )
        .await;
        server.stop().await.unwrap();
        assert!(!folder.data().join("pgdata/postmaster.pid").exists());

        let began = Instant::now();
        let server = Server::start(folder.settings(&bins)).await.unwrap();
        println!(
            "{}: start on existing data took {:?}",
            server.version(),
            began.elapsed()
        );
        assert_eq!(server.port(), port);
        let x: i32 = ask(
            &mut superuser(&server, "postgres").await,
            "SELECT x FROM kept",
        )
        .await;
        assert_eq!(x, 7);
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn recovers_after_kill_9_of_postgres_in_the_middle_of_a_query() {
    let folder = Scratch::new();
    let mut server = Server::start(folder.settings(&installed())).await.unwrap();
    let mut busy = superuser(&server, "postgres").await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000000)";
    let busy = tokio::spawn(async move { sqlx::query(endless).execute(&mut busy).await });
    let mut observer = superuser(&server, "postgres").await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT count.*series' AND state = 'active'";
    while ask::<i64>(&mut observer, others).await == 0 {}

    kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGKILL).unwrap();
    assert!(server.exited().await.contains("signal: 9"));
    drop(server);

    let began = Instant::now();
    let server = Server::start(folder.settings(&installed())).await.unwrap();
    println!("start after kill -9 of Postgres took {:?}", began.elapsed());
    assert!(busy.await.unwrap().is_err());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn recovers_after_kill_9_of_the_program_and_refuses_a_second_copy() {
    let folder = Scratch::new();
    let mut program = Program::start(&folder);

    let refused = Server::start(folder.settings(&installed()))
        .await
        .unwrap_err();
    let message = refused.to_string();
    assert!(matches!(refused, Error::AlreadyRunning { .. }), "{message}");
    assert!(
        message.contains(&folder.data().display().to_string()),
        "{message}"
    );
    assert!(message.contains(&program.0.id().to_string()), "{message}");

    let orphan = folder.postmaster().expect("a server runs");
    program.kill();
    assert!(is_alive(orphan), "Postgres outlives the program");

    let began = Instant::now();
    let server = Server::start(folder.settings(&installed())).await.unwrap();
    println!(
        "start after kill -9 of the program took {:?}",
        began.elapsed()
    );
    assert!(!is_alive(orphan));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn kill_9_during_initdb_leaves_nothing_half_made() {
    let folder = Scratch::new();
    let mut program = Program::spawn(&folder);
    while folder.unfinished() == 0 {
        assert!(!folder.data().join("pgdata").exists(), "it was too quick");
        std::thread::sleep(Duration::from_millis(1));
    }
    program.kill();
    assert!(!folder.data().join("pgdata").exists());

    // The first `initdb` still runs, with nobody who waits for it.
    let server = Server::start(folder.settings(&installed())).await.unwrap();
    assert!(!folder.data().join("password.new").exists());
    server.stop().await.unwrap();

    let server = Server::start(folder.settings(&installed())).await.unwrap();
    assert_eq!(folder.unfinished(), 0);
    server.stop().await.unwrap();
}

/// Not a test: the program that those above kill.
#[tokio::test]
#[ignore = "runs only as a process of another test"]
async fn program_that_is_killed() {
    let Some(data) = std::env::var_os("DEVPG_TEST_DATA") else {
        return;
    };
    let settings = settings(Path::new(&data), &installed());
    let _server = Server::start(settings).await.unwrap();
    println!("ready");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_folder_closed_to_postgres_is_refused_before_anything_is_made() {
    if !Uid::effective().is_root() {
        return; // Only root hands over to another user.
    }
    let folder = Scratch::new();
    let closed = folder.0.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();

    let refused = Server::start(settings(&closed.join("a/b"), &installed()))
        .await
        .unwrap_err();
    let message = refused.to_string();
    let Error::Unreachable { blocker, .. } = refused else {
        panic!("{message}")
    };
    assert_eq!(blocker, closed.canonicalize().unwrap());
    assert!(message.contains("--data"), "{message}");
    assert_eq!(std::fs::read_dir(&closed).unwrap().count(), 0);
}

#[tokio::test]
async fn logins_of_the_cluster_are_shut_out_of_postgres_and_template1() {
    for bins in versions() {
        let folder = Scratch::new();
        let server = Server::start(folder.settings(&bins)).await.unwrap();

        // The admin works as it does on a managed server: no superuser, and it can do its job.
        let mut admin = login(&server, "tenantry_admin", ADMIN, "postgres")
            .await
            .unwrap();
        let verifier = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'tenantry_admin'";
        assert!(ask::<bool>(&mut superuser(&server, "postgres").await, verifier).await);
        let flags = "SELECT rolcreatedb AND rolcreaterole AND NOT rolsuper FROM pg_roles WHERE rolname = current_user";
        assert!(ask::<bool>(&mut admin, flags).await);
        assert!(
            ask::<bool>(
                &mut admin,
                "SELECT pg_has_role('pg_signal_backend', 'MEMBER')"
            )
            .await
        );
        execute(&mut admin, "CREATE ROLE fresh LOGIN PASSWORD 'fresh'").await;
        execute(&mut admin, "CREATE DATABASE own").await;

        for closed in ["postgres", "template1"] {
            for privilege in ["CONNECT", "TEMPORARY", "CREATE"] {
                let question =
                    format!("SELECT has_database_privilege('fresh', '{closed}', '{privilege}')");
                assert!(
                    !ask::<bool>(&mut admin, &question).await,
                    "{privilege} on {closed}"
                );
            }
            let refused = login(&server, "fresh", "fresh", closed).await.unwrap_err();
            assert_eq!(code(&refused), "42501", "{refused}");
        }
        let refused = login(&server, "fresh", "wrong", "own").await.unwrap_err();
        assert_eq!(code(&refused), "28P01", "{refused}");

        // On 14 too, a new database's `public` is closed to everybody but its owner.
        let mut fresh = login(&server, "fresh", "fresh", "own").await.unwrap();
        let refused = sqlx::query("CREATE TABLE public.t ()")
            .execute(&mut fresh)
            .await
            .unwrap_err();
        assert_eq!(code(&refused), "42501", "{refused}");
        let mut owner = login(&server, "tenantry_admin", ADMIN, "own")
            .await
            .unwrap();
        execute(&mut owner, "CREATE TABLE public.t ()").await;

        let log = std::fs::read_to_string(folder.data().join("postgres.log")).unwrap();
        assert!(!log.contains("secret"), "no password is logged");
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn another_superuser_password_is_named_as_the_reason() {
    let folder = Scratch::new();
    Server::start(folder.settings(&installed()))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let mut settings = folder.settings(&installed());
    settings.superuser_password = Secret::new("another");
    let refused = Server::start(settings).await.unwrap_err();
    assert!(matches!(refused, Error::OtherPassword { .. }), "{refused}");
    folder.wait_for_the_end().await;
}

/// A folder that Postgres's user can reach. Whatever still runs on it is killed at the end, also
/// when the test has failed.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let open = std::fs::Permissions::from_mode(0o755);
        let mut builder = tempfile::Builder::new();
        Self(
            builder
                .prefix("devpg-")
                .permissions(open)
                .tempdir()
                .unwrap(),
        )
    }

    fn data(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("server")
    }

    fn settings(&self, bins: &Path) -> Settings {
        settings(&self.data(), bins)
    }

    fn postmaster(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.data().join("pgdata/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok().map(Pid::from_raw)
    }

    /// How many runs of `initdb` are under way or were given up.
    fn unfinished(&self) -> usize {
        let entries = std::fs::read_dir(self.data())
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("pgdata.new")
            })
            .count()
    }

    async fn wait_for_the_end(&self) {
        while self.postmaster().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster() {
            let _ = kill(pid, Signal::SIGQUIT);
            let patience = Instant::now() + Duration::from_secs(5);
            while self.postmaster().is_some_and(is_alive) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// This test's binary again, as a process that can be killed.
struct Program(Child);

impl Program {
    /// Starts it and waits until its server is ready.
    fn start(folder: &Scratch) -> Self {
        let mut program = Self::spawn(folder);
        let out = BufReader::new(program.0.stdout.take().unwrap());
        let ready = out
            .lines()
            .map_while(Result::ok)
            .any(|line| line.ends_with("ready"));
        assert!(ready, "the program ended before its server was ready");
        program
    }

    fn spawn(folder: &Scratch) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "program_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("DEVPG_TEST_DATA", folder.data())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn settings(data: &Path, bins: &Path) -> Settings {
    let mut settings = Settings::new(data, Secret::new(SUPERUSER), Secret::new(ADMIN));
    settings.bin_dir = Some(bins.to_owned());
    settings.durable = false;
    settings
}

fn installed() -> PathBuf {
    find_binaries(None).unwrap().dir().to_owned()
}

fn versions() -> Vec<PathBuf> {
    let extra = std::env::var_os("TENANTRY_TEST_PG_BINS").unwrap_or_default();
    let extra = std::env::split_paths(&extra).filter(|dir| !dir.as_os_str().is_empty());
    [installed()].into_iter().chain(extra).collect()
}

async fn superuser(server: &Server, database: &str) -> PgConnection {
    login(server, "postgres", SUPERUSER, database)
        .await
        .unwrap()
}

async fn login(
    server: &Server,
    user: &str,
    password: &str,
    database: &str,
) -> sqlx::Result<PgConnection> {
    PgConnectOptions::new_without_pgpass()
        .host(server.host())
        .port(server.port())
        .username(user)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .connect()
        .await
}

async fn ask<T>(connection: &mut PgConnection, question: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(question))
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut *connection)
        .await
        .unwrap();
    connection.ping().await.unwrap();
}

fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.unwrap_or_default().into_owned()
}

/// Whether a process runs; one that is dead and that nobody waited for does not.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or_else(
        |_| kill(pid, None).is_ok() && cfg!(not(target_os = "linux")),
        |stat| !stat.contains(") Z "),
    )
}
