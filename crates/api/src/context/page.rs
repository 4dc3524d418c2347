//! Pages of a list: `limit` and `cursor` in, `items` and `nextCursor` out.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tenantry_types::UserId;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::fields::{Fields, FromFields};

const MOST: u32 = 200;
const DEFAULT: u32 = 50;

/// Which page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page<C> {
    /// 1 to 200, by default 50.
    pub(crate) limit: u32,
    /// Where the page before ended.
    pub(crate) after: Option<C>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> Items<T> {
    pub(crate) fn new(items: impl IntoIterator<Item = T>, next: Option<impl Display>) -> Self {
        Self {
            items: items.into_iter().collect(),
            next_cursor: next.map(|cursor| cursor.to_string()),
        }
    }

    /// A list that is told whole.
    pub(crate) fn whole(items: impl IntoIterator<Item = T>) -> Self {
        Self::new(items, None::<&str>)
    }
}

impl<C: FromStr<Err: Display>> FromFields for Page<C> {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            limit: fields.optional("limit", limit).unwrap_or(DEFAULT),
            after: fields.optional("cursor", C::from_str),
        })
    }
}

/// The place in the list of users. Opaque to clients, so that the order can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserCursor(pub(crate) UserId);

impl FromStr for UserCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        id.map(|id| Self(id.into()))
            .ok_or("is no cursor of this list: pass on `nextCursor` as it was given")
    }
}

impl Display for UserCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_uuid().as_bytes()))
    }
}

fn limit(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && (1..=MOST).contains(&limit) => Ok(limit),
        _ => Err(format!("must be a whole number from 1 to {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields;

    #[test]
    fn a_page_has_bounds_and_a_default() {
        let page = |limit: &str| {
            fields::read::<Page<UserCursor>>(json!({ "limit": limit })).map(|page| page.limit)
        };
        assert_eq!(page("1"), Ok(1));
        assert_eq!(page("200"), Ok(200));
        for bad in ["0", "201", "-1", "+5", "1.5", "", "ten", "99999999999"] {
            assert!(page(bad).is_err(), "{bad}");
        }
        let default = fields::read::<Page<UserCursor>>(json!({}));
        assert_eq!(default.map(|page| page.limit), Ok(50));
    }

    #[test]
    fn a_cursor_comes_back_and_junk_is_refused() {
        let cursor = UserCursor(Uuid::from_u128(7).into());
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in [
            "",
            "x",
            "AAAA",
            "../..",
            "00000000-0000-0000-0000-000000000007",
        ] {
            assert!(bad.parse::<UserCursor>().is_err(), "{bad}");
        }
    }
}
