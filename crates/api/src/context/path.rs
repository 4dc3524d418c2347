//! The variable segments of a path. One that cannot be parsed names nothing: 404 of that resource.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{ClusterId, DoctorRunId, OperationId, OperatorId, RoleName, UserId};

use crate::app::App;
use crate::problem::Problem;

/// The variable segments of a route's path: one, or a pair of them.
pub(crate) struct Path<T>(pub(crate) T);

/// A type that a path's segment is read as.
pub(crate) trait Segment: Sized {
    /// The code for a thing of this kind that does not exist.
    const NOT_FOUND: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

/// What a route's variable segments are read as, together.
pub(crate) trait Segments: Sized {
    fn read<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, Problem>;
}

impl<T: Segment> Segments for T {
    fn read<'a>(mut values: impl Iterator<Item = &'a str>) -> Result<Self, Problem> {
        let parsed = values.next().and_then(T::parse);
        parsed.ok_or_else(|| Problem::not_found(T::NOT_FOUND))
    }
}

impl<A: Segment, B: Segment> Segments for (A, B) {
    fn read<'a>(mut values: impl Iterator<Item = &'a str>) -> Result<Self, Problem> {
        Ok((A::read(&mut values)?, B::read(values)?))
    }
}

impl<T: Segments + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, app).await;
        let values = params.iter().flat_map(|params| params.iter());
        T::read(values.map(|(_, value)| value)).map(Self)
    }
}

impl Segment for TenantRef {
    const NOT_FOUND: &'static str = "TENANT_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Segment for RoleName {
    const NOT_FOUND: &'static str = "LOGIN_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Segment for OperationId {
    const NOT_FOUND: &'static str = "OPERATION_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Segment for DoctorRunId {
    const NOT_FOUND: &'static str = "DOCTOR_RUN_NOT_FOUND";

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

/// A domain as it was written. What is wrong with it is told where one is set, see `domains/mod.rs`.
pub(crate) struct Domain(pub(crate) String);

impl Segment for Domain {
    const NOT_FOUND: &'static str = "DOMAIN_NOT_FOUND";

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}
