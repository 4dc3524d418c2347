//! Roles: named sets of permissions.

pub(crate) mod list;
