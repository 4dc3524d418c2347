//! `DELETE /setup/tenants/{tenant}/aliases`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::aliases::Kind;
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::AliasRef;
use tenantry_types::{Alias, AliasId, Reference};

use super::View;
use super::put::kind;
use crate::app::App;
use crate::context::{Operator, Path, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Which alias: by its id, or by kind and value.
pub(crate) struct Which {
    id: Option<AliasId>,
    kind: Option<Kind>,
    value: Option<Reference>,
}

impl FromFields for Which {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            id: fields.optional("aliasId", str::parse),
            kind: fields.optional("kind", kind),
            value: fields.optional("value", Reference::parse),
        })
    }
}

/// Takes a name from a tenant; it leads nowhere when this answers. A channel token is named by `aliasId`:
/// a secret does not belong in a URL.
#[utoipa::path(
    delete, path = "/setup/tenants/{tenant}/aliases", tag = "tenants", operation_id = "deleteAlias",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("aliasId" = Option<words::AliasId>, Query, description = "The alias; or give its kind and value."),
        ("kind" = Option<words::AliasKind>, Query, description = "`appId` or `storeId`, with `value`."),
        ("value" = Option<words::Reference>, Query, description = "The value, with `kind`."),
    ),
    responses((status = 200, description = "The alias as it was.", body = View)),
    extensions(("x-problems" = json!(["ALIAS_NOT_FOUND", "ROUTERS_BEHIND", "TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    Query(which): Query<Which>,
) -> Result<Json<View>, Problem> {
    let which = match (which.id, which.kind, which.value) {
        (Some(id), None, None) => AliasRef::Id(id),
        (None, Some(Kind::AppId), Some(value)) => AliasRef::Name(Alias::AppId(value)),
        (None, Some(Kind::StoreId), Some(value)) => AliasRef::Name(Alias::StoreId(value)),
        (None, Some(_), _) => {
            return Err(Problem::field("aliasId", "is how a channel token is named"));
        }
        _ => {
            let message = "is required, or `kind` and `value` are, and not all three";
            return Err(Problem::field("aliasId", message));
        }
    };
    let alias = app
        .lifecycle
        .remove_alias(&tenant, &which, &operator.asker())
        .await?;
    Ok(Json(View::new(alias, None)))
}
