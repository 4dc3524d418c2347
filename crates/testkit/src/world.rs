//! What exists on a server and in its catalog, to compare before and after.

use std::collections::BTreeMap;

use crate::Pg;

/// Databases, roles and the rows of the catalog that say what exists. Not the history: operations,
/// their journal and keys, the audit trail and the change log only ever grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World(BTreeMap<&'static str, Vec<String>>);

const ON_THE_SERVER: &[(&str, &str)] = &[
    (
        "databases",
        "SELECT format('%s open=%s', datname, datallowconn) FROM pg_database ORDER BY 1",
    ),
    (
        "roles",
        "SELECT format('%s login=%s', rolname, rolcanlogin) FROM pg_roles ORDER BY 1",
    ),
    (
        "memberships",
        "SELECT format('%s in %s', member::regrole, roleid::regrole) FROM pg_auth_members ORDER BY 1",
    ),
    (
        "settings",
        "SELECT format('%s in %s: %s', setrole::regrole, setdatabase, setconfig) FROM pg_db_role_setting ORDER BY 1",
    ),
];

const IN_THE_CATALOG: &[(&str, &str)] = &[
    (
        "tenants",
        "SELECT format('%s %s %s', id, slug, status) FROM tenants ORDER BY 1",
    ),
    (
        "domains",
        "SELECT format('%s of %s', name, tenant_id) FROM domains ORDER BY 1",
    ),
    (
        "catalog's databases",
        "SELECT format('%s %s of %s', name, state, tenant_id) FROM databases ORDER BY 1",
    ),
    (
        "catalog's logins",
        "SELECT format('%s %s sealed=%s', name, role, sealed IS NOT NULL) FROM logins ORDER BY 1",
    ),
    (
        "templates",
        "SELECT format('%s ready=%s', db_name, ready_at IS NOT NULL) FROM templates ORDER BY 1",
    ),
    (
        "secrets of operations",
        "SELECT format('%s %s', operation_id, name) FROM operation_secrets ORDER BY 1",
    ),
    (
        "open operations",
        "SELECT format('%s %s %s', id, kind, status) FROM operations
         WHERE status NOT IN ('done', 'failed') ORDER BY 1",
    ),
];

impl World {
    /// Looks at all of it.
    pub async fn of(pg: &Pg) -> Self {
        let mut all = BTreeMap::new();
        for (what, sql) in ON_THE_SERVER {
            all.insert(*what, pg.texts("postgres", sql).await);
        }
        for (what, sql) in IN_THE_CATALOG {
            all.insert(*what, pg.texts(&pg.catalog, sql).await);
        }
        Self(all)
    }

    /// The lines that one of the two has and the other has not.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, before) in &self.0 {
            let now = after.0.get(what).cloned().unwrap_or_default();
            let gone = before.iter().filter(|line| !now.contains(line));
            lines.extend(gone.map(|line| format!("{what}: - {line}")));
            let new = now.iter().filter(|line| !before.contains(line));
            lines.extend(new.map(|line| format!("{what}: + {line}")));
        }
        lines
    }

    /// What is there that was not there before.
    #[must_use]
    pub fn added(&self, after: &Self) -> Vec<String> {
        let mut lines = self.difference(after);
        lines.retain(|line| line.contains(": + "));
        lines
    }

    /// All lines that speak of something, e.g. of a slug or of its database.
    #[must_use]
    pub fn mentions(&self, what: &str) -> Vec<String> {
        let lines = self
            .0
            .iter()
            .flat_map(|(kind, lines)| lines.iter().map(move |line| format!("{kind}: {line}")));
        lines.filter(|line| line.contains(what)).collect()
    }
}
