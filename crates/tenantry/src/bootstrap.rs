//! Preparing a catalog, for `init` and `dev`: migrate it, register the cluster, issue a token.
//! Each step may be repeated and then changes nothing.

use serde_json::json;
use sqlx::PgPool;
use tenantry_catalog::{audit, clusters, installation, operators};
use tenantry_cluster::{ClusterError, groups, preflight};
use tenantry_types::{AuditId, Clock, ClusterId, Entropy, InstallationId, OperatorId, Secret};
use tenantry_vault::{AdminKeys, Place};

use crate::catalog_url::catalog_failure;
use crate::cluster_url::ClusterUrl;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::note;

/// Time and randomness of this process.
pub struct Sources {
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
}

impl Sources {
    /// The machine's own.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            entropy: Entropy::system(),
        }
    }
}

/// Brings the catalog to this program's migrations.
///
/// # Errors
/// When it cannot be migrated.
pub async fn migrate(catalog: &PgPool) -> Result<()> {
    let failed = |error| catalog_failure("the catalog cannot be migrated", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    tenantry_catalog::migrate(&mut conn).await.map_err(failed)
}

/// The catalog's id, made where there is none.
///
/// # Errors
/// When the catalog fails.
pub async fn ensure_installation(catalog: &PgPool, sources: &Sources) -> Result<InstallationId> {
    let failed = |error| catalog_failure("the installation cannot be recorded", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let new = InstallationId::generate(&sources.clock, &sources.entropy);
    installation::ensure(&mut conn, new).await.map_err(failed)
}

/// Makes the catalog that of the installation whose marks the server carries; `wanted`: no other.
///
/// # Errors
/// When the server has no marks or those of several, the catalog is another installation's, or one of them fails.
pub async fn recover_installation(
    catalog: &PgPool,
    url: &ClusterUrl,
    wanted: Option<InstallationId>,
) -> Result<InstallationId> {
    let place = format!("{}:{}", url.host, url.port);
    let unseen = |error: ClusterError| {
        Failure::of_kind(
            error.kind(),
            format!("the cluster at {place} cannot be used"),
            &error,
        )
    };
    let mut admin = url.admin().connect("tenantry/init").await.map_err(unseen)?;
    let report = preflight::check(&mut admin).await.map_err(unseen)?;
    admin.close().await;
    let mut marked: Vec<_> = report
        .own_marks
        .iter()
        .map(|mark| mark.installation)
        .collect();
    marked.sort_unstable();
    marked.dedup();
    let id = match (marked.as_slice(), wanted) {
        ([], _) => {
            let what = format!("no database at {place} carries a mark of Tenantry");
            return Err(Failure::new(Exit::NotFound, what)
                .next("is it the right server? a new one needs no --recover"));
        }
        ([one], None) => *one,
        ([one], Some(wanted)) if *one == wanted => wanted,
        (several, _) => {
            let ids: Vec<_> = several.iter().map(ToString::to_string).collect();
            let what = format!(
                "the databases at {place} are marked by other installations: {}",
                ids.join(", ")
            );
            return Err(Failure::new(Exit::Conflict, what)
                .next("two installations must not share a server: move one of them away first"));
        }
    };
    let failed = |error| catalog_failure("the installation cannot be recorded", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let now = installation::ensure(&mut conn, id).await.map_err(failed)?;
    if now != id {
        let what =
            format!("the catalog is of another installation ({now}) than the databases ({id})");
        return Err(Failure::new(Exit::Conflict, what)
            .next("recover into an empty database, and name it in TENANTRY_CATALOG_URL"));
    }
    Ok(id)
}

/// Registers a cluster under a name, after a look at whether it is fit, and prepares its groups.
/// One that is registered stays as it is, but for its address if `may_move`.
///
/// # Errors
/// When it is not fit, or the name or address is another cluster's.
pub async fn ensure_cluster(
    catalog: &PgPool,
    keys: &AdminKeys,
    sources: &Sources,
    name: &str,
    url: &ClusterUrl,
    may_move: bool,
) -> Result<ClusterId> {
    let failed = |error| catalog_failure("the cluster cannot be registered", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    if let Some(known) = clusters::by_name(&mut conn, name).await.map_err(failed)? {
        keys.open(&Place::cluster_admin(known.id), &known.admin).map_err(|_| {
            Failure::usage("the keys are not those of this catalog: its secrets do not open")
                .next("set TENANTRY_KEYS to what `tenantry init` printed when this catalog was made; where all copies are lost: docs/runbooks/keys-lost.md")
        })?;
        if (known.host.as_str(), known.port) != (url.host.as_str(), url.port) {
            if !may_move {
                let what = format!(
                    "the cluster `{name}` is registered at {}:{}",
                    known.host, known.port
                );
                return Err(
                    Failure::new(Exit::Conflict, what).next("choose another --cluster-name")
                );
            }
            clusters::set_address(&mut conn, known.id, &url.host, url.port)
                .await
                .map_err(not_inserted)?;
        }
        let report = prepare(url).await?;
        if let Some(warning) = too_much(&known.name, known.connection_budget, &report) {
            note(&format!("warning: {warning}"));
        }
        return Ok(known.id);
    }
    let report = prepare(url).await?;
    let id = ClusterId::generate(&sources.clock, &sources.entropy);
    let sealed = keys
        .seal(&sources.entropy, &Place::cluster_admin(id), &url.password)
        .map_err(|error| Failure::because("the admin's password cannot be sealed", &error))?;
    let new = clusters::NewCluster {
        id,
        name,
        host: &url.host,
        port: url.port,
        maintenance_db: url.maintenance_db.as_str(),
        tls: url.tls,
        admin_login: url.login.as_str(),
        admin: &sealed,
        connection_budget: report.room().largest_budget(),
        placement: clusters::Placement::default(),
        root_ca: url.root_ca.as_ref(),
        system_identifier: report.identity.system.as_deref(),
    };
    clusters::insert(&mut conn, &new)
        .await
        .map_err(not_inserted)?;
    Ok(id)
}

/// Looks whether the cluster is fit and makes its groups.
async fn prepare(url: &ClusterUrl) -> Result<preflight::Report> {
    let place = format!("{}:{}", url.host, url.port);
    let failed = |error: ClusterError| {
        let doing = format!("the cluster at {place} cannot be used");
        let failure = Failure::of_kind(error.kind(), doing, &error)
            .next("check host, port, login and password of the cluster's URL, and that its pg_hba.conf lets this machine in");
        match &error {
            ClusterError::Refused { sqlstate, .. } if sqlstate.starts_with("28") => {
                failure.exit_as(Exit::NotAllowed)
            }
            _ => failure,
        }
    };
    let mut admin = url.admin().connect("tenantry/init").await.map_err(failed)?;
    let report = preflight::check(&mut admin).await.map_err(failed)?;
    if !report.usable() {
        let lines = report.problems.join("\n  - ");
        return Err(Failure::new(
            Exit::Failed,
            format!("the cluster at {place} is not fit:\n  - {lines}"),
        )
        .next("correct these as its superuser, then run the same command again"));
    }
    groups::ensure(&mut admin).await.map_err(|error| {
        Failure::of_kind(
            error.kind(),
            format!("the groups on {place} cannot be made"),
            &error,
        )
    })?;
    admin.close().await;
    Ok(report)
}

/// Says what an operator should know of a new cluster.
///
/// # Errors
/// As for a registration.
pub async fn warn_of(url: &ClusterUrl) -> Result<()> {
    for warning in prepare(url).await?.warnings {
        note(&format!("warning: {warning}"));
    }
    Ok(())
}

/// What is wrong with a budget that leaves no reserve on this server.
fn too_much(name: &str, budget: u32, report: &preflight::Report) -> Option<String> {
    let room = report.room();
    let (free, reserve) = (room.free, room.reserve);
    (budget.saturating_add(reserve) > free).then(|| {
        format!(
            "The budget of the cluster {name} is {budget} connections, and {reserve} more should stay for \
             admin work and migrations; the server has {free} for all. Raise max_connections there, or: \
             tenantry clusters set-budget {name} {}",
            room.largest_budget()
        )
    })
}

/// Issues a token to a new operator.
///
/// # Errors
/// When the name is taken or the catalog fails.
pub async fn issue_token(catalog: &PgPool, sources: &Sources, name: &str) -> Result<Secret> {
    let failed = |error| catalog_failure("the operator cannot be recorded", &error);
    let token = tenantry_api::new_operator_token(&sources.entropy);
    let id = OperatorId::generate(&sources.clock, &sources.entropy);
    let mut tx = catalog
        .begin()
        .await
        .map_err(|error| failed(error.into()))?;
    let new = operators::NewOperator {
        id,
        name,
        // Whoever sets an installation up, or has the catalog's login, may do everything.
        role: operators::Role::Owner,
        expires_at: None,
        token_hash: tenantry_api::hash_token(&token),
    };
    operators::insert(&mut tx, &new).await.map_err(|error| {
        Failure::of_kind(
            error.kind(),
            format!("no token was issued to `{name}`"),
            &error,
        )
    })?;
    let detail =
        json!({ "operatorId": id, "name": name, "to": { "role": operators::Role::Owner } });
    let entry = audit::Entry {
        actor: "local",
        operator: None,
        action: "operator.create",
        tenant: None,
        request_id: None,
        address: None,
        agent: None,
        reason: Some("issued on the machine of the catalog"),
        detail: &detail,
    };
    audit::record(
        &mut tx,
        AuditId::generate(&sources.clock, &sources.entropy),
        &entry,
    )
    .await
    .map_err(failed)?;
    tx.commit().await.map_err(|error| failed(error.into()))?;
    Ok(token)
}

fn not_inserted(error: clusters::InsertError) -> Failure {
    match &error {
        clusters::InsertError::Catalog(error) => {
            catalog_failure("the cluster cannot be registered", error)
        }
        _ => Failure::of_kind(error.kind(), "the cluster cannot be registered", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_leaves_room_for_admins() {
        let report = |max_connections| preflight::Report {
            version_num: 150_000,
            version: String::new(),
            max_connections,
            reserved_connections: 3,
            tls_version: None,
            identity: preflight::Identity {
                system: None,
                started: 0,
            },
            marks: Vec::new(),
            own_marks: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(report(300).room().largest_budget(), 223);
        assert_eq!(report(100).room().largest_budget(), 67);
        assert_eq!(report(23).room().largest_budget(), 10);
        assert_eq!(report(3).room().largest_budget(), 1);
        assert_eq!(too_much("main", 223, &report(300)), None);
        let told = too_much("main", 224, &report(300)).expect("a warning");
        assert!(
            told.ends_with("tenantry clusters set-budget main 223"),
            "{told}"
        );
    }
}
