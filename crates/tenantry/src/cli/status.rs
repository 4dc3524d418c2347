//! `tenantry status`: `GET /setup/status`, for a person who wants to go home.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use chrono::TimeDelta;
use clap::Args;
use serde_json::Value;

use super::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Look, Output, Shape, harmless, items, length, state, text};

const EXAMPLES: &str = "\
Examples:
  tenantry status
  tenantry status --output json | jq -r '.attention[].code'

Exit codes: 0 all is well, 1 something needs attention, 6 it is not up.";

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Status {}

impl Status {
    /// Runs it.
    ///
    /// # Errors
    /// When it is not up, or something needs attention.
    pub async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let status = client.get(&["status"], &[]).await?;
        let attention = items(&status, "attention");
        match global.output {
            Output::Json => output::json(&status)?,
            Output::Table => print(&status, client.base(), attention)?,
        }
        match attention.len() {
            0 => Ok(()),
            1 => Err(Failure::new(Exit::Failed, "one thing needs attention").coded("ATTENTION")),
            count => Err(
                Failure::new(Exit::Failed, format!("{count} things need attention"))
                    .coded("ATTENTION"),
            ),
        }
    }
}

fn print(status: &Value, base: &str, attention: &[Value]) -> Result<()> {
    let look = Look::of_stdout();
    let seconds = status.get("uptimeSeconds").and_then(Value::as_i64);
    let up = length(TimeDelta::seconds(seconds.unwrap_or_default()));
    let of = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let schema: String = of("/release/schema").chars().take(12).collect();
    output::fields([
        (
            "control plane",
            Shape::Whole,
            format!("{base}, version {}, up for {up}", of("/version")),
        ),
        ("installation", Shape::Whole, of("/installationId")),
        ("you are", Shape::Text, of("/operator")),
        (
            "release",
            Shape::Whole,
            format!("{} migrations ({schema})", of("/release/migrations")),
        ),
        ("tenants", Shape::Text, tenants(status)),
        ("operations", Shape::Text, operations(status)),
        ("routers", Shape::Text, routers(status)),
    ])?;
    if let Some(pause) = status.get("pause").filter(|pause| pause.is_object()) {
        let of = |field| harmless(&text(pause, field));
        let since = format!(
            "paused by {} since {}: {}",
            of("askedBy"),
            of("since"),
            of("reason")
        );
        output::fields([("background", Shape::Text, since)])?;
    }
    for stuck in status
        .pointer("/operations/stuck")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let why = text(stuck, "why");
        print_stuck(stuck, &look.paint(state(&why), &why))?;
    }
    output::line("")?;
    output::rows(
        &[
            ("CLUSTER", Shape::Whole),
            ("STATUS", Shape::State),
            ("ADDRESS", Shape::Text),
            ("TENANTS", Shape::Whole),
            ("BUDGET", Shape::Whole),
            ("TEMPLATE", Shape::State),
        ],
        items(status, "clusters").iter().map(|cluster| {
            let ready = cluster.get("templateReady") == Some(&Value::Bool(true));
            let (held, most) = (text(cluster, "tenants"), text(cluster, "capacity"));
            vec![
                text(cluster, "name"),
                text(cluster, "status"),
                format!("{}:{}", text(cluster, "host"), text(cluster, "port")),
                // Counted where that tells whether it has a place.
                if most.is_empty() {
                    "no limit".to_owned()
                } else {
                    format!("{held}/{most}")
                },
                text(cluster, "connectionBudget"),
                if ready { "ready" } else { "missing" }.to_owned(),
            ]
        }),
    )?;
    output::line("")?;
    if attention.is_empty() {
        return output::painted(
            &look.paint(AnsiColor::Green.on_default(), "Nothing needs attention."),
        );
    }
    for one in attention {
        let code = look.paint(
            AnsiColor::Yellow.on_default().bold(),
            &harmless(&text(one, "code")),
        );
        output::painted(&format!("{code}  {}", harmless(&text(one, "message"))))?;
        let next = look.paint(Style::new().bold(), "next:");
        output::painted(&format!("  {next} {}", harmless(&text(one, "whatToDo"))))?;
    }
    Ok(())
}

fn print_stuck(stuck: &Value, why: &str) -> Result<()> {
    let slug = text(stuck, "slug");
    let of = if slug.is_empty() {
        String::new()
    } else {
        format!(" of {slug}")
    };
    let mut line = format!(
        "  {why} {}{}: {}",
        harmless(&text(stuck, "kind")),
        harmless(&of),
        harmless(&text(stuck, "operationId")),
    );
    let message = text(stuck, "message");
    if !message.is_empty() {
        let _ = write!(line, ": {}", harmless(&message));
    }
    output::painted(&line)
}

/// `120: 118 active, 2 deleting; 3 behind this release`
fn tenants(status: &Value) -> String {
    let number = |value: Option<&Value>| {
        let value = value.unwrap_or(&Value::Null);
        let about = match value.get("exact") {
            Some(Value::Bool(false)) => "about ",
            _ => "",
        };
        format!("{about}{}", text(value, "count"))
    };
    let is_some = |value: &Value| value.get("count").and_then(Value::as_i64) > Some(0);
    let states: Vec<String> = status
        .pointer("/tenants/states")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|state| is_some(state))
        .map(|state| format!("{} {}", number(Some(state)), text(state, "status")))
        .collect();
    let mut told = number(status.pointer("/tenants/total"));
    if !states.is_empty() {
        let _ = write!(told, ": {}", states.join(", "));
    }
    let behind = status.pointer("/tenants/behind").unwrap_or(&Value::Null);
    if is_some(behind) {
        let _ = write!(told, "; {} behind this release", number(Some(behind)));
    }
    told
}

fn operations(status: &Value) -> String {
    let told: Vec<String> = ["running", "undoing", "parked"]
        .iter()
        .filter_map(|state| {
            let count = status.pointer(&format!("/operations/{state}"))?.as_i64()?;
            (count > 0).then(|| format!("{count} {state}"))
        })
        .collect();
    if told.is_empty() {
        "none open".to_owned()
    } else {
        told.join(", ")
    }
}

fn routers(status: &Value) -> String {
    let routers = items(status, "routers");
    let live = |router: &&Value| router.get("live") == Some(&Value::Bool(true));
    let alive = routers.iter().filter(live).count();
    let mut told = format!("{alive} alive");
    let gone = routers.len() - alive;
    if gone > 0 {
        let _ = write!(told, ", {gone} gone");
    }
    let most = routers
        .iter()
        .filter(live)
        .filter_map(|router| router.get("behind")?.as_i64())
        .max();
    if let Some(behind) = most.filter(|behind| *behind > 0) {
        let _ = write!(told, ", up to {behind} changes behind");
    }
    told
}
