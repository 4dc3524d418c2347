//! `tenantry clusters …`: a client of `/setup/clusters`.

mod add;
mod drain;
mod list;
mod remove;
mod set_budget;
mod show;
mod update;

use clap::Subcommand;
use serde_json::Value;

use super::Global;
use crate::failure::Result;
use crate::output::{self, Shape, text};

const EXAMPLES: &str = "\
Examples:
  export TENANTRY_CLUSTER_URL='postgres://admin:…@db-2.internal/postgres?sslmode=verify-full'
  tenantry clusters add eu-2 --root-ca ca.pem --region eu-central --capacity 500 --check
  tenantry clusters add eu-2 --root-ca ca.pem --region eu-central --capacity 500
  tenantry clusters list
  tenantry clusters update eu-2 --weight 50
  tenantry clusters set-budget default 200
  tenantry clusters drain default
  tenantry clusters remove default";

/// What can be done with clusters.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Clusters {
    /// Register a Postgres server for tenants, after a look whether it is fit
    Add(add::Add),
    /// List the Postgres servers that hold tenants' databases, and what is taken of their budgets
    List(list::List),
    /// Show one cluster and what it holds
    Show(show::Show),
    /// Change what a cluster takes, or the way to it
    Update(update::Update),
    /// Set how many connections may be open on a cluster, over all tenants and routers
    SetBudget(set_budget::SetBudget),
    /// Put no new tenants on a cluster any more
    Drain(drain::Drain),
    /// Put new tenants on a cluster again
    Accept(drain::Accept),
    /// Remove a cluster that is drained and holds nothing of a tenant
    Remove(remove::Remove),
}

impl Clusters {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Add(command) => command.run(global).await,
            Self::List(command) => command.run(global).await,
            Self::Show(command) => command.run(global).await,
            Self::Update(command) => command.run(global).await,
            Self::SetBudget(command) => command.run(global).await,
            Self::Drain(command) => command.run(global).await,
            Self::Accept(command) => command.run(global).await,
            Self::Remove(command) => command.run(global).await,
        }
    }
}

fn print(cluster: &Value) -> Result<()> {
    let is = |name: &'static str| text(cluster, name);
    let capacity = is("capacity");
    let tenants = match capacity.is_empty() {
        true => is("tenants"),
        false => format!("{} of {capacity}", is("tenants")),
    };
    let authority = match cluster.get("rootCa") {
        Some(_) => "of its own".to_owned(),
        None => String::new(),
    };
    output::fields([
        ("id", Shape::Whole, is("clusterId")),
        ("name", Shape::Text, is("name")),
        ("status", Shape::State, is("status")),
        (
            "address",
            Shape::Text,
            format!("{}:{}", is("host"), is("port")),
        ),
        ("tls", Shape::Whole, is("tls")),
        ("authority", Shape::Text, authority),
        ("region", Shape::Whole, is("region")),
        ("weight", Shape::Whole, is("weight")),
        ("tenants", Shape::Text, tenants),
        ("spares", Shape::Whole, is("spares")),
        ("budget", Shape::Whole, is("connectionBudget")),
        ("open", Shape::Whole, is("open")),
        ("waiting", Shape::Whole, is("waiting")),
        ("created", Shape::Time, is("createdAt")),
    ])
}
