//! Databases that exist already, and become tenants' where they stand.

pub(crate) mod check;
pub(crate) mod create;

mod request;

#[cfg(test)]
pub(crate) use request::Adoption;
