//! `tenantry tenants …`: a client of `/setup/tenants`.

mod create;
mod delete;
mod list;
mod show;
mod undelete;

use clap::Subcommand;
use serde_json::Value;

use super::Global;
use crate::failure::Result;
use crate::output::{self, text};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// Create a tenant with its own database
    Create(create::Create),
    /// List tenants
    List(list::List),
    /// Show one tenant
    Show(show::Show),
    /// Delete a tenant; it can be brought back until its grace period ends
    Delete(delete::Delete),
    /// Bring a deleted tenant back
    Undelete(undelete::Undelete),
}

impl Tenants {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Create(command) => command.run(global).await,
            Self::List(command) => command.run(global).await,
            Self::Show(command) => command.run(global).await,
            Self::Delete(command) => command.run(global).await,
            Self::Undelete(command) => command.run(global).await,
        }
    }
}

/// A tenant for a person.
fn print(tenant: &Value) -> Result<()> {
    output::fields([
        ("id", text(tenant, "tenantId")),
        ("slug", text(tenant, "slug")),
        ("name", text(tenant, "name")),
        ("status", text(tenant, "status")),
        ("reason", text(tenant, "statusReason")),
        ("plan", text(tenant, "plan")),
        ("url", text(tenant, "url")),
        ("cluster", text(tenant, "cluster")),
        ("database", text(tenant, "dbName")),
        ("migration error", text(tenant, "migrationError")),
        ("purged at", text(tenant, "purgeAt")),
        ("created at", text(tenant, "createdAt")),
    ])
}
