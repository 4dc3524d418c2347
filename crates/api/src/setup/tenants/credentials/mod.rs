//! The product's own login to a tenant's database, issued anew.

pub(crate) mod create;
pub(crate) mod issued;
