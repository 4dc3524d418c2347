//! What a person signs in with, and how they are refused, whichever door they came to.

use tenantry_types::{Email, ErrorKind, Secret};
use utoipa::ToSchema;

use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::throttle::TooMany;

/// Who signs in.
#[derive(Clone, ToSchema)]
#[schema(examples(json!({ "email": "ann@acme.example", "password": "correct horse battery" })))]
pub(crate) struct Credentials {
    #[schema(value_type = words::Email)]
    pub(crate) email: Email,
    #[schema(value_type = words::Secret)]
    pub(crate) password: Secret,
}

impl FromFields for Credentials {
    // Anyone may send one.
    const LARGEST: usize = 16 * 1024;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.required("email", Email::parse);
        let password = fields.required_secret("password");
        Some(Self {
            email: email?,
            password: password?,
        })
    }
}

/// Unknown, inactive or wrong about the password: nobody is told which.
pub(crate) fn wrong() -> Problem {
    Problem::new(ErrorKind::Unauthenticated, "INVALID_CREDENTIALS")
}

/// Unknown, used, over, another tenant's, or of a person who is not active any more.
pub(crate) fn wrong_code() -> Problem {
    Problem::new(ErrorKind::Unauthenticated, "INVALID_CODE")
}

/// Too many failures lately.
pub(crate) fn too_many(error: TooMany) -> Problem {
    Problem::new(ErrorKind::RateLimited, "TOO_MANY_ATTEMPTS").retry_after(error.retry_after)
}
