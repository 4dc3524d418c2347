//! `GET /.well-known/jwks.json`: the public keys that access tokens are verified with (RFC 7517).

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;

use crate::app::App;
use crate::context::Anyone;

/// Kept for five minutes by those who verify; a new key is listed before it signs.
pub(crate) async fn handle(_: Anyone, State(app): State<App>) -> impl IntoResponse {
    let headers = [(CACHE_CONTROL, "public, max-age=300")];
    (headers, Json(app.tokens.jwks().clone()))
}
