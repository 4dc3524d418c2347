//! Being told to stop: Ctrl-C or SIGTERM once is a request, twice is an order.

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
        let signals = (
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        );
        let stop = Self(CancellationToken::new());
        tokio::spawn(wait(signals, stop.0.clone()));
        Ok(stop)
    }

    /// One that does not fire by itself.
    #[cfg(test)]
    pub fn never() -> Self {
        Self(CancellationToken::new())
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

async fn wait((mut interrupt, mut terminate): (Signal, Signal), stop: CancellationToken) {
    next(&mut interrupt, &mut terminate).await;
    tracing::info!("stopping; once more ends at once");
    stop.cancel();
    next(&mut interrupt, &mut terminate).await;
    std::process::exit(INTERRUPTED);
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
