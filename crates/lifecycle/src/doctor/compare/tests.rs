//! A healthy world made of facts, and one thing changed in it at a time. What needs a server to be
//! believed is in `tests/doctor`.

use tenantry_catalog::clusters::TlsMode;
use tenantry_catalog::inventory::{Login, Tenant};
use tenantry_cluster::inventory::{Inventory as Server, Membership, Role, Whose};
use tenantry_cluster::{Mark, groups, names};
use tenantry_types::{DbName, InstallationId, OperationId, Timestamp};
use tenantry_vault::Sealed;
use uuid::Uuid;

use super::super::finding::Severity;
use super::*;

const ADMIN: &str = "adm";

/// The facts, each of which a test may change.
struct World {
    before: Inventory,
    after: Inventory,
    server: Server,
    cluster: Cluster,
    home: Home,
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).expect("a moment")
}

fn mark(database: u128) -> Whose {
    Whose::Ours(Mark::new(
        InstallationId::from_uuid(id(1)),
        id(database).into(),
    ))
}

fn seen_database(name: &str, whose: Whose, connect: &[&str]) -> seen::Database {
    seen::Database {
        name: name.to_owned(),
        whose,
        open: true,
        connection_limit: -1,
        own: true,
        connect: connect.iter().map(|one| (*one).to_owned()).collect(),
        create: vec![groups::OWNER.to_owned()],
        temporary: vec![groups::OWNER.to_owned()],
    }
}

fn seen_role(name: &str, whose: Whose, login: bool, limit: i32) -> Role {
    Role {
        name: name.to_owned(),
        whose,
        login,
        inherit: true,
        powers: Vec::new(),
        connection_limit: limit,
        expires: false,
    }
}

fn member(group: &str, member: &str) -> Membership {
    Membership {
        group: group.to_owned(),
        member: member.to_owned(),
        inherits: true,
        sets: true,
    }
}

fn row(n: u128, name: &str, status: &str) -> Database {
    let names = names::login_names(&DbName::parse(name).expect("a name"));
    let logins = [
        ("owner", &names.owner),
        ("router", &names.router),
        ("user", &names.user),
    ];
    Database {
        id: id(n).into(),
        cluster: id(2).into(),
        name: name.to_owned(),
        state: "claimed".to_owned(),
        operation: None,
        schema: "digest".to_owned(),
        lost: false,
        tenant: Some(Tenant {
            id: id(n + 1000).into(),
            slug: name.replace("tenant_", ""),
            status: status.to_owned(),
            epoch: 1,
            cluster: id(2).into(),
        }),
        logins: logins
            .into_iter()
            .map(|(role, name)| Login {
                role: role.to_owned(),
                name: name.as_str().to_owned(),
                sealed: Some(Sealed {
                    key_id: "k1".to_owned(),
                    bytes: vec![1],
                }),
                overdue: None,
            })
            .collect(),
    }
}

fn operation(n: u128) -> Operation {
    Operation {
        id: id(n).into(),
        kind: "purge".to_owned(),
        status: "running".to_owned(),
        tenant: None,
        slug: None,
        database: None,
        unheld: -3.0,
        fence: 1,
        failures: 0,
    }
}

/// Acme, who is served, with a template and the groups.
fn healthy() -> World {
    let catalog = Inventory {
        read_at: at(100),
        databases: vec![row(10, "tenant_acme", "active")],
        templates: vec![Template {
            id: id(20).into(),
            cluster: id(2).into(),
            name: "tnt_template_x".to_owned(),
            ready: true,
            age: 1e6,
        }],
        tenants: Vec::new(),
        operations: Vec::new(),
    };
    let logins = [
        "tenant_acme_owner",
        "tenant_acme_router",
        "tenant_acme_user",
    ];
    let mut template = seen_database("tnt_template_x", mark(20), &[]);
    template.open = false;
    let mut postgres = seen_database("postgres", Whose::Unmarked, &[]);
    postgres.create.clear();
    let mut memberships = vec![
        member(groups::OWNER, logins[0]),
        member(groups::APP, logins[1]),
        member(groups::APP, logins[2]),
    ];
    let mut roles = vec![
        seen_role(logins[0], mark(10), true, 5),
        seen_role(logins[1], mark(10), true, -1),
        seen_role(logins[2], mark(10), true, 20),
    ];
    for group in [groups::OWNER, groups::APP, groups::READONLY] {
        memberships.push(member(group, ADMIN));
        roles.push(seen_role(group, Whose::Unmarked, false, -1));
    }
    World {
        before: catalog.clone(),
        after: catalog,
        server: Server {
            started_at: at(1),
            version: 16,
            admin: ADMIN.to_owned(),
            databases: vec![
                postgres,
                seen_database("tenant_acme", mark(10), &logins),
                template,
            ],
            roles,
            memberships,
            working_as_owner: vec![(logins[0].to_owned(), "tenant_acme".to_owned())],
        },
        cluster: Cluster {
            id: id(2).into(),
            name: "default".to_owned(),
            host: "localhost".to_owned(),
            port: 5432,
            maintenance_db: "postgres".to_owned(),
            tls: TlsMode::Prefer,
            admin_login: ADMIN.to_owned(),
            admin: Sealed {
                key_id: "k1".to_owned(),
                bytes: Vec::new(),
            },
            connection_budget: 10,
            accepts: true,
            placement: tenantry_catalog::clusters::Placement::default(),
            root_ca: None,
            system_identifier: None,
            created_at: at(1),
        },
        home: Home {
            database: "catalog".to_owned(),
            server_started_at: at(2),
        },
    }
}

impl World {
    fn found(&self) -> Vec<Finding> {
        let catalog = Catalog {
            before: &self.before,
            after: &self.after,
        };
        let seen = Seen {
            cluster: &self.cluster,
            inventory: &self.server,
            elsewhere: &[],
            home: &self.home,
        };
        cluster(&catalog, &seen)
    }

    fn codes(&self) -> Vec<String> {
        let found = self.found();
        found
            .iter()
            .filter(|one| one.severity != Severity::Notice)
            .map(|one| one.code.to_string())
            .collect()
    }

    fn acme(&mut self) -> &mut seen::Database {
        &mut self.server.databases[1]
    }
}

#[test]
fn a_healthy_world_has_no_findings() {
    assert_eq!(healthy().found(), Vec::new());
}

#[test]
fn a_row_that_changes_meanwhile_is_in_progress() {
    let mut world = healthy();
    world.acme().connection_limit = 5;
    assert_eq!(world.codes(), ["DATABASE_LIMIT"]);
    let tenant = world.after.databases[0].tenant.as_mut().expect("a tenant");
    tenant.status = "suspended".to_owned();
    assert_eq!(world.codes(), Vec::<String>::new());
    let mut world = healthy();
    world.acme().connection_limit = 5;
    world.after.databases.clear();
    assert_eq!(world.codes(), Vec::<String>::new());
}

#[test]
fn an_operation_that_began_and_ended_meanwhile_is_in_progress() {
    let mut world = healthy();
    world.acme().open = false;
    assert_eq!(world.codes(), ["DATABASE_CLOSED"]);
    let mut ended = operation(70);
    ended.status = "done".to_owned();
    ended.tenant = Some(id(1010).into());
    world.after.operations.push(ended);
    assert_eq!(world.codes(), Vec::<String>::new());
}

#[test]
fn the_operation_that_made_a_database_counts_only_while_it_is_open() {
    let mut world = healthy();
    world.acme().open = false;
    for inventory in [&mut world.before, &mut world.after] {
        inventory.databases[0].operation = Some(OperationId::from_uuid(id(70)));
    }
    assert_eq!(world.codes(), ["DATABASE_CLOSED"]);
    world.before.operations.push(operation(70));
    assert_eq!(world.codes(), Vec::<String>::new());
}

#[test]
fn what_a_spare_s_operation_makes_and_takes_back_is_no_orphan() {
    let mut world = healthy();
    let made = seen_database("tnt_new_y", mark(30), &[]);
    world.server.databases.push(made);
    assert_eq!(world.codes(), ["DATABASE_ORPHAN"]);
    let mut spare = operation(70);
    spare.kind = "spare".to_owned();
    spare.database = Some(id(30).into());
    world.after.operations.push(spare);
    assert_eq!(world.codes(), Vec::<String>::new());
}

#[test]
fn who_could_come_in_is_told_even_in_progress_and_not_touched() {
    let mut world = healthy();
    world.before.operations.push(Operation {
        tenant: Some(id(1010).into()),
        ..operation(70)
    });
    world.acme().connect.push(String::new());
    let found = world.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, "DATABASE_PUBLIC");
    assert!(!found[0].fixable);
    // A clone has PUBLIC's rights until it is walled off, and is closed until then.
    world.acme().open = false;
    assert_eq!(world.found(), Vec::new());
}

#[test]
fn many_orphans_are_an_old_catalog_and_none_is_touched() {
    let mut world = healthy();
    for n in 0..3 {
        let name = format!("tenant_lost_{n}");
        let lost = seen_database(&name, mark(40 + n), &[]);
        world.server.databases.push(lost);
    }
    assert!(world.found().iter().all(|one| one.fixable));
    let one_more = seen_database("tenant_lost_4", mark(50), &[]);
    world.server.databases.push(one_more);
    let found = world.found();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|one| !one.fixable && one.remedy.is_none()));
}

#[test]
fn the_admin_may_have_admin_option_on_logins_and_no_more() {
    let mut world = healthy();
    world.server.memberships.push(Membership {
        inherits: false,
        sets: false,
        ..member("tenant_acme_user", ADMIN)
    });
    assert_eq!(world.codes(), Vec::<String>::new());
    if let Some(last) = world.server.memberships.last_mut() {
        last.sets = true;
    }
    assert_eq!(world.codes(), ["ROLE_HAS_MEMBER"]);
}

#[test]
fn what_was_buried_or_set_aside_is_no_difference() {
    let mut world = healthy();
    let mut aside = seen_database("orphan_stray_20260101", mark(60), &[]);
    aside.open = false;
    world.server.databases.push(aside);
    for name in ["dropped_x_user", "orphan_stray_user_20260101"] {
        let role = seen_role(name, mark(60), false, 0);
        world.server.roles.push(role);
    }
    assert_eq!(world.codes(), Vec::<String>::new());
    assert_eq!(world.found().len(), 2, "{:?}", world.found());
    // One that is open again is an orphan like any other.
    world.server.databases[3].open = true;
    assert_eq!(world.codes(), ["DATABASE_ORPHAN"]);
}

#[test]
fn a_template_in_the_making_has_a_login_and_an_older_one_may_go() {
    let mut world = healthy();
    let builder = seen_role("tnt_build_x", mark(20), true, 5);
    world.server.roles.push(builder);
    assert_eq!(world.codes(), ["ROLE_ORPHAN"]);
    for inventory in [&mut world.before, &mut world.after] {
        inventory.templates[0].ready = false;
        inventory.templates[0].age = 10.0;
    }
    assert_eq!(world.codes(), Vec::<String>::new());
    let mut world = healthy();
    world.server.databases.remove(2);
    assert_eq!(world.codes(), ["TEMPLATE_MISSING"]);
    world.before.operations.push(Operation {
        kind: "migrate".to_owned(),
        ..operation(70)
    });
    assert_eq!(world.codes(), Vec::<String>::new());
}

#[test]
fn a_mark_that_two_databases_carry_proves_nothing() {
    let mut world = healthy();
    for name in ["one", "two"] {
        let copy = seen_database(name, mark(80), &[]);
        world.server.databases.push(copy);
    }
    let found = world.found();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found
            .iter()
            .all(|one| one.code == "DATABASE_ORPHAN" && !one.fixable)
    );
}

#[test]
fn names_are_read_as_they_are_made() {
    let made = names::spare(id(0x0189_0a5d_ac96).into());
    let text = made.as_str().strip_prefix("tnt_new_").expect("a prefix");
    assert_eq!(databases::id(text), Some(id(0x0189_0a5d_ac96).into()));
    assert_eq!(databases::id("somebody"), None);
    assert_eq!(databases::id("ABCDEFABCDEFABCDEFABCDEFABCDEFAB"), None);
}
