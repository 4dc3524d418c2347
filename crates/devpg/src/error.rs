//! What can go wrong around the private server, each with what to do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use tenantry_types::ErrorKind;

/// Why there is no running server; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder that the caller named explicitly has no working server.
    #[error(
        "{} is no Postgres to work with ({reason}); name a folder that has `postgres` and `initdb` of version 14 to 18, or leave the setting out", dir.display()
    )]
    UnusableBinaries {
        /// The folder as it was named.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No server is installed and none was downloaded.
    #[error(
        "no Postgres 14 to 18 was found on this machine{}: install one ({}), or name the folder of its programs in TENANTRY_PG_BIN", 
        download.as_ref().map(|why| format!(" and the download failed ({why})")).unwrap_or_default(),
        crate::binaries::INSTALL_HINT
    )]
    NotInstalled {
        /// Why the download failed, where it was tried.
        download: Option<String>,
    },
    /// The data belongs to a version of Postgres that is not installed.
    #[error(
        "the data in {} was written by Postgres {data_major}, which was not found on this machine: install it, name its folder in TENANTRY_PG_BIN, or choose another data folder", data.display()
    )]
    OtherVersion {
        /// The folder of the server.
        data: PathBuf,
        /// The major version that wrote the data.
        data_major: u32,
    },
    /// A folder is closed to the user that Postgres runs as.
    #[error(
        "{} cannot be reached by `{user}`, the user that Postgres runs as, because {} is closed to it: choose a data folder elsewhere (--data), or open it with `chmod o+x {}`", path.display(), blocker.display(), blocker.display()
    )]
    Unreachable {
        /// What Postgres needs.
        path: PathBuf,
        /// The first folder on the way that is closed.
        blocker: PathBuf,
        /// The user that Postgres runs as.
        user: String,
    },
    /// Root asked, and there is nobody to hand the work to.
    #[error(
        "Postgres refuses to run as root and there is no user `postgres` or `nobody` to run it as: make one with `useradd --system postgres`, or start as another user"
    )]
    NoUnprivilegedUser,
    /// The data belongs to another user of the machine.
    #[error(
        "the data in {} belongs to user {owner}: start as that user, or choose another data folder", data.display()
    )]
    ForeignData {
        /// The folder of the server.
        data: PathBuf,
        /// Number of the user it belongs to.
        owner: u32,
    },
    /// Another copy works on the same folder.
    #[error(
        "{} is in use by process {}: stop that one first, or choose another data folder", data.display(),
        pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
    )]
    AlreadyRunning {
        /// The folder of the server.
        data: PathBuf,
        /// The process that holds it.
        pid: Option<u32>,
    },
    /// The port that the caller named is taken.
    #[error("port {port} is taken on 127.0.0.1: choose another one, or leave it out")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// `initdb` ended with an error.
    #[error(
        "initdb could not make the data folder ({status}), correct what it says and start again: {output}"
    )]
    Initdb {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// Postgres ended before it accepted a connection.
    #[error("Postgres did not start, correct what its log {} says and start again: {tail}", log.display())]
    DidNotStart {
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// Postgres runs but accepts nobody.
    #[error("Postgres accepted no connection within {seconds} s: look into its log {}", log.display())]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// The superuser's password is not the one that the data was made with.
    #[error(
        "the data in {} was made with another password of `{superuser}`: give that one, or remove the folder to begin anew", data.display()
    )]
    OtherPassword {
        /// The folder of the server.
        data: PathBuf,
        /// The superuser.
        superuser: String,
    },
    /// A process of an earlier run does not end.
    #[error(
        "process {pid} of an earlier run does not end: end it with `kill -9 {pid}` and start again"
    )]
    Stuck {
        /// The process.
        pid: i32,
    },
    /// The logins could not be prepared.
    #[error("the logins of the private Postgres could not be prepared, look into its log {}", log.display())]
    Prepare {
        /// Its log.
        log: PathBuf,
        /// What Postgres answered.
        source: sqlx::Error,
    },
    /// A file, folder or process could not be worked with.
    #[error("cannot {action} {}: check that it exists and may be used by this user", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl Error {
    /// The kind, which decides the exit code.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyRunning { .. } | Self::PortTaken { .. } => ErrorKind::Conflict,
            Self::ForeignData { .. } | Self::Unreachable { .. } => ErrorKind::Forbidden,
            Self::UnusableBinaries { .. }
            | Self::NotInstalled { .. }
            | Self::OtherVersion { .. }
            | Self::OtherPassword { .. }
            | Self::NoUnprivilegedUser => ErrorKind::Invalid,
            Self::Initdb { .. }
            | Self::DidNotStart { .. }
            | Self::NotReady { .. }
            | Self::Stuck { .. }
            | Self::Prepare { .. }
            | Self::Io { .. } => ErrorKind::Unavailable,
        }
    }

    /// Turns an [`io::Error`] into one that says what was tried on what.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
