//! Being told to stop: Ctrl-C, SIGTERM or a closed terminal once is a request, twice is an order.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Result};

/// What a shell reports for a program that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Fires when the program is told to stop.
#[derive(Clone)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn on_signals() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::because("signals cannot be listened for", &error))
        };
        let signals = Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            // The terminal was closed: what we started must not be left behind.
            hangup: listen(SignalKind::hangup())?,
        };
        let stop = Self(CancellationToken::new());
        tokio::spawn(wait(signals, stop.0.clone()));
        Ok(stop)
    }

    /// One that does not fire by itself, but by [`Stop::tell`].
    pub fn never() -> Self {
        Self(CancellationToken::new())
    }

    /// Fires it.
    pub fn tell(&self) {
        self.0.cancel();
    }

    /// Waits until it fires.
    pub async fn told(&self) {
        self.0.cancelled().await;
    }

    /// Does something that takes a while, unless it is told to stop meanwhile.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

async fn wait(mut signals: Signals, stop: CancellationToken) {
    signals.next().await;
    tracing::info!("stopping; once more ends at once");
    stop.cancel();
    signals.next().await;
    std::process::exit(INTERRUPTED);
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
