//! `tenantry tenants restore`: a dump back into the tenant that it is of, or into a new one.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};
use serde_json::{Value, json};
use tenantry_lifecycle::dump::{self, Manifest};

use super::dump::{Tools, document, failure, named, taken, with_login};
use crate::cli::confirm::{Confirm, Proof};
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, items, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants restore acme-20260302T081500Z.dump --new acme-old       into a tenant that is made for it
  tenantry tenants restore acme-20260302T081500Z.dump --into acme          in the place of what acme has now
  tenantry tenants restore acme.dump --into globex --as-other --yes        of another tenant, for a script

The tenant is suspended meanwhile. It is all or nothing: a restore that fails has changed nothing.";

/// What a tenant's people read meanwhile.
const REASON: &str = "The data is being restored.";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("where").required(true))]
pub struct Restore {
    /// The dump; its manifest, FILE.json, must be beside it
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    dump: PathBuf,
    /// The slug of a new tenant to restore it into
    #[arg(long, group = "where", value_name = "SLUG")]
    new: Option<String>,
    /// The id or slug of the tenant whose data it replaces
    #[arg(long, group = "where", value_name = "TENANT")]
    into: Option<String>,
    /// The dump is of another tenant than this one, and that is meant
    #[arg(long, requires = "into")]
    as_other: bool,
    /// Take no dump of what is replaced
    #[arg(long, requires = "into")]
    no_dump: bool,
    #[command(flatten)]
    tools: Tools,
    #[command(flatten)]
    confirm: Confirm,
}

impl Restore {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let manifest = dump::read(&self.dump).map_err(failure)?;
        dump::verify(&self.dump, &manifest).map_err(failure)?;
        // Before anybody is made, asked or suspended for it.
        dump::check_restore(&self.tools.programs())
            .await
            .map_err(failure)?;
        if of_another_release(&client, &manifest).await? {
            note(
                "The dump is of another release: once it is restored, every database is asked for its migrations, as by \
                 `tenantry migrate-all`. Those that are up to date stay as they are.",
            );
        }
        let tenant = match (&self.new, &self.into) {
            (Some(slug), _) => made(&client, slug, global).await?,
            (None, Some(into)) => self.replaced(&client, into, &manifest, global).await?,
            (None, None) => return Err(Failure::usage("give --new or --into")),
        };
        let id = text(&tenant, "tenantId");
        let served = text(&tenant, "status") == "active";
        if served {
            turn(
                &client,
                &id,
                "suspend",
                Some(json!({ "reason": REASON })),
                global,
            )
            .await?;
        }
        let restored = self.restored(&client, &id, global).await;
        // Nothing was changed by one that failed.
        let migrated = match &restored {
            Ok(manifest) => migrated(&client, &id, manifest, global).await,
            Err(_) => Ok(()),
        };
        if served && migrated.is_ok() {
            turn(&client, &id, "resume", None, global).await?;
        }
        let manifest = restored?;
        migrated.map_err(|error| {
            error.next(format!(
                "the data is restored, and the tenant suspended: put that right, run `tenantry migrate-all`, \
                 then `tenantry tenants resume {id}`"
            ))
        })?;
        match global.output {
            Output::Json => {
                let mut told = document(&self.dump, &manifest);
                told["restoredInto"] = json!(id);
                output::json(&told)
            }
            Output::Table => output::line(&format!(
                "Tenant {} ({id}) has the data of {} as it was at {}.",
                text(&tenant, "slug"),
                manifest.slug,
                manifest
                    .taken_at
                    .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            )),
        }
    }

    /// The tenant whose data goes, once that is agreed to and the data is in a dump of its own.
    async fn replaced(
        &self,
        client: &Client,
        into: &str,
        manifest: &Manifest,
        global: &Global,
    ) -> Result<Value> {
        let tenant = client.get(&["tenants", into], &[]).await?;
        let (id, slug) = (text(&tenant, "tenantId"), text(&tenant, "slug"));
        if id != manifest.tenant_id.to_string() && !self.as_other {
            return Err(Failure::usage(format!(
                "the dump is of {} ({}), and {slug} is {id}",
                manifest.slug, manifest.tenant_id
            ))
            .next("give --as-other if that is meant, or --new to restore it into a new tenant"));
        }
        let what = format!(
            "Replace all data of tenant {slug} by those of {} of {}",
            manifest.slug, manifest.taken_at
        );
        self.confirm.ask(&what, &Proof::Word(&slug))?;
        if !self.no_dump {
            let to = named(&tenant, "-before-restore");
            taken(client, &tenant, &to, &self.tools, global).await?;
            note(&format!("What {slug} has now is in {}.", to.display()));
        }
        Ok(tenant)
    }

    async fn restored(&self, client: &Client, tenant: &str, global: &Global) -> Result<Manifest> {
        let _progress = Progress::of("Restoring", global.output);
        with_login(
            client,
            tenant,
            &self.tools,
            "restore",
            global,
            async |way| dump::restore(&self.tools.programs(), &way, &self.dump).await,
        )
        .await
    }
}

/// A tenant for the dump.
async fn made(client: &Client, slug: &str, global: &Global) -> Result<Value> {
    let mut progress = Progress::of(&format!("Creating tenant {slug}"), global.output);
    let body = json!({ "name": slug, "slug": slug });
    let answer = client.create(&["tenants"], body, None, false).await?;
    let operation = text(&answer, "operationId");
    if text(&answer, "status") != "active" && !operation.is_empty() {
        let ended = follow::to_its_end(client, &operation, &mut progress).await?;
        let status = text(&ended, "status");
        if status != "done" {
            return Err(super::ended_as(&status, &ended, &operation));
        }
    }
    client.get(&["tenants", slug], &[]).await
}

/// Suspends or resumes, to the end.
async fn turn(
    client: &Client,
    tenant: &str,
    verb: &str,
    body: Option<Value>,
    global: &Global,
) -> Result<()> {
    let answer = client.post(&["tenants", tenant, verb], body, None).await?;
    if answer.get("slug").is_some() {
        return Ok(());
    }
    let mut progress = Progress::of(&format!("{verb} tenant {tenant}"), global.output);
    let id = text(&answer, "operationId");
    let ended = follow::to_its_end(client, &id, &mut progress).await?;
    match text(&ended, "status").as_str() {
        "done" => Ok(()),
        status => Err(super::ended_as(status, &ended, &id)),
    }
}

/// Whether the dump was taken by a program with other migrations.
async fn of_another_release(client: &Client, manifest: &Manifest) -> Result<bool> {
    let status = client.get(&["status"], &[]).await?;
    let schema = status.pointer("/release/schema").and_then(Value::as_str);
    Ok(schema != Some(&manifest.schema))
}

/// Brings what was dumped by an older release to this one, as every database is.
async fn migrated(
    client: &Client,
    tenant: &str,
    manifest: &Manifest,
    global: &Global,
) -> Result<()> {
    if !of_another_release(client, manifest).await? {
        return Ok(());
    }
    let begun = client.post(&["rollouts"], Some(json!({})), None).await?;
    let id = text(&begun, "operationId");
    let mut progress = Progress::of("Migrating", global.output);
    let ended = follow::to_its_end(client, &id, &mut progress).await?;
    let of_tenant = ended.get("result").map(|result| items(result, "items"));
    let mine = of_tenant
        .into_iter()
        .flatten()
        .find(|item| text(item, "tenantId") == tenant);
    match mine.map(|item| (text(item, "outcome"), text(item, "error"))) {
        Some((outcome, _)) if outcome == "migrated" || outcome == "current" => Ok(()),
        Some((_, error)) => Err(Failure::new(
            Exit::Failed,
            format!("the restored database could not be migrated: {error}"),
        )),
        None => Err(Failure::new(
            Exit::Failed,
            "the restored database was not migrated",
        )),
    }
}
