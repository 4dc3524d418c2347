//! `GET /setup/audit/verify`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::audit::{self, Finding, Head};
use tenantry_types::AuditId;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// The seal to begin behind.
pub(crate) struct Behind(Option<Head>);

impl FromFields for Behind {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self(fields.optional("after", head)))
    }
}

/// What was looked at, and what was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditVerification)]
pub(crate) struct View {
    /// Whether all that was looked at is as it was sealed.
    intact: bool,
    /// How many seals were looked at.
    seals: usize,
    /// How many rows are in them.
    rows: usize,
    /// How many rows wait for a seal; of these nothing is said.
    unsealed: i64,
    /// The last seal that was looked at: keep it elsewhere, and ask later for what follows `after` it.
    #[schema(value_type = words::AuditHead)]
    head: String,
    /// Whether that is the newest one. If not, ask again, `after` it.
    complete: bool,
    /// What differs, 200 at most.
    differences: Vec<Difference>,
    /// How many differ.
    differing: usize,
}

/// Something that is not as it was sealed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditDifference)]
struct Difference {
    #[schema(value_type = words::AuditFinding)]
    finding: Finding,
    /// The seal that holds it, or is it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    seal: Option<i64>,
    /// The row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid", required = false)]
    audit_id: Option<AuditId>,
    /// Whether it is how the act ended, and not the act.
    is_outcome: bool,
}

/// Whether the trail is what its seals say: each seal that follows `after` is computed anew from its rows. A
/// long trail takes several calls; each looks at some ten thousand rows. It cannot show what was done to rows
/// before they were sealed, which takes seconds; nor, without a head that was kept elsewhere, that the whole
/// chain from some seal on was written anew.
#[utoipa::path(
    get, path = "/setup/audit/verify", tag = "audit", operation_id = "verifyAudit",
    params((
        "after" = Option<words::AuditHead>, Query,
        description = "A head as it was told before: that it is still in the chain is looked at, too. Without it all is looked at.",
    )),
    responses((status = 200, description = "What was found.", body = View)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(Behind(after)): Query<Behind>,
) -> Result<Json<View>, Problem> {
    let after = after.unwrap_or(Head::NONE);
    // One at a time: each reads much.
    let _turn = app.verifying.acquire().await.ok();
    let mut conn = app.catalog().await?;
    let found = audit::verify(&mut conn, &after).await?;
    Ok(Json(View {
        intact: found.differing == 0,
        seals: found.seals,
        rows: found.rows,
        unsealed: found.unsealed,
        head: text_of(&found.head),
        complete: found.is_whole,
        differing: found.differing,
        differences: found
            .differences
            .into_iter()
            .map(|one| Difference {
                finding: one.finding,
                seal: one.seal,
                audit_id: one.row,
                is_outcome: one.is_outcome,
            })
            .collect(),
    }))
}

/// `NUMBER:HASH`, the hash in hex.
fn text_of(head: &Head) -> String {
    let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{hash}", head.number)
}

fn head(text: &str) -> Result<Head, &'static str> {
    const SHAPE: &str = "must be a number, a colon and 64 hex digits, as `head` is told";
    let (number, hash) = text.split_once(':').ok_or(SHAPE)?;
    let digits = (1..=18).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    if !digits || hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(SHAPE);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| SHAPE)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| SHAPE)?;
    }
    Ok(Head {
        number: number.parse().map_err(|_| SHAPE)?,
        hash: bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_junk_is_refused() {
        let one = Head {
            number: 4711,
            hash: [0xa7; 32],
        };
        assert_eq!(head(&text_of(&one)), Ok(one));
        assert_eq!(head(&text_of(&Head::NONE)), Ok(Head::NONE));
        let short = "a".repeat(63);
        for bad in [
            "",
            "1",
            "1:",
            ":",
            &format!("1:{short}"),
            &format!("-1:{short}a"),
            &format!("1:{short}g"),
            "\u{665}:",
        ] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }
}
