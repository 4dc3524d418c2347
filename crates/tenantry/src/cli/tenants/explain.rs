//! `tenantry tenants explain`: `GET /setup/tenants/{id or slug}/explain`, for a person whose
//! customer is on the phone: the verdict first, what it rests on below.

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::cli::routers::server;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Look, Output, Shape, harmless, items, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants explain acme
  tenantry tenants explain acme --probe
  tenantry tenants explain acme --output json | jq -r '.verdict[].code'";

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// Its id or slug
    tenant: String,
    /// Open a connection to its database now, and prove it
    #[arg(long)]
    probe: bool,
}

impl Explain {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let query = [("probe", self.probe.to_string())];
        let path = ["tenants", &self.tenant, "explain"];
        let told = client.get(&path, &query).await?;
        match global.output {
            Output::Json => output::json(&told),
            Output::Table => print(&told),
        }
    }
}

fn print(told: &Value) -> Result<()> {
    let look = Look::of_stdout();
    for finding in items(told, "verdict") {
        let code = text(finding, "code");
        let colour = match code.as_str() {
            "ALL_WELL" | "NOTHING_FOUND" | "PROBE_DONE" | "FORMER_HOST_REDIRECTS" => {
                AnsiColor::Green
            }
            _ => AnsiColor::Yellow,
        };
        let code = look.paint(colour.on_default().bold(), &harmless(&code));
        output::painted(&format!("{code}  {}", harmless(&text(finding, "message"))))?;
        let next = look.paint(Style::new().bold(), "next:");
        output::painted(&format!(
            "  {next} {}",
            harmless(&text(finding, "whatToDo"))
        ))?;
    }
    output::line("")?;
    let of = |pointer: &str| match told.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    output::fields([
        ("id", Shape::Whole, of("/tenantId")),
        ("slug", Shape::Whole, of("/slug")),
        ("status", Shape::State, of("/status")),
        ("reason", Shape::Text, of("/statusReason")),
        ("suspended", Shape::Time, of("/suspendedAt")),
        ("plan", Shape::Text, of("/plan")),
        ("url", Shape::Text, of("/url")),
        ("domains", Shape::Text, domains(told)),
        ("epoch", Shape::Whole, of("/epoch")),
        ("database", Shape::Whole, of("/database/name")),
        ("migrations", Shape::State, migrations(told)),
        (
            "migration error",
            Shape::Text,
            of("/database/migrationError"),
        ),
        ("cluster", Shape::Text, cluster(told)),
        ("last change", Shape::Text, last_change(told)),
        ("operation", Shape::Text, operation(told)),
        ("changed", Shape::Time, of("/updatedAt")),
        ("will be purged", Shape::Time, of("/purgeAt")),
    ])?;
    print_routers(told)?;
    print_errors(told)?;
    for unknown in items(told, "notKnown") {
        output::note(unknown.as_str().unwrap_or_default());
    }
    Ok(())
}

fn domains(told: &Value) -> String {
    let names = items(told, "domains").iter();
    names
        .map(|domain| match text(domain, "state").as_str() {
            "verified" => text(domain, "domain"),
            state => format!("{} ({state})", text(domain, "domain")),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn migrations(told: &Value) -> String {
    let current = told.pointer("/database/current").and_then(Value::as_bool);
    current.map_or_else(String::new, |current| match current {
        true => "current".to_owned(),
        false => "behind".to_owned(),
    })
}

/// `default at db-1:5432: 12 of 100 connections open, 0 waiting`
fn cluster(told: &Value) -> String {
    let Some(cluster) = told.get("cluster") else {
        return String::new();
    };
    let of = |name: &str| text(cluster, name);
    format!(
        "{} at {}:{}: {} of {} connections open, {} waiting",
        of("name"),
        of("host"),
        of("port"),
        of("open"),
        of("connectionBudget"),
        of("waiting"),
    )
}

fn last_change(told: &Value) -> String {
    told.get("lastChange").map_or_else(String::new, |change| {
        format!("{} ({})", text(change, "number"), text(change, "kind"))
    })
}

fn operation(told: &Value) -> String {
    told.get("operation").map_or_else(String::new, |operation| {
        let of = |name: &str| text(operation, name);
        format!("{} {}: {}", of("kind"), of("status"), of("operationId"))
    })
}

fn print_routers(told: &Value) -> Result<()> {
    output::line("")?;
    output::rows(
        &[
            ("ROUTER", Shape::Whole),
            ("STATE", Shape::State),
            ("LAST CHANGE", Shape::State),
            ("OWN OPEN", Shape::Whole),
            ("OWN WAITING", Shape::Whole),
            ("CLUSTER OPEN", Shape::Whole),
            ("SERVER", Shape::Text),
        ],
        items(told, "routers").iter().map(|router| {
            let is = |name: &str| router.get(name) == Some(&Value::Bool(true));
            let pool = router.get("pool");
            let on = router.get("cluster");
            let share = on.map(|on| format!("{} of {}", text(on, "open"), text(on, "share")));
            // Only the router that answers knows of one tenant's connections.
            let own = |name: &str| match (is("answering"), pool) {
                (false, _) => "?".to_owned(),
                (true, None) => "0".to_owned(),
                (true, Some(pool)) => text(pool, name),
            };
            vec![
                text(router, "name"),
                if is("live") { "alive" } else { "gone" }.to_owned(),
                if is("hasLastChange") {
                    "done"
                } else {
                    "behind"
                }
                .to_owned(),
                own("open"),
                own("waiting"),
                share.unwrap_or_default(),
                on.map(server).unwrap_or_default(),
            ]
        }),
    )
}

fn print_errors(told: &Value) -> Result<()> {
    let errors: Vec<Vec<String>> = items(told, "routers")
        .iter()
        .flat_map(|router| {
            let of = items(router, "lastErrors").iter();
            of.map(|error| {
                vec![
                    text(error, "at"),
                    text(error, "code"),
                    text(error, "times"),
                    text(error, "reason"),
                    text(router, "name"),
                ]
            })
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::rows(
        &[
            ("LAST ERRORS", Shape::Time),
            ("CODE", Shape::Whole),
            ("TIMES", Shape::Whole),
            ("WHY", Shape::Text),
            ("ROUTER", Shape::Whole),
        ],
        errors,
    )
}
