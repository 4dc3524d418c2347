//! `tenantry tenants update`: `PATCH /setup/tenants/{id or slug}`.

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants update acme --name 'Acme Ltd' --plan pro
  tenantry tenants update acme --metadata '{\"crm\": 17, \"trial\": null}'   null removes a key
  tenantry tenants update acme --max-connections 20
  tenantry tenants update acme --max-connections default                   what its plan says";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub struct Update {
    /// Its id or slug
    tenant: String,
    /// Its name for people
    #[arg(long, group = "change")]
    name: Option<String>,
    /// Its plan
    #[arg(long, group = "change")]
    plan: Option<String>,
    /// What changes of your own data about it: a JSON object that is merged into what is there
    #[arg(long, group = "change", value_name = "JSON", value_parser = super::create::object)]
    metadata: Option<Value>,
    /// How many connections each router may hold for it, or `default`
    #[arg(long, group = "change", value_name = "NUMBER", value_parser = limit)]
    max_connections: Option<Limit>,
}

/// A limit of the tenant's own, or what its plan says.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Own(u32),
    Default,
}

impl Update {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = self.body();
        let updated = client.patch(&["tenants", &self.tenant], body).await?;
        match global.output {
            Output::Json => output::json(&updated),
            Output::Table => super::print(&updated),
        }
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        for (field, value) in [("name", &self.name), ("plan", &self.plan)] {
            if let Some(value) = value {
                body.insert(field.to_owned(), json!(value));
            }
        }
        if let Some(metadata) = &self.metadata {
            body.insert("metadata".to_owned(), metadata.clone());
        }
        if let Some(limit) = self.max_connections {
            let most = match limit {
                Limit::Own(most) => json!(most),
                Limit::Default => Value::Null,
            };
            body.insert("limits".to_owned(), json!({ "maxConnections": most }));
        }
        Value::Object(body)
    }
}

fn limit(text: &str) -> std::result::Result<Limit, String> {
    match text {
        "default" => Ok(Limit::Default),
        text => text
            .parse()
            .map(Limit::Own)
            .map_err(|_| "write a whole number, or `default`".to_owned()),
    }
}
