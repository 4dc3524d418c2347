//! Whether a cluster and its admin login are fit for us, before anything is made there.

use crate::{AdminConn, ClusterError, groups};

/// What a preflight found. The texts are sentences for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `server_version_num`, e.g. 150018.
    pub version_num: i32,
    /// `server_version`, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// `max_connections`.
    pub max_connections: i32,
    /// Of these, kept for superusers.
    pub reserved_connections: i32,
    /// What keeps the cluster from being used.
    pub problems: Vec<String>,
    /// What the operator should know or change.
    pub warnings: Vec<String>,
}

impl Report {
    /// Whether the cluster can be used.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The connections that a server has for others than superusers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of them.
    pub free: u32,
    /// How many of these stay on top of a connection budget, for admins, migrations and whatever else runs
    /// there: a quarter, and 30 at least; on a small server half.
    pub reserve: u32,
}

impl Room {
    fn new(max_connections: i32, reserved_connections: i32) -> Self {
        let free = u32::try_from(max_connections - reserved_connections).unwrap_or(0);
        let reserve = (free / 4).max(30).min(free / 2);
        Self { free, reserve }
    }

    /// What tenants' connections may take at most.
    #[must_use]
    pub fn largest_budget(self) -> u32 {
        self.free.saturating_sub(self.reserve).max(1)
    }
}

impl Report {
    /// What there is room for.
    #[must_use]
    pub fn room(&self) -> Room {
        Room::new(self.max_connections, self.reserved_connections)
    }
}

/// Asks for the room alone.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn room(conn: &mut AdminConn) -> Result<Room, ClusterError> {
    let query = sqlx::query_as::<_, (i32, i32)>(
        "SELECT current_setting('max_connections')::int,
                current_setting('superuser_reserved_connections')::int
                  + coalesce(current_setting('reserved_connections', true), '0')::int",
    );
    let (max, reserved) = conn.one(query).await?;
    Ok(Room::new(max, reserved))
}

#[derive(sqlx::FromRow)]
struct Facts {
    version_num: i32,
    version: String,
    max_connections: i32,
    reserved_connections: i32,
    login: String,
    superuser: bool,
    createdb: bool,
    createrole: bool,
    signal: bool,
    encryption: String,
    open_to_all: Vec<String>,
    foreign_groups: Vec<String>,
}

/// Looks; changes nothing.
///
/// # Errors
/// When the cluster cannot be asked; what it lacks is in the report.
pub async fn check(conn: &mut AdminConn) -> Result<Report, ClusterError> {
    let query = sqlx::query_as::<_, Facts>(
        "SELECT current_setting('server_version_num')::int AS version_num,
                current_setting('server_version') AS version,
                current_setting('max_connections')::int AS max_connections,
                current_setting('superuser_reserved_connections')::int
                  + coalesce(current_setting('reserved_connections', true), '0')::int AS reserved_connections,
                rolname::text AS login, rolsuper AS superuser, rolcreatedb AS createdb,
                rolcreaterole AS createrole,
                rolsuper OR pg_has_role('pg_signal_backend', 'USAGE') AS signal,
                current_setting('password_encryption') AS encryption,
                ARRAY(SELECT datname::text FROM pg_database d
                      WHERE datallowconn AND datname IN ('postgres', 'template1')
                        AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a
                                    WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')
                      ORDER BY 1) AS open_to_all,
                -- On 16 and later only its creator may pass a role on.
                ARRAY(SELECT g.rolname::text FROM pg_roles g
                      WHERE g.rolname = ANY ($1)
                        AND current_setting('server_version_num')::int >= 160000
                        AND NOT pg_has_role(g.oid, 'MEMBER WITH ADMIN OPTION')
                      ORDER BY 1) AS foreign_groups
         FROM pg_roles WHERE rolname = current_user",
    );
    let groups = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    let facts = conn.one(query.bind(groups.to_vec())).await?;
    Ok(Report {
        problems: problems(&facts),
        warnings: warnings(&facts),
        version_num: facts.version_num,
        version: facts.version,
        max_connections: facts.max_connections,
        reserved_connections: facts.reserved_connections,
    })
}

fn problems(facts: &Facts) -> Vec<String> {
    let Facts { login, version, .. } = facts;
    let mut problems = Vec::new();
    if !(14..=18).contains(&(facts.version_num / 10_000)) {
        problems.push(format!(
            "The server is Postgres {version}; 14 to 18 are supported."
        ));
    }
    if !facts.createdb && !facts.superuser {
        problems.push(format!(
            "The login {login} may not create databases: ALTER ROLE {login} CREATEDB."
        ));
    }
    if !facts.createrole && !facts.superuser {
        problems.push(format!(
            "The login {login} may not create roles: ALTER ROLE {login} CREATEROLE."
        ));
    }
    if !facts.signal {
        problems.push(format!(
            "The login {login} may not end sessions: GRANT pg_signal_backend TO {login}."
        ));
    }
    for group in &facts.foreign_groups {
        problems.push(format!(
            "The role {group} was made by another login; as that one: \
             GRANT {group} TO {login} WITH ADMIN OPTION."
        ));
    }
    problems
}

fn warnings(facts: &Facts) -> Vec<String> {
    let Facts { login, .. } = facts;
    let mut warnings = Vec::new();
    if facts.superuser {
        warnings.push(format!(
            "The login {login} is a superuser; CREATEDB, CREATEROLE and pg_signal_backend are enough."
        ));
    }
    for database in &facts.open_to_all {
        warnings.push(format!(
            "Every login may connect to the database {database}: \
             REVOKE ALL ON DATABASE {database} FROM PUBLIC, then GRANT CONNECT to those who need it."
        ));
    }
    if facts.encryption != "scram-sha-256" {
        warnings.push(format!(
            "password_encryption is {}; our logins have SCRAM verifiers, which pg_hba.conf must accept.",
            facts.encryption
        ));
    }
    if facts.version_num / 10_000 == 14 {
        warnings.push(
            "On Postgres 14 everybody may create in the schema public of a new database; as a \
             superuser, in template1: ALTER SCHEMA public OWNER TO pg_database_owner; \
             REVOKE CREATE ON SCHEMA public FROM PUBLIC."
                .to_owned(),
        );
    }
    warnings
}
