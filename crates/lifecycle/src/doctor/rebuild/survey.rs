//! What the clusters of a lost catalog have: whose each database is, and what must be left alone.

use std::collections::HashMap;

use chrono::Duration;
use tenantry_catalog::rebuild::Written;
use tenantry_catalog::{CatalogError, inventory as ours};
use tenantry_cluster::adoption::Former;
use tenantry_cluster::inventory::{self, Database, Inventory, Role, Whose};
use tenantry_cluster::{Mark, identity, names, note};
use tenantry_types::{ClusterId, DatabaseId, DbName, RoleName, Slug, TenantId};

use super::goal::{Doors, Goal, Note};
use super::{Found, Left, Seat, written};
use crate::doctor::look::SESSION;
use crate::doctor::{Doctor, Progress};
use crate::error::StartError;

/// What an interrupted drop leaves.
const TORN: i32 = -2;

/// All that there is.
#[derive(Default)]
pub(super) struct Survey {
    /// Databases that are a tenant's, one for each tenant.
    pub claims: Vec<Claim>,
    pub left: Vec<Left>,
    /// Databases (`true`) and logins of ours that are no tenant's: their cluster, name, and the id of their mark.
    pub debris: Vec<(ClusterId, String, DatabaseId, bool)>,
}

/// A database that is a tenant's.
pub(super) struct Claim {
    pub cluster: ClusterId,
    cluster_name: String,
    pub id: DatabaseId,
    pub name: DbName,
    pub epoch: i64,
    pub tenant: Option<TenantId>,
    pub slug: Slug,
    pub logins: Logins,
    pub goal: Goal,
    /// How it was before it was adopted, where it was.
    pub former: Option<serde_json::Value>,
    remarks: Vec<&'static str>,
    /// What an earlier run has written of it.
    pub written: Option<Written>,
}

/// The logins that go on to be used.
pub(super) struct Logins {
    pub owner: RoleName,
    pub router: RoleName,
    pub user: Option<RoleName>,
    /// Another one of the product's that is in use.
    pub other_user: Option<RoleName>,
}

impl Claim {
    pub(super) fn told(&self, failed: Option<StartError>) -> Found {
        let written = self.written.as_ref();
        let status = written.and_then(|one| one.goal.get("status")?.as_str().map(str::to_owned));
        Found {
            tenant_id: written.map(|one| one.id).or(self.tenant),
            slug: self.slug.as_str().to_owned(),
            cluster: self.cluster_name.clone(),
            database: self.name.as_str().to_owned(),
            status: status.unwrap_or_else(|| self.goal.status.clone()),
            remarks: self.remarks.clone(),
            failed: failed.map(|error| format!("{error} ({})", error.code())),
        }
    }
}

impl Survey {
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.left.is_empty() && self.debris.is_empty()
    }

    pub(super) fn debris_names(&self) -> Vec<String> {
        self.debris
            .iter()
            .map(|(_, name, ..)| name.clone())
            .collect()
    }

    /// Two that claim one tenant or one name: neither is taken, as either may be a copy.
    fn leave_rivals(&mut self) {
        let mut tenants: HashMap<TenantId, usize> = HashMap::new();
        let mut slugs: HashMap<Slug, usize> = HashMap::new();
        for claim in &self.claims {
            if let Some(tenant) = claim.tenant {
                *tenants.entry(tenant).or_default() += 1;
            }
            *slugs.entry(claim.slug.clone()).or_default() += 1;
        }
        let (good, rivals): (Vec<_>, Vec<_>) = self.claims.drain(..).partition(|claim| {
            let tenant = claim.tenant.is_none_or(|tenant| tenants[&tenant] == 1);
            tenant && slugs[&claim.slug] == 1
        });
        self.claims = good;
        self.left.extend(rivals.into_iter().map(|claim| Left {
            why: format!(
                "Another database claims the same tenant or the same name, {}.",
                claim.slug
            ),
            cluster: claim.cluster_name,
            database: claim.name.as_str().to_owned(),
        }));
    }
}

impl Doctor {
    pub(super) async fn survey(
        &self,
        seats: &mut [Seat],
        grace: Duration,
        progress: &Progress,
    ) -> Result<Survey, StartError> {
        let mut survey = Survey::default();
        let mut seen = Vec::new();
        let mut marks: HashMap<DatabaseId, usize> = HashMap::new();
        for seat in seats.iter_mut() {
            let found = inventory::read(&mut seat.conn, self.installation).await?;
            for database in &found.databases {
                // A mark that somebody else wrote takes nothing from the database that it names.
                if let Whose::Ours(mark) = database.whose
                    && database.own
                {
                    *marks.entry(mark.database).or_default() += 1;
                }
            }
            seen.push(found);
        }
        // Only now: what somebody makes meanwhile has its row before it has a database.
        let (known, earlier) = (self.known().await?, written(self).await?);
        let all: usize = seen.iter().map(|one| one.databases.len()).sum();
        let mut done = 0;
        for (seat, found) in seats.iter_mut().zip(&seen) {
            let on = seat.cluster.name.clone();
            for database in &found.databases {
                done += 1;
                progress.say("databases", done, all);
                let left = |why: &str| Left {
                    cluster: on.clone(),
                    database: database.name.clone(),
                    why: why.to_owned(),
                };
                let Whose::Ours(mark) = database.whose else {
                    if like_ours(&database.name) && database.whose != Whose::Another {
                        survey
                            .left
                            .push(left("It has a name as ours have, and no mark."));
                    }
                    continue;
                };
                if !database.own {
                    survey
                        .left
                        .push(left("It has our mark, and belongs to somebody else."));
                    continue;
                }
                let earlier = earlier.get(&mark.database);
                if earlier.is_none() && known.contains(&mark.database) {
                    continue;
                }
                if marks[&mark.database] > 1 {
                    survey
                        .left
                        .push(left("Another database carries the same mark."));
                } else if database.name.starts_with("orphan_") && !database.open {
                    // Set aside already.
                } else if is_nobodys(&database.name) && database.connection_limit != TORN {
                    let name = database.name.clone();
                    survey
                        .debris
                        .push((seat.cluster.id, name, mark.database, true));
                } else {
                    match self
                        .claim(seat, found, database, mark, earlier, grace)
                        .await
                    {
                        Ok(claim) => survey.claims.push(claim),
                        Err(why) => survey.left.push(left(&why)),
                    }
                }
            }
            self.roles_of_nobody(seat, found, &known, &marks, &mut survey);
        }
        survey.leave_rivals();
        Ok(survey)
    }

    async fn known(&self) -> Result<Vec<DatabaseId>, StartError> {
        let mut conn = self.catalog.acquire().await.map_err(CatalogError::from)?;
        let inventory = ours::read(&mut conn, None).await?;
        let databases = inventory.databases.iter().map(|one| one.id);
        Ok(databases
            .chain(inventory.templates.iter().map(|one| one.id))
            .collect())
    }

    /// Logins of databases that are nobody's, or are not there any more.
    fn roles_of_nobody(
        &self,
        seat: &Seat,
        found: &Inventory,
        known: &[DatabaseId],
        marks: &HashMap<DatabaseId, usize>,
        survey: &mut Survey,
    ) {
        for role in &found.roles {
            let Some(mark) = role.whose.mark() else {
                continue;
            };
            let nobodys = survey
                .debris
                .iter()
                .any(|(_, _, id, _)| *id == mark.database)
                || !marks.contains_key(&mark.database);
            let ours = like_ours(&role.name) && role.powers.is_empty() && role.name != found.admin;
            if nobodys && ours && !known.contains(&mark.database) {
                let name = role.name.clone();
                survey
                    .debris
                    .push((seat.cluster.id, name, mark.database, false));
            }
        }
    }

    /// Whose a database is, from inside; otherwise why it is left alone.
    async fn claim(
        &self,
        seat: &mut Seat,
        found: &Inventory,
        database: &Database,
        mark: Mark,
        earlier: Option<&Written>,
        grace: Duration,
    ) -> Result<Claim, String> {
        if database.connection_limit == TORN {
            return Err("An interrupted drop left it; nobody can use it any more.".to_owned());
        }
        if !database.own {
            return Err("The cluster's admin login does not own it.".to_owned());
        }
        if !database.open {
            return Err("It accepts no connections: half-made, or closed by somebody.".to_owned());
        }
        let name =
            DbName::parse(&database.name).map_err(|_| "It has no name of ours.".to_owned())?;
        let unseen = |_| "It could not be looked into; run this again.".to_owned();
        let mut inside = seat.admin.enter(&name, SESSION).await.map_err(unseen)?;
        let told = async {
            let identity = identity::read(&mut inside).await?;
            Ok::<_, tenantry_cluster::ClusterError>((identity, note::read(&mut inside).await?))
        };
        let told = told.await;
        inside.close().await;
        let (identity, note) = told.map_err(unseen)?;
        let identity = identity.ok_or("It does not say which database it is: half-made.")?;
        if (identity.installation, identity.database) != (self.installation, mark.database) {
            return Err("The identity inside is another database's.".to_owned());
        }
        let logins = logins_of(&name, mark, &found.roles);
        let note = note.as_deref().and_then(Note::parse);
        let mut remarks = Vec::new();
        // Half-way between two owners, or adopted a moment ago: as one of ours it could be dropped, and be given back
        // by nobody.
        if note.is_none() && earlier.is_none() && !like_ours(&database.name) {
            return Err(
                "It has no note, and a name as ours do not have: it was about to be adopted or to be given back."
                    .to_owned(),
            );
        }
        let former = note.as_ref().and_then(|(note, _)| note.adopted.clone());
        if let Some(former) = &former {
            let known = serde_json::from_value::<Former>(former.clone());
            if !known.is_ok_and(|former| former.is_known()) {
                return Err(
                    "It was adopted, and how it was before is told in no form that is known here."
                        .to_owned(),
                );
            }
            remarks.push("It was adopted, and can be given back as it was.");
        }
        let (note, slug) = match (note, earlier) {
            (Some((note, slug)), _) => (Some(note), slug),
            (None, earlier) => {
                remarks.push(
                    "It has no note: its id is new, and name, plan and metadata are defaults.",
                );
                let slug =
                    earlier.map_or_else(|| slug_of(&name, mark.database), |one| one.slug.clone());
                (None, slug)
            }
        };
        let doors = doors(&name, mark, &found.roles);
        let goal = Goal::of(note.as_ref(), &slug, doors, self.clock.now(), grace);
        if goal.reason.as_deref() == Some(super::goal::UNKNOWN) {
            remarks.push("It is suspended: nobody knows for certain that it was in service.");
        }
        if logins.other_user.is_some() {
            remarks.push("Two logins of the product are in use; both stay good for 30 days.");
        }
        if logins.user.is_none() {
            remarks.push("The product has no login; issue one.");
        }
        Ok(Claim {
            cluster: seat.cluster.id,
            cluster_name: seat.cluster.name.clone(),
            id: mark.database,
            name,
            epoch: identity.epoch,
            tenant: earlier.map(|one| one.id).or(note.map(|note| note.tenant)),
            slug: earlier.map_or(slug, |one| one.slug.clone()),
            logins,
            goal,
            former,
            remarks,
            written: earlier.cloned(),
        })
    }
}

/// Names that no tenant's database has: spares, what is being made, templates.
fn is_nobodys(name: &str) -> bool {
    name.starts_with("tnt_new_") || name.starts_with("tnt_template_")
}

fn like_ours(name: &str) -> bool {
    name.starts_with("tenant_") || name.starts_with("tnt_")
}

/// Read off the database's name; where that hides it, made of its id.
fn slug_of(name: &DbName, id: DatabaseId) -> Slug {
    let readable = name.as_str().strip_prefix("tenant_");
    let readable = readable.and_then(|name| Slug::parse(&name.replace('_', "-")).ok());
    readable
        .or_else(|| {
            let id = id.as_uuid().simple().to_string();
            Slug::parse(&format!("t-{}", &id[20..])).ok()
        })
        .unwrap_or_else(fallback)
}

#[expect(clippy::expect_used, reason = "a word of letters is a slug")]
fn fallback() -> Slug {
    Slug::parse("rebuilt").expect("a slug")
}

fn marked<'a>(roles: &'a [Role], name: &RoleName, mark: Mark) -> Option<&'a Role> {
    let mut roles = roles.iter();
    roles.find(|role| role.name == name.as_str() && role.whose.mark() == Some(&mark))
}

/// One that was retired stays as a name to come back to.
fn in_use(role: &Role) -> bool {
    role.login || role.connection_limit != 0
}

fn logins_of(name: &DbName, mark: Mark, roles: &[Role]) -> Logins {
    let names = names::login_names(name);
    let used = |name: &RoleName| marked(roles, name, mark).is_some_and(in_use);
    let router = match (used(&names.router), used(&names.router_2)) {
        (false, true) => names.router_2.clone(),
        _ => names.router.clone(),
    };
    let (user, other_user) = match (used(&names.user), used(&names.user_2)) {
        (true, true) => (Some(names.user.clone()), Some(names.user_2.clone())),
        (true, false) => (Some(names.user.clone()), None),
        (false, true) => (Some(names.user_2.clone()), None),
        (false, false) => (None, None),
    };
    Logins {
        owner: names.owner,
        router,
        user,
        other_user,
    }
}

fn doors(name: &DbName, mark: Mark, roles: &[Role]) -> Doors {
    let names = names::login_names(name);
    let of_use: Vec<bool> = names
        .of_use()
        .iter()
        .filter_map(|name| marked(roles, name, mark).filter(|role| in_use(role)))
        .map(|role| role.login)
        .collect();
    let owner = marked(roles, &names.owner, mark).is_some_and(|role| role.login);
    match (
        of_use.iter().all(|login| *login),
        of_use.iter().any(|login| *login),
        owner,
    ) {
        _ if of_use.is_empty() => Doors::Ajar,
        (true, _, true) => Doors::Open,
        (false, false, true) => Doors::Suspended,
        (false, false, false) => Doors::Shut,
        _ => Doors::Ajar,
    }
}
