//! The variable segment of a path. One that cannot be parsed names nothing: 404 of that resource.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{ClusterId, OperationId, OperatorId, UserId};

use crate::app::App;
use crate::problem::Problem;

/// The one variable segment of a route's path.
pub(crate) struct Path<T>(pub(crate) T);

/// A type that a path's segment is read as.
pub(crate) trait Segment: Sized {
    /// The code for a thing of this kind that does not exist.
    const NOT_FOUND: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

impl<T: Segment + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let missing = || Problem::not_found(T::NOT_FOUND);
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| missing())?;
        let segment = params.iter().next().map(|(_, value)| value);
        segment.and_then(T::parse).map(Self).ok_or_else(missing)
    }
}

impl Segment for TenantRef {
    const NOT_FOUND: &'static str = "TENANT_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Segment for OperationId {
    const NOT_FOUND: &'static str = "OPERATION_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Segment for UserId {
    const NOT_FOUND: &'static str = "USER_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A cluster by id or name.
pub(crate) enum ClusterRef {
    Id(ClusterId),
    Name(String),
}

impl Segment for ClusterRef {
    const NOT_FOUND: &'static str = "CLUSTER_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        let sane = !text.is_empty() && text.len() <= 400 && !text.chars().any(char::is_control);
        sane.then(|| match text.parse() {
            Ok(id) => Self::Id(id),
            Err(_) => Self::Name(text.to_owned()),
        })
    }
}

/// An operator by id or name.
pub(crate) struct OperatorRef(pub(crate) String);

impl Segment for OperatorRef {
    const NOT_FOUND: &'static str = "OPERATOR_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        let sane = !text.is_empty() && text.len() <= 400 && !text.chars().any(char::is_control);
        sane.then(|| match text.parse::<OperatorId>() {
            Ok(id) => Self(id.to_string()),
            Err(_) => Self(text.to_owned()),
        })
    }
}
