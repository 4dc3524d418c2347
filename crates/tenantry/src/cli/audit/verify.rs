//! `tenantry audit verify`: `GET /setup/audit/verify`, until the newest seal is reached.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Shape, items, note, text};

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Verify {
    /// A head that was kept elsewhere: that the trail still contains it is looked at, too
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Option<String>,
}

/// What all calls together found.
#[derive(Default)]
struct All {
    seals: u64,
    rows: u64,
    unsealed: u64,
    differing: u64,
    head: String,
    differences: Vec<Value>,
}

impl Verify {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let mut all = All::default();
        if let Some(head) = self.head {
            all.look_for(&client, head).await?;
        }
        let mut query = Vec::new();
        loop {
            let found = client.get(&["audit", "verify"], &query).await?;
            all.add(&found);
            if found["complete"] == true {
                break;
            }
            query = vec![("after", all.head.clone())];
        }
        all.tell(global.output)
    }
}

impl All {
    /// Looks for a head in the chain, and at nothing else of what follows it: all of that comes anyway.
    async fn look_for(&mut self, client: &Client, head: String) -> Result<()> {
        let found = client.get(&["audit", "verify"], &[("after", head)]).await?;
        let gone = items(&found, "differences");
        let gone = gone.iter().filter(|one| one["finding"] == "head_missing");
        self.differences.extend(gone.cloned());
        self.differing = self.differences.len() as u64;
        Ok(())
    }

    fn add(&mut self, found: &Value) {
        let number = |field: &str| found[field].as_u64().unwrap_or_default();
        self.seals += number("seals");
        self.rows += number("rows");
        self.unsealed = number("unsealed");
        self.differing += number("differing");
        self.head = text(found, "head");
        self.differences
            .extend(items(found, "differences").iter().cloned());
    }

    fn tell(self, output: Output) -> Result<()> {
        match output {
            Output::Json => output::json(&json!({
                "intact": self.differing == 0,
                "seals": self.seals,
                "rows": self.rows,
                "unsealed": self.unsealed,
                "head": self.head,
                "differences": self.differences,
                "differing": self.differing,
            }))?,
            Output::Table => self.print()?,
        }
        match self.differing {
            0 => Ok(()),
            differing => Err(Failure::new(
                Exit::Failed,
                format!(
                    "the audit trail is not what was sealed: {differing} difference{}",
                    if differing == 1 { "" } else { "s" }
                ),
            )
            .next("keep the catalog as it is, and compare it with a backup")),
        }
    }

    fn print(&self) -> Result<()> {
        if !self.differences.is_empty() {
            let row = |one: &Value| {
                let what = match one["isOutcome"] == true {
                    true => "outcome",
                    false => "act",
                };
                let row = text(one, "auditId");
                let what = if row.is_empty() { "" } else { what };
                vec![
                    text(one, "finding"),
                    text(one, "seal"),
                    row,
                    what.to_owned(),
                ]
            };
            output::rows(
                &[
                    ("FINDING", Shape::Whole),
                    ("SEAL", Shape::Whole),
                    ("ROW", Shape::Whole),
                    ("OF", Shape::Whole),
                ],
                self.differences.iter().map(row),
            )?;
        }
        output::fields([
            ("seals", Shape::Whole, self.seals.to_string()),
            ("rows", Shape::Whole, self.rows.to_string()),
            ("unsealed", Shape::Whole, self.unsealed.to_string()),
            ("head", Shape::Whole, self.head.clone()),
        ])?;
        note(
            "Keep the head where the catalog's owner cannot write: --head shows later that it is still there.",
        );
        Ok(())
    }
}
