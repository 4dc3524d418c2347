//! `tenantry operators …`: a client of `/setup/operators`.

mod create;
mod list;
mod revoke;
mod role;
mod rotate;
mod update;

use clap::Subcommand;

use serde_json::Value;

use super::Global;
use crate::failure::Result;
use crate::output::{self, Output, Shape, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry operators create sign-up --role provisioner --ttl 90d
  tenantry operators list
  tenantry operators update deploy-bot --role read-only
  tenantry operators rotate deploy-bot --overlap 24h
  tenantry operators revoke deploy-bot";

/// What can be done with operators.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Operators {
    /// Let a person or program run the control plane; shows their token once
    Create(create::Create),
    /// List operators
    List(list::List),
    /// Set what an operator may do, or when their token ends
    Update(update::Update),
    /// Give an operator another token; shows it once
    Rotate(rotate::Rotate),
    /// End an operator's token
    Revoke(revoke::Revoke),
}

impl Operators {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Create(command) => command.run(global).await,
            Self::List(command) => command.run(global).await,
            Self::Update(command) => command.run(global).await,
            Self::Rotate(command) => command.run(global).await,
            Self::Revoke(command) => command.run(global).await,
        }
    }
}

/// An operator with the token, which is told once.
fn tell_token(answer: &Value, output: Output) -> Result<()> {
    match output {
        Output::Json => output::json(answer),
        Output::Table => {
            output::fields([
                ("id", Shape::Whole, text(answer, "operatorId")),
                ("name", Shape::Text, text(answer, "name")),
                ("role", Shape::Whole, text(answer, "role")),
                ("expires", Shape::Time, text(answer, "expiresAt")),
                ("token", Shape::Whole, text(answer, "token")),
            ])?;
            note("Keep the token now: it is not shown again.");
            Ok(())
        }
    }
}
