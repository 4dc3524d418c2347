//! The internal listener: bound before anything is touched, served until everything else has ended.

use std::net::SocketAddr;

use crate::config::InternalSettings;
use crate::failure::Result;
use crate::listen::Listeners;
use crate::metrics::Metrics;
use crate::stop::Stop;

/// The internal listener, and the metrics that are kept for it.
pub struct Internal {
    pub listeners: Listeners,
    pub metrics: Metrics,
}

impl Internal {
    /// Takes the address and starts to keep metrics; neither where it is turned off.
    ///
    /// # Errors
    /// When the address is taken or may not be used.
    pub async fn bind(settings: &InternalSettings) -> Result<Option<Self>> {
        let Some(address) = settings.address()? else {
            return Ok(None);
        };
        let setting = "--internal-listen or `internal_listen` (`off` for none)";
        Ok(Some(Self {
            listeners: Listeners::bind(address, setting).await?,
            metrics: Metrics::start()?,
        }))
    }

    /// Its URL, with the port that was really taken.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.listeners.address()))
    }

    /// Serves until told to stop.
    pub async fn serve(self, service: axum::Router, stop: Stop) {
        tokio::spawn(self.metrics.keep());
        self.listeners.serve(&service, &stop).await;
    }
}

/// An address to connect to: every address of this machine is reached by the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
