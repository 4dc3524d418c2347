//! `tenantry clusters add`: `POST /setup/clusters`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use tenantry_types::Secret;

use crate::cli::{Global, secret};
use crate::client::Client;
use crate::cluster_url::{self, ClusterUrl};
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, note, text};

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Add {
    /// A name for it
    name: String,
    /// The server with its admin login: postgres://admin:password@host:port/postgres?sslmode=…
    /// [sslmode by default: verify-full]
    #[arg(long, env = "TENANTRY_CLUSTER_URL", hide_env_values = true, value_name = "URL", value_parser = secret)]
    cluster_url: Secret,
    /// A file with the certificate of the authority that the server's is from, in PEM [default: public ones]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    root_ca: Option<PathBuf>,
    /// Where it is, by a name of your own, like eu-central
    #[arg(long)]
    region: Option<String>,
    /// Its share of the tenants that ask for no cluster; 0: none [default: 100]
    #[arg(long, value_name = "NUMBER")]
    weight: Option<u32>,
    /// How many tenants it may hold [default: as many as come]
    #[arg(long, value_name = "TENANTS")]
    capacity: Option<u32>,
    /// How many connections may be open there, over all tenants and routers [default: the most that leaves a
    /// reserve]
    #[arg(long, value_name = "CONNECTIONS")]
    budget: Option<u32>,
    /// Only look whether it is fit; write nothing
    #[arg(long)]
    check: bool,
}

impl Add {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let answer = client.post(&["clusters"], Some(self.body()?), None).await?;
        if global.output == Output::Json {
            return output::json(&answer);
        }
        print(&answer["preflight"])?;
        match answer.get("cluster") {
            Some(cluster) => output::line(&format!(
                "The cluster {} takes tenants.",
                text(cluster, "name")
            )),
            None => output::line("It is fit to be a cluster. Nothing was written."),
        }
    }

    fn body(&self) -> Result<Value> {
        let mut url = ClusterUrl::parse(&self.cluster_url)?;
        if let Some(file) = &self.root_ca {
            url.root_ca = Some(cluster_url::root_ca(file)?);
        }
        let mut body = way(&url);
        body["name"] = json!(self.name);
        body["adminDatabase"] = json!(url.maintenance_db.as_str());
        let others = [
            ("region", json!(self.region)),
            ("weight", json!(self.weight)),
            ("capacity", json!(self.capacity)),
            ("connectionBudget", json!(self.budget)),
            ("check", json!(self.check.then_some(true))),
        ];
        for (name, value) in others {
            if !value.is_null() {
                body[name] = value;
            }
        }
        Ok(body)
    }
}

/// The way to a server, as the API takes it.
pub(super) fn way(url: &ClusterUrl) -> Value {
    let mut body = json!({
        "host": url.host,
        "port": url.port,
        "adminLogin": url.login.as_str(),
        "adminPassword": url.password.expose(),
        "tls": "verify-full",
    });
    if url.tls_is_given {
        body["tls"] = json!(url.tls.as_str());
    }
    if let Some(root_ca) = &url.root_ca {
        body["rootCa"] = json!(root_ca.as_str());
    }
    body
}

fn print(seen: &Value) -> Result<()> {
    let is = |name: &'static str| text(seen, name);
    let tls = match (is("tlsVersion").as_str(), is("offersTls").as_str()) {
        ("", "true") => "not used, though the server offers it".to_owned(),
        ("", _) => "none; the server offers none".to_owned(),
        (version, _) => version.to_owned(),
    };
    output::fields([
        ("Postgres", Shape::Text, is("version")),
        ("TLS", Shape::Text, tls),
        ("max_connections", Shape::Whole, is("maxConnections")),
        ("largest budget", Shape::Whole, is("largestBudget")),
    ])?;
    for warning in items(seen, "warnings").iter().filter_map(Value::as_str) {
        note(&format!("warning: {warning}"));
    }
    Ok(())
}
