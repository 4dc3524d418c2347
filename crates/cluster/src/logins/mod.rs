//! Logins of a tenant's database.
//!
//! Each is a member of one group and has no right of its own but CONNECT on its database. Its mark
//! is its comment, which only a role with CREATEROLE may write: a login of another mark, or of none,
//! is never changed or dropped.
//!
//! A tenant's login can change its own password, end its own sessions and set defaults for itself
//! (`ALTER ROLE CURRENT_USER …`). That breaks its own door and nobody else's; a later
//! [`set_password`] or [`set_role_in_database`] repairs it. On Postgres 14 alone it can also make
//! other logins members of itself; [`crate::fence::close`] takes such guests out.

mod drop;
mod retire;
pub mod temporary;

pub use drop::{Dropped, drop, drop_or_bury, sweep, tombstones};
pub use retire::{retire, sessions_of};
use tenantry_types::{DbName, RoleName};

use crate::alter::{alter, taken};
use crate::databases::connect;
use crate::{AdminConn, ClusterError, Mark, groups};

/// What a login is for, which decides its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginKind {
    /// Runs migrations; works as `tenantry_owner`.
    Owner,
    /// The router's.
    Router,
    /// The product's.
    User,
}

impl LoginKind {
    /// How many sessions a login of this kind may have; -1 is no limit.
    ///
    /// A login that a customer's program holds could otherwise take every place on the server, and
    /// with it every other tenant's. The router's login is held by us and counts by its budget.
    #[must_use]
    pub fn connection_limit(self) -> i32 {
        match self {
            Self::Owner => 5,
            Self::Router => -1,
            Self::User => 20,
        }
    }

    /// The group whose member the login is.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Owner => groups::OWNER,
            Self::Router | Self::User => groups::APP,
        }
    }
}

/// A login to be made.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// Its name.
    pub name: RoleName,
    /// What it is for.
    pub kind: LoginKind,
    /// The SCRAM-SHA-256 verifier of its password: `tenantry_vault::scram::verifier`.
    pub verifier: String,
    /// The database that it belongs to.
    pub mark: Mark,
}

#[derive(sqlx::FromRow)]
struct State {
    name: String,
    comment: Option<String>,
}

/// What was found of several logins.
struct States(Vec<State>);

impl State {
    fn carries(&self, mark: &Mark) -> bool {
        self.comment.as_deref().and_then(|text| text.parse().ok()) == Some(*mark)
    }
}

impl States {
    fn of(&self, name: &RoleName) -> Option<&State> {
        self.0.iter().find(|state| state.name == name.as_str())
    }
}

/// Makes a login, or brings the one of this name and mark to the wanted state.
///
/// # Errors
/// [`ClusterError::NotOurs`] when a role of this name has another mark or none.
pub async fn create(conn: &mut AdminConn, login: &NewLogin) -> Result<(), ClusterError> {
    create_all(conn, std::slice::from_ref(login)).await
}

/// [`create`] for several logins in one transaction: one flush to disk instead of one for each.
///
/// # Errors
/// As [`create`]; then none of them was made.
pub async fn create_all(conn: &mut AdminConn, logins: &[NewLogin]) -> Result<(), ClusterError> {
    let sql = create_statements(conn, logins).await?;
    if sql.is_empty() {
        return Ok(());
    }
    alter(conn, sql.join(";")).await
}

/// [`create_all`] for the logins of one database, with all that lets them work there: owners get
/// their role in it ([`set_role_in_database`]) and each gets CONNECT on it, in the same transaction.
///
/// # Errors
/// As [`create`]; then none of it was done.
pub async fn create_for(
    conn: &mut AdminConn,
    database: &DbName,
    logins: &[NewLogin],
) -> Result<(), ClusterError> {
    let mut sql = create_statements(conn, logins).await?;
    if sql.is_empty() {
        return Ok(());
    }
    for login in logins {
        if login.kind == LoginKind::Owner {
            sql.push(role_in_database(&login.name, database));
        }
    }
    let names: Vec<RoleName> = logins.iter().map(|login| login.name.clone()).collect();
    sql.push(connect(database, &names));
    alter(conn, sql.join(";")).await
}

async fn create_statements(
    conn: &mut AdminConn,
    logins: &[NewLogin],
) -> Result<Vec<String>, ClusterError> {
    let found = states(conn, logins.iter().map(|login| &login.name)).await?;
    let mut sql = Vec::new();
    for login in logins {
        let NewLogin {
            name,
            kind,
            verifier,
            mark,
        } = login;
        let verifier = literal(verifier)?;
        let (group, limit) = (kind.group(), kind.connection_limit());
        match found.of(name) {
            None => {
                sql.push(format!(
                    "CREATE ROLE {name} LOGIN INHERIT CONNECTION LIMIT {limit} PASSWORD {verifier} IN ROLE {group}"
                ));
                sql.push(format!("COMMENT ON ROLE {name} IS '{mark}'"));
            }
            Some(found) if found.carries(mark) => {
                sql.push(format!(
                    "ALTER ROLE {name} LOGIN INHERIT CONNECTION LIMIT {limit} PASSWORD {verifier}"
                ));
                sql.push(format!("GRANT {group} TO {name}"));
            }
            Some(_) => return Err(ClusterError::NotOurs(name.to_string())),
        }
    }
    Ok(sql)
}

/// Gives a login another password, by its verifier. Open sessions stay.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the login has another mark or does not exist.
pub async fn set_password(
    conn: &mut AdminConn,
    name: &RoleName,
    verifier: &str,
    mark: &Mark,
) -> Result<(), ClusterError> {
    let verifier = literal(verifier)?;
    match state(conn, name).await? {
        Some(found) if found.carries(mark) => {
            alter(conn, format!("ALTER ROLE {name} PASSWORD {verifier}")).await
        }
        _ => Err(ClusterError::NotOurs(name.to_string())),
    }
}

/// Lets logins open no new session; those that do not exist or are not ours are passed over. Open sessions stay:
/// [`crate::fence::close`] ends them too.
///
/// # Errors
/// When the cluster refuses.
pub async fn disable(conn: &mut AdminConn, names: &[RoleName]) -> Result<(), ClusterError> {
    let there = ours(conn, names).await?;
    switch(conn, &there, "NOLOGIN").await
}

/// Lets logins open sessions again; those that do not exist, were retired or are not ours are passed over.
///
/// # Errors
/// When the cluster refuses.
pub async fn enable(conn: &mut AdminConn, names: &[RoleName]) -> Result<(), ClusterError> {
    let there = ours(conn, names).await?;
    let there = retire::still_used(conn, there).await?;
    switch(conn, &there, "LOGIN").await
}

/// Renames a login. Its password stays, as a SCRAM verifier does not contain the name.
///
/// # Errors
/// [`ClusterError::NameTaken`] when another role has the new name, [`ClusterError::NotOurs`] when
/// the login has another mark.
pub async fn rename(
    conn: &mut AdminConn,
    from: &RoleName,
    to: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    let sql = rename_statements(conn, &[(from, to)], mark).await?;
    if sql.is_empty() {
        return Ok(());
    }
    alter(conn, sql.join(";"))
        .await
        .map_err(|error| taken(error, to.to_string()))
}

/// Lets an owner login work as `tenantry_owner` in its database from its first statement, so that
/// what a migration makes belongs to the group and the default privileges take hold.
///
/// # Errors
/// When the cluster refuses.
pub async fn set_role_in_database(
    conn: &mut AdminConn,
    owner: &RoleName,
    database: &DbName,
) -> Result<(), ClusterError> {
    alter(conn, role_in_database(owner, database)).await
}

pub(crate) fn role_in_database(owner: &RoleName, database: &DbName) -> String {
    let group = groups::OWNER;
    format!("ALTER ROLE {owner} IN DATABASE {database} SET role = {group}")
}

/// Whether a role of this name exists.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn exists(conn: &mut AdminConn, name: &RoleName) -> Result<bool, ClusterError> {
    Ok(state(conn, name).await?.is_some())
}

/// Those of the names that exist, in the order given.
pub(crate) async fn present(
    conn: &mut AdminConn,
    names: &[RoleName],
) -> Result<Vec<RoleName>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)",
    );
    let wanted: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let found = conn.all(query.bind(wanted)).await?;
    let there = |name: &&RoleName| found.iter().any(|(found,)| found == name.as_str());
    Ok(names.iter().filter(there).cloned().collect())
}

/// Those of the names that are logins of ours, in the order given. A role that somebody made under a name that ours
/// may get later has no mark, and is in no group of ours; one that lost its mark, as in a restore without comments, is
/// still in its group.
pub(crate) async fn ours(
    conn: &mut AdminConn,
    names: &[RoleName],
) -> Result<Vec<RoleName>, ClusterError> {
    let query = sqlx::query_as::<_, (String, Option<String>, bool)>(
        "SELECT r.rolname::text, shobj_description(r.oid, 'pg_authid'),
                EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                        WHERE m.member = r.oid AND g.rolname = ANY ($2))
         FROM pg_roles r WHERE r.rolname = ANY ($1)",
    );
    let wanted: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let groups = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    let found = conn.all(query.bind(wanted).bind(groups.to_vec())).await?;
    let is_ours = |name: &&RoleName| {
        found.iter().any(|(found, comment, in_group)| {
            let comment = comment.as_deref();
            found == name.as_str()
                && (*in_group || comment.is_some_and(|text| text.parse::<Mark>().is_ok()))
        })
    };
    Ok(names.iter().filter(is_ours).cloned().collect())
}

/// Whether all of these logins are there and carry the mark.
pub(crate) async fn all_carry(
    conn: &mut AdminConn,
    names: &[RoleName],
    mark: &Mark,
) -> Result<bool, ClusterError> {
    let found = states(conn, names).await?;
    let carries = |name| found.of(name).is_some_and(|state| state.carries(mark));
    Ok(names.iter().all(carries))
}

/// The statements that give logins other names, for those that do not have them yet.
pub(crate) async fn rename_statements(
    conn: &mut AdminConn,
    pairs: &[(&RoleName, &RoleName)],
    mark: &Mark,
) -> Result<Vec<String>, ClusterError> {
    let found = states(conn, pairs.iter().flat_map(|(from, to)| [*from, *to])).await?;
    let statements = pairs
        .iter()
        .map(|(from, to)| rename_statement(&found, from, to, mark));
    let statements: Result<Vec<_>, _> = statements.collect();
    Ok(statements?.into_iter().flatten().collect())
}

fn rename_statement(
    found: &States,
    from: &RoleName,
    to: &RoleName,
    mark: &Mark,
) -> Result<Option<String>, ClusterError> {
    match (found.of(from), found.of(to)) {
        (Some(old), _) if !old.carries(mark) => Err(ClusterError::NotOurs(from.to_string())),
        (Some(_), _) if from == to => Ok(None),
        (Some(_), Some(_)) => Err(ClusterError::NameTaken(to.to_string())),
        (Some(_), None) => Ok(Some(format!("ALTER ROLE {from} RENAME TO {to}"))),
        // Renamed before a crash, if it is the same one.
        (None, Some(new)) if new.carries(mark) => Ok(None),
        (None, Some(_)) => Err(ClusterError::NotOurs(to.to_string())),
        (None, None) => Err(ClusterError::Refused {
            sqlstate: "42704".to_owned(),
            message: format!("the role {from} does not exist"),
        }),
    }
}

async fn switch(conn: &mut AdminConn, names: &[RoleName], login: &str) -> Result<(), ClusterError> {
    if names.is_empty() {
        return Ok(());
    }
    let statements = names
        .iter()
        .map(|name| format!("ALTER ROLE {name} {login}"));
    alter(conn, statements.collect::<Vec<_>>().join(";")).await
}

async fn state(conn: &mut AdminConn, name: &RoleName) -> Result<Option<State>, ClusterError> {
    Ok(states(conn, [name]).await?.0.pop())
}

async fn states(
    conn: &mut AdminConn,
    names: impl IntoIterator<Item = &RoleName>,
) -> Result<States, ClusterError> {
    let names: Vec<&str> = names.into_iter().map(RoleName::as_str).collect();
    let query = sqlx::query_as(
        "SELECT rolname::text AS name, shobj_description(oid, 'pg_authid') AS comment
         FROM pg_roles WHERE rolname = ANY ($1)",
    );
    conn.all(query.bind(names)).await.map(States)
}

/// A verifier as a literal. ALTER ROLE takes no bind parameter, and what is no verifier could be a
/// password in clear, which Postgres would hash for us and might log.
fn literal(verifier: &str) -> Result<String, ClusterError> {
    let plain = verifier
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+/=:$-".contains(&b));
    if plain && verifier.starts_with("SCRAM-SHA-256$") && verifier.matches('$').count() == 2 {
        Ok(format!("'{verifier}'"))
    } else {
        Err(ClusterError::Internal(
            "the text given is no SCRAM-SHA-256 verifier".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verifiers_get_into_a_statement() {
        assert!(literal("SCRAM-SHA-256$1:c2FsdA==$a+b/=:c=").is_ok());
        for bad in [
            "",
            "hunter2",
            "SCRAM-SHA-256$1:a$b'; DROP",
            "SCRAM-SHA-256$1:a",
            "md5abc",
        ] {
            let error = literal(bad).expect_err(bad).to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
