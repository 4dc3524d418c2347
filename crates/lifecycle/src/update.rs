//! What of a tenant can be changed without more ado: its name, its plan, what the product remembers with
//! it, and its limits.

use serde_json::{Map, Value, json};
use tenantry_catalog::change_log;
use tenantry_catalog::tenants::{self, Status, Tenant, TenantRef};
use tenantry_types::Plan;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// The most bytes that a tenant's metadata may have as JSON.
pub const METADATA_BYTES: usize = 16 * 1024;
/// How many objects and lists may lie in one another there, the outermost one included.
pub const METADATA_DEPTH: usize = 16;

/// What is to change; what is none stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Its name.
    pub name: Option<String>,
    /// Its plan.
    pub plan: Option<Plan>,
    /// A merge patch (RFC 7396, formerly 7386) for its metadata. No deeper than [`METADATA_DEPTH`].
    pub metadata: Option<Map<String, Value>>,
    /// How many connections each router may hold for it; `Some(None)`: what its plan says.
    pub max_connections: Option<Option<u32>>,
}

impl Lifecycle {
    /// Changes a tenant. Every router has followed when this returns: of a lower limit idle connections
    /// are closed then, and those in use end with their requests.
    ///
    /// # Errors
    /// See [`StartError`]. [`StartError::RoutersBehind`]: it is changed, but some router may not know of
    /// it for a moment.
    pub async fn update(
        &self,
        tenant: &TenantRef,
        update: Update,
        asker: &Asker,
    ) -> Result<Tenant, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let found = tenants::by_ref(&mut tx, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let before = tenants::lock_by_id(&mut tx, found.id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        if before.status == Status::Deleting {
            return Err(StartError::WrongState(
                "the tenant is deleted; bring it back first",
            ));
        }
        let mut metadata = before.metadata.clone();
        if let Some(patch) = update.metadata {
            merge(&mut metadata, Value::Object(patch));
            let bytes = serde_json::to_vec(&metadata).map_or(usize::MAX, |text| text.len());
            if bytes > METADATA_BYTES {
                return Err(StartError::MetadataTooLarge);
            }
        }
        let after = Tenant {
            name: update.name.unwrap_or_else(|| before.name.clone()),
            plan: update.plan.unwrap_or_else(|| before.plan.clone()),
            metadata,
            max_connections: update.max_connections.unwrap_or(before.max_connections),
            ..before.clone()
        };
        if after == before {
            return Ok(before);
        }
        let (from, to) = difference(&before, &after);
        let detail = json!({ "from": from, "to": to });
        self.audit(
            &mut tx,
            asker,
            "tenant.update",
            Some(found.id),
            None,
            detail,
        )
        .await?;
        let changed = tenants::Update {
            name: &after.name,
            plan: &after.plan,
            metadata: &after.metadata,
            max_connections: after.max_connections,
        };
        tenants::update(&mut tx, found.id, &changed).await?;
        let updated = tenants::by_id(&mut tx, found.id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        change_log::append(&mut tx, found.id, change_log::Kind::Updated).await?;
        tx.commit().await?;
        self.followed().await?;
        Ok(updated)
    }
}

/// The fields that differ, as they were and as they are.
fn difference(before: &Tenant, after: &Tenant) -> (Value, Value) {
    let told = |tenant: &Tenant| {
        [
            ("name", json!(tenant.name)),
            ("plan", json!(tenant.plan.as_str())),
            ("metadata", tenant.metadata.clone()),
            (
                "limits",
                json!({ "maxConnections": tenant.max_connections }),
            ),
        ]
    };
    let (mut from, mut to) = (Map::new(), Map::new());
    for ((field, was), (_, is)) in told(before).into_iter().zip(told(after)) {
        if was != is {
            from.insert(field.to_owned(), was);
            to.insert(field.to_owned(), is);
        }
    }
    (Value::Object(from), Value::Object(to))
}

/// RFC 7396, 2: `null` removes, an object is merged into an object, all else replaces. As deep as the
/// patch is.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            value => merge(target.entry(key).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 7396, appendix A, as far as the target is an object.
    #[test]
    fn a_patch_is_merged_as_the_rfc_says() {
        for (target, patch, wanted) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, patch.clone());
            assert_eq!(merged, wanted, "{target} with {patch}");
        }
    }
}
