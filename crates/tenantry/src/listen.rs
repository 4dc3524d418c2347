//! The public listener: bound early, so that a taken port is known before anything is touched.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::stop::Stop;

/// How long requests that are on their way may take to finish after a stop.
const FINISH: Duration = Duration::from_secs(10);

/// One or two bound sockets.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Exactly this address.
    ///
    /// # Errors
    /// When it is taken or cannot be used.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let socket = TcpListener::bind(address)
            .await
            .map_err(|error| refused(address, &error))?;
        let address = socket
            .local_addr()
            .map_err(|error| refused(address, &error))?;
        Ok(Self {
            address,
            sockets: vec![socket],
        })
    }

    /// The loopback in both families: `localhost` may mean either. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the port is taken in either family: behind one name there would be two programs.
    pub async fn loopback(port: u16) -> Result<Self> {
        let mut both = Self::bind((Ipv4Addr::LOCALHOST, port).into()).await?;
        let second = SocketAddr::from((Ipv6Addr::LOCALHOST, both.address.port()));
        match TcpListener::bind(second).await {
            Ok(socket) => both.sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(refused(second, &error));
            }
            // A machine without IPv6.
            Err(error) => tracing::debug!(%error, "not listening on IPv6"),
        }
        Ok(both)
    }

    /// The first address, with the port that was really taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop; then accepts nobody and lets requests finish, within bounds.
    pub async fn serve(self, service: &Router, stop: &Stop) {
        let mut serving = JoinSet::new();
        for socket in self.sockets {
            // Small answers must not wait for the client's delayed acknowledgement.
            let socket = socket.tap_io(|stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::trace!(%error, "TCP_NODELAY was not set");
                }
            });
            let service = service
                .clone()
                .into_make_service_with_connect_info::<SocketAddr>();
            let stop = stop.clone();
            serving.spawn(
                axum::serve(socket, service)
                    .with_graceful_shutdown(async move { stop.told().await })
                    .into_future(),
            );
        }
        stop.told().await;
        let finished = async { while serving.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH, finished).await.is_err() {
            tracing::warn!(
                seconds = FINISH.as_secs(),
                "requests were cut off: they did not finish in time"
            );
        }
    }
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::new(Exit::Conflict, format!("port {} is taken on {}", address.port(), address.ip()))
                .next("stop the program that has it, or choose another: --port for `dev`, --listen for `serve`")
        }
        io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::NotAllowed, format!("{address} may not be listened on: {error}"))
                .next("choose a port of 1024 or above")
        }
        _ => Failure::new(Exit::Failed, format!("{address} cannot be listened on: {}", chain(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_a_conflict_that_says_what_to_do() {
        let first = Listeners::loopback(0).await.expect("a free port");
        let failure = Listeners::loopback(first.address().port())
            .await
            .expect_err("taken");
        assert_eq!(failure.exit(), Exit::Conflict);
        assert!(failure.text().contains("is taken") && failure.text().contains("--port"));
    }
}
