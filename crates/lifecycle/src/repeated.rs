//! Requests that are sent again with their `Idempotency-Key`, and the answers that are kept for them.

use std::time::Duration;

use tenantry_catalog::idempotent_answers::{self, Begun};
use tenantry_types::Secret;
use tenantry_vault::Place;
use uuid::Uuid;

use crate::Lifecycle;
use crate::asker::Idempotency;
use crate::error::StartError;

/// What a request with a key is.
#[derive(Debug)]
pub enum Repeated {
    /// It is to be worked on; by this id its answer is kept.
    No(Uuid),
    /// It was answered with this.
    Answered(Secret),
    /// It is being worked on.
    Running,
}

impl Lifecycle {
    /// Whether a request was sent before. One that was begun `dead_after` ago and has no answer counts as
    /// dead, and its repetition as the first.
    ///
    /// # Errors
    /// [`StartError::KeyReused`] when the key came with another request.
    pub async fn repeated(
        &self,
        request: &Idempotency,
        dead_after: Duration,
    ) -> Result<Repeated, StartError> {
        let deps = self.deps();
        let attempt = Uuid::from_bytes(deps.entropy.bytes::<16>());
        let mut conn = deps.catalog.acquire().await?;
        let begun = idempotent_answers::begin(
            &mut conn,
            request.operator,
            &request.key,
            request.request_hash,
            attempt,
            dead_after,
        )
        .await?;
        drop(conn);
        let (hash, sealed) = match begun {
            Begun::Ours => return Ok(Repeated::No(attempt)),
            Begun::Answered(hash, sealed) => (hash, Some(sealed)),
            Begun::Running(hash) => (hash, None),
        };
        if hash != request.request_hash {
            return Err(StartError::KeyReused);
        }
        let Some(sealed) = sealed else {
            return Ok(Repeated::Running);
        };
        deps.admin_keys
            .open(&place_of(request), &sealed)
            .map(Repeated::Answered)
            .map_err(|error| StartError::Vault(Box::new(error)))
    }

    /// Keeps the answer of a request for its repetitions.
    ///
    /// # Errors
    /// When it cannot be sealed or the catalog does not answer.
    pub async fn keep_answer(
        &self,
        request: &Idempotency,
        attempt: Uuid,
        answer: &Secret,
    ) -> Result<(), StartError> {
        let deps = self.deps();
        let sealed = deps
            .admin_keys
            .seal(&deps.entropy, &place_of(request), answer)
            .map_err(|error| StartError::Vault(Box::new(error)))?;
        let mut conn = deps.catalog.acquire().await?;
        let (operator, key) = (request.operator, &request.key);
        idempotent_answers::answer(&mut conn, operator, key, attempt, &sealed).await?;
        Ok(())
    }

    /// Frees the key of a request that was refused or failed.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn forget_repetition(
        &self,
        request: &Idempotency,
        attempt: Uuid,
    ) -> Result<(), StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        idempotent_answers::forget(&mut conn, request.operator, &request.key, attempt).await?;
        Ok(())
    }
}

fn place_of(request: &Idempotency) -> Place<'static> {
    Place::idempotent_answer(request.operator, &request.key)
}
