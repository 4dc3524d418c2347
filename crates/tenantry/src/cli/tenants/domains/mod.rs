//! `tenantry tenants domains …`: a client of `/setup/tenants/{id or slug}/domains`.

mod add;
mod list;
mod remove;
mod verify;

use clap::Subcommand;
use serde_json::Value;

use crate::cli::Global;
use crate::failure::Result;
use crate::output::{self, Output, Shape, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants domains add acme shop.acme.example --primary    tells the DNS record to set
  tenantry tenants domains verify acme shop.acme.example           looks for it now
  tenantry tenants domains list acme";

/// What can be done with the host names of a tenant.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Domains {
    /// List the host names that lead to a tenant
    List(list::List),
    /// Give a tenant a domain of its own; tells the DNS record that proves it
    Add(add::Add),
    /// Look for the record of a domain now, and serve the domain if it is there
    Verify(verify::Verify),
    /// Take a domain from a tenant
    Remove(remove::Remove),
}

impl Domains {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::Add(command) => command.run(global).await,
            Self::Verify(command) => command.run(global).await,
            Self::Remove(command) => command.run(global).await,
        }
    }
}

/// A domain as it was answered.
fn print(domain: &Value, output: Output) -> Result<()> {
    if output == Output::Json {
        return output::json(domain);
    }
    let is = |name: &'static str| text(domain, name);
    let record = |name| {
        domain
            .get("record")
            .map_or_else(String::new, |record| text(record, name))
    };
    let check = |name| {
        domain
            .get("lastCheck")
            .map_or_else(String::new, |check| text(check, name))
    };
    output::fields([
        ("domain", Shape::Whole, is("domain")),
        ("state", Shape::State, is("state")),
        ("primary", Shape::Text, is("primary")),
        ("url", Shape::Text, is("url")),
        ("record type", Shape::Whole, record("type")),
        ("record name", Shape::Whole, record("name")),
        ("record value", Shape::Whole, record("value")),
        ("last check", Shape::Text, check("outcome")),
        ("checked", Shape::Time, check("at")),
        ("next check", Shape::Time, is("nextCheckAt")),
        ("redirects until", Shape::Time, is("redirectsUntil")),
        ("record gone since", Shape::Time, is("unprovenSince")),
    ])
}
