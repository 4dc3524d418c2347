//! The template that tenants' databases are cloned from.
//!
//! [`build`] makes the empty house: who owns what, who may do what, the place of the identity. The
//! caller then runs the tenant migrations through a builder login and calls [`seal`]; the admin runs
//! none of them. A sealed template is never opened again: a newer one is a clone of it, or built anew.

use tenantry_types::{DbName, RoleName};

use crate::{Admin, AdminConn, ClusterError, Mark, databases, fence, groups, identity, logins};

/// Makes the template `name` and leaves it open for the builder login, who has no right on it yet.
///
/// Repeated after a crash it goes on where it was, unless it was sealed: then nothing happens.
///
/// # Errors
/// [`ClusterError::NotOurs`] when a database of this name has another mark;
/// [`ClusterError::Unsuitable`] on Postgres 14 when `template1` was not prepared.
pub async fn build(
    admin: &Admin,
    name: &DbName,
    mark: &Mark,
    application_name: &str,
) -> Result<(), ClusterError> {
    let mut conn = admin.connect(application_name).await?;
    groups::ensure(&mut conn).await?;
    let query = sqlx::query_as::<_, (i32,)>("SELECT current_setting('server_version_num')::int");
    let (version,) = conn.one(query).await?;
    // Before 15 the schema `public` of template0 belongs to the superuser who made the cluster, and
    // everybody may create in it. A superuser can give that of template1 to us.
    let source = if version >= 150_000 {
        "template0"
    } else {
        "template1"
    };
    let source = DbName::parse(source).map_err(|error| ClusterError::Internal(Box::new(error)))?;
    databases::create_closed(&mut conn, name, &source, mark).await?;
    if !databases::prepare_open(&mut conn, name, mark).await? {
        // Sealed: it is never opened again.
        return Ok(());
    }
    let mut inside = admin.enter(name, application_name).await?;
    let furnished = furnish(&mut inside).await;
    inside.close().await;
    conn.close().await;
    furnished
}

/// Closes the template for good: nobody connects any more, and the builder login is dropped.
///
/// # Errors
/// [`ClusterError::NotOurs`] when database or login have another mark; [`ClusterError::Refused`]
/// when a migration made something that belongs to the builder instead of `tenantry_owner`.
pub async fn seal(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
    builder: &RoleName,
) -> Result<(), ClusterError> {
    if databases::mark_of(conn, name).await? != Some(*mark) {
        return Err(ClusterError::NotOurs(name.to_string()));
    }
    databases::close(conn, name).await?;
    fence::close(conn, name, std::slice::from_ref(builder)).await?;
    databases::revoke_connect(conn, name, std::slice::from_ref(builder)).await?;
    logins::drop(conn, builder, mark).await.map(drop)
}

/// The template's own contents, in one transaction: all of it is there, or nothing.
async fn furnish(inside: &mut AdminConn) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (bool, bool)>(
        "SELECT to_regclass('tenantry_self.identity') IS NOT NULL,
                (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public')",
    );
    match inside.one(query).await? {
        (true, _) => return Ok(()),
        (false, true) => {}
        (false, false) => {
            return Err(ClusterError::Unsuitable(
                "the schema public of template1 does not belong to the database's owner; as a \
                 superuser, in template1: ALTER SCHEMA public OWNER TO pg_database_owner"
                    .to_owned(),
            ));
        }
    }
    let (owner, app, readonly) = (groups::OWNER, groups::APP, groups::READONLY);
    let house = house(&guests(inside).await?);
    let defaults = default_privileges("public, tenantry");
    let sql = format!(
        "ALTER SCHEMA public OWNER TO {owner};
         REVOKE ALL ON SCHEMA public FROM PUBLIC;
         GRANT USAGE ON SCHEMA public TO {app}, {readonly};
         {house};
         {defaults}"
    );
    inside.run(sql).await.map_err(unsound)?;
    closed(inside).await
}

/// Who would get a right on whatever the admin makes in this database, by default privileges; empty is everybody.
pub(crate) async fn guests(inside: &mut AdminConn) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END
         FROM pg_default_acl d, aclexplode(d.defaclacl) a
         WHERE d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
           AND d.defaclobjtype IN ('r', 'n') AND a.grantee <> d.defaclrole ORDER BY 1",
    );
    let rows = inside.all(query).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// The schemas that are ours in each database of a tenant, with the empty identity; [`guests`] get nothing of it.
///
/// The identity has SELECT for the tenant's logins and nothing else: REFERENCES or TRIGGER would let them
/// have code run when the admin writes it. The last statement fails ([`unsound`]) where that is not so.
pub(crate) fn house(guests: &[String]) -> String {
    let (owner, app, readonly) = (groups::OWNER, groups::APP, groups::READONLY);
    let mut out = String::new();
    for guest in guests {
        let guest = match guest.as_str() {
            "" => "PUBLIC".to_owned(),
            name => format!("\"{}\"", name.replace('"', "\"\"")),
        };
        out.push_str(&format!(
            "REVOKE ALL ON SCHEMA tenantry_self FROM {guest};
             REVOKE ALL ON TABLE tenantry_self.identity FROM {guest};"
        ));
    }
    let sound = identity::sound();
    format!(
        "CREATE SCHEMA tenantry AUTHORIZATION {owner};
         GRANT USAGE ON SCHEMA tenantry TO {app}, {readonly};
         CREATE SCHEMA tenantry_self;
         CREATE TABLE tenantry_self.identity (
             is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
             installation  uuid NOT NULL,
             database_id   uuid NOT NULL,
             epoch         bigint NOT NULL
         );
         {out}
         GRANT USAGE ON SCHEMA tenantry_self TO {owner}, {app}, {readonly};
         GRANT SELECT ON tenantry_self.identity TO {owner}, {app}, {readonly};
         {sound}"
    )
}

/// What a proof's failure means.
pub(crate) fn unsound(error: ClusterError) -> ClusterError {
    match error {
        ClusterError::Refused { sqlstate, .. } if sqlstate == identity::UNSOUND => {
            ClusterError::Unsuitable(
                "others than the tenant's logins have rights on the identity in this database, or it has triggers or rules"
                    .to_owned(),
            )
        }
        other => other,
    }
}

/// Who may use what migrations make in these schemas.
pub(crate) fn default_privileges(schemas: &str) -> String {
    let (owner, app, readonly) = (groups::OWNER, groups::APP, groups::READONLY);
    format!(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schemas}
             GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schemas}
             GRANT USAGE, SELECT ON SEQUENCES TO {app};
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schemas}
             GRANT SELECT ON TABLES TO {readonly};
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schemas}
             GRANT SELECT ON SEQUENCES TO {readonly}"
    )
}

/// Asks Postgres whether it holds, as a REVOKE without the right to revoke only warns.
async fn closed(inside: &mut AdminConn) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (bool,)>(
        "SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
                        WHERE n.nspname IN ('public', 'tenantry', 'tenantry_self') AND a.grantee = 0)",
    );
    match inside.one(query).await? {
        (false,) => Ok(()),
        (true,) => Err(ClusterError::Unsuitable(
            "a schema of the template is still open to PUBLIC".to_owned(),
        )),
    }
}
