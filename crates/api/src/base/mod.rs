//! What the base domain answers by itself, for people who have not said which tenant they mean.

pub(crate) mod auth;
