//! The query of a URL, read like a body: every wrong parameter is named, an unknown one refused.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::{Map, Value};

use crate::app::App;
use crate::fields::{self, FromFields};
use crate::problem::Problem;

/// The parameters of a URL's query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: FromFields + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let mut object = Map::new();
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::field("", "the query cannot be read"))?;
        for (name, value) in pairs.0 {
            if object.insert(name.clone(), Value::String(value)).is_some() {
                return Err(Problem::field(&name, "is given more than once"));
            }
        }
        fields::read(Value::Object(object))
            .map(Self)
            .map_err(Problem::validation)
    }
}
