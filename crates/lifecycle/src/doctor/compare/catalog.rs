//! The catalog with itself: what a row says that another one, or the time, denies.

use std::collections::HashSet;

use tenantry_catalog::inventory::Operation;

use super::{Beside, Busy, Catalog, Code, Finding, Remedy, Standing, Subject};

/// How many seconds an operation may be without a driver.
const UNDRIVEN: f64 = 60.0;
/// A lease is never longer, in seconds.
const LONGEST_LEASE: f64 = 600.0;
/// So many failures, or drivers, are no passing trouble.
const FAILURES: i64 = 10;
const DRIVERS: i64 = 100;
/// How many seconds a live router may lack a change. It polls each second, and a drain takes a few.
const BEHIND: f64 = 30.0;
/// How many seconds a dead router's share may be held: its connections may be in the middle of a login.
const DEAD: f64 = 900.0;

pub(super) fn compare(catalog: &Catalog<'_>, beside: &Beside<'_>) -> Vec<Finding> {
    let busy = catalog.busy();
    let mut found = Vec::new();
    tenants(catalog, &busy, &mut found);
    databases(catalog, &busy, &mut found);
    operations(catalog, &mut found);
    rows(beside, &mut found);
    routers(beside, &mut found);
    found
}

fn tenants(catalog: &Catalog<'_>, busy: &Busy, found: &mut Vec<Finding>) {
    for tenant in &catalog.after.tenants {
        let mut before = catalog.before.tenants.iter();
        let still = before.find(|before| before.id == tenant.id);
        let Some(before) = still.filter(|_| !busy.tenants.contains(&tenant.id)) else {
            continue;
        };
        let subject = || Subject {
            tenant_id: Some(tenant.id),
            slug: Some(tenant.slug.clone()),
            kind: "tenant".into(),
            name: tenant.slug.clone(),
            ..Subject::default()
        };
        let mut add = |code, message| found.push(Finding::new(code, subject(), message));
        if tenant.no_database && before.no_database {
            add(Code::TenantWithoutDatabase, "The tenant has no database.");
        }
        if tenant.no_domain && before.no_domain {
            add(
                Code::TenantWithoutDomain,
                "No host name leads to the tenant.",
            );
        }
        if tenant.purge_late.is_some() {
            add(
                Code::PurgeOverdue,
                "The tenant's grace period is over, and its data is still there.",
            );
        }
    }
}

fn databases(catalog: &Catalog<'_>, busy: &Busy, found: &mut Vec<Finding>) {
    for database in &catalog.after.databases {
        let Some(tenant) = &database.tenant else {
            continue;
        };
        if busy.databases.contains(&database.id) || busy.tenants.contains(&tenant.id) {
            continue;
        }
        let subject = || Subject {
            tenant_id: Some(tenant.id),
            slug: Some(tenant.slug.clone()),
            kind: "tenant".into(),
            name: tenant.slug.clone(),
            ..Subject::default()
        };
        if tenant.cluster != database.cluster {
            found.push(Finding::new(
                Code::TenantElsewhere,
                subject(),
                "The tenant's row names another cluster than its database's.",
            ));
        }
        // One that was lost is told with its cluster.
        if Standing::of(database) == Standing::Unfinished && !database.lost {
            found.push(Finding::new(
                Code::TenantUnfinished,
                subject(),
                format!(
                    "The tenant is in state `{}`, and no operation of it is on its way.",
                    tenant.status
                ),
            ));
        }
    }
}

fn operations(catalog: &Catalog<'_>, found: &mut Vec<Finding>) {
    let before: HashSet<_> = catalog.before.operations.iter().map(|one| one.id).collect();
    for operation in &catalog.after.operations {
        if !before.contains(&operation.id) {
            continue;
        }
        let mut add = |code, message: String, remedy| {
            let finding = Finding::new(code, subject(operation), message);
            found.push(finding.mended_by(remedy));
        };
        let kind = &operation.kind;
        match operation.status.as_str() {
            "parked" => add(
                Code::OperationParked,
                format!("The operation `{kind}` stopped half-way and waits for a person."),
                None,
            ),
            "running" | "undoing" => {
                if operation.unheld > UNDRIVEN {
                    add(
                        Code::OperationAbandoned,
                        format!("No process has driven the operation `{kind}` for a minute."),
                        None,
                    );
                } else if operation.unheld < -LONGEST_LEASE {
                    add(
                        Code::OperationLease,
                        format!("The operation `{kind}` is held for longer than any lease is."),
                        Some(Remedy::FreeLease(operation.id)),
                    );
                }
                if operation.failures >= FAILURES || operation.fence >= DRIVERS {
                    add(
                        Code::OperationFailing,
                        format!("The operation `{kind}` has been tried again and again."),
                        None,
                    );
                }
            }
            _ => {}
        }
    }
}

fn subject(operation: &Operation) -> Subject {
    Subject {
        tenant_id: operation.tenant,
        slug: operation.slug.clone(),
        kind: "operation".into(),
        name: operation.id.to_string(),
        ..Subject::default()
    }
}

fn rows(beside: &Beside<'_>, found: &mut Vec<Finding>) {
    let subject = |table: &str| Subject {
        kind: "table".into(),
        name: table.to_owned(),
        ..Subject::default()
    };
    for stray in beside.nobodys {
        found.push(Finding::new(
            Code::RowsOfNobody,
            subject(&stray.table),
            format!("The table has {} rows that belong to nobody.", stray.count),
        ));
    }
    for stray in beside.late {
        found.push(Finding::new(
            Code::RowsOverdue,
            subject(&stray.table),
            format!(
                "The table has {} rows whose time was over ten minutes ago.",
                stray.count
            ),
        ));
    }
}

fn routers(beside: &Beside<'_>, found: &mut Vec<Finding>) {
    let named = |id| {
        let mut clusters = beside.clusters.iter();
        clusters
            .find(|cluster| cluster.id == id)
            .map(|cluster| cluster.name.clone())
    };
    for router in beside.routers {
        if router.live && router.behind.is_some_and(|behind| behind > BEHIND) {
            found.push(Finding::new(
                Code::RouterBehind,
                Subject {
                    kind: "router".into(),
                    name: router.name.clone(),
                    ..Subject::default()
                },
                "The router lacks a change that was made half a minute ago or longer.",
            ));
        }
    }
    for share in beside.shares {
        if share.dead > DEAD {
            found.push(Finding::new(
                Code::ShareOfDead,
                Subject {
                    cluster: named(share.cluster),
                    kind: "router".into(),
                    name: share.router.clone(),
                    ..Subject::default()
                },
                format!(
                    "A router that is gone still holds {} connections of the budget.",
                    share.slots
                ),
            ));
        }
    }
    for one in beside.overdrawn {
        let name = named(one.cluster).unwrap_or_else(|| one.cluster.to_string());
        found.push(Finding::new(
            Code::BudgetExceeded,
            Subject {
                cluster: Some(name.clone()),
                kind: "cluster".into(),
                name,
                ..Subject::default()
            },
            format!(
                "The routers hold {} connections of a budget of {}.",
                one.slots, one.budget
            ),
        ));
    }
}
