//! `GET /users/{user}`

use axum::Json;
use tenantry_tenantdb::permission::UsersRead;
use tenantry_tenantdb::users;
use tenantry_types::UserId;

use super::View;
use crate::context::{Allowed, Path};
use crate::openapi::words;
use crate::problem::Problem;

/// One person.
#[utoipa::path(
    get, path = "/users/{user}", tag = "users", operation_id = "getUser",
    params(("user" = words::UserId, Path, description = "The user's id.")),
    responses((status = 200, description = "The user.", body = View)),
    extensions(("x-problems" = json!(["USER_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    mut who: Allowed<UsersRead>,
    Path(id): Path<UserId>,
) -> Result<Json<View>, Problem> {
    let mut conn = who.conn().await?;
    let user = users::get(&mut conn, &who.granted, id).await?;
    conn.release();
    user.map(|user| Json(user.into()))
        .ok_or_else(|| Problem::not_found("USER_NOT_FOUND"))
}
