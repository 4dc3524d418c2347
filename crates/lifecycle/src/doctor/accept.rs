//! Brings the catalog and databases together again after a cluster was restored from a backup.
//!
//! A restored database is of another day: its epoch, its migrations, its logins and their passwords, and whom they
//! let in are those of then. A person has decided that it is the tenant's data from now on. It gets an epoch above
//! both, so that nobody who still holds a route or a connection of before can prove it; its logins become what the
//! catalog says, password and door; what it is at is recorded as it is. The database's own identity has to name
//! this installation and this database: nothing makes it another's.
//!
//! A tenant whose database the backup does not have signed up after it. It is told so, is served by nobody, and waits for
//! a person: its data is not here. Only its row is written then, so that the same call brings it back when the database is.
//!
//! The tenant's row is locked meanwhile, and written last. Cut off anywhere, the two do not fit and nobody is served,
//! until this is run again.

use std::time::Duration;

use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::inventory::{self, Database, Inventory};
use tenantry_catalog::logins::{self, LoginRole};
use tenantry_catalog::tenants::{self, Status};
use tenantry_catalog::{CatalogError, change_log, databases, notes, rebuild, routers, templates};
use tenantry_cluster::inventory as server;
use tenantry_cluster::{AdminConn, ClusterError, Mark, fence, identity, names, note, repair};
use tenantry_router::Expected;
use tenantry_types::{DatabaseId, DbName, RoleName};
use tokio::time::Instant;

use super::compare::Standing;
use super::look::SESSION;
use super::report::{Accept, Options};
use super::{Doctor, Progress};
use crate::asker::Asker;
use crate::error::StartError;

/// How long routers may take to follow.
const ROUTERS_HAVE: Duration = Duration::from_secs(30);

/// What is told of a tenant whose database the backup does not have.
const LOST: &str = "The backup of its cluster that was accepted does not have its database.";

/// Why a database was left as it is. The look that follows tells what is wrong with it.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error("there is no database of this mark and name")]
    Missing,
    #[error("the database is another's")]
    Another,
    #[error("something is going on there")]
    InProgress,
    #[error(transparent)]
    Failed(#[from] StartError),
}

impl From<ClusterError> for Left {
    fn from(error: ClusterError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<CatalogError> for Left {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<sqlx::Error> for Left {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A cluster that is worked on.
struct Seat<'a> {
    cluster: &'a Cluster,
    conn: AdminConn,
    found: server::Inventory,
}

impl Doctor {
    /// Accepts the databases of the tenant or of the cluster that the options name, one after another. What cannot
    /// be accepted is left as it is and stops no other.
    pub(super) async fn accept(
        &self,
        options: &Options,
        wanted: &Accept,
        asker: &Asker,
        progress: &Progress,
    ) -> Result<(), StartError> {
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        let all = clusters::list(&mut conn).await?;
        let catalog = inventory::read(&mut conn, None).await?;
        drop(conn);
        let of = |database: &&Database| {
            let tenant = database.tenant.as_ref().map(|tenant| tenant.id);
            tenant.is_some() && options.tenant.is_none_or(|only| tenant == Some(only))
        };
        for cluster in &all {
            let named = options.cluster.as_ref();
            if named.is_some_and(|named| *named != cluster.name) {
                continue;
            }
            let here: Vec<&Database> = super::compare::of_cluster(&catalog, cluster.id)
                .filter(of)
                .collect();
            if here.is_empty() && named.is_none() {
                continue;
            }
            let mut conn = self.admin(cluster)?.connect(SESSION).await?;
            let found = server::read(&mut conn, self.installation).await?;
            let mut seat = Seat {
                cluster,
                conn,
                found,
            };
            for (done, database) in here.iter().enumerate() {
                progress.say("databases", done, here.len());
                if let Err(left) = self.accept_one(&mut seat, database, wanted, asker).await {
                    tracing::warn!(
                        cluster = cluster.name,
                        database = database.name,
                        error = &left as &dyn std::error::Error,
                        "a database was not accepted"
                    );
                }
            }
            if options.tenant.is_none() {
                self.forget_unused(&seat, &catalog, asker, wanted).await?;
            }
            seat.conn.close().await;
        }
        self.followed().await
    }

    async fn accept_one(
        &self,
        seat: &mut Seat<'_>,
        seen: &Database,
        wanted: &Accept,
        asker: &Asker,
    ) -> Result<(), Left> {
        let mark = Mark::new(self.installation, seen.id);
        let name = DbName::parse(&seen.name).map_err(|_| Left::Another)?;
        let all = seat.found.databases.iter();
        let mut marked = all.filter(|one| one.own && one.whose.mark() == Some(&mark));
        match (marked.next(), marked.next()) {
            (Some(one), None) if one.name == seen.name && one.own && one.open => {}
            (None, _) => return self.lose(seat, seen, wanted, asker).await,
            _ => return Err(Left::Another),
        }
        let mut tx = self.catalog.begin().await?;
        let (mut row, tenant) = still(&mut tx, seen).await?;
        if row.lost && tenant.status == Status::Error.as_str() {
            // It is there again: the tenant stands as it did before it was lost.
            tenants::restore(&mut tx, tenant.id).await?;
            row = inventory::lock(&mut tx, seen.id)
                .await?
                .ok_or(Left::InProgress)?;
        }
        let standing = Standing::of(&row);
        if standing == Standing::Unfinished {
            return Err(Left::InProgress);
        }
        let mut inside = self.admin(seat.cluster)?.enter(&name, SESSION).await?;
        let found = identity::read(&mut inside).await?.ok_or(Left::Another)?;
        let noted = note::read(&mut inside).await?;
        if (found.installation, found.database) != (self.installation, row.id)
            || names_another(noted.as_deref(), &tenant.id.to_string())
        {
            return Err(Left::Another);
        }
        let epoch = found.epoch.max(tenant.epoch) + 1;
        self.write_down(
            &row,
            &seat.cluster.name,
            (found.epoch, tenant.epoch, epoch),
            wanted,
            asker,
        )
        .await?;
        let rows = logins::by_database(&mut tx, row.id).await?;
        let every: Vec<RoleName> = names::login_names(&name).all().to_vec();
        let conn = &mut seat.conn;
        fence::close(conn, &name, &every).await?;
        // Before any login is opened: who knows the epochs of before is turned away from here on.
        identity::write(&mut inside, self.installation, row.id, epoch).await?;
        inside.close().await;
        repair::revoke_public(conn, &name, &mark).await?;
        repair::grant(conn, &name, None, &mark).await?;
        let mut rows = rows;
        for login in &mut rows {
            // The product's was issued after the backup: it has to be issued again.
            let there = seat
                .found
                .roles
                .iter()
                .any(|one| one.name == login.name.as_str());
            if login.sealed.is_none() && !there {
                *login = self.minted(row.id, login.role, login.name.clone())?;
                if let Some(sealed) = &login.sealed {
                    logins::set_secret(&mut tx, row.id, login.role, sealed).await?;
                }
            }
        }
        let new = self.as_sealed(&rows, &mark).await?;
        tenantry_cluster::logins::create_for(conn, &name, &new).await?;
        for login in rows.iter().filter(|login| login.sealed.is_none()) {
            repair::grant(conn, &name, Some(&login.name), &mark).await?;
        }
        for other in every
            .iter()
            .filter(|one| rows.iter().all(|row| row.name != **one))
        {
            match tenantry_cluster::logins::retire(conn, &name, other, &mark).await {
                Ok(()) | Err(ClusterError::NotOurs(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let of = |open: bool| -> Vec<RoleName> {
            let rows = rows.iter().filter(|row| standing.lets_in(row.role) == open);
            rows.map(|row| row.name.clone()).collect()
        };
        fence::expel(conn, &of(false)).await?;
        fence::reopen(conn, &of(true)).await?;
        let mut schema = None;
        let expected = Expected {
            installation: self.installation,
            database_id: row.id,
            epoch,
        };
        for login in &rows {
            if matches!(login.role, LoginRole::Owner | LoginRole::Router)
                && standing.lets_in(login.role)
                && let Some(password) = self.password(login)?
            {
                schema = Some(
                    self.standing_by(seat.cluster, &name, &login.name, password, &expected)
                        .await?,
                );
            }
        }
        rebuild::accept(&mut tx, row.id, epoch, schema.as_deref()).await?;
        notes::write_again(&mut tx, tenant.id).await?;
        change_log::append(&mut tx, tenant.id, change_log::Kind::Migrated).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes down that the backup does not have a tenant's database. Nobody serves the tenant then, and the look that
    /// follows tells what is left to do. Asked for again, it is told again.
    async fn lose(
        &self,
        seat: &mut Seat<'_>,
        seen: &Database,
        wanted: &Accept,
        asker: &Asker,
    ) -> Result<(), Left> {
        let mut tx = self.catalog.begin().await?;
        let (row, tenant) = still(&mut tx, seen).await?;
        // Once more, now that nobody can begin anything with it.
        let found = server::read(&mut seat.conn, self.installation).await?;
        let there = found.databases.iter().any(|one| {
            one.name == row.name
                || (one.own && one.whose.mark().is_some_and(|mark| mark.database == row.id))
        });
        if there || row.lost || !has_ours(&found) {
            return Err(Left::Missing);
        }
        if Standing::of(&row) == Standing::Unfinished {
            return Err(Left::InProgress);
        }
        let to = match Standing::of(&row) {
            Standing::Shut => tenant.status.as_str(),
            _ => Status::Error.as_str(),
        };
        let detail = serde_json::json!({
            "cluster": seat.cluster.name, "database": row.name, "databaseId": row.id, "reason": wanted.reason,
            "missing": true, "from": { "status": tenant.status }, "to": { "status": to },
        });
        let mut conn = self.catalog.acquire().await?;
        self.note(
            &mut conn,
            asker,
            "doctor.accept_epoch",
            Some(tenant.id),
            &detail,
        )
        .await?;
        drop(conn);
        rebuild::lose(&mut tx, row.id, LOST).await?;
        change_log::append(&mut tx, tenant.id, change_log::Kind::Fenced).await?;
        tx.commit().await?;
        Err(Left::Missing)
    }

    /// The line of the audit trail, committed before anything is done.
    async fn write_down(
        &self,
        row: &Database,
        cluster: &str,
        (here, there, to): (i64, i64, i64),
        wanted: &Accept,
        asker: &Asker,
    ) -> Result<(), CatalogError> {
        let detail = serde_json::json!({
            "cluster": cluster, "database": row.name, "databaseId": row.id, "reason": wanted.reason,
            "from": { "epoch": there, "epochInTheDatabase": here }, "to": { "epoch": to },
        });
        let tenant = row.tenant.as_ref().map(|tenant| tenant.id);
        let mut conn = self.catalog.acquire().await?;
        self.note(&mut conn, asker, "doctor.accept_epoch", tenant, &detail)
            .await
    }

    /// Rows of spares and templates that are not there: nobody's data, made after the backup. Others are made.
    async fn forget_unused(
        &self,
        seat: &Seat<'_>,
        catalog: &Inventory,
        asker: &Asker,
        wanted: &Accept,
    ) -> Result<(), StartError> {
        // Rather another server than a backup of this one.
        if !has_ours(&seat.found) {
            return Ok(());
        }
        let there = |id: DatabaseId| {
            let all = seat.found.databases.iter();
            let marks = all.filter(|one| one.own).filter_map(|one| one.whose.mark());
            marks.into_iter().any(|mark| mark.database == id)
        };
        let unused = |one: &&Database| {
            one.cluster == seat.cluster.id && one.state == "spare" && one.tenant.is_none()
        };
        let spares: Vec<&Database> = catalog.databases.iter().filter(unused).collect();
        let gone: Vec<_> = spares.iter().filter(|one| !there(one.id)).collect();
        let lost: Vec<_> = catalog
            .templates
            .iter()
            .filter(|one| one.cluster == seat.cluster.id && one.ready && !there(one.id))
            .collect();
        if gone.is_empty() && lost.is_empty() {
            return Ok(());
        }
        let mut tx = self.catalog.begin().await.map_err(CatalogError::from)?;
        let detail = serde_json::json!({
            "cluster": seat.cluster.name, "reason": wanted.reason,
            "forgotten": gone.iter().map(|one| &one.name).chain(lost.iter().map(|one| &one.name)).collect::<Vec<_>>(),
        });
        self.note(&mut tx, asker, "doctor.accept_epoch", None, &detail)
            .await?;
        for one in gone {
            // A tenant may have got it meanwhile: then it is that one's, and missing.
            if databases::take_back(&mut tx, one.id).await? {
                databases::remove(&mut tx, one.id).await?;
            }
        }
        for one in lost {
            templates::remove(&mut tx, one.id).await?;
        }
        tx.commit().await.map_err(CatalogError::from)?;
        Ok(())
    }

    /// Waits until every live router has followed.
    async fn followed(&self) -> Result<(), StartError> {
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        let number = change_log::current(&mut conn).await?;
        drop(conn);
        let deadline = Instant::now() + ROUTERS_HAVE;
        loop {
            let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
            if routers::behind(&mut conn, number).await?.is_empty() {
                return Ok(());
            }
            drop(conn);
            if Instant::now() >= deadline {
                return Err(StartError::RoutersBehind);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether a server has any database of ours. One that has none is rather another server than a backup.
fn has_ours(found: &server::Inventory) -> bool {
    let mut all = found.databases.iter();
    all.any(|one| one.own && matches!(one.whose, server::Whose::Ours(_)))
}

/// A database's row and its tenant, locked, if nothing is going on there and it is the one that was seen.
async fn still(
    conn: &mut sqlx::PgConnection,
    seen: &Database,
) -> Result<(Database, inventory::Tenant), Left> {
    let row = inventory::lock(conn, seen.id)
        .await?
        .ok_or(Left::InProgress)?;
    let tenant = row.tenant.clone().ok_or(Left::InProgress)?;
    let operations = inventory::operations(conn, None).await?;
    let busy = operations
        .iter()
        .any(|one| one.database == Some(row.id) || one.tenant == Some(tenant.id));
    if busy || row.name != seen.name {
        return Err(Left::InProgress);
    }
    Ok((row, tenant))
}

/// A note that names another tenant than the row. One that is none says nothing.
fn names_another(note: Option<&str>, tenant: &str) -> bool {
    let note = note.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let named = note.as_ref().and_then(|note| note.get("tenant")?.as_str());
    named.is_some_and(|named| named != tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_another_tenant_is_one() {
        assert!(names_another(Some(r#"{"tenant":"b"}"#), "a"));
        assert!(!names_another(Some(r#"{"tenant":"a"}"#), "a"));
        for none in [
            None,
            Some("standard public schema"),
            Some("{}"),
            Some("null"),
        ] {
            assert!(!names_another(none, "a"), "{none:?}");
        }
    }
}
