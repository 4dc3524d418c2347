//! Who is asking: a person with a live session, their roles and what these allow.

use sqlx::PgConnection;
use tenantry_types::{Clock, Email, SessionId, UserId};

use crate::TenantDbError;
use crate::permission::Grants;

/// A signed-in person.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The person.
    pub user_id: UserId,
    /// The sign-in that the request belongs to.
    pub session_id: SessionId,
    /// Where mail reaches them.
    pub email: Email,
    /// What they are called; may be empty.
    pub name: String,
    /// The names of their roles, sorted.
    pub roles: Vec<String>,
    /// What they may do.
    pub grants: Grants,
}

/// Loads a person and what they may do, as it is now; one query.
///
/// None when there is no such person, they are inactive, or the session is not theirs, has ended or
/// is over: a token that was given out before tells none of this.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn load(
    conn: &mut PgConnection,
    user_id: UserId,
    session_id: SessionId,
    clock: &Clock,
) -> Result<Option<Principal>, TenantDbError> {
    let row = sqlx::query!(
        r#"SELECT u.email, u.name,
                  ARRAY(SELECT r.name
                        FROM tenantry.user_roles ur JOIN tenantry.roles r ON r.id = ur.role_id
                        WHERE ur.user_id = u.id ORDER BY 1) AS "roles!",
                  ARRAY(SELECT DISTINCT rp.resource || ':' || rp.action
                        FROM tenantry.user_roles ur
                        JOIN tenantry.role_permissions rp ON rp.role_id = ur.role_id
                        WHERE ur.user_id = u.id) AS "permissions!"
           FROM tenantry.users u
           JOIN tenantry.sessions s ON s.user_id = u.id
           WHERE u.id = $1 AND u.is_active
             AND s.id = $2 AND s.ended_at IS NULL AND s.expires_at > $3"#,
        user_id.as_uuid(),
        session_id.as_uuid(),
        clock.now(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Principal {
        user_id,
        session_id,
        email: Email::parse(&row.email).map_err(|_| TenantDbError::Corrupt("mail address"))?,
        name: row.name,
        roles: row.roles,
        grants: Grants::new(user_id, row.permissions),
    }))
}
