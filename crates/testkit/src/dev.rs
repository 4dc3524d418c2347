//! `tenantry dev` on a folder of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;

use crate::folder::Folder;
use crate::{Cli, Client, Dns, Metrics, Pg, Process, Terminal, binary, logs};

/// A guard against hanging on a machine that is busy; no expectation of how long a start takes.
const START: Duration = Duration::from_secs(120);
/// Of every server of the tests. With the default a busy machine answers some of what is waited for with 202.
pub(crate) const REQUEST_TIMEOUT: &str = "90s";

/// What a start is told beyond its data folder.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Variables for the program.
    pub env: Vec<(String, String)>,
    /// The Postgres programs; otherwise those of `TENANTRY_PG_BIN` or what the program finds.
    pub pg_bin: Option<PathBuf>,
    /// Whether its data are to survive a crash of the machine.
    pub durable: bool,
}

impl Options {
    /// With one variable more.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running `tenantry dev`, or one that was stopped and can be started again. When this is dropped,
/// or the test process ends, program, Postgres and folder go.
pub struct Dev {
    // Before `folder`: what runs ends before the sweep.
    process: Option<Process>,
    options: Options,
    port: u16,
    data: PathBuf,
    postgres_tells_all: AtomicBool,
    dns: Dns,
    folder: Folder,
}

/// The one that all tests of this process share, which therefore disturb nobody: each has tenants
/// of its own and leaves the program running.
pub fn shared() -> &'static Dev {
    static SHARED: OnceLock<Dev> = OnceLock::new();
    SHARED.get_or_init(Dev::start)
}

impl Dev {
    /// Starts one on a new folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts one on a new folder.
    #[must_use]
    pub fn start_with(options: Options) -> Self {
        let mut dev = Self::prepared(options);
        dev.run();
        dev
    }

    /// One that was not started yet.
    #[must_use]
    pub fn prepared(options: Options) -> Self {
        let folder = Folder::new();
        Self {
            process: None,
            options,
            port: 0,
            data: folder.path().join("data"),
            postgres_tells_all: AtomicBool::new(false),
            dns: Dns::start(),
            folder,
        }
    }

    /// Starts the program again and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn run(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Starts the program again with another environment.
    pub fn run_with_env(&mut self, env: &[(&str, &str)]) {
        self.options.env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.run();
    }

    /// Starts the program and waits for nothing.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = self.dev_command();
        command.current_dir(self.folder.path());
        self.process = Some(Process::spawn(command, self.folder.path(), "dev"));
    }

    /// The command that starts it.
    #[must_use]
    pub fn dev_command(&self) -> Command {
        self.dev_command_on(self.port, &self.data)
    }

    /// The command that starts it on another port or folder.
    #[must_use]
    pub fn dev_command_on(&self, port: u16, data: &Path) -> Command {
        let mut command = binary::command();
        command
            .args(["dev", "--port", &port.to_string(), "--data"])
            .arg(data);
        if !self.options.durable {
            // A checkpoint of all that the tests made takes a slow disk longer than a request may take.
            command.arg("--ephemeral");
        }
        match &self.options.pg_bin {
            Some(folder) => {
                command.arg("--pg-bin").arg(folder);
            }
            None => {
                if let Some(folder) = std::env::var_os("TENANTRY_PG_BIN") {
                    command.env("TENANTRY_PG_BIN", folder);
                }
            }
        }
        command.env("TENANTRY_DNS_RESOLVER", self.dns.address().to_string());
        command.env("TENANTRY_REQUEST_TIMEOUT", REQUEST_TIMEOUT);
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + START;
        while !self.is_ready() {
            let process = self.process.as_mut().expect("it was started");
            if let Some(status) = process.ended() {
                panic!(
                    "`tenantry dev` ended ({status}):\n{}{}",
                    process.output(),
                    process.log()
                );
            }
            assert!(
                Instant::now() < until,
                "not ready after {START:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self.learn();
    }

    fn is_ready(&mut self) -> bool {
        if self.port == 0 {
            // The free port that it took is in the file it writes before it serves.
            let url = self.variables().remove("TENANTRY_URL");
            let port = url.and_then(|url| url.rsplit_once(':')?.1.parse().ok());
            let Some(port) = port else { return false };
            self.port = port;
        }
        status_of(self.address(), "/readyz") == Some(200)
    }

    /// Stops it as a service manager does, and tells how it ended.
    ///
    /// # Panics
    /// When it takes more than 30 s.
    pub fn stop(&mut self) -> i32 {
        self.end_by(Signal::TERM)
    }

    /// Stops it by a signal and gives the exit code; for a death by signal 128 and its number, as a
    /// shell does.
    pub fn end_by(&mut self, signal: Signal) -> i32 {
        let mut process = self.process.take().expect("it runs");
        if signal == Signal::INT {
            process.signal_group(signal);
        } else {
            process.signal(signal);
        }
        let status = process.wait(Duration::from_secs(30));
        status
            .code()
            .or(status.signal().map(|number| 128 + number))
            .expect("an end")
    }

    /// Ends it as `kill -9` does; Postgres stays.
    pub fn kill9(&mut self) {
        self.process.take().expect("it runs").kill9();
    }

    /// Waits until it ended by itself.
    pub fn wait_for_end(&mut self, bound: Duration) -> ExitStatus {
        self.process.take().expect("it runs").wait(bound)
    }

    /// Stops it in order and starts it again.
    pub fn restart(&mut self) {
        assert_eq!(self.stop(), 0, "{}", self.log());
        self.run();
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The DNS that it asks.
    #[must_use]
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// Proves a domain that a tenant has claimed: sets the record, and has it looked at.
    pub async fn prove(&self, tenant: &str, domain: &str) {
        let operator = self.operator();
        let path = format!("/setup/tenants/{tenant}/domains/{domain}");
        let put = operator.request(Method::PUT, &path).send().await;
        self.dns.set_record(&put.json());
        operator
            .request(Method::POST, &format!("{path}/verify"))
            .send()
            .await
            .expect(200);
    }

    /// A folder for the test's own files, which goes with this.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was stopped.
    #[must_use]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// All that it logged, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.path().join("dev.log")
    }

    /// From here on Postgres logs each statement with its parameters, among which there are mail
    /// addresses, but no secret.
    pub async fn let_postgres_tell_all(&self) {
        self.postgres_tells_all.store(true, Ordering::Relaxed);
        let pg = self.pg();
        for sql in [
            "ALTER SYSTEM SET log_statement = 'all'",
            "ALTER SYSTEM SET log_parameter_max_length = -1",
            // Over what the server was started with.
            "ALTER ROLE ALL SET log_error_verbosity = 'default'",
            "SELECT pg_reload_conf()",
        ] {
            pg.run("postgres", sql).await;
        }
    }

    /// Where its internal listener is: `http://127.0.0.1:…`.
    #[must_use]
    pub fn internal_url(&self) -> String {
        self.variables()
            .remove("TENANTRY_INTERNAL_URL")
            .expect("the internal URL in <data>/env")
    }

    /// What `GET /metrics` tells.
    pub async fn metrics(&self) -> Metrics {
        Metrics::scrape(&self.internal_url()).await
    }

    /// Learns what must be in no log.
    fn learn(&self) {
        let variables = self.variables();
        for name in ["PGPASSWORD", "TENANTRY_TOKEN"] {
            logs::learn(variables.get(name).map_or("", String::as_str));
        }
        logs::learn_url(
            variables
                .get("TENANTRY_CATALOG_URL")
                .map_or("", String::as_str),
        );
        let keys = variables.get("TENANTRY_KEYS").map_or("", String::as_str);
        for key in keys.split(',') {
            logs::learn(key.rsplit(':').next().unwrap_or_default());
        }
    }

    /// What `<data>/env` says.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.data.join("env")).unwrap_or_default();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The operator's token of the folder.
    #[must_use]
    pub fn operator_token(&self) -> String {
        let text = std::fs::read_to_string(self.data.join("operator-token"));
        text.expect("the operator's token").trim().to_owned()
    }

    /// A client of the base domain that has no token.
    #[must_use]
    pub fn base(&self) -> Client {
        Client::new(self.address(), &self.host(None))
    }

    /// A client of the setup API.
    #[must_use]
    pub fn operator(&self) -> Client {
        self.base().bearer(&self.operator_token())
    }

    /// A client of a tenant's host that has no token.
    #[must_use]
    pub fn at(&self, slug: &str) -> Client {
        Client::new(self.address(), &self.host(Some(slug)))
    }

    /// `localhost:3000`, or `acme.localhost:3000`.
    #[must_use]
    pub fn host(&self, slug: Option<&str>) -> String {
        let dot = slug.map(|slug| format!("{slug}.")).unwrap_or_default();
        format!("{dot}localhost:{}", self.port)
    }

    /// Its private Postgres, as `<data>/env` tells.
    #[must_use]
    pub fn pg(&self) -> Pg {
        let mut all = self.variables();
        let mut take = |name: &str| {
            all.remove(name)
                .unwrap_or_else(|| panic!("{name} in <data>/env"))
        };
        Pg {
            host: take("PGHOST"),
            port: take("PGPORT").parse().expect("a port"),
            superuser: take("PGUSER"),
            password: take("PGPASSWORD"),
            catalog: take("TENANTRY_CATALOG_URL")
                .rsplit_once('/')
                .and_then(|(_, name)| name.split('?').next().map(str::to_owned))
                .expect("a database's name"),
        }
    }

    /// The process id of its Postgres, if the record of one is there.
    #[must_use]
    pub fn postmaster(&self) -> Option<i32> {
        let record = find(&self.data, "postmaster.pid")?;
        let text = std::fs::read_to_string(record).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// What Postgres logged.
    #[must_use]
    pub fn postgres_log(&self) -> String {
        let mut all = String::new();
        each_file(&self.data, &mut |path| {
            if path.extension().is_some_and(|end| end == "log") {
                all.push_str(&String::from_utf8_lossy(
                    &std::fs::read(path).unwrap_or_default(),
                ));
            }
        });
        all
    }

    /// Runs the command line as somebody who works in this folder.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Cli {
        let mut command = self.cli_command();
        command.args(arguments);
        Cli::run(command)
    }

    /// Runs the command line at a terminal of this width.
    #[must_use]
    pub fn terminal(&self, arguments: &[&str], columns: u16, env: &[(&str, &str)]) -> Terminal {
        let mut command = self.cli_command();
        command
            .args(arguments)
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .envs(env.iter().copied());
        Terminal::run(command, columns)
    }

    /// Runs the command line with no folder to look into.
    #[must_use]
    pub fn cli_elsewhere(&self, arguments: &[&str], env: &[(&str, &str)]) -> Cli {
        let mut command = binary::command();
        command
            .current_dir("/")
            .args(arguments)
            .envs(env.iter().copied());
        Cli::run(command)
    }

    fn cli_command(&self) -> Command {
        let mut command = binary::command();
        command
            .current_dir(self.folder.path())
            .env("TENANTRY_DATA", &self.data);
        command
    }
}

/// What Postgres logged is looked at, too.
impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.learn();
        let all = self.postgres_tells_all.load(Ordering::Relaxed);
        each_file(
            &self.data,
            &mut |path| match path.extension().is_some_and(|end| end == "log") {
                true if all => logs::check_secrets(path),
                true => logs::check(path),
                false => {}
            },
        );
    }
}

/// The status that a server answers a plain `GET` with, if it answers at all.
pub(crate) fn status_of(to: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    // HTTP/1.1 200
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut found = None;
    each_file(folder, &mut |path| {
        if path.file_name().is_some_and(|file| file == name) {
            found = Some(path.to_owned());
        }
    });
    found
}

fn each_file(folder: &Path, see: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            // The tables themselves: thousands of files with names that nobody asks for.
            if !path.ends_with("base") {
                each_file(&path, see);
            }
        } else {
            see(&path);
        }
    }
}
