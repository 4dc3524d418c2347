//! What operations answer, with the secrets that may be told once.

use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use tenantry_catalog::operations::Configurations;
use tenantry_catalog::tenants::{self, Status, Tenant};
use tenantry_catalog::{journal, operation_secrets, operations};
use tenantry_types::{OperationId, Secret, TenantId, Timestamp};
use tenantry_vault::{Place, Sealed};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::deps::Deps;
use crate::engine::{Failure, StepError};
use crate::error::StartError;
use crate::migrate::PROGRESS;
use crate::place;

/// Under this name the answer of a creation is sealed.
pub(crate) const ANSWER: &str = "answer";

/// What a creation made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The tenant as it is now.
    pub tenant: Tenant,
    /// The login that was made for the product.
    pub db_username: String,
    /// Its password, as long as it may be told.
    pub db_password: Option<Secret>,
    /// The first person's password, where we made it and as long as it may be told.
    pub admin_password: Option<Secret>,
}

/// An operation as its asker sees it.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Its id.
    pub id: OperationId,
    /// Its kind, e.g. `create`.
    pub kind: String,
    /// Its tenant, where it is about one.
    pub tenant_id: Option<TenantId>,
    /// How it stands.
    pub status: operations::Status,
    /// Who asked for it.
    pub asked_by: String,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// Whether it could be cancelled now.
    pub cancellable: bool,
    /// Whether what it has done is undone when it fails, from where it stands.
    pub rolls_back: bool,
    /// What its tenant was like before and after.
    pub configurations: Configurations,
    /// What it told at its end, without secrets.
    pub result: Option<serde_json::Value>,
    /// How far a rollout has come, while it runs: counts of databases.
    pub progress: Option<serde_json::Value>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Its journal.
    pub steps: Vec<StepView>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// One line of an operation's journal.
#[derive(Clone, Debug)]
pub struct StepView {
    /// The step's name.
    pub step: String,
    /// What happened: `started`, `done`, `failed`, `undo_started`, `undone`, `undo_failed`.
    pub event: journal::Event,
    /// When.
    pub at: Timestamp,
    /// Of a failure its code and words, and its cause, which is for the log.
    pub detail: serde_json::Value,
}

/// The secrets of a creation's answer, as sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    pub db_password: String,
    pub admin_password: Option<String>,
}

/// Whether the secrets of an answer stay for a replay of the same `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Told now and kept until they expire: the request had an idempotency key.
    AndKeep,
    /// Told now and never again.
    Once,
}

impl Lifecycle {
    /// The answer of a creation that is done. Who reads it later than the creation's own request is
    /// `reader`: where a secret is told, that is in the audit trail.
    ///
    /// # Errors
    /// [`StartError::UnknownTenant`] when the tenant is gone again.
    pub async fn created(
        &self,
        operation: OperationId,
        telling: Telling,
        reader: Option<&Asker>,
    ) -> Result<Created, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let tenant = tenants::by_operation(&mut conn, operation)
            .await?
            .filter(|tenant| tenant.status != Status::Provisioning)
            .ok_or(StartError::UnknownTenant)?;
        let sealed = self
            .tell(&mut conn, operation, tenant.id, telling, reader)
            .await?;
        let answer = sealed
            .map(|sealed| open(self.deps(), operation, &sealed))
            .transpose()?;
        let db_username = tenant
            .db_name
            .as_ref()
            .map(|base| {
                tenantry_cluster::names::login_names(base)
                    .user
                    .as_str()
                    .to_owned()
            })
            .unwrap_or_default();
        let (db_password, admin_password) = answer.map_or((None, None), |answer| {
            (
                Some(Secret::new(answer.db_password)),
                answer.admin_password.map(Secret::new),
            )
        });
        Ok(Created {
            tenant,
            db_username,
            db_password,
            admin_password,
        })
    }

    /// The sealed answer of an operation, as long as it may be told.
    pub(crate) async fn tell(
        &self,
        conn: &mut PgConnection,
        operation: OperationId,
        tenant: TenantId,
        telling: Telling,
        reader: Option<&Asker>,
    ) -> Result<Option<Sealed>, StartError> {
        let again = telling == Telling::AndKeep;
        let Some(reader) = reader else {
            return Ok(operation_secrets::tell(conn, operation, ANSWER, again).await?);
        };
        let mut tx = conn.begin().await?;
        let sealed = operation_secrets::tell(&mut tx, operation, ANSWER, again).await?;
        if sealed.is_some() {
            let detail = serde_json::json!({ "operationId": operation });
            let action = "operation.read_secrets";
            self.audit(&mut tx, reader, action, Some(tenant), None, detail)
                .await?;
        }
        tx.commit().await?;
        Ok(sealed)
    }

    /// An operation and its journal.
    ///
    /// # Errors
    /// When the catalog cannot be used.
    pub async fn operation(&self, id: OperationId) -> Result<Option<OperationView>, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let Some(operation) = operations::by_id(&mut conn, id).await? else {
            return Ok(None);
        };
        let journal = journal::of(&mut conn, id).await?;
        let configurations = operations::configurations(&mut conn, id).await?;
        let rolls_back = Self::rolls_back(&operation, &journal);
        let cancellable = rolls_back && operation.status == operations::Status::Running;
        let steps = journal
            .into_iter()
            .map(|entry| StepView {
                step: entry.step,
                event: entry.event,
                at: entry.at,
                detail: entry.detail,
            })
            .collect();
        Ok(Some(OperationView {
            id,
            cancellable,
            rolls_back,
            configurations,
            asked_by: operation.asked_by,
            request_id: operation.request_id,
            kind: operation.kind,
            tenant_id: operation.tenant_id,
            status: operation.status,
            result: operation.result,
            // At its end the result tells more.
            progress: operation
                .params
                .get(PROGRESS)
                .filter(|_| operation.status == operations::Status::Running)
                .cloned(),
            error: operation
                .error
                .and_then(|error| serde_json::from_value(error).ok()),
            steps,
            created_at: operation.created_at,
            finished_at: operation.finished_at,
        }))
    }
}

/// Seals what has to be told.
pub(crate) fn seal(
    deps: &Deps,
    operation: OperationId,
    answer: &Answer,
) -> Result<Sealed, StepError> {
    let text = serde_json::to_string(answer).map_err(|error| place::vault_failure(&error))?;
    deps.admin_keys
        .seal(
            &deps.entropy,
            &Place::operation_secret(operation, ANSWER),
            &Secret::new(text),
        )
        .map_err(|error| place::vault_failure(&error))
}

/// Opens it again.
pub(crate) fn open(
    deps: &Deps,
    operation: OperationId,
    sealed: &Sealed,
) -> Result<Answer, StartError> {
    let text = deps
        .admin_keys
        .open(&Place::operation_secret(operation, ANSWER), sealed)
        .map_err(|error| StartError::Vault(Box::new(error)))?;
    serde_json::from_str(text.expose()).map_err(|error| StartError::Vault(Box::new(error)))
}
