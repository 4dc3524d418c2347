//! `GET /.well-known/jwks.json`: the public keys that access tokens are verified with (RFC 7517).

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::Anyone;

/// A JSON Web Key Set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct KeySet {
    /// All keys that may have signed a token that still counts.
    pub(crate) keys: Vec<Key>,
}

/// A public key of Ed25519 (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SigningKey)]
pub(crate) struct Key {
    #[schema(example = "OKP")]
    pub(crate) kty: &'static str,
    #[schema(example = "Ed25519")]
    pub(crate) crv: &'static str,
    /// The key itself, in base64url.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    pub(crate) x: String,
    /// Its id, which a token names.
    pub(crate) kid: String,
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    pub(crate) usage: &'static str,
    #[schema(example = "EdDSA")]
    pub(crate) alg: &'static str,
}

/// Kept for five minutes by those who verify; a new key is listed before it signs.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "service", operation_id = "listSigningKeys",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517).", body = KeySet)),
)]
pub(crate) async fn handle(_: Anyone, State(app): State<App>) -> impl IntoResponse {
    let headers = [(CACHE_CONTROL, "public, max-age=300")];
    (headers, Json(app.tokens.jwks().clone()))
}
