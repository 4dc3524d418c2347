//! The people of a tenant.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod update;

use serde::Serialize;
use sqlx::{Postgres, Transaction};
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::users::{User, UserError};
use tenantry_types::{Timestamp, UserId};

use crate::fields::{Fields, line};
use crate::problem::Problem;

/// How many roles a person can be given in one request.
const MOST_ROLES: usize = 100;

/// A user as told: never their password's hash.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    user_id: UserId,
    email: String,
    name: String,
    is_active: bool,
    roles: Vec<String>,
    created_at: Timestamp,
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

fn name(fields: &mut Fields) -> Option<String> {
    fields.optional("name", |text| line(text, 0, 200))
}

fn roles(fields: &mut Fields) -> Option<Vec<String>> {
    fields.list("roles", MOST_ROLES, |text| line(text, 1, 100))
}
