//! The people of a tenant.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod update;

use serde::Serialize;
use sqlx::{Postgres, Transaction};
use tenantry_catalog::directory;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::users::{User, UserError};
use tenantry_types::{Email, TenantId, Timestamp, UserId};
use utoipa::ToSchema;

use crate::app::App;
use crate::fields::{Fields, line};
use crate::openapi::words;
use crate::problem::Problem;

/// How many roles a person can be given in one request.
const MOST_ROLES: usize = 100;

/// A user as told: never their password's hash.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(crate) struct View {
    #[schema(value_type = words::UserId)]
    user_id: UserId,
    #[schema(value_type = words::Email)]
    email: String,
    #[schema(value_type = words::PersonName)]
    name: String,
    /// Whether they can sign in.
    is_active: bool,
    #[schema(value_type = Vec<words::RoleName>)]
    roles: Vec<String>,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    #[schema(value_type = words::Timestamp)]
    updated_at: Timestamp,
}

impl From<User> for View {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id,
            email: user.email,
            name: user.name,
            is_active: user.is_active,
            roles: user.roles,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// Commits what was done, or rolls it back, so that the connection can go on.
async fn settle<T>(
    tx: Transaction<'_, Postgres>,
    outcome: Result<T, UserError>,
) -> Result<T, Problem> {
    match outcome {
        Ok(done) => {
            tx.commit().await.map_err(TenantDbError::from)?;
            Ok(done)
        }
        Err(error) => {
            // When this fails as well, the router closes the connection.
            let _ = tx.rollback().await;
            Err(error.into())
        }
    }
}

/// Lists an address in the directory, before anybody in the tenant has it: whoever can sign in is
/// found at the base domain. Without the catalog nobody is added.
async fn list(app: &App, tenant: TenantId, email: &Email) -> Result<(), Problem> {
    let mut conn = app.catalog().await?;
    let hash = app.directory.hash(email);
    directory::put(&mut conn, tenant, app.directory.name(), &[hash]).await?;
    Ok(())
}

/// Takes an address off the directory after nobody has it any more. What was done is done, so a
/// failure is none of the client's: a row too many does no harm and is found later.
async fn unlist(app: &App, tenant: TenantId, former: Option<&str>) {
    // What is no address in our form was never listed.
    let Some(email) = former.and_then(|text| Email::parse(text).ok()) else {
        return;
    };
    let removed = async {
        let mut conn = app.catalog().await?;
        let hash = app.directory.hash(&email);
        directory::forget(&mut conn, tenant, &hash).await?;
        Ok::<_, Problem>(())
    };
    if let Err(problem) = removed.await {
        tracing::warn!(%tenant, code = problem.code(), "an address stays in the directory for now");
    }
}

fn name(fields: &mut Fields) -> Option<String> {
    fields.optional("name", |text| line(text, 0, 200))
}

fn roles(fields: &mut Fields) -> Option<Vec<String>> {
    fields.list("roles", MOST_ROLES, |text| line(text, 1, 100))
}
