//! One private server from start to stop.

use std::path::Path;

use crate::account::Account;
use crate::binaries::{self, Binaries};
use crate::folder::{Folder, Lock, lock};
use crate::initdb::ensure_data;
use crate::postmaster::{self, Postmaster};
use crate::{Error, Settings, admin, download};

/// A private Postgres that runs.
///
/// Dropped without [`Server::stop`], it is told to shut down and nobody waits for it. It survives
/// the death of the program; the next start on the same folder ends it first.
#[derive(Debug)]
pub struct Server {
    // Dropped in this order: the folder is free only after the server was told to end.
    postmaster: Postmaster,
    binaries: Binaries,
    pid: u32,
    lock: Lock,
}

impl Server {
    /// Starts a server on the folder of the settings, which is made where it is missing and
    /// recovered where the last run ended badly, and prepares the admin login.
    ///
    /// # Errors
    /// [`Error::Unreachable`], before anything is written, where Postgres's user cannot come to the
    /// folder; [`Error::AlreadyRunning`] where another copy has it; [`Error::NotInstalled`] where
    /// there is no Postgres; the others say what to look at.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let folder = Folder::at(&settings.data)?;
        let account = Account::for_data(&folder.pgdata())?;
        account.check_reach(folder.root())?;
        let binaries = Self::programs(&folder, &account, &settings).await?;
        account.check_reach(&binaries.dir().join("postgres"))?;

        folder.create(&account)?;
        let lock = lock(folder.root())?;
        postmaster::recover(&folder).await?;
        ensure_data(&folder, &account, &binaries, &settings).await?;

        let login = |port| admin::superuser(&settings, port);
        let (postmaster, connection) =
            Postmaster::start(&folder, &account, &binaries, &settings, login).await?;
        folder.remember_port(postmaster.port())?;
        admin::prepare(
            connection,
            &login(postmaster.port()),
            &settings,
            binaries.major(),
        )
        .await
        .map_err(|source| Error::Prepare {
            log: folder.log(),
            source,
        })?;

        let pid = postmaster.pid().unwrap_or_default();
        tracing::info!(
            port = postmaster.port(),
            version = binaries.major(),
            pid,
            "private Postgres is ready"
        );
        Ok(Self {
            postmaster,
            binaries,
            pid,
            lock,
        })
    }

    /// The programs of the version that wrote the data, or of any where there is none.
    async fn programs(
        folder: &Folder,
        account: &Account,
        settings: &Settings,
    ) -> Result<Binaries, Error> {
        let wanted = folder.major();
        if let Some(found) = binaries::find(settings.bin_dir.as_deref(), wanted)? {
            return Ok(found);
        }
        let downloaded = download::download(folder.root(), account, wanted).await;
        match (downloaded, wanted) {
            (Err(Error::NotInstalled { .. }), Some(data_major))
                if binaries::find(None, None)?.is_some() =>
            {
                Err(Error::OtherVersion {
                    data: folder.root().to_owned(),
                    data_major,
                })
            }
            (downloaded, _) => downloaded,
        }
    }

    /// The address it listens on.
    #[must_use]
    pub const fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// The port it listens on, the same on the next start if it is free then.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.postmaster.port()
    }

    /// The major version, e.g. 15.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.binaries.major()
    }

    /// The folder of its programs; not every build has more in it than the server itself.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        self.binaries.dir()
    }

    /// The process of the server, also after it has ended.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the server ends without having been stopped, and says how, with the end of its
    /// log. It may be dropped and called again.
    pub async fn exited(&mut self) -> String {
        self.postmaster.exited().await
    }

    /// Ends the sessions and the server in order and waits for it; one that does not end in time
    /// is ended harder.
    ///
    /// # Errors
    /// [`Error::Stuck`] where not even `kill -9` helps.
    pub async fn stop(self) -> Result<(), Error> {
        let stopped = self.postmaster.stop().await;
        drop(self.lock);
        stopped
    }
}
