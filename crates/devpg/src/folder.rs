//! The folder of a server: what is where in it, and who works on it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::account::Account;

const UNFINISHED: &str = "pgdata.new.";

/// The paths in one server's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder by its real path: the way through a symbolic link may be open where the real one
    /// is closed, and Postgres reports the real one.
    pub(crate) fn at(data: &Path) -> Result<Self, Error> {
        let absolute = std::path::absolute(data).map_err(Error::io("find", data))?;
        let existing = absolute
            .ancestors()
            .find(|part| part.exists())
            .unwrap_or(Path::new("/"));
        let real = existing
            .canonicalize()
            .map_err(Error::io("find", existing))?;
        let missing = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
        let root = if missing.as_os_str().is_empty() {
            real
        } else {
            real.join(missing)
        };
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `PGDATA`.
    pub(crate) fn pgdata(&self) -> PathBuf {
        self.root.join("pgdata")
    }

    /// Where this process's `initdb` works. No other process uses the name: an `initdb` whose
    /// program was killed may go on writing into its own.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root
            .join(format!("{UNFINISHED}{}", std::process::id()))
    }

    /// What earlier runs of `initdb` left behind when they were killed.
    pub(crate) fn abandoned(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))
            .map(|entry| entry.path())
            .collect()
    }

    /// Where the superuser's password is while `initdb` runs.
    pub(crate) fn password(&self) -> PathBuf {
        self.root.join("password.new")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// The major version that wrote the data, `None` where there is no data.
    pub(crate) fn major(&self) -> Option<u32> {
        let text = fs::read_to_string(self.pgdata().join("PG_VERSION")).ok()?;
        text.trim().parse().ok()
    }

    /// Makes the folder and those above it that are missing.
    pub(crate) fn create(&self, account: &Account) -> Result<(), Error> {
        let missing: Vec<&Path> = self
            .root
            .ancestors()
            .take_while(|part| !part.exists())
            .collect();
        for part in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o755).create(part) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::io("make the folder", part)(error));
                }
                _ => {}
            }
            if account.is_other() {
                // A strict umask of root would close it to Postgres's user.
                fs::set_permissions(part, fs::Permissions::from_mode(0o755))
                    .map_err(Error::io("open", part))?;
            }
        }
        Ok(())
    }

    /// The log, for adding to it.
    pub(crate) fn open_log(&self) -> Result<File, Error> {
        let path = self.log();
        File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("write", path))
    }

    /// What was logged from byte `from` on, at most its last lines.
    pub(crate) fn log_since(&self, from: u64) -> String {
        const LINES: usize = 12;
        let bytes = fs::read(self.log()).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
        let text = String::from_utf8_lossy(&bytes[from..]);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// The port of the last run if nobody has taken it, else a free one.
    pub(crate) fn choose_port(&self) -> Result<u16, Error> {
        let remembered = fs::read_to_string(self.port_file()).ok();
        let remembered = remembered.and_then(|text| text.trim().parse::<u16>().ok());
        if let Some(port) = remembered.filter(|port| is_free(*port)) {
            return Ok(port);
        }
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map(|address| address.port())
            .map_err(Error::io("find a free port on", "127.0.0.1"))
    }

    pub(crate) fn remember_port(&self, port: u16) -> Result<(), Error> {
        let path = self.port_file();
        fs::write(&path, format!("{port}\n")).map_err(Error::io("write", path))
    }

    fn port_file(&self) -> PathBuf {
        self.root.join("port")
    }
}

/// Whether nobody listens on this port of the loopback.
pub(crate) fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Holds a server's folder until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the folder of a server for oneself, to look into it or to remove it while no server runs
/// on it. [`crate::Server::start`] does this itself.
///
/// # Errors
/// [`Error::AlreadyRunning`] where another process, or another server of this one, has it.
pub fn lock(data: &Path) -> Result<Lock, Error> {
    let path = data.join("lock");
    let mut file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(Error::AlreadyRunning {
                data: data.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::io("write", path))?;
    Ok(Lock { _file: file })
}
