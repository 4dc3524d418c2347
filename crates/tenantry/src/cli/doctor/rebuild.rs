//! `tenantry doctor --rebuild`: a lost catalog, written anew from its clusters. Local: there is no control plane
//! before there is a catalog.

use chrono::Duration;
use tenantry_lifecycle::Asker;
use tenantry_lifecycle::doctor::{Progress as Reached, Rebuilt};

use super::super::Global;
use super::super::router_credentials::configuration;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, harmless, note};

pub(super) async fn run(global: &Global, dry_run: bool) -> Result<()> {
    let grace = configuration(global)?.tenants.purge_after;
    let grace = Duration::from_std(grace).unwrap_or(Duration::days(7));
    let looker = super::looker(global).await?;
    let asker = Asker::product("doctor --rebuild");
    let rebuilt = Box::pin(looker.rebuild(dry_run, grace, &asker, &Reached::default()))
        .await
        .map_err(|error| {
            Failure::of_kind(error.kind(), "the catalog cannot be rebuilt", &error)
                .next("docs/runbooks/catalog-lost.md tells the whole way")
        })?;
    match global.output {
        Output::Json => output::json(&serde_json::to_value(&rebuilt).unwrap_or_default())?,
        Output::Table => print(&rebuilt)?,
    }
    if rebuilt.is_whole() {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Failed, "some databases are not back in the catalog")
            .next("look at what was told of each; run the same command again to go on")
            .coded("NOT_WHOLE"),
    )
}

fn print(rebuilt: &Rebuilt) -> Result<()> {
    for one in &rebuilt.tenants {
        let id = one.tenant_id.map(|id| id.to_string()).unwrap_or_default();
        output::line(&harmless(&format!(
            "{}  {}  {} on {}  {id}",
            one.slug, one.status, one.database, one.cluster
        )))?;
        for remark in &one.remarks {
            output::line(&format!("  {remark}"))?;
        }
        if let Some(failed) = &one.failed {
            output::line(&harmless(&format!("  not done: {failed}")))?;
        }
    }
    for left in &rebuilt.left {
        output::line(&harmless(&format!(
            "left alone: {} on {}: {}",
            left.database, left.cluster, left.why
        )))?;
    }
    for name in &rebuilt.set_aside {
        output::line(&harmless(&format!("set aside: {name}")))?;
    }
    if rebuilt.dry_run {
        note("Nothing was written.");
    } else {
        note(
            "Domains, aliases, plans' limits and operators that no database knows are to be set again.",
        );
    }
    Ok(())
}
