//! `tenantry tenants …`: a client of `/setup/tenants`.

mod adopt;
mod aliases;
mod create;
mod credentials;
mod delete;
mod domains;
mod dump;
mod explain;
mod list;
mod logins;
mod rename;
mod restore;
mod resume;
mod show;
mod suspend;
mod turned;
mod unadopt;
mod undelete;
mod update;
mod url;

use clap::{Args, Subcommand};
use serde_json::Value;

pub(super) use self::dump::document;
pub(super) use self::logins::issue::Wanted;
use super::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Shape, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants create acme --admin-email ann@acme.example
  tenantry tenants list --status deleting
  tenantry tenants explain acme
  tenantry tenants delete acme
  tenantry tenants domains add acme shop.acme.example";

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Tenants {
    /// Create a tenant with its own database
    Create(create::Create),
    /// Make a tenant of a database that exists, where it stands
    Adopt(adopt::Adopt),
    /// Give an adopted database back as it was, and forget the tenant
    Unadopt(unadopt::Unadopt),
    /// List tenants
    List(list::List),
    /// Show one tenant
    Show(show::Show),
    /// Tell why a tenant cannot connect
    Explain(explain::Explain),
    /// Delete a tenant; it can be brought back until its grace period ends
    Delete(delete::Delete),
    /// Bring a deleted tenant back
    Undelete(undelete::Undelete),
    /// Change a tenant's name, plan, data or limits
    Update(update::Update),
    /// Give a tenant another slug; its former host redirects for a time
    Rename(rename::Rename),
    /// Take a tenant out of service, with a reason that its people read
    Suspend(suspend::Suspend),
    /// Serve a suspended tenant again
    Resume(resume::Resume),
    /// Issue another database login to your product; the present one stays good for a while
    Credentials(credentials::Credentials),
    /// Write a tenant's database to a file, with pg_dump
    Dump(dump::Dump),
    /// Put a dump back into its tenant, or into a new one
    Restore(restore::Restore),
    /// Make a login for a person or a tool that ends by itself, and print it as a URL
    Url(url::Url),
    /// The logins that people and tools have for a time
    #[command(subcommand)]
    Logins(logins::Logins),
    /// The host names that lead to a tenant: its subdomain and domains of its own
    #[command(subcommand)]
    Domains(domains::Domains),
    /// The names of a tenant that requests carry in a header
    #[command(subcommand)]
    Aliases(aliases::Aliases),
}

impl Tenants {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Create(command) => command.run(global).await,
            Self::Adopt(command) => command.run(global).await,
            Self::Unadopt(command) => command.run(global).await,
            Self::List(command) => command.run(global).await,
            Self::Show(command) => command.run(global).await,
            Self::Explain(command) => command.run(global).await,
            Self::Delete(command) => command.run(global).await,
            Self::Undelete(command) => command.run(global).await,
            Self::Update(command) => command.run(global).await,
            Self::Rename(command) => command.run(global).await,
            Self::Suspend(command) => command.run(global).await,
            Self::Resume(command) => command.run(global).await,
            Self::Credentials(command) => command.run(global).await,
            Self::Dump(command) => command.run(global).await,
            Self::Restore(command) => command.run(global).await,
            Self::Url(command) => command.run(global).await,
            Self::Logins(command) => command.run(global).await,
            Self::Domains(command) => command.run(global).await,
            Self::Aliases(command) => command.run(global).await,
        }
    }
}

/// A tenant for a person.
fn print(tenant: &Value) -> Result<()> {
    let is = |name: &'static str| text(tenant, name);
    let limits = tenant.get("limits");
    let limit = limits.map_or_else(String::new, |limits| text(limits, "maxConnections"));
    output::fields([
        ("id", Shape::Whole, is("tenantId")),
        ("slug", Shape::Whole, is("slug")),
        ("name", Shape::Text, is("name")),
        ("status", Shape::State, is("status")),
        ("reason", Shape::Text, is("statusReason")),
        ("plan", Shape::Text, is("plan")),
        ("url", Shape::Text, is("url")),
        ("cluster", Shape::Text, is("cluster")),
        ("database", Shape::Whole, is("dbName")),
        ("migrations", Shape::State, is("schema")),
        ("max connections", Shape::Text, limit),
        ("suspended", Shape::Time, is("suspendedAt")),
        ("will be purged", Shape::Time, is("purgeAt")),
        ("created", Shape::Time, is("createdAt")),
    ])
}

/// How long a command that begins something stays.
#[derive(Args, Clone, Copy, Debug)]
struct Waiting {
    /// Wait for its end, however long it takes (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Begin it and tell the operation to follow
    #[arg(long)]
    no_wait: bool,
}

/// What was begun and goes on.
fn print_begun(answer: &Value) -> Result<()> {
    let id = text(answer, "operationId");
    output::fields([
        ("id", Shape::Whole, text(answer, "tenantId")),
        ("operation", Shape::Whole, id.clone()),
        ("status", Shape::State, text(answer, "status")),
    ])?;
    output::note(&format!("It goes on: tenantry operations show {id} --wait"));
    Ok(())
}

/// The failure of an operation that did not reach its goal.
pub(super) fn ended_as(status: &str, operation: &Value, id: &str) -> Failure {
    let why = operation.pointer("/error/message").and_then(Value::as_str);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Failure::new(
        Exit::Failed,
        format!("the operation ended as {status}{why}"),
    )
    .next(format!(
        "`tenantry operations show {id}` tells at which step"
    ))
}
