//! `tenantry tenants adopt`: `POST /setup/adoptions`, and its check.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::{Map, Value, json};

use super::Waiting;
use super::create::{finished, object, password, print};
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants adopt --database-url postgres://db1.example.com/acme_production --slug acme --check
  tenantry tenants adopt --database-url postgres://db1.example.com/acme_production --slug acme --disconnect --shut-out
  tenantry tenants adopt --database acme_production --cluster eu-1 --slug acme --admin-email ann@acme.example";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["database_url", "database"]))]
pub struct Adopt {
    /// The tenant's short name, a DNS label like `acme`
    #[arg(long)]
    slug: String,
    /// Where the database is: its host and port must be those of a registered cluster; a login in it is not used,
    /// and not sent anywhere
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The database's name, instead of a URL
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// The cluster that it is on, by name [default: the URL's, or the only one]
    #[arg(long)]
    cluster: Option<String>,
    /// Say what would be done and what stands against it, and change nothing
    #[arg(long)]
    check: bool,
    /// End sessions that are open in it
    #[arg(long)]
    disconnect: bool,
    /// Shut other roles out that have rights on it, as long as it is a tenant's
    #[arg(long)]
    shut_out: bool,
    /// An extension that Postgres does not trust and that may stay; may be repeated
    #[arg(long = "accept-extension", value_name = "NAME")]
    extensions: Vec<String>,
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

impl Adopt {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = self.body()?;
        if self.check {
            return check(&client, body, global).await;
        }
        let key = self.idempotency_key.as_deref();
        let mut progress = Progress::of(&format!("Adopting tenant {}", self.slug), global.output);
        let stopped = || {
            Failure::new(Exit::Interrupted, "stopped waiting; the server may go on").next(format!(
                "`tenantry tenants show {}` tells whether it is there; its passwords are told to nobody else",
                self.slug
            ))
        };
        let asked = client.create(&["adoptions"], body, key, self.waiting.no_wait);
        let answer = follow::unless_stopped(asked, stopped).await?;
        let begun = answer.get("url").is_none();
        let adopted = match (begun, self.waiting.no_wait) {
            (true, false) => finished(&client, &answer, &mut progress).await?,
            _ => answer,
        };
        drop(progress);
        match global.output {
            Output::Json => output::json(&adopted),
            Output::Table if adopted.get("url").is_none() => super::print_begun(&adopted),
            Output::Table => print(&adopted),
        }
    }

    fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        body.insert("slug".to_owned(), json!(self.slug));
        let name = self.name.as_ref().unwrap_or(&self.slug);
        body.insert("name".to_owned(), json!(name));
        body.insert("disconnect".to_owned(), json!(self.disconnect));
        body.insert("shutOut".to_owned(), json!(self.shut_out));
        body.insert("extensions".to_owned(), json!(self.extensions));
        if let Some(url) = &self.database_url {
            let place = place(url)?;
            body.insert("dbName".to_owned(), json!(place.database));
            if self.cluster.is_none() {
                body.insert("dbHost".to_owned(), json!(place.host));
                body.insert("dbPort".to_owned(), json!(place.port));
            }
        }
        let texts = [
            ("dbName", &self.database),
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

async fn check(client: &Client, body: Value, global: &Global) -> Result<()> {
    let found = client
        .post(&["adoptions", "check"], Some(body), None)
        .await?;
    let can = found.get("canAdopt").and_then(Value::as_bool) == Some(true);
    let refusals = found.get("refusals").and_then(Value::as_array);
    let refusals = refusals.cloned().unwrap_or_default();
    match global.output {
        Output::Json => output::json(&found)?,
        Output::Table => {
            let list = |name: &str| {
                let all = found.get(name).and_then(Value::as_array);
                let all = all.into_iter().flatten().filter_map(Value::as_str);
                all.collect::<Vec<_>>().join(", ")
            };
            output::fields([
                ("cluster", Shape::Text, text(&found, "cluster")),
                ("owner", Shape::Text, text(&found, "owner")),
                ("open sessions", Shape::Text, text(&found, "sessions")),
                ("would be shut out", Shape::Text, list("shutOut")),
                ("schemas", Shape::Text, list("schemas")),
            ])?;
            for warning in found
                .get("warnings")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                note(&format!(
                    "warning: {}",
                    warning.as_str().unwrap_or_default()
                ));
            }
            for refusal in &refusals {
                note(&format!(
                    "{}: {}",
                    text(refusal, "code"),
                    text(refusal, "message")
                ));
            }
        }
    }
    if can {
        if global.output == Output::Table {
            output::line("Nothing stands against it.")?;
        }
        return Ok(());
    }
    Err(Failure::new(
        Exit::Conflict,
        "the database cannot be adopted as it is",
    ))
}

/// What a URL says of where a database is.
struct Place {
    host: String,
    port: u16,
    database: String,
}

fn place(url: &str) -> Result<Place> {
    let wrong = || {
        Failure::new(Exit::Usage, "the URL does not name a database")
            .next("write it like postgres://db1.example.com:5432/acme_production")
    };
    let url = reqwest::Url::parse(url).map_err(|_| wrong())?;
    let database = url.path().trim_start_matches('/').to_owned();
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_owned();
    let known = matches!(url.scheme(), "postgres" | "postgresql");
    if !known || host.is_empty() || database.is_empty() || database.contains('/') {
        return Err(wrong());
    }
    Ok(Place {
        host,
        port: url.port().unwrap_or(5432),
        database,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_nothing_else_of_it_is_kept() {
        let place =
            place("postgres://ann:secret@db1.example.com/acme?sslmode=require").expect("a URL");
        assert_eq!(
            (place.host.as_str(), place.port, place.database.as_str()),
            ("db1.example.com", 5432, "acme")
        );
        for bad in [
            "",
            "acme",
            "https://db1/acme",
            "postgres://db1",
            "postgres:///acme",
        ] {
            assert!(super::place(bad).is_err(), "{bad}");
        }
    }
}
