//! The inside of an adoption: who owns what, who may use it, and what is ours.
//!
//! Each of both directions is one transaction: all of it is there, or nothing.

use tenantry_types::{DatabaseId, InstallationId};

use super::{Consent, Former, UNPROVEN, contents, join, literal, look, quoted, regrant, roles};
use crate::identity;
use crate::template::{default_privileges, guests, house, unsound};
use crate::{AdminConn, ClusterError, Mark, groups};

/// Something in the database that has an owner, or a right on it.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Thing {
    /// The system catalog that it stands in.
    class: String,
    /// What Postgres calls its kind.
    kind: String,
    /// Its name, as a statement takes it.
    identity: String,
    /// The schema that it lies in.
    schema: Option<String>,
    /// Who owns it, or has a right on it.
    role: String,
    /// Whether its owner follows another thing's: a sequence of a column.
    follows: bool,
    /// Whether everybody may use it.
    public: bool,
}

/// Gives all that the former owner has in the database to `tenantry_owner`, lets the groups use it, and writes what is
/// ours: the two schemas, and the identity. `inside` is in the database, which must be walled off.
///
/// # Errors
/// [`ClusterError::NotOurs`] when another identity is there, [`ClusterError::Unsuitable`] when it was changed since it was
/// looked at, [`ClusterError::Refused`] when something cannot be given; nothing was changed then.
pub async fn furnish(
    conn: &mut AdminConn,
    inside: &mut AdminConn,
    mark: &Mark,
    epoch: i64,
    former: &Former,
    consent: &Consent,
) -> Result<(), ClusterError> {
    if is_furnished(inside, mark).await? {
        return Ok(());
    }
    // Behind the wall nobody changes it any more; until there somebody could.
    let mut now = former.clone();
    let refusals = contents(inside, &mut now, consent).await?;
    if let Some(refusal) = refusals.first() {
        return Err(ClusterError::Unsuitable(refusal.to_string()));
    }
    if (&now.schemas, &now.code) != (&former.schemas, &former.code) {
        return Err(ClusterError::Unsuitable(
            "the database's schemas or functions were changed while it was being taken over"
                .to_owned(),
        ));
    }
    groups::ensure(conn).await?;
    join(conn, former).await?;
    let (owner, app, readonly) = (groups::OWNER, groups::APP, groups::READONLY);
    let things = things(inside, 'o', std::slice::from_ref(&former.owner)).await?;
    let mut sql = Vec::new();
    for schema in &former.schemas {
        let name = quoted(&schema.name);
        let lost = match schema.name.as_str() {
            "public" => "ALL",
            _ => "CREATE",
        };
        sql.push(format!("ALTER SCHEMA {name} OWNER TO {owner}"));
        sql.push(format!("REVOKE {lost} ON SCHEMA {name} FROM PUBLIC"));
        sql.push(format!("GRANT USAGE ON SCHEMA {name} TO {app}, {readonly}"));
    }
    for thing in &things {
        sql.extend(thing.to_owner(owner)?);
    }
    for thing in &things {
        sql.extend(thing.for_use());
    }
    sql.push(house(&guests(inside).await?));
    let schemas = former.schemas.iter().map(|schema| quoted(&schema.name));
    let schemas: Vec<String> = schemas.chain(["tenantry".to_owned()]).collect();
    sql.push(default_privileges(&schemas.join(", ")));
    sql.push(format!(
        "INSERT INTO tenantry_self.identity (installation, database_id, epoch) VALUES ('{}', '{}', {epoch})",
        mark.installation, mark.database,
    ));
    inside.run(sql.join(";")).await.map_err(unsound).map(drop)
}

/// What keeps the database from being given back as it was; each a sentence's part that says what to do. Asked before
/// anything is changed, so that the tenant goes on being served.
///
/// # Errors
/// When the cluster or the database cannot be asked, or another identity is there.
pub async fn held_by(
    conn: &mut AdminConn,
    inside: &mut AdminConn,
    mark: &Mark,
    former: &Former,
) -> Result<Vec<String>, ClusterError> {
    let owner = &former.owner;
    if roles(conn, std::slice::from_ref(owner)).await?.is_empty() {
        return Ok(vec![format!(
            "the role {owner}, which owned the database, is no more: make it again"
        )]);
    }
    let mut held = Vec::new();
    let is_admin = conn.admin().login().as_str() == owner;
    if !is_admin && let Some(powers) = look::powers(conn, owner).await? {
        held.push(format!(
            "the role {owner}, which owned the database, {powers}, and would own what the tenant wrote: take that from it"
        ));
    }
    if !look::is_in_reach(conn, owner).await? {
        held.push(format!(
            "the cluster's admin login may no longer work as the role {owner}: as a superuser, GRANT it to the admin login"
        ));
    }
    if !is_furnished(inside, mark).await? {
        return Ok(held);
    }
    let needing = needing(inside).await?.into_iter();
    held.extend(needing.map(|thing| format!("{thing} needs tables of Tenantry's: drop it")));
    for bond in bonds(inside, &ours(conn, mark).await?).await? {
        held.extend(bond.holds());
    }
    for one in strangers(inside, former).await? {
        held.push(format!(
            "the routine {} is SECURITY DEFINER and was made or changed since the database was adopted, and would run \
             with the rights of {owner}: drop it, or make it SECURITY INVOKER",
            one.identity
        ));
    }
    if let Some((relations, most)) = look::too_large(inside).await? {
        held.push(format!(
            "it has {relations} tables, indexes and the like, and with its settings the server can lock {most} at once: \
             raise max_locks_per_transaction"
        ));
    }
    Ok(held)
}

/// What lies outside of our schema and needs something in it: it would go with the schema.
async fn needing(inside: &mut AdminConn) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT DISTINCT i.type || ' ' || i.identity
         FROM pg_depend d
         CROSS JOIN LATERAL pg_identify_object(d.refclassid, d.refobjid, 0) AS r
         CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
         WHERE d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_constraint'::regclass)
           AND d.deptype IN ('n', 'a') AND d.refobjid >= 16384
           AND (r.schema = 'tenantry' OR r.identity ~ ' on tenantry[.]')
           AND coalesce(i.schema, '') NOT IN ('tenantry', 'pg_toast')
           AND i.identity !~ ' (on|for) tenantry[.]' AND i.identity !~ '^for tenantry[.]'
         ORDER BY 1 LIMIT 10",
    );
    let rows = inside.all(query).await?;
    Ok(rows.into_iter().map(|(text,)| text).collect())
}

/// Something outside of our schemas that names a role of ours.
#[derive(sqlx::FromRow)]
struct Bond {
    class: String,
    kind: String,
    identity: String,
    role: String,
    /// How, as `pg_shdepend` says it: its owner, its rights, a policy's role.
    how: String,
    /// Whether it belongs to an extension.
    member: bool,
}

impl Bond {
    /// What is to be done with it, where we cannot take the role out of it.
    fn holds(&self) -> Option<String> {
        let Self {
            class,
            kind,
            identity,
            role,
            how,
            member,
        } = self;
        let thing = Thing::of(class, kind, identity, role);
        match how.as_str() {
            "o" if class == "pg_extension" => Some(format!(
                "the extension {identity} was made since the database was adopted, and an extension changes its owner \
                 never: drop it, and make it again afterwards"
            )),
            "o" if *member => Some(format!(
                "{kind} {identity} belongs to an extension and to {role}: drop that extension"
            )),
            "o" if thing.word().is_none() => Some(format!(
                "{kind} {identity} cannot be given to another owner: drop it"
            )),
            "a" if thing.out_of_use().is_none() => Some(format!(
                "{role} has a right on {kind} {identity}: revoke it"
            )),
            "o" | "a" => None,
            _ => Some(format!("{kind} {identity} names {role}: drop it")),
        }
    }
}

/// What names a role of ours; all of it but default privileges, which go by themselves.
async fn bonds(inside: &mut AdminConn, ours: &[String]) -> Result<Vec<Bond>, ClusterError> {
    let query = sqlx::query_as::<_, Bond>(
        "SELECT DISTINCT s.classid::regclass::text AS class, i.type AS kind, i.identity, r.rolname::text AS role,
                s.deptype::text AS how,
                EXISTS (SELECT FROM pg_depend e WHERE e.classid = s.classid AND e.objid = s.objid AND e.deptype = 'e') AS member
         FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
         CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, 0) AS i
         WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY ($1)
           AND s.classid <> 'pg_default_acl'::regclass
           AND coalesce(i.schema, '') NOT IN ('tenantry', 'tenantry_self')
           AND NOT (s.classid = 'pg_namespace'::regclass AND i.identity IN ('tenantry', 'tenantry_self'))
           AND i.identity !~ ' on tenantry(_self)?[.]'
         ORDER BY 1, 3, 4",
    );
    inside.all(query.bind(ours.to_vec())).await
}

/// The routines that run with their owner's rights and were not there, or not so, when the database was adopted.
async fn strangers(
    inside: &mut AdminConn,
    former: &Former,
) -> Result<Vec<look::Definer>, ClusterError> {
    let mut found = look::definers(inside).await?;
    found.retain(|one| !former.code.contains(&one.code));
    Ok(found)
}

/// The groups, and the logins of this mark.
async fn ours(conn: &mut AdminConn, mark: &Mark) -> Result<Vec<String>, ClusterError> {
    let groups = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    let logins = logins_of(conn, mark).await?;
    Ok(groups.into_iter().chain(logins).collect())
}

/// Fails while a role of ours owns something in the database, or is named by something: its rights there would be
/// those of every tenant's logins.
fn released(ours: &[String]) -> String {
    let ours: Vec<String> = ours.iter().map(|role| literal(role)).collect();
    format!(
        "SELECT 1 / (NOT EXISTS (
           SELECT FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
           WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND s.refclassid = 'pg_authid'::regclass AND r.rolname IN ({})))::int",
        ours.join(", ")
    )
}

/// Takes out what is ours and gives all else back to the former owner, what was made since then too; schemas get
/// the rights that they had. Done before, nothing happens.
///
/// # Errors
/// [`ClusterError::NotOurs`] when another identity is there; [`ClusterError::Unsuitable`] when something outside needs what would go.
/// Nothing was changed then.
pub async fn unfurnish(
    conn: &mut AdminConn,
    inside: &mut AdminConn,
    mark: &Mark,
    former: &Former,
) -> Result<(), ClusterError> {
    if !is_furnished(inside, mark).await? {
        return Ok(());
    }
    let needing = needing(inside).await?;
    if !needing.is_empty() {
        return Err(ClusterError::Unsuitable(format!(
            "these need tables of Tenantry's and would go with them: {}",
            needing.join(", ")
        )));
    }
    let ours = ours(conn, mark).await?;
    let holds: Vec<String> = bonds(inside, &ours)
        .await?
        .iter()
        .filter_map(Bond::holds)
        .collect();
    if !holds.is_empty() {
        return Err(ClusterError::Unsuitable(holds.join("; ")));
    }
    join(conn, former).await?;
    let logins = logins_of(conn, mark).await?;
    let is_ours = |schema: &str| matches!(schema, "tenantry" | "tenantry_self");
    let foreign = |thing: &Thing| match thing.class.as_str() {
        "pg_namespace" => !is_ours(&thing.identity),
        _ => !thing.schema.as_deref().is_some_and(is_ours),
    };
    let mut owned = things(inside, 'o', &ours).await?;
    owned.retain(foreign);
    let mut used = things(inside, 'a', &ours).await?;
    used.retain(foreign);
    let (schemas, others): (Vec<&Thing>, Vec<&Thing>) = owned
        .iter()
        .partition(|thing| thing.class == "pg_namespace");

    // What a login made is its own, as a large object is, and so are its default privileges; the admin is a member of
    // no login but here.
    let settled = settlers(inside, &logins).await?;
    let makers: Vec<&String> = logins
        .iter()
        .filter(|login| owned.iter().any(|thing| thing.role == **login) || settled.contains(login))
        .collect();
    let mut sql = Vec::new();
    let options = membership(inside).await?;
    for maker in &makers {
        sql.push(format!("GRANT {} TO CURRENT_USER{options}", quoted(maker)));
    }
    sql.push("DROP SCHEMA tenantry CASCADE".to_owned());
    sql.push("DROP TABLE tenantry_self.identity".to_owned());
    sql.push("DROP SCHEMA tenantry_self".to_owned());
    sql.extend(defaults(inside, &ours).await?);
    // Whoever asked was told; what was made after that, until the tenant was shut out, must not get the owner's rights.
    for one in strangers(inside, former).await? {
        tracing::warn!(
            routine = one.identity,
            "a routine of an adopted database loses SECURITY DEFINER"
        );
        sql.push(format!("ALTER ROUTINE {} SECURITY INVOKER", one.identity));
    }
    let owner = quoted(&former.owner);
    for thing in schemas.iter().chain(&others) {
        sql.extend(thing.to_owner(&owner)?);
    }
    for thing in &used {
        sql.extend(thing.out_of_use());
    }
    let existing: Vec<&str> = schemas
        .iter()
        .map(|thing| thing.identity.as_str())
        .collect();
    for schema in &former.schemas {
        let name = quoted(&schema.name);
        if !existing
            .iter()
            .any(|found| *found == name || *found == schema.name)
        {
            continue;
        }
        if schema.owner != former.owner
            && !roles(inside, std::slice::from_ref(&schema.owner))
                .await?
                .is_empty()
        {
            sql.push(format!(
                "ALTER SCHEMA {name} OWNER TO {}",
                quoted(&schema.owner)
            ));
        }
        let mut now = holders(inside, &schema.name).await?;
        now.retain(|holder| !ours.contains(holder));
        now.push(schema.owner.clone());
        sql.extend(regrant(inside, &format!("SCHEMA {name}"), &now, &schema.grants).await?);
    }
    for maker in &makers {
        sql.push(format!("REVOKE {} FROM CURRENT_USER", quoted(maker)));
    }
    sql.push(released(&ours));
    match inside.run(sql.join(";")).await {
        Err(ClusterError::Refused { sqlstate, .. }) if sqlstate == UNPROVEN => {
            Err(ClusterError::Unsuitable(
                "roles of Tenantry's would keep something in the database".to_owned(),
            ))
        }
        done => done.map(drop),
    }
}

/// Whether what is ours is there.
async fn is_furnished(inside: &mut AdminConn, mark: &Mark) -> Result<bool, ClusterError> {
    let there =
        sqlx::query_as::<_, (bool,)>("SELECT to_regclass('tenantry_self.identity') IS NOT NULL");
    if !inside.one(there).await?.0 {
        return Ok(false);
    }
    let same = |installation: InstallationId, database: DatabaseId| {
        (installation, database) == (mark.installation, mark.database)
    };
    match identity::read(inside).await? {
        Some(found) if same(found.installation, found.database) => Ok(true),
        _ => Err(ClusterError::NotOurs(
            "the identity in this database".to_owned(),
        )),
    }
}

/// What these roles own (`o`) or may use (`a`) in the database. What belongs to an extension stays with its owner.
async fn things(
    inside: &mut AdminConn,
    how: char,
    roles: &[String],
) -> Result<Vec<Thing>, ClusterError> {
    let query = sqlx::query_as::<_, Thing>(
        "SELECT s.classid::regclass::text AS class, i.type AS kind, i.identity, i.schema, r.rolname::text AS role,
                (s.classid = 'pg_class'::regclass AND i.type = 'sequence'
                 AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid
                             AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
                OR (s.classid = 'pg_type'::regclass AND current_setting('server_version_num')::int >= 170000
                    AND EXISTS (SELECT FROM pg_type t WHERE t.oid = s.objid AND t.typtype = 'm')) AS follows,
                EXISTS (SELECT FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                        WHERE s.classid = 'pg_proc'::regclass AND p.oid = s.objid AND a.grantee = 0)
                OR EXISTS (SELECT FROM pg_type t, aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a
                           WHERE s.classid = 'pg_type'::regclass AND t.oid = s.objid AND a.grantee = 0) AS public
         FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
         CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, 0) AS i
         WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND s.refclassid = 'pg_authid'::regclass AND s.deptype::text = $1 AND r.rolname = ANY ($2)
           AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_extension'::regclass)
           AND (s.deptype = 'a' OR NOT EXISTS (
                SELECT FROM pg_depend e WHERE e.classid = s.classid AND e.objid = s.objid AND e.deptype = 'e'))
         ORDER BY s.classid, s.objid",
    );
    inside
        .all(query.bind(how.to_string()).bind(roles.to_vec()))
        .await
}

impl Thing {
    fn of(class: &str, kind: &str, identity: &str, role: &str) -> Self {
        Self {
            class: class.to_owned(),
            kind: kind.to_owned(),
            identity: identity.to_owned(),
            schema: None,
            role: role.to_owned(),
            follows: false,
            public: false,
        }
    }

    /// What ALTER … OWNER TO calls it; none where that does not do it.
    fn word(&self) -> Option<&'static str> {
        Some(match self.class.as_str() {
            "pg_class" => "TABLE",
            "pg_proc" => "ROUTINE",
            "pg_type" => "TYPE",
            "pg_namespace" => "SCHEMA",
            "pg_largeobject" => "LARGE OBJECT",
            "pg_collation" => "COLLATION",
            "pg_operator" => "OPERATOR",
            "pg_opclass" => "OPERATOR CLASS",
            "pg_opfamily" => "OPERATOR FAMILY",
            "pg_conversion" => "CONVERSION",
            "pg_ts_config" => "TEXT SEARCH CONFIGURATION",
            "pg_ts_dict" => "TEXT SEARCH DICTIONARY",
            "pg_statistic_ext" => "STATISTICS",
            _ => return None,
        })
    }

    /// The statement that gives it to another role; none where it follows what it belongs to.
    fn to_owner(&self, owner: &str) -> Result<Option<String>, ClusterError> {
        if self.follows {
            return Ok(None);
        }
        let word = self.word().ok_or_else(|| {
            ClusterError::Unsuitable(format!(
                "{} {} cannot be given to another owner",
                self.kind, self.identity
            ))
        })?;
        Ok(Some(format!(
            "ALTER {word} {} OWNER TO {owner}",
            self.identity
        )))
    }

    /// The statements that let the groups use it, as they may use what migrations make.
    fn for_use(&self) -> Vec<String> {
        let (app, readonly, it) = (groups::APP, groups::READONLY, &self.identity);
        match (self.class.as_str(), self.kind.as_str()) {
            ("pg_class", "sequence") => vec![
                format!("GRANT USAGE, SELECT ON SEQUENCE {it} TO {app}"),
                format!("GRANT SELECT ON SEQUENCE {it} TO {readonly}"),
            ],
            ("pg_class", _) => vec![
                format!("GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {it} TO {app}"),
                format!("GRANT SELECT ON TABLE {it} TO {readonly}"),
            ],
            ("pg_largeobject", _) => vec![
                format!("GRANT SELECT, UPDATE ON LARGE OBJECT {it} TO {app}"),
                format!("GRANT SELECT ON LARGE OBJECT {it} TO {readonly}"),
            ],
            // The former owner's program could, whoever else could not.
            ("pg_proc", _) if !self.public => {
                vec![format!("GRANT EXECUTE ON ROUTINE {it} TO {app}")]
            }
            ("pg_type", _) if !self.public => {
                vec![format!("GRANT USAGE ON TYPE {it} TO {app}, {readonly}")]
            }
            _ => Vec::new(),
        }
    }

    /// The statement that takes a role's rights on it, and those that the role has passed on.
    fn out_of_use(&self) -> Option<String> {
        let word = match (self.class.as_str(), self.kind.as_str()) {
            ("pg_class", "sequence") => "SEQUENCE",
            ("pg_class", _) => "TABLE",
            ("pg_proc", _) => "ROUTINE",
            ("pg_type", _) => "TYPE",
            ("pg_namespace", _) => "SCHEMA",
            ("pg_largeobject", _) => "LARGE OBJECT",
            _ => return None,
        };
        let role = quoted(&self.role);
        Some(format!(
            "REVOKE ALL ON {word} {} FROM {role} CASCADE",
            self.identity
        ))
    }
}

/// What takes our default privileges away.
async fn defaults(inside: &mut AdminConn, ours: &[String]) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String, Option<String>, String, String)>(
        "SELECT DISTINCT r.rolname::text, n.nspname::text,
                CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
                     WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
         FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole
         LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
         CROSS JOIN LATERAL aclexplode(d.defaclacl) a
         WHERE r.rolname = ANY ($1) AND coalesce(n.nspname, '') NOT IN ('tenantry', 'tenantry_self')
           AND (n.oid IS NOT NULL OR a.grantee <> r.oid)",
    );
    let rows = inside.all(query.bind(ours.to_vec())).await?;
    let statement = |(role, schema, kind, who): (String, Option<String>, String, String)| {
        let within = schema.map_or_else(String::new, |s| format!(" IN SCHEMA {}", quoted(&s)));
        format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {}{within} REVOKE ALL ON {kind} FROM {who}",
            quoted(&role)
        )
    };
    let mut sql: Vec<String> = rows.into_iter().map(statement).collect();
    // What holds in all schemas replaces Postgres's own defaults, and is gone when it is the same as those.
    let query = sqlx::query_as::<_, (String, String)>(
        "SELECT r.rolname::text, d.defaclobjtype::text FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole
         WHERE r.rolname = ANY ($1) AND d.defaclnamespace = 0",
    );
    for (role, kind) in inside.all(query.bind(ours.to_vec())).await? {
        let role = quoted(&role);
        let (kind, everybody) = match kind.as_str() {
            "r" => ("TABLES", None),
            "S" => ("SEQUENCES", None),
            "f" => ("ROUTINES", Some("EXECUTE")),
            "T" => ("TYPES", Some("USAGE")),
            "n" => ("SCHEMAS", None),
            _ => ("LARGE OBJECTS", None),
        };
        let always = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role}");
        sql.push(format!("{always} GRANT ALL ON {kind} TO {role}"));
        sql.extend(everybody.map(|right| format!("{always} GRANT {right} ON {kind} TO PUBLIC")));
    }
    Ok(sql)
}

/// Those of the logins that have default privileges of their own.
async fn settlers(inside: &mut AdminConn, logins: &[String]) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT DISTINCT r.rolname::text FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole
         WHERE r.rolname = ANY ($1)",
    );
    let rows = inside.all(query.bind(logins.to_vec())).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Who has a right on a schema now.
async fn holders(inside: &mut AdminConn, schema: &str) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END
         FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
         WHERE n.nspname = $1",
    );
    let rows = inside.all(query.bind(schema.to_owned())).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// All roles of this mark.
async fn logins_of(conn: &mut AdminConn, mark: &Mark) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT r.rolname::text FROM pg_roles r WHERE shobj_description(r.oid, 'pg_authid') = $1 ORDER BY 1",
    );
    let rows = conn.all(query.bind(mark.to_string())).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// From 16 on whoever creates a role is its member with neither its rights nor the power to become it.
async fn membership(inside: &mut AdminConn) -> Result<&'static str, ClusterError> {
    let query = sqlx::query_as::<_, (i32,)>("SELECT current_setting('server_version_num')::int");
    Ok(match inside.one(query).await? {
        (version,) if version >= 160_000 => " WITH INHERIT TRUE, SET TRUE",
        _ => "",
    })
}
