//! The right to drive one operation, renewed while it is driven.

use std::time::Duration;

use sqlx::PgPool;
use tenantry_catalog::operations;
use tenantry_types::OperationId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::step::StepError;

/// A lease on an operation. While it lives a task renews it; [`Lease::lost`] fires when somebody
/// else took it, or when it may have ended because the catalog could not be reached.
#[derive(Debug)]
pub struct Lease {
    catalog: PgPool,
    operation: OperationId,
    fence: i64,
    ttl: Duration,
    lost: CancellationToken,
    stop: CancellationToken,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Lease {
    /// Keeps a lease that was just taken with this fence.
    #[must_use]
    pub fn keep(catalog: PgPool, operation: OperationId, fence: i64, ttl: Duration) -> Self {
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(renew_until_stopped(
            catalog.clone(),
            operation,
            fence,
            ttl,
            lost.clone(),
            stop.clone(),
        ));
        Self {
            catalog,
            operation,
            fence,
            ttl,
            lost,
            stop,
        }
    }

    /// The operation that is held.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        self.operation
    }

    /// The number that every write of this holder carries.
    #[must_use]
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Ends when the lease is, or may be, somebody else's.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Asks the catalog whether the lease still is ours, and renews it.
    ///
    /// A session that was opened is used only after this: whoever takes the lease over first ends
    /// the sessions of the former holder, so one opened before is gone and one opened after fails here.
    ///
    /// # Errors
    /// [`StepError::Interrupted`] when it is not ours any more or the catalog cannot tell.
    pub async fn assert_held(&self) -> Result<(), StepError> {
        let mut conn = self.catalog.acquire().await?;
        if operations::renew(&mut conn, self.operation, self.fence, self.ttl).await? {
            Ok(())
        } else {
            self.lost.cancel();
            Err(StepError::Interrupted(None))
        }
    }

    /// Hands the operation back, to be taken up again after `delay`.
    pub async fn give_back(&self, delay: Duration) {
        self.stop.cancel();
        let Ok(mut conn) = self.catalog.acquire().await else {
            return;
        };
        if let Err(error) = operations::renew(&mut conn, self.operation, self.fence, delay).await {
            tracing::warn!(operation = %self.operation, %error, "could not hand an operation back; its lease will end by itself");
        }
    }
}

async fn renew_until_stopped(
    catalog: PgPool,
    operation: OperationId,
    fence: i64,
    ttl: Duration,
    lost: CancellationToken,
    stop: CancellationToken,
) {
    let mut held_until = Instant::now() + ttl;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ttl / 4) => {}
        }
        // Counted from before the question is sent: the catalog's clock started no earlier.
        let asked = Instant::now();
        let renewed = tokio::time::timeout(ttl / 2, async {
            let mut conn = catalog.acquire().await?;
            Ok::<_, StepError>(operations::renew(&mut conn, operation, fence, ttl).await?)
        })
        .await;
        match renewed {
            Ok(Ok(true)) => held_until = asked + ttl,
            Ok(Ok(false)) => return lost.cancel(),
            Ok(Err(_)) | Err(_) if Instant::now() >= held_until - ttl / 4 => return lost.cancel(),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
