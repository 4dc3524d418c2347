//! Logins of people and tools: each has an end that Postgres keeps (VALID UNTIL) for new sessions; open
//! ones last until [`end`].
//!
//! Such a login inherits nothing and begins each session as its group, so that what it makes is the
//! group's. Who steps back from the group (`SET ROLE NONE`) has no right but to connect.

use tenantry_types::{DbName, RoleName, Timestamp};
use uuid::Uuid;

use super::drop::{Dropped, drop_or_bury};
use super::{literal, retire, states};
use crate::alter::{alter, taken};
use crate::databases::connect;
use crate::{AdminConn, ClusterError, Mark, groups};

/// How such a login's name begins.
pub(super) const PREFIX: &str = "tnt_jit_";

/// The group that such a login works as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// `tenantry_owner`.
    Owner,
    /// `tenantry_app`.
    App,
    /// `tenantry_readonly`.
    Readonly,
}

impl Group {
    fn name(self) -> &'static str {
        match self {
            Self::Owner => groups::OWNER,
            Self::App => groups::APP,
            Self::Readonly => groups::READONLY,
        }
    }
}

/// A login to be made.
#[derive(Clone, Debug)]
pub struct NewTemporary {
    /// Its name: [`crate::names::temporary`].
    pub name: RoleName,
    /// What it works as.
    pub group: Group,
    /// The SCRAM-SHA-256 verifier of its password.
    pub verifier: String,
    /// The database that it belongs to.
    pub mark: Mark,
    /// How many sessions it may have.
    pub connections: u32,
    /// Until when it lets somebody in.
    pub valid_until: Timestamp,
}

/// The name that belongs to an id.
pub(crate) fn name(id: Uuid) -> String {
    format!("{PREFIX}{}", id.simple())
}

/// Makes a login with all that lets it work in a database, in one transaction, or brings the one of this
/// name and mark to that state.
///
/// # Errors
/// [`ClusterError::NotOurs`] when a role of this name has another mark or none.
pub async fn create(
    conn: &mut AdminConn,
    database: &DbName,
    new: &NewTemporary,
) -> Result<(), ClusterError> {
    let NewTemporary { name, mark, .. } = new;
    let found = states(conn, std::iter::once(name)).await?;
    let how = format!(
        "LOGIN NOINHERIT CONNECTION LIMIT {} VALID UNTIL '{}' PASSWORD {}",
        new.connections,
        new.valid_until.to_rfc3339(),
        literal(&new.verifier)?,
    );
    let group = new.group.name();
    let mut sql = match found.of(name) {
        None => vec![
            format!("CREATE ROLE {name} {how} IN ROLE {group}"),
            format!("COMMENT ON ROLE {name} IS '{mark}'"),
        ],
        Some(found) if found.carries(mark) => vec![
            format!("ALTER ROLE {name} {how}"),
            format!("GRANT {group} TO {name}"),
        ],
        Some(_) => return Err(ClusterError::NotOurs(name.to_string())),
    };
    sql.push(format!(
        "ALTER ROLE {name} IN DATABASE {database} SET role = {group}"
    ));
    sql.push(connect(database, std::slice::from_ref(name)));
    let done = alter(conn, sql.join(";")).await;
    done.map_err(|error| taken(error, name.to_string()))
}

/// Locks a login out, ends its sessions and drops it. Where something still names it, as a large object
/// that it made or a right that its group gave it, an empty role is left that lets nobody in.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the login has another mark, [`ClusterError::StillConnected`] when a
/// session of it does not end; repeat it.
pub async fn end(
    conn: &mut AdminConn,
    database: &DbName,
    name: &RoleName,
    mark: &Mark,
) -> Result<Dropped, ClusterError> {
    retire(conn, database, name, mark).await?;
    drop_or_bury(conn, name, mark).await
}

/// The logins of this sort that belong to a database.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn of(conn: &mut AdminConn, mark: &Mark) -> Result<Vec<RoleName>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT r.rolname::text FROM pg_roles r
         JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
         WHERE starts_with(r.rolname::text, $1) AND c.description = $2 ORDER BY 1",
    );
    let rows = conn.all(query.bind(PREFIX).bind(mark.to_string())).await?;
    rows.into_iter()
        .map(|(name,)| {
            RoleName::parse(name).map_err(|error| ClusterError::Internal(Box::new(error)))
        })
        .collect()
}
