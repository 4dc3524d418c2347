//! What belongs to a server as a whole: its groups, and the doors that are no tenant's.

use tenantry_cluster::groups;

use super::{Code, Finding, On};

/// The three groups: there, plain, and members of nothing.
pub(super) fn groups(on: &On<'_>, found: &mut Vec<Finding>) {
    let made = !on.databases.is_empty();
    for name in [groups::OWNER, groups::APP, groups::READONLY] {
        let subject = || on.subject("role", name);
        let Some(group) = on.roles.get(name) else {
            if made {
                found.push(Finding::new(
                    Code::GroupMissing,
                    subject(),
                    "The group does not exist on the server.",
                ));
            }
            continue;
        };
        let mut more = group.powers.clone();
        if group.login {
            more.push("LOGIN".to_owned());
        }
        let parents = on.groups_of.get(name);
        more.extend(
            parents
                .into_iter()
                .flatten()
                .map(|membership| format!("membership in {}", membership.group)),
        );
        if !more.is_empty() {
            found.push(Finding::new(
                Code::GroupAltered,
                subject(),
                format!("The group has {}.", more.join(", ")),
            ));
        }
        let members = on.members_of.get(name);
        let admin = members
            .into_iter()
            .flatten()
            .any(|membership| membership.member == on.seen.inventory.admin);
        if !admin {
            found.push(Finding::new(
                Code::ClusterUnfit,
                subject(),
                format!(
                    "The admin login is not a member of the group: GRANT {name} TO {}.",
                    on.seen.inventory.admin
                ),
            ));
        }
    }
}

/// Databases of the server that are no tenant's, and who of ours may connect to them.
pub(super) fn doors(on: &On<'_>, found: &mut Vec<Finding>) {
    let catalog = on.catalog_here();
    for name in special(on) {
        let Some(here) = on.by_name.get(name) else {
            continue;
        };
        let open = here.open && here.connect.iter().any(String::is_empty);
        let subject = || on.subject("database", name);
        if open && catalog == Some(name) {
            found.push(Finding::new(
                Code::CatalogPublic,
                subject(),
                "Every login of the server may connect to the catalog, the tenants' among them.",
            ));
        } else if open {
            found.push(Finding::new(
                Code::ServerPublic,
                subject(),
                "Every login of the server may connect to the database, the tenants' among them.",
            ));
        }
    }
    for (login, database) in on.seen.elsewhere {
        found.push(Finding::new(
            Code::LoginElsewhere,
            on.subject("role", login),
            format!("A tenant's login may connect to the database {database}."),
        ));
    }
}

/// The databases of the server's own, and the catalog where it is there.
pub(super) fn special<'a>(on: &On<'a>) -> Vec<&'a str> {
    let mut names = vec!["postgres", "template1"];
    if let Some(catalog) = on.catalog_here()
        && !names.contains(&catalog)
    {
        names.push(catalog);
    }
    names
}

impl<'a> On<'a> {
    /// The catalog's database, where this is its server.
    fn catalog_here(&self) -> Option<&'a str> {
        let home = self.seen.home;
        (home.server_started_at == self.seen.inventory.started_at).then_some(home.database.as_str())
    }
}
