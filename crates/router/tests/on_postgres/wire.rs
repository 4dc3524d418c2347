//! A network in between that a test can cut or silence, and that counts what is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What is sent arrives.
    Open,
    /// Connections are taken and nothing passes; what waits passes when it is opened again.
    Silent,
    /// Connections are ended, and new ones too.
    Cut,
}

pub struct Wire {
    pub port: u16,
    mode: watch::Sender<Mode>,
    /// How often everything that was open was stranded.
    strandings: watch::Sender<u64>,
    sent: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
}

impl Wire {
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let mode = watch::Sender::new(Mode::Open);
        let strandings = watch::Sender::new(0);
        let strand = strandings.subscribe();
        let sent = Arc::new(AtomicU64::new(0));
        let taken = Arc::new(AtomicU64::new(0));
        let (modes, count, connections) = (mode.subscribe(), Arc::clone(&sent), Arc::clone(&taken));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                if *modes.borrow() == Mode::Cut || modes.has_changed().is_err() {
                    continue;
                }
                let (modes, strand) = (modes.clone(), strand.clone());
                tokio::spawn(pass(client, target, modes, strand, Arc::clone(&count)));
            }
        });
        Self {
            port,
            mode,
            strandings,
            sent,
            taken,
        }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Nothing passes any more on connections that are open now, for ever, and neither end hears of the
    /// other's: as when a firewall forgets them. New ones pass.
    pub fn strand(&self) {
        self.strandings.send_modify(|times| *times += 1);
    }

    /// Connections that clients have made.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Bytes that clients have sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn pass(
    client: TcpStream,
    target: u16,
    mode: watch::Receiver<Mode>,
    mut strandings: watch::Receiver<u64>,
    sent: Arc<AtomicU64>,
) {
    let before = *strandings.borrow();
    let mut open = mode.clone();
    if open.wait_for(|mode| *mode != Mode::Silent).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut cut = mode.clone();
    let (up, down) = (mode.clone(), mode);
    let stranded = tokio::select! {
        biased;
        Ok(_) = strandings.wait_for(|times| *times > before) => true,
        () = copy(&mut from_client, &mut to_server, up, Some(sent)) => false,
        () = copy(&mut from_server, &mut to_client, down, None) => false,
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => false,
    };
    if stranded {
        // Both ends stay open.
        std::future::pending::<()>().await;
    }
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut mode: watch::Receiver<Mode>,
    count: Option<Arc<AtomicU64>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if let Some(count) = &count {
            count.fetch_add(u64::try_from(read).expect("small"), Ordering::Relaxed);
        }
        if mode.wait_for(|mode| *mode != Mode::Silent).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
