//! Keeps the directory true: compares each tenant's rows with the addresses in its own database.
//!
//! Whoever adds a person writes the row as well, so most comparisons find nothing to do. They are for
//! what no writer sees: tenants from before there was a directory, another directory key, people whom
//! the product added by itself, and rows of people who are gone.
//!
//! Takes no input, may run in any number of processes and be cut off anywhere: a tenant is leased by
//! the moment at which it is due next. A tenant that cannot be read stops no other.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tenantry_catalog::CatalogError;
use tenantry_catalog::directory::{self, AddressHash, Due};
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{AcquireError, ResolveError};
use tenantry_tenantdb::{TenantDbError, users};
use tenantry_types::{Email, ErrorKind};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::deps::Deps;
use crate::engine::chain_of;
use crate::error::StartError;

/// How often to look which tenants are due.
const EVERY: Duration = Duration::from_secs(5);
/// How often to look whether another key is in use now: that reads the whole list of tenants.
const KEY_EVERY: Duration = Duration::from_secs(300);
/// How many tenants to lease at a time, and how many of them to open at once: few, because nobody
/// waits for this.
const BATCH: u32 = 20;
const AT_ONCE: usize = 2;
/// How long a tenant is left alone by others, or after a failure.
const LEASE: Duration = Duration::from_secs(120);
/// How long until a tenant is compared again.
pub(crate) const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// How many addresses are read at a time.
const PAGE: u32 = 1000;

/// Why a tenant was not compared.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error("the tenant is not served now")]
    Resolve(#[from] ResolveError),
    #[error("the tenant's database could not be opened")]
    Acquire(#[from] AcquireError),
    #[error("the addresses could not be read")]
    Read(#[from] TenantDbError),
    #[error("the directory could not be written")]
    Write(#[from] CatalogError),
}

impl From<sqlx::Error> for CompareError {
    fn from(error: sqlx::Error) -> Self {
        Self::Write(error.into())
    }
}

pub(crate) async fn run(life: Lifecycle) {
    let mut key_looked_at = None;
    loop {
        let more = look(&life, &mut key_looked_at).await;
        let more = more.unwrap_or_else(|error| {
            tracing::debug!(%error, "the directory could not be compared; trying again");
            false
        });
        if life.0.stopping.is_cancelled() {
            return;
        }
        if !more {
            tokio::select! {
                () = life.0.stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}

/// The directory's hash of a new tenant's first person, where it has one.
pub(crate) fn hash_of(deps: &Deps, email: Option<&str>) -> Option<AddressHash> {
    // It was checked when the operation began.
    let email = email.and_then(|text| Email::parse(text).ok())?;
    Some(deps.directory.hash(&email))
}

/// Compares a batch of tenants that are due; says whether there may be more.
async fn look(life: &Lifecycle, key_looked_at: &mut Option<Instant>) -> Result<bool, StartError> {
    let deps = life.deps();
    let Some(_at_work) = life.at_work("directory") else {
        return Ok(false);
    };
    let mut conn = deps.catalog.acquire().await?;
    if key_looked_at.is_none_or(|at| at.elapsed() >= KEY_EVERY) {
        directory::make_due(&mut conn, deps.directory.name()).await?;
        *key_looked_at = Some(Instant::now());
    }
    let due = directory::claim_due(&mut conn, BATCH, LEASE).await?;
    let first = due.iter().filter(|due| due.first).count();
    if first > 0 {
        life.audit(
            &mut conn,
            &Asker::product("directory"),
            "directory.fill",
            None,
            Some("list who can sign in to tenants that were not listed with this key"),
            json!({ "tenants": first }),
        )
        .await?;
    }
    drop(conn);
    let more = due.len() == BATCH as usize;
    futures::stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |due| {
            // What is left is due again when its lease ends.
            if !life.0.gate.is_open() {
                return;
            }
            let compared = tokio::select! {
                () = life.0.stopping.cancelled() => return,
                compared = compare(deps, &due) => compared,
            };
            match compared {
                Ok(()) => {}
                // It is not served now, and offered to nobody.
                Err(CompareError::Resolve(error)) if error.kind() != ErrorKind::Unavailable => {}
                Err(error) => {
                    tracing::warn!(
                        tenant = %due.tenant_id,
                        error = %chain_of(&error),
                        "a tenant's people could not be compared with the directory; trying again"
                    );
                }
            }
        })
        .await;
    Ok(more)
}

/// Lists all addresses of a tenant, then drops what nobody confirmed.
async fn compare(deps: &Deps, due: &Due) -> Result<(), CompareError> {
    let key = deps.directory.name();
    let tenant = TenantRef::Id(due.tenant_id);
    let route = deps.router.resolve_tenant(&tenant).await?;
    let mut after = None;
    loop {
        // Given back between two pages: a deletion of the tenant does not wait for the catalog.
        let mut conn = deps.router.acquire(&route).await?;
        let (addresses, next) = users::addresses(&mut conn, PAGE, after).await?;
        conn.release();
        let hashes: Vec<AddressHash> = addresses
            .iter()
            .map(|email| deps.directory.hash(email))
            .collect();
        let mut catalog = deps.catalog.acquire().await?;
        directory::put(&mut catalog, due.tenant_id, key, &hashes).await?;
        if next.is_none() {
            directory::set_compared(&mut catalog, due, key, AGAIN).await?;
            return Ok(());
        }
        after = next;
    }
}
