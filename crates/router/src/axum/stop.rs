//! When a server is asked to end.

use tokio::signal::unix::{SignalKind, signal};

/// Comes when the process is asked to end, by SIGTERM as service managers and containers do it, or by
/// Ctrl-C: for `axum::serve(…).with_graceful_shutdown(stop_signal())`. [`Router::shutdown`] follows when
/// that has returned.
///
/// [`Router::shutdown`]: crate::Router::shutdown
pub async fn stop_signal() {
    let asked = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // The system then ends the process by itself, as if nobody had asked for the signal.
        Err(error) => {
            tracing::warn!(%error, "a signal cannot be waited for");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = asked(SignalKind::terminate()) => {}
        () = asked(SignalKind::interrupt()) => {}
    }
}
