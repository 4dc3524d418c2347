//! A second server on the catalog of a `tenantry dev`.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::dev::{REQUEST_TIMEOUT, status_of};
use crate::{Client, Dev, Metrics, Process, binary};

/// A running `tenantry serve`.
pub struct Serve {
    process: Process,
    address: SocketAddr,
    internal: SocketAddr,
    name: String,
}

impl Serve {
    /// Joins the catalog of `dev` as its `env` file tells, with some variables changed, and waits
    /// until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn join(dev: &Dev, name: &str, env: &[(&str, &str)]) -> Self {
        let mut serve = Self::spawn(dev, name, env);
        serve.wait_until_ready();
        serve
    }

    /// Joins it and waits for nothing.
    #[must_use]
    pub fn spawn(dev: &Dev, name: &str, env: &[(&str, &str)]) -> Self {
        let (address, internal) = (free_address(), free_address());
        let mut command = binary::command();
        command
            .current_dir(dev.folder())
            .args(["serve", "--listen", &address.to_string()])
            .args(["--internal-listen", &internal.to_string()])
            .envs(dev.variables())
            .env("TENANTRY_DNS_RESOLVER", dev.dns().address().to_string())
            .env("TENANTRY_REQUEST_TIMEOUT", REQUEST_TIMEOUT)
            .envs(env.iter().copied());
        Self {
            process: Process::spawn(command, dev.folder(), name),
            address,
            internal,
            name: name.to_owned(),
        }
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn wait_until_ready(&mut self) {
        let process = &mut self.process;
        let until = Instant::now() + Duration::from_secs(120);
        while status_of(self.address, "/readyz") != Some(200) {
            if let Some(status) = process.ended() {
                panic!("`tenantry serve` ended ({status}):\n{}", process.log());
            }
            assert!(Instant::now() < until, "not ready:\n{}", process.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its internal listener is: `http://127.0.0.1:…`.
    #[must_use]
    pub fn internal_url(&self) -> String {
        format!("http://{}", self.internal)
    }

    /// What `GET /metrics` tells.
    pub async fn metrics(&self) -> Metrics {
        Metrics::scrape(&self.internal_url()).await
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// A client of the base domain that has no token.
    #[must_use]
    pub fn base(&self) -> Client {
        Client::new(self.address, "localhost")
    }

    /// A client of a tenant's host that has no token.
    #[must_use]
    pub fn at(&self, slug: &str) -> Client {
        Client::new(self.address, &format!("{slug}.localhost"))
    }
}

/// An address on which nobody listens now.
#[must_use]
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}
