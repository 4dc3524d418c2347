//! One look at everything: the catalog, each cluster, the catalog again; then into each database.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::inventory::{self, Inventory};
use tenantry_catalog::{CatalogError, notes, router_login};
use tenantry_cluster::inventory as server;
use tenantry_cluster::{Admin, AdminConn, preflight};
use tenantry_types::{DatabaseId, TenantId, Timestamp};
use tenantry_vault::Place;

use super::compare::{self, Beside, Catalog, Seen};
use super::finding::{Code, Finding, Subject};
use super::inside;
use super::report::Checked;
use super::{Doctor, Progress};
use crate::error::StartError;
use crate::place;

/// How a session of the doctor's is called on a cluster.
pub(super) const SESSION: &str = "tenantry/doctor";

/// What one look found.
pub(super) struct Looked {
    pub findings: Vec<Finding>,
    pub checked: Checked,
}

/// Into which databases to go.
#[derive(Clone, Debug)]
pub(super) enum Into {
    None,
    All,
    /// Those of these tenants; none stands for those that have none.
    Tenants(HashSet<Option<TenantId>>),
}

/// Looks at everything once. What is said of one tenant only is left to the caller.
pub(super) async fn look(
    doctor: &Doctor,
    into: &Into,
    only: Option<TenantId>,
    progress: &Progress,
) -> Result<Looked, StartError> {
    let (before, clusters, home) = {
        let mut tx = doctor.catalog.begin().await.map_err(CatalogError::from)?;
        inventory::at_one_moment(&mut tx).await?;
        let before = inventory::read(&mut tx, None).await?;
        let clusters = clusters::list(&mut tx).await?;
        let home = inventory::home(&mut tx).await?;
        (before, clusters, home)
    };
    let mut servers = Vec::new();
    let mut findings = Vec::new();
    for cluster in &clusters {
        progress.say("clusters", servers.len(), clusters.len());
        servers.push(match read_cluster(doctor, cluster, &home).await {
            Ok(read) => Some(read),
            Err(finding) => {
                findings.push(finding);
                None
            }
        });
    }
    let since = before.read_at;
    let (after, nobodys, late, routing) = after(doctor, since).await?;
    let notes = notes_of(doctor, into, only).await?;
    let catalog = Catalog {
        before: &before,
        after: &after,
    };
    let (routers, shares, overdrawn) = &routing;
    findings.extend(compare::catalog(
        &catalog,
        &Beside {
            clusters: &clusters,
            nobodys: &nobodys,
            late: &late,
            routers,
            shares,
            overdrawn,
        },
    ));
    let mut checked = Checked {
        clusters: clusters.len(),
        databases: after.databases.len(),
        logins: after.databases.iter().map(|one| one.logins.len()).sum(),
        in_progress: catalog.busy().databases.len(),
        ..Checked::default()
    };
    findings.extend(secrets(doctor, &after).await?);
    for (cluster, server) in clusters.iter().zip(&servers) {
        let Some((server, elsewhere, unfit)) = server else {
            continue;
        };
        let another = |whose: &server::Whose| *whose == server::Whose::Another;
        checked.others_databases += server
            .databases
            .iter()
            .filter(|one| another(&one.whose))
            .count();
        checked.others_roles += server
            .roles
            .iter()
            .filter(|one| another(&one.whose))
            .count();
        let seen = Seen {
            cluster,
            inventory: server,
            elsewhere,
            home: &home,
        };
        let outside = compare::cluster(&catalog, &seen);
        let visits = {
            // What is wrong from outside would only be told once more from inside.
            let spoilt: HashSet<(Option<TenantId>, &str)> = outside
                .iter()
                .filter(|one| one.is_difference())
                .map(|one| (one.subject.tenant_id, one.subject.name.as_str()))
                .collect();
            let spoilt = |tenant, name: &str| spoilt.contains(&(tenant, name));
            inside::visits(&catalog, cluster, server, into, only, &notes, spoilt)
        };
        let told = inside::visit_all(doctor, cluster, visits, &mut checked, progress).await;
        findings.extend(outside);
        findings.extend(told);
        findings.extend(unfit.iter().cloned());
    }
    Ok(Looked { findings, checked })
}

type Rest = (
    Inventory,
    Vec<inventory::Stray>,
    Vec<inventory::Stray>,
    (
        Vec<inventory::Router>,
        Vec<inventory::DeadShare>,
        Vec<inventory::Overdrawn>,
    ),
);

async fn after(doctor: &Doctor, since: Timestamp) -> Result<Rest, StartError> {
    let mut tx = doctor.catalog.begin().await.map_err(CatalogError::from)?;
    inventory::at_one_moment(&mut tx).await?;
    let after = inventory::read(&mut tx, Some(since)).await?;
    let (nobodys, late) = inventory::strays(&mut tx).await?;
    let routing = inventory::routing(&mut tx).await?;
    Ok((after, nobodys, late, routing))
}

type Server = (server::Inventory, Vec<(String, String)>, Vec<Finding>);

/// What the notes should say by now, as it is written.
async fn notes_of(
    doctor: &Doctor,
    into: &Into,
    only: Option<TenantId>,
) -> Result<HashMap<TenantId, String>, StartError> {
    if matches!(into, Into::None) {
        return Ok(HashMap::new());
    }
    let mut conn = doctor.catalog.acquire().await.map_err(CatalogError::from)?;
    let wanted = notes::wanted(&mut conn, only).await?.into_iter();
    Ok(wanted
        .map(|one| (one.tenant, one.note.to_string()))
        .collect())
}

/// Whatever keeps a cluster from being looked at is a finding, and keeps no other from it.
async fn read_cluster(
    doctor: &Doctor,
    cluster: &Cluster,
    home: &inventory::Home,
) -> Result<Server, Finding> {
    let subject = || Subject {
        cluster: Some(cluster.name.clone()),
        kind: "cluster".into(),
        name: cluster.name.clone(),
        ..Subject::default()
    };
    let admin = doctor.admin(cluster).map_err(|_| {
        Finding::new(
            Code::SecretUnreadable,
            subject(),
            "The password of the cluster's admin login does not open with the program's keys.",
        )
    })?;
    read_server(doctor, &admin, home, subject)
        .await
        .map_err(|error| {
            tracing::warn!(
                cluster = cluster.name,
                error = &error as &dyn std::error::Error,
                "the doctor cannot look at a cluster"
            );
            Finding::new(
                Code::ClusterUnreachable,
                subject(),
                format!("The server could not be looked at ({}).", error.code()),
            )
        })
}

async fn read_server(
    doctor: &Doctor,
    admin: &Admin,
    home: &inventory::Home,
    subject: impl Fn() -> Subject,
) -> Result<Server, tenantry_cluster::ClusterError> {
    let mut conn = admin.connect(SESSION).await?;
    let server = server::read(&mut conn, doctor.installation).await?;
    let elsewhere = elsewhere(&mut conn, doctor, &server, home).await?;
    let report = preflight::check(&mut conn).await?;
    conn.close().await;
    let unfit = report.problems.into_iter();
    let unfit = unfit.map(|problem| Finding::new(Code::ClusterUnfit, subject(), problem));
    Ok((server, elsewhere, unfit.collect()))
}

/// Asks Postgres itself which of our logins get into a database of the server's own. What everybody gets
/// into is told once, and not for each login.
async fn elsewhere(
    conn: &mut AdminConn,
    doctor: &Doctor,
    server: &server::Inventory,
    home: &inventory::Home,
) -> Result<Vec<(String, String)>, tenantry_cluster::ClusterError> {
    let catalog_here = home.server_started_at == server.started_at;
    let closed: Vec<String> = server
        .databases
        .iter()
        .filter(|one| {
            let special = matches!(one.name.as_str(), "postgres" | "template1")
                || (catalog_here && one.name == home.database);
            special && !one.connect.iter().any(String::is_empty)
        })
        .map(|one| one.name.clone())
        .collect();
    server::guests(conn, doctor.installation, &closed).await
}

/// Whether the secrets that the catalog has open with the keys that there are.
async fn secrets(doctor: &Doctor, after: &Inventory) -> Result<Vec<Finding>, StartError> {
    let mut found = Vec::new();
    let mut conn: sqlx::pool::PoolConnection<sqlx::Postgres> =
        doctor.catalog.acquire().await.map_err(CatalogError::from)?;
    let conn: &mut PgConnection = &mut conn;
    if let Some(login) = router_login::get(conn).await? {
        let place = Place::router_login(doctor.installation);
        if doctor.route_keys.open(&place, &login.sealed).is_err() {
            found.push(Finding::new(
                Code::SecretUnreadable,
                Subject {
                    kind: "role".into(),
                    name: login.name.as_str().to_owned(),
                    ..Subject::default()
                },
                "The password of the routers' login on the catalog does not open with the program's keys.",
            ));
        }
    }
    for database in &after.databases {
        for login in &database.logins {
            let opened = login
                .sealed
                .as_ref()
                .map(|sealed| doctor.open(database.id, &login.role, sealed));
            if let Some(Err(missing)) = opened {
                let tenant = database.tenant.as_ref();
                found.push(Finding::new(
                    Code::SecretUnreadable,
                    Subject {
                        tenant_id: tenant.map(|tenant| tenant.id),
                        slug: tenant.map(|tenant| tenant.slug.clone()),
                        kind: "role".into(),
                        name: login.name.clone(),
                        ..Subject::default()
                    },
                    missing,
                ));
            }
        }
    }
    Ok(found)
}

/// The admin of a cluster, as every operation uses it.
impl Doctor {
    pub(super) fn admin(&self, cluster: &Cluster) -> Result<Admin, StartError> {
        place::admin_with(&self.admin_keys, cluster)
    }

    /// Opens a login's password; otherwise says in words which key is missing.
    pub(super) fn open(
        &self,
        database: DatabaseId,
        role: &str,
        sealed: &tenantry_vault::Sealed,
    ) -> Result<tenantry_types::Secret, String> {
        use tenantry_vault::OpenError;
        let place = Place::login(database, role);
        let opened = match role {
            "router" | "router_old" => self.route_keys.open(&place, sealed),
            _ => self.admin_keys.open(&place, sealed),
        };
        opened.map_err(|error| match error {
            OpenError::UnknownKey { purpose, .. } => format!(
                "The login's password is sealed with a key for `{purpose}` that the program does not have."
            ),
            OpenError::Damaged { .. } => {
                "The login's sealed password was changed, or moved from another row.".to_owned()
            }
        })
    }
}
