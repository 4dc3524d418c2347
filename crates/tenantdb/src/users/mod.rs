//! The people of a tenant.
//!
//! Three rules hold for every change, whoever makes it:
//! - nobody gives a role that holds a permission they lack, nor touches a person who holds one
//!   (else `users:update` would be as good as every permission);
//! - one active person with the role Admin remains;
//! - a new password, a deactivation and a deletion end the person's sessions.

mod guard;
mod read;
mod write;

pub use read::{address, addresses, credentials_by_email, get, own, page};
pub use write::{insert, remove, update};

use tenantry_types::{Email, ErrorKind, Timestamp, UserId};

use crate::TenantDbError;
use crate::passwords::PasswordHash;

/// A person of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never changes; ordered by when they were added.
    pub id: UserId,
    /// As it is stored: a product may write to the table, too.
    pub email: String,
    /// What they are called; may be empty.
    pub name: String,
    /// Whether they may sign in.
    pub is_active: bool,
    /// The names of their roles, sorted.
    pub roles: Vec<String>,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they were last changed.
    pub updated_at: Timestamp,
}

/// A person to add.
#[derive(Clone, Debug)]
pub struct New {
    /// Where mail reaches them, and what they sign in with.
    pub email: Email,
    /// What they are called; may be empty.
    pub name: String,
    /// Whether they may sign in.
    pub is_active: bool,
    /// By name.
    pub roles: Vec<String>,
    /// None when they set a password later.
    pub password_hash: Option<PasswordHash>,
}

/// What to change of a person; none leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Where mail reaches them.
    pub email: Option<Email>,
    /// What they are called.
    pub name: Option<String>,
    /// Whether they may sign in.
    pub is_active: Option<bool>,
    /// All roles they have from now on, by name.
    pub roles: Option<Vec<String>>,
    /// A new password.
    pub password_hash: Option<PasswordHash>,
}

/// Why a change of a person is refused.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Another person has this address.
    #[error("another person has this mail address")]
    EmailTaken,
    /// There are no such roles.
    #[error("there is no role {}", .0.join(", "))]
    UnknownRoles(Vec<String>),
    /// The role or the person holds a permission that the asker lacks.
    #[error("needs permission {permission}, which you do not have")]
    Escalation {
        /// One that is lacking.
        permission: String,
    },
    /// They are the last active person with the role Admin.
    #[error("the last active person with the role Admin must keep it")]
    LastAdmin,
    /// The database's own reasons.
    #[error(transparent)]
    Db(#[from] TenantDbError),
}

impl UserError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::EmailTaken | Self::LastAdmin => ErrorKind::Conflict,
            Self::UnknownRoles(_) => ErrorKind::Invalid,
            Self::Escalation { .. } => ErrorKind::Forbidden,
            Self::Db(error) => error.kind(),
        }
    }

    /// The stable code for an API's answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmailTaken => "EMAIL_TAKEN",
            Self::LastAdmin => "LAST_ADMIN",
            Self::UnknownRoles(_) => "UNKNOWN_ROLE",
            Self::Escalation { .. } => "PERMISSION_DENIED",
            Self::Db(error) => error.code(),
        }
    }
}

impl From<sqlx::Error> for UserError {
    fn from(error: sqlx::Error) -> Self {
        if crate::error::violates(&error, "users_email_key") {
            Self::EmailTaken
        } else {
            Self::Db(error.into())
        }
    }
}
