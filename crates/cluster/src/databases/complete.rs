//! All that makes a fresh clone a database to work with, in one message and one transaction.

use tenantry_types::DbName;

use super::access::{connect, no_public, opening, owner_create, still_public};
use super::comment;
use super::proof::{missing, state};
use crate::alter::{alter, taken};
use crate::names::{self, Logins};
use crate::{AdminConn, ClusterError, Mark, logins};

/// What [`proof`] and [`walled`] let a transaction fail with: division by zero.
const UNPROVEN: &str = "22012";

/// Makes a clone ([`super::clone_closed`]) a database to work with: marks it, shuts out everybody, lets
/// the migrations' group create schemas in it and its three logins ([`names::login_names`] of `from`,
/// made by [`logins::create_all`]) connect, gives it and them the names of `to`, and opens it.
///
/// What is there, and that it is ours, is proven by the transaction itself, as is the wall: it is not
/// open for a moment without one. Where `to` is `from` it may be repeated.
///
/// # Errors
/// [`ClusterError::NotOurs`] when database or logins have another mark, [`ClusterError::NameTaken`]
/// when another database or role has a name of `to`, [`ClusterError::Unsuitable`] when the cluster
/// does not take PUBLIC's rights away. Nothing was changed then.
pub async fn complete(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    let (old, new) = (names::login_names(from), names::login_names(to));
    let mut sql = vec![
        proof(from, &old, mark),
        comment(from, mark),
        no_public(from),
        owner_create(from),
        logins::role_in_database(&old.owner, from),
        connect(from, &old.first()),
        walled(from),
    ];
    if from != to {
        sql.push(format!("ALTER DATABASE {from} RENAME TO {to}"));
        let pairs = old.first().into_iter().zip(new.first());
        sql.extend(pairs.map(|(old, new)| format!("ALTER ROLE {old} RENAME TO {new}")));
    }
    sql.push(opening(to));
    match alter(conn, sql.join(";")).await {
        Err(ClusterError::Refused { sqlstate, .. }) if sqlstate == UNPROVEN => {
            Err(why_unproven(conn, from, mark).await?)
        }
        done => done.map_err(|error| taken(error, to.to_string())),
    }
}

/// Fails unless the database is the one of this mark, or its clone that was not marked yet, as
/// `State::is_ours` has it, and all three logins carry the mark.
fn proof(name: &DbName, logins: &Logins, mark: &Mark) -> String {
    let unmarked = if *name == names::spare(mark.database) {
        "NOT datallowconn"
    } else {
        "false"
    };
    let quoted = logins.first().map(|login| format!("'{}'", login.as_str()));
    let own = own!("datdba");
    format!(
        "SELECT 1 / (
           (SELECT count(*) FROM pg_database
            WHERE datname = '{}' AND {own} AND datconnlimit <> -2
              AND CASE WHEN shobj_description(oid, 'pg_database') IS NULL THEN {unmarked}
                       ELSE shobj_description(oid, 'pg_database') = '{mark}' END)
         * (SELECT count(*) FILTER (WHERE shobj_description(oid, 'pg_authid') = '{mark}') / 3
            FROM pg_roles WHERE rolname IN ({})))",
        name.as_str(),
        quoted.join(", "),
    )
}

/// Fails where PUBLIC has a right on the database: a REVOKE without the right to it only warns.
fn walled(name: &DbName) -> String {
    format!(
        "SELECT 1 / count(*) FROM pg_database
         WHERE datname = '{}' AND NOT EXISTS (
           SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a WHERE a.grantee = 0)",
        name.as_str()
    )
}

async fn why_unproven(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<ClusterError, ClusterError> {
    let Some(found) = state(conn, name).await? else {
        return Ok(missing(name));
    };
    let logins = names::login_names(name).first();
    let ours = found.is_ours(name, mark) && !found.torn;
    Ok(if ours && logins::all_carry(conn, &logins, mark).await? {
        still_public(name)
    } else {
        ClusterError::NotOurs(name.to_string())
    })
}
