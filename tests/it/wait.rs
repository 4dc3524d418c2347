//! Waiting for what happens in the background.

use std::time::{Duration, Instant};

/// Asks again until the answer is yes.
///
/// # Panics
/// When it is still no after `bound`.
pub(crate) async fn until(bound: Duration, what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + bound;
    while !ask().await {
        assert!(Instant::now() < end, "after {bound:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
