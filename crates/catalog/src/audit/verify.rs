//! Whether the trail is what its seals say: which row is missing, changed or added, and in which seal.
//!
//! It shows nothing about rows that no seal holds yet. Whoever can write the tables as their owner can
//! write other seals from some seal on; that shows only to who kept a later [`Head`] elsewhere.

use sqlx::{Connection, PgConnection};
use tenantry_types::{AuditId, Timestamp};

use super::seal::{self, Head, Member, Part};
use crate::CatalogError;
use crate::error::Row;

words! {
    /// What is not as it was sealed.
    pub enum Finding {
        /// A row that a seal holds is gone.
        RowMissing = "row_missing",
        /// A row is not what it was when it was sealed.
        RowChanged = "row_changed",
        /// A row neither is in a seal nor waits for one.
        RowAdded = "row_added",
        /// A row says that it was written long before the seal before its own, which would have held it.
        RowLate = "row_late",
        /// A seal is gone.
        SealMissing = "seal_missing",
        /// A seal's hash is not that of what it holds.
        SealChanged = "seal_changed",
        /// A seal does not follow the one before it.
        SealUnchained = "seal_unchained",
        /// The seal that was kept elsewhere is not in the chain.
        HeadMissing = "head_missing",
    }
}

/// One thing that is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub finding: Finding,
    /// The seal.
    pub seal: Option<i64>,
    /// The row.
    pub row: Option<AuditId>,
    /// Whether it is the row's outcome, and not the row itself.
    pub is_outcome: bool,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// How many seals.
    pub seals: usize,
    /// How many rows in them.
    pub rows: usize,
    /// What differs; no more than are told at once.
    pub differences: Vec<Difference>,
    /// How many differ.
    pub differing: usize,
    /// The last seal that was looked at.
    pub head: Head,
    /// Whether that is the newest one.
    pub is_whole: bool,
    /// How many rows wait for a seal.
    pub unsealed: i64,
}

/// How many differences are told at once.
const TOLD: usize = 200;
/// After so many rows a look ends, at the next seal.
const ROWS: usize = 20_000;
/// How much earlier than the seal before its own a row may be: a transaction takes no longer.
const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// Looks at the seals that follow `after`; with the last of them at all rows that none holds, too.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn verify(conn: &mut PgConnection, after: &Head) -> Result<Verified, CatalogError> {
    let mut tx = conn.begin().await?;
    // One moment of the trail, whatever is written meanwhile.
    sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *tx)
        .await?;
    let mut found = Found::default();
    let mut before = Before {
        head: after.clone(),
        sealed_at: begin(&mut tx, after, &mut found).await?,
    };
    let (mut seals, mut rows) = (0, 0);
    let is_whole = loop {
        if rows >= ROWS {
            break false;
        }
        let Some(next) = next_seal(&mut tx, before.head.number).await? else {
            break true;
        };
        rows += look(&mut tx, &before, &next, &mut found).await?;
        seals += 1;
        before = Before {
            head: next.head,
            sealed_at: Some(next.sealed_at),
        };
    };
    if is_whole {
        strays(&mut tx, &mut found).await?;
    }
    let unsealed = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM audit_unsealed"#)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Verified {
        seals,
        rows,
        differences: found.told,
        differing: found.count,
        head: before.head,
        is_whole,
        unsealed,
    })
}

/// The seal that the next one follows.
struct Before {
    head: Head,
    sealed_at: Option<Timestamp>,
}

/// A seal as it is kept.
struct Seal {
    head: Head,
    sealed_at: Timestamp,
    previous: [u8; 32],
}

#[derive(Default)]
struct Found {
    told: Vec<Difference>,
    count: usize,
}

impl Found {
    fn seal(&mut self, finding: Finding, seal: i64) {
        self.note(Difference {
            finding,
            seal: Some(seal),
            row: None,
            is_outcome: false,
        });
    }

    fn row(&mut self, finding: Finding, seal: Option<i64>, member: (Part, uuid::Uuid)) {
        self.note(Difference {
            finding,
            seal,
            row: Some(member.1.into()),
            is_outcome: member.0 == Part::Outcome,
        });
    }

    fn note(&mut self, difference: Difference) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(difference);
        }
    }
}

/// Whether the seal to begin behind is there and the one that it was; gives its time.
async fn begin(
    conn: &mut PgConnection,
    after: &Head,
    found: &mut Found,
) -> Result<Option<Timestamp>, CatalogError> {
    if after.number == 0 {
        return Ok(None);
    }
    let kept = sqlx::query!(
        "SELECT sealed_at, hash FROM audit_seals WHERE number = $1",
        after.number
    )
    .fetch_optional(conn)
    .await?;
    match kept {
        Some(kept) if kept.hash == after.hash => Ok(Some(kept.sealed_at)),
        _ => {
            found.seal(Finding::HeadMissing, after.number);
            Ok(None)
        }
    }
}

async fn next_seal(conn: &mut PgConnection, after: i64) -> Result<Option<Seal>, CatalogError> {
    let next = sqlx::query!(
        "SELECT number, sealed_at, previous, hash FROM audit_seals
         WHERE number > $1 ORDER BY number LIMIT 1",
        after,
    )
    .fetch_optional(conn)
    .await?;
    Ok(next.map(|next| Seal {
        head: Head {
            number: next.number,
            hash: seal::of_bytes(&next.hash),
        },
        sealed_at: next.sealed_at,
        previous: seal::of_bytes(&next.previous),
    }))
}

/// Compares a seal with the one before and with its rows; gives how many these are.
async fn look(
    conn: &mut PgConnection,
    before: &Before,
    next: &Seal,
    found: &mut Found,
) -> Result<usize, CatalogError> {
    let number = next.head.number;
    if number != before.head.number.saturating_add(1) {
        // All that lie between; the first of them is named.
        found.seal(Finding::SealMissing, before.head.number.saturating_add(1));
    } else if next.previous != before.head.hash {
        found.seal(Finding::SealUnchained, number);
    }
    let members = members(conn, number).await?;
    let hash = seal::hash_of(number, &next.previous, next.sealed_at, &members);
    if hash != next.head.hash {
        found.seal(Finding::SealChanged, number);
    }
    for part in [Part::Act, Part::Outcome] {
        let of_part = || members.iter().filter(|member| member.part == part);
        let ids: Vec<_> = of_part().map(|member| member.id).collect();
        let rows = seal::rows(conn, part, &ids).await?;
        for member in of_part() {
            let at = (part, member.id);
            match rows.get(&member.id) {
                None => found.row(Finding::RowMissing, Some(number), at),
                Some(row) if row.hash != member.hash => {
                    found.row(Finding::RowChanged, Some(number), at);
                }
                Some(row) if before.sealed_at.is_some_and(|then| row.at < then - LATE) => {
                    found.row(Finding::RowLate, Some(number), at);
                }
                Some(_) => {}
            }
        }
    }
    Ok(members.len())
}

async fn members(conn: &mut PgConnection, seal: i64) -> Result<Vec<Member>, CatalogError> {
    let rows = sqlx::query!(
        "SELECT part, audit_id, hash FROM audit_sealed WHERE seal = $1 ORDER BY position",
        seal,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Member {
                part: part_of(row.part, row.audit_id)?,
                id: row.audit_id,
                hash: seal::of_bytes(&row.hash),
            })
        })
        .collect()
}

/// What stands apart from the chain: rows that came past the queue, and places in seals that are gone.
async fn strays(conn: &mut PgConnection, found: &mut Found) -> Result<(), CatalogError> {
    let seals = sqlx::query_scalar!(
        "SELECT DISTINCT s.seal FROM audit_sealed s
         WHERE NOT EXISTS (SELECT FROM audit_seals n WHERE n.number = s.seal) ORDER BY s.seal LIMIT 1000"
    )
    .fetch_all(&mut *conn)
    .await?;
    for seal in seals {
        found.seal(Finding::SealMissing, seal);
    }
    let rows = sqlx::query!(
        r#"SELECT part AS "part!", id AS "id!" FROM (
             SELECT 0::smallint AS part, id FROM audit
             UNION ALL SELECT 1::smallint, audit_id FROM audit_outcomes
           ) r
           WHERE NOT EXISTS (SELECT FROM audit_sealed s WHERE s.part = r.part AND s.audit_id = r.id)
             AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.part = r.part AND u.audit_id = r.id)
           LIMIT 1000"#
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let part = part_of(row.part, row.id)?;
        found.row(Finding::RowAdded, None, (part, row.id));
    }
    Ok(())
}

fn part_of(part: i16, row: uuid::Uuid) -> Result<Part, CatalogError> {
    match part {
        0 => Ok(Part::Act),
        1 => Ok(Part::Outcome),
        _ => Row::of("audit_sealed", row).column("part", Err("is neither 0 nor 1")),
    }
}
