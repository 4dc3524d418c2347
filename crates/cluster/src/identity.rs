//! The identity in a tenant's database: which database this is, and its epoch.
//!
//! The only thing that an admin session writes or reads inside a tenant's database. The table belongs to the
//! admin and gives others SELECT alone, so that nobody can hang a trigger, a rule or a foreign key
//! on it: no code but Postgres's own runs here. A tenant reads it through `tenantdb::identity`.

use sqlx::Row;
use tenantry_types::{DatabaseId, InstallationId};

use crate::template::unsound;
use crate::{AdminConn, ClusterError, groups};

/// What [`sound`] fails with: division by zero.
pub(crate) const UNSOUND: &str = "22012";

/// A statement that fails unless the identity is the admin's own plain table (a former admin login's, where the present one
/// may work as that), on which the tenant's groups may SELECT and nobody anything else, and nothing hangs that would run
/// when it is written.
pub(crate) fn sound() -> String {
    let [owner, app, readonly] = [groups::OWNER, groups::APP, groups::READONLY];
    let only = |acl: &str, kind: char, holder: &str, right: &str| {
        format!(
            "NOT EXISTS (SELECT FROM aclexplode(coalesce({acl}, acldefault('{kind}', {holder}))) AS a
                         WHERE a.grantee <> {holder}
                           AND (a.grantee = 0 OR a.privilege_type <> '{right}' OR a.is_grantable
                                OR pg_get_userbyid(a.grantee) NOT IN ('{owner}', '{app}', '{readonly}')))"
        )
    };
    format!(
        "SELECT 1 / count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'tenantry_self' AND c.relname = 'identity' AND c.relkind = 'r' AND NOT c.relispartition
           AND NOT c.relrowsecurity
           AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid)
           AND NOT EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid)
           AND NOT EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhparent, h.inhrelid))
           AND c.relowner = n.nspowner AND pg_has_role(c.relowner, 'USAGE')
           AND pg_get_userbyid(c.relowner) NOT IN ('{owner}', '{app}', '{readonly}')
           AND coalesce(shobj_description(c.relowner, 'pg_authid') NOT LIKE 'tenantry:%', true)
           AND {} AND {}
           AND NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attacl IS NOT NULL)",
        only("c.relacl", 'r', "c.relowner", "SELECT"),
        only("n.nspacl", 'n', "n.nspowner", "USAGE"),
    )
}

/// Writes the identity, or its new epoch, into the database that `conn` has entered.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the identity there is another database's.
pub async fn write(
    conn: &mut AdminConn,
    installation: InstallationId,
    database: DatabaseId,
    epoch: i64,
) -> Result<(), ClusterError> {
    write_over(conn, installation, database, database, epoch).await
}

/// Gives a clone its own identity in place of its template's.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the identity there is neither the template's nor its own already.
pub async fn replace(
    conn: &mut AdminConn,
    installation: InstallationId,
    template: DatabaseId,
    database: DatabaseId,
    epoch: i64,
) -> Result<(), ClusterError> {
    write_over(conn, installation, template, database, epoch).await
}

/// An identity as the admin finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The installation that it names.
    pub installation: InstallationId,
    /// The database that it names.
    pub database: DatabaseId,
    /// Its epoch.
    pub epoch: i64,
}

/// Reads the identity of the database that `conn` has entered; none where there is none that the admin
/// wrote. What lies in its place and is not the admin's own table is not read: it could be a view, and
/// would run with the admin's rights.
///
/// # Errors
/// When the database cannot be asked.
pub async fn read(conn: &mut AdminConn) -> Result<Option<Found>, ClusterError> {
    // The database's owner is the admin, by whatever login it works, and no tenant: what he owns nobody
    // else can put something in the place of.
    let safe = sqlx::query_as::<_, (bool,)>(concat!(
        "SELECT EXISTS (
             SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'tenantry_self' AND c.relname = 'identity' AND c.relkind = 'r'
               AND NOT c.relrowsecurity AND NOT c.relhasrules
               AND (c.relowner, n.nspowner) = (SELECT datdba, datdba FROM pg_database
                                               WHERE datname = current_database() AND ",
        own!("datdba"),
        "))"
    ));
    if !conn.one(safe).await?.0 {
        return Ok(None);
    }
    let query = sqlx::query_as::<_, (uuid::Uuid, uuid::Uuid, i64)>(
        "SELECT installation, database_id, epoch FROM tenantry_self.identity LIMIT 2",
    );
    let rows = conn.all(query).await?;
    let [(installation, database, epoch)] = rows[..] else {
        return Ok(None);
    };
    Ok(Some(Found {
        installation: installation.into(),
        database: database.into(),
        epoch,
    }))
}

async fn write_over(
    conn: &mut AdminConn,
    installation: InstallationId,
    former: DatabaseId,
    database: DatabaseId,
    epoch: i64,
) -> Result<(), ClusterError> {
    // The lock is the one that making a trigger or a rule takes: what is proven holds until the row is written.
    let sound = sound();
    let sql = format!(
        "LOCK TABLE tenantry_self.identity IN SHARE ROW EXCLUSIVE MODE;
         {sound};
         INSERT INTO tenantry_self.identity AS i (is_only, installation, database_id, epoch)
         VALUES (true, '{installation}', '{database}', {epoch})
         ON CONFLICT (is_only) DO UPDATE
         SET database_id = excluded.database_id, epoch = excluded.epoch
         WHERE i.installation = excluded.installation
           AND i.database_id IN (excluded.database_id, '{former}')
         RETURNING i.epoch AS written"
    );
    let rows = conn.run(sql).await.map_err(unsound)?;
    let written = rows
        .iter()
        .find(|row| row.try_get::<i64, _>("written").is_ok());
    match written {
        Some(_) => Ok(()),
        None => Err(ClusterError::NotOurs(
            "the identity in this database".to_owned(),
        )),
    }
}
