//! `tenantry doctor`: what differs between the catalog and what there is. Asks the control plane; with
//! `--offline` it looks itself, with the catalog's settings and keys, when no control plane runs.

mod rebuild;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_lifecycle::Asker;
use tenantry_lifecycle::doctor::{BeginError, Doctor as Looker, Options, PAUSE};
use tenantry_router::Prover;
use tenantry_types::Reason;

use super::Global;
use super::confirm::{Confirm, Proof};
use super::router_credentials::configuration;
use crate::bootstrap::Sources;
use crate::catalog_url::{self, catalog_failure};
use crate::client::Client;
use crate::compose;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Look, Output, Progress, harmless, items, text};

const EXAMPLES: &str = "\
Examples:
  tenantry doctor
  tenantry doctor --tenant acme
  tenantry doctor --fix
  tenantry doctor --quick --output json | jq -r '.report.findings[].code'
  tenantry doctor --offline                      with the catalog and the keys of tenantry.toml
  tenantry doctor --accept-epoch --cluster eu-1 --reason 'restored the backup of 3 May'
  tenantry doctor --rebuild --dry-run            what a lost catalog would be rebuilt to

Exit codes: 0 nothing differs, 1 something does, 6 it could not look.";

/// Between two looks at a run.
const POLL: Duration = Duration::from_millis(500);
/// How long the control plane may be away while it looks.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one login may take.
const LOGIN: Duration = Duration::from_secs(10);

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// Put right what safely can be; nothing is dropped, and nobody let in who was shut out
    #[arg(long)]
    fix: bool,

    /// Leave out what each database has to be entered for: passwords, identities, migrations
    #[arg(long)]
    quick: bool,

    /// Look without a control plane, by the catalog's settings and keys
    #[arg(long)]
    offline: bool,

    /// Tell about one tenant only
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantRef>,

    /// Tell about one cluster only
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,

    /// Accept the databases of the tenant or cluster as they are, after a restore from a backup, once
    /// what differs was shown and confirmed
    #[arg(long, requires = "reason", conflicts_with_all = ["fix", "quick", "offline"])]
    accept_epoch: bool,

    /// Why they are accepted: a line for the audit trail
    #[arg(long, requires = "accept_epoch", value_parser = Reason::parse)]
    reason: Option<Reason>,

    /// Write a lost catalog anew from its clusters, with the catalog's settings and keys; after
    /// `tenantry init --recover`. Run it again to go on
    #[arg(long, conflicts_with_all = ["fix", "quick", "offline", "tenant", "cluster", "accept_epoch"])]
    rebuild: bool,

    /// Tell what it would write, and write nothing
    #[arg(long, requires = "rebuild")]
    dry_run: bool,

    #[command(flatten)]
    confirm: Confirm,
}

impl Doctor {
    /// Runs it.
    ///
    /// # Errors
    /// When something differs, or it could not look.
    pub async fn run(self, global: &Global) -> Result<()> {
        if self.rebuild {
            return Box::pin(rebuild::run(global, self.dry_run)).await;
        }
        let accepts = match (&self.reason, self.accept_epoch) {
            (Some(reason), true) => Some(reason.as_str()),
            _ => None,
        };
        if accepts.is_some() {
            self.confirm_acceptance(global).await?;
        }
        let mut progress = Progress::of("Looking", global.output);
        let run = if self.offline {
            Box::pin(self.by_itself(global)).await
        } else {
            self.ask(global, accepts, &mut progress).await
        };
        drop(progress);
        let run = run?;
        match global.output {
            Output::Json => output::json(&run)?,
            Output::Table => print(&run)?,
        }
        verdict(&run)
    }

    /// Shows what differs, and asks. With `--yes` the run itself shows what is left.
    async fn confirm_acceptance(&self, global: &Global) -> Result<()> {
        let scope = match (&self.tenant, &self.cluster) {
            (Some(tenant), _) => format!("the database of {tenant}"),
            (None, Some(cluster)) => format!("all databases of the cluster {cluster}"),
            (None, None) => {
                return Err(Failure::usage("what is to be accepted is not said")
                    .next("give --tenant or --cluster"));
            }
        };
        if self.confirm.is_given() {
            return Ok(());
        }
        let mut progress = Progress::of("Looking", global.output);
        let run = self.ask(global, None, &mut progress).await;
        drop(progress);
        print(&run?)?;
        let what =
            format!("Accept {scope} as they are now, end their sessions and set their logins anew");
        self.confirm.ask(&what, &Proof::Yes)
    }

    async fn ask(
        &self,
        global: &Global,
        accepts: Option<&str>,
        progress: &mut Progress,
    ) -> Result<Value> {
        let client = Client::connect(global)?;
        let mut body = json!({ "fix": self.fix, "quick": self.quick });
        if let Some(tenant) = &self.tenant {
            body["tenant"] = json!(tenant.to_string());
        }
        if let Some(cluster) = &self.cluster {
            body["cluster"] = json!(cluster);
        }
        if let Some(reason) = accepts {
            body["acceptEpoch"] = json!(true);
            body["reason"] = json!(reason);
        }
        let run = loop {
            match client.post(&["doctor"], Some(body.clone()), None).await {
                Ok(run) => break run,
                // It may have looked before what one wants to know happened: ours comes after it.
                Err(failure) if failure.exit() == Exit::Conflict => {
                    progress.say("waiting for a run that is on its way");
                    tokio::time::sleep(POLL).await;
                }
                Err(failure) => return Err(failure),
            }
        };
        let id = text(&run, "runId");
        let mut away = None;
        loop {
            match client.get(&["doctor", &id], &[]).await {
                Ok(run) if text(&run, "status") == "running" => {
                    away = None;
                    show(&run, progress);
                }
                Ok(run) => return Ok(run),
                Err(failure) if failure.exit() == Exit::Unavailable => {
                    let since = *away.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() > PATIENCE {
                        return Err(failure);
                    }
                    progress.say("waiting for the server");
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Recorded as any run: a control plane that runs all the same does not look beside it.
    async fn by_itself(&self, global: &Global) -> Result<Value> {
        let looker = looker(global).await?;
        let tenant = match &self.tenant {
            None => None,
            Some(tenant) => Some(found(&looker.catalog, tenant).await?),
        };
        let options = Options {
            fix: self.fix,
            quick: self.quick,
            tenant,
            cluster: self.cluster.clone(),
            accept_epoch: None,
        };
        let asker = Asker::product("doctor --offline");
        let replica = format!("{}@offline", std::process::id());
        let id = looker
            .begin(&options, &asker, &replica)
            .await
            .map_err(|error| match error {
                BeginError::Running(_) => {
                    Failure::new(Exit::Conflict, "the doctor is looking already").next(
                        "wait until that run has ended, half a minute at most if its process died",
                    )
                }
                BeginError::Start(error) => {
                    Failure::of_kind(error.kind(), "the doctor cannot look", &error)
                }
            })?;
        let report = Box::pin(looker.carry(id, options, &asker))
            .await
            .map_err(|error| Failure::of_kind(error.kind(), "the doctor cannot look", &error))?;
        Ok(json!({
            "runId": id,
            "status": "done",
            "askedBy": asker.name,
            "replica": replica,
            "startedAt": report.started_at,
            "report": report.to_json(),
        }))
    }
}

/// The doctor, with what the settings tell.
async fn looker(global: &Global) -> Result<Looker> {
    let config = configuration(global)?;
    let source = config.catalog.key_source()?.ok_or_else(compose::no_keys)?;
    let keys = source.keyring()?;
    let catalog = catalog_url::connect(config.catalog.url()?).await?;
    let installation = compose::ready(&catalog, &keys).await?;
    let Sources { clock, entropy } = Sources::system();
    Ok(Looker {
        prover: Prover::new(keys.route(), installation, LOGIN, "doctor"),
        catalog,
        admin_keys: keys.admin(),
        route_keys: keys.route(),
        installation,
        clock,
        entropy,
        pause: PAUSE,
    })
}

async fn found(catalog: &sqlx::PgPool, tenant: &TenantRef) -> Result<tenantry_types::TenantId> {
    let failed = |error| catalog_failure("the tenant cannot be looked up", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let found = tenants::by_ref(&mut conn, tenant).await.map_err(failed)?;
    let found = found.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no tenant {tenant}"))
            .next("`tenantry tenants list` shows those there are")
    })?;
    Ok(found.id)
}

fn show(run: &Value, progress: &mut Progress) {
    let number = |name: &str| run.pointer(&format!("/progress/{name}"))?.as_u64();
    let at = run.pointer("/progress/at").and_then(Value::as_str);
    if let (Some(at), Some(done), Some(of)) = (at, number("done"), number("of"))
        && of > 0
    {
        progress.reach(done, of, &harmless(at));
    }
}

fn numbered(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

fn count(run: &Value, pointer: &str) -> u64 {
    run.pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn verdict(run: &Value) -> Result<()> {
    if text(run, "status") != "done" {
        let why = format!("the doctor could not look: {}", text(run, "error"));
        return Err(Failure::new(Exit::Unavailable, harmless(&why)).coded("DOCTOR_FAILED"));
    }
    let differences = count(run, "/report/counts/errors") + count(run, "/report/counts/warnings");
    match differences {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "one thing differs").coded("DIFFERENCES")),
        more => {
            Err(Failure::new(Exit::Failed, format!("{more} things differ")).coded("DIFFERENCES"))
        }
    }
}

fn print(run: &Value) -> Result<()> {
    let Some(report) = run.get("report") else {
        return Ok(());
    };
    let look = Look::of_stdout();
    for finding in items(report, "findings") {
        let severity = text(finding, "severity");
        let style = match (text(finding, "fix").as_str(), severity.as_str()) {
            ("fixed", _) => anstyle::AnsiColor::Green.on_default(),
            (_, "error") => anstyle::AnsiColor::Red.on_default().bold(),
            (_, "warning") => anstyle::AnsiColor::Yellow.on_default().bold(),
            _ => anstyle::Style::new(),
        };
        let of = |name: &str| {
            finding
                .pointer(&format!("/subject/{name}"))
                .and_then(Value::as_str)
                .map(harmless)
                .unwrap_or_default()
        };
        let place = [(of("cluster"), "on "), (of("slug"), "of ")]
            .into_iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, word)| format!(" {word}{name}"))
            .collect::<String>();
        let code = look.paint(style, &harmless(&text(finding, "code")));
        output::painted(&format!(
            "{code}  {} {}{place}: {}",
            of("kind"),
            of("name"),
            harmless(&text(finding, "message"))
        ))?;
        let (word, next) = match text(finding, "fix").as_str() {
            "fixed" => ("fixed", String::new()),
            "inProgress" => ("left alone:", "something is going on there now.".to_owned()),
            "failed" => ("not fixed:", text(finding, "whatToDo")),
            _ => ("next:", text(finding, "whatToDo")),
        };
        let word = look.paint(anstyle::Style::new().bold(), word);
        output::painted(&format!("  {word} {}", harmless(&next)))?;
    }
    let of = |name: &str| count(report, &format!("/checked/{name}"));
    output::line(&format!(
        "Looked at {}, {} ({} from inside) and {} in {} ms.",
        numbered(of("clusters"), "cluster"),
        numbered(of("databases"), "database"),
        of("connected"),
        numbered(of("logins"), "login"),
        count(report, "/tookMs"),
    ))?;
    let mut beside = Vec::new();
    for (name, verb, words) in [
        ("inProgress", true, "in progress"),
        ("unseen", false, "could not be looked into"),
        ("othersDatabases", true, "another installation's"),
    ] {
        let number = of(name);
        let be = match (verb, number) {
            (false, _) => "",
            (true, 1) => "is ",
            (true, _) => "are ",
        };
        if number > 0 {
            beside.push(format!("{number} {be}{words}"));
        }
    }
    if !beside.is_empty() {
        output::line(&format!("Of the databases {}.", beside.join(", ")))?;
    }
    if count(report, "/untold") > 0 {
        output::line(&format!("{} more are not told.", count(report, "/untold")))?;
    }
    let differences = count(report, "/counts/errors") + count(report, "/counts/warnings");
    if differences == 0 {
        output::painted(&look.paint(anstyle::AnsiColor::Green.on_default(), "Nothing differs."))?;
    }
    Ok(())
}
