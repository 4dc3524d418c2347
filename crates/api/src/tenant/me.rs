//! `GET /me`

use axum::Json;
use serde::Serialize;
use tenantry_tenantdb::permission::OwnAccount;
use tenantry_types::{TenantId, UserId};
use utoipa::ToSchema;

use crate::context::Allowed;
use crate::openapi::words;

/// The signed-in user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Me)]
pub(crate) struct View {
    #[schema(value_type = words::UserId)]
    user_id: UserId,
    #[schema(value_type = words::Email)]
    email: String,
    #[schema(value_type = words::PersonName)]
    name: String,
    #[schema(value_type = Vec<words::RoleName>)]
    roles: Vec<String>,
    #[schema(value_type = Vec<words::Permission>)]
    permissions: Vec<String>,
    tenant: Tenant,
}

/// The tenant that somebody is in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MyTenant)]
struct Tenant {
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    #[schema(value_type = words::Slug)]
    slug: String,
    #[schema(value_type = words::TenantName)]
    name: String,
    #[schema(value_type = words::Plan)]
    plan: String,
}

/// Who asks, what they may do, and where they are.
#[utoipa::path(
    get, path = "/me", tag = "users", operation_id = "getMyself",
    responses((status = 200, description = "The signed-in user.", body = View)),
)]
pub(crate) async fn handle(mut who: Allowed<OwnAccount>) -> Json<View> {
    who.release();
    let route = who.route();
    let tenant = Tenant {
        tenant_id: route.tenant_id(),
        slug: route.slug().as_str().to_owned(),
        name: route.name().to_owned(),
        plan: route.plan().to_string(),
    };
    let principal = who.principal;
    Json(View {
        user_id: principal.user_id,
        email: principal.email.to_string(),
        name: principal.name,
        permissions: principal.grants.all().map(str::to_owned).collect(),
        roles: principal.roles,
        tenant,
    })
}
