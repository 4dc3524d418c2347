//! Waiting until the routers have followed a change.

use std::time::Duration;

use tenantry_catalog::{change_log, routers};
use tokio::time::Instant;

use crate::Lifecycle;
use crate::engine::{Failure, StepError};
use crate::error::StartError;

/// How long routers may take to let a tenant go before the operation says so and tries again.
const ROUTERS_HAVE: Duration = Duration::from_secs(30);
/// Between two looks, at first and at last. Mostly they are done in a few milliseconds, and somebody waits.
const SOON: Duration = Duration::from_millis(2);
const LATER: Duration = Duration::from_millis(100);

impl Lifecycle {
    /// Waits until every router applied all changes up to now, or lost its lease. A router without
    /// a lease hands out nothing before it has caught up.
    ///
    /// # Errors
    /// [`StartError::RoutersBehind`] when some have not in time, or when the catalog does not answer.
    pub(crate) async fn followed(&self) -> Result<(), StartError> {
        let deps = self.deps();
        let mut conn = deps.catalog.acquire().await?;
        let number = change_log::current(&mut conn).await?;
        drop(conn);
        let deadline = Instant::now() + ROUTERS_HAVE;
        let mut pause = SOON;
        loop {
            let mut conn = deps.catalog.acquire().await?;
            let behind = routers::behind(&mut conn, number).await?;
            drop(conn);
            if behind.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                tracing::warn!(
                    number,
                    routers = behind.len(),
                    "some routers have not followed a change"
                );
                return Err(StartError::RoutersBehind);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LATER);
        }
    }

    /// [`Lifecycle::followed`], as a step of an operation, which goes on later.
    pub(crate) async fn routers_applied(&self) -> Result<(), StepError> {
        self.followed().await.map_err(|error| match error {
            StartError::Catalog(error) => error.into(),
            error => Failure {
                code: error.code().to_owned(),
                message: "Some routers have not let the tenant go yet; the operation goes on."
                    .to_owned(),
                retryable: true,
                cause: error.to_string(),
            }
            .into(),
        })
    }
}
