//! Into each database: do its logins let us in with the passwords that the catalog has, and which
//! database answers there?
//!
//! The logins are tried as routers and migrations use them. Where none may come in, as in a deleted
//! tenant's database, the admin reads the identity, and nothing else. All of it is on top of the
//! cluster's budget, so it is a few at a time.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tenantry_catalog::clusters::Cluster;
use tenantry_catalog::inventory::Database;
use tenantry_catalog::logins::LoginRole;
use tenantry_cluster::inventory as server;
use tenantry_cluster::{Admin, identity};
use tenantry_router::{Expected, ProveError, ProvenConn};
use tenantry_tenantdb::{migrations, rights};
use tenantry_types::{DbName, RoleName, TenantId};

use super::compare::{Catalog, Standing, of_cluster};
use super::finding::{Code, Finding, Remedy, Repair, Subject};
use super::look::{Into, SESSION};
use super::report::Checked;
use super::{Doctor, Progress};
use crate::making::FIRST_EPOCH;
use crate::place;

/// How many databases of a cluster are visited at once.
const AT_ONCE: usize = 4;
/// How long a database is given. Whatever lies in it was put there by its tenant.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one statement in it may take: its server would go on with it when nobody waits any more.
const STATEMENT: Duration = Duration::from_secs(5);

/// One database to be visited.
pub(super) struct Visit<'a> {
    cluster: &'a Cluster,
    row: &'a Database,
    name: DbName,
    /// Logins that should be let in with a password that the catalog has.
    logins: Vec<(LoginRole, RoleName)>,
    /// Logins that serve requests.
    runtime: Vec<String>,
    /// Whether the ledger may just be changing.
    migrating: bool,
    /// What its note should say, where that is certain.
    note: Option<&'a str>,
}

/// What came of a visit.
#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    /// Whether it could not be looked at, for no fault of its own.
    unseen: bool,
}

/// The databases of a cluster to visit: not those where something is in progress, and not those that are
/// wrong from outside.
pub(super) fn visits<'a>(
    catalog: &Catalog<'a>,
    cluster: &'a Cluster,
    server: &server::Inventory,
    into: &Into,
    only: Option<TenantId>,
    notes: &'a HashMap<TenantId, String>,
    spoilt: impl Fn(Option<TenantId>, &str) -> bool,
) -> Vec<Visit<'a>> {
    if matches!(into, Into::None) {
        return Vec::new();
    }
    let busy = catalog.busy();
    let migrating = catalog.runs(&["migrate"]);
    let mut visits = Vec::new();
    for row in of_cluster(catalog.after, cluster.id) {
        let tenant = row.tenant.as_ref().map(|tenant| tenant.id);
        let standing = Standing::of(row);
        let wanted = match into {
            Into::Tenants(tenants) => tenants.contains(&tenant),
            _ => only.is_none_or(|only| tenant == Some(only)),
        };
        if !wanted
            || busy.databases.contains(&row.id)
            || standing == Standing::Unfinished
            || closed(server, &row.name)
            || (spoilt(tenant, &row.name) && !marked_again(server, &row.name))
        {
            continue;
        }
        let Ok(name) = DbName::parse(&row.name) else {
            continue;
        };
        let known = |login: &&tenantry_catalog::inventory::Login| {
            login.sealed.is_some() && !spoilt(tenant, &login.name)
        };
        let logins = row.logins.iter().filter(known).filter_map(|login| {
            let role: LoginRole = login.role.parse().ok()?;
            let name = RoleName::parse(&login.name).ok()?;
            standing.lets_in(role).then_some((role, name))
        });
        let runtime = row.logins.iter().filter(|login| {
            login.role != LoginRole::Owner.as_str() && !spoilt(tenant, &login.name)
        });
        visits.push(Visit {
            cluster,
            row,
            name,
            logins: logins.collect(),
            runtime: runtime.map(|login| login.name.clone()).collect(),
            migrating,
            note: tenant
                .and_then(|tenant| notes.get(&tenant))
                .map(String::as_str),
        });
    }
    visits
}

fn closed(server: &server::Inventory, name: &str) -> bool {
    !server
        .databases
        .iter()
        .any(|one| one.name == name && one.open && one.own)
}

/// One that lost its mark is looked into all the same: only its identity can prove it.
fn marked_again(server: &server::Inventory, name: &str) -> bool {
    let mut databases = server.databases.iter();
    databases.any(|one| one.name == name && one.whose.mark().is_none())
}

/// Visits them, a few at a time.
pub(super) async fn visit_all(
    doctor: &Doctor,
    cluster: &Cluster,
    visits: Vec<Visit<'_>>,
    checked: &mut Checked,
    progress: &Progress,
) -> Vec<Finding> {
    let Ok(admin) = doctor.admin(cluster) else {
        return Vec::new();
    };
    let (all, admin) = (visits.len(), &admin);
    // Boxed by hand: the compiler does not see that such a stream may move between threads.
    let visiting: Vec<BoxFuture<'_, Told>> = visits
        .into_iter()
        .map(|visit| {
            async move {
                let visited = visit_one(doctor, admin, &visit);
                let visited = tokio::time::timeout(PATIENCE, visited).await;
                visited.unwrap_or(Told {
                    unseen: true,
                    ..Told::default()
                })
            }
            .boxed()
        })
        .collect();
    let mut visiting = futures::stream::iter(visiting).buffer_unordered(AT_ONCE);
    let mut found = Vec::new();
    let mut done = 0;
    while let Some(told) = visiting.next().await {
        done += 1;
        progress.say("databases", done, all);
        checked.connected += 1;
        checked.unseen += usize::from(told.unseen);
        found.extend(told.findings);
    }
    found
}

async fn visit_one(doctor: &Doctor, admin: &Admin, visit: &Visit<'_>) -> Told {
    let mut told = Told::default();
    if visit.logins.is_empty() {
        by_admin(doctor, admin, visit, false, &mut told).await;
        return told;
    }
    let mut looked = false;
    for (role, name) in &visit.logins {
        let Some(mut conn) = log_in(doctor, admin, visit, *role, name, &mut told).await else {
            continue;
        };
        if !looked {
            looked = true;
            contents(&mut conn, visit, &mut told).await;
        }
        conn.close().await;
    }
    told
}

/// Logs in with the password that the catalog has.
async fn log_in(
    doctor: &Doctor,
    admin: &Admin,
    visit: &Visit<'_>,
    role: LoginRole,
    name: &RoleName,
    told: &mut Told,
) -> Option<ProvenConn> {
    let mut logins = visit.row.logins.iter();
    let login = logins.find(|login| login.name == name.as_str())?;
    // One that does not open is told of already.
    let sealed = login.sealed.as_ref()?;
    let password = doctor.open(visit.row.id, role.as_str(), sealed).ok()?;
    let target = place::target(visit.cluster, visit.name.clone(), name.clone(), password);
    match doctor.prover.prove(&target, &visit.expected(doctor)).await {
        Ok(conn) => Some(conn),
        Err(ProveError::WrongDatabase(_)) => {
            if !told
                .findings
                .iter()
                .any(|one| one.code.starts_with("IDENTITY"))
            {
                by_admin(doctor, admin, visit, true, told).await;
            }
            None
        }
        // The only answers that are about the password, or about who may come from where.
        Err(ProveError::Refused { sqlstate, .. })
            if matches!(sqlstate.as_str(), "28P01" | "28000") =>
        {
            told.findings.push(Finding::new(
                Code::LoginRefused,
                visit.subject("role", name.as_str()),
                "The server refuses the login with the password that the catalog has.",
            ));
            None
        }
        Err(_) => {
            told.unseen = true;
            None
        }
    }
}

/// Reads the identity as the admin: which database it is, or that it is none.
/// `denied`: a login was just told another answer.
async fn by_admin(
    doctor: &Doctor,
    admin: &Admin,
    visit: &Visit<'_>,
    denied: bool,
    told: &mut Told,
) {
    let found = async {
        let mut inside = admin.enter(&visit.name, SESSION).await?;
        let found = identity::read(&mut inside).await;
        inside.close().await;
        found
    };
    let found = match found.await {
        Ok(found) => found,
        Err(_) => {
            told.unseen = true;
            return;
        }
    };
    let expected = visit.expected(doctor);
    let mut add = |code, message: String| {
        let subject = visit.subject("database", visit.name.as_str());
        told.findings.push(Finding::new(code, subject, message));
    };
    match found {
        None => add(
            Code::IdentityMissing,
            "The database does not say which one it is.".to_owned(),
        ),
        Some(found)
            if (found.installation, found.database)
                != (expected.installation, expected.database_id) =>
        {
            add(
                Code::IdentityOfAnother,
                "The database says that it is another.".to_owned(),
            );
        }
        Some(found) if found.epoch != expected.epoch => add(
            Code::IdentityEpoch,
            format!(
                "The database is of epoch {}, the catalog's of {}.",
                found.epoch, expected.epoch
            ),
        ),
        Some(_) if denied => add(
            Code::IdentityMissing,
            "The database does not tell its logins which one it is.".to_owned(),
        ),
        Some(_) => {}
    }
}

/// What only shows inside: its migrations, and what its logins may do.
async fn contents(conn: &mut ProvenConn, visit: &Visit<'_>, told: &mut Told) {
    if rights::bound(conn, STATEMENT).await.is_err() {
        told.unseen = true;
        return;
    }
    match migrations::standing(conn).await {
        Ok(_) if visit.migrating => {}
        Ok(standing) => {
            let mut add = |code, message: String| {
                let subject = visit.subject("database", visit.name.as_str());
                told.findings.push(Finding::new(code, subject, message));
            };
            if let Some(version) = standing.dirty {
                add(
                    Code::SchemaDirty,
                    format!("Migration {version} was applied in part."),
                );
            } else if standing.digest != visit.row.schema {
                add(
                    Code::SchemaDiffers,
                    "The database is at other migrations than the catalog has recorded.".to_owned(),
                );
            }
        }
        Err(_) => told.unseen = true,
    }
    if let Some(wanted) = visit.note {
        match rights::note(conn).await {
            Ok(Some(note)) if note == wanted => {}
            Ok(note) => told.findings.push(note_differs(visit, note.is_some())),
            Err(_) => told.unseen = true,
        }
    }
    match rights::makers(conn, &visit.runtime).await {
        Ok(makers) => told.findings.extend(makers.into_iter().map(|maker| {
            Finding::new(
                Code::RuntimeRights,
                visit.subject("role", &maker.login),
                // The name of a schema is the tenant's own word: it is not repeated.
                match maker.place.as_str() {
                    "the database" => "The login may create schemas in its database.",
                    "tables of its own" => "The login owns tables or the like.",
                    "the schema public" => "The login may create in the schema public.",
                    "the schema tenantry" => "The login may create in the schema tenantry.",
                    _ => "The login may create in a schema of the tenant's.",
                },
            )
        })),
        Err(_) => told.unseen = true,
    }
}

fn note_differs(visit: &Visit<'_>, there: bool) -> Finding {
    let (code, message) = match there {
        true => (
            Code::NoteStale,
            "The note in the database says something else than the catalog.",
        ),
        false => (
            Code::NoteMissing,
            "The database has no note of whose it is.",
        ),
    };
    let subject = visit.subject("database", visit.name.as_str());
    Finding::new(code, subject, message)
        .mended_by(Some(Remedy::Known(visit.row.id, Repair::NoteAgain)))
}

impl Visit<'_> {
    fn expected(&self, doctor: &Doctor) -> Expected {
        let tenant = self.row.tenant.as_ref();
        Expected {
            installation: doctor.installation,
            database_id: self.row.id,
            epoch: tenant.map_or(FIRST_EPOCH, |tenant| tenant.epoch),
        }
    }

    fn subject(&self, kind: &'static str, name: &str) -> Subject {
        let tenant = self.row.tenant.as_ref();
        Subject {
            cluster: Some(self.cluster.name.clone()),
            tenant_id: tenant.map(|tenant| tenant.id),
            slug: tenant.map(|tenant| tenant.slug.clone()),
            kind: kind.into(),
            name: name.to_owned(),
        }
    }
}
