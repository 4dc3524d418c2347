//! Seals over the trail: batches of committed rows, chained by hash, so that a row that is missing or was
//! changed shows. Nobody who writes a row waits for them.
//!
//! What is hashed is version 1 for good: a row that was sealed must hash the same in ten years. JSON is
//! hashed as Postgres prints its `jsonb`, which is one text for one value.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tenantry_types::Timestamp;
use uuid::Uuid;

use crate::CatalogError;

/// The newest seal. Kept elsewhere, it shows later that the trail up to it is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 where there is none.
    pub number: i64,
    /// Its hash; zeros where there is none.
    pub hash: [u8; 32],
}

impl Head {
    /// Before the first seal.
    pub const NONE: Self = Self {
        number: 0,
        hash: [0; 32],
    };
}

/// Seals at most so many rows that no seal holds; gives how many. None: somebody else is at it.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn seal(conn: &mut PgConnection, most: u32) -> Result<Option<usize>, CatalogError> {
    let mut tx = conn.begin().await?;
    let alone = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "alone!""#, LOCK)
        .fetch_one(&mut *tx)
        .await?;
    if !alone {
        return Ok(None);
    }
    // Only what was committed is seen here, in whatever order it was.
    let waiting = sqlx::query!(
        r#"DELETE FROM audit_unsealed u
         USING (SELECT part, audit_id FROM audit_unsealed ORDER BY audit_id, part LIMIT $1) next
         WHERE u.part = next.part AND u.audit_id = next.audit_id
         RETURNING u.part, u.audit_id,
                   EXISTS (SELECT FROM audit_sealed s
                           WHERE s.part = u.part AND s.audit_id = u.audit_id) AS "sealed!""#,
        i64::from(most),
    )
    .fetch_all(&mut *tx)
    .await?;
    // What somebody queued again is not sealed again, and stops nothing.
    let of = |part: Part| -> Vec<Uuid> {
        let of_part = waiting
            .iter()
            .filter(|row| row.part == part as i16 && !row.sealed);
        of_part.map(|row| row.audit_id).collect()
    };
    let mut members = Vec::with_capacity(waiting.len());
    for part in [Part::Act, Part::Outcome] {
        let ids = of(part);
        let there = rows(&mut tx, part, &ids).await?;
        members.extend(ids.into_iter().map(|id| Member {
            part,
            id,
            // One that was taken away before it was sealed is sealed as what it is not.
            hash: there.get(&id).map_or([0; 32], |row| row.hash),
        }));
    }
    if members.is_empty() {
        tx.commit().await?;
        return Ok(Some(0));
    }
    members.sort_by_key(|member| (member.id, member.part as i16));

    let before = head(&mut tx).await?;
    let sealed_at = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
        .fetch_one(&mut *tx)
        .await?;
    let number = before.number.saturating_add(1);
    let hash = hash_of(number, &before.hash, sealed_at, &members);
    let positions: Vec<i32> = (0..).take(members.len()).collect();
    let parts: Vec<i16> = members.iter().map(|member| member.part as i16).collect();
    let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
    let own: Vec<&[u8]> = members.iter().map(|member| &member.hash[..]).collect();
    sqlx::query!(
        "INSERT INTO audit_sealed (seal, position, part, audit_id, hash)
         SELECT $1, * FROM unnest($2::int[], $3::smallint[], $4::uuid[], $5::bytea[])",
        number,
        &positions,
        &parts,
        &ids,
        &own as &[&[u8]],
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO audit_seals (number, sealed_at, rows, previous, hash) VALUES ($1, $2, $3, $4, $5)",
        number,
        sealed_at,
        i32::try_from(members.len()).unwrap_or(i32::MAX),
        before.hash.as_slice(),
        hash.as_slice(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(members.len()))
}

/// The newest seal.
///
/// # Errors
/// When the catalog does not answer.
pub(super) async fn head(conn: &mut PgConnection) -> Result<Head, CatalogError> {
    let newest = sqlx::query!("SELECT number, hash FROM audit_seals ORDER BY number DESC LIMIT 1")
        .fetch_optional(conn)
        .await?;
    Ok(newest.map_or(Head::NONE, |newest| Head {
        number: newest.number,
        hash: of_bytes(&newest.hash),
    }))
}

/// Which table a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    Act = 0,
    Outcome = 1,
}

/// A row in a seal.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) part: Part,
    pub(super) id: Uuid,
    pub(super) hash: [u8; 32],
}

/// The key of the advisory lock: "tn.audit" in ASCII.
const LOCK: i64 = 0x746e_2e61_7564_6974;

/// A row as it is now.
pub(super) struct Now {
    pub(super) at: Timestamp,
    pub(super) hash: [u8; 32],
}

/// These rows; what is not there is not among them.
///
/// # Errors
/// When the catalog does not answer.
pub(super) async fn rows(
    conn: &mut PgConnection,
    part: Part,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Now>, CatalogError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    match part {
        Part::Act => acts(conn, ids).await,
        Part::Outcome => outcomes(conn, ids).await,
    }
}

async fn acts(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Now>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT id, at, actor, operator_id, action, tenant_id, request_id, address, agent, reason,
                  detail::text AS "detail!", operation_id, awaits
           FROM audit WHERE id = ANY ($1)"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let hash = Hash::new("tenantry/audit/1")
                .bytes(row.id.as_bytes())
                .time(row.at)
                .text(Some(&row.actor))
                .id(row.operator_id)
                .text(Some(&row.action))
                .id(row.tenant_id)
                .text(row.request_id.as_deref())
                .text(row.address.as_deref())
                .text(row.agent.as_deref())
                .text(row.reason.as_deref())
                .text(Some(&row.detail))
                .id(row.operation_id)
                .bytes(&[u8::from(row.awaits)])
                .end();
            (row.id, Now { at: row.at, hash })
        })
        .collect())
}

async fn outcomes(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Now>, CatalogError> {
    let rows = sqlx::query!(
        "SELECT audit_id, at, outcome, code FROM audit_outcomes WHERE audit_id = ANY ($1)",
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let hash = Hash::new("tenantry/audit-outcome/1")
                .bytes(row.audit_id.as_bytes())
                .time(row.at)
                .text(Some(&row.outcome))
                .text(row.code.as_deref())
                .end();
            (row.audit_id, Now { at: row.at, hash })
        })
        .collect())
}

/// The hash of a seal: over its number and time, the seal before, and each row's place and hash.
pub(super) fn hash_of(
    number: i64,
    previous: &[u8; 32],
    sealed_at: Timestamp,
    members: &[Member],
) -> [u8; 32] {
    let mut hash = Hash::new("tenantry/audit-seal/1")
        .bytes(&number.to_be_bytes())
        .bytes(previous)
        .time(sealed_at)
        .bytes(&(members.len() as u64).to_be_bytes());
    for member in members {
        hash = hash
            .bytes(&[member.part as u8])
            .bytes(member.id.as_bytes())
            .bytes(&member.hash);
    }
    hash.end()
}

pub(super) fn of_bytes(bytes: &[u8]) -> [u8; 32] {
    // The table's CHECK has seen to their number.
    bytes.try_into().unwrap_or_default()
}

/// Each field with its length before it, so that no two rows give the same bytes.
struct Hash(Sha256);

impl Hash {
    fn new(what: &str) -> Self {
        Self(Sha256::new()).bytes(what.as_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update([1]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn absent(mut self) -> Self {
        self.0.update([0]);
        self
    }

    fn text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.bytes(text.as_bytes()),
            None => self.absent(),
        }
    }

    fn id(self, id: Option<Uuid>) -> Self {
        match id {
            Some(id) => self.bytes(id.as_bytes()),
            None => self.absent(),
        }
    }

    /// Microseconds, as Postgres keeps them.
    fn time(self, at: Timestamp) -> Self {
        self.bytes(&at.timestamp_micros().to_be_bytes())
    }

    fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_give_the_same_bytes() {
        let of = |fields: &[Option<&str>]| {
            let begun = Hash::new("x");
            fields
                .iter()
                .fold(begun, |hash, field| hash.text(*field))
                .end()
        };
        assert_ne!(of(&[Some("ab"), Some("c")]), of(&[Some("a"), Some("bc")]));
        assert_ne!(of(&[Some("")]), of(&[None]));
        assert_ne!(of(&[None, Some("a")]), of(&[Some("a"), None]));
    }
}
