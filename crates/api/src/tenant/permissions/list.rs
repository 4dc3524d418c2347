//! `GET /permissions`

use axum::Json;
use serde::Serialize;
use tenantry_tenantdb::permission::PermissionsList;
use tenantry_tenantdb::permissions;
use utoipa::ToSchema;

use crate::context::{Allowed, Items};
use crate::openapi::words;
use crate::problem::Problem;

/// Something that a role can allow.
#[derive(Serialize, ToSchema)]
#[schema(as = PermissionEntry)]
pub(crate) struct View {
    #[schema(value_type = words::Permission)]
    permission: String,
    #[schema(example = "users")]
    resource: String,
    #[schema(example = "list")]
    action: String,
    description: String,
}

/// Everything that a role can allow.
#[utoipa::path(
    get, path = "/permissions", tag = "users", operation_id = "listPermissions",
    responses((status = 200, description = "All permissions, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(
    mut who: Allowed<PermissionsList>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = who.conn().await?;
    let all = permissions::list(&mut conn, &who.granted).await?;
    conn.release();
    Ok(Json(Items::whole(all.into_iter().map(|one| View {
        permission: format!("{}:{}", one.resource, one.action),
        resource: one.resource,
        action: one.action,
        description: one.description,
    }))))
}
