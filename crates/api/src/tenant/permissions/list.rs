//! `GET /permissions`

use axum::Json;
use serde::Serialize;
use tenantry_tenantdb::permission::PermissionsList;
use tenantry_tenantdb::permissions;

use crate::context::{Allowed, Items};
use crate::problem::Problem;

#[derive(Serialize)]
pub(crate) struct View {
    /// `resource:action`, as a 403 names it.
    permission: String,
    resource: String,
    action: String,
    description: String,
}

/// Everything that a role can allow.
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
