//! `PUT /setup/tenants/{tenant}/aliases`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tenantry_catalog::aliases::Kind;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{Alias, ChannelToken, Reference, Secret};
use utoipa::ToSchema;

use super::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::told::Told;

/// A name to give a tenant.
#[derive(ToSchema)]
#[schema(
    as = NewAlias,
    examples(json!({ "kind": "appId", "value": "web-shop" }), json!({ "kind": "channelToken" })),
)]
pub(crate) struct NewAlias {
    #[schema(value_type = words::AliasKind)]
    kind: Kind,
    /// Required but for a channel token: without it we make one of 256 random bits and tell it once.
    #[schema(value_type = words::AliasValue, required = false)]
    value: Option<Secret>,
}

impl FromFields for NewAlias {
    // A kind, a value and some room.
    const LARGEST: usize = 4096;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let kind = fields.required("kind", kind);
        Some(Self {
            value: fields.secret("value"),
            kind: kind?,
        })
    }
}

/// The kinds that are an operator's to give.
pub(super) fn kind(text: &str) -> Result<Kind, &'static str> {
    match text.parse() {
        Ok(kind @ (Kind::AppId | Kind::StoreId | Kind::ChannelToken)) => Ok(kind),
        Ok(Kind::ApiKey) | Err(_) => Err("must be `appId`, `storeId` or `channelToken`"),
    }
}

/// Gives a tenant a name that requests at a base domain can carry: `x-app-id`, `x-store-id` or
/// `x-channel-token`. It leads there when this answers. The same again answers the same; without a
/// value, each request makes another channel token.
#[utoipa::path(
    put, path = "/setup/tenants/{tenant}/aliases", tag = "tenants", operation_id = "putAlias",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    request_body = NewAlias,
    responses(
        (status = 200, description = "The tenant had it already.", body = View),
        (status = 201, description = "The tenant has it now.", body = View),
    ),
    extensions(("x-problems" = json!(["ALIAS_TAKEN", "ROUTERS_BEHIND", "TENANT_NOT_FOUND", "WRONG_STATE"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    Body(new): Body<NewAlias>,
) -> Result<Response, Problem> {
    let (name, made) = named(&new, &app)?;
    let (alias, is_new) = app
        .lifecycle
        .set_alias(&tenant, &name, &operator.asker())
        .await?;
    let status = match is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(View::new(alias, made))).into_response())
}

/// The name that is asked for, and the token where we made it.
fn named(new: &NewAlias, app: &App) -> Result<(Alias, Option<Told>), Problem> {
    let wrong = |message: String| Problem::field("value", message);
    let reference =
        |value: &Secret| Reference::parse(value.expose()).map_err(|error| wrong(error.to_string()));
    match (new.kind, &new.value) {
        (Kind::AppId, Some(value)) => Ok((Alias::AppId(reference(value)?), None)),
        (Kind::StoreId, Some(value)) => Ok((Alias::StoreId(reference(value)?), None)),
        (Kind::ChannelToken, Some(value)) => {
            let token = ChannelToken::parse(value.expose());
            let token = token.map_err(|error| wrong(error.to_string()))?;
            Ok((Alias::ChannelToken(token.hash()), None))
        }
        (Kind::ChannelToken, None) => {
            let token = ChannelToken::generate(&app.entropy);
            let name = Alias::ChannelToken(token.hash());
            Ok((name, Some(token.into_secret().into())))
        }
        (Kind::AppId | Kind::StoreId | Kind::ApiKey, _) => Err(wrong("is required".to_owned())),
    }
}
