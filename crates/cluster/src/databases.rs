//! Databases: clone, mark, wall off, open, rename, drop.
//!
//! A database stays owned by the admin login, so that no tenant's login can grant CONNECT, change
//! its limits or forge its comment. The ACL of a database and its settings are not cloned with it
//! (they live in shared catalogs), so each clone is walled off anew.

use std::fmt::Write as _;
use std::time::Duration;

use tenantry_types::{DbName, InstallationId, RoleName};

use crate::fence::end_sessions_in;
use crate::{AdminConn, ClusterError, Mark, groups, logins, names};

/// Clones of one template that Postgres tells to wait (55006: somebody is connected to it) are
/// tried again this often; each try waits 5 seconds inside Postgres already.
const TRIES: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(50);

/// One of our databases as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its mark.
    pub mark: Mark,
    /// Whether it accepts connections.
    pub open: bool,
    /// Whether everybody may connect to it or make temporary tables in it: a hole in the wall.
    pub public: bool,
}

#[derive(sqlx::FromRow)]
struct State {
    comment: Option<String>,
    /// Whether it accepts connections.
    open: bool,
    /// Whether the admin owns it.
    own: bool,
    /// Whether PUBLIC has a right on it, as on every new database.
    public: bool,
    /// What a `DROP DATABASE` leaves behind when the server crashes in it: fit to be dropped only.
    torn: bool,
}

impl State {
    fn mark(&self) -> Option<Mark> {
        self.comment.as_deref()?.parse().ok()
    }

    /// Whether this is our database for `mark`: by its mark, or as the clone that a crash kept from
    /// being marked, which has the unguessable name of this id and never was open.
    fn is_ours(&self, name: &DbName, mark: &Mark) -> bool {
        if !self.own {
            return false;
        }
        match (&self.comment, self.mark()) {
            (_, Some(found)) => found == *mark,
            (Some(_), None) => false,
            (None, None) => {
                !self.open
                    && (*name == names::spare(mark.database)
                        || *name == names::template(mark.database))
            }
        }
    }
}

/// Clones `template` into a database that accepts no connections, and marks it.
///
/// Name it [`names::spare`] or [`names::template`]: an unmarked database of another name is never
/// taken for our own unfinished one.
///
/// # Errors
/// [`ClusterError::NotOurs`] when a database of this name exists that is not the one of this mark;
/// [`ClusterError::Unavailable`] when the template stays in use.
pub async fn create_closed(
    conn: &mut AdminConn,
    name: &DbName,
    template: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    match state(conn, name).await? {
        Some(found) if !found.is_ours(name, mark) => {
            return Err(ClusterError::NotOurs(name.to_string()));
        }
        Some(found) if found.torn => {
            conn.run(format!("DROP DATABASE IF EXISTS {name}")).await?;
            clone(conn, name, template).await?;
        }
        Some(found) if found.comment.is_some() => return Ok(()),
        Some(_) => {}
        None => clone(conn, name, template).await?,
    }
    conn.run(comment(name, mark)).await
}

/// Writes the mark, where the database is [`create_closed`]'s.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it carries another comment.
pub async fn mark(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    if ours(conn, name, mark).await?.mark().is_some() {
        return Ok(());
    }
    conn.run(comment(name, mark)).await
}

/// The mark of a database; none if there is no such database or it has none.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn mark_of(conn: &mut AdminConn, name: &DbName) -> Result<Option<Mark>, ClusterError> {
    Ok(state(conn, name).await?.and_then(|found| found.mark()))
}

/// Whether a database of this name exists.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn exists(conn: &mut AdminConn, name: &DbName) -> Result<bool, ClusterError> {
    Ok(state(conn, name).await?.is_some())
}

/// Marks a clone, shuts out everybody and lets the migrations' group create schemas in it: [`mark`],
/// [`revoke_public`] and [`grant_owner_create`] in one transaction.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it carries another comment.
pub async fn prepare(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    ours(conn, name, mark).await?;
    let sql = format!(
        "{};{};{}",
        comment(name, mark),
        no_public(name),
        owner_create(name)
    );
    alter(conn, sql).await?;
    closed_to_public(conn, name).await
}

/// [`prepare`], and opens the database for the builder of a template. False when it was done before
/// and the database is closed again.
pub(crate) async fn prepare_open(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<bool, ClusterError> {
    let found = ours(conn, name, mark).await?;
    if !found.public {
        return Ok(found.open);
    }
    let sql = [
        comment(name, mark),
        no_public(name),
        owner_create(name),
        opening(name),
    ];
    alter(conn, sql.join(";")).await?;
    closed_to_public(conn, name).await.map(|()| true)
}

/// Takes from PUBLIC what Postgres grants it on each new database: CONNECT and TEMPORARY.
///
/// # Errors
/// [`ClusterError::Unsuitable`] when PUBLIC still has a right afterwards: REVOKE without the right
/// to revoke only warns.
pub async fn revoke_public(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(conn, no_public(name)).await?;
    closed_to_public(conn, name).await
}

/// Lets the group that runs migrations create schemas and temporary tables in the database.
///
/// It goes to the group, as an owner login works as the group (`SET role`). A member can run
/// `DROP OWNED BY tenantry_owner` in its own database, which tries to revoke this from the group on
/// every database of the cluster. It revokes nothing there, as only the grantor could (tried on 14,
/// 15, 16 and 18; there is a test). But it writes each database's row, and while its transaction is
/// open, [`rename`], [`open`] and the like on other databases wait, up to our lock timeout.
///
/// # Errors
/// When the cluster refuses.
pub async fn grant_owner_create(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(conn, owner_create(name)).await
}

/// Grants CONNECT to logins.
///
/// # Errors
/// When the cluster refuses.
pub async fn grant_connect(
    conn: &mut AdminConn,
    name: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    if logins.is_empty() {
        return Ok(());
    }
    alter(conn, connect(name, logins)).await
}

/// Takes CONNECT from logins; those that do not exist are passed over.
///
/// # Errors
/// When the cluster refuses.
pub async fn revoke_connect(
    conn: &mut AdminConn,
    name: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    let there = logins::present(conn, logins).await?;
    if there.is_empty() || !exists(conn, name).await? {
        return Ok(());
    }
    let sql = format!("REVOKE CONNECT ON DATABASE {name} FROM {}", list_of(&there));
    alter(conn, sql).await
}

/// Grants CONNECT to logins and opens the database, in one transaction.
///
/// # Errors
/// When the cluster refuses.
pub async fn admit(
    conn: &mut AdminConn,
    name: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    if logins.is_empty() {
        return open(conn, name).await;
    }
    let sql = format!("{};{}", connect(name, logins), opening(name));
    alter(conn, sql).await
}

/// Lets the database accept connections.
///
/// # Errors
/// When the cluster refuses.
pub async fn open(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(conn, opening(name)).await
}

/// Lets the database accept no new connections, not even the admin's; open ones stay.
///
/// # Errors
/// When the cluster refuses.
pub async fn close(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(
        conn,
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
    )
    .await
}

/// Renames a database that nobody is connected to.
///
/// # Errors
/// [`ClusterError::NameTaken`] when another database has the new name, [`ClusterError::NotOurs`]
/// when the database is not the one of this mark.
pub async fn rename(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    match rename_statement(conn, from, to, mark).await? {
        Some(sql) => alter(conn, sql)
            .await
            .map_err(|error| taken(error, to.to_string())),
        None => Ok(()),
    }
}

/// Renames a database and its three logins ([`names::login_names`]) in one transaction, so that
/// there is no moment with half of the names.
///
/// # Errors
/// As [`rename`], and the same for the logins.
pub async fn rename_with_logins(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    let mut sql = Vec::new();
    sql.extend(rename_statement(conn, from, to, mark).await?);
    let (old, new) = (names::login_names(from).all(), names::login_names(to).all());
    for (from, to) in old.iter().zip(&new) {
        sql.extend(logins::rename_statement(conn, from, to, mark).await?);
    }
    if sql.is_empty() {
        return Ok(());
    }
    alter(conn, sql.join(";"))
        .await
        .map_err(|error| taken(error, to.to_string()))
}

/// Drops a database with everything in it and ends the sessions in it. Answers whether there was one.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark: nothing is dropped that cannot be
/// proven to be ours.
pub async fn drop_forced(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<bool, ClusterError> {
    let Some(found) = state(conn, name).await? else {
        return Ok(false);
    };
    if !found.is_ours(name, mark) {
        return Err(ClusterError::NotOurs(name.to_string()));
    }
    // WITH (FORCE) alone loses against a client that connects again at once (55006): the door first.
    if !found.torn {
        close(conn, name).await?;
        end_sessions_in(conn, name).await?;
    }
    alter(conn, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    Ok(true)
}

/// All databases that carry a mark of this installation, by name.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn list(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<Found>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String, bool, bool)>(
        "SELECT d.datname::text, s.description, d.datallowconn,
                EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
                        WHERE a.grantee = 0)
         FROM pg_database d
         JOIN pg_shdescription s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
         WHERE starts_with(s.description, $1) ORDER BY d.datname",
    );
    let rows = conn
        .all(query.bind(format!("tenantry:{installation}:")))
        .await?;
    let found = rows
        .into_iter()
        .filter_map(|(name, comment, open, public)| {
            Some(Found {
                name,
                mark: comment.parse().ok()?,
                open,
                public,
            })
        });
    Ok(found.collect())
}

/// `CREATE DATABASE`, tried again while somebody is connected to the template.
///
/// Strategy: see [`crate::template`].
async fn clone(conn: &mut AdminConn, name: &DbName, template: &DbName) -> Result<(), ClusterError> {
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template} ALLOW_CONNECTIONS false");
    match alter(conn, sql).await {
        // Two drivers of one operation at once: the faster one made it, under the same name.
        Err(ClusterError::Refused { sqlstate, .. })
            if sqlstate == "42P04" || sqlstate == "23505" =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Runs statements on a database's row; again when another session had the row or the database.
pub(crate) async fn alter(conn: &mut AdminConn, sql: String) -> Result<(), ClusterError> {
    for attempt in 1.. {
        let error = match conn.run(sql.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // XX000: "tuple concurrently updated", when the row changed while we waited for it.
        let again = matches!(&error, ClusterError::Refused { sqlstate, .. } if sqlstate == "XX000")
            || in_use(&error);
        if !again || attempt >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(BACKOFF * attempt).await;
    }
    Ok(())
}

fn in_use(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Unavailable { source: Some(source), .. }
        if source.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "55006"))
}

/// A name clash as its own variant.
pub(crate) fn taken(error: ClusterError, name: String) -> ClusterError {
    match error {
        ClusterError::Refused { sqlstate, .. }
            if matches!(sqlstate.as_str(), "42P04" | "42710" | "23505") =>
        {
            ClusterError::NameTaken(name)
        }
        other => other,
    }
}

async fn rename_statement(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<Option<String>, ClusterError> {
    if from == to {
        return ours(conn, to, mark).await.map(|_| None);
    }
    let (old, new) = (state(conn, from).await?, state(conn, to).await?);
    match (old, new) {
        (Some(old), _) if !old.is_ours(from, mark) => Err(ClusterError::NotOurs(from.to_string())),
        (Some(_), Some(_)) => Err(ClusterError::NameTaken(to.to_string())),
        (Some(_), None) => Ok(Some(format!("ALTER DATABASE {from} RENAME TO {to}"))),
        // Renamed before a crash, if it is the same one.
        (None, Some(new)) if new.mark() == Some(*mark) => Ok(None),
        (None, Some(_)) => Err(ClusterError::NotOurs(to.to_string())),
        (None, None) => Err(missing(from)),
    }
}

/// The state of a database that must exist and be the one of this mark.
async fn ours(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<State, ClusterError> {
    let found = state(conn, name).await?.ok_or_else(|| missing(name))?;
    if found.is_ours(name, mark) {
        Ok(found)
    } else {
        Err(ClusterError::NotOurs(name.to_string()))
    }
}

async fn state(conn: &mut AdminConn, name: &DbName) -> Result<Option<State>, ClusterError> {
    let query = sqlx::query_as(
        "SELECT shobj_description(oid, 'pg_database') AS comment, datallowconn AS open,
                pg_has_role(datdba, 'USAGE') AS own, datconnlimit = -2 AS torn,
                EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a
                        WHERE a.grantee = 0) AS public
         FROM pg_database WHERE datname = $1",
    );
    conn.optional(query.bind(name.as_str())).await
}

async fn closed_to_public(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    match state(conn, name).await? {
        Some(State { public: false, .. }) => Ok(()),
        Some(_) => Err(ClusterError::Unsuitable(format!(
            "the database {name} is still open to PUBLIC after REVOKE"
        ))),
        None => Err(missing(name)),
    }
}

fn missing(name: &DbName) -> ClusterError {
    ClusterError::Refused {
        sqlstate: "3D000".to_owned(),
        message: format!("the database {name} does not exist"),
    }
}

fn comment(name: &DbName, mark: &Mark) -> String {
    // COMMENT takes no bind parameter; a mark holds nothing that a literal would have to escape.
    format!("COMMENT ON DATABASE {name} IS '{mark}'")
}

fn no_public(name: &DbName) -> String {
    format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")
}

fn owner_create(name: &DbName) -> String {
    format!(
        "GRANT CREATE, TEMPORARY ON DATABASE {name} TO {}",
        groups::OWNER
    )
}

fn opening(name: &DbName) -> String {
    format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")
}

fn connect(name: &DbName, logins: &[RoleName]) -> String {
    format!("GRANT CONNECT ON DATABASE {name} TO {}", list_of(logins))
}

fn list_of(names: &[RoleName]) -> String {
    let mut list = String::new();
    for (at, name) in names.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(list, "{}{name}", if at == 0 { "" } else { ", " });
    }
    list
}
