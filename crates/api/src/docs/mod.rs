//! `/docs`: the OpenAPI document as a page, without anything from another host.
//!
//! The page is drawn by RapiDoc 9.3.8 (npm `rapidoc`, MIT), a single script that lies in `assets` as it
//! was published. It was taken because it is half the size of its rivals and needs no build.

pub(crate) mod asset;
pub(crate) mod show;
