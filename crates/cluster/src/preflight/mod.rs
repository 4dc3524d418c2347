//! Whether a cluster and its admin login are fit for us, before anything is made there.

mod reach;

use tenantry_types::InstallationId;

use crate::{Admin, AdminConn, ClusterError, Mark, groups};

/// Which of what was given a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// Host and port.
    Host,
    /// How TLS is used.
    Tls,
    /// The authority of the certificate.
    RootCa,
    /// The admin's login.
    Login,
    /// Its password.
    Password,
    /// Nothing that was given: the server is not as it must be.
    Server,
}

/// One thing that keeps a cluster from being used, and what to do about it: a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// The sentence.
    pub text: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(about: About, text: impl Into<String>) -> Self {
        Self {
            about,
            text: text.into(),
        }
    }
}

/// A server that was looked at, as far as that went.
pub struct Examined {
    /// What keeps it from being used.
    pub findings: Vec<Finding>,
    /// Whether it speaks TLS; none: it was not reached.
    pub offers_tls: Option<bool>,
    /// What it is like, and the session in which that was asked; none: nobody was let in.
    pub inside: Option<(Report, AdminConn)>,
}

/// Looks at a server from outside to inside, as far as it lets us. Changes nothing on it.
pub async fn examine(admin: &Admin, name: &str) -> Examined {
    let mut examined = Examined {
        findings: Vec::new(),
        offers_tls: None,
        inside: None,
    };
    let offers = match reach::knock(admin.address()).await {
        Ok(offers) => offers,
        Err(finding) => {
            examined.findings.push(finding);
            return examined;
        }
    };
    examined.offers_tls = Some(offers);
    let mut conn = match reach::enter(admin, offers, name).await {
        Ok(conn) => conn,
        Err(finding) => {
            examined.findings.push(finding);
            return examined;
        }
    };
    match check(&mut conn).await {
        Ok(report) => {
            let problems = report.problems.iter();
            examined
                .findings
                .extend(problems.map(|text| Finding::new(About::Server, text)));
            examined.inside = Some((report, conn));
        }
        Err(_) => {
            conn.close().await;
            examined.findings.push(Finding::new(
                About::Server,
                "The server let the login in and then did not answer what it was asked; its log may say why.",
            ));
        }
    }
    examined
}

/// By which a server is told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Made with its data; a copy of the data has the same. None where the login may not ask.
    pub system: Option<String>,
    /// When its postmaster began, in microseconds: no two of one `system` began in the same one.
    pub started: i64,
}

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
    /// The version of TLS that this session goes over; none: it goes in clear.
    pub tls_version: Option<String>,
    /// Which server it is.
    pub identity: Identity,
    /// The marks of all databases there that an installation of Tenantry made, this one or another.
    pub marks: Vec<Mark>,
    /// Those of them whose databases are the admin's own: any other owner may have written what he likes.
    pub own_marks: Vec<Mark>,
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
    /// Other installations that have databases there, and how many.
    #[must_use]
    pub fn of_others(&self, installation: InstallationId) -> Vec<(InstallationId, usize)> {
        let mut others: Vec<(InstallationId, usize)> = Vec::new();
        for mark in &self.marks {
            if mark.installation == installation {
                continue;
            }
            match others.iter_mut().find(|(id, _)| *id == mark.installation) {
                Some((_, count)) => *count += 1,
                None => others.push((mark.installation, 1)),
            }
        }
        others
    }

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
    standby: bool,
    read_only: bool,
    started: i64,
    tls_version: Option<String>,
    may_ask_system: bool,
}

/// Which server this is.
///
/// # Errors
/// When it cannot be asked.
pub async fn identity(conn: &mut AdminConn) -> Result<Identity, ClusterError> {
    let query = sqlx::query_as::<_, (i64, bool)>(
        "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
                has_function_privilege('pg_control_system()', 'EXECUTE')",
    );
    let (started, may_ask) = conn.one(query).await?;
    Ok(Identity {
        system: system(conn, may_ask).await?,
        started,
    })
}

/// A statement of its own: the right to a function is looked at whether it is called or not.
async fn system(conn: &mut AdminConn, may_ask: bool) -> Result<Option<String>, ClusterError> {
    if !may_ask {
        return Ok(None);
    }
    let query =
        sqlx::query_as::<_, (String,)>("SELECT system_identifier::text FROM pg_control_system()");
    Ok(Some(conn.one(query).await?.0))
}

/// What carries a mark of this installation, e.g. `database tenant_acme`, for people.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn marked(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT 'database ' || datname FROM pg_database
         WHERE starts_with(shobj_description(oid, 'pg_database'), $1)
         UNION ALL
         SELECT 'role ' || rolname FROM pg_roles WHERE starts_with(shobj_description(oid, 'pg_authid'), $1)
         ORDER BY 1",
    );
    let found = conn
        .all(query.bind(format!("tenantry:{installation}:")))
        .await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// Whether a database of any installation is there.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn anybodys(conn: &mut AdminConn) -> Result<bool, ClusterError> {
    Ok(!marks(conn).await?.0.is_empty())
}

/// All marks of databases, and those of the admin's own.
async fn marks(conn: &mut AdminConn) -> Result<(Vec<Mark>, Vec<Mark>), ClusterError> {
    let query = sqlx::query_as::<_, (String, bool)>(concat!(
        "SELECT description, own FROM (SELECT shobj_description(oid, 'pg_database') AS description, ",
        own!("datdba"),
        " AS own FROM pg_database) d WHERE description LIKE 'tenantry:%'"
    ));
    let comments = conn.all(query).await?.into_iter();
    let marks: Vec<(Mark, bool)> = comments
        .filter_map(|(comment, own)| Some((comment.parse().ok()?, own)))
        .collect();
    let own = marks.iter().filter(|(_, own)| *own);
    let own = own.map(|(mark, _)| *mark).collect();
    Ok((marks.into_iter().map(|(mark, _)| mark).collect(), own))
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
                      ORDER BY 1) AS foreign_groups,
                pg_is_in_recovery() AS standby,
                current_setting('default_transaction_read_only')::boolean AS read_only,
                (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
                (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls_version,
                has_function_privilege('pg_control_system()', 'EXECUTE') AS may_ask_system
         FROM pg_roles WHERE rolname = current_user",
    );
    let groups = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    let facts = conn.one(query.bind(groups.to_vec())).await?;
    let (marks, own_marks) = marks(conn).await?;
    let system = system(conn, facts.may_ask_system).await?;
    Ok(Report {
        problems: problems(&facts),
        warnings: warnings(&facts),
        identity: Identity {
            system,
            started: facts.started,
        },
        marks,
        own_marks,
        tls_version: facts.tls_version.clone(),
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
    if facts.standby {
        problems.push(
            "The server is a standby, where nothing can be made: use its primary's address."
                .to_owned(),
        );
    } else if facts.read_only {
        problems.push(format!(
            "default_transaction_read_only is on for the login {login}: turn it off."
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
