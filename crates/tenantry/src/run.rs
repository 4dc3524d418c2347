//! The running program, the same for `dev` and `serve`, and its end in order.

use crate::compose::Composed;
use crate::failure::Result;
use crate::internal::Internal;
use crate::listen::Listeners;
use crate::stop::Stop;

/// Serves until told to stop, then ends everything that was composed: requests, workers, pools. The
/// internal listener goes last, so that the end can be watched.
///
/// # Errors
/// None today; the signature lets `dev` and `serve` end alike.
pub async fn until_stopped(
    composed: Composed,
    listeners: Listeners,
    internal: Option<Internal>,
    stop: &Stop,
) -> Result<()> {
    let over = Stop::never();
    let watched = internal.map(|internal| {
        let service = composed.internal(&internal.metrics);
        tokio::spawn(composed.readings().keep_names());
        tokio::spawn(internal.serve(service, over.clone()))
    });
    composed.start();
    listeners.serve(composed.service(), stop).await;
    composed.shutdown().await;
    over.tell();
    if let Some(watched) = watched {
        // A scrape under way is answered; one that hangs is not waited for.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), watched).await;
    }
    tracing::info!("stopped");
    Ok(())
}
