//! Signing in without knowing one's tenant.

pub(crate) mod login;
