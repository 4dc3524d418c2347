//! Permission as a type: data functions take a [`Granted`] of what they do, so that a handler that
//! forgot to ask does not compile.
//!
//! A [`Granted`] comes from [`Grants::require`] and from nowhere else, and [`Grants`] come from
//! [`principals::load`](crate::principals::load) and from nowhere else.
//!
//! It cannot be made up:
//! ```compile_fail
//! use tenantry_tenantdb::permission::{Granted, UsersList};
//! let granted: Granted<UsersList> = Granted { holder: todo!(), of: std::marker::PhantomData };
//! ```
//! and one permission is no other:
//! ```compile_fail
//! use sqlx::PgConnection;
//! use tenantry_tenantdb::permission::{Granted, RolesList};
//! use tenantry_tenantdb::users;
//! async fn all(conn: &mut PgConnection, granted: &Granted<RolesList>) {
//!     let _ = users::page(conn, granted, 10, None).await;
//! }
//! ```
//! while the right one opens the function:
//! ```no_run
//! use sqlx::PgConnection;
//! use tenantry_tenantdb::permission::{Granted, UsersList};
//! use tenantry_tenantdb::users;
//! async fn all(conn: &mut PgConnection, granted: &Granted<UsersList>) {
//!     let _ = users::page(conn, granted, 10, None).await;
//! }
//! ```

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use tenantry_types::{ErrorKind, UserId};

/// Something that can be allowed, `resource:action` in the registry of permissions.
pub trait Permission: sealed::Sealed {
    /// What it is about, e.g. `users`.
    const RESOURCE: &'static str;
    /// What may be done with it, e.g. `list`.
    const ACTION: &'static str;
    /// Whether every signed-in person holds it, whatever their roles.
    const EVERYONE: bool = false;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $resource:literal : $action:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
            impl sealed::Sealed for $name {}
            impl Permission for $name {
                const RESOURCE: &'static str = $resource;
                const ACTION: &'static str = $action;
            }
        )+
        /// Every permission that a function of this crate asks for, as `resource:action`.
        pub const ASKED_FOR: &[&str] = &[$(concat!($resource, ":", $action)),+];
    };
}

permissions! {
    /// See who is in the tenant.
    UsersList = "users":"list";
    /// See one person.
    UsersRead = "users":"read";
    /// Add people.
    UsersCreate = "users":"create";
    /// Change people and their roles.
    UsersUpdate = "users":"update";
    /// Remove people.
    UsersDelete = "users":"delete";
    /// See the roles.
    RolesList = "roles":"list";
    /// See what can be allowed.
    PermissionsList = "permissions":"list";
}

/// See one's own account and end one's own session: every signed-in person holds it.
#[derive(Debug)]
pub enum OwnAccount {}
impl sealed::Sealed for OwnAccount {}
impl Permission for OwnAccount {
    const RESOURCE: &'static str = "account";
    const ACTION: &'static str = "own";
    const EVERYONE: bool = true;
}

/// What one person may do, loaded with them.
#[derive(Clone, Debug)]
pub struct Grants(Arc<Holder>);

#[derive(Debug)]
struct Holder {
    user_id: UserId,
    permissions: BTreeSet<String>,
}

/// Proof that a person holds permission `P`.
pub struct Granted<P: Permission> {
    holder: Arc<Holder>,
    of: PhantomData<fn() -> P>,
}

/// The person lacks a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("permission {resource}:{action} is required")]
pub struct Denied {
    /// What it is about.
    pub resource: &'static str,
    /// What may be done with it.
    pub action: &'static str,
}

impl Denied {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }

    /// The stable code for an API's answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "PERMISSION_DENIED"
    }
}

impl Grants {
    pub(crate) fn new(user_id: UserId, permissions: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(Holder {
            user_id,
            permissions: permissions.into_iter().collect(),
        }))
    }

    /// Proof of one permission.
    ///
    /// # Errors
    /// When the person does not hold it.
    pub fn require<P: Permission>(&self) -> Result<Granted<P>, Denied> {
        let name = format!("{}:{}", P::RESOURCE, P::ACTION);
        if P::EVERYONE || self.0.permissions.contains(&name) {
            Ok(Granted {
                holder: Arc::clone(&self.0),
                of: PhantomData,
            })
        } else {
            Err(Denied {
                resource: P::RESOURCE,
                action: P::ACTION,
            })
        }
    }

    /// All permissions held, as `resource:action`, sorted.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.0.permissions.iter().map(String::as_str)
    }
}

impl<P: Permission> Granted<P> {
    /// Who holds it.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.holder.user_id
    }

    /// Everything its holder may do, for the rule that nobody gives away more than they have.
    pub(crate) fn held(&self) -> Vec<String> {
        self.holder.permissions.iter().cloned().collect()
    }
}

impl<P: Permission> std::fmt::Debug for Granted<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Granted({}:{})", P::RESOURCE, P::ACTION)
    }
}

mod sealed {
    pub trait Sealed {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(permissions: &[&str]) -> Grants {
        let user = UserId::from_uuid(uuid::Uuid::from_u128(1));
        Grants::new(user, permissions.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn each_permission_is_required_by_its_own_name() {
        fn check<P: Permission>() {
            let name = format!("{}:{}", P::RESOURCE, P::ACTION);
            assert!(
                grants(&[&name]).require::<P>().is_ok(),
                "{name} alone opens {name}"
            );
            let others: Vec<&str> = ASKED_FOR.iter().copied().filter(|n| *n != name).collect();
            let denied = grants(&others).require::<P>().expect_err(&name);
            assert_eq!(denied.to_string(), format!("permission {name} is required"));
        }
        check::<UsersList>();
        check::<UsersRead>();
        check::<UsersCreate>();
        check::<UsersUpdate>();
        check::<UsersDelete>();
        check::<RolesList>();
        check::<PermissionsList>();
    }

    #[test]
    fn everyone_holds_their_own_account_and_nothing_else() {
        assert!(grants(&[]).require::<OwnAccount>().is_ok());
        assert!(grants(&[]).require::<UsersRead>().is_err());
    }
}
