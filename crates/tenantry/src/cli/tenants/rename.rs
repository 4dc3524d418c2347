//! `tenantry tenants rename`: `POST /setup/tenants/{id or slug}/rename`, after a question.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants rename acme globex                         the former host redirects for a time
  tenantry tenants rename acme globex --redirect-for 30d
  tenantry tenants rename acme globex --redirect-for 0s --yes the former slug is free at once";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Rename {
    /// Its id or slug
    tenant: String,
    /// Its new slug, a DNS label like `globex`
    slug: String,
    /// How long the former host redirects, and its slug is nobody else's [default: the server's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    redirect_for: Option<Duration>,
    #[command(flatten)]
    confirm: Confirm,
}

impl Rename {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let Self { tenant, slug, .. } = &self;
        let what = format!("Rename tenant {tenant} to {slug}, which changes its host");
        self.confirm.ask(&what, &Proof::Yes)?;
        let mut body = json!({ "slug": slug });
        if let Some(redirect_for) = self.redirect_for {
            body["redirectFor"] = json!(redirect_for.as_secs());
        }
        let path = ["tenants", tenant, "rename"];
        let renamed = client.post(&path, Some(body), None).await?;
        match global.output {
            Output::Json => output::json(&renamed),
            Output::Table => super::print(&renamed),
        }
    }
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|_| "write a number and a unit, like `12h` or `30d`; `0s` for none".to_owned())
}
