//! Taking over a database that somebody else made, where it stands, and giving it back as it was.
//!
//! What is changed is noted before ([`Former`]), so that it can be undone years later: who owned it, who had
//! which right on it and on its schemas, its comment and its limit. All that one role owned inside goes to
//! `tenantry_owner`, and back; where several roles own something, nothing is taken over ([`Refusal`]).
//!
//! An admin session enters such a database to change owners and rights in it, and to write what is ours. It
//! runs nothing that lies in there: `search_path` is `pg_catalog`, and a database with event triggers, the only
//! thing that would run on such statements, is refused.

mod contents;
mod look;
mod refusal;
mod wall;

use serde::{Deserialize, Serialize};
use tenantry_types::DbName;

pub use contents::{furnish, held_by, unfurnish};
pub use look::{Found, contents, shared};
pub use refusal::Refusal;
pub use wall::{give_back, leave, take};

use crate::{AdminConn, ClusterError};

/// The form in which [`Former`] is written now.
pub const FORMAT: u32 = 1;

/// What a proof lets its transaction fail with: division by zero.
const UNPROVEN: &str = "22012";

/// How a database was before it was taken over.
///
/// It is kept in the catalog as JSON as long as the adoption lasts, and read by later releases: fields are only ever
/// added, with a default, and a change of meaning is another [`FORMAT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Former {
    /// The form of this record.
    pub format: u32,
    /// The role that owned the database and everything in it.
    pub owner: String,
    /// Whether the admin login could work as that role already: what we did not grant is not taken away.
    pub admin_was_member: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Its connection limit; -1 is none.
    pub connection_limit: i32,
    /// Its rights as Postgres writes them; none where they are the default.
    pub acl: Option<String>,
    /// The same, one by one and in order.
    pub grants: Vec<Grant>,
    /// The schemas whose owner and rights were changed.
    #[serde(default)]
    pub schemas: Vec<Schema>,
    /// The routines in it that run with their owner's rights, each with a digest of what it does. Others are of
    /// the tenant's making, and are nobody else's code.
    #[serde(default)]
    pub code: Vec<String>,
}

/// A schema as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Who owned it: the database's owner, or the role that stands for it.
    pub owner: String,
    /// Its rights as Postgres writes them; none where they are the default.
    pub acl: Option<String>,
    /// The same, one by one and in order.
    pub grants: Vec<Grant>,
}

/// A right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Who gave it.
    pub grantor: String,
    /// Who has it; empty is everybody.
    pub grantee: String,
    /// Which, e.g. `CONNECT`.
    pub privilege: String,
    /// Whether it may be passed on.
    pub grantable: bool,
}

/// What whoever asks has agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Open sessions are ended.
    pub disconnect: bool,
    /// Other roles lose their rights on the database as long as it is a tenant's.
    pub shut_out: bool,
    /// Extensions that Postgres does not trust, and that may stay.
    pub extensions: Vec<String>,
}

impl Former {
    /// Whether this release knows how to read it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.format == FORMAT
    }
}

/// Any name in double quotes: those of others may need it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Any text as a literal, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A grantee in a statement.
fn grantee(name: &str) -> String {
    match name {
        "" => "PUBLIC".to_owned(),
        name => quoted(name),
    }
}

/// Makes the admin able to work as the former owner, where it was not.
async fn join(conn: &mut AdminConn, former: &Former) -> Result<(), ClusterError> {
    if former.admin_was_member {
        return Ok(());
    }
    let owner = quoted(&former.owner);
    let (version,) = conn
        .one(sqlx::query_as::<_, (i32,)>(
            "SELECT current_setting('server_version_num')::int",
        ))
        .await?;
    let options = match version >= 160_000 {
        true => " WITH INHERIT TRUE, SET TRUE",
        false => "",
    };
    crate::alter::alter(conn, format!("GRANT {owner} TO CURRENT_USER{options}")).await
}

/// Which of these roles are there.
async fn roles(conn: &mut AdminConn, names: &[String]) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)",
    );
    let found = conn.all(query.bind(names.to_vec())).await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// The statements that give an object exactly these rights, in their order; whose holder is gone is left out.
async fn regrant(
    conn: &mut AdminConn,
    object: &str,
    now: &[String],
    grants: &[Grant],
) -> Result<Vec<String>, ClusterError> {
    let holders: Vec<String> = grants.iter().map(|grant| grant.grantee.clone()).collect();
    let there = roles(conn, &holders).await?;
    let mut sql = Vec::new();
    for holder in now {
        sql.push(format!("REVOKE ALL ON {object} FROM {}", grantee(holder)));
    }
    for grant in grants {
        if grant.grantee.is_empty() || there.contains(&grant.grantee) {
            let to = grantee(&grant.grantee);
            let option = match grant.grantable
                && !grant.grantee.is_empty()
                && grant.grantor != grant.grantee
            {
                true => " WITH GRANT OPTION",
                false => "",
            };
            sql.push(format!(
                "GRANT {} ON {object} TO {to}{option}",
                grant.privilege
            ));
        }
    }
    Ok(sql)
}

/// The name of a database that must still be there.
fn gone(name: &DbName) -> ClusterError {
    ClusterError::Refused {
        sqlstate: "3D000".to_owned(),
        message: format!("the database {name} does not exist"),
    }
}
