//! What the doctor may put right: rights that should be there or should not, limits, and things of ours
//! that nobody knows, which it shuts and sets aside.
//!
//! Nothing here drops anything, lets in anybody who was shut out, or touches what does not carry the mark that the caller
//! names; the proof stands in each function.

use tenantry_types::{DbName, RoleName};

use crate::alter::{alter, taken};
use crate::fence::end_sessions_in;
use crate::{AdminConn, ClusterError, Mark, databases, groups, logins};

/// Writes the mark on a database of the admin's own that lost it. The caller has seen the identity inside.
///
/// # Errors
/// [`ClusterError::NotOurs`] when another owns it, or it carries a mark already.
pub async fn mark_again(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (Option<String>, bool)>(concat!(
        "SELECT shobj_description(oid, 'pg_database'), ",
        own!("datdba"),
        " AND datconnlimit <> -2
         FROM pg_database WHERE datname = $1"
    ));
    match conn.optional(query.bind(name.as_str().to_owned())).await? {
        Some((comment, true))
            if comment
                .as_deref()
                .is_none_or(|text| text.parse::<Mark>().is_err()) =>
        {
            alter(conn, format!("COMMENT ON DATABASE {name} IS '{mark}'")).await
        }
        _ => Err(ClusterError::NotOurs(name.to_string())),
    }
}

/// Takes a database's limit of connections away.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark.
pub async fn unlimit_database(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    proven(conn, name, mark).await?;
    alter(conn, format!("ALTER DATABASE {name} CONNECTION LIMIT -1")).await
}

/// Shuts everybody out of a database who came in by PUBLIC.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark.
pub async fn revoke_public(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    proven(conn, name, mark).await?;
    databases::revoke_public(conn, name).await
}

/// Gives a database's own login its way in, and the migrations' group its rights.
///
/// # Errors
/// [`ClusterError::NotOurs`] when database or login are not of this mark.
pub async fn grant(
    conn: &mut AdminConn,
    name: &DbName,
    login: Option<&RoleName>,
    mark: &Mark,
) -> Result<(), ClusterError> {
    proven(conn, name, mark).await?;
    match login {
        None => databases::grant_owner_create(conn, name).await,
        Some(login) => {
            carried(conn, login, mark).await?;
            databases::grant_connect(conn, name, std::slice::from_ref(login)).await
        }
    }
}

/// Takes all rights on a database of ours from somebody who should have none.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark.
pub async fn revoke(
    conn: &mut AdminConn,
    name: &DbName,
    from: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    proven(conn, name, mark).await?;
    if from.as_str() == groups::OWNER {
        // What the group is to have stays.
        return alter(
            conn,
            format!("REVOKE CONNECT ON DATABASE {name} FROM {from}"),
        )
        .await;
    }
    alter(conn, format!("REVOKE ALL ON DATABASE {name} FROM {from}")).await
}

/// Closes a template that is open.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark.
pub async fn close(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    proven(conn, name, mark).await?;
    databases::close(conn, name).await?;
    end_sessions_in(conn, name).await
}

/// Sets a login's limit of connections.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it has another mark.
pub async fn limit_login(
    conn: &mut AdminConn,
    name: &RoleName,
    limit: i32,
    mark: &Mark,
) -> Result<(), ClusterError> {
    carried(conn, name, mark).await?;
    alter(conn, format!("ALTER ROLE {name} CONNECTION LIMIT {limit}")).await
}

/// Takes the power to make databases and roles from a login.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it has another mark.
pub async fn disempower(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    carried(conn, name, mark).await?;
    alter(
        conn,
        format!("ALTER ROLE {name} NOCREATEDB NOCREATEROLE INHERIT"),
    )
    .await
}

/// Puts a login into its group.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it has another mark.
pub async fn join_group(
    conn: &mut AdminConn,
    name: &RoleName,
    kind: logins::LoginKind,
    mark: &Mark,
) -> Result<(), ClusterError> {
    carried(conn, name, mark).await?;
    alter(conn, format!("GRANT {} TO {name}", kind.group())).await
}

/// Ends a membership of or in a login of ours.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the login, which `group` or `member` is, has another mark.
pub async fn end_membership(
    conn: &mut AdminConn,
    login: &RoleName,
    group: &RoleName,
    member: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    carried(conn, login, mark).await?;
    alter(conn, format!("REVOKE {group} FROM {member}")).await
}

/// Lets an owner login work as `tenantry_owner` again.
///
/// # Errors
/// [`ClusterError::NotOurs`] when database or login are not of this mark.
pub async fn work_as_owner(
    conn: &mut AdminConn,
    login: &RoleName,
    database: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    proven(conn, database, mark).await?;
    carried(conn, login, mark).await?;
    logins::set_role_in_database(conn, login, database).await
}

/// Closes a database that nobody knows, and gives it another name.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark, [`ClusterError::NameTaken`], and as
/// [`crate::fence::close`].
pub async fn set_aside_database(
    conn: &mut AdminConn,
    name: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    close(conn, name, mark).await?;
    databases::rename(conn, name, to, mark).await
}

/// Shuts a login out that nobody knows, and gives it another name.
///
/// # Errors
/// As [`set_aside_database`].
pub async fn set_aside_login(
    conn: &mut AdminConn,
    name: &RoleName,
    to: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    carried(conn, name, mark).await?;
    crate::fence::expel(conn, std::slice::from_ref(name)).await?;
    alter(conn, format!("ALTER ROLE {name} RENAME TO {to}"))
        .await
        .map_err(|error| taken(error, to.to_string()))
}

/// Shuts logins out and ends their sessions.
///
/// # Errors
/// [`ClusterError::NotOurs`] when one has another mark, and as [`crate::fence::close`].
pub async fn shut_out(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    carried(conn, name, mark).await?;
    crate::fence::expel(conn, std::slice::from_ref(name)).await
}

async fn proven(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (bool,)>(concat!(
        "SELECT ",
        own!("datdba"),
        " AND datconnlimit <> -2
                AND coalesce(shobj_description(oid, 'pg_database') = $2, false)
         FROM pg_database WHERE datname = $1"
    ));
    let query = query.bind(name.as_str().to_owned()).bind(mark.to_string());
    match conn.optional(query).await? {
        Some((true,)) => Ok(()),
        _ => Err(ClusterError::NotOurs(name.to_string())),
    }
}

async fn carried(conn: &mut AdminConn, name: &RoleName, mark: &Mark) -> Result<(), ClusterError> {
    if logins::all_carry(conn, std::slice::from_ref(name), mark).await? {
        Ok(())
    } else {
        Err(ClusterError::NotOurs(name.to_string()))
    }
}
