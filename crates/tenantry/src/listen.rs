//! The public listener: bound early, so that a taken port is known before anything is touched.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::stop::Stop;

/// How long requests that are on their way may take to finish after a stop.
const FINISH: Duration = Duration::from_secs(10);

/// How long a connection may take over the head of its next request, its idle time included; above
/// the 60 s for which proxies commonly keep an idle connection, so that it is they who close it.
const HEAD: Duration = Duration::from_secs(65);

/// One or two bound sockets.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Exactly this address; `setting` is what chose it, for the message.
    ///
    /// # Errors
    /// When it is taken or cannot be used.
    pub async fn bind(address: SocketAddr, setting: &str) -> Result<Self> {
        let socket = TcpListener::bind(address)
            .await
            .map_err(|error| refused(address, setting, &error))?;
        let address = socket
            .local_addr()
            .map_err(|error| refused(address, setting, &error))?;
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
        let mut both = Self::bind((Ipv4Addr::LOCALHOST, port).into(), "--port").await?;
        let second = SocketAddr::from((Ipv6Addr::LOCALHOST, both.address.port()));
        match TcpListener::bind(second).await {
            Ok(socket) => both.sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(refused(second, "--port", &error));
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
            serving.spawn(serve(socket, service.clone(), stop.clone(), HEAD));
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

/// What `axum::serve` does, which has no limit on the time for a head.
async fn serve(mut socket: TcpListener, service: Router, stop: Stop, head: Duration) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let open = GracefulShutdown::new();
    // `Listener::accept` waits a while when there are no more file descriptors.
    while let Some((stream, client)) = stop.unless(Listener::accept(&mut socket)).await {
        without_delay(&stream);
        let service = service.clone().layer(Extension(ConnectInfo(client)));
        let service = TowerToHyperService::new(service);
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection ended early");
            }
        });
    }
    drop(socket);
    open.shutdown().await;
}

/// Small answers must not wait for the client's delayed acknowledgement.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "TCP_NODELAY was not set");
    }
}

fn refused(address: SocketAddr, setting: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(
            Exit::Conflict,
            format!("port {} is taken on {}", address.port(), address.ip()),
        )
        .next(format!(
            "stop the program that has it, or choose another with {setting}"
        )),
        io::ErrorKind::PermissionDenied => Failure::new(
            Exit::NotAllowed,
            format!("{address} may not be listened on: {error}"),
        )
        .next("choose a port of 1024 or above"),
        _ => Failure::new(
            Exit::Failed,
            format!("{address} cannot be listened on: {}", chain(error)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
    #[tokio::test]
    async fn the_head_of_a_request_has_a_time_and_the_client_is_known() {
        let service = Router::new()
            .fallback(async |ConnectInfo(client): ConnectInfo<SocketAddr>| client.to_string());
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let serving = serve(socket, service, Stop::never(), Duration::from_millis(200));
        let serving = tokio::spawn(serving);
        let ask = async |head: &str| {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(head.as_bytes()).await.expect("written");
            let mut answer = String::new();
            let reading = stream.read_to_string(&mut answer);
            let end = tokio::time::timeout(Duration::from_secs(5), reading).await;
            end.expect("closed in time").expect("read");
            (answer, stream.local_addr().expect("an address").to_string())
        };
        let (answer, client) = ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&client),
            "{answer}"
        );
        let (answer, _) = ask("GET / HTTP/1.1\r\nHost: a\r\nX-Slow").await;
        assert!(!answer.contains("200"), "{answer}");
        serving.abort();
    }
}
