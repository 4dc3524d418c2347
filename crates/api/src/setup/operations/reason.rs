//! Why somebody decides something about an operation: one line for people, kept in the audit trail.

use utoipa::ToSchema;

use crate::fields::{Fields, FromFields, line};
use crate::openapi::words;

const MOST: usize = 200;

/// Why an operation is to end short of its goal.
#[derive(ToSchema)]
#[schema(as = OperationReason, examples(json!({ "reason": "wrong region" })))]
pub(crate) struct Reason {
    #[schema(value_type = Option<words::Reason>)]
    pub(super) reason: Option<String>,
}

impl FromFields for Reason {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            reason: fields.optional("reason", |text| line(text, 1, MOST)),
        })
    }
}

/// Why a parked operation is given up. It must be said: a person takes over from the program.
#[derive(ToSchema)]
#[schema(as = AbandonReason, examples(json!({ "reason": "the server is gone for good" })))]
pub(crate) struct RequiredReason {
    #[schema(value_type = words::Reason)]
    pub(super) reason: String,
}

impl FromFields for RequiredReason {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            reason: fields.required("reason", |text| line(text, 1, MOST))?,
        })
    }
}
