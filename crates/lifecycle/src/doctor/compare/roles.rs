//! Logins: those that the catalog knows, and those that it does not know.

use tenantry_catalog::inventory::{Database, Login};
use tenantry_catalog::logins::LoginRole;
use tenantry_cluster::inventory::{Role, Whose};
use tenantry_cluster::logins::LoginKind;
use tenantry_cluster::{groups, names};
use tenantry_types::{DatabaseId, DbName, RoleName};

use super::databases::{ASIDE, id, like_ours, temporary};
use super::{Code, Finding, On, Remedy, Repair, Standing};
use crate::making::kind_of;

/// How the name of a login begins that could not be dropped whole.
const TOMBSTONE: &str = "dropped_";

/// The logins of each row.
pub(super) fn known(on: &On<'_>, found: &mut Vec<Finding>) {
    for row in &on.databases {
        let standing = Standing::of(row);
        if on.busy(row.id) || standing == Standing::Unfinished || on.is_lost(row) {
            continue;
        }
        for role in [LoginRole::Owner, LoginRole::Router, LoginRole::User] {
            if !row.logins.iter().any(|login| login.role == role.as_str()) {
                found.push(Finding::new(
                    Code::RoleUnrecorded,
                    on.of(row, "database", &row.name),
                    format!("The catalog does not know the database's login `{role}`."),
                ));
            }
        }
        for login in &row.logins {
            compare(on, row, standing, login, found);
        }
    }
}

fn compare(
    on: &On<'_>,
    row: &Database,
    standing: Standing,
    login: &Login,
    found: &mut Vec<Finding>,
) {
    let subject = || on.of(row, "role", &login.name);
    let Ok(role) = login.role.parse::<LoginRole>() else {
        return;
    };
    if login.overdue.is_some() {
        found.push(Finding::new(
            Code::LoginOverdue,
            subject(),
            "The login's overlap is over, and it was not disabled.",
        ));
    }
    let kept = !matches!(role, LoginRole::User | LoginRole::UserOld);
    if kept && login.sealed.is_none() {
        found.push(Finding::new(
            Code::SecretMissing,
            subject(),
            "The catalog has no password of the login.",
        ));
    }
    let Some(here) = on.roles.get(login.name.as_str()) else {
        found.push(Finding::new(
            Code::RoleMissing,
            subject(),
            "The login does not exist on the server.",
        ));
        return;
    };
    if here.whose.mark().is_none_or(|mark| mark.database != row.id) {
        found.push(Finding::new(
            Code::RoleMark,
            subject(),
            "The login does not carry the mark of its database.",
        ));
        return;
    }
    let kind = kind_of(role).0;
    let name = RoleName::parse(&login.name).ok();
    let repair = |repair: fn(RoleName) -> Repair| {
        name.clone().map(|name| Remedy::Known(row.id, repair(name)))
    };
    match (standing.lets_in(role), here.login) {
        (false, true) => found.push(
            Finding::new(
                Code::RoleNotFenced,
                subject(),
                match standing {
                    Standing::Suspended => {
                        "The tenant is suspended, and the login lets somebody in."
                    }
                    _ => "The tenant is deleted, and the login lets somebody in.",
                },
            )
            .mended_by(repair(Repair::ShutOut)),
        ),
        (true, false) => found.push(Finding::new(
            Code::RoleLockedOut,
            subject(),
            "The login lets nobody in.",
        )),
        _ => {}
    }
    if here.connection_limit != kind.connection_limit() {
        let limit = kind.connection_limit();
        found.push(
            Finding::new(
                Code::RoleLimit,
                subject(),
                format!(
                    "The login's limit of connections is {}, not {limit}.",
                    here.connection_limit
                ),
            )
            .mended_by(
                name.clone()
                    .map(|name| Remedy::Known(row.id, Repair::LimitLogin(name, limit))),
            ),
        );
    }
    if here.expires {
        found.push(Finding::new(
            Code::RoleExpires,
            subject(),
            "The login's password has an end (VALID UNTIL).",
        ));
    }
    attributes(here, subject, found, repair(Repair::Disempower));
    memberships(on, row, here, kind, found);
    // Under another name the database has the setting all the same.
    if kind == LoginKind::Owner
        && on.by_name.contains_key(row.name.as_str())
        && !on
            .working_as_owner
            .contains(&(login.name.as_str(), row.name.as_str()))
    {
        found.push(
            Finding::new(
                Code::OwnerSetting,
                subject(),
                format!(
                    "The login does not work as {} in its database.",
                    groups::OWNER
                ),
            )
            .mended_by(repair(Repair::WorkAsOwner)),
        );
    }
}

fn attributes(
    here: &Role,
    subject: impl Fn() -> super::Subject,
    found: &mut Vec<Finding>,
    repair: Option<Remedy>,
) {
    let mut wrong = here.powers.join(", ");
    if !here.inherit {
        wrong = [wrong.as_str(), "NOINHERIT"]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
    }
    if wrong.is_empty() {
        return;
    }
    let takeable = |power: &String| matches!(power.as_str(), "CREATEDB" | "CREATEROLE");
    let takeable = here.powers.iter().all(takeable);
    found.push(
        Finding::new(
            Code::RoleAttributes,
            subject(),
            format!("The login has {wrong}, which no tenant's has."),
        )
        .mended_by(repair.filter(|_| takeable)),
    );
}

/// What the login is a member of, and who is a member of it.
fn memberships(
    on: &On<'_>,
    row: &Database,
    here: &Role,
    kind: LoginKind,
    found: &mut Vec<Finding>,
) {
    let subject = || on.of(row, "role", &here.name);
    let login = RoleName::parse(&here.name).ok();
    let end = |group: &str, member: &str| {
        let group = RoleName::parse(group).ok()?;
        let member = RoleName::parse(member).ok()?;
        let login = login.clone()?;
        Some(Remedy::Known(
            row.id,
            Repair::EndMembership {
                login,
                group,
                member,
            },
        ))
    };
    let groups = on.groups_of.get(here.name.as_str());
    let mut in_its_own = false;
    for membership in groups.into_iter().flatten() {
        if membership.group == kind.group() {
            in_its_own = membership.inherits;
            continue;
        }
        found.push(
            Finding::new(
                Code::RoleInGroup,
                subject(),
                format!("The login is a member of {}.", membership.group),
            )
            .mended_by(end(&membership.group, &here.name)),
        );
    }
    if !in_its_own {
        found.push(
            Finding::new(
                Code::RoleGroupMissing,
                subject(),
                format!("The login is not a member of {}.", kind.group()),
            )
            .mended_by(
                login
                    .clone()
                    .map(|login| Remedy::Known(row.id, Repair::JoinGroup(login, kind))),
            ),
        );
    }
    let members = on.members_of.get(here.name.as_str());
    for membership in members.into_iter().flatten() {
        let admin = membership.member == on.seen.inventory.admin;
        // From 16 on whoever makes a role has ADMIN OPTION on it, and neither of these.
        if admin && !membership.inherits && !membership.sets {
            continue;
        }
        found.push(
            Finding::new(
                Code::RoleHasMember,
                subject(),
                format!("{} is a member of the login.", membership.member),
            )
            .mended_by(end(&here.name, &membership.member)),
        );
    }
}

/// Roles that no row knows: with our mark, or with a name as ours.
pub(super) fn strangers(on: &On<'_>, found: &mut Vec<Finding>) {
    for here in &on.seen.inventory.roles {
        match here.whose {
            Whose::Ours(mark) if on.busy(mark.database) => {}
            Whose::Ours(mark) => marked(on, here, mark.database, found),
            Whose::Unmarked | Whose::Stranger => unmarked(on, here, found),
            Whose::Another => {}
        }
    }
}

fn marked(on: &On<'_>, here: &Role, database: DatabaseId, found: &mut Vec<Finding>) {
    if here.name.starts_with(TOMBSTONE) && !here.login {
        return;
    }
    let all = &on.catalog.after.databases;
    let row = all
        .binary_search_by(|database_row| database_row.id.cmp(&database))
        .ok()
        .map(|at| &all[at]);
    if let Some(row) = row {
        if row.logins.iter().any(|login| login.name == here.name)
            || temporary(on, &here.name, database)
            || Standing::of(row) == Standing::Unfinished
        {
            return;
        }
        let base = DbName::parse(&row.name).ok();
        let retirable = base.is_some_and(|base| {
            let all = names::login_names(&base).all();
            all.iter().any(|name| name.as_str() == here.name)
        });
        if retirable && !here.login && here.connection_limit == 0 {
            return;
        }
        let retirable = retirable && on.whole(row.id);
        let name = RoleName::parse(&here.name).ok().filter(|_| retirable);
        found.push(
            Finding::new(
                Code::RoleLeftOver,
                on.of(row, "role", &here.name),
                "The catalog does not know this login of the database.",
            )
            .mended_by(name.map(|name| Remedy::Known(row.id, Repair::Retire(name)))),
        );
        return;
    }
    let mut templates = on.catalog.before.templates.iter();
    let template = templates.find(|template| template.id == database);
    let building = on.catalog.runs(&["create", "spare", "migrate"]);
    if template.is_some_and(|template| !template.ready) || (template.is_some() && building) {
        return;
    }
    if on.catalog.knows(database) && template.is_none() {
        return;
    }
    if here.name.starts_with(ASIDE) && !here.login {
        found.push(Finding::new(
            Code::RoleSetAside,
            on.subject("role", &here.name),
            "The login is nobody's, and was locked out and set aside.",
        ));
        return;
    }
    // A mark on the admin's own login, or on one with power, is a trap.
    let ours = like_ours(&here.name)
        && here.powers.is_empty()
        && here.name != on.seen.inventory.admin
        && template.is_none();
    let name = RoleName::parse(&here.name).ok().filter(|_| ours);
    found.push(
        Finding::new(
            Code::RoleOrphan,
            on.subject("role", &here.name),
            "The login carries our mark, and the catalog does not know it.",
        )
        .mended_by(name.map(|name| Remedy::Orphan(database, Repair::SetAsideLogin(name)))),
    );
}

/// As with databases: an id in the name is ours, `tenant_…` may be anybody's.
fn unmarked(on: &On<'_>, here: &Role, found: &mut Vec<Finding>) {
    let ours = ["tnt_new_", "tnt_build_", "tnt_"]
        .into_iter()
        .find_map(|prefix| here.name.strip_prefix(prefix).and_then(id));
    if ours.is_some_and(|id| on.catalog.knows(id) || on.busy(id)) {
        return;
    }
    let kinds = ["_owner", "_router", "_user", "_router_2", "_user_2"];
    let like =
        here.name.starts_with("tenant_") && kinds.iter().any(|kind| here.name.ends_with(kind));
    let rows = on
        .databases
        .iter()
        .any(|row| row.logins.iter().any(|login| login.name == here.name));
    if rows || (ours.is_none() && !like) {
        return;
    }
    let one = Finding::new(
        Code::RoleUnmarked,
        on.subject("role", &here.name),
        "The role has a name as ours have, and does not carry our mark.",
    );
    found.push(if ours.is_none() { one.noted() } else { one });
}
