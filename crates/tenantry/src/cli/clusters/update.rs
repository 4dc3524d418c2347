//! `tenantry clusters update`: `PATCH /setup/clusters/{id or name}`.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use tenantry_types::Secret;

use super::add;
use crate::cli::{Global, secret};
use crate::client::Client;
use crate::cluster_url::{self, ClusterUrl};
use crate::failure::{Failure, Result};
use crate::output::{self, Output};

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Update {
    /// Its id or name
    cluster: String,
    /// Its share of the tenants that ask for no cluster; 0: none
    #[arg(long, value_name = "NUMBER")]
    weight: Option<u32>,
    /// How many tenants it may hold; `none`: as many as come
    #[arg(long, value_name = "TENANTS", value_parser = capacity)]
    capacity: Option<Value>,
    /// Where it is; empty: nowhere in particular
    #[arg(long)]
    region: Option<String>,
    /// How many connections may be open there
    #[arg(long, value_name = "CONNECTIONS")]
    budget: Option<u32>,
    /// Another way to the same databases: postgres://admin:password@host:port/postgres?sslmode=…; `-` for
    /// stdin
    #[arg(long, value_name = "URL", value_parser = secret)]
    cluster_url: Option<Secret>,
    /// A file with the authority of the certificate there [default: public ones]
    #[arg(long, value_name = "FILE", requires = "cluster_url", value_hint = ValueHint::FilePath)]
    root_ca: Option<PathBuf>,
}

impl Update {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = self.body()?;
        let answer = client.patch(&["clusters", &self.cluster], body).await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => super::print(&answer),
        }
    }

    fn body(&self) -> Result<Value> {
        let mut body = match &self.cluster_url {
            None => json!({}),
            Some(url) => self.way(url)?,
        };
        if let Some(capacity) = &self.capacity {
            body["capacity"] = capacity.clone();
        }
        let others = [
            ("weight", json!(self.weight)),
            ("region", json!(self.region)),
            ("connectionBudget", json!(self.budget)),
        ];
        for (name, value) in others {
            if !value.is_null() {
                body[name] = value;
            }
        }
        Ok(body)
    }

    fn way(&self, url: &Secret) -> Result<Value> {
        let mut stdin = String::new();
        let given = match url.expose() {
            "-" => {
                std::io::stdin()
                    .read_to_string(&mut stdin)
                    .map_err(|error| {
                        Failure::because("the URL cannot be read from stdin", &error)
                    })?;
                Secret::new(stdin.trim())
            }
            _ => url.clone(),
        };
        let mut url = ClusterUrl::parse(&given)?;
        if let Some(file) = &self.root_ca {
            url.root_ca = Some(cluster_url::root_ca(file)?);
        }
        let mut way = add::way(&url);
        if url.root_ca.is_none() {
            // The way is all in the URL: an authority of before does not stay by itself.
            way["rootCa"] = json!("");
        }
        Ok(way)
    }
}

fn capacity(text: &str) -> std::result::Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        number => number
            .parse::<u32>()
            .map(|number| json!(number))
            .map_err(|_| "write a number of tenants, or none".to_owned()),
    }
}
