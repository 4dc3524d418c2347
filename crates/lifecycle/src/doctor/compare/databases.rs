//! Databases: those that the catalog knows, its templates, and those that it does not know.

use tenantry_catalog::inventory::Database;
use tenantry_cluster::inventory::{Database as Found, Whose};
use tenantry_cluster::{groups, names};
use tenantry_types::{DatabaseId, DbName, RoleName};

use super::{Code, Finding, On, Remedy, Repair, Standing};

/// The empty name of a grantee is PUBLIC.
const PUBLIC: &str = "";
/// What an interrupted `DROP DATABASE` leaves.
const TORN: i32 = -2;
/// How long a template may be in the making by nobody, in seconds.
const TEMPLATE_AGE: f64 = 3600.0;
/// How the name of what was set aside begins.
pub(super) const ASIDE: &str = "orphan_";

/// Each database of a row.
pub(super) fn known(on: &On<'_>, found: &mut Vec<Finding>) {
    for row in &on.databases {
        walls(on, row, found);
        if on.busy(row.id) {
            continue;
        }
        if Standing::of(row) == Standing::Unfinished {
            if row.lost {
                found.push(super::lost(on.of(row, "database", &row.name)));
            }
            // One with a tenant is told as the tenant.
            if row.tenant.is_none() {
                found.push(Finding::new(
                    Code::DatabaseUnfinished,
                    on.of(row, "database", &row.name),
                    "The catalog has a database that is being made, and no operation makes it.",
                ));
            }
            continue;
        }
        place(on, row, found);
    }
}

/// Whether the database is where its row says.
fn place(on: &On<'_>, row: &Database, found: &mut Vec<Finding>) {
    let subject = || on.of(row, "database", &row.name);
    let marked = on.by_mark.get(&row.id).map_or(&[][..], Vec::as_slice);
    let others = marked.iter().filter(|one| one.name != row.name);
    let Some(here) = on.by_name.get(row.name.as_str()) else {
        found.push(match marked.first() {
            Some(other) => Finding::new(
                Code::DatabaseRenamed,
                subject(),
                format!("The database is called {} on the server.", other.name),
            ),
            None if row.lost => super::lost(subject()),
            None => Finding::new(
                Code::DatabaseMissing,
                subject(),
                "The database does not exist on the server.",
            ),
        });
        return;
    };
    for other in others {
        found.push(Finding::new(
            Code::DatabaseMarkedTwice,
            on.of(row, "database", &other.name),
            format!("The database carries the mark of {}.", row.name),
        ));
    }
    match here.whose {
        Whose::Ours(mark) if mark.database == row.id => {}
        Whose::Ours(_) | Whose::Another => {
            found.push(Finding::new(
                Code::DatabaseOfAnother,
                subject(),
                "The database of this name carries the mark of another.",
            ));
            return;
        }
        Whose::Stranger | Whose::Unmarked => {
            let remedy = here.own && here.open && here.connection_limit != TORN;
            found.push(
                Finding::new(
                    Code::DatabaseMarkMissing,
                    subject(),
                    "The database does not carry our mark.",
                )
                .mended_by(remedy.then_some(Remedy::Known(row.id, Repair::MarkAgain))),
            );
            return;
        }
    }
    if torn(on, here, subject(), found) {
        return;
    }
    let repair = |repair| Some(Remedy::Known(row.id, repair));
    shape(here, subject, found, repair);
    if !here.open {
        found.push(Finding::new(
            Code::DatabaseClosed,
            subject(),
            "The database accepts no connections.",
        ));
    }
    grants(on, row, here, found);
}

/// What holds of each database of ours, also of a template.
fn shape(
    here: &Found,
    subject: impl Fn() -> super::Subject,
    found: &mut Vec<Finding>,
    repair: impl Fn(Repair) -> Option<Remedy>,
) {
    if !here.own {
        found.push(Finding::new(
            Code::DatabaseOwner,
            subject(),
            "The cluster's admin login does not own the database.",
        ));
    }
    if here.connection_limit != -1 {
        found.push(
            Finding::new(
                Code::DatabaseLimit,
                subject(),
                format!(
                    "The database accepts {} connections at most.",
                    here.connection_limit
                ),
            )
            .mended_by(repair(Repair::UnlimitDatabase)),
        );
    }
}

fn torn(on: &On<'_>, here: &Found, subject: super::Subject, found: &mut Vec<Finding>) -> bool {
    let _ = on;
    if here.connection_limit != TORN {
        return false;
    }
    found.push(Finding::new(
        Code::DatabaseTorn,
        subject,
        "A drop of the database was interrupted; Postgres lets nobody in any more.",
    ));
    true
}

/// Those who must have rights and lack them. Those who have too many are told by [`walls`].
fn grants(on: &On<'_>, row: &Database, here: &Found, found: &mut Vec<Finding>) {
    for login in &row.logins {
        let there = on.roles.get(login.name.as_str()).is_some_and(|role| {
            role.whose
                .mark()
                .is_some_and(|mark| mark.database == row.id)
        });
        if !there || here.connect.contains(&login.name) {
            continue;
        }
        let name = RoleName::parse(&login.name).ok();
        found.push(
            Finding::new(
                Code::GrantMissing,
                on.of(row, "database", &row.name),
                format!("The login {} may not connect to it.", login.name),
            )
            .mended_by(name.map(|name| Remedy::Known(row.id, Repair::Grant(Some(name))))),
        );
    }
    let group = groups::OWNER.to_owned();
    if !(here.create.contains(&group) && here.temporary.contains(&group)) {
        found.push(
            Finding::new(
                Code::GrantMissing,
                on.of(row, "database", &row.name),
                format!("The group {group} may not create schemas and temporary tables in it."),
            )
            .mended_by(Some(Remedy::Known(row.id, Repair::Grant(None)))),
        );
    }
}

/// Who may come in that must not. This holds in the middle of any operation as well: a database is walled
/// off before it is opened.
fn walls(on: &On<'_>, row: &Database, found: &mut Vec<Finding>) {
    for here in on.by_mark.get(&row.id).into_iter().flatten() {
        let mine: Vec<&str> = names_of(on, row, here);
        // What is done is done to the database that the row names.
        let leave = on.busy(row.id) || here.name != row.name;
        let repair = |repair| (!leave).then_some(Remedy::Known(row.id, repair));
        wall(
            on,
            row.id,
            here,
            &mine,
            |_| on.of(row, "database", &here.name),
            found,
            repair,
        );
    }
}

/// The logins that may have CONNECT. While something is in progress, whatever carries the database's mark.
fn names_of<'a>(on: &'a On<'_>, row: &'a Database, here: &'a Found) -> Vec<&'a str> {
    if !on.busy(row.id) {
        return row.logins.iter().map(|login| login.name.as_str()).collect();
    }
    let carries = |name: &&String| {
        on.roles.get(name.as_str()).is_some_and(|role| {
            role.whose
                .mark()
                .is_some_and(|mark| mark.database == row.id)
        })
    };
    here.connect
        .iter()
        .filter(carries)
        .map(String::as_str)
        .collect()
}

fn wall(
    on: &On<'_>,
    id: DatabaseId,
    here: &Found,
    mine: &[&str],
    subject: impl Fn(&str) -> super::Subject,
    found: &mut Vec<Finding>,
    repair: impl Fn(Repair) -> Option<Remedy>,
) {
    let rights = [
        ("CONNECT", &here.connect),
        ("CREATE", &here.create),
        ("TEMPORARY", &here.temporary),
    ];
    // A closed clone has what every new database has until it is walled off.
    if here.open
        && rights
            .iter()
            .any(|(_, who)| who.iter().any(|one| one == PUBLIC))
    {
        found.push(
            Finding::new(
                Code::DatabasePublic,
                subject(&here.name),
                "Every login of the server has a right on the database.",
            )
            .mended_by(repair(Repair::RevokePublic)),
        );
    }
    let mut told: Vec<&str> = Vec::new();
    for (right, who) in rights {
        for one in who {
            let meant = match right {
                "CONNECT" => mine.contains(&one.as_str()),
                _ => one == groups::OWNER,
            };
            let admin = *one == on.seen.inventory.admin;
            let visitor = right == "CONNECT" && temporary(on, one, id);
            if meant || admin || visitor || one == PUBLIC || told.contains(&one.as_str()) {
                continue;
            }
            told.push(one);
            let group = [groups::OWNER, groups::APP, groups::READONLY].contains(&one.as_str());
            let ours = on
                .roles
                .get(one.as_str())
                .and_then(|role| role.whose.mark())
                // While something is in progress there, its own logins have what they have.
                .is_some_and(|mark| mark.database != id || (!on.busy(id) && on.whole(id)));
            let name = RoleName::parse(one).ok().filter(|_| group || ours);
            found.push(
                Finding::new(
                    Code::GrantUnexpected,
                    subject(&here.name),
                    format!("{one} has {right} on it, and should not."),
                )
                .mended_by(name.and_then(|name| repair(Repair::Revoke(name)))),
            );
        }
    }
}

/// Whether a login is a person's or a tool's for a time, of this database. Those end by themselves: Postgres
/// lets nobody in after their time, and they have no right but to connect and to become a group.
pub(super) fn temporary(on: &On<'_>, name: &str, id: DatabaseId) -> bool {
    let role = on.roles.get(name).filter(|_| name.starts_with("tnt_jit_"));
    role.is_some_and(|role| {
        role.whose.mark().is_some_and(|mark| mark.database == id)
            && (role.expires || !role.login)
            && !role.inherit
            && role.powers.is_empty()
    })
}

/// Each template that is complete.
pub(super) fn templates(on: &On<'_>, found: &mut Vec<Finding>) {
    let making = on.catalog.runs(&["create", "spare", "migrate"]);
    let here = |template: &&_| -> bool { of(on, template) };
    for template in on.catalog.templates().filter(here) {
        let subject = || on.subject("database", &template.name);
        if !template.ready {
            if !making && template.age > TEMPLATE_AGE {
                found.push(Finding::new(
                    Code::TemplateUnfinished,
                    subject(),
                    "The template is not complete, and nobody completes it.",
                ));
            }
            continue;
        }
        let marked = on.by_mark.get(&template.id).map_or(&[][..], Vec::as_slice);
        let Some(here) = marked.iter().find(|one| one.name == template.name) else {
            // Older ones are dropped by the first who needs the newest.
            if !making {
                found.push(Finding::new(
                    Code::TemplateMissing,
                    subject(),
                    "The template does not exist on the server, or lost its mark.",
                ));
            }
            continue;
        };
        if torn(on, here, subject(), found) {
            continue;
        }
        let repair = |repair| Some(Remedy::Template(template.id, repair));
        shape(here, subject, found, repair);
        wall(on, template.id, here, &[], |_| subject(), found, repair);
        if here.open {
            found.push(
                Finding::new(
                    Code::TemplateOpen,
                    subject(),
                    "The template accepts connections.",
                )
                .mended_by(repair(Repair::Close)),
            );
        }
    }
}

fn of(on: &On<'_>, template: &tenantry_catalog::inventory::Template) -> bool {
    template.cluster == on.seen.cluster.id
}

/// Databases that no row knows: with our mark, or with a name as ours.
pub(super) fn strangers(on: &On<'_>, found: &mut Vec<Finding>) {
    for here in &on.seen.inventory.databases {
        match here.whose {
            Whose::Ours(mark) => {
                let id = mark.database;
                if on.catalog.knows(id) || on.busy(id) {
                    misplaced(on, here, id, found);
                    continue;
                }
                orphan(on, here, id, found);
            }
            Whose::Unmarked | Whose::Stranger => unmarked(on, here, found),
            Whose::Another => {}
        }
    }
}

/// A database whose row says that it is on another cluster.
fn misplaced(on: &On<'_>, here: &Found, id: DatabaseId, found: &mut Vec<Finding>) {
    let all = &on.catalog.after.databases;
    let Ok(at) = all.binary_search_by(|database| database.id.cmp(&id)) else {
        return;
    };
    if all[at].cluster != on.seen.cluster.id && !on.busy(id) {
        found.push(Finding::new(
            Code::DatabaseMarkedTwice,
            on.of(&all[at], "database", &here.name),
            "The catalog has this database on another cluster.",
        ));
    }
}

fn orphan(on: &On<'_>, here: &Found, id: DatabaseId, found: &mut Vec<Finding>) {
    let subject = on.subject("database", &here.name);
    if here.connection_limit == TORN {
        torn(on, here, subject, found);
    } else if here.name.starts_with(ASIDE) && !here.open {
        found.push(Finding::new(
            Code::DatabaseSetAside,
            subject,
            "The database is nobody's, and was closed and set aside.",
        ));
    } else {
        let alone = on.by_mark.get(&id).is_some_and(|all| all.len() == 1);
        // A mark on the catalog, or on the database that the admin works from, is a trap.
        let named = DbName::parse(&here.name).is_ok() && like_ours(&here.name);
        found.push(
            Finding::new(
                Code::DatabaseOrphan,
                subject,
                "The database carries our mark, and the catalog does not know it.",
            )
            .mended_by(
                (here.own && alone && named)
                    .then_some(Remedy::Orphan(id, Repair::SetAsideDatabase)),
            ),
        );
    }
}

/// Whether a name begins as all names of ours do.
pub(super) fn like_ours(name: &str) -> bool {
    name.starts_with("tenant_") || name.starts_with("tnt_")
}

/// Nobody but us makes names with an id in them, so that one of those is debris; `tenant_…` is a word
/// that others use.
fn unmarked(on: &On<'_>, here: &Found, found: &mut Vec<Finding>) {
    let ours = ["tnt_new_", "tnt_template_", "tnt_"]
        .into_iter()
        .find_map(|prefix| here.name.strip_prefix(prefix).and_then(id));
    if ours.is_some_and(|id| on.catalog.knows(id) || on.busy(id)) {
        // A clone that is not marked yet; or told of as the row's.
        return;
    }
    let rows = on.databases.iter().any(|row| row.name == here.name);
    if rows || (ours.is_none() && !here.name.starts_with("tenant_")) {
        return;
    }
    let one = Finding::new(
        Code::DatabaseUnmarked,
        on.subject("database", &here.name),
        "The database has a name as ours have, and does not carry our mark.",
    );
    found.push(if ours.is_none() { one.noted() } else { one });
}

/// The id in a name, written without hyphens.
pub(super) fn id(text: &str) -> Option<DatabaseId> {
    let id: DatabaseId = text.get(..32)?.parse().ok()?;
    let written = names::spare(id);
    written.as_str().ends_with(text.get(..32)?).then_some(id)
}
