//! `tenantry tenants create`: `POST /setup/tenants`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use tenantry_types::Secret;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, note, text};

/// Its own flags.
#[derive(Args, Debug)]
pub struct Create {
    /// Its short name, a DNS label like `acme`
    slug: String,
    /// Its name for people [default: the slug]
    #[arg(long)]
    name: Option<String>,
    /// Its plan [default: free]
    #[arg(long)]
    plan: Option<String>,
    /// The host name that leads to it: one label is a subdomain, more a custom domain [default: the slug]
    #[arg(long, value_name = "DOMAIN")]
    primary_domain: Option<String>,
    /// The cluster that gets its database [default: the oldest one]
    #[arg(long)]
    cluster: Option<String>,
    /// Mail address of its first person, who becomes its admin
    #[arg(long, value_name = "EMAIL")]
    admin_email: Option<String>,
    /// A file with that person's password, `-` for stdin [default: one is made and shown]
    #[arg(long, value_name = "FILE", requires = "admin_email")]
    admin_password_file: Option<PathBuf>,
    /// Your own data about it, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Value>,
    /// The same key gives the same answer within 24 hours instead of a second tenant
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Create {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = self.body()?;
        let key = self.idempotency_key.as_deref();
        let created = client.post(&["tenants"], Some(body), key).await?;
        match global.output {
            Output::Json => output::json(&created),
            Output::Table => print(&created),
        }
    }

    fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        body.insert("slug".to_owned(), json!(self.slug));
        body.insert(
            "name".to_owned(),
            json!(self.name.as_ref().unwrap_or(&self.slug)),
        );
        let texts = [
            ("plan", &self.plan),
            ("primaryDomain", &self.primary_domain),
            ("cluster", &self.cluster),
        ];
        for (field, value) in texts {
            if let Some(value) = value {
                body.insert(field.to_owned(), json!(value));
            }
        }
        if let Some(metadata) = &self.metadata {
            body.insert("metadata".to_owned(), metadata.clone());
        }
        if let Some(email) = &self.admin_email {
            let mut admin = json!({ "email": email });
            if let Some(file) = &self.admin_password_file {
                admin["password"] = json!(password(file)?.expose());
            }
            body.insert("admin".to_owned(), admin);
        }
        Ok(Value::Object(body))
    }
}

fn print(created: &Value) -> Result<()> {
    output::fields([
        ("id", text(created, "tenantId")),
        ("slug", text(created, "slug")),
        ("status", text(created, "status")),
        ("url", text(created, "url")),
        ("database", text(created, "dbName")),
        ("login", text(created, "dbUsername")),
        ("password", text(created, "dbPassword")),
        ("admin password", text(created, "adminPassword")),
        ("operation", text(created, "operationId")),
    ])?;
    if !text(created, "dbPassword").is_empty() {
        note("Keep the passwords now: they are not shown again.");
    }
    Ok(())
}

/// The first line of a file, or of stdin.
fn password(file: &Path) -> Result<Secret> {
    let mut all = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut all)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut all))
    };
    read.map_err(|error| {
        Failure::because(
            format!("the password cannot be read from {}", file.display()),
            &error,
        )
        .exit_as(crate::exit::Exit::Usage)
    })?;
    let all = Secret::new(all);
    Ok(Secret::new(all.expose().lines().next().unwrap_or_default()))
}

fn object(text: &str) -> std::result::Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err("write a JSON object, like {\"crm\": 17}".to_owned()),
    }
}
