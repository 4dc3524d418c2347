//! Waiting for what happens in the background.

use std::time::{Duration, Instant};

/// No bound is below this: it keeps a test from hanging, and says nothing of how long a thing may take on a machine
/// that does other things as well.
const LEAST: Duration = Duration::from_secs(60);

/// Asks again until the answer is yes.
///
/// # Panics
/// When it is still no after `bound`, or after a minute where that is less.
pub(crate) async fn until(bound: Duration, what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let bound = bound.max(LEAST);
    let end = Instant::now() + bound;
    while !ask().await {
        assert!(Instant::now() < end, "after {bound:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
