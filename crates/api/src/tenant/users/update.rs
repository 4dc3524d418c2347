//! `PATCH /users/{user}`

use axum::Json;
use sqlx::Connection;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::permission::UsersUpdate;
use tenantry_tenantdb::users::{self, Change};
use tenantry_types::{Email, Secret, UserId};
use utoipa::ToSchema;

use super::{View, settle};
use crate::context::{Allowed, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;

/// What is absent stays as it is.
#[derive(ToSchema)]
#[schema(as = UserPatch, rename_all = "camelCase", examples(json!({ "name": "Bob Butcher", "isActive": false })))]
pub(crate) struct Patch {
    #[schema(value_type = words::Email, required = false)]
    email: Option<Email>,
    #[schema(value_type = words::PersonName, required = false)]
    name: Option<String>,
    /// A new one ends their sessions.
    #[schema(value_type = words::NewPassword, required = false)]
    password: Option<Secret>,
    /// All that they are to have.
    #[schema(value_type = Vec<words::RoleName>, max_items = 100, required = false)]
    roles: Option<Vec<String>>,
    /// `false` ends their sessions.
    #[schema(nullable = false)]
    is_active: Option<bool>,
}

impl FromFields for Patch {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            email: fields.optional("email", Email::parse),
            name: super::name(fields),
            password: fields.password("password"),
            roles: super::roles(fields),
            is_active: fields.flag("isActive"),
        })
    }
}

/// Changes a person. A new password and a deactivation end their sessions.
#[utoipa::path(
    patch, path = "/users/{user}", tag = "users", operation_id = "updateUser",
    params(("user" = words::UserId, Path, description = "The user's id.")),
    request_body = Patch,
    responses((status = 200, description = "The user.", body = View)),
    extensions(("x-problems" = json!(["EMAIL_TAKEN", "LAST_ADMIN", "USER_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    mut who: Allowed<UsersUpdate>,
    Path(id): Path<UserId>,
    Body(patch): Body<Patch>,
) -> Result<Json<View>, Problem> {
    let app = who.app().clone();
    let password_hash = match patch.password {
        Some(password) => Some(app.hashing.hash(password).await?),
        None => None,
    };
    let change = Change {
        email: patch.email,
        name: patch.name,
        is_active: patch.is_active,
        roles: patch.roles,
        password_hash,
    };
    let tenant = who.route().tenant_id();
    if let Some(email) = &change.email {
        super::list(&app, tenant, email).await?;
    }
    let moves = change.email.is_some();
    let mut conn = who.conn().await?;
    let mut tx = conn.begin().await.map_err(TenantDbError::from)?;
    let former = match moves {
        true => users::address(&mut tx, &who.granted, id).await?,
        false => None,
    };
    let changed = users::update(&mut tx, &who.granted, id, change, &app.clock).await;
    let user = settle(tx, changed).await?;
    conn.release();
    let is_former = |former: &String| user.as_ref().is_none_or(|user| user.email != *former);
    super::unlist(&app, tenant, former.filter(is_former).as_deref()).await;
    user.map(|user| Json(user.into()))
        .ok_or_else(|| Problem::not_found("USER_NOT_FOUND"))
}
