//! What a database is like, and what keeps it from being taken over. Changes nothing.

use tenantry_types::{DbName, InstallationId};

use super::{Consent, FORMAT, Former, Grant, Refusal, Schema};
use crate::{AdminConn, ClusterError, Mark, groups, names};

/// How many names a refusal lists.
const LISTED: i64 = 10;

/// What was found from outside.
#[derive(Clone, Debug)]
pub struct Found {
    /// How it is; none where there is no such database.
    pub former: Option<Former>,
    /// What keeps it from being taken over.
    pub refusals: Vec<Refusal>,
    /// Whether the admin may look inside.
    pub can_enter: bool,
    /// How many sessions are open in it.
    pub sessions: i64,
    /// Roles that would lose their rights on it, the owner not among them.
    pub shut_out: Vec<String>,
    /// What keeps nobody from taking it over, and whoever does should know.
    pub warnings: Vec<String>,
}

/// How many relations there are and how many the server can lock at once, where it cannot lock all of them.
pub(super) async fn too_large(inside: &mut AdminConn) -> Result<Option<(i64, i64)>, ClusterError> {
    let query = sqlx::query_as::<_, (i64, i64)>(
        "SELECT count(*),
                current_setting('max_locks_per_transaction')::bigint
                  * (current_setting('max_connections')::bigint
                     + current_setting('max_prepared_transactions')::bigint) / 2
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid >= 16384 AND c.relkind <> 'c'",
    );
    let (relations, most) = inside.one(query).await?;
    Ok((relations > most).then_some((relations, most)))
}

/// A routine that runs with its owner's rights.
pub(super) struct Definer {
    /// Its name, as a statement takes it.
    pub(super) identity: String,
    /// Its name, and a digest of what it does.
    pub(super) code: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    owner: String,
    is_admin: bool,
    is_super: bool,
    is_ours: bool,
    usable: bool,
    grantable: bool,
    template: bool,
    open: bool,
    maintenance: bool,
    may_connect: bool,
    connection_limit: i32,
    encoding: String,
    comment: Option<String>,
    acl: Option<String>,
}

/// Looks from outside.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn shared(
    conn: &mut AdminConn,
    installation: InstallationId,
    name: &str,
    consent: &Consent,
) -> Result<Found, ClusterError> {
    let mut found = Found {
        former: None,
        refusals: Vec::new(),
        can_enter: false,
        sessions: 0,
        shut_out: Vec::new(),
        warnings: Vec::new(),
    };
    let Some(row) = row(conn, name).await? else {
        found.refusals.push(Refusal::NoDatabase(name.to_owned()));
        return Ok(found);
    };
    let refusals = &mut found.refusals;
    match row.comment.as_deref().map(str::parse::<Mark>) {
        Some(Ok(mark)) if mark.installation == installation => {
            refusals.push(Refusal::Taken("this installation"));
        }
        Some(Ok(_)) => refusals.push(Refusal::Taken("another installation of Tenantry")),
        _ => {}
    }
    let system = |why| Refusal::System(name.to_owned(), why);
    if row.maintenance || matches!(name, "postgres" | "template0" | "template1") {
        refusals.push(system("it is the server's own"));
    } else if row.template {
        refusals.push(system("it is a template (datistemplate)"));
    } else if !row.open || row.connection_limit == -2 {
        refusals.push(system("it accepts no connections"));
    }
    if !refusals.is_empty() {
        return Ok(found);
    }
    match DbName::parse(name) {
        Ok(parsed) if name.len() <= 54 && !like_ours(name) => {
            let logins = names::login_names(&parsed).all();
            let taken = crate::logins::present(conn, &logins).await?;
            if !taken.is_empty() {
                let taken = taken.iter().map(|login| login.as_str().to_owned());
                refusals.push(Refusal::LoginsTaken(taken.collect()));
            }
        }
        _ => refusals.push(Refusal::Name(name.to_owned())),
    }
    if let Some(why) = owner(&row) {
        refusals.push(Refusal::Owner(row.owner.clone(), why));
    }
    if !row.is_admin
        && !row.is_super
        && let Some(powers) = powers(conn, &row.owner).await?
    {
        refusals.push(Refusal::Owner(
            row.owner.clone(),
            format!(
                "{powers}: what a tenant writes into its database would get that with it when it is un-adopted; \
                 give the database and what is in it to a plain role"
            ),
        ));
    }
    found.warnings = of_the_owner(conn, name, &row.owner).await?;
    let (hindering, settings) = settings(conn, name).await?;
    let may_enter = hindering.is_empty();
    if !may_enter {
        refusals.push(Refusal::Unsafe(hindering));
    }
    if !settings.is_empty() {
        found.warnings.push(format!(
            "Its settings stay as they are, for its product's sessions: {}.",
            settings.join(", ")
        ));
    }
    if row.encoding != "UTF8" {
        refusals.push(Refusal::Encoding(row.encoding.clone()));
    }
    // Such a setting would hold for the admin's session, too.
    found.can_enter = row.may_connect && may_enter;
    let grants = grants(
        conn,
        "pg_database",
        "datacl",
        "datname",
        'd',
        "datdba",
        name,
    )
    .await?;
    let passed_on = others(&grants, |grant| {
        (grant.grantor != row.owner).then(|| grant.grantor.clone())
    });
    if !passed_on.is_empty() {
        found.refusals.push(Refusal::PassedOn(passed_on));
    }
    let (admin,) = conn
        .one(sqlx::query_as::<_, (String,)>("SELECT current_user::text"))
        .await?;
    found.shut_out = others(&grants, |grant| {
        let one = &grant.grantee;
        (!one.is_empty() && *one != row.owner && *one != admin).then(|| one.clone())
    });
    if !found.shut_out.is_empty() && !consent.shut_out {
        found
            .refusals
            .push(Refusal::OtherLogins(found.shut_out.clone()));
    }
    using(conn, name, consent, &mut found).await?;
    found.former = Some(Former {
        format: FORMAT,
        admin_was_member: row.usable,
        owner: row.owner,
        comment: row.comment,
        connection_limit: row.connection_limit,
        acl: row.acl,
        grants,
        schemas: Vec::new(),
        code: Vec::new(),
    });
    Ok(found)
}

fn like_ours(name: &str) -> bool {
    name.starts_with("tnt_") || name.starts_with("orphan_")
}

fn owner(row: &Row) -> Option<String> {
    if row.is_super {
        return Some(
            "is a superuser; give the database and what is in it to a plain role".to_owned(),
        );
    }
    if row.is_ours {
        return Some("is a role of Tenantry's".to_owned());
    }
    if row.is_admin {
        return Some(
            "is the cluster's admin login: what a tenant writes into its database would be the admin's own code when it \
             is un-adopted; give the database and what is in it to a plain role"
                .to_owned(),
        );
    }
    if !(row.usable || row.grantable) {
        return Some(
            "is a role that the cluster's admin login may not work as; as a superuser: GRANT it to the admin login"
                .to_owned(),
        );
    }
    (!row.may_connect).then(|| {
        "has not let the cluster's admin login connect; GRANT CONNECT to it, or make it a member of the owner".to_owned()
    })
}

/// What a role can do beyond what it owns, by itself or as a member of another; none where it is a plain one. CREATEDB
/// alone leaves it plain: it lets nobody into what others own.
pub(super) async fn powers(
    conn: &mut AdminConn,
    role: &str,
) -> Result<Option<String>, ClusterError> {
    let query = sqlx::query_as::<_, (bool, String, String)>(
        "SELECT p.oid = r.oid, p.rolname::text,
                CASE WHEN p.rolsuper THEN 'is a superuser' WHEN p.rolcreaterole THEN 'has CREATEROLE'
                     WHEN p.rolreplication THEN 'has REPLICATION' WHEN p.rolbypassrls THEN 'has BYPASSRLS'
                     WHEN p.rolname = current_user THEN 'is the cluster''s admin login'
                     ELSE 'reaches out of every database' END
         FROM pg_roles r, pg_roles p
         WHERE r.rolname = $1 AND pg_has_role(r.oid, p.oid, 'MEMBER')
           AND (p.rolsuper OR p.rolcreaterole OR p.rolreplication OR p.rolbypassrls OR p.rolname = current_user
                OR p.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                                 'pg_read_all_data', 'pg_write_all_data', 'pg_signal_backend', 'pg_maintain',
                                 'pg_create_subscription'))
         ORDER BY p.oid <> r.oid, 2 LIMIT 1",
    );
    let found = conn.optional(query.bind(role.to_owned())).await?;
    Ok(found.map(|(itself, name, what)| match itself {
        true => what,
        false => format!("may work as `{name}`, which {what}"),
    }))
}

/// What whoever adopts should know of the owner.
async fn of_the_owner(
    conn: &mut AdminConn,
    name: &str,
    owner: &str,
) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (bool, i64, Option<Vec<String>>)>(
        "SELECT r.rolcreatedb,
                (SELECT count(*) FROM pg_database d WHERE d.datdba = r.oid AND d.datname <> $2),
                (SELECT array_agg(o.datname::text) FROM (SELECT datname FROM pg_database d
                 WHERE d.datdba = r.oid AND d.datname <> $2 ORDER BY 1 LIMIT $3) o)
         FROM pg_roles r WHERE r.rolname = $1",
    );
    let query = query.bind(owner.to_owned()).bind(name.to_owned());
    let (may_create, others, names) = conn.one(query.bind(LISTED)).await?;
    let mut warnings = Vec::new();
    if others > 0 {
        let names = names.unwrap_or_default().join(", ");
        let more = if others > LISTED { ", …" } else { "" };
        warnings.push(format!(
            "Its owner `{owner}` owns other databases too ({others}: {names}{more}): after it was un-adopted, what was \
             written into it meanwhile runs with the rights of a role that can do anything with those. A role for each \
             database is safer."
        ));
    }
    if may_create {
        warnings.push(format!("Its owner `{owner}` has CREATEDB, which it keeps."));
    }
    Ok(warnings)
}

async fn row(conn: &mut AdminConn, name: &str) -> Result<Option<Row>, ClusterError> {
    let (usable, grantable) = reach(conn).await?;
    let sql = format!(
        "SELECT r.rolname::text AS owner, r.rolname = current_user AS is_admin, r.rolsuper AS is_super,
                r.rolname = ANY ($2) OR coalesce(shobj_description(r.oid, 'pg_authid') LIKE 'tenantry:%', false) AS is_ours,
                {usable} AS usable, {grantable} AS grantable,
                d.datistemplate AS template, d.datallowconn AS open, d.datname = current_database() AS maintenance,
                has_database_privilege(d.oid, 'CONNECT') AS may_connect,
                d.datconnlimit AS connection_limit, pg_encoding_to_char(d.encoding)::text AS encoding,
                shobj_description(d.oid, 'pg_database') AS comment, d.datacl::text AS acl
         FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1"
    );
    let query = sqlx::query_as::<_, Row>(sqlx::AssertSqlSafe(sql));
    let groups = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    conn.optional(query.bind(name.to_owned()).bind(groups.to_vec()))
        .await
}

/// How to ask whether the admin may work as the role `r`, and whether it may make itself able to.
async fn reach(conn: &mut AdminConn) -> Result<(&'static str, &'static str), ClusterError> {
    let (version,) = conn
        .one(sqlx::query_as::<_, (i32,)>(
            "SELECT current_setting('server_version_num')::int",
        ))
        .await?;
    // From 16 on membership, its rights and the power to become the role are three things, and CREATEROLE
    // alone gives none of them.
    Ok(match version >= 160_000 {
        true => (
            "pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, 'SET')",
            "pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')",
        ),
        false => (
            "pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, 'MEMBER')",
            "NOT r.rolsuper",
        ),
    })
}

/// Whether the admin may work as a role, or make itself able to.
pub(super) async fn is_in_reach(conn: &mut AdminConn, role: &str) -> Result<bool, ClusterError> {
    let (usable, grantable) = reach(conn).await?;
    let sql = format!("SELECT ({usable}) OR ({grantable}) FROM pg_roles r WHERE r.rolname = $1");
    let query = sqlx::query_as::<_, (bool,)>(sqlx::AssertSqlSafe(sql));
    let found = conn.optional(query.bind(role.to_owned())).await?;
    Ok(found.is_some_and(|(reached,)| reached))
}

/// What is set for all sessions in the database, or for the admin's: what must not be there, and all else.
async fn settings(
    conn: &mut AdminConn,
    name: &str,
) -> Result<(Vec<String>, Vec<String>), ClusterError> {
    let query = sqlx::query_as::<_, (bool, String)>(
        "SELECT s.setrole = 0, c.setting
         FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,
              LATERAL unnest(s.setconfig) AS c (setting)
         WHERE d.datname = $1
           AND (s.setrole = 0 OR pg_get_userbyid(s.setrole) = session_user) ORDER BY 2",
    );
    let rows = conn.all(query.bind(name.to_owned())).await?;
    let (mut bad, mut others) = (Vec::new(), Vec::new());
    for (of_all, setting) in rows {
        let (key, value) = setting.split_once('=').unwrap_or((&setting, ""));
        if hinders(key, value) {
            let whose = if of_all { "" } else { " of the admin login" };
            bad.push(format!(
                "the setting {setting}{whose} (ALTER DATABASE … RESET {key})"
            ));
        } else if of_all {
            others.push(setting);
        }
    }
    Ok((bad, others))
}

/// Whether a setting makes another role of a session, brings code into it, puts names before Postgres's own, or
/// keeps it from writing.
fn hinders(key: &str, value: &str) -> bool {
    match key {
        "role"
        | "session_authorization"
        | "local_preload_libraries"
        | "session_preload_libraries"
        | "session_replication_role" => true,
        // Not named it is before all others.
        "search_path" => value
            .split(',')
            .skip(1)
            .any(|schema| schema.trim().trim_matches('"') == "pg_catalog"),
        "default_transaction_read_only" => value == "on",
        _ => false,
    }
}

/// Who is in it, and what nobody may cut off.
async fn using(
    conn: &mut AdminConn,
    name: &str,
    consent: &Consent,
    found: &mut Found,
) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (i64, Vec<String>)>(
        // Of others' sessions the admin sees no more than who is where.
        "SELECT count(*), coalesce(array_agg(DISTINCT usename::text), '{}')
         FROM pg_stat_activity
         WHERE datname = $1 AND usename IS NOT NULL
           AND NOT (usename = current_user AND starts_with(application_name, 'tenantry/'))",
    );
    let (sessions, who) = conn.one(query.bind(name.to_owned())).await?;
    found.sessions = sessions;
    if sessions > 0 && !consent.disconnect {
        found.refusals.push(Refusal::Sessions(sessions, who));
    }
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT gid::text FROM pg_prepared_xacts WHERE database = $1 ORDER BY 1 LIMIT $2",
    );
    let prepared = texts(conn.all(query.bind(name.to_owned()).bind(LISTED)).await?);
    if !prepared.is_empty() {
        found.refusals.push(Refusal::Prepared(prepared));
    }
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT 'slot ' || slot_name::text FROM pg_replication_slots WHERE database = $1
         UNION ALL
         SELECT 'subscription ' || subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
         WHERE d.datname = $1 ORDER BY 1 LIMIT $2",
    );
    let replication = texts(conn.all(query.bind(name.to_owned()).bind(LISTED)).await?);
    if !replication.is_empty() {
        found.refusals.push(Refusal::Replication(replication));
    }
    Ok(())
}

/// Looks inside, in the session `inside`, which is in the database; notes its schemas in `former`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn contents(
    inside: &mut AdminConn,
    former: &mut Former,
    consent: &Consent,
) -> Result<Vec<Refusal>, ClusterError> {
    let mut refusals = Vec::new();
    let mut add = |names: Vec<String>, refusal: fn(Vec<String>) -> Refusal| {
        if !names.is_empty() {
            refusals.push(refusal(names));
        }
    };
    add(traces(inside).await?, Refusal::Traces);
    add(
        owned_by_others(inside, &former.owner).await?,
        Refusal::OthersOwn,
    );
    let (name,) = inside
        .one(sqlx::query_as::<_, (String,)>(
            "SELECT current_database()::text",
        ))
        .await?;
    let mut unsafe_ones = unsafe_things(inside).await?;
    unsafe_ones.extend(settings(inside, &name).await?.0);
    add(unsafe_ones, Refusal::Unsafe);
    add(extensions(inside, consent).await?, Refusal::Extensions);
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT 'publication ' || pubname::text FROM pg_publication ORDER BY 1 LIMIT $1",
    );
    add(
        texts(inside.all(query.bind(LISTED)).await?),
        Refusal::Replication,
    );
    if let Some((relations, most)) = too_large(inside).await? {
        refusals.push(Refusal::TooLarge(relations, most));
    }
    former.code = definers(inside)
        .await?
        .into_iter()
        .map(|one| one.code)
        .collect();
    former.schemas = schemas(inside, &former.owner).await?;
    let passed_on = former.schemas.iter().flat_map(|schema| {
        let by_others = schema.grants.iter().filter(|g| g.grantor != schema.owner);
        by_others.map(|grant| format!("{} on the schema {}", grant.grantor, schema.name))
    });
    let passed_on: Vec<String> = passed_on.collect();
    if !passed_on.is_empty() {
        refusals.push(Refusal::PassedOn(passed_on));
    }
    Ok(refusals)
}

/// The routines that run with their owner's rights, whoever calls them; those of extensions stay with those.
///
/// A digest says whether one is still what it was: whoever owns it may write another body under the same name.
pub(super) async fn definers(inside: &mut AdminConn) -> Result<Vec<Definer>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String)>(
        "SELECT i.identity,
                encode(sha256(convert_to(jsonb_build_array(l.lanname, p.prokind, p.prosrc, p.probin,
                    pg_get_function_sqlbody(p.oid), p.proconfig, p.prorettype::regtype::text,
                    pg_get_function_arguments(p.oid))::text, 'UTF8')), 'hex')
         FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
         CROSS JOIN LATERAL pg_identify_object('pg_proc'::regclass, p.oid, 0) AS i
         WHERE p.prosecdef AND p.oid >= 16384 AND n.nspname NOT IN ('tenantry', 'tenantry_self')
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
         ORDER BY 1",
    );
    let rows = inside.all(query).await?;
    Ok(rows
        .into_iter()
        .map(|(identity, digest)| Definer {
            code: format!("{identity} {digest}"),
            identity,
        })
        .collect())
}

/// What only we put into a database.
async fn traces(inside: &mut AdminConn) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT what FROM (
           SELECT 'the schema ' || nspname::text AS what FROM pg_namespace
           WHERE nspname IN ('tenantry', 'tenantry_self')
           UNION ALL
           SELECT 'the tables of a catalog of Tenantry'
           WHERE to_regclass('public.change_counter') IS NOT NULL AND to_regclass('public.doctor_runs') IS NOT NULL
           UNION ALL
           SELECT DISTINCT 'rights of ' || r.rolname::text FROM pg_shdepend s
           JOIN pg_roles r ON r.oid = s.refobjid
           WHERE s.refclassid = 'pg_authid'::regclass
             AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND (r.rolname = ANY ($1)
                  OR coalesce(shobj_description(r.oid, 'pg_authid') LIKE 'tenantry:%', false))) t
         ORDER BY 1 LIMIT $2",
    );
    let groups = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    Ok(texts(
        inside.all(query.bind(groups.to_vec()).bind(LISTED)).await?,
    ))
}

/// What neither the owner has nor Postgres itself. What belongs to an extension, or is
/// part of another thing as the constructors of a range are, stays as it is. Things of the role
/// that made the server are in no list of dependencies, so they are looked for one kind after another.
async fn owned_by_others(inside: &mut AdminConn, owner: &str) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "WITH me AS (SELECT oid FROM pg_roles WHERE rolname = $1),
         things (classid, objid, owner) AS (
           SELECT s.classid, s.objid, s.refobjid FROM pg_shdepend s
           WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
             AND s.classid NOT IN ('pg_extension'::regclass, 'pg_default_acl'::regclass)
           UNION SELECT 'pg_class'::regclass, oid, relowner FROM pg_class
                 WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
                   AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp)')
           UNION SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
           UNION SELECT 'pg_type'::regclass, oid, typowner FROM pg_type
                 WHERE typelem = 0 AND (typrelid = 0 OR typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))
           UNION SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace
                 WHERE nspname !~ '^pg_(toast|temp)'
           UNION SELECT 'pg_largeobject'::regclass, oid, lomowner FROM pg_largeobject_metadata)
         SELECT i.type || ' ' || i.identity || ' of ' || pg_get_userbyid(t.owner)::text
         FROM things t CROSS JOIN me
         CROSS JOIN LATERAL pg_identify_object(t.classid, t.objid, 0) AS i
         WHERE (t.objid >= 16384 OR (t.classid = 'pg_largeobject'::regclass)
                OR (t.classid = 'pg_namespace'::regclass AND t.objid = 'public'::regnamespace))
           AND t.owner <> me.oid
           AND NOT (t.classid = 'pg_namespace'::regclass AND i.identity = 'public'
                    AND (pg_get_userbyid(t.owner) IN ('pg_database_owner', current_user)))
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = t.classid AND e.objid = t.objid AND e.deptype IN ('e', 'i'))
         ORDER BY 1 LIMIT $2",
    );
    // A database without a schema `public` has none to be compared.
    let (public,) = inside
        .one(sqlx::query_as::<_, (bool,)>(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')",
        ))
        .await?;
    if !public {
        return Ok(vec!["there is no schema public; make one".to_owned()]);
    }
    Ok(texts(
        inside
            .all(query.bind(owner.to_owned()).bind(LISTED))
            .await?,
    ))
}

async fn unsafe_things(inside: &mut AdminConn) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT 'event trigger ' || evtname::text FROM pg_event_trigger
         UNION ALL SELECT 'foreign server ' || srvname::text FROM pg_foreign_server
         UNION ALL SELECT 'foreign-data wrapper ' || fdwname::text FROM pg_foreign_data_wrapper w
                   WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = w.oid AND e.deptype = 'e'
                                     AND e.classid = 'pg_foreign_data_wrapper'::regclass)
         UNION ALL SELECT 'language ' || lanname::text FROM pg_language l
                   WHERE l.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = l.oid
                                     AND e.deptype = 'e' AND e.classid = 'pg_language'::regclass)
         UNION ALL SELECT 'function ' || p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                   WHERE p.oid >= 16384 AND p.prokind <> 'a' AND l.lanname IN ('c', 'internal')
                     AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype IN ('e', 'i')
                                     AND e.classid = 'pg_proc'::regclass)
         -- What the admin makes here would be open to whoever they name.
         UNION ALL SELECT DISTINCT 'default privileges of the cluster''s admin login, ' || r.rolname::text
                   FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole WHERE r.rolname = current_user
         ORDER BY 1 LIMIT $1",
    );
    Ok(texts(inside.all(query.bind(LISTED)).await?))
}

async fn extensions(
    inside: &mut AdminConn,
    consent: &Consent,
) -> Result<Vec<String>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT e.extname::text FROM pg_extension e
         WHERE e.extname <> 'plpgsql' AND e.extname <> ALL ($1)
           AND NOT EXISTS (SELECT FROM pg_available_extension_versions v
                           WHERE v.name = e.extname AND v.version = e.extversion AND v.trusted)
         ORDER BY 1 LIMIT $2",
    );
    let query = query.bind(consent.extensions.clone()).bind(LISTED);
    Ok(texts(inside.all(query).await?))
}

/// The schemas that are taken over: the owner's, and `public`.
async fn schemas(inside: &mut AdminConn, owner: &str) -> Result<Vec<Schema>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String, Option<String>)>(
        "SELECT n.nspname::text, pg_get_userbyid(n.nspowner)::text, n.nspacl::text FROM pg_namespace n
         WHERE (n.nspname = 'public' OR pg_get_userbyid(n.nspowner) = $1)
           AND n.nspname NOT IN ('tenantry', 'tenantry_self') AND n.nspname !~ '^pg_'
           AND n.nspname <> 'information_schema'
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass
                           AND e.objid = n.oid AND e.deptype = 'e')
         ORDER BY n.oid",
    );
    let rows = inside.all(query.bind(owner.to_owned())).await?;
    let mut schemas = Vec::new();
    for (name, owner, acl) in rows {
        let grants = grants(
            inside,
            "pg_namespace",
            "nspacl",
            "nspname",
            'n',
            "nspowner",
            &name,
        )
        .await?;
        schemas.push(Schema {
            name,
            owner,
            acl,
            grants,
        });
    }
    Ok(schemas)
}

/// The rights on an object, in the order in which Postgres keeps them.
async fn grants(
    conn: &mut AdminConn,
    table: &str,
    acl: &str,
    named: &str,
    kind: char,
    owner: &str,
    name: &str,
) -> Result<Vec<Grant>, ClusterError> {
    let sql = format!(
        "SELECT pg_get_userbyid(a.grantor)::text,
                CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END,
                a.privilege_type, a.is_grantable
         FROM {table} o,
              aclexplode(coalesce(o.{acl}, acldefault('{kind}', o.{owner}))) WITH ORDINALITY AS a (grantor, grantee, privilege_type, is_grantable, nth)
         WHERE o.{named} = $1 ORDER BY a.nth"
    );
    let query = sqlx::query_as::<_, (String, String, String, bool)>(sqlx::AssertSqlSafe(sql));
    let rows = conn.all(query.bind(name.to_owned())).await?;
    let grant = |(grantor, grantee, privilege, grantable)| Grant {
        grantor,
        grantee,
        privilege,
        grantable,
    };
    Ok(rows.into_iter().map(grant).collect())
}

fn others(grants: &[Grant], which: impl Fn(&Grant) -> Option<String>) -> Vec<String> {
    let mut names: Vec<String> = grants.iter().filter_map(which).collect();
    names.sort();
    names.dedup();
    names
}

fn texts(rows: Vec<(String,)>) -> Vec<String> {
    rows.into_iter().map(|(text,)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_a_products_own_matter_as_long_as_postgres_comes_first() {
        for (path, bad) in [
            ("app, public", false),
            ("\"$user\", public", false),
            ("pg_catalog, app", false),
            ("evil, pg_catalog", true),
            ("evil, \"pg_catalog\"", true),
        ] {
            assert_eq!(hinders("search_path", path), bad, "{path}");
        }
        // Where there is no such library nobody gets in at all.
        assert!(hinders("local_preload_libraries", "auto_explain"));
    }
}
