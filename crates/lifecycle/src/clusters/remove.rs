//! The end of a cluster, once nothing of a tenant is there.
//!
//! It may be asked for again after a crash at any point: what was done is found done.

use serde_json::json;
use tenantry_catalog::clusters::{self, Cluster, Held};
use tenantry_catalog::templates;
use tenantry_cluster::{AdminConn, Mark, databases, groups, logins, names, preflight};
use tenantry_types::ClusterId;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;
use crate::place;

const SESSION: &str = "tenantry/remove";

/// A cluster that was removed.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The cluster as it was.
    pub cluster: Cluster,
    /// What of ours is left on its server, for a person to drop.
    pub left: Vec<String>,
}

impl Lifecycle {
    /// Drops what we made on a server for ourselves, and forgets it. With `abandon`, a server that does not answer
    /// is forgotten as it is.
    ///
    /// # Errors
    /// [`StartError::ClusterInUse`] while it takes tenants or holds anything of one; [`StartError::Cluster`] when
    /// the server does not answer.
    pub async fn remove_cluster(
        &self,
        id: ClusterId,
        abandon: bool,
        asker: &Asker,
    ) -> Result<Removed, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let cluster = clusters::lock(&mut tx, id).await?;
        let cluster = cluster.ok_or(StartError::UnknownCluster)?;
        check(&cluster, held(&mut tx, id).await?)?;
        drop(tx);
        let connected = match place::admin_of(self.deps(), &cluster) {
            Ok(admin) => admin.connect(SESSION).await.map_err(StartError::from),
            Err(error) => Err(error),
        };
        let reached = match connected {
            Ok(conn) => Some(conn),
            Err(_) if abandon => None,
            Err(error) => return Err(error),
        };

        let mut tx = self.deps().catalog.begin().await?;
        let detail = json!({
            "clusterId": id, "name": cluster.name, "host": cluster.host, "port": cluster.port,
            "abandoned": reached.is_none(),
        });
        self.audit(&mut tx, asker, "cluster.remove", None, None, detail)
            .await?;
        tx.commit().await?;
        let left = match reached {
            Some(mut conn) => {
                let cleared = self.clear(&cluster, &mut conn).await;
                conn.close().await;
                cleared?
            }
            None => self.abandoned(&cluster).await?,
        };
        let mut tx = self.deps().catalog.begin().await?;
        let locked = clusters::lock(&mut tx, id).await?;
        let locked = locked.ok_or(StartError::UnknownCluster)?;
        check(&locked, held(&mut tx, id).await?)?;
        if !templates::list(&mut tx, id).await?.is_empty() {
            return Err(in_use("a template was made there meanwhile; try again"));
        }
        clusters::remove(&mut tx, id).await?;
        tx.commit().await?;
        place::end_idle_on(self, id).await;
        self.0.templates.lock().await.remove(&id);
        Ok(Removed { cluster, left })
    }

    /// Drops the templates, the tombstones of logins, and the groups; gives what is left.
    async fn clear(
        &self,
        cluster: &Cluster,
        admin: &mut AdminConn,
    ) -> Result<Vec<String>, StartError> {
        let deps = self.deps();
        let mut conn = deps.catalog.acquire().await?;
        let known = templates::list(&mut conn, cluster.id).await?;
        drop(conn);
        for template in known {
            let mark = Mark::new(deps.installation, template.id);
            databases::drop_forced(admin, &template.db_name, &mark).await?;
            logins::drop(admin, &names::builder(template.id), &mark).await?;
            let mut conn = deps.catalog.acquire().await?;
            templates::remove(&mut conn, template.id).await?;
        }
        logins::sweep(admin, deps.installation).await?;
        let mut left: Vec<_> = preflight::marked(admin, deps.installation).await?;
        // As long as anybody's database is there its logins may be members of them.
        let needed = preflight::anybodys(admin).await?;
        let groups = match needed {
            true => vec![groups::OWNER, groups::APP, groups::READONLY],
            false => groups::remove(admin).await?,
        };
        left.extend(groups.into_iter().map(|name| format!("role {name}")));
        Ok(left)
    }

    async fn abandoned(&self, cluster: &Cluster) -> Result<Vec<String>, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let mut left = Vec::new();
        for template in templates::list(&mut conn, cluster.id).await? {
            left.push(format!("database {}", template.db_name));
            templates::remove(&mut conn, template.id).await?;
        }
        let groups = [groups::OWNER, groups::APP, groups::READONLY];
        left.extend(groups.map(|name| format!("role {name}")));
        Ok(left)
    }
}

async fn held(conn: &mut sqlx::PgConnection, id: ClusterId) -> Result<Held, StartError> {
    let mut all = clusters::held(conn).await?;
    Ok(all.remove(&id).unwrap_or_default())
}

fn check(cluster: &Cluster, held: Held) -> Result<(), StartError> {
    let counts = [
        (held.tenants - held.deleted.min(held.tenants), "tenants"),
        (held.deleted, "deleted tenants that are not purged yet"),
        (held.spares, "spares"),
        (held.unfinished, "databases that are being made or unmade"),
        (held.operations, "operations that have not ended"),
    ];
    let there: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match (cluster.accepts, there.is_empty()) {
        (false, true) => Ok(()),
        (true, true) => Err(in_use("It takes new tenants. Drain it first.")),
        (true, false) => Err(in_use(&format!(
            "It takes new tenants, and there are {}. Drain it first.",
            there.join(", ")
        ))),
        (false, false) => Err(in_use(&format!("There are {}.", there.join(", ")))),
    }
}

fn in_use(text: &str) -> StartError {
    StartError::ClusterInUse(text.to_owned())
}
