//! Putting right what safely can be. Nothing is dropped, and nobody is let in who was shut out.
//!
//! What belongs to a tenant is done while its row is locked, once it is certain that no operation is on
//! its way and that the row is as it was when the difference was seen. The audit line is written first.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenantry_catalog::clusters::Cluster;
use tenantry_catalog::inventory::{self, Database};
use tenantry_catalog::{CatalogError, clusters, notes};
use tenantry_cluster::{AdminConn, ClusterError, Mark, identity, logins, note, repair};
use tenantry_types::{Clock, ClusterId, DatabaseId, DbName, InvalidIdent, RoleName};

use super::Doctor;
use super::compare::Standing;
use super::finding::{Finding, Outcome, Remedy, Repair};
use super::look::SESSION;
use crate::asker::Asker;
use crate::error::StartError;

/// How many databases of one cluster may be changed in one run. More than that is no mishap.
const MOST: usize = 500;

/// Why something was not put right.
enum Refused {
    /// Something is going on there now.
    InProgress,
    /// It did not work; the log says why.
    Failed,
}

/// Tries each remedy once. What came of it shows in the next look.
pub(super) async fn fix_all(
    doctor: &Doctor,
    asker: &Asker,
    findings: &mut [Finding],
) -> Result<(), StartError> {
    let mut conn = doctor.catalog.acquire().await.map_err(CatalogError::from)?;
    let all = clusters::list(&mut conn).await?;
    drop(conn);
    let mut sessions: HashMap<ClusterId, AdminConn> = HashMap::new();
    let mut tried = 0;
    for finding in findings.iter_mut() {
        let Some(remedy) = finding.remedy.clone() else {
            continue;
        };
        if tried >= MOST {
            break;
        }
        tried += 1;
        let mut named = all.iter();
        let cluster = named.find(|one| Some(&one.name) == finding.subject.cluster.as_ref());
        let done = fix_one(doctor, asker, finding, &remedy, cluster, &mut sessions).await;
        finding.fix = Some(match done {
            // Whether it holds is not ours to say.
            Ok(()) => Outcome::Fixed,
            Err(Refused::InProgress) => Outcome::InProgress,
            Err(Refused::Failed) => Outcome::Failed,
        });
    }
    for (_, session) in sessions {
        session.close().await;
    }
    Ok(())
}

async fn fix_one(
    doctor: &Doctor,
    asker: &Asker,
    finding: &Finding,
    remedy: &Remedy,
    cluster: Option<&Cluster>,
    sessions: &mut HashMap<ClusterId, AdminConn>,
) -> Result<(), Refused> {
    if let Remedy::FreeLease(operation) = remedy {
        write_down(doctor, asker, finding).await?;
        let mut conn = doctor.catalog.acquire().await.map_err(failed)?;
        return match inventory::free_lease(&mut conn, *operation).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::InProgress),
            Err(error) => Err(failed(error)),
        };
    }
    let cluster = cluster.ok_or(Refused::Failed)?;
    let session = session(doctor, cluster, sessions).await?;
    match remedy {
        Remedy::Known(id, repair) => {
            let mut tx = doctor.catalog.begin().await.map_err(failed)?;
            let row = steady(&mut tx, *id, cluster, finding).await?;
            write_down(doctor, asker, finding).await?;
            apply_known(doctor, cluster, session, &row, repair).await?;
            // Only now may an operation begin there.
            tx.rollback().await.map_err(failed)
        }
        Remedy::Template(id, repair) => {
            write_down(doctor, asker, finding).await?;
            let name = parsed(DbName::parse(&finding.subject.name))?;
            let mark = Mark::new(doctor.installation, *id);
            on_database(session, &name, &mark, repair).await
        }
        Remedy::Orphan(id, repair) => {
            let mut conn = doctor.catalog.acquire().await.map_err(failed)?;
            if inventory::knows(&mut conn, *id).await.map_err(failed)?
                || works_on(&mut conn, *id).await?
            {
                return Err(Refused::InProgress);
            }
            drop(conn);
            write_down(doctor, asker, finding).await?;
            set_aside(doctor, session, &finding.subject.name, *id, repair).await
        }
        Remedy::FreeLease(_) => Ok(()),
    }
}

/// A database's row, locked, if nothing is going on there and it is the one that was looked at.
async fn steady(
    conn: &mut PgConnection,
    id: DatabaseId,
    cluster: &Cluster,
    finding: &Finding,
) -> Result<Database, Refused> {
    let row = inventory::lock(conn, id).await.map_err(failed)?;
    let row = row.ok_or(Refused::InProgress)?;
    let tenant = row.tenant.as_ref().map(|tenant| tenant.id);
    let operations = inventory::operations(conn, None).await.map_err(failed)?;
    let busy = operations.iter().any(|operation| {
        operation.database == Some(id)
            || Some(operation.id) == row.operation
            || (tenant.is_some() && operation.tenant == tenant)
    });
    let same = tenant == finding.subject.tenant_id && row.cluster == cluster.id;
    if busy || !same || Standing::of(&row) == Standing::Unfinished {
        return Err(Refused::InProgress);
    }
    Ok(row)
}

async fn works_on(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, Refused> {
    let operations = inventory::operations(conn, None).await.map_err(failed)?;
    Ok(operations
        .iter()
        .any(|operation| operation.database == Some(id)))
}

async fn apply_known(
    doctor: &Doctor,
    cluster: &Cluster,
    session: &mut AdminConn,
    row: &Database,
    repair: &Repair,
) -> Result<(), Refused> {
    let name = parsed(DbName::parse(&row.name))?;
    let mark = Mark::new(doctor.installation, row.id);
    // What was a difference when the row was another is none by now.
    let standing = Standing::of(row);
    let lets_in = |login: &RoleName| {
        let mut logins = row.logins.iter();
        let login = logins.find(|one| one.name == login.as_str());
        login
            .and_then(|login| login.role.parse().ok())
            .is_some_and(|role| standing.lets_in(role))
    };
    let known = |login: &RoleName| row.logins.iter().any(|one| one.name == login.as_str());
    match repair {
        Repair::MarkAgain => mark_again(doctor, cluster, session, row, &name, &mark).await,
        Repair::NoteAgain => note_again(doctor, cluster, row, &name).await,
        Repair::Grant(Some(login)) if !known(login) => Err(Refused::InProgress),
        Repair::ShutOut(login) if lets_in(login) => Err(Refused::InProgress),
        Repair::Retire(login) => {
            if known(login) {
                return Err(Refused::InProgress);
            }
            logins::retire(session, &name, login, &mark)
                .await
                .map_err(refused)
        }
        Repair::Revoke(login) if known(login) => Err(Refused::InProgress),
        other => on_database(session, &name, &mark, other).await,
    }
}

/// The mark comes back only where the identity inside says that it is this database.
async fn mark_again(
    doctor: &Doctor,
    cluster: &Cluster,
    session: &mut AdminConn,
    row: &Database,
    name: &DbName,
    mark: &Mark,
) -> Result<(), Refused> {
    let admin = doctor.admin(cluster).map_err(failed)?;
    let mut inside = admin.enter(name, SESSION).await.map_err(refused)?;
    let found = identity::read(&mut inside).await;
    inside.close().await;
    let epoch = row
        .tenant
        .as_ref()
        .map_or(crate::making::FIRST_EPOCH, |tenant| tenant.epoch);
    let proven = found.map_err(refused)?.is_some_and(|found| {
        (found.installation, found.database, found.epoch) == (doctor.installation, row.id, epoch)
    });
    if !proven {
        return Err(Refused::Failed);
    }
    repair::mark_again(session, name, mark)
        .await
        .map_err(refused)
}

/// The note is written only into the database that says that it is this one. What it says does not change meanwhile: the
/// tenant is locked.
async fn note_again(
    doctor: &Doctor,
    cluster: &Cluster,
    row: &Database,
    name: &DbName,
) -> Result<(), Refused> {
    let tenant = row.tenant.as_ref().ok_or(Refused::InProgress)?;
    let mut conn = doctor.catalog.acquire().await.map_err(failed)?;
    let wanted = notes::wanted(&mut conn, Some(tenant.id)).await;
    drop(conn);
    // None: it has changed since, and is written by itself.
    let wanted = wanted.map_err(failed)?.pop().ok_or(Refused::InProgress)?;
    let admin = doctor.admin(cluster).map_err(failed)?;
    let mut inside = admin.enter(name, SESSION).await.map_err(refused)?;
    let written = async {
        let found = identity::read(&mut inside).await?;
        if !found.is_some_and(|found| {
            (found.installation, found.database) == (doctor.installation, row.id)
        }) {
            return Err(ClusterError::NotOurs(name.to_string()));
        }
        note::write(&mut inside, &wanted.note.to_string()).await
    };
    let written = written.await;
    inside.close().await;
    written.map_err(refused)
}

async fn on_database(
    session: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
    repair: &Repair,
) -> Result<(), Refused> {
    let done = match repair {
        Repair::UnlimitDatabase => repair::unlimit_database(session, name, mark).await,
        Repair::RevokePublic => repair::revoke_public(session, name, mark).await,
        Repair::Grant(login) => repair::grant(session, name, login.as_ref(), mark).await,
        Repair::Revoke(from) => repair::revoke(session, name, from, mark).await,
        Repair::Close => repair::close(session, name, mark).await,
        Repair::LimitLogin(login, limit) => repair::limit_login(session, login, *limit, mark).await,
        Repair::Disempower(login) => repair::disempower(session, login, mark).await,
        Repair::JoinGroup(login, kind) => repair::join_group(session, login, *kind, mark).await,
        Repair::EndMembership {
            login,
            group,
            member,
        } => repair::end_membership(session, login, group, member, mark).await,
        Repair::WorkAsOwner(login) => repair::work_as_owner(session, login, name, mark).await,
        Repair::ShutOut(login) => repair::shut_out(session, login, mark).await,
        Repair::MarkAgain
        | Repair::NoteAgain
        | Repair::Retire(_)
        | Repair::SetAsideDatabase
        | Repair::SetAsideLogin(_) => return Err(Refused::Failed),
    };
    done.map_err(refused)
}

/// `orphan_<name>_<day>`, the name cut where it would be too long.
async fn set_aside(
    doctor: &Doctor,
    session: &mut AdminConn,
    name: &str,
    id: DatabaseId,
    repair: &Repair,
) -> Result<(), Refused> {
    let mark = Mark::new(doctor.installation, id);
    let to = aside(name, &doctor.clock);
    match repair {
        Repair::SetAsideDatabase => {
            let from = parsed(DbName::parse(name))?;
            let to = parsed(DbName::parse(to))?;
            repair::set_aside_database(session, &from, &to, &mark)
                .await
                .map_err(refused)
        }
        Repair::SetAsideLogin(from) => {
            let to = parsed(RoleName::parse(to))?;
            repair::set_aside_login(session, from, &to, &mark)
                .await
                .map_err(refused)
        }
        _ => Err(Refused::Failed),
    }
}

pub(super) fn aside(name: &str, clock: &Clock) -> String {
    let day = clock.now().format("%Y%m%d");
    let short: String = name.chars().take(63 - "orphan__".len() - 8).collect();
    format!("orphan_{short}_{day}")
}

async fn session<'a>(
    doctor: &Doctor,
    cluster: &Cluster,
    sessions: &'a mut HashMap<ClusterId, AdminConn>,
) -> Result<&'a mut AdminConn, Refused> {
    use std::collections::hash_map::Entry;
    Ok(match sessions.entry(cluster.id) {
        Entry::Occupied(there) => there.into_mut(),
        Entry::Vacant(place) => {
            let admin = doctor.admin(cluster).map_err(failed)?;
            place.insert(admin.connect(SESSION).await.map_err(refused)?)
        }
    })
}

/// The line of the audit trail, committed before anything is done: no line, no act.
async fn write_down(doctor: &Doctor, asker: &Asker, finding: &Finding) -> Result<(), Refused> {
    let mut conn = doctor.catalog.acquire().await.map_err(failed)?;
    let detail = serde_json::json!({
        "code": finding.code,
        "subject": finding.subject,
        "message": finding.message,
    });
    doctor
        .note(
            &mut conn,
            asker,
            "doctor.fix",
            finding.subject.tenant_id,
            &detail,
        )
        .await
        .map_err(failed)
}

fn parsed<T>(name: Result<T, InvalidIdent>) -> Result<T, Refused> {
    name.map_err(failed)
}

fn refused(error: ClusterError) -> Refused {
    failed(error)
}

fn failed(error: impl std::error::Error + 'static) -> Refused {
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "the doctor could not put something right"
    );
    Refused::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_set_aside_is_still_a_name() {
        let long = aside(&"a".repeat(63), &Clock::system());
        assert_eq!(long.len(), 63);
        assert!(DbName::parse(long).is_ok());
    }
}
