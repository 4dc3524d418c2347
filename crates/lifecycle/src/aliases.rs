//! Names that an operator gives a tenant, which requests carry in a header.

use tenantry_catalog::aliases::{self, Alias, Put};
use tenantry_catalog::change_log::{self, Kind};
use tenantry_catalog::tenants::{self, Status, TenantRef};
use tenantry_types::{Alias as Name, AliasId};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// Which alias is meant.
#[derive(Clone, Debug)]
pub enum AliasRef {
    /// That of this id; a channel token is named by nothing else.
    Id(AliasId),
    /// That of this name.
    Name(Name),
}

impl Lifecycle {
    /// Lets a name lead to a tenant; says whether it is new. Returns when every router knows of it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn set_alias(
        &self,
        tenant: &TenantRef,
        name: &Name,
        asker: &Asker,
    ) -> Result<(Alias, bool), StartError> {
        let deps = self.deps();
        let mut tx = deps.catalog.begin().await?;
        let tenant = tenants::by_ref(&mut tx, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        if tenant.status == Status::Deleting {
            return Err(StartError::WrongState(
                "the tenant is deleted; bring it back first",
            ));
        }
        let id = AliasId::generate(&deps.clock, &deps.entropy);
        let alias = match aliases::put(&mut tx, id, tenant.id, name).await? {
            Put::Taken => return Err(StartError::AliasTaken),
            Put::There(alias) => return Ok((alias, false)),
            Put::Made(alias) => alias,
        };
        let detail = serde_json::json!({ "to": told(&alias) });
        self.audit(&mut tx, asker, "alias.set", Some(tenant.id), None, detail)
            .await?;
        change_log::append(&mut tx, tenant.id, Kind::Updated).await?;
        tx.commit().await?;
        self.followed().await?;
        Ok((alias, true))
    }

    /// Lets a name lead nowhere again, once this returns; gives it as it was.
    ///
    /// # Errors
    /// See [`StartError`]. [`StartError::RoutersBehind`]: it is removed, but some router may still serve
    /// it for a moment.
    pub async fn remove_alias(
        &self,
        tenant: &TenantRef,
        alias: &AliasRef,
        asker: &Asker,
    ) -> Result<Alias, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let tenant = tenants::by_ref(&mut tx, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let removed = match alias {
            AliasRef::Id(id) => aliases::remove_by_id(&mut tx, tenant.id, *id).await?,
            AliasRef::Name(name) => aliases::remove(&mut tx, tenant.id, name).await?,
        };
        let removed = removed.ok_or(StartError::UnknownAlias)?;
        let detail = serde_json::json!({ "from": told(&removed) });
        self.audit(
            &mut tx,
            asker,
            "alias.remove",
            Some(tenant.id),
            None,
            detail,
        )
        .await?;
        change_log::append(&mut tx, tenant.id, Kind::Updated).await?;
        tx.commit().await?;
        self.followed().await?;
        Ok(removed)
    }
}

/// What the audit trail keeps of an alias: of a channel token not even the hash.
fn told(alias: &Alias) -> serde_json::Value {
    let name = (alias.kind != aliases::Kind::ChannelToken).then_some(&alias.name);
    serde_json::json!({ "aliasId": alias.id, "kind": alias.kind, "value": name })
}
