//! Clusters as an operator deals with them: added after a look at their server, changed, drained, removed.
//!
//! Nothing is written, neither here nor there, before the server was found fit.

mod change;
mod look;
mod remove;

pub use change::ClusterChange;
pub use look::Look;
pub use remove::Removed;

use serde_json::{Value, json};
use sqlx::PgConnection;
use tenantry_catalog::clusters::{self, Cluster, InsertError, Placement, TlsMode};
use tenantry_catalog::operations;
use tenantry_cluster::{Address, Admin, groups};
use tenantry_types::{ClusterId, DbHost, DbName, RoleName, RootCa, Secret};
use tenantry_vault::{Place, Sealed};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;
use crate::place;

/// Where a server is and how its admin gets in.
#[derive(Clone, Debug)]
pub struct WayIn {
    /// Its host.
    pub host: DbHost,
    /// Its port.
    pub port: u16,
    /// How to use TLS.
    pub tls: TlsMode,
    /// The authority of its certificate; only with [`TlsMode::VerifyFull`].
    pub root_ca: Option<RootCa>,
    /// The database that the admin works from.
    pub maintenance_db: DbName,
    /// The admin's login.
    pub login: RoleName,
    /// Its password.
    pub password: Secret,
}

/// A cluster to be registered.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Its name.
    pub name: String,
    /// The way to it.
    pub way: WayIn,
    /// Which tenants it gets.
    pub placement: Placement,
    /// How many connections may be open there; none: the largest that leaves room for the reserve.
    pub budget: Option<u32>,
}

impl WayIn {
    fn admin(&self) -> Admin {
        let address = Address::new(self.host.as_str(), self.port, self.tls.as_str())
            .trusting(self.root_ca.clone());
        Admin::new(
            address,
            self.maintenance_db.clone(),
            self.login.clone(),
            self.password.clone(),
        )
    }

    /// For the audit trail: without the password.
    fn told(&self) -> Value {
        json!({
            "host": self.host.as_str(),
            "port": self.port,
            "tls": self.tls,
            "ownAuthority": self.root_ca.is_some(),
            "adminLogin": self.login.as_str(),
        })
    }
}

impl Lifecycle {
    /// Looks whether a server is fit to be a cluster; writes nothing.
    ///
    /// # Errors
    /// [`StartError::Unfit`], [`StartError::ClusterExists`], [`StartError::BudgetTooLarge`].
    pub async fn look_at_cluster(&self, new: &NewCluster) -> Result<Look, StartError> {
        self.is_new(new).await?;
        let seen = self.look_at(&new.way, None).await?;
        let look = seen.look.clone();
        seen.conn.close().await;
        look.budget(new.budget).map(|_| look)
    }

    /// Registers a cluster. It takes tenants from then on.
    ///
    /// # Errors
    /// As [`Lifecycle::look_at_cluster`], and then nothing was written; when the catalog fails.
    pub async fn add_cluster(
        &self,
        new: &NewCluster,
        asker: &Asker,
    ) -> Result<(Cluster, Look), StartError> {
        self.is_new(new).await?;
        let deps = self.deps();
        let mut seen = self.look_at(&new.way, None).await?;
        let budget = seen.look.budget(new.budget)?;
        let id = ClusterId::generate(&deps.clock, &deps.entropy);
        let sealed = self.seal_admin(id, &new.way.password)?;
        let mut tx = deps.catalog.begin().await?;
        // Two who add the same server at once were both told that it is none of those registered.
        operations::lock_fleet_kind(&mut tx, "cluster.add").await?;
        let now: Vec<_> = ids(&mut tx).await?;
        if now != seen.registered {
            return Err(StartError::WrongState(
                "another cluster was registered at the same time; try again",
            ));
        }
        let mut detail = new.way.told();
        detail["clusterId"] = json!(id);
        detail["name"] = json!(new.name);
        detail["connectionBudget"] = json!(budget);
        detail["placement"] = told(&new.placement);
        self.audit(&mut tx, asker, "cluster.add", None, None, detail)
            .await?;
        let row = clusters::NewCluster {
            id,
            name: &new.name,
            host: new.way.host.as_str(),
            port: new.way.port,
            maintenance_db: new.way.maintenance_db.as_str(),
            tls: new.way.tls,
            admin_login: new.way.login.as_str(),
            admin: &sealed,
            connection_budget: budget,
            placement: new.placement.clone(),
            root_ca: new.way.root_ca.as_ref(),
            system_identifier: seen.identity.system.as_deref(),
        };
        clusters::insert(&mut tx, &row).await.map_err(exists)?;
        clusters::set_accepts(&mut tx, id, false).await?;
        tx.commit().await?;
        // Nothing is made on the server before it is known here; it takes tenants when that is done.
        if let Err(error) = groups::ensure(&mut seen.conn).await {
            let mut tx = deps.catalog.begin().await?;
            clusters::lock(&mut tx, id).await?;
            clusters::remove(&mut tx, id).await?;
            tx.commit().await?;
            return Err(error.into());
        }
        seen.conn.close().await;
        let cluster = self.set_accepts(id, true).await?;
        Ok((cluster, seen.look))
    }

    /// Puts no new tenants on a cluster any more; its spares are unmade in the background.
    ///
    /// # Errors
    /// [`StartError::UnknownCluster`], or when the catalog fails.
    pub async fn drain_cluster(&self, id: ClusterId, asker: &Asker) -> Result<Cluster, StartError> {
        self.turn(id, false, "cluster.drain", asker).await
    }

    /// Puts new tenants on a cluster again.
    ///
    /// # Errors
    /// [`StartError::UnknownCluster`], [`StartError::Cluster`] when the server cannot be used, or when the
    /// catalog fails.
    pub async fn accept_on_cluster(
        &self,
        id: ClusterId,
        asker: &Asker,
    ) -> Result<Cluster, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let cluster = clusters::by_id(&mut conn, id).await?;
        let cluster = cluster.ok_or(StartError::UnknownCluster)?;
        drop(conn);
        // A removal that did not come to its end may have taken them.
        let mut admin = place::admin_of(self.deps(), &cluster)?
            .connect("tenantry/accept")
            .await?;
        let ensured = groups::ensure(&mut admin).await;
        admin.close().await;
        ensured?;
        self.turn(id, true, "cluster.accept", asker).await
    }

    async fn turn(
        &self,
        id: ClusterId,
        accepts: bool,
        action: &str,
        asker: &Asker,
    ) -> Result<Cluster, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let cluster = clusters::lock(&mut tx, id).await?;
        let mut cluster = cluster.ok_or(StartError::UnknownCluster)?;
        if cluster.accepts == accepts {
            return Ok(cluster);
        }
        let detail = json!({ "clusterId": id, "name": cluster.name });
        self.audit(&mut tx, asker, action, None, None, detail)
            .await?;
        clusters::set_accepts(&mut tx, id, accepts).await?;
        tx.commit().await?;
        cluster.accepts = accepts;
        self.0.spare_taken.notify_one();
        Ok(cluster)
    }

    async fn set_accepts(&self, id: ClusterId, accepts: bool) -> Result<Cluster, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let cluster = clusters::lock(&mut tx, id).await?;
        let mut cluster = cluster.ok_or(StartError::UnknownCluster)?;
        clusters::set_accepts(&mut tx, id, accepts).await?;
        tx.commit().await?;
        cluster.accepts = accepts;
        self.0.spare_taken.notify_one();
        Ok(cluster)
    }

    async fn is_new(&self, new: &NewCluster) -> Result<(), StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        if clusters::by_name(&mut conn, &new.name).await?.is_some() {
            return Err(exists(InsertError::NameTaken));
        }
        let (host, port) = (new.way.host.as_str(), new.way.port);
        match clusters::by_address(&mut conn, host, port).await? {
            Some(_) => Err(exists(InsertError::AddressTaken)),
            None => Ok(()),
        }
    }

    fn seal_admin(&self, id: ClusterId, password: &Secret) -> Result<Sealed, StartError> {
        let deps = self.deps();
        deps.admin_keys
            .seal(&deps.entropy, &Place::cluster_admin(id), password)
            .map_err(|error| StartError::Vault(Box::new(error)))
    }
}

fn exists(error: InsertError) -> StartError {
    match error {
        InsertError::NameTaken => {
            StartError::ClusterExists("A cluster of this name is registered.".to_owned())
        }
        InsertError::AddressTaken => {
            StartError::ClusterExists("A cluster at this host and port is registered.".to_owned())
        }
        InsertError::Catalog(error) => error.into(),
    }
}

fn told(placement: &Placement) -> Value {
    json!({
        "weight": placement.weight,
        "capacity": placement.capacity,
        "region": placement.region,
    })
}

async fn ids(conn: &mut PgConnection) -> Result<Vec<ClusterId>, StartError> {
    let all = clusters::list(conn).await?;
    Ok(all.into_iter().map(|cluster| cluster.id).collect())
}
