//! `GET /me`

use axum::Json;
use serde::Serialize;
use tenantry_tenantdb::permission::OwnAccount;
use tenantry_types::{TenantId, UserId};

use crate::context::Allowed;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    user_id: UserId,
    email: String,
    name: String,
    roles: Vec<String>,
    permissions: Vec<String>,
    tenant: Tenant,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tenant {
    tenant_id: TenantId,
    slug: String,
    name: String,
    plan: String,
}

/// Who asks, what they may do, and where they are.
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
