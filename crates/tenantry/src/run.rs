//! The running program, the same for `dev` and `serve`, and its end in order.

use crate::compose::Composed;
use crate::failure::Result;
use crate::listen::Listeners;
use crate::stop::Stop;

/// Serves until told to stop, then ends everything that was composed: requests, workers, pools.
///
/// # Errors
/// None today; the signature lets `dev` and `serve` end alike.
pub async fn until_stopped(composed: Composed, listeners: Listeners, stop: &Stop) -> Result<()> {
    composed.start();
    listeners.serve(composed.service(), stop).await;
    composed.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}
