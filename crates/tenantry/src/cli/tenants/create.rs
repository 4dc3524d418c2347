//! `tenantry tenants create`: `POST /setup/tenants`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::{Map, Value, json};
use tenantry_types::Secret;

use super::Waiting;
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants create acme --name 'Acme Ltd' --plan pro --admin-email ann@acme.example
  tenantry tenants create acme --primary-domain shop.acme.example --metadata '{\"crm\": 17}'
  pass show ann | tenantry tenants create acme --admin-email ann@acme.example --admin-password-file -";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Create {
    /// Its short name, a DNS label like `acme`
    slug: String,
    /// Its name for people [default: the slug]
    #[arg(long)]
    name: Option<String>,
    /// Its plan [default: free]
    #[arg(long)]
    plan: Option<String>,
    /// The host name that leads to it: one label is a subdomain; more is a domain of its own, which has to
    /// be proven [default: the slug]
    #[arg(long, value_name = "DOMAIN")]
    primary_domain: Option<String>,
    /// The cluster that gets its database [default: where it has most room]
    #[arg(long)]
    cluster: Option<String>,
    /// The region of the cluster that gets its database [default: any]
    #[arg(long)]
    region: Option<String>,
    /// Mail address of its first person, who becomes its admin
    #[arg(long, value_name = "EMAIL")]
    admin_email: Option<String>,
    /// A file with that person's password, `-` for stdin [default: one is made and shown]
    #[arg(long, value_name = "FILE", requires = "admin_email", value_hint = ValueHint::FilePath)]
    admin_password_file: Option<PathBuf>,
    /// Your own data about it, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Value>,
    /// The same key gives the same answer within 24 hours instead of a second tenant
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Create {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = self.body()?;
        let key = self.idempotency_key.as_deref();
        let mut progress = Progress::of(&format!("Creating tenant {}", self.slug), global.output);
        let stopped = || {
            Failure::new(Exit::Interrupted, "stopped waiting; the server may go on").next(format!(
                "`tenantry tenants show {}` tells whether it is there; its passwords are told to nobody else",
                self.slug
            ))
        };
        let asked = client.create(&["tenants"], body, key, self.waiting.no_wait);
        let answer = follow::unless_stopped(asked, stopped).await?;
        let begun = answer.get("url").is_none();
        let created = match (begun, self.waiting.no_wait) {
            (true, false) => self.finished(&client, &answer, &mut progress).await?,
            _ => answer,
        };
        drop(progress);
        match global.output {
            Output::Json => output::json(&created),
            Output::Table if created.get("url").is_none() => super::print_begun(&created),
            Output::Table => print(&created),
        }
    }

    /// A creation that took longer than a request may: its operation tells the same answer.
    async fn finished(
        &self,
        client: &Client,
        begun: &Value,
        progress: &mut Progress,
    ) -> Result<Value> {
        finished(client, begun, progress).await
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
            ("region", &self.region),
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

/// The answer of a creation or an adoption that goes on, at its end.
pub(super) async fn finished(
    client: &Client,
    begun: &Value,
    progress: &mut Progress,
) -> Result<Value> {
    let id = text(begun, "operationId");
    let mut operation = follow::to_its_end(client, &id, progress).await?;
    match text(&operation, "status").as_str() {
        "done" => Ok(operation["result"].take()),
        status => Err(super::ended_as(status, &operation, &id)),
    }
}

pub(super) fn print(created: &Value) -> Result<()> {
    let is = |name: &'static str| text(created, name);
    output::fields([
        ("id", Shape::Whole, is("tenantId")),
        ("slug", Shape::Whole, is("slug")),
        ("status", Shape::State, is("status")),
        ("url", Shape::Text, is("url")),
        ("database", Shape::Whole, is("dbName")),
        ("login", Shape::Whole, is("dbUsername")),
        ("password", Shape::Whole, is("dbPassword")),
        ("admin password", Shape::Whole, is("adminPassword")),
        ("operation", Shape::Whole, is("operationId")),
    ])?;
    if let Some(record) = created.pointer("/domain/record") {
        note(&format!(
            "Its own domain is served once this {} record is found: {} {}",
            text(record, "type"),
            text(record, "name"),
            text(record, "value"),
        ));
    }
    if !is("dbPassword").is_empty() {
        note("Keep the passwords now: they are not shown again.");
    }
    Ok(())
}

/// The first line of a file, or of stdin.
pub(super) fn password(file: &Path) -> Result<Secret> {
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
        .exit_as(Exit::Usage)
        .next("name a file that you may read, or `-` to give it on stdin")
    })?;
    let all = Secret::new(all);
    Ok(Secret::new(all.expose().lines().next().unwrap_or_default()))
}

/// A JSON object.
pub(super) fn object(text: &str) -> std::result::Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err("write a JSON object, like {\"crm\": 17}".to_owned()),
    }
}
