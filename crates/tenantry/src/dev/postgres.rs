//! The private Postgres while the program runs: started, watched, stopped.

use std::path::PathBuf;

use tenantry_devpg::{Server, Settings};
use tenantry_types::Secret;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Folder, Secrets, folder};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The login that the product works with; the superuser is for people.
pub const ADMIN: &str = "tenantry_admin";
/// The private server's superuser.
pub const SUPERUSER: &str = "postgres";
/// The catalog's database.
pub const CATALOG: &str = "tenantry_catalog";

/// What the command line says about it.
pub struct Wishes {
    /// The folder of its programs; `None` looks for it.
    pub bin_dir: Option<PathBuf>,
    /// Connections that it accepts at once.
    pub max_connections: u32,
    /// Whether the data must survive a crash of the machine.
    pub durable: bool,
}

/// A private Postgres that runs.
pub struct Postgres {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    stop: CancellationToken,
    watch: JoinHandle<Result<()>>,
}

impl Postgres {
    /// Starts it on the data folder.
    ///
    /// # Errors
    /// What stands in the way, with what to do about it.
    pub async fn start(data: &Folder, secrets: &Secrets, wishes: Wishes) -> Result<Self> {
        let settings = Settings {
            bin_dir: wishes.bin_dir,
            superuser: SUPERUSER.to_owned(),
            admin: ADMIN.to_owned(),
            max_connections: wishes.max_connections,
            durable: wishes.durable,
            ..Settings::new(
                data.join(folder::POSTGRES),
                secrets.superuser_password.clone(),
                secrets.admin_password.clone(),
            )
        };
        let server = Server::start(settings).await.map_err(|error| {
            Failure::of_kind(error.kind(), "the private Postgres did not start", &error)
        })?;
        let stop = CancellationToken::new();
        Ok(Self {
            host: server.host().to_owned(),
            port: server.port(),
            watch: tokio::spawn(watch(server, stop.clone())),
            stop,
        })
    }

    /// The URL of one of its databases for the product's login.
    #[must_use]
    pub fn url(&self, secrets: &Secrets, database: &str) -> Secret {
        let (host, port) = (&self.host, self.port);
        let password = secrets.admin_password.expose();
        Secret::new(format!(
            "postgres://{ADMIN}:{password}@{host}:{port}/{database}"
        ))
    }

    /// Stops it and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.watch.await.unwrap_or_else(|error| {
            Err(Failure::because(
                "the private Postgres was lost sight of",
                &error,
            ))
        })
    }
}

/// Holds the server. If it ends by itself, that is said once; requests are then answered with 503.
async fn watch(mut server: Server, stop: CancellationToken) -> Result<()> {
    tokio::select! {
        () = stop.cancelled() => {}
        how = server.exited() => {
            tracing::error!(how, "the private Postgres ended by itself; requests that need it are answered with 503 until you start `tenantry dev` again");
            stop.cancelled().await;
        }
    }
    server.stop().await.map_err(|error| {
        Failure::because("the private Postgres did not stop", &error).exit_as(Exit::Failed)
    })
}
