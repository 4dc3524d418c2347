//! `PATCH /users/{user}`

use axum::Json;
use sqlx::Connection;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::permission::UsersUpdate;
use tenantry_tenantdb::users::{self, Change};
use tenantry_types::{Email, Secret, UserId};

use super::{View, settle};
use crate::context::{Allowed, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::problem::Problem;

/// What is absent stays as it is.
pub(crate) struct Patch {
    email: Option<Email>,
    name: Option<String>,
    password: Option<Secret>,
    roles: Option<Vec<String>>,
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
