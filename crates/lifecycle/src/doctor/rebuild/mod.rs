//! A lost catalog, written anew from what its clusters have: databases and logins by their marks, identities, and
//! the notes beside them (`crate::notes`).
//!
//! What is to become of each tenant is decided before anything is changed, and kept in the catalog; then its
//! logins get new passwords, sealed before the server hears of them, its doors are set as they were found, and
//! only then it stands. So a rebuild can be cut off anywhere and run again. What is half-made, what is not
//! certainly this installation's, and what two databases claim is left as it is and told. Nothing is dropped.

mod goal;
mod survey;

use std::collections::HashMap;

use serde::Serialize;
use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_catalog::rebuild::{self, InsertError, NewTenant, Written};
use tenantry_catalog::{CatalogError, change_log};
use tenantry_cluster::{Admin, AdminConn, ClusterError, Mark, fence, names, repair};
use tenantry_router::Expected;
use tenantry_tenantdb::migrations;
use tenantry_types::{ClusterId, DatabaseId, DbName, RoleName, TenantId};

use self::goal::Goal;
use self::survey::{Claim, Survey};
use super::look::SESSION;
use super::{Doctor, Progress};
use crate::asker::Asker;
use crate::error::StartError;
use crate::place;

/// How long the product's second login stays good where nobody knows which of two is the newer.
const OVERLAP: chrono::Duration = chrono::Duration::days(30);

/// What came of a rebuild, or would.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilt {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The tenants that were found.
    pub tenants: Vec<Found>,
    /// What was left alone.
    pub left: Vec<Left>,
    /// Databases and logins of no tenant that were shut and renamed to `orphan_…`, or would be.
    pub set_aside: Vec<String>,
}

/// A tenant that was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its id; the one it had where its note tells.
    pub tenant_id: Option<TenantId>,
    /// Its slug.
    pub slug: String,
    /// The cluster.
    pub cluster: String,
    /// Its database.
    pub database: String,
    /// How it stands.
    pub status: String,
    /// What the people who run it should know.
    pub remarks: Vec<&'static str>,
    /// Why it does not stand so yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A database that was left alone.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// The cluster.
    pub cluster: String,
    /// Its name.
    pub database: String,
    /// Why.
    pub why: String,
}

/// A cluster that is worked on.
struct Seat {
    cluster: Cluster,
    admin: Admin,
    conn: AdminConn,
}

impl Rebuilt {
    /// Whether everything that was found is whole again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && self.tenants.iter().all(|one| one.failed.is_none())
    }
}

impl Doctor {
    /// Writes the catalog anew from its clusters, or tells what it would write. Tenants whose logins are all shut
    /// out come back as deleted, and are kept for `grace` from now on.
    ///
    /// # Errors
    /// When the catalog has tenants that are not of a rebuild, another rebuild is on its way, a cluster cannot be
    /// asked, or none has a database of this installation. Nothing was written then.
    pub async fn rebuild(
        &self,
        dry_run: bool,
        grace: chrono::Duration,
        asker: &Asker,
        progress: &Progress,
    ) -> Result<Rebuilt, StartError> {
        // Holds the lock as long as it lasts.
        let mut guard = self.catalog.acquire().await.map_err(CatalogError::from)?;
        if !rebuild::alone(&mut guard).await? {
            return Err(StartError::WrongState("another rebuild is on its way"));
        }
        let rebuilt = self.rebuild_alone(dry_run, grace, asker, progress).await;
        // Back in the pool it would still hold the lock.
        drop(guard.detach());
        rebuilt
    }

    async fn rebuild_alone(
        &self,
        dry_run: bool,
        grace: chrono::Duration,
        asker: &Asker,
        progress: &Progress,
    ) -> Result<Rebuilt, StartError> {
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        if !rebuild::may_go_on(&mut conn).await? {
            return Err(StartError::WrongState(
                "the catalog has tenants: only an empty one is rebuilt",
            ));
        }
        let all = clusters::list(&mut conn).await?;
        drop(conn);
        let mut seats = Vec::new();
        for cluster in all {
            let admin = self.admin(&cluster)?;
            let conn = admin.connect(SESSION).await?;
            seats.push(Seat {
                cluster,
                admin,
                conn,
            });
        }
        if seats.is_empty() {
            return Err(StartError::NoCluster);
        }
        let survey = self.survey(&mut seats, grace, progress).await?;
        if survey.is_empty() {
            return Err(StartError::WrongState(
                "no registered cluster has a database of this installation",
            ));
        }
        let mut rebuilt = Rebuilt {
            dry_run,
            left: survey.left.clone(),
            ..Rebuilt::default()
        };
        if dry_run {
            rebuilt.tenants = survey.claims.iter().map(|claim| claim.told(None)).collect();
            rebuilt.set_aside = survey.debris_names();
        } else {
            self.write(&mut seats, survey, asker, progress, &mut rebuilt)
                .await?;
        }
        for seat in seats {
            seat.conn.close().await;
        }
        Ok(rebuilt)
    }

    async fn write(
        &self,
        seats: &mut [Seat],
        survey: Survey,
        asker: &Asker,
        progress: &Progress,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), StartError> {
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        rebuild::begin(&mut conn).await?;
        drop(conn);
        let all = survey.claims.len();
        for (done, claim) in survey.claims.iter().enumerate() {
            progress.say("tenants", done, all);
            let Some(seat) = seat_of(seats, claim.cluster) else {
                continue;
            };
            let taken = self.take(seat, claim, asker).await;
            if let Err(error) = &taken {
                tracing::warn!(
                    database = claim.name.as_str(),
                    error = error as &dyn std::error::Error,
                    "a tenant could not be rebuilt; the next run goes on with it"
                );
            }
            rebuilt.tenants.push(claim.told(taken.err()));
        }
        for (cluster, name, id, is_database) in &survey.debris {
            let Some(seat) = seat_of(seats, *cluster) else {
                continue;
            };
            match self.set_aside(seat, name, *id, *is_database, asker).await {
                Ok(()) => rebuilt.set_aside.push(name.clone()),
                Err(error) => rebuilt.left.push(Left {
                    cluster: seat.cluster.name.clone(),
                    database: name.clone(),
                    why: format!("It could not be set aside ({}).", error.code()),
                }),
            }
        }
        // As long as something was left, it may be taken by the next run: a copy can have gone by then.
        if rebuilt.is_whole() {
            let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
            rebuild::end(&mut conn).await?;
        }
        Ok(())
    }

    /// One tenant, from its database to a row that stands.
    async fn take(&self, seat: &mut Seat, claim: &Claim, asker: &Asker) -> Result<(), StartError> {
        let written = match &claim.written {
            Some(written) => written.clone(),
            None => self.record(seat, claim, asker).await?,
        };
        if written.done {
            return Ok(());
        }
        let goal: Goal = serde_json::from_value(written.goal.clone())
            .map_err(|error| StartError::Vault(Box::new(error)))?;
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        let rows = logins::by_database(&mut conn, claim.id).await?;
        drop(conn);
        let mark = Mark::new(self.installation, claim.id);
        self.set_doors(seat, &claim.name, &mark, &rows, &goal)
            .await?;
        let schema = self.prove(seat, claim, &rows, &goal).await?;
        let mut tx = self.catalog.begin().await.map_err(CatalogError::from)?;
        if rebuild::finish(&mut tx, written.id, schema.as_deref()).await? {
            change_log::append(&mut tx, written.id, change_log::Kind::Created).await?;
        }
        tx.commit().await.map_err(CatalogError::from)?;
        Ok(())
    }

    /// The rows: whatever the server is told from here on, the catalog knows it.
    async fn record(
        &self,
        seat: &Seat,
        claim: &Claim,
        asker: &Asker,
    ) -> Result<Written, StartError> {
        let id = claim
            .tenant
            .unwrap_or_else(|| TenantId::generate(&self.clock, &self.entropy));
        let goal = serde_json::to_value(&claim.goal).unwrap_or_default();
        let mut rows = vec![
            self.minted(claim.id, LoginRole::Owner, claim.logins.owner.clone())?,
            self.minted(claim.id, LoginRole::Router, claim.logins.router.clone())?,
        ];
        rows.push(match &claim.logins.user {
            // The product knows its password, and goes on with it.
            Some(user) => Login {
                database_id: claim.id,
                role: LoginRole::User,
                name: user.clone(),
                sealed: None,
            },
            None => {
                let user = names::login_names(&claim.name).user;
                self.minted(claim.id, LoginRole::User, user)?
            }
        });
        let detail = serde_json::json!({
            "slug": claim.slug.as_str(), "cluster": seat.cluster.name, "database": claim.name.as_str(),
            "databaseId": claim.id, "to": { "status": claim.goal.status, "reason": claim.goal.reason },
        });
        let mut tx = self.catalog.begin().await.map_err(CatalogError::from)?;
        self.note(&mut tx, asker, "catalog.rebuild", Some(id), &detail)
            .await?;
        let new = NewTenant {
            id,
            slug: &claim.slug,
            cluster: claim.cluster,
            database: claim.id,
            name: &claim.name,
            epoch: claim.epoch,
            goal: &goal,
            former: claim.former.as_ref(),
        };
        rebuild::insert(&mut tx, &new)
            .await
            .map_err(|error| match error {
                InsertError::Taken => {
                    StartError::WrongState("a row of another tenant is in the way")
                }
                InsertError::Catalog(error) => error.into(),
            })?;
        logins::insert_all(&mut tx, &rows).await?;
        if let Some(other) = &claim.logins.other_user {
            let until = self.clock.now() + OVERLAP;
            rebuild::insert_other_user(&mut tx, claim.id, other, until).await?;
        }
        tx.commit().await.map_err(CatalogError::from)?;
        Ok(Written {
            id,
            slug: claim.slug.clone(),
            database: claim.id,
            goal,
            done: false,
        })
    }

    /// The logins with the passwords that the catalog has, and whom they let in.
    async fn set_doors(
        &self,
        seat: &mut Seat,
        name: &DbName,
        mark: &Mark,
        rows: &[Login],
        goal: &Goal,
    ) -> Result<(), StartError> {
        let new = self.as_sealed(rows, mark).await?;
        let conn = &mut seat.conn;
        let all: Vec<RoleName> = names::login_names(name).all().to_vec();
        // Whoever is still in came by a password that is good no more.
        fence::close(conn, name, &all).await?;
        repair::revoke_public(conn, name, mark).await?;
        repair::grant(conn, name, None, mark).await?;
        tenantry_cluster::logins::create_for(conn, name, &new).await?;
        for row in rows.iter().filter(|row| row.sealed.is_none()) {
            repair::grant(conn, name, Some(&row.name), mark).await?;
        }
        for other in all
            .iter()
            .filter(|one| rows.iter().all(|row| row.name != **one))
        {
            match tenantry_cluster::logins::retire(conn, name, other, mark).await {
                // Somebody else's under a name as ours.
                Ok(()) | Err(ClusterError::NotOurs(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for visitor in tenantry_cluster::logins::temporary::of(conn, mark).await? {
            tenantry_cluster::logins::temporary::end(conn, name, &visitor, mark).await?;
        }
        let names = |wanted: &dyn Fn(LoginRole) -> bool| -> Vec<RoleName> {
            let rows = rows.iter().filter(|row| wanted(row.role));
            rows.map(|row| row.name.clone()).collect()
        };
        let is_owner = |role| role == LoginRole::Owner;
        if goal.is_served() {
            fence::reopen(conn, &names(&|_| true)).await?;
        } else {
            let shut = names(&|role| goal.is_deleted() || !is_owner(role));
            fence::expel(conn, &shut).await?;
        }
        Ok(())
    }

    /// Logs in as routers and migrations will, and tells at which migrations the database is.
    async fn prove(
        &self,
        seat: &Seat,
        claim: &Claim,
        rows: &[Login],
        goal: &Goal,
    ) -> Result<Option<String>, StartError> {
        if goal.is_deleted() {
            return Ok(None);
        }
        let expected = Expected {
            installation: self.installation,
            database_id: claim.id,
            epoch: claim.epoch,
        };
        let mut schema = None;
        for row in rows {
            let wanted = match row.role {
                LoginRole::Owner => true,
                LoginRole::Router => goal.is_served(),
                _ => false,
            };
            let Some(password) = self.password(row)?.filter(|_| wanted) else {
                continue;
            };
            schema = Some(
                self.standing_by(&seat.cluster, &claim.name, &row.name, password, &expected)
                    .await?,
            );
        }
        Ok(schema)
    }

    /// Logs in and asks at which migrations the database is.
    pub(super) async fn standing_by(
        &self,
        cluster: &Cluster,
        name: &DbName,
        login: &RoleName,
        password: tenantry_types::Secret,
        expected: &Expected,
    ) -> Result<String, StartError> {
        let target = place::target(cluster, name.clone(), login.clone(), password);
        let mut conn = self
            .prover
            .prove(&target, expected)
            .await
            .map_err(|error| StartError::Unproven(Box::new(error)))?;
        let standing = migrations::standing(&mut conn).await;
        conn.close().await;
        standing
            .map(|standing| standing.digest)
            .map_err(|error| StartError::Unproven(Box::new(error)))
    }

    async fn set_aside(
        &self,
        seat: &mut Seat,
        name: &str,
        id: DatabaseId,
        is_database: bool,
        asker: &Asker,
    ) -> Result<(), StartError> {
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        if tenantry_catalog::inventory::knows(&mut conn, id).await? {
            return Ok(());
        }
        let to = super::fix::aside(name, &self.clock);
        let detail = serde_json::json!({ "cluster": seat.cluster.name, "name": name, "to": to });
        self.note(&mut conn, asker, "catalog.rebuild", None, &detail)
            .await?;
        drop(conn);
        let mark = Mark::new(self.installation, id);
        let invalid = |error| StartError::Vault(Box::new(error));
        if is_database {
            let from = DbName::parse(name).map_err(invalid)?;
            let to = DbName::parse(to).map_err(invalid)?;
            repair::set_aside_database(&mut seat.conn, &from, &to, &mark).await?;
        } else {
            let from = RoleName::parse(name).map_err(invalid)?;
            let to = RoleName::parse(to).map_err(invalid)?;
            repair::set_aside_login(&mut seat.conn, &from, &to, &mark).await?;
        }
        Ok(())
    }
}

fn seat_of(seats: &mut [Seat], cluster: ClusterId) -> Option<&mut Seat> {
    seats.iter_mut().find(|seat| seat.cluster.id == cluster)
}

/// What the rebuild has written so far, by database.
async fn written(doctor: &Doctor) -> Result<HashMap<DatabaseId, Written>, StartError> {
    let mut conn = doctor.catalog.acquire().await.map_err(CatalogError::from)?;
    let written = rebuild::written(&mut conn).await?;
    Ok(written.into_iter().map(|one| (one.database, one)).collect())
}
