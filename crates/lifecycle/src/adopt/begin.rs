//! How an adoption begins: a look that changes nothing, then one transaction in the catalog.

use std::sync::Arc;

use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::operations::Operation;
use tenantry_catalog::{adoptions, databases};
use tenantry_cluster::AdminConn;
use tenantry_cluster::adoption::{self, Consent, Former, Refusal};
use tenantry_tenantdb::schema_digest;
use tenantry_types::{DatabaseId, DbName, OperationId, TenantId, UserId};
use tokio::sync::Mutex;

use super::{Adopt, Params};
use crate::asker::{Asker, Idempotency};
use crate::create::begin::{FirstPerson, hash, seal_admin, take_names};
use crate::create::{ClusterChoice, CreateTenant};
use crate::engine::{Lease, StepError};
use crate::error::StartError;
use crate::place::{self, Durability, Session};
use crate::{Lifecycle, Started, making, placement};

/// What the sessions of a look are called.
const LOOK: &str = "tenantry/adopt";

/// A customer whose database exists, checked at the edge.
#[derive(Clone, Debug)]
pub struct AdoptTenant {
    /// The customer. Its cluster is where the database stands.
    pub tenant: CreateTenant,
    /// The database's name there.
    pub database: String,
    /// What whoever asks agrees to.
    pub consent: Consent,
}

/// What a look has found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The cluster's name.
    pub cluster: String,
    /// The role that owns the database.
    pub owner: Option<String>,
    /// How many sessions are open in it, which would be ended.
    pub sessions: i64,
    /// Roles that would be shut out as long as it is a tenant's, beside the owner.
    pub shut_out: Vec<String>,
    /// The schemas whose contents would be the tenant's.
    pub schemas: Vec<String>,
    /// What whoever adopts it should know.
    pub warnings: Vec<String>,
    /// Why it cannot be adopted: the code and the text of each reason.
    pub refusals: Vec<Refusal>,
}

/// What was found, for the operation.
struct Looked {
    checked: Checked,
    former: Option<Former>,
}

impl Lifecycle {
    /// Says what an adoption would do and what stands against it. Changes nothing.
    ///
    /// # Errors
    /// [`StartError::UnknownCluster`], or when the cluster cannot be asked.
    pub async fn check_adoption(&self, wanted: &AdoptTenant) -> Result<Checked, StartError> {
        let cluster = self.cluster_of(wanted).await?;
        Ok(self.look_inside(wanted, &cluster).await?.checked)
    }

    /// Begins to make a tenant of a database that exists; see [`Lifecycle::wait`] for its end and
    /// [`Lifecycle::created`] for the answer.
    ///
    /// # Errors
    /// [`StartError::CannotAdopt`] with all that stands against it, and see [`StartError`]; nothing was changed.
    pub async fn adopt(
        &self,
        wanted: AdoptTenant,
        asker: Asker,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, StartError> {
        if let Some(key) = &idempotency
            && let Some(started) = self.replayed(key).await?
        {
            return Ok(started);
        }
        let deps = self.deps();
        let cluster = self.cluster_of(&wanted).await?;
        let looked = self.look_inside(&wanted, &cluster).await?;
        let name = match (looked.former, DbName::parse(&wanted.database)) {
            (Some(_), Ok(name)) if looked.checked.refusals.is_empty() => name,
            _ => return Err(StartError::CannotAdopt(looked.checked.refusals)),
        };
        let id = OperationId::generate(&deps.clock, &deps.entropy);
        let tenant_id = TenantId::generate(&deps.clock, &deps.entropy);
        let session = Session::first(self, &cluster, id, Durability::Each).await?;
        let admin = &wanted.tenant.admin;
        let admin = admin.as_ref().map(|admin| FirstPerson::of(self, admin));
        let params = Params {
            cluster_id: cluster.id,
            database_id: DatabaseId::generate(&deps.clock, &deps.entropy),
            database: name.as_str().to_owned(),
            admin_id: admin
                .is_some()
                .then(|| UserId::generate(&deps.clock, &deps.entropy)),
            consent: wanted.consent.clone(),
        };
        let mut tx = deps.catalog.begin().await?;
        let fence = self
            .record::<Adopt>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        if !self.take_key(&mut tx, idempotency.as_ref(), id).await? {
            drop(tx);
            return self.replayed_meanwhile(idempotency.as_ref()).await;
        }
        let held = clusters::take_place(&mut tx, cluster.id).await?;
        if let Some(refusal) = placement::refusal(held) {
            return Err(refusal);
        }
        take_names(self, &mut tx, (tenant_id, cluster.id), &wanted.tenant).await?;
        let database = (cluster.id, params.database_id);
        making::record_as(deps, &mut tx, id, database, name.clone(), schema_digest())
            .await
            .map_err(place::start_error)?;
        databases::claim(&mut tx, params.database_id, tenant_id, &name)
            .await
            .map_err(|_| StartError::WrongState("the database was taken at the same time"))?;
        adoptions::insert(&mut tx, params.database_id).await?;
        if let Some(admin) = &admin {
            seal_admin(self, &mut tx, id, admin).await?;
        }
        self.audit(
            &mut tx,
            &asker,
            "tenant.adopt",
            Some(tenant_id),
            None,
            serde_json::json!({
                "slug": wanted.tenant.slug.as_str(),
                "operationId": id,
                "database": params.database,
                "from": { "owner": looked.checked.owner },
                "to": {
                    "name": wanted.tenant.name,
                    "plan": wanted.tenant.plan.as_str(),
                    "clusterId": cluster.id,
                    "consent": params.consent,
                },
            }),
        )
        .await?;
        tx.commit().await?;
        let lease = self.lease(id, fence);
        let work = Adopt {
            life: self.clone(),
            tenant_id,
            params,
            session: session.under(lease.clone()),
            hashing: Mutex::new(admin.map(|admin| hash(self, &admin.password))),
            way: Mutex::default(),
            lease: lease.clone(),
        };
        self.carry(lease, work);
        Ok(Started::anew(id, Some(tenant_id)))
    }

    /// The cluster that is asked for, or the only one.
    async fn cluster_of(&self, wanted: &AdoptTenant) -> Result<Cluster, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        if matches!(wanted.tenant.cluster, ClusterChoice::Any) {
            let mut all = clusters::list(&mut conn).await?;
            return match all.len() {
                1 => all.pop().ok_or(StartError::NoCluster),
                0 => Err(StartError::NoCluster),
                _ => Err(StartError::UnknownCluster),
            };
        }
        let mut chosen = placement::choose(&mut conn, &wanted.tenant).await?;
        chosen.pop().ok_or(StartError::UnknownCluster)
    }

    async fn look_inside(
        &self,
        wanted: &AdoptTenant,
        cluster: &Cluster,
    ) -> Result<Looked, StartError> {
        let deps = self.deps();
        let admin = place::admin_of(deps, cluster)?;
        let mut conn = admin.connect(LOOK).await?;
        let consent = &wanted.consent;
        let found = adoption::shared(&mut conn, deps.installation, &wanted.database, consent).await;
        conn.close().await;
        let mut found = found?;
        if let (true, Some(former), Ok(name)) = (
            found.can_enter,
            &mut found.former,
            DbName::parse(&wanted.database),
        ) {
            let mut inside: AdminConn = admin.enter(&name, LOOK).await?;
            let refused = adoption::contents(&mut inside, former, consent).await;
            inside.close().await;
            found.refusals.extend(refused?);
        }
        let schemas = found.former.iter().flat_map(|former| &former.schemas);
        Ok(Looked {
            checked: Checked {
                cluster: cluster.name.clone(),
                owner: found.former.as_ref().map(|former| former.owner.clone()),
                sessions: found.sessions,
                shut_out: found.shut_out,
                schemas: schemas.map(|schema| schema.name.clone()).collect(),
                warnings: found.warnings,
                refusals: found.refusals,
            },
            former: found.former,
        })
    }
}

impl Adopt {
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
            params,
            session: Session::resumed(life, cluster, lease.clone(), Durability::Each),
            hashing: Mutex::new(None),
            way: Mutex::default(),
            lease,
        })
    }
}
