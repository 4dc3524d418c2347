//! `GET /roles`

use axum::Json;
use serde::Serialize;
use tenantry_tenantdb::permission::RolesList;
use tenantry_tenantdb::roles;
use tenantry_types::RoleId;
use utoipa::ToSchema;

use crate::context::{Allowed, Items};
use crate::openapi::words;
use crate::problem::Problem;

/// A named set of permissions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Role)]
pub(crate) struct View {
    #[schema(value_type = words::RoleId)]
    role_id: RoleId,
    #[schema(value_type = words::RoleName)]
    name: String,
    description: String,
    /// Whether every tenant has it from its birth.
    is_builtin: bool,
    #[schema(value_type = Vec<words::Permission>)]
    permissions: Vec<String>,
}

/// All roles with what they allow.
#[utoipa::path(
    get, path = "/roles", tag = "users", operation_id = "listRoles",
    responses((status = 200, description = "All roles, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(mut who: Allowed<RolesList>) -> Result<Json<Items<View>>, Problem> {
    let mut conn = who.conn().await?;
    let roles = roles::list(&mut conn, &who.granted).await?;
    conn.release();
    Ok(Json(Items::whole(roles.into_iter().map(|role| View {
        role_id: role.id,
        name: role.name,
        description: role.description,
        is_builtin: role.is_builtin,
        permissions: role.permissions,
    }))))
}
