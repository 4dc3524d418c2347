//! What a cluster has: every database and role of it with what the doctor compares, in four queries,
//! whatever their number.
//!
//! Only looks, at Postgres's own catalogs. Names stay text: somebody else's may be none of ours.

use std::fmt;

use sqlx::types::chrono::{DateTime, Utc};
use tenantry_types::InstallationId;

use crate::{AdminConn, ClusterError, Mark, groups};

/// What there is on a cluster.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// When the server was started: two connections to one server see the same.
    pub started_at: DateTime<Utc>,
    /// Its major version.
    pub version: i32,
    /// The admin login that looked.
    pub admin: String,
    /// Its databases.
    pub databases: Vec<Database>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Who is a member of what.
    pub memberships: Vec<Membership>,
    /// Logins that work as `tenantry_owner` in a database, by login and database.
    pub working_as_owner: Vec<(String, String)>,
}

/// Whose a thing is, by its comment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Ours, and of this database.
    Ours(Mark),
    /// Another installation's.
    Another,
    /// It has a comment that is no mark.
    Stranger,
    /// It has no comment.
    Unmarked,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub whose: Whose,
    /// Whether it accepts connections.
    pub open: bool,
    /// How many it accepts; -1 is no limit, -2 what an interrupted `DROP DATABASE` leaves.
    pub connection_limit: i32,
    /// Whether the admin owns it.
    pub own: bool,
    /// Who was granted CONNECT; the empty name is PUBLIC.
    pub connect: Vec<String>,
    /// Who was granted CREATE.
    pub create: Vec<String>,
    /// Who was granted TEMPORARY.
    pub temporary: Vec<String>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub whose: Whose,
    /// LOGIN.
    pub login: bool,
    /// INHERIT.
    pub inherit: bool,
    /// Attributes that give power: `SUPERUSER`, `CREATEDB`, `CREATEROLE`, `REPLICATION`, `BYPASSRLS`.
    pub powers: Vec<String>,
    /// CONNECTION LIMIT; -1 is none.
    pub connection_limit: i32,
    /// Whether its password has an end.
    pub expires: bool,
}

/// A role in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The role that is given.
    pub group: String,
    /// To whom.
    pub member: String,
    /// Whether the member has its rights without more ado.
    pub inherits: bool,
    /// Whether the member may become it (`SET ROLE`).
    pub sets: bool,
}

/// What does not hold Mark's own ids in its text stays short in a test's output.
impl fmt::Debug for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(mark) => write!(f, "Ours({})", mark.database),
            Self::Another => f.write_str("Another"),
            Self::Stranger => f.write_str("Stranger"),
            Self::Unmarked => f.write_str("Unmarked"),
        }
    }
}

impl Whose {
    fn of(comment: Option<&str>, installation: InstallationId) -> Self {
        match comment.map(str::parse::<Mark>) {
            None => Self::Unmarked,
            Some(Err(_)) => Self::Stranger,
            Some(Ok(mark)) if mark.installation == installation => Self::Ours(mark),
            Some(Ok(_)) => Self::Another,
        }
    }

    /// The database of our mark.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Ours(mark) => Some(mark),
            _ => None,
        }
    }
}

/// Reads what there is.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn read(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Inventory, ClusterError> {
    let server = sqlx::query_as::<_, (DateTime<Utc>, i32, String)>(
        "SELECT pg_postmaster_start_time(), current_setting('server_version_num')::int / 10000,
                current_user::text",
    );
    let (started_at, version, admin) = conn.one(server).await?;
    Ok(Inventory {
        started_at,
        version,
        admin,
        databases: databases(conn, installation).await?,
        roles: roles(conn, installation).await?,
        memberships: memberships(conn).await?,
        working_as_owner: working_as_owner(conn).await?,
    })
}

/// Our logins that Postgres itself lets connect to one of these databases, by login and database.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn guests(
    conn: &mut AdminConn,
    installation: InstallationId,
    databases: &[String],
) -> Result<Vec<(String, String)>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String)>(
        "SELECT r.rolname::text, d.datname::text
         FROM pg_roles r
         JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
         JOIN pg_database d ON d.datname = ANY ($1)
         WHERE starts_with(c.description, $2) AND has_database_privilege(r.oid, d.oid, 'CONNECT')
         ORDER BY 1, 2 LIMIT 1000",
    );
    let ours = format!("tenantry:{installation}:");
    conn.all(query.bind(databases.to_vec()).bind(ours)).await
}

#[derive(sqlx::FromRow)]
struct DatabaseRow {
    name: String,
    comment: Option<String>,
    open: bool,
    connection_limit: i32,
    own: bool,
    connect: Vec<String>,
    create: Vec<String>,
    temporary: Vec<String>,
}

async fn databases(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<Database>, ClusterError> {
    let query = sqlx::query_as::<_, DatabaseRow>(
        concat!("SELECT d.datname::text AS name, c.description AS comment, d.datallowconn AS open,
                d.datconnlimit AS connection_limit, ", own!("d.datdba"), " AS own,
                a.connect, a.create, a.temporary
         FROM pg_database d
         LEFT JOIN pg_shdescription c ON c.objoid = d.oid AND c.classoid = 'pg_database'::regclass
         CROSS JOIN LATERAL (
           SELECT coalesce(array_agg(g.who) FILTER (WHERE g.privilege_type = 'CONNECT'), '{}') AS connect,
                  coalesce(array_agg(g.who) FILTER (WHERE g.privilege_type = 'CREATE'), '{}') AS create,
                  coalesce(array_agg(g.who) FILTER (WHERE g.privilege_type = 'TEMPORARY'), '{}') AS temporary
           FROM (SELECT e.privilege_type,
                        CASE e.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(e.grantee)::text END AS who
                 FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) e
                 WHERE e.grantee <> d.datdba) g
         ) a
         ORDER BY d.datname"),
    );
    let rows = conn.all(query).await?;
    let databases = rows.into_iter().map(|row| Database {
        whose: Whose::of(row.comment.as_deref(), installation),
        name: row.name,
        open: row.open,
        connection_limit: row.connection_limit,
        own: row.own,
        connect: row.connect,
        create: row.create,
        temporary: row.temporary,
    });
    Ok(databases.collect())
}

#[derive(sqlx::FromRow)]
struct RoleRow {
    name: String,
    comment: Option<String>,
    login: bool,
    inherit: bool,
    powers: Vec<String>,
    connection_limit: i32,
    expires: bool,
}

async fn roles(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<Role>, ClusterError> {
    let query = sqlx::query_as::<_, RoleRow>(
        "SELECT r.rolname::text AS name, c.description AS comment, r.rolcanlogin AS login,
                r.rolinherit AS inherit, r.rolconnlimit AS connection_limit,
                array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                                   CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                                   CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                                   CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                                   CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS powers,
                coalesce(r.rolvaliduntil <> 'infinity', false) AS expires
         FROM pg_roles r
         LEFT JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
         ORDER BY r.rolname",
    );
    let rows = conn.all(query).await?;
    let roles = rows.into_iter().map(|row| Role {
        whose: Whose::of(row.comment.as_deref(), installation),
        name: row.name,
        login: row.login,
        inherit: row.inherit,
        powers: row.powers,
        connection_limit: row.connection_limit,
        expires: row.expires,
    });
    Ok(roles.collect())
}

/// Before 16 a membership has no options: it inherits, and lets the member become the group.
async fn memberships(conn: &mut AdminConn) -> Result<Vec<Membership>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String, bool, bool)>(
        "SELECT pg_get_userbyid(m.roleid)::text, pg_get_userbyid(m.member)::text,
                bool_or(coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)),
                bool_or(coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
         FROM pg_auth_members m GROUP BY m.roleid, m.member ORDER BY 1, 2",
    );
    let rows = conn.all(query).await?;
    let memberships = rows
        .into_iter()
        .map(|(group, member, inherits, sets)| Membership {
            group,
            member,
            inherits,
            sets,
        });
    Ok(memberships.collect())
}

async fn working_as_owner(conn: &mut AdminConn) -> Result<Vec<(String, String)>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String)>(
        "SELECT r.rolname::text, d.datname::text FROM pg_db_role_setting s
         JOIN pg_roles r ON r.oid = s.setrole JOIN pg_database d ON d.oid = s.setdatabase
         WHERE 'role=' || $1 = ANY (s.setconfig) ORDER BY 1, 2",
    );
    conn.all(query.bind(groups::OWNER)).await
}
