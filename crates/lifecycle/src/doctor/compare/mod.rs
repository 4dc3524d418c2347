//! Facts in, findings out: what the catalog says there is, and what a cluster has.
//!
//! Pure: asks nobody, so that each rule can be tried without a server. The catalog is read before and
//! after the cluster. Where the two differ, or an operation is on its way or has begun meanwhile,
//! something is in progress, and nothing is said of what may be half-way.

mod catalog;
mod databases;
mod roles;
mod server;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use tenantry_catalog::clusters::Cluster;
use tenantry_catalog::databases::State;
use tenantry_catalog::inventory::{
    Database, DeadShare, Home, Inventory, Operation, Overdrawn, Router, Stray, Template,
};
use tenantry_catalog::logins::LoginRole;
use tenantry_catalog::tenants::Status;
use tenantry_cluster::inventory as seen;
use tenantry_types::{ClusterId, DatabaseId, TenantId};

use super::finding::{Code, Finding, Remedy, Repair, Subject};

/// The catalog, read before and after what it is compared with.
pub(super) struct Catalog<'a> {
    pub before: &'a Inventory,
    pub after: &'a Inventory,
}

/// What else is compared of the catalog with itself.
pub(super) struct Beside<'a> {
    pub clusters: &'a [Cluster],
    pub nobodys: &'a [Stray],
    pub late: &'a [Stray],
    pub routers: &'a [Router],
    pub shares: &'a [DeadShare],
    pub overdrawn: &'a [Overdrawn],
}

/// One cluster as it was seen between the two.
pub(super) struct Seen<'a> {
    pub cluster: &'a Cluster,
    pub inventory: &'a seen::Inventory,
    /// Logins of ours that Postgres lets into a database that is no tenant's, by login and database.
    pub elsewhere: &'a [(String, String)],
    pub home: &'a Home,
}

/// How a database should stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A spare, or a tenant's that is served.
    Open,
    /// A suspended tenant's: only the owner's login may come in.
    Suspended,
    /// A deleted tenant's: nobody may.
    Shut,
    /// Half-way, and nothing is going on.
    Unfinished,
}

impl Standing {
    pub(super) fn of(database: &Database) -> Self {
        match database.state.parse() {
            Ok(State::Spare) => return Self::Open,
            Ok(State::Claimed) => {}
            Ok(State::Making) | Err(_) => return Self::Unfinished,
        }
        let status = database.tenant.as_ref().map(|tenant| tenant.status.parse());
        match status {
            Some(Ok(Status::Active | Status::Migrating)) => Self::Open,
            Some(Ok(Status::Suspended)) => Self::Suspended,
            Some(Ok(Status::Deleting)) => Self::Shut,
            _ => Self::Unfinished,
        }
    }

    /// Whether a login may come in.
    pub(super) fn lets_in(self, role: LoginRole) -> bool {
        match self {
            Self::Open => true,
            Self::Suspended => role == LoginRole::Owner,
            Self::Shut | Self::Unfinished => false,
        }
    }
}

/// What is told of a database that a backup did not have which somebody accepted.
fn lost(subject: Subject) -> Finding {
    let message =
        "The backup of the cluster that was accepted does not have the tenant's database.";
    Finding::new(Code::DatabaseLost, subject, message)
}

impl<'a> Catalog<'a> {
    fn operations(&self) -> impl Iterator<Item = &'a Operation> {
        self.before.operations.iter().chain(&self.after.operations)
    }

    /// Whether an operation of one of these kinds is on its way.
    pub(super) fn runs(&self, kinds: &[&str]) -> bool {
        self.operations()
            .any(|operation| kinds.contains(&operation.kind.as_str()))
    }

    /// What is going on, and may be half-way anywhere on the clusters.
    pub(super) fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        for operation in self.operations() {
            busy.tenants.extend(operation.tenant);
            busy.databases.extend(operation.database);
            busy.operations.insert(operation.id);
        }
        let before = by_id(self.before);
        for database in &self.after.databases {
            if before
                .get(&database.id)
                .is_none_or(|before| !same(before, database))
            {
                busy.databases.insert(database.id);
            }
        }
        let after = by_id(self.after);
        let gone = |database: &&Database| !after.contains_key(&database.id);
        busy.databases
            .extend(self.before.databases.iter().filter(gone).map(|one| one.id));
        let all = self.before.databases.iter().chain(&self.after.databases);
        for database in all {
            let mine = database
                .operation
                .is_some_and(|id| busy.operations.contains(&id));
            let tenants = database
                .tenant
                .as_ref()
                .is_some_and(|tenant| busy.tenants.contains(&tenant.id));
            if mine || tenants {
                busy.databases.insert(database.id);
            }
        }
        busy
    }

    /// Whether the catalog knew this id at either moment.
    fn knows(&self, id: DatabaseId) -> bool {
        let found = |inventory: &Inventory| {
            inventory
                .databases
                .binary_search_by(|database| database.id.cmp(&id))
                .is_ok()
                || inventory.templates.iter().any(|template| template.id == id)
        };
        found(self.before) || found(self.after)
    }

    /// The templates that were there at both moments, in the same state.
    fn templates(&self) -> impl Iterator<Item = &'a Template> {
        let before = &self.before.templates;
        self.after.templates.iter().filter(move |template| {
            before
                .iter()
                .any(|one| (one.id, one.ready) == (template.id, template.ready))
        })
    }
}

/// What is in progress.
#[derive(Default)]
pub(super) struct Busy {
    pub databases: HashSet<DatabaseId>,
    pub tenants: HashSet<TenantId>,
    operations: HashSet<tenantry_types::OperationId>,
}

fn by_id(inventory: &Inventory) -> HashMap<DatabaseId, &Database> {
    let databases = inventory.databases.iter();
    databases.map(|database| (database.id, database)).collect()
}

/// Whether nothing about a database changed that shows on its cluster. Secrets may be sealed anew, and
/// the directory moves what is due.
fn same(before: &Database, after: &Database) -> bool {
    let logins = |database: &Database| -> Vec<(String, String)> {
        let logins = database.logins.iter();
        logins
            .map(|login| (login.role.clone(), login.name.clone()))
            .collect()
    };
    let tenant = |database: &Database| {
        let tenant = database.tenant.as_ref();
        tenant.map(|tenant| {
            (
                tenant.id,
                tenant.status.clone(),
                tenant.epoch,
                tenant.cluster,
            )
        })
    };
    (&before.name, &before.state, before.cluster) == (&after.name, &after.state, after.cluster)
        && tenant(before) == tenant(after)
        && logins(before) == logins(after)
}

/// All that is wrong in the catalog itself.
pub(super) fn catalog(catalog: &Catalog<'_>, beside: &Beside<'_>) -> Vec<Finding> {
    catalog::compare(catalog, beside)
}

/// All that is wrong on one cluster, as far as it shows from outside of its databases.
pub(super) fn cluster(catalog: &Catalog<'_>, seen: &Seen<'_>) -> Vec<Finding> {
    let on = On::new(catalog, seen);
    let mut found = Vec::new();
    server::groups(&on, &mut found);
    server::doors(&on, &mut found);
    databases::known(&on, &mut found);
    databases::templates(&on, &mut found);
    databases::strangers(&on, &mut found);
    roles::known(&on, &mut found);
    roles::strangers(&on, &mut found);
    limit_orphans(&on, &mut found);
    found
}

/// One cluster with what is looked up in it again and again.
struct On<'a> {
    catalog: &'a Catalog<'a>,
    seen: &'a Seen<'a>,
    busy: Busy,
    /// The catalog's databases there, as they were at the later moment.
    databases: Vec<&'a Database>,
    by_name: HashMap<&'a str, &'a seen::Database>,
    by_mark: HashMap<DatabaseId, Vec<&'a seen::Database>>,
    roles: HashMap<&'a str, &'a seen::Role>,
    groups_of: HashMap<&'a str, Vec<&'a seen::Membership>>,
    members_of: HashMap<&'a str, Vec<&'a seen::Membership>>,
    working_as_owner: HashSet<(&'a str, &'a str)>,
}

impl<'a> On<'a> {
    fn new(catalog: &'a Catalog<'a>, seen: &'a Seen<'a>) -> Self {
        let mut on = Self {
            catalog,
            seen,
            busy: catalog.busy(),
            databases: of_cluster(catalog.after, seen.cluster.id).collect(),
            by_name: HashMap::new(),
            by_mark: HashMap::new(),
            roles: HashMap::new(),
            groups_of: HashMap::new(),
            members_of: HashMap::new(),
            working_as_owner: HashSet::new(),
        };
        let inventory = seen.inventory;
        for database in &inventory.databases {
            on.by_name.insert(&database.name, database);
            if let Some(mark) = database.whose.mark() {
                on.by_mark.entry(mark.database).or_default().push(database);
            }
        }
        for role in &inventory.roles {
            on.roles.insert(&role.name, role);
        }
        for membership in &inventory.memberships {
            let (group, member) = (membership.group.as_str(), membership.member.as_str());
            on.groups_of.entry(member).or_default().push(membership);
            on.members_of.entry(group).or_default().push(membership);
        }
        let settings = inventory.working_as_owner.iter();
        on.working_as_owner = settings
            .map(|(login, database)| (login.as_str(), database.as_str()))
            .collect();
        on
    }

    fn busy(&self, id: DatabaseId) -> bool {
        self.busy.databases.contains(&id)
    }

    /// Whether a database is told as lost: of its logins there is nothing to be said beside that.
    fn is_lost(&self, row: &Database) -> bool {
        row.lost && !self.by_name.contains_key(row.name.as_str())
    }

    /// Whether the catalog knows the three logins of a database. Where it does not, what looks like a
    /// login too many may be the one that a customer uses.
    fn whole(&self, id: DatabaseId) -> bool {
        let row = self.databases.iter().find(|row| row.id == id);
        row.is_none_or(|row| {
            [LoginRole::Owner, LoginRole::Router, LoginRole::User]
                .iter()
                .all(|role| row.logins.iter().any(|login| login.role == role.as_str()))
        })
    }

    fn subject(&self, kind: &'static str, name: &str) -> Subject {
        Subject {
            cluster: Some(self.seen.cluster.name.clone()),
            kind: kind.into(),
            name: name.to_owned(),
            ..Subject::default()
        }
    }

    fn of(&self, database: &Database, kind: &'static str, name: &str) -> Subject {
        let tenant = database.tenant.as_ref();
        Subject {
            tenant_id: tenant.map(|tenant| tenant.id),
            slug: tenant.map(|tenant| tenant.slug.clone()),
            ..self.subject(kind, name)
        }
    }
}

/// A cluster's databases in an inventory.
pub(super) fn of_cluster(
    inventory: &Inventory,
    cluster: ClusterId,
) -> impl Iterator<Item = &Database> {
    let databases = inventory.databases.iter();
    databases.filter(move |database| database.cluster == cluster)
}

/// More orphans than one or another mishap leaves: the catalog may be an older one than the cluster, as
/// after a restore, and what looks like nobody's is customers'. Then a person has to look first.
fn limit_orphans(on: &On<'_>, found: &mut [Finding]) {
    let most = (on.databases.len() / 10).max(3);
    let orphans = found
        .iter()
        .filter(|one| one.code == Code::DatabaseOrphan.as_str())
        .count();
    if orphans <= most {
        return;
    }
    for one in found.iter_mut() {
        if matches!(one.remedy, Some(Remedy::Orphan(..))) {
            one.remedy = None;
            one.fixable = false;
            one.what_to_do = "Is the catalog older than the cluster, as after a restore? There are too many of these for --fix to touch any: look first.".into();
        }
    }
}
