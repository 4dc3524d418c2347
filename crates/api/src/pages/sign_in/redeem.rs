//! `POST /sign-in/redeem`: the last step of a sign-in that began at a base domain.

use axum::response::Response;
use tenantry_types::Secret;

use crate::context::{ClientAddress, Senders, Visitor};
use crate::fields::{Fields, FromFields};
use crate::form::{Form, FormFields};
use crate::problem::Problem;

/// What the base domain gave for this tenant.
pub(crate) struct Code(Secret);

impl FromFields for Code {
    // Anyone may send one.
    const LARGEST: usize = 1024;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        fields.required_secret("code").map(Self)
    }
}

impl FormFields for Code {
    // Whoever else could send it would sign a person in to an account of his own choice.
    const SENDERS: Senders = Senders::OwnOrBase;
}

/// Begins the session, and leads away from the form.
pub(crate) async fn handle(
    visitor: Visitor,
    client: ClientAddress,
    Form(Code(code)): Form<Code>,
) -> Result<Response, Problem> {
    let _ = (visitor, client, code);
    Err(Problem::not_found("NOT_FOUND"))
}
