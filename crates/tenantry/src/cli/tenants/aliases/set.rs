//! `tenantry tenants aliases set`: `PUT /setup/tenants/{id or slug}/aliases`.

use clap::Args;
use serde_json::json;

use super::Kind;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Shape, note, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Set {
    /// The tenant's id or slug
    tenant: String,
    /// What kind of name it is
    kind: Kind,
    /// The identifier; a channel token is made and shown once
    value: Option<String>,
}

impl Set {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let body = match (self.kind, &self.value) {
            (Kind::ChannelToken, None) => json!({ "kind": self.kind.word() }),
            // An argument is seen by everybody on this machine.
            (Kind::ChannelToken, Some(_)) => {
                return Err(Failure::usage(
                    "a channel token is a secret and no argument of a command",
                )
                .next("leave it out and one is made, or send your own to the setup API"));
            }
            (_, None) => {
                return Err(Failure::usage("an identifier is missing").next(
                    "write it last, like `tenantry tenants aliases set acme app-id web-shop`",
                ));
            }
            (kind, Some(value)) => json!({ "kind": kind.word(), "value": value }),
        };
        let client = Client::connect(global)?;
        let alias = client
            .put(&["tenants", &self.tenant, "aliases"], body)
            .await?;
        if global.output == Output::Json {
            return output::json(&alias);
        }
        let is = |name: &'static str| text(&alias, name);
        output::fields([
            ("id", Shape::Whole, is("aliasId")),
            ("kind", Shape::Text, is("kind")),
            ("value", Shape::Whole, is("value")),
            ("token", Shape::Whole, is("token")),
            ("created", Shape::Time, is("createdAt")),
        ])?;
        if !is("token").is_empty() {
            note("Keep the token now: it is not shown again.");
        }
        Ok(())
    }
}
