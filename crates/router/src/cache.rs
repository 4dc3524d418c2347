//! What this router remembers: which name leads to which tenant, and where each tenant is.
//!
//! Keys are loaded and removed through moka's `and_try_compute_with` / `and_compute_with` and
//! nothing else, on the key: `invalidate`, `try_get_with` and `and_compute_with` do not exclude one
//! another, so that a plain removal could overtake a load in flight, whose result would then be
//! stored after it. Why nothing stale is used even so is argued in [`crate::versions`].
//!
//! A change row names a tenant and no host. Names that lead to a tenant are therefore checked
//! against that tenant's version on each use. Names that led nowhere are used for a short time, and
//! not at all once any row was applied that may have given a name to a tenant.
//!
//! A name also keeps the entry it led to last, so that a warm request costs one look and not two.
//! That is a shortcut and no second truth: such an entry passes the same checks on each use as one
//! from the tenants' cache, and one that does not pass is taken from there.
//!
//! Nothing here decides what may be served.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use moka::future::Cache as Moka;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use tenantry_catalog::routes::Route as Row;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{Alias, Slug, TenantId};
use tokio::time::Instant;

use crate::config::Config;
use crate::entry::{Entry, renew_at};
use crate::host::HostName;
use crate::meters::{Resolution, Resolutions};
use crate::places::Places;
use crate::source::{Name, Source, Unavailable};
use crate::versions::Versions;

/// How often a load is repeated when changes overtake it, before it is given up as unavailable.
const OVERTAKEN: usize = 8;

/// The caches of a router.
pub(crate) struct Cache {
    pub(crate) versions: Versions,
    pub(crate) places: Places,
    tenants: Moka<TenantId, Arc<Entry>>,
    /// Ids that belong to no tenant.
    strangers: Moka<TenantId, i64>,
    hosts: Names<HostName>,
    slugs: Names<Slug>,
    aliases: Names<Alias>,
    source: Source,
    config: Arc<Config>,
    resolutions: Resolutions,
}

/// Names of one sort.
struct Names<K> {
    known: Moka<K, Named>,
    /// Names that led nowhere, and the change number at which that was so. A cache of its own, so
    /// that a flood of made-up names pushes out no real one.
    absent: Moka<K, i64>,
}

#[derive(Clone, Debug)]
struct Named {
    tenant: TenantId,
    read_at: i64,
    renew_at: Instant,
    /// The tenant's entry as it was when somebody last needed a newer one.
    entry: Option<Arc<Entry>>,
    /// It is a former name, which leads to the tenant's present one. Due to be read again, at the
    /// latest, when it no longer does.
    former: bool,
}

/// A tenant, and by what kind of name it was found.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) entry: Arc<Entry>,
    /// The name is a former one of the tenant: nothing is served at it.
    pub(crate) former: bool,
}

/// What a name led to when it was looked for.
enum Found {
    /// A tenant whose entry is at hand and may be used.
    Entry(Hit),
    /// A tenant, and whether the name is a former one of it.
    Tenant(TenantId, bool),
    Nowhere,
}

/// Who had to be asked for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Memory,
    Catalog,
}

/// An answer and who had to be asked for it.
type Seen<T = Hit> = (Option<T>, Asked);

impl Cache {
    pub(crate) fn new(
        config: Arc<Config>,
        source: Source,
        places: Places,
        versions: Versions,
    ) -> Self {
        // Entries outlive their own time by `away`: they are what is served without the catalog.
        let ttl = config.cache_ttl + config.away;
        let tenants = lru(config.cache_capacity, ttl);
        let strangers = lru(config.negative_capacity, config.negative_ttl);
        Self {
            versions,
            places,
            tenants,
            strangers,
            hosts: Names::new(&config),
            slugs: Names::new(&config),
            aliases: Names::new(&config),
            source,
            config,
            resolutions: Resolutions::new(),
        }
    }

    /// The tenant at a host name. `now` is when the caller began: it decides what is due to be read
    /// again, in minutes, so that waits in between do not matter.
    pub(crate) async fn by_host(
        &self,
        host: &HostName,
        now: Instant,
    ) -> Result<Option<Hit>, Unavailable> {
        let name = match host {
            HostName::Subdomain(slug) => Name::Domain(slug.as_str()),
            HostName::Custom(domain) => Name::Domain(domain.as_str()),
            HostName::Base | HostName::Unknown => return Ok(None),
        };
        self.named(&self.hosts, host, name, now).await
    }

    /// The tenant of an id or slug.
    pub(crate) async fn by_ref(
        &self,
        tenant: &TenantRef,
        now: Instant,
    ) -> Result<Option<Arc<Entry>>, Unavailable> {
        match tenant {
            TenantRef::Id(id) => self.counted(self.find(*id, now).await),
            TenantRef::Slug(slug) => {
                let hit = self.named(&self.slugs, slug, Name::Slug(slug), now).await?;
                Ok(hit.map(|hit| hit.entry))
            }
        }
    }

    /// The tenant of an alias.
    pub(crate) async fn by_alias(
        &self,
        alias: &Alias,
        now: Instant,
    ) -> Result<Option<Arc<Entry>>, Unavailable> {
        let name = Name::Alias(alias);
        let hit = self.named(&self.aliases, alias, name, now).await?;
        Ok(hit.map(|hit| hit.entry))
    }

    /// The tenant of an id.
    pub(crate) async fn by_id(&self, tenant: TenantId) -> Result<Option<Arc<Entry>>, Unavailable> {
        Ok(self.find(tenant, Instant::now()).await?.0)
    }

    /// What is remembered of a tenant and would be used, without a look anywhere else.
    pub(crate) async fn peek(&self, tenant: TenantId) -> Option<Arc<Entry>> {
        let entry = self.tenants.get(&tenant).await?;
        self.is_usable(&entry, Instant::now()).then_some(entry)
    }

    /// The tenant of an id, and whether the catalog had to be asked.
    async fn find(&self, tenant: TenantId, now: Instant) -> Result<Seen<Arc<Entry>>, Unavailable> {
        if let Some(entry) = self.tenants.get(&tenant).await
            && self.is_usable(&entry, now)
        {
            return Ok((Some(entry), Asked::Memory));
        }
        if self.is_stranger(tenant).await {
            return Ok((None, Asked::Memory));
        }
        Ok((self.load(tenant, None).boxed().await?, Asked::Catalog))
    }

    /// Counts how somebody who asked was answered.
    fn counted<T>(&self, seen: Result<Seen<T>, Unavailable>) -> Result<Option<T>, Unavailable> {
        self.resolutions.count(match &seen {
            Ok((Some(_), Asked::Memory)) => Resolution::Hit,
            Ok((None, Asked::Memory)) => Resolution::Negative,
            Ok((_, Asked::Catalog)) => Resolution::Miss,
            Err(Unavailable) => Resolution::Error,
        });
        seen.map(|(found, _)| found)
    }

    /// Reads a tenant anew, whatever is remembered of it.
    pub(crate) async fn reload(&self, tenant: TenantId) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.forget(tenant, i64::MAX).await;
        self.load(tenant, None).await
    }

    /// Forgets what was read of a tenant before `number`, waiting for a load in flight.
    pub(crate) async fn forget(&self, tenant: TenantId, number: i64) {
        self.tenants
            .entry(tenant)
            .and_compute_with(|entry| {
                let stale = entry.is_some_and(|entry| {
                    let entry = entry.value();
                    entry.read_at < number
                        || entry
                            .generation
                            .as_ref()
                            .is_some_and(|g| g.born_at < number)
                });
                std::future::ready(if stale { Op::Remove } else { Op::Nop })
            })
            .await;
    }

    /// How many tenants are remembered, about.
    pub(crate) fn len(&self) -> u64 {
        self.tenants.entry_count()
    }

    /// Lets go of the memory after rows of the log were lost. That nothing of it is used is the
    /// floor's doing, not this one's, which does not wait for loads in flight.
    pub(crate) fn clear(&self) {
        self.tenants.invalidate_all();
        self.strangers.invalidate_all();
        self.hosts.clear();
        self.slugs.clear();
        self.aliases.clear();
    }

    /// The tenant of a name. What is known and current is answered here, with one look; all else, whose
    /// future is some kilobytes large, is no part of a warm request's.
    async fn named<K: Hash + Eq + Clone + Send + Sync + 'static>(
        &self,
        names: &Names<K>,
        key: &K,
        name: Name<'_>,
        now: Instant,
    ) -> Result<Option<Hit>, Unavailable> {
        if let Some(named) = names.known.get(key).await
            && let Some(Found::Entry(hit)) = self.led_to(named, now)
        {
            self.resolutions.count(Resolution::Hit);
            return Ok(Some(hit));
        }
        self.counted(self.long_way(names, key, name, now).await)
    }

    /// [`Cache::by_name`] without its type and its size, which would else be part of those of every
    /// request's future: a product's own crate would meet the compiler's query depth.
    #[inline(never)]
    fn long_way<'a, K: Hash + Eq + Clone + Send + Sync + 'static>(
        &'a self,
        names: &'a Names<K>,
        key: &'a K,
        name: Name<'a>,
        now: Instant,
    ) -> BoxFuture<'a, Result<Seen, Unavailable>> {
        self.by_name(names, key, name, now).boxed()
    }

    async fn by_name<K: Hash + Eq + Clone + Send + Sync + 'static>(
        &self,
        names: &Names<K>,
        key: &K,
        name: Name<'_>,
        now: Instant,
    ) -> Result<Seen, Unavailable> {
        let mut asked = Asked::Memory;
        for _ in 0..OVERTAKEN {
            let found = match self.remembered(names, key, now).await {
                Some(found) => found,
                None => {
                    asked = Asked::Catalog;
                    self.look_for(names, key, name, now).await?
                }
            };
            let (tenant, former) = match found {
                Found::Entry(hit) => return Ok((Some(hit), asked)),
                Found::Tenant(tenant, former) => (tenant, former),
                Found::Nowhere => return Ok((None, asked)),
            };
            let (entry, by_id) = self.find(tenant, now).await?;
            if by_id == Asked::Catalog {
                asked = by_id;
            }
            if let Some(entry) = entry {
                names.keep(key, &entry).await;
                return Ok((Some(Hit { entry, former }), asked));
            }
            // The name led to a tenant that is no more. Its row of the log is on its way, so that
            // the name is not refused on use yet.
            names
                .known
                .entry_by_ref(key)
                .and_compute_with(|_| std::future::ready(Op::Remove))
                .await;
        }
        Err(Unavailable)
    }

    async fn remembered<K: Hash + Eq + Clone + Send + Sync + 'static>(
        &self,
        names: &Names<K>,
        name: &K,
        now: Instant,
    ) -> Option<Found> {
        if let Some(named) = names.known.get(name).await {
            return self.led_to(named, now);
        }
        let read_at = names.absent.get(name).await?;
        self.versions
            .absent_is_fresh(read_at)
            .then_some(Found::Nowhere)
    }

    /// Where a remembered name leads, if that may still be used. The name and the entry beside it are
    /// about one tenant, so one look at its version, for the older of the two, answers for both.
    fn led_to(&self, named: Named, now: Instant) -> Option<Found> {
        if let Some(entry) = named.entry
            && self
                .versions
                .is_fresh(named.tenant, named.read_at.min(entry.read_at))
            && !entry.is_retired()
            && ((now < named.renew_at && !entry.is_due(now)) || self.source.is_down())
        {
            let former = named.former;
            return Some(Found::Entry(Hit { entry, former }));
        }
        let usable = self.versions.is_fresh(named.tenant, named.read_at)
            && (now < named.renew_at || self.source.is_down());
        usable.then_some(Found::Tenant(named.tenant, named.former))
    }

    fn found(&self, named: &Named, now: Instant) -> Found {
        match &named.entry {
            Some(entry) if self.is_usable(entry, now) => Found::Entry(Hit {
                entry: Arc::clone(entry),
                former: named.former,
            }),
            _ => Found::Tenant(named.tenant, named.former),
        }
    }

    /// Looks for a name in the catalog, one request for all who ask for it.
    async fn look_for<K: Hash + Eq + Clone + Send + Sync + 'static>(
        &self,
        names: &Names<K>,
        key: &K,
        name: Name<'_>,
        now: Instant,
    ) -> Result<Found, Unavailable> {
        let mut found = Found::Nowhere;
        let outcome = &mut found;
        names
            .known
            .entry_by_ref(key)
            .and_try_compute_with(|existing| async move {
                // Another request may have found it while this one waited for its turn.
                if let Some(remembered) = self.remembered(names, key, now).await {
                    *outcome = remembered;
                    return Ok(Op::Nop);
                }
                for _ in 0..OVERTAKEN {
                    let (read_at, row) = match (self.source.find(name).await, &existing) {
                        (Ok(read), _) => read,
                        (Err(error), None) => return Err(error),
                        // Known, only due to be read again: better than nothing.
                        (Err(error), Some(named)) => {
                            let named = named.value();
                            if !self.versions.is_fresh(named.tenant, named.read_at) {
                                return Err(error);
                            }
                            *outcome = self.found(named, now);
                            return Ok(Op::Nop);
                        }
                    };
                    let Some(row) = row else {
                        if !self.versions.absent_is_fresh(read_at) {
                            continue;
                        }
                        names.absent.insert(key.clone(), read_at).await;
                        return Ok(Op::Remove);
                    };
                    let tenant = row.tenant_id;
                    if !self.versions.is_fresh(tenant, read_at) {
                        continue;
                    }
                    let redirects_for = row.redirects_for;
                    let renew_at = renew_at(tenant, self.config.cache_ttl);
                    // By the catalog's clock, and never later than it says: it was read before.
                    let over = redirects_for.and_then(|left| now.checked_add(left));
                    let entry = self.load(tenant, Some(row)).await?;
                    let named = Named {
                        tenant,
                        read_at,
                        renew_at: over.map_or(renew_at, |over| over.min(renew_at)),
                        entry,
                        former: redirects_for.is_some(),
                    };
                    *outcome = self.found(&named, now);
                    return Ok(Op::Put(named));
                }
                Err(Unavailable)
            })
            .await?;
        Ok(found)
    }

    /// Loads a tenant, one request for all who ask for it; `row` is it as just read, if it was.
    async fn load(
        &self,
        tenant: TenantId,
        row: Option<Row>,
    ) -> Result<Option<Arc<Entry>>, Unavailable> {
        let mut loaded = None;
        let outcome = &mut loaded;
        let mut row = row;
        self.tenants
            .entry(tenant)
            .and_try_compute_with(|existing| async move {
                let existing = existing.map(|entry| Arc::clone(entry.value()));
                let newest = row.as_ref().map_or(i64::MIN, |row| row.read_at);
                // A row that waited for its turn while a newer one was stored is of no use.
                if existing
                    .as_ref()
                    .is_some_and(|entry| entry.read_at > newest)
                {
                    row = None;
                }
                if let Some(entry) = &existing
                    && self.is_usable(entry, Instant::now())
                    && entry.read_at >= newest
                {
                    *outcome = existing;
                    return Ok(Op::Nop);
                }
                if row.is_none() && self.is_stranger(tenant).await {
                    return Ok(Op::Remove);
                }
                for _ in 0..OVERTAKEN {
                    let read = match row.take() {
                        Some(row) => Ok((row.read_at, Some(row))),
                        None => self.source.by_tenant(tenant).await,
                    };
                    let (read_at, row) = match (read, &existing) {
                        (Ok(read), _) => read,
                        // Known, only due to be read again: better than nothing.
                        (Err(_), Some(entry)) if self.is_current(entry) => {
                            *outcome = existing;
                            return Ok(Op::Nop);
                        }
                        (Err(error), _) => return Err(error),
                    };
                    let Some(row) = row else {
                        self.strangers.insert(tenant, read_at).await;
                        return Ok(Op::Remove);
                    };
                    // Nor one from before the place that the tenant's connections are in: its row
                    // of the log may still be on its way.
                    let living = self.places.living(tenant);
                    let older = living.is_some_and(|living| living.born_at > read_at);
                    if older || !self.versions.is_fresh(tenant, read_at) {
                        continue;
                    }
                    let entry = Arc::new(self.places.enter(row, self.config.cache_ttl));
                    *outcome = Some(Arc::clone(&entry));
                    return Ok(Op::Put(entry));
                }
                Err(Unavailable)
            })
            .await?;
        Ok(loaded)
    }

    async fn is_stranger(&self, tenant: TenantId) -> bool {
        let read_at = self.strangers.get(&tenant).await;
        read_at.is_some_and(|read_at| self.versions.absent_is_fresh(read_at))
    }

    /// Not overtaken by a change, and its place not given up.
    fn is_current(&self, entry: &Entry) -> bool {
        self.versions.is_fresh(entry.tenant_id, entry.read_at) && !entry.is_retired()
    }

    /// Current, and not due to be read again; or due, and there is nothing to read it from.
    fn is_usable(&self, entry: &Entry, now: Instant) -> bool {
        self.is_current(entry) && (!entry.is_due(now) || self.source.is_down())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Names<K> {
    fn new(config: &Config) -> Self {
        Self {
            known: lru(config.cache_capacity, config.cache_ttl + config.away),
            absent: lru(config.negative_capacity, config.negative_ttl),
        }
    }

    /// Keeps a tenant's newer entry with the name, if the name still leads to that tenant.
    async fn keep(&self, key: &K, entry: &Arc<Entry>) {
        self.known
            .entry_by_ref(key)
            .and_compute_with(|named| {
                let named = named.map(moka::Entry::into_value);
                let same = named.filter(|named| named.tenant == entry.tenant_id);
                std::future::ready(same.map_or(Op::Nop, |named| {
                    Op::Put(Named {
                        entry: Some(Arc::clone(entry)),
                        ..named
                    })
                }))
            })
            .await;
    }

    fn clear(&self) {
        self.known.invalidate_all();
        self.absent.invalidate_all();
    }
}

/// A bounded cache in which the newest always has its place, and what was used least recently makes
/// room. moka's own choice weighs how often each was asked for, and would refuse a tenant that comes
/// anew to a full cache: each of its first requests would ask the catalog.
fn lru<K, V>(capacity: u64, ttl: Duration) -> Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Moka::builder()
        .max_capacity(capacity)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_live(ttl)
        .build()
}
