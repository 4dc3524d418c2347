//! The three groups whose members the tenants' logins are.
//!
//! Made once for a cluster. The admin login is a member of these only, never of tenants' logins:
//! on Postgres 15, membership in 20,000 roles makes one `CREATE DATABASE` take 5 seconds.
//!
//! From 16 on, whoever creates a role is its member with ADMIN OPTION and cannot end that. Databases
//! are still cloned in tens of milliseconds then, but each statement on a role grows slower with the number of
//! logins: measured on 18 with 14,500 of them 0.2 to 0.3 seconds, against 1 millisecond with few.

use tenantry_types::RoleName;

use crate::{AdminConn, ClusterError};

/// Owns everything in `public` and `tenantry` of each tenant's database.
pub const OWNER: &str = "tenantry_owner";
/// May read and write tables, and define nothing.
pub const APP: &str = "tenantry_app";
/// May read.
pub const READONLY: &str = "tenantry_readonly";

/// How often a lost race is run again.
const TRIES: u32 = 5;

#[derive(sqlx::FromRow)]
struct Group {
    name: String,
    harmless: bool,
    member: bool,
}

/// Makes the groups where they are missing, and the admin a member of them.
///
/// Two may run at once, also two installations that share a cluster through one admin login.
///
/// # Errors
/// [`ClusterError::Unsuitable`] when a role of that name exists that may log in or has rights of its
/// own, or that this admin may not pass on (Postgres 16 and later let only its creator do so).
pub async fn ensure(conn: &mut AdminConn) -> Result<(), ClusterError> {
    let mut tries = 0;
    loop {
        match step(conn).await {
            // Another session was faster: the role exists by now, or its row is newer than ours.
            Err(ClusterError::Refused { ref sqlstate, .. })
                if tries < TRIES && matches!(sqlstate.as_str(), "42710" | "23505" | "XX000") =>
            {
                tries += 1;
            }
            other => return other,
        }
    }
}

async fn step(conn: &mut AdminConn) -> Result<(), ClusterError> {
    let found = look(conn).await?;
    let mut sql = String::new();
    for name in [OWNER, APP, READONLY] {
        let group = found.iter().find(|group| group.name == name);
        if let Some(group) = group
            && !group.harmless
        {
            return Err(ClusterError::Unsuitable(format!(
                "the role {name} exists and may log in or has attributes of its own; \
                 it must be a plain NOLOGIN group"
            )));
        }
        let name =
            RoleName::parse(name).map_err(|error| ClusterError::Internal(Box::new(error)))?;
        if group.is_none() {
            sql.push_str(&format!("CREATE ROLE {name} NOLOGIN;"));
        }
        if !group.is_some_and(|group| group.member) {
            // On 16 and later the creator of a role gets ADMIN OPTION alone, without the
            // membership's rights, unless createrole_self_grant says otherwise.
            sql.push_str(&format!("GRANT {name} TO CURRENT_USER;"));
        }
    }
    if sql.is_empty() {
        return Ok(());
    }
    conn.run(sql).await?;
    let members = look(conn).await?.iter().filter(|g| g.member).count();
    if members == 3 {
        Ok(())
    } else {
        Err(ClusterError::Unsuitable(format!(
            "the admin login did not become a member of {OWNER}, {APP} and {READONLY}"
        )))
    }
}

/// Drops those of the groups that nothing on the server needs any more, and gives the names of those that stay.
///
/// # Errors
/// When the cluster cannot be asked, or refuses for another reason than that it is needed.
pub async fn remove(conn: &mut AdminConn) -> Result<Vec<&'static str>, ClusterError> {
    let mut left = Vec::new();
    for name in [APP, READONLY, OWNER] {
        let role =
            RoleName::parse(name).map_err(|error| ClusterError::Internal(Box::new(error)))?;
        // What depends on it in any database, its members' databases included, is told by the server.
        match conn.run(format!("DROP ROLE IF EXISTS {role}")).await {
            Ok(_) => {}
            // In use; or another login's, which alone may drop it (16 and later).
            Err(ClusterError::Refused { ref sqlstate, .. })
                if matches!(sqlstate.as_str(), "2BP01" | "42501") =>
            {
                left.push(name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

async fn look(conn: &mut AdminConn) -> Result<Vec<Group>, ClusterError> {
    let query = sqlx::query_as(
        "SELECT rolname::text AS name,
                NOT (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
                     OR rolbypassrls) AS harmless,
                -- USAGE: its rights are in force without SET ROLE. MEMBER: SET ROLE is allowed (14, 15).
                pg_has_role(oid, 'USAGE') AND pg_has_role(oid, 'MEMBER') AS member
         FROM pg_roles WHERE rolname = ANY ($1)",
    );
    conn.all(query.bind([OWNER, APP, READONLY].map(str::to_owned).to_vec()))
        .await
}
