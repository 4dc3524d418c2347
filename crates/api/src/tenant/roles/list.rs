//! `GET /roles`

use axum::Json;
use serde::Serialize;
use tenantry_tenantdb::permission::RolesList;
use tenantry_tenantdb::roles;
use tenantry_types::RoleId;

use crate::context::{Allowed, Items};
use crate::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    role_id: RoleId,
    name: String,
    description: String,
    is_builtin: bool,
    permissions: Vec<String>,
}

/// All roles with what they allow.
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
