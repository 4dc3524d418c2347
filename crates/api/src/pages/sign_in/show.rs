//! `GET /sign-in`

use axum::response::Response;

use super::SignInPage;
use crate::context::{Authority, Front};
use crate::problem::Problem;

/// The empty form.
pub(crate) async fn handle(front: Front, host: Authority) -> Result<Response, Problem> {
    SignInPage::new(&front, &host).respond()
}
