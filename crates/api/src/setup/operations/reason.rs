//! Why somebody decides something about an operation: one line for people, kept in the audit trail.

use tenantry_types::Reason;
use utoipa::ToSchema;

use crate::fields::{Fields, FromFields};
use crate::openapi::words;

/// Why an operation is to end short of its goal.
#[derive(ToSchema)]
#[schema(as = OperationReason, examples(json!({ "reason": "wrong region" })))]
pub(crate) struct OptionalReason {
    #[schema(value_type = words::Reason, required = false)]
    pub(super) reason: Option<Reason>,
}

impl FromFields for OptionalReason {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            reason: fields.optional("reason", Reason::parse),
        })
    }
}

/// Why a parked operation is given up. It must be said: a person takes over from the program.
#[derive(ToSchema)]
#[schema(as = AbandonReason, examples(json!({ "reason": "the server is gone for good" })))]
pub(crate) struct RequiredReason {
    #[schema(value_type = words::Reason)]
    pub(super) reason: Reason,
}

impl FromFields for RequiredReason {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            reason: fields.required("reason", Reason::parse)?,
        })
    }
}
