//! `DELETE /users/{user}`

use http::StatusCode;
use sqlx::Connection;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::permission::UsersDelete;
use tenantry_tenantdb::users;
use tenantry_types::UserId;

use super::settle;
use crate::context::{Allowed, Path};
use crate::openapi::words;
use crate::problem::Problem;

/// Removes a person with their sessions.
#[utoipa::path(
    delete, path = "/users/{user}", tag = "users", operation_id = "deleteUser",
    params(("user" = words::UserId, Path, description = "The user's id.")),
    responses((status = 204, description = "They are gone, with their sessions.")),
    extensions(("x-problems" = json!(["LAST_ADMIN", "USER_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    mut who: Allowed<UsersDelete>,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    let mut conn = who.conn().await?;
    let mut tx = conn.begin().await.map_err(TenantDbError::from)?;
    let former = users::address(&mut tx, &who.granted, id).await?;
    let removed = users::remove(&mut tx, &who.granted, id).await;
    let removed = settle(tx, removed).await?;
    conn.release();
    if removed {
        super::unlist(who.app(), who.route().tenant_id(), former.as_deref()).await;
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("USER_NOT_FOUND"))
    }
}
