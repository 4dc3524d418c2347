//! How a creation begins, and how its beginning is taken back.

use std::sync::{Arc, OnceLock};

use sqlx::PgConnection;
use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::tenants::{NewTenant, Status};
use tenantry_catalog::{
    change_log, databases, domain_claims, domains, idempotency, operation_secrets, tenants,
};
use tenantry_tenantdb::{passwords, schema_digest};
use tenantry_types::{
    ClusterId, DatabaseId, ErrorKind, OperationId, Secret, Slug, TenantId, UserId, metric,
};
use tenantry_vault::Place;
use tokio::sync::Mutex;

use super::{Create, CreateTenant, Params, PrimaryDomain, SealedAdmin};
use crate::asker::{Asker, Idempotency};
use crate::deps::Naming;
use crate::engine::{Lease, StepError};
use crate::error::StartError;
use crate::making::{self, Known, Origin, Rows};
use crate::place::{self, Durability, Session};
use crate::{Lifecycle, Started, placement};

/// Under this name the first person is sealed in the operation.
pub(crate) const ADMIN: &str = "admin";

impl Lifecycle {
    /// Begins to make a tenant; see [`Lifecycle::wait`] for its end and [`Lifecycle::created`] for
    /// the answer.
    ///
    /// The cluster is reached before anything is written, so a server that is down leaves no trace.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed.
    pub async fn create(
        &self,
        wanted: CreateTenant,
        asker: Asker,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, StartError> {
        if let Some(key) = &idempotency
            && let Some(started) = self.replayed(key).await?
        {
            return Ok(started);
        }
        let begun = match self.begin(&wanted, &asker, idempotency.as_ref()).await? {
            Begun::Now(begun) => begun,
            Begun::Before(started) => return Ok(started),
        };
        let (birth, session, fence) = *begun;
        let operation_id = birth.operation_id;
        let lease = self.lease(operation_id, fence);
        let outcome = match birth.params.from_spare {
            true => "hit",
            false => "miss",
        };
        metrics::counter!(metric::SPARE_CLAIMS.name, "outcome" => outcome).increment(1);
        let hashing = birth
            .admin
            .as_ref()
            .map(|admin| hash(self, &admin.password));
        let create = Create {
            life: self.clone(),
            tenant_id: birth.tenant_id,
            from_spare: birth.params.from_spare,
            params: Mutex::new(birth.params),
            session: session.under(lease.clone()),
            known: Known::newborn(birth.rows),
            lease: lease.clone(),
            hashing: Mutex::new(hashing),
            way: Mutex::default(),
            opened: OnceLock::new(),
        };
        self.carry(lease, create);
        Ok(Started::anew(operation_id, Some(birth.tenant_id)))
    }

    /// Writes the beginning on the first of the clusters that has a place: one that is full by then, or is
    /// away, is passed over for the next one, if who asks leaves us the choice.
    async fn begin(
        &self,
        wanted: &CreateTenant,
        asker: &Asker,
        idempotency: Option<&Idempotency>,
    ) -> Result<Begun, StartError> {
        let deps = self.deps();
        let mut conn = deps.catalog.acquire().await?;
        let clusters = placement::choose(&mut conn, wanted).await?;
        drop(conn);
        let mut refused = StartError::NoCapacity;
        for cluster in &clusters {
            let operation_id = OperationId::generate(&deps.clock, &deps.entropy);
            let session = match Session::first(self, cluster, operation_id, Durability::Last).await
            {
                Ok(session) => session,
                Err(error) if may_go_on(&error) => {
                    tracing::warn!(cluster = cluster.name, code = error.code(), error = %crate::engine::chain_of(&error),
                        "a tenant could not be put on a cluster");
                    refused = error;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut birth = Birth::of(self, wanted, cluster, operation_id);
            birth.prepare(self, &session, &wanted.slug).await?;
            match birth.record(self, wanted, asker, idempotency).await {
                Ok(fence) => return Ok(Begun::Now(Box::new((birth, session, fence)))),
                Err(Recorded::KeyTaken) => {
                    let key = idempotency.ok_or(StartError::KeyReused)?;
                    let started = self.replayed(key).await?;
                    return started.map(Begun::Before).ok_or(StartError::KeyReused);
                }
                Err(Recorded::NoPlace(error)) => refused = error,
                Err(Recorded::Refused(error)) => return Err(error),
            }
        }
        Err(refused)
    }

    /// What the same key began before, if it did and did not fail.
    pub(crate) async fn replayed(&self, key: &Idempotency) -> Result<Option<Started>, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let Some(found) = idempotency::find(&mut conn, key.operator, &key.key).await? else {
            return Ok(None);
        };
        if found.request_hash != key.request_hash {
            return Err(StartError::KeyReused);
        }
        let operation = operations::by_id(&mut conn, found.operation_id).await?;
        match operation {
            // A failed try left nothing: the same request may try again under the same key.
            Some(operation) if operation.status == operations::Status::Failed => {
                idempotency::forget(&mut conn, key.operator, &key.key, operation.id).await?;
                Ok(None)
            }
            Some(operation) => Ok(Some(Started {
                operation_id: operation.id,
                tenant_id: operation.tenant_id,
                replay: true,
            })),
            None => Ok(None),
        }
    }
}

impl Create {
    /// Takes a creation up again.
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        let params: Params = crate::worker::params(operation)?;
        let tenant_id = operation
            .tenant_id
            .ok_or_else(|| place::missing("The operation names no tenant."))?;
        let mut conn = life.deps().catalog.acquire().await?;
        let cluster = place::cluster(&mut conn, params.cluster_id).await?;
        Ok(Self {
            life: life.clone(),
            tenant_id,
            from_spare: params.from_spare,
            params: Mutex::new(params),
            session: Session::resumed(life, cluster, lease.clone(), Durability::Last),
            known: Known::default(),
            lease,
            hashing: Mutex::new(None),
            way: Mutex::default(),
            opened: OnceLock::new(),
        })
    }

    /// The first person, unsealed.
    pub(super) async fn admin(&self) -> Result<Option<SealedAdmin>, StepError> {
        if self.params.lock().await.admin_id.is_none() {
            return Ok(None);
        }
        sealed_admin(&self.life, self.lease.operation()).await
    }

    /// The hash of the first person's password: worked out since the beginning, or now after a crash.
    pub(super) async fn password_hash(
        &self,
        admin: &SealedAdmin,
    ) -> Result<passwords::PasswordHash, StepError> {
        let begun = self.hashing.lock().await.take();
        let task = begun.unwrap_or_else(|| hash(&self.life, &Secret::new(admin.password.clone())));
        match task.await {
            Ok(Ok(hash)) => Ok(hash),
            Ok(Err(error)) => Err(place::vault_failure(&error)),
            Err(error) => Err(place::vault_failure(&error)),
        }
    }
}

/// The first person of an operation, unsealed.
pub(crate) async fn sealed_admin(
    life: &Lifecycle,
    operation: OperationId,
) -> Result<Option<SealedAdmin>, StepError> {
    let mut conn = life.deps().catalog.acquire().await?;
    let Some(sealed) = operation_secrets::get(&mut conn, operation, ADMIN).await? else {
        return Ok(None);
    };
    drop(conn);
    let text = life
        .deps()
        .admin_keys
        .open(&Place::operation_secret(operation, ADMIN), &sealed)
        .map_err(|error| place::vault_failure(&error))?;
    serde_json::from_str(text.expose())
        .map(Some)
        .map_err(|error| place::vault_failure(&error))
}

/// The rows were written when the operation began; there is nothing left to do.
pub(super) async fn reserved(_work: &Create) -> Result<(), StepError> {
    Ok(())
}

/// Drops what was made or taken, under whichever name it has, and frees the names: the tenant never
/// was. A spare goes too, as it may hold the tenant's rows; another is made in its place.
pub(super) async fn unreserve(work: &Create) -> Result<(), StepError> {
    let deps = work.life.deps();
    let params = work.params.lock().await.clone();
    work.making(&params)?.discard().await?;
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    operation_secrets::remove_all(&mut tx, work.lease.operation()).await?;
    tenants::remove(&mut tx, work.tenant_id).await?;
    change_log::append(&mut tx, work.tenant_id, change_log::Kind::Purged).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether another cluster may do where one does not.
fn may_go_on(error: &StartError) -> bool {
    matches!(error, StartError::Cluster(error) if error.kind() == ErrorKind::Unavailable)
}

pub(crate) fn hash(life: &Lifecycle, password: &Secret) -> super::Hashing {
    let (password, hashing) = (password.clone(), life.deps().hashing.clone());
    tokio::spawn(async move { hashing.hash(password).await })
}

/// What a creation is born with.
struct Birth {
    operation_id: OperationId,
    tenant_id: TenantId,
    params: Params,
    admin: Option<FirstPerson>,
    /// The rows that were written of a database to be made.
    rows: Option<Rows>,
}

pub(crate) struct FirstPerson {
    email: String,
    pub(crate) password: Secret,
    made: bool,
}

impl FirstPerson {
    pub(crate) fn of(life: &Lifecycle, admin: &super::AdminUser) -> Self {
        let made = || life.deps().entropy.password();
        Self {
            email: admin.email.as_str().to_owned(),
            password: admin.password.clone().unwrap_or_else(made),
            made: admin.password.is_none(),
        }
    }
}

/// What a request to create came to.
enum Begun {
    Now(Box<(Birth, Session, i64)>),
    /// The same key had begun it.
    Before(Started),
}

enum Recorded {
    KeyTaken,
    /// The cluster has no place for it.
    NoPlace(StartError),
    Refused(StartError),
}

impl<E: Into<StartError>> From<E> for Recorded {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Birth {
    fn of(
        life: &Lifecycle,
        wanted: &CreateTenant,
        cluster: &Cluster,
        operation_id: OperationId,
    ) -> Self {
        let (clock, entropy) = (&life.deps().clock, &life.deps().entropy);
        Self {
            operation_id,
            tenant_id: TenantId::generate(clock, entropy),
            params: Params {
                slug: wanted.slug.as_str().to_owned(),
                cluster_id: cluster.id,
                database_id: DatabaseId::generate(clock, entropy),
                from_spare: false,
                admin_id: wanted
                    .admin
                    .as_ref()
                    .map(|_| UserId::generate(clock, entropy)),
                template: None,
                base: None,
            },
            admin: wanted
                .admin
                .as_ref()
                .map(|admin| FirstPerson::of(life, admin)),
            rows: None,
        }
    }

    /// Looks up what the first transaction is to hold: the template, where this process knows it, and
    /// the name.
    async fn prepare(
        &mut self,
        life: &Lifecycle,
        session: &Session,
        slug: &Slug,
    ) -> Result<(), StartError> {
        let mut admin = session.admin().await.map_err(place::start_error)?;
        self.params.template = crate::template::known(life, session.cluster(), &mut admin)
            .await
            .map_err(place::start_error)?
            .map(|template| Origin {
                id: template.id,
                schema: template.schema,
            });
        let base =
            super::claim::free_base(life.deps(), &mut admin, slug, self.params.database_id).await?;
        self.params.base = Some(base.as_str().to_owned());
        Ok(())
    }

    /// Writes everything that makes the tenant exist, in one transaction.
    async fn record(
        &mut self,
        life: &Lifecycle,
        wanted: &CreateTenant,
        asker: &Asker,
        idempotency: Option<&Idempotency>,
    ) -> Result<i64, Recorded> {
        let mut tx = life.deps().catalog.begin().await?;
        let (id, tenant) = (self.operation_id, Some(self.tenant_id));
        let fence = life
            .record::<Create>(&mut tx, id, tenant, &self.params, asker)
            .await?;
        // Before the names: of two equal requests at once the slower one waits here, and is told of
        // the first one's operation instead of a slug that is taken.
        if !life.take_key(&mut tx, idempotency, id).await? {
            return Err(Recorded::KeyTaken);
        }
        // As late as can be: of those that ask for the last place all others wait here.
        let place = clusters::take_place(&mut tx, self.params.cluster_id).await?;
        if let Some(refusal) = placement::refusal(place) {
            return Err(Recorded::NoPlace(refusal));
        }
        let place = (self.tenant_id, self.params.cluster_id);
        take_names(life, &mut tx, place, wanted).await?;
        self.record_database(life, &mut tx).await?;
        if let Some(admin) = &self.admin {
            seal_admin(life, &mut tx, self.operation_id, admin).await?;
        }
        life.audit(
            &mut tx,
            asker,
            "tenant.create",
            Some(self.tenant_id),
            None,
            serde_json::json!({
                "slug": wanted.slug.as_str(),
                "operationId": self.operation_id,
                "to": {
                    "name": wanted.name,
                    "plan": wanted.plan.as_str(),
                    "clusterId": self.params.cluster_id,
                },
            }),
        )
        .await?;
        tx.commit().await?;
        Ok(fence)
    }

    /// Takes a spare; with none at hand, writes the rows of a database to be made.
    async fn record_database(
        &mut self,
        life: &Lifecycle,
        conn: &mut PgConnection,
    ) -> Result<(), StartError> {
        let (cluster, operation) = (self.params.cluster_id, self.operation_id);
        let spare =
            databases::take_spare(conn, cluster, schema_digest(), self.tenant_id, operation)
                .await?;
        if let Some(spare) = spare {
            self.params.database_id = spare;
            self.params.from_spare = true;
            if life.deps().settings.naming == Naming::Opaque {
                // It is made of the id, which is another one now.
                self.params.base = None;
            }
            let value = serde_json::to_value(&self.params).unwrap_or_default();
            operations::set_params(conn, operation, place::FIRST_FENCE, &value).await?;
        } else if let Some(template) = &self.params.template {
            let database = (cluster, self.params.database_id);
            let rows = making::record(life.deps(), conn, operation, database, template)
                .await
                .map_err(place::start_error)?;
            self.rows = Some(rows);
        }
        Ok(())
    }
}

/// Takes the names: the slug and the domains.
pub(crate) async fn take_names(
    life: &Lifecycle,
    conn: &mut PgConnection,
    (tenant_id, cluster_id): (TenantId, ClusterId),
    wanted: &CreateTenant,
) -> Result<(), StartError> {
    let tenant = NewTenant {
        id: tenant_id,
        slug: &wanted.slug,
        name: &wanted.name,
        plan: &wanted.plan,
        status: Status::Provisioning,
        metadata: &wanted.metadata,
        cluster_id,
    };
    tenants::insert(conn, &tenant)
        .await
        .map_err(tenant_refused)?;
    let mut primary = &wanted.slug;
    if let Some(PrimaryDomain::Subdomain(label)) = &wanted.primary_domain {
        primary = label;
    }
    let other = (*primary != wanted.slug).then_some(primary);
    for name in std::iter::once(&wanted.slug).chain(other) {
        let domain = domains::Domain {
            name: name.as_str().to_owned(),
            tenant_id,
            kind: domains::Kind::Subdomain,
            is_primary: name == primary,
            redirects_until: None,
        };
        let inserted = domains::insert(conn, &domain).await;
        inserted.map_err(|error| match error {
            // Another tenant's label, or its former slug as long as that redirects.
            domains::InsertError::DomainTaken(_) if *name == wanted.slug => StartError::SlugTaken,
            error => domain_refused(error),
        })?;
    }
    // Not served before it is proven; until then the subdomain is the primary one.
    if let Some(PrimaryDomain::Custom(name)) = &wanted.primary_domain {
        crate::domains::wish(life.deps(), conn, tenant_id, name).await?;
        domain_claims::want_primary(conn, tenant_id, Some(name)).await?;
    }
    Ok(())
}

/// Seals the first person in the operation.
pub(crate) async fn seal_admin(
    life: &Lifecycle,
    conn: &mut PgConnection,
    operation: OperationId,
    admin: &FirstPerson,
) -> Result<(), StartError> {
    let text = serde_json::to_string(&SealedAdmin {
        email: admin.email.clone(),
        password: admin.password.expose().to_owned(),
        made: admin.made,
    })
    .map_err(|error| StartError::Vault(Box::new(error)))?;
    let place = Place::operation_secret(operation, ADMIN);
    let sealed = life
        .deps()
        .admin_keys
        .seal(&life.deps().entropy, &place, &Secret::new(text))
        .map_err(|error| StartError::Vault(Box::new(error)))?;
    operation_secrets::put(conn, operation, ADMIN, &sealed, None).await?;
    Ok(())
}

fn tenant_refused(error: tenants::InsertError) -> StartError {
    match error {
        tenants::InsertError::SlugTaken => StartError::SlugTaken,
        tenants::InsertError::Catalog(error) => StartError::Catalog(error),
    }
}

fn domain_refused(error: domains::InsertError) -> StartError {
    match error {
        domains::InsertError::DomainTaken(_) => StartError::DomainTaken,
        domains::InsertError::Catalog(error) => StartError::Catalog(error),
    }
}
