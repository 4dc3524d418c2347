//! Who asks for an operation.

use tenantry_types::OperatorId;

/// The operator (or the product itself) that asks, for the journal and the audit trail.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The operator; none when the product acts by itself, e.g. when a grace period ends.
    pub operator: Option<OperatorId>,
    /// A name for people.
    pub name: String,
    /// The request that asked.
    pub request_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// What the client calls itself, cut and cleaned.
    pub agent: Option<String>,
}

impl Asker {
    /// The product itself, for a stated reason, e.g. `sweeper`.
    #[must_use]
    pub fn product(reason: &str) -> Self {
        Self {
            operator: None,
            name: format!("tenantry:{reason}"),
            request_id: None,
            address: None,
            agent: None,
        }
    }
}

/// An `Idempotency-Key` and what it stands for.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Whose key it is: two operators may use the same text.
    pub operator: OperatorId,
    /// The key as it was sent.
    pub key: String,
    /// SHA-256 of the canonical request.
    pub request_hash: [u8; 32],
}
