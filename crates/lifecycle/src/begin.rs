//! How an operation begins: its cluster is reached before anything is written, then one transaction holds its row and
//! whatever its kind locks, checks and changes. What that is stands with the kind.

use std::sync::Arc;

use serde::Serialize;
use sqlx::PgConnection;
use tenantry_catalog::tenants::{self, Tenant, TenantRef};
use tenantry_catalog::{clusters, idempotency, operations};
use tenantry_types::{OperationId, TenantId};

use crate::asker::{Asker, Idempotency};
use crate::engine::{Kind, Lease};
use crate::error::StartError;
use crate::place::{Durability, Session};
use crate::{Lifecycle, Started};

/// A tenant whose cluster answers, and the operation that is going to be begun with it.
pub(crate) struct Reached {
    pub tenant: Tenant,
    pub operation: OperationId,
    pub session: Session,
}

impl Reached {
    /// What the operation works with once its row is written.
    pub(crate) fn held(self, life: &Lifecycle, fence: i64) -> (Arc<Lease>, Session) {
        let lease = life.lease(self.operation, fence);
        let session = self.session.under(lease.clone());
        (lease, session)
    }
}

impl Lifecycle {
    /// Finds a tenant, asks whether it `may` be worked on, and reaches its cluster: a server that is down changes nothing.
    pub(crate) async fn reach(
        &self,
        tenant: &TenantRef,
        may: impl Fn(&Tenant) -> Result<(), StartError>,
    ) -> Result<Reached, StartError> {
        let tenant = self.find(tenant).await?;
        may(&tenant)?;
        self.reach_found(tenant).await
    }

    /// The tenant as it is just now: nothing is locked.
    pub(crate) async fn find(&self, tenant: &TenantRef) -> Result<Tenant, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        tenants::by_ref(&mut conn, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)
    }

    /// Reaches the cluster of a tenant that was found.
    pub(crate) async fn reach_found(&self, tenant: Tenant) -> Result<Reached, StartError> {
        let deps = self.deps();
        let mut conn = deps.catalog.acquire().await?;
        let cluster = clusters::by_id(&mut conn, tenant.cluster_id)
            .await?
            .ok_or(StartError::NoCluster)?;
        drop(conn);
        let operation = OperationId::generate(&deps.clock, &deps.entropy);
        let session = Session::first(self, &cluster, operation, Durability::Each).await?;
        Ok(Reached {
            tenant,
            operation,
            session,
        })
    }

    /// Writes an operation's row, held by us; gives its first fence.
    pub(crate) async fn record<K: Kind>(
        &self,
        conn: &mut PgConnection,
        id: OperationId,
        tenant_id: Option<TenantId>,
        params: &impl Serialize,
        asker: &Asker,
    ) -> Result<i64, StartError> {
        self.may_begin(K::NAME)?;
        let params =
            serde_json::to_value(params).map_err(|error| StartError::Vault(Box::new(error)))?;
        let new = operations::NewOperation {
            id,
            kind: K::NAME,
            tenant_id,
            params: &params,
            asked_by: &asker.name,
            operator: asker.operator,
            request_id: asker.request_id.as_deref(),
        };
        operations::insert_leased(conn, &new, self.0.holder, self.deps().settings.lease)
            .await
            .map_err(|error| match error {
                operations::InsertError::OperationInProgress(id) => StartError::InProgress(id),
                operations::InsertError::Catalog(error) => error.into(),
            })
    }

    /// Holds an operation that was recorded, for as long as this process works on it.
    pub(crate) fn lease(&self, operation: OperationId, fence: i64) -> Arc<Lease> {
        let deps = self.deps();
        let lease = Lease::keep(deps.catalog.clone(), operation, fence, deps.settings.lease);
        Arc::new(lease)
    }

    /// Binds a request's idempotency key to the operation that it begins. `false`: another one has it, by now.
    pub(crate) async fn take_key(
        &self,
        conn: &mut PgConnection,
        key: Option<&Idempotency>,
        operation: OperationId,
    ) -> Result<bool, StartError> {
        let Some(key) = key else { return Ok(true) };
        match idempotency::insert(conn, key.operator, &key.key, key.request_hash, operation).await {
            Ok(()) => Ok(true),
            Err(idempotency::InsertError::KeyTaken) => Ok(false),
            Err(idempotency::InsertError::Catalog(error)) => Err(error.into()),
        }
    }
}

impl Lifecycle {
    /// What another request with the same key began while this one was on its way.
    pub(crate) async fn replayed_meanwhile(
        &self,
        key: Option<&Idempotency>,
    ) -> Result<Started, StartError> {
        let key = key.ok_or(StartError::KeyReused)?;
        self.replayed(key).await?.ok_or(StartError::KeyReused)
    }
}

impl Started {
    /// What was begun by this request.
    pub(crate) fn anew(operation_id: OperationId, tenant_id: Option<TenantId>) -> Self {
        Self {
            operation_id,
            tenant_id,
            replay: false,
        }
    }
}
