//! `POST /users`

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use sqlx::Connection;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::permission::UsersCreate;
use tenantry_tenantdb::users::{self, New};
use tenantry_types::{Email, Secret};
use utoipa::ToSchema;

use super::{View, settle};
use crate::context::Allowed;
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;

/// A person to add.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(json!({ "email": "bob@acme.example", "name": "Bob Baker", "password": "correct horse battery", "roles": ["admin"] })))]
pub(crate) struct NewUser {
    #[schema(value_type = words::Email)]
    email: Email,
    /// By default empty.
    #[schema(value_type = words::PersonName, required = false)]
    name: String,
    /// Without one they cannot sign in.
    #[schema(value_type = words::NewPassword, required = false)]
    password: Option<Secret>,
    /// By default none.
    #[schema(value_type = Vec<words::RoleName>, max_items = 100, required = false)]
    roles: Vec<String>,
    /// Whether they can sign in; by default yes.
    #[schema(default = true, required = false)]
    is_active: bool,
}

impl FromFields for NewUser {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.required("email", Email::parse);
        let name = super::name(fields);
        let password = fields.password("password");
        let roles = super::roles(fields);
        let is_active = fields.flag("isActive");
        Some(Self {
            email: email?,
            name: name.unwrap_or_default(),
            password,
            roles: roles.unwrap_or_default(),
            is_active: is_active.unwrap_or(true),
        })
    }
}

/// Adds a person. Without a password they cannot sign in until they have one.
#[utoipa::path(
    post, path = "/users", tag = "users", operation_id = "createUser",
    request_body = NewUser,
    responses(
        (
            status = 201,
            description = "The user.",
            body = View,
            headers(("location" = String, description = "The user.")),
        ),
    ),
    extensions(("x-problems" = json!(["EMAIL_TAKEN"]))),
)]
pub(crate) async fn handle(
    mut who: Allowed<UsersCreate>,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    let app = who.app().clone();
    // Before a connection is taken: hashing takes as long as many queries.
    let password_hash = match new.password {
        Some(password) => Some(app.hashing.hash(password).await?),
        None => None,
    };
    let new = New {
        email: new.email,
        name: new.name,
        is_active: new.is_active,
        roles: new.roles,
        password_hash,
    };
    super::list(&app, who.route().tenant_id(), &new.email).await?;
    let mut conn = who.conn().await?;
    let mut tx = conn.begin().await.map_err(TenantDbError::from)?;
    let made = users::insert(&mut tx, &who.granted, new, &app.clock, &app.entropy).await;
    let user = settle(tx, made).await?;
    conn.release();

    let location = format!("/users/{}", user.id);
    let body = Json(View::from(user));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}
