//! The folder of a run and the processes in it, of which nothing is left at its end.

use std::fs::{self, DirBuilder, File};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::http::{Connection, request};
use crate::failure::{Failure, Result};
use crate::output::note;

/// How long a process may take to get ready, and to end: each ends what it started itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How much of a log is shown when its process failed.
const TAIL: usize = 1_500;

/// A folder with running processes in it.
pub struct Room {
    path: PathBuf,
    running: Mutex<Vec<Child>>,
}

/// A process of a room.
pub struct Running {
    /// Its id.
    pub pid: u32,
    log: PathBuf,
}

impl Room {
    /// Makes the folder, which must not be there yet: it is removed at the end with all that is in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(chosen: Option<&Path>) -> Result<Self> {
        let path = chosen.map_or_else(
            || std::env::temp_dir().join(format!("tenantry-bench-{}", std::process::id())),
            Path::to_path_buf,
        );
        let shown = path.display();
        let path = std::path::absolute(&path)
            .map_err(|error| Failure::because(format!("`{shown}` is no folder"), &error))?;
        // Postgres, which is another user where we are root, must get through it.
        DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o711)))
            .map_err(|error| {
                Failure::because(
                    format!("the folder {} cannot be made", path.display()),
                    &error,
                )
                .next("name a folder with --data that is not there yet; it is removed at the end")
            })?;
        Ok(Self {
            path,
            running: Mutex::default(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts this program once more, with none of the settings around us but `env`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        &self,
        name: &str,
        arguments: &[&str],
        env: &[(String, String)],
    ) -> Result<Running> {
        let failed =
            |error: std::io::Error| Failure::because(format!("`{name}` cannot be started"), &error);
        let program = std::env::current_exe().map_err(failed)?;
        let log = self.path.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log);
        let out = out.map_err(failed)?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("TENANTRY_") || text.starts_with("PG") {
                command.env_remove(&name);
            }
        }
        let child = command
            .args(arguments)
            .envs(env.iter().map(|(name, value)| (name, value)))
            // No `tenantry.toml` of a person's folder.
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            // Ctrl-C reaches us alone, and we stop them, once and in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        self.lock().push(child);
        Ok(Running { pid, log })
    }

    /// Waits until something is there that a process makes when it is ready.
    ///
    /// # Errors
    /// When the process ends instead, or takes too long; with the end of its log.
    pub async fn until<T>(
        &self,
        process: &Running,
        what: &str,
        mut there: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = there().await {
                return Ok(found);
            }
            let ended = self.has_ended(process.pid);
            if ended || Instant::now() > deadline {
                let how = if ended {
                    "ended before"
                } else {
                    "did not get to"
                };
                let log = fs::read_to_string(&process.log).unwrap_or_default();
                let from = log.char_indices().rev().nth(TAIL).map_or(0, |(at, _)| at);
                return Err(Failure::new(
                    crate::exit::Exit::Failed,
                    format!("a process of the benchmark {how} {what}: {}", &log[from..]),
                ));
            }
            sleep(TICK).await;
        }
    }

    /// Waits until a server answers that it is ready.
    ///
    /// # Errors
    /// As [`Room::until`].
    pub async fn ready(&self, process: &Running, at: SocketAddr, host: &str) -> Result<()> {
        let ask = request("GET", "/readyz", host, None, None);
        self.until(process, "being ready", async || {
            let mut connection = Connection::open(at).await.ok()?;
            let answer = connection.send(&ask).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await
    }

    /// Stops one process and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self, process: Running) -> Result<()> {
        let found = {
            let mut running = self.lock();
            let at = running
                .iter()
                .position(|child| child.id() == Some(process.pid));
            at.map(|at| running.remove(at))
        };
        let Some(mut child) = found else {
            return Ok(());
        };
        // It may have ended by itself; then there is nobody to tell.
        let _ = kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGTERM);
        if timeout(PATIENCE, child.wait()).await.is_err() {
            let _ = child.kill().await;
            return Err(Failure::new(
                crate::exit::Exit::Failed,
                "a process of the benchmark did not stop",
            ));
        }
        Ok(())
    }

    /// Stops all processes, the last one first, and removes the folder.
    ///
    /// # Errors
    /// When something is left.
    pub async fn close(self) -> Result<()> {
        let mut stuck = Vec::new();
        let running = std::mem::take(&mut *self.lock());
        for mut child in running.into_iter().rev() {
            let Some(pid) = child.id() else { continue };
            // It may have ended by itself; then there is nobody to tell.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
            if timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.kill().await;
                stuck.push(pid.to_string());
            }
        }
        if !stuck.is_empty() {
            note(&format!(
                "process {} did not stop in time and was killed; look for a Postgres in {}",
                stuck.join(", "),
                self.path.display()
            ));
        }
        fs::remove_dir_all(&self.path).map_err(|error| {
            Failure::because(
                format!("the folder {} cannot be removed", self.path.display()),
                &error,
            )
        })
    }

    fn has_ended(&self, pid: u32) -> bool {
        self.lock()
            .iter_mut()
            .filter(|child| child.id().is_none_or(|id| id == pid))
            .any(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
