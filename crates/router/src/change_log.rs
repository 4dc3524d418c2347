//! Following the change log: forget, drain, acknowledge; for a cluster's budget, ask for the share.
//!
//! A notification is a hint to read now; the reading is what counts. It happens on every hint, at
//! least once per `poll`, and after every reconnect of the listener, which loses messages silently.
//! How soon it reconnects has nothing to do with the poll, which may be rare because it listens.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tenantry_catalog::CatalogError;
use tenantry_catalog::change_log::{self, About, BUDGET_CHANNEL, CHANNEL, Change, Kind};
use tenantry_types::{RouterId, TenantId};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::failures::Failures;
use crate::places::{Drain, Scope};
use crate::progress::Progress;
use crate::shares::Shares;

/// Rows read at a time.
const BATCH: u32 = 500;
/// How long after the listener's end it listens again.
const RECONNECT: Duration = Duration::from_millis(250);
/// How long one reading may take.
const BOUND: Duration = Duration::from_secs(5);

/// The change log as this router follows it.
pub(crate) struct ChangeLog {
    catalog: PgPool,
    cache: Arc<Cache>,
    failures: Arc<Failures>,
    progress: Arc<Progress>,
    shares: Arc<Shares>,
    /// Who this is.
    id: RouterId,
    /// One reader at a time, so that rows are applied in order.
    reading: Mutex<()>,
    /// There may be something to read.
    pub(crate) hint: Notify,
    /// When it was last read to its end.
    read_at: std::sync::Mutex<Instant>,
}

impl ChangeLog {
    pub(crate) fn new(
        catalog: PgPool,
        cache: Arc<Cache>,
        failures: Arc<Failures>,
        progress: Arc<Progress>,
        shares: Arc<Shares>,
        id: RouterId,
    ) -> Self {
        Self {
            catalog,
            cache,
            failures,
            progress,
            shares,
            id,
            reading: Mutex::new(()),
            hint: Notify::new(),
            read_at: std::sync::Mutex::new(Instant::now()),
        }
    }

    /// Applies every row that was committed before the call.
    pub(crate) async fn catch_up(&self) -> Result<(), CatalogError> {
        let _one = self.reading.lock().await;
        let begun = Instant::now();
        self.read_to_end().await?;
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = begun;
        Ok(())
    }

    /// How long ago it was last read to its end.
    pub(crate) fn behind(&self) -> Duration {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        read_at.elapsed()
    }

    async fn read_to_end(&self) -> Result<(), CatalogError> {
        loop {
            let from = self.progress.applied();
            let rows = timeout(BOUND, self.read(from))
                .await
                .map_err(|_| CatalogError::Unavailable(sqlx::Error::PoolTimedOut))??;
            let Some(first) = rows.first() else {
                return Ok(());
            };
            if first.number > from + 1 {
                self.lost(first.number - 1);
            }
            self.apply(&rows).await?;
            if rows.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    /// Reads on every hint, and at least once per `poll`.
    pub(crate) async fn follow(self: Arc<Self>, poll: Duration, stop: CancellationToken) {
        let mut failing = false;
        while !stop.is_cancelled() {
            // What is applied is applied to its end: stopping in between would lose a drain.
            match self.catch_up().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the change log cannot be read"
                    );
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.hint.notified() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }

    /// Turns notifications into hints.
    pub(crate) async fn listen(self: Arc<Self>, stop: CancellationToken) {
        let listening = async {
            loop {
                // Whatever ended it, something may have been missed before and after.
                let _ = self.listen_once().await;
                self.hint.notify_one();
                tokio::time::sleep(RECONNECT).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listening => {}
        }
    }

    async fn listen_once(&self) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.catalog).await?;
        listener.eager_reconnect(false);
        listener.listen_all([CHANNEL, BUDGET_CHANNEL]).await?;
        self.hint.notify_one();
        let me = self.id.to_string();
        while let Some(told) = listener.try_recv().await? {
            if told.channel() == CHANNEL {
                self.hint.notify_one();
            } else if told.payload() == me {
                self.shares.offered.notify_one();
            }
        }
        Ok(())
    }

    async fn read(&self, from: i64) -> Result<Vec<Change>, CatalogError> {
        let mut conn = self.catalog.acquire().await?;
        change_log::after(&mut conn, from, BATCH).await
    }

    async fn apply(&self, rows: &[Change]) -> Result<(), CatalogError> {
        // All are noted before anything is removed: from here on nothing older is used, also of
        // the last of them, however long a removal has to wait for a load in flight.
        for row in rows {
            if let About::Tenant(tenant, kind) = row.about {
                let names = matches!(kind, Kind::Created | Kind::Updated | Kind::Restored);
                self.cache.versions.note(tenant, row.number, names);
            }
        }
        // What is asked now knows of all rows, which were committed before they were read.
        let clusters = rows.iter().filter_map(|row| match row.about {
            About::Budget(cluster) => Some(cluster),
            About::Tenant(..) => None,
        });
        let mut asked = false;
        for row in rows {
            match row.about {
                About::Tenant(tenant, kind) => {
                    self.cache.forget(tenant, row.number).await;
                    self.failures.forget(tenant);
                    self.settle(tenant, kind, row.number).await;
                }
                // Acknowledged when the limit is what the catalog says now. What is open beyond it
                // is given back in its own time, and nobody waits for that here.
                About::Budget(_) if !asked => {
                    let these = Scope::These(clusters.clone().collect());
                    let exchange = self.shares.exchange(self.progress.acked(), these);
                    timeout(BOUND, exchange)
                        .await
                        .map_err(|_| CatalogError::Unavailable(sqlx::Error::PoolTimedOut))??
                        .settled()?;
                    asked = true;
                }
                About::Budget(_) => {}
            }
            self.progress.advance(row.number);
        }
        Ok(())
    }

    /// Decides what becomes of the tenant's open connections.
    async fn settle(&self, tenant: TenantId, kind: Kind, number: i64) {
        let places = &self.cache.places;
        let Some(living) = places.living(tenant) else {
            return;
        };
        // Born later: its connections know of the change already. Ending: it drains already.
        if living.born_at >= number || living.is_ending() {
            return;
        }
        match kind {
            Kind::Budget => {}
            Kind::Migrated | Kind::Rotated if living.is_retired() => {}
            Kind::Migrated | Kind::Rotated => places.drain(&living, Drain::Soft),
            Kind::Fenced | Kind::Purged | Kind::Disconnect => places.drain(&living, Drain::Cut),
            Kind::Created | Kind::Updated | Kind::Restored => {
                // A new name or plan is no reason to end anything; a new place is.
                let now = match self.cache.by_id(tenant).await {
                    Ok(Some(entry)) if entry.is_served() => entry.generation.clone(),
                    Ok(_) | Err(_) => None,
                };
                let how = match now {
                    Some(now) if now.id == living.id => return,
                    Some(now) => Drain::of(&living, &now),
                    None => Drain::Cut,
                };
                if !living.is_ending() {
                    places.drain(&living, how);
                }
            }
        }
    }

    /// Rows up to `number` were pruned unseen: they may have been about anybody.
    fn lost(&self, number: i64) {
        tracing::warn!(
            from = self.progress.applied(),
            to = number,
            "rows of the change log were pruned before this router saw them: it forgets everything"
        );
        self.cache.versions.forget_before(number);
        self.cache.clear();
        for living in self.cache.places.all_living() {
            if living.born_at < number {
                self.cache.places.drain(&living, Drain::Cut);
            }
        }
        self.progress.advance(number);
    }
}
