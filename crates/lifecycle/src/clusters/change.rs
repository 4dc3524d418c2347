//! Changing a cluster: what it takes, and the way to it.

use serde_json::{Map, Value, json};
use tenantry_catalog::clusters::{self, Cluster, Placement};
use tenantry_catalog::{change_log, shares};

use super::look::Seen;
use super::{WayIn, exists, told};
use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;
use crate::place;

/// What is to change; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct ClusterChange {
    /// How many connections may be open there.
    pub budget: Option<u32>,
    /// Its share of the tenants that ask for no cluster.
    pub weight: Option<u32>,
    /// How many tenants it may hold; `Some(None)`: as many as come.
    pub capacity: Option<Option<u32>>,
    /// Where it is; `Some(None)`: nowhere in particular.
    pub region: Option<Option<String>>,
    /// Another way to it. Whoever changes where the passwords are sent has to know the admin's, so it is
    /// among what is given.
    pub way: Option<WayIn>,
}

impl Lifecycle {
    /// Changes a cluster. A new way is looked at first, and the server at its end must hold what the cluster
    /// holds. When this returns every router has heard of it.
    ///
    /// A budget that is raised is compared with what the server has, unless that cannot be asked.
    ///
    /// # Errors
    /// [`StartError::UnknownCluster`], [`StartError::Unfit`], [`StartError::ClusterExists`],
    /// [`StartError::BudgetTooLarge`]; [`StartError::RoutersBehind`]: it is changed.
    pub async fn change_cluster(
        &self,
        before: &Cluster,
        change: &ClusterChange,
        asker: &Asker,
    ) -> Result<Cluster, StartError> {
        let deps = self.deps();
        let seen = match &change.way {
            Some(way) => Some(self.look_at(way, Some(before)).await?),
            None => None,
        };
        // Asked while nothing is held: it may take its time.
        self.check_budget(before, change.budget, seen.as_ref())
            .await?;
        let mut tx = deps.catalog.begin().await?;
        let now = clusters::lock(&mut tx, before.id).await?;
        let now = now.ok_or(StartError::UnknownCluster)?;
        let (from, to) = difference(&now, change);
        let detail = json!({ "clusterId": now.id, "from": from, "to": to });
        let only_budget = to.len() == 1 && to.contains_key("connectionBudget");
        let action = match only_budget {
            true => "cluster.set_budget",
            false => "cluster.update",
        };
        self.audit(&mut tx, asker, action, None, None, detail)
            .await?;
        let placement = placement(&now, change);
        if placement != now.placement {
            clusters::set_placement(&mut tx, now.id, &placement).await?;
        }
        if let (Some(way), Some(seen)) = (&change.way, &seen) {
            let sealed = self.seal_admin(now.id, &way.password)?;
            let row = clusters::Way {
                host: way.host.as_str(),
                port: way.port,
                tls: way.tls,
                root_ca: way.root_ca.as_ref(),
                admin_login: way.login.as_str(),
                admin: &sealed,
                system_identifier: seen.identity.system.as_deref(),
            };
            clusters::set_way(&mut tx, now.id, &row)
                .await
                .map_err(exists)?;
        }
        if let Some(budget) = change.budget {
            shares::set_budget(&mut tx, now.id, budget).await?;
        }
        let after = clusters::by_id(&mut tx, now.id).await?;
        let after = after.ok_or(StartError::UnknownCluster)?;
        if seen.is_some() {
            change_log::append_for_cluster(&mut tx, now.id).await?;
        }
        tx.commit().await?;
        self.0.spare_taken.notify_one();
        if let Some(seen) = seen {
            seen.conn.close().await;
            place::end_idle_on(self, now.id).await;
            self.followed().await?;
        }
        Ok(after)
    }

    async fn check_budget(
        &self,
        cluster: &Cluster,
        budget: Option<u32>,
        seen: Option<&Seen>,
    ) -> Result<(), StartError> {
        // One that is lower than before is taken in any case.
        let Some(budget) = budget.filter(|budget| *budget > cluster.connection_budget) else {
            return Ok(());
        };
        let room = match seen {
            Some(seen) => Some(seen.look.room),
            None => self.room_on(cluster).await,
        };
        match room {
            Some(room) if budget > room.largest_budget() => Err(StartError::BudgetTooLarge(room)),
            _ => Ok(()),
        }
    }
}

fn placement(now: &Cluster, change: &ClusterChange) -> Placement {
    let before = now.placement.clone();
    Placement {
        weight: change.weight.unwrap_or(before.weight),
        capacity: change.capacity.unwrap_or(before.capacity),
        region: change.region.clone().unwrap_or(before.region),
    }
}

/// The fields that are asked for, as they were and as they are to be; no password.
fn difference(now: &Cluster, change: &ClusterChange) -> (Map<String, Value>, Map<String, Value>) {
    let (mut from, mut to) = (Map::new(), Map::new());
    let mut set = |name: &str, before: Value, after: Value| {
        from.insert(name.to_owned(), before);
        to.insert(name.to_owned(), after);
    };
    if let Some(budget) = change.budget {
        set(
            "connectionBudget",
            json!(now.connection_budget),
            json!(budget),
        );
    }
    let after = placement(now, change);
    if after != now.placement {
        set("placement", told(&now.placement), told(&after));
    }
    if let Some(way) = &change.way {
        let before = json!({
            "host": now.host,
            "port": now.port,
            "tls": now.tls,
            "ownAuthority": now.root_ca.is_some(),
            "adminLogin": now.admin_login,
        });
        set("way", before, way.told());
    }
    (from, to)
}
