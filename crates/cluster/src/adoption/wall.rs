//! The shared side of an adoption: owner, rights, comment and limit of the database, and who is in it.

use tenantry_types::DbName;

use super::{Consent, Former, UNPROVEN, gone, grantee, join, literal, quoted, regrant};
use crate::alter::alter;
use crate::fence::end_sessions_in;
use crate::{AdminConn, ClusterError, Mark, databases, groups};

/// Makes the database the admin's, marks it and walls it off, then ends the sessions in it. What is there must
/// be as `former` has it; done before, only the sessions are ended.
///
/// # Errors
/// [`ClusterError::Unsuitable`] when the database was changed since it was looked at, or PUBLIC keeps a right;
/// [`ClusterError::StillConnected`] when a session is in it and `consent` does not let us end it, or does not end.
pub async fn take(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
    former: &Former,
    consent: &Consent,
) -> Result<(), ClusterError> {
    if databases::mark_of(conn, name).await? != Some(*mark) {
        // Else they come with a cluster's first template.
        groups::ensure(conn).await?;
        join(conn, former).await?;
        let mut sql = vec![proof(name, former)];
        sql.push(format!("ALTER DATABASE {name} OWNER TO CURRENT_USER"));
        sql.push(format!("COMMENT ON DATABASE {name} IS '{mark}'"));
        let mut holders: Vec<&str> = former.grants.iter().map(|g| g.grantee.as_str()).collect();
        holders.push("");
        holders.sort_unstable();
        holders.dedup();
        for holder in holders.into_iter().filter(|one| *one != former.owner) {
            sql.push(format!(
                "REVOKE ALL ON DATABASE {name} FROM {}",
                grantee(holder)
            ));
        }
        sql.push(format!("GRANT ALL ON DATABASE {name} TO CURRENT_USER"));
        sql.push(format!(
            "GRANT CREATE, TEMPORARY ON DATABASE {name} TO {}",
            groups::OWNER
        ));
        sql.push(format!("ALTER DATABASE {name} CONNECTION LIMIT -1"));
        sql.push(walled(name));
        match alter(conn, sql.join(";")).await {
            Err(ClusterError::Refused { sqlstate, .. }) if sqlstate == UNPROVEN => {
                return Err(ClusterError::Unsuitable(format!(
                    "the database {name} was changed while it was being taken over"
                )));
            }
            done => done?,
        }
    }
    if consent.disconnect {
        end_sessions_in(conn, name).await?;
    }
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT count(*) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
         WHERE a.datname = $1 AND NOT r.rolsuper
           AND NOT (r.rolname = current_user AND starts_with(a.application_name, 'tenantry/'))",
    );
    match conn.one(query.bind(name.as_str().to_owned())).await? {
        (0,) => Ok(()),
        (count,) => Err(ClusterError::StillConnected { count }),
    }
}

/// Fails unless the database is as it was when `former` was written.
fn proof(name: &DbName, former: &Former) -> String {
    let or_null = |text: &Option<String>| text.as_deref().map_or("NULL".to_owned(), literal);
    format!(
        "SELECT 1 / count(*) FROM pg_database
         WHERE datname = '{}' AND pg_get_userbyid(datdba) ={} AND datconnlimit = {}
           AND datallowconn AND NOT datistemplate
           AND datacl::text IS NOT DISTINCT FROM {}
           AND shobj_description(oid, 'pg_database') IS NOT DISTINCT FROM {}",
        name.as_str(),
        literal(&former.owner),
        former.connection_limit,
        or_null(&former.acl),
        or_null(&former.comment),
    )
}

/// Fails where somebody but the admin and the migrations' group has a right: a REVOKE without the right to it only warns.
fn walled(name: &DbName) -> String {
    format!(
        "SELECT 1 / count(*) FROM pg_database
         WHERE datname = '{}' AND NOT EXISTS (
           SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a
           WHERE a.grantee <> datdba AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) <> '{}'))",
        name.as_str(),
        groups::OWNER,
    )
}

/// Gives the database back to its former owner with the rights, comment and limit that it had. Its logins must be
/// gone. Done before, nothing happens.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is neither of this mark nor its former owner's.
pub async fn give_back(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
    former: &Former,
) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (String, bool, Option<String>, Vec<String>)>(
        "SELECT pg_get_userbyid(d.datdba)::text, pg_has_role(d.datdba, 'USAGE'),
                shobj_description(d.oid, 'pg_database'),
                ARRAY(SELECT DISTINCT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END
                      FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)
         FROM pg_database d WHERE d.datname = $1",
    );
    let found = conn.optional(query.bind(name.as_str().to_owned())).await?;
    let (owner, own, comment, holders) = found.ok_or_else(|| gone(name))?;
    if comment.as_deref() != Some(mark.to_string().as_str()) || !own {
        // Not taken: by whose hand its comment is another one by now is nothing of ours.
        return if owner == former.owner {
            leave(conn, former).await
        } else {
            Err(ClusterError::NotOurs(name.to_string()))
        };
    }
    join(conn, former).await?;
    let object = format!("DATABASE {name}");
    let mut sql: Vec<String> = holders
        .iter()
        .map(|holder| format!("REVOKE ALL ON {object} FROM {}", grantee(holder)))
        .collect();
    sql.push(format!(
        "ALTER DATABASE {name} CONNECTION LIMIT {}",
        former.connection_limit
    ));
    let comment = former.comment.as_deref().map_or("NULL".to_owned(), literal);
    sql.push(format!("COMMENT ON DATABASE {name} IS {comment}"));
    sql.push(format!(
        "ALTER DATABASE {name} OWNER TO {}",
        quoted(&former.owner)
    ));
    let now = [former.owner.clone()];
    sql.extend(regrant(conn, &object, &now, &former.grants).await?);
    sql.extend(leaving(former));
    alter(conn, sql.join(";")).await
}

/// The admin works as the former owner no longer, where it could not before.
///
/// # Errors
/// When the cluster refuses.
pub async fn leave(conn: &mut AdminConn, former: &Former) -> Result<(), ClusterError> {
    match leaving(former) {
        Some(sql) => alter(conn, sql).await,
        None => Ok(()),
    }
}

fn leaving(former: &Former) -> Option<String> {
    (!former.admin_was_member)
        .then(|| format!("REVOKE {} FROM CURRENT_USER", quoted(&former.owner)))
}
