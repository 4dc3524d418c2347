//! Which keys the stored secrets were sealed with, over all tables that have any; and sealing them anew
//! without being in anybody's way.
//!
//! Rewriting one is a compare-and-swap on the sealed value: what somebody changed meanwhile stays as he
//! left it, and was sealed by him with the key that he takes for new ones.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, InstallationId, OperationId, OperatorId};
use tenantry_vault::{Place, Purpose, Sealed};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

words! {
    /// A column with sealed secrets.
    pub enum Column {
        /// Clusters' admin logins, under the admin keys.
        Clusters = "clusters",
        /// Answers of requests that came with an `Idempotency-Key`, under the admin keys.
        IdempotentAnswers = "idempotent_answers",
        /// Passwords of logins: of routers' under the route keys, of others under the admin keys.
        Logins = "logins",
        /// What running operations remember, under the admin keys.
        OperationSecrets = "operation_secrets",
        /// The routers' login to the catalog, under the route keys.
        RouterLogin = "router_login",
    }
}

/// How many secrets of a table were sealed with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The table.
    pub column: Column,
    /// What the key is for: of one id there may be several.
    pub purpose: Purpose,
    /// The key's id.
    pub key_id: String,
    /// How many.
    pub rows: i64,
}

/// A sealed secret and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    column: Column,
    id: Uuid,
    name: String,
    /// The secret.
    pub sealed: Sealed,
}

/// Where a batch of secrets ended, for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    column: Column,
    id: Uuid,
    name: String,
}

impl Stored {
    /// What it is sealed for. `installation`: whose catalog it is.
    #[must_use]
    pub fn place(&self, installation: InstallationId) -> Place<'_> {
        match self.column {
            Column::Clusters => Place::cluster_admin(ClusterId::from_uuid(self.id)),
            Column::IdempotentAnswers => {
                Place::idempotent_answer(OperatorId::from_uuid(self.id), &self.name)
            }
            Column::Logins => Place::login(DatabaseId::from_uuid(self.id), &self.name),
            Column::OperationSecrets => {
                Place::operation_secret(OperationId::from_uuid(self.id), &self.name)
            }
            Column::RouterLogin => Place::router_login(installation),
        }
    }

    /// Where it stands, for what comes after it.
    #[must_use]
    pub fn position(&self) -> After {
        After {
            column: self.column,
            id: self.id,
            name: self.name.clone(),
        }
    }
}

/// All uses, by table and key.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn uses(conn: &mut PgConnection) -> Result<Vec<Use>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT 'clusters' AS "column!", 'admin' AS "purpose!", admin_key_id AS "key_id!", count(*) AS "rows!"
           FROM clusters GROUP BY 3
           UNION ALL
           SELECT 'logins', CASE WHEN role IN ('router', 'router_old') THEN 'route' ELSE 'admin' END,
                  key_id, count(*)
           FROM logins WHERE key_id IS NOT NULL GROUP BY 2, 3
           UNION ALL
           SELECT 'operation_secrets', 'admin', key_id, count(*) FROM operation_secrets GROUP BY 3
           UNION ALL
           SELECT 'idempotent_answers', 'admin', key_id, count(*) FROM idempotent_answers
           WHERE key_id IS NOT NULL GROUP BY 3
           UNION ALL
           SELECT 'router_login', 'route', key_id, count(*) FROM router_login GROUP BY 3
           ORDER BY 1, 2, 3"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|used| {
            let row = Row::of("keys", &used.key_id);
            Ok(Use {
                column: row.column("column", used.column.parse())?,
                purpose: match used.purpose.as_str() {
                    "route" => Purpose::Route,
                    _ => Purpose::Admin,
                },
                key_id: used.key_id,
                rows: used.rows,
            })
        })
        .collect()
}

/// Secrets of a purpose that were sealed with another key than `active`, in a fixed order, at most `limit`.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn behind(
    conn: &mut PgConnection,
    purpose: Purpose,
    active: &str,
    after: Option<&After>,
    limit: u32,
) -> Result<Vec<Stored>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT "column" AS "column!", id AS "id!", name AS "name!", key_id AS "key_id!", sealed AS "sealed!"
           FROM (SELECT 'clusters' AS "column", 'admin' AS purpose, id, '' AS name,
                        admin_key_id AS key_id, admin_sealed AS sealed FROM clusters
                 UNION ALL
                 SELECT 'logins', CASE WHEN role IN ('router', 'router_old') THEN 'route' ELSE 'admin' END,
                        database_id, role, key_id, sealed FROM logins WHERE key_id IS NOT NULL
                 UNION ALL
                 SELECT 'operation_secrets', 'admin', operation_id, name, key_id, sealed FROM operation_secrets
                 UNION ALL
                 SELECT 'idempotent_answers', 'admin', operator_id, key, key_id, sealed
                 FROM idempotent_answers WHERE key_id IS NOT NULL
                 UNION ALL
                 SELECT 'router_login', 'route', '00000000-0000-0000-0000-000000000000'::uuid, '', key_id, sealed
                 FROM router_login) AS s
           WHERE purpose = $1 AND key_id <> $2
             AND ($3::text IS NULL OR ("column", id, name) > ($3, $4, $5))
           ORDER BY "column", id, name LIMIT $6"#,
        purpose.as_str(),
        active,
        after.map(|after| after.column.as_str()),
        after.map(|after| after.id),
        after.map(|after| after.name.as_str()),
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|stored| {
            let row = Row::of("keys", stored.id);
            Ok(Stored {
                column: row.column("column", stored.column.parse())?,
                id: stored.id,
                name: stored.name,
                sealed: Sealed {
                    key_id: stored.key_id,
                    bytes: stored.sealed,
                },
            })
        })
        .collect()
}

/// Puts a secret that was sealed anew in the place of what was read. `false`: somebody has changed or
/// removed that meanwhile; nothing was written.
///
/// # Errors
/// When the catalog does not answer.
pub async fn swap(
    conn: &mut PgConnection,
    stored: &Stored,
    anew: &Sealed,
) -> Result<bool, CatalogError> {
    let was = &stored.sealed;
    let done = match stored.column {
        Column::Clusters => {
            sqlx::query!(
                "UPDATE clusters SET admin_key_id = $2, admin_sealed = $3
                 WHERE id = $1 AND admin_key_id = $4 AND admin_sealed = $5",
                stored.id,
                anew.key_id,
                anew.bytes,
                was.key_id,
                was.bytes,
            )
            .execute(conn)
            .await
        }
        Column::IdempotentAnswers => {
            sqlx::query!(
                "UPDATE idempotent_answers SET key_id = $3, sealed = $4
                 WHERE operator_id = $1 AND key = $2 AND key_id = $5 AND sealed = $6",
                stored.id,
                stored.name,
                anew.key_id,
                anew.bytes,
                was.key_id,
                was.bytes,
            )
            .execute(conn)
            .await
        }
        Column::Logins => {
            sqlx::query!(
                "UPDATE logins SET key_id = $3, sealed = $4
                 WHERE database_id = $1 AND role = $2 AND key_id = $5 AND sealed = $6",
                stored.id,
                stored.name,
                anew.key_id,
                anew.bytes,
                was.key_id,
                was.bytes,
            )
            .execute(conn)
            .await
        }
        Column::OperationSecrets => {
            sqlx::query!(
                "UPDATE operation_secrets SET key_id = $3, sealed = $4
                 WHERE operation_id = $1 AND name = $2 AND key_id = $5 AND sealed = $6",
                stored.id,
                stored.name,
                anew.key_id,
                anew.bytes,
                was.key_id,
                was.bytes,
            )
            .execute(conn)
            .await
        }
        Column::RouterLogin => sqlx::query!(
            "UPDATE router_login SET key_id = $1, sealed = $2 WHERE key_id = $3 AND sealed = $4",
            anew.key_id,
            anew.bytes,
            was.key_id,
            was.bytes,
        )
        .execute(conn)
        .await,
    }?;
    Ok(done.rows_affected() == 1)
}

impl Stored {
    /// Where it is.
    #[must_use]
    pub fn column(&self) -> Column {
        self.column
    }
}

/// Removes what an operation or an answer has sealed and nobody can open any more. `false`: it is another one
/// by now, or of a table whose secrets are not for a time.
///
/// # Errors
/// When the catalog does not answer.
pub async fn forget(conn: &mut PgConnection, stored: &Stored) -> Result<bool, CatalogError> {
    let done = match stored.column {
        Column::OperationSecrets => sqlx::query!(
            "DELETE FROM operation_secrets WHERE operation_id = $1 AND name = $2 AND sealed = $3",
            stored.id,
            stored.name,
            stored.sealed.bytes,
        )
        .execute(conn)
        .await,
        Column::IdempotentAnswers => sqlx::query!(
            "DELETE FROM idempotent_answers WHERE operator_id = $1 AND key = $2 AND sealed = $3",
            stored.id,
            stored.name,
            stored.sealed.bytes,
        )
        .execute(conn)
        .await,
        Column::Clusters | Column::Logins | Column::RouterLogin => return Ok(false),
    }?;
    Ok(done.rows_affected() == 1)
}
