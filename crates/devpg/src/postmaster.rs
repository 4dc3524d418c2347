//! The process of the server: started, watched, ended; and what an earlier run left of it.

use std::fs;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::account::Account;
use crate::folder::{Folder, is_free};
use crate::{Binaries, Error, Settings};

/// A login takes milliseconds; whoever waits for one looks this often.
const TICK: Duration = Duration::from_millis(10);
/// How long a fast shutdown may take: it ends the sessions and writes a checkpoint.
const FAST: Duration = Duration::from_secs(15);
/// How long an immediate shutdown may take: it only ends processes.
const IMMEDIATE: Duration = Duration::from_secs(5);
/// How long what is left of a killed server may hold its shared memory.
const LEFTOVERS: Duration = Duration::from_secs(10);
/// How long the recovery after a crash may take.
const READY: Duration = Duration::from_secs(120);

/// A running server. Dropped, it is told to shut down and not waited for.
#[derive(Debug)]
pub(crate) struct Postmaster {
    child: Child,
    folder: Folder,
    log_from: u64,
    port: u16,
}

/// Why a server did not come to accept logins.
enum Failure {
    /// It ended; the text is what it logged.
    Ended(String),
    Other(Error),
}

impl Postmaster {
    /// Starts the server and waits for the first login of the superuser, which is returned.
    pub(crate) async fn start(
        folder: &Folder,
        account: &Account,
        binaries: &Binaries,
        settings: &Settings,
        login: impl Fn(u16) -> PgConnectOptions,
    ) -> Result<(Self, PgConnection), Error> {
        let began = Instant::now();
        loop {
            let port = match settings.port {
                Some(port) if !is_free(port) => return Err(Error::PortTaken { port }),
                Some(port) => port,
                None => folder.choose_port()?,
            };
            let mut postmaster = Self::spawn(folder, account, binaries, settings, port)?;
            match postmaster.ready(&login(port), settings).await {
                Ok(connection) => return Ok((postmaster, connection)),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Ended(log)) if passes(&log) && began.elapsed() < LEFTOVERS => {
                    quit_leftovers(&folder.pgdata());
                    sleep(TICK).await;
                }
                Err(Failure::Ended(tail)) => {
                    return Err(Error::DidNotStart {
                        log: folder.log(),
                        tail,
                    });
                }
            }
        }
    }

    fn spawn(
        folder: &Folder,
        account: &Account,
        binaries: &Binaries,
        settings: &Settings,
        port: u16,
    ) -> Result<Self, Error> {
        let program = binaries.dir().join("postgres");
        let log = folder.open_log()?;
        let log_from = log.metadata().map_or(0, |file| file.len());
        let for_errors = log.try_clone().map_err(Error::io("write", folder.log()))?;

        let mut command = account.command(&program);
        command.arg("-D").arg(folder.pgdata());
        for (name, value) in parameters(settings, port) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log).stderr(for_errors);
        // Ctrl-C in a terminal goes to the whole group of processes. Postgres must outlive it, until
        // the program has closed its connections and stops it.
        let child = Command::from(command)
            .process_group(0)
            .spawn()
            .map_err(Error::io("run", program))?;
        Ok(Self {
            child,
            folder: folder.clone(),
            log_from,
            port,
        })
    }

    /// Waits until the superuser can log in.
    async fn ready(
        &mut self,
        login: &PgConnectOptions,
        settings: &Settings,
    ) -> Result<PgConnection, Failure> {
        let log = self.folder.log();
        timeout(READY, self.first_login(login, settings))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Failure::Other(Error::NotReady {
                    seconds: READY.as_secs(),
                    log,
                }))
            })
    }

    async fn first_login(
        &mut self,
        login: &PgConnectOptions,
        settings: &Settings,
    ) -> Result<PgConnection, Failure> {
        loop {
            let ended = self
                .child
                .try_wait()
                .map_err(Error::io("wait for", self.folder.log()));
            if ended.map_err(Failure::Other)?.is_some() {
                return Err(Failure::Ended(self.folder.log_since(self.log_from)));
            }
            match login.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if is_too_early(&error) => sleep(TICK).await,
                Err(error) if is_refused(&error) => {
                    return Err(Failure::Other(Error::OtherPassword {
                        data: self.folder.root().to_owned(),
                        superuser: settings.superuser.clone(),
                    }));
                }
                Err(source) => {
                    let log = self.folder.log();
                    return Err(Failure::Other(Error::Prepare { log, source }));
                }
            }
        }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Its process, `None` once it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself and says how.
    pub(crate) async fn exited(&mut self) -> String {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        format!(
            "Postgres ended ({how}): {}",
            self.folder.log_since(self.log_from)
        )
    }

    /// Ends it: fast, then at once, then by force.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        for (signal, patience) in [
            (Signal::SIGINT, FAST),
            (Signal::SIGQUIT, IMMEDIATE),
            (Signal::SIGKILL, IMMEDIATE),
        ] {
            self.signal(signal);
            if self.ends_within(patience).await.is_some() {
                return Ok(());
            }
            tracing::warn!(%signal, "Postgres does not end, trying harder");
        }
        Err(Error::Stuck {
            pid: self.child.id().map_or(0, u32::cast_signed),
        })
    }

    async fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        timeout(patience, self.child.wait()).await.ok()?.ok()
    }

    fn signal(&self, signal: Signal) {
        // The number is ours until the process was waited for, and `id` is `None` from then on.
        if let Some(pid) = self.child.id() {
            send(pid.cast_signed(), signal);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

/// Ends a server that an earlier run of the program left behind on this data, and forgets one that
/// is no more.
pub(crate) async fn recover(folder: &Folder) -> Result<(), Error> {
    let pgdata = folder.pgdata();
    let record = pgdata.join("postmaster.pid");
    let Some(pid) = recorded_pid(&record) else {
        return Ok(());
    };
    if is_postmaster(pid, &pgdata) {
        tracing::info!(pid, "stopping the Postgres that an earlier run left behind");
        return end(pid, &pgdata).await;
    }
    // Postgres believes any living process with that number, even one that got it after a reboot,
    // or one that is dead and that nobody waited for. Another Postgres it must judge by itself.
    if !command_line(pid).is_some_and(|line| looks_like_postgres(&line)) {
        fs::remove_file(&record).map_err(Error::io("remove", record))?;
    }
    Ok(())
}

async fn end(pid: i32, pgdata: &Path) -> Result<(), Error> {
    for (signal, patience) in [
        (Signal::SIGINT, FAST),
        (Signal::SIGQUIT, IMMEDIATE),
        (Signal::SIGKILL, IMMEDIATE),
    ] {
        send(pid, signal);
        let began = Instant::now();
        while began.elapsed() < patience {
            if !is_postmaster(pid, pgdata) {
                return Ok(());
            }
            sleep(TICK).await;
        }
    }
    Err(Error::Stuck { pid })
}

/// What the server is told on its command line, so that `postgresql.conf` stays the user's own.
fn parameters(settings: &Settings, port: u16) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", String::new()),
        ("port", port.to_string()),
        ("max_connections", settings.max_connections.to_string()),
        ("shared_buffers", "128MB".to_owned()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        // What failed is told, not what it was about: the detail of an error holds values of rows (a
        // mail address that is taken), and the text of a statement may hold a password.
        ("log_error_verbosity", "terse".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
    ];
    if !settings.durable {
        // `synchronous_commit` stays on: without it a killed server loses what it has answered.
        for name in ["fsync", "full_page_writes"] {
            parameters.push((name, "off".to_owned()));
        }
    }
    parameters
}

/// Whether the reason for not starting goes away by itself: sessions of a killed server that have
/// not ended yet, or a port that was taken between the look and the start.
fn passes(log: &str) -> bool {
    [
        "pre-existing shared memory block",
        "\"postmaster.pid\" already exists",
        "could not bind",
    ]
    .iter()
    .any(|reason| log.contains(reason))
}

/// Nobody listens yet, or the server says that it is starting.
fn is_too_early(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Wrong password, or no such user.
fn is_refused(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("28P01" | "28000")))
}

/// Ends sessions that have lost their server: one in the middle of a long query would not notice
/// that it is alone, and holds the shared memory as long. Only Linux tells which ones they are.
fn quit_leftovers(pgdata: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        let here = fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == pgdata);
        if here && command_line(pid).is_some_and(|line| line.starts_with("postgres: ")) {
            send(pid, Signal::SIGQUIT);
        }
    }
}

/// The first line of the file that a running server keeps in its data folder.
fn recorded_pid(record: &Path) -> Option<i32> {
    let text = fs::read_to_string(record).ok()?;
    text.lines()
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)
}

/// Whether a process is the server of this data and not one that got its number later.
fn is_postmaster(pid: i32, pgdata: &Path) -> bool {
    command_line(pid).is_some_and(|line| {
        looks_like_postgres(&line)
            && format!("{line} ").contains(&format!(" -D {} ", pgdata.display()))
    })
}

fn looks_like_postgres(line: &str) -> bool {
    let program = line.split(' ').next().unwrap_or_default();
    program
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("postgres"))
}

/// The words of a process separated by blanks; `None` where there is no such process, or only its
/// exit status. This is what may be read of other users' processes in a container, too.
fn command_line(pid: i32) -> Option<String> {
    let line = if cfg!(target_os = "linux") {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    } else {
        let answer = std::process::Command::new("ps")
            .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
            .output()
            .ok()?;
        String::from_utf8_lossy(&answer.stdout).into_owned()
    };
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn send(pid: i32, signal: Signal) {
    // The only answer of interest is that there is no such process, which the callers find out.
    let _ = kill(Pid::from_raw(pid), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_got_the_number_of_a_dead_server_is_not_taken_for_it() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(command_line(me).is_some());
        assert!(!is_postmaster(me, Path::new("/anywhere")));
    }

    #[test]
    fn only_the_program_itself_looks_like_postgres() {
        assert!(looks_like_postgres(
            "/usr/lib/postgresql/15/bin/postgres -D /data"
        ));
        assert!(looks_like_postgres("postgres: checkpointer"));
        assert!(!looks_like_postgres("tail -f /var/log/postgres"));
    }

    #[test]
    fn a_fault_in_the_configuration_is_not_retried() {
        assert!(passes(
            "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use"
        ));
        assert!(!passes("FATAL:  configuration file contains errors"));
    }
}
