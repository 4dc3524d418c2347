//! What is spoilt by hand, what must be found of it, and how it is healed. Statements are of a superuser,
//! by the database they are run in, `;;` between those that need a transaction of their own.

pub struct Case {
    pub what: &'static str,
    pub spoil: &'static [(&'static str, &'static str)],
    /// The codes of all differences.
    pub found: &'static [&'static str],
    pub mended: Mended,
    /// After the fix, or in its place.
    pub heal: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    ByFix,
    ByHand,
}

use Mended::{ByFix, ByHand};

const fn case(
    what: &'static str,
    spoil: &'static [(&'static str, &'static str)],
    found: &'static [&'static str],
    mended: Mended,
    heal: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        what,
        spoil,
        found,
        mended,
        heal,
    }
}

pub const CASES: &[Case] = &[
    // The server has what the catalog does not know.
    case(
        "a database of ours without a row",
        &[(
            "postgres",
            "CREATE DATABASE tenant_stray OWNER [admin];;COMMENT ON DATABASE tenant_stray IS 'tenantry:[installation]:[other]'",
        )],
        &["DATABASE_ORPHAN"],
        ByFix,
        &[
            (
                "postgres",
                "DO $$ BEGIN IF (SELECT count(*) FROM pg_database WHERE datname LIKE 'orphan\\_tenant\\_stray\\_%' AND NOT datallowconn) <> 1 THEN RAISE 'not set aside'; END IF; END $$",
            ),
            (
                "postgres",
                "UPDATE pg_database SET datname = 'stray' WHERE datname LIKE 'orphan\\_tenant\\_stray\\_%';;DROP DATABASE stray",
            ),
        ],
    ),
    case(
        "a login of ours without a row",
        &[(
            "postgres",
            "CREATE ROLE tenant_stray_user LOGIN;;COMMENT ON ROLE tenant_stray_user IS 'tenantry:[installation]:[other]'",
        )],
        &["ROLE_ORPHAN"],
        ByFix,
        &[(
            "postgres",
            "DO $$ BEGIN IF (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orphan\\_tenant\\_stray\\_%' AND NOT rolcanlogin) <> 1 THEN RAISE 'not set aside'; END IF; EXECUTE format('DROP ROLE %I', (SELECT rolname FROM pg_roles WHERE rolname LIKE 'orphan\\_tenant\\_stray\\_%')); END $$",
        )],
    ),
    case(
        "our mark on what is not ours: the admin's login, the catalog, a superuser",
        &[(
            "postgres",
            "COMMENT ON ROLE [admin] IS 'tenantry:[installation]:[other]';;COMMENT ON DATABASE catalog IS 'tenantry:[installation]:[other]';;ALTER DATABASE catalog OWNER TO [admin];;CREATE ROLE tenant_boss_user SUPERUSER;;COMMENT ON ROLE tenant_boss_user IS 'tenantry:[installation]:[other]'",
        )],
        &["DATABASE_ORPHAN", "LOGIN_ELSEWHERE", "ROLE_ORPHAN"],
        ByHand,
        &[(
            "postgres",
            "COMMENT ON ROLE [admin] IS NULL;;COMMENT ON DATABASE catalog IS NULL;;ALTER DATABASE catalog OWNER TO postgres;;DROP ROLE tenant_boss_user",
        )],
    ),
    case(
        "debris of a clone without a mark",
        &[(
            "postgres",
            "CREATE DATABASE tnt_new_01890a5dac96774bbcceb302099a8057",
        )],
        &["DATABASE_UNMARKED"],
        ByHand,
        &[(
            "postgres",
            "DROP DATABASE tnt_new_01890a5dac96774bbcceb302099a8057",
        )],
    ),
    case(
        "a role with a name of ours and no mark",
        &[(
            "postgres",
            "CREATE ROLE tnt_build_01890a5dac96774bbcceb302099a8057",
        )],
        &["ROLE_UNMARKED"],
        ByHand,
        &[(
            "postgres",
            "DROP ROLE tnt_build_01890a5dac96774bbcceb302099a8057",
        )],
    ),
    case(
        "what others made, and words that others use",
        &[(
            "postgres",
            "CREATE DATABASE theirs;;COMMENT ON DATABASE theirs IS 'tenantry:[other]:[other]';;CREATE ROLE theirs LOGIN;;COMMENT ON ROLE theirs IS 'tenantry:[other]:[other]';;CREATE DATABASE tenant_somebody;;CREATE ROLE tenant_somebody_user",
        )],
        &[],
        ByHand,
        &[(
            "postgres",
            "DROP DATABASE theirs;;DROP ROLE theirs;;DROP DATABASE tenant_somebody;;DROP ROLE tenant_somebody_user",
        )],
    ),
    case(
        "a login of a tenant's database that the catalog does not know",
        &[(
            "postgres",
            "CREATE ROLE tenant_acme_router_2 LOGIN;;COMMENT ON ROLE tenant_acme_router_2 IS 'tenantry:[installation]:[acme]'",
        )],
        &["ROLE_LEFT_OVER"],
        ByFix,
        &[("postgres", "DROP ROLE tenant_acme_router_2")],
    ),
    case(
        "a copied mark",
        &[(
            "postgres",
            "CREATE DATABASE copy;;COMMENT ON DATABASE copy IS 'tenantry:[installation]:[acme]';;REVOKE ALL ON DATABASE copy FROM PUBLIC",
        )],
        &["DATABASE_MARKED_TWICE"],
        ByHand,
        &[("postgres", "DROP DATABASE copy")],
    ),
    // The catalog has what is not so on the server.
    case(
        "a database under another name",
        &[(
            "postgres",
            "ALTER DATABASE tenant_acme RENAME TO tenant_elsewhere",
        )],
        &["DATABASE_RENAMED"],
        ByHand,
        &[(
            "postgres",
            "ALTER DATABASE tenant_elsewhere RENAME TO tenant_acme",
        )],
    ),
    case(
        "a database without its mark",
        &[("postgres", "COMMENT ON DATABASE tenant_acme IS NULL")],
        &["DATABASE_MARK_MISSING"],
        ByFix,
        &[],
    ),
    case(
        "a database with another comment",
        &[(
            "postgres",
            "COMMENT ON DATABASE tenant_acme IS 'Acme, do not touch'",
        )],
        &["DATABASE_MARK_MISSING"],
        ByFix,
        &[],
    ),
    case(
        "a database without its mark and with another identity",
        &[
            ("postgres", "COMMENT ON DATABASE tenant_acme IS NULL"),
            (
                "tenant_acme",
                "UPDATE tenantry_self.identity SET database_id = '[sus]'",
            ),
        ],
        &["DATABASE_MARK_MISSING", "IDENTITY_OF_ANOTHER"],
        ByHand,
        &[
            (
                "postgres",
                "COMMENT ON DATABASE tenant_acme IS 'tenantry:[installation]:[acme]'",
            ),
            (
                "tenant_acme",
                "UPDATE tenantry_self.identity SET database_id = '[acme]'",
            ),
        ],
    ),
    case(
        "a database with another's mark",
        &[(
            "postgres",
            "COMMENT ON DATABASE tenant_acme IS 'tenantry:[other]:[other]'",
        )],
        &["DATABASE_OF_ANOTHER"],
        ByHand,
        &[(
            "postgres",
            "COMMENT ON DATABASE tenant_acme IS 'tenantry:[installation]:[acme]'",
        )],
    ),
    case(
        "a closed database",
        &[(
            "postgres",
            "ALTER DATABASE tenant_acme ALLOW_CONNECTIONS false",
        )],
        &["DATABASE_CLOSED"],
        ByHand,
        &[(
            "postgres",
            "ALTER DATABASE tenant_acme ALLOW_CONNECTIONS true",
        )],
    ),
    case(
        "a database with a limit",
        &[("postgres", "ALTER DATABASE tenant_acme CONNECTION LIMIT 5")],
        &["DATABASE_LIMIT"],
        ByFix,
        &[],
    ),
    case(
        "a database of another owner",
        &[("postgres", "ALTER DATABASE tenant_acme OWNER TO postgres")],
        &["DATABASE_OWNER"],
        ByHand,
        &[("postgres", "ALTER DATABASE tenant_acme OWNER TO [admin]")],
    ),
    case(
        "a database open to everybody",
        &[(
            "postgres",
            "GRANT CONNECT ON DATABASE tenant_acme TO PUBLIC",
        )],
        &["DATABASE_PUBLIC"],
        ByFix,
        &[],
    ),
    case(
        "a login without its way in",
        &[(
            "postgres",
            "REVOKE CONNECT ON DATABASE tenant_acme FROM tenant_acme_user",
        )],
        &["GRANT_MISSING"],
        ByFix,
        &[],
    ),
    case(
        "migrations without their rights",
        &[(
            "postgres",
            "REVOKE CREATE ON DATABASE [spare] FROM tenantry_owner",
        )],
        &["GRANT_MISSING"],
        ByFix,
        &[],
    ),
    case(
        "a login that may connect to another tenant's database",
        &[(
            "postgres",
            "GRANT CONNECT ON DATABASE tenant_acme TO tenant_sus_user",
        )],
        &["GRANT_UNEXPECTED"],
        ByFix,
        &[],
    ),
    case(
        "all logins may connect to a tenant's database",
        &[(
            "postgres",
            "GRANT CONNECT ON DATABASE tenant_acme TO tenantry_app",
        )],
        &["GRANT_UNEXPECTED"],
        ByFix,
        &[],
    ),
    case(
        "a stranger may connect to a tenant's database",
        &[(
            "postgres",
            "CREATE ROLE reporting LOGIN;;GRANT CONNECT ON DATABASE tenant_acme TO reporting",
        )],
        &["GRANT_UNEXPECTED"],
        ByHand,
        &[(
            "postgres",
            "REVOKE CONNECT ON DATABASE tenant_acme FROM reporting;;DROP ROLE reporting",
        )],
    ),
    case(
        "a template that is open",
        &[(
            "postgres",
            "ALTER DATABASE [template] ALLOW_CONNECTIONS true",
        )],
        &["TEMPLATE_OPEN"],
        ByFix,
        &[],
    ),
    case(
        "a template that is gone",
        &[("postgres", "ALTER DATABASE [template] RENAME TO away")],
        &["TEMPLATE_MISSING"],
        ByHand,
        &[("postgres", "ALTER DATABASE away RENAME TO [template]")],
    ),
    // Fences.
    case(
        "a suspended tenant's login lets somebody in",
        &[("postgres", "ALTER ROLE tenant_sus_user LOGIN")],
        &["ROLE_NOT_FENCED"],
        ByFix,
        &[],
    ),
    case(
        "a deleted tenant's owner login lets somebody in",
        &[("postgres", "ALTER ROLE tenant_del_owner LOGIN")],
        &["ROLE_NOT_FENCED"],
        ByFix,
        &[],
    ),
    case(
        "a served tenant's login lets nobody in",
        &[("postgres", "ALTER ROLE tenant_acme_router NOLOGIN")],
        &["ROLE_LOCKED_OUT"],
        ByHand,
        &[("postgres", "ALTER ROLE tenant_acme_router LOGIN")],
    ),
    case(
        "a retired login lets somebody in again",
        &[(
            "postgres",
            "ALTER ROLE tenant_turned_router_2 LOGIN CONNECTION LIMIT -1",
        )],
        &["ROLE_LEFT_OVER"],
        ByFix,
        &[],
    ),
    // Roles.
    case(
        "a login with another limit",
        &[("postgres", "ALTER ROLE tenant_acme_user CONNECTION LIMIT 3")],
        &["ROLE_LIMIT"],
        ByFix,
        &[],
    ),
    case(
        "a login whose password ends",
        &[(
            "postgres",
            "ALTER ROLE tenant_acme_user VALID UNTIL '2099-01-01'",
        )],
        &["ROLE_EXPIRES"],
        ByHand,
        &[(
            "postgres",
            "ALTER ROLE tenant_acme_user VALID UNTIL 'infinity'",
        )],
    ),
    case(
        "a login that may make databases",
        &[("postgres", "ALTER ROLE tenant_acme_user CREATEDB")],
        &["ROLE_ATTRIBUTES"],
        ByFix,
        &[],
    ),
    case(
        "a login that is a superuser",
        &[("postgres", "ALTER ROLE tenant_acme_user SUPERUSER")],
        &["LOGIN_ELSEWHERE", "ROLE_ATTRIBUTES"],
        ByHand,
        &[("postgres", "ALTER ROLE tenant_acme_user NOSUPERUSER")],
    ),
    case(
        "a login outside of its group",
        &[("postgres", "REVOKE tenantry_app FROM tenant_acme_user")],
        &["ROLE_GROUP_MISSING"],
        ByFix,
        &[],
    ),
    case(
        "a login in another tenant's login",
        &[("postgres", "GRANT tenant_sus_user TO tenant_acme_user")],
        &["ROLE_HAS_MEMBER", "ROLE_IN_GROUP"],
        ByFix,
        &[],
    ),
    case(
        "the admin in a tenant's login",
        &[("postgres", "GRANT tenant_acme_user TO [admin]")],
        &["ROLE_HAS_MEMBER"],
        ByFix,
        &[],
    ),
    case(
        "an owner login that works as itself",
        &[(
            "postgres",
            "ALTER ROLE tenant_acme_owner IN DATABASE tenant_acme RESET role",
        )],
        &["OWNER_SETTING"],
        ByFix,
        &[],
    ),
    case(
        "a login without its mark",
        &[("postgres", "COMMENT ON ROLE tenant_acme_user IS NULL")],
        &["ROLE_MARK"],
        ByHand,
        &[(
            "postgres",
            "COMMENT ON ROLE tenant_acme_user IS 'tenantry:[installation]:[acme]'",
        )],
    ),
    case(
        "a login that is gone",
        &[(
            "postgres",
            "ALTER ROLE tenant_acme_user RENAME TO elsewhere;;COMMENT ON ROLE elsewhere IS NULL;;REVOKE CONNECT ON DATABASE tenant_acme FROM elsewhere",
        )],
        &["ROLE_MISSING"],
        ByHand,
        &[(
            "postgres",
            "ALTER ROLE elsewhere RENAME TO tenant_acme_user;;COMMENT ON ROLE tenant_acme_user IS 'tenantry:[installation]:[acme]';;SET ROLE [admin];;GRANT CONNECT ON DATABASE tenant_acme TO tenant_acme_user",
        )],
    ),
    // Doors of the server.
    case(
        "a tenant's login may connect to the catalog",
        &[(
            "postgres",
            "GRANT CONNECT ON DATABASE catalog TO tenant_acme_user",
        )],
        &["LOGIN_ELSEWHERE"],
        ByHand,
        &[(
            "postgres",
            "REVOKE CONNECT ON DATABASE catalog FROM tenant_acme_user",
        )],
    ),
    case(
        "tenants' logins may connect to postgres, by their group",
        &[(
            "postgres",
            "GRANT CONNECT ON DATABASE postgres TO tenantry_readonly;;GRANT tenantry_readonly TO tenant_acme_user",
        )],
        &["LOGIN_ELSEWHERE", "ROLE_IN_GROUP"],
        ByFix,
        &[(
            "postgres",
            "REVOKE CONNECT ON DATABASE postgres FROM tenantry_readonly",
        )],
    ),
    case(
        "everybody may connect to the catalog",
        &[("postgres", "GRANT CONNECT ON DATABASE catalog TO PUBLIC")],
        &["CATALOG_PUBLIC"],
        ByHand,
        &[("postgres", "REVOKE CONNECT ON DATABASE catalog FROM PUBLIC")],
    ),
    case(
        "everybody may connect to template1, which only some servers can change",
        &[("postgres", "GRANT CONNECT ON DATABASE template1 TO PUBLIC")],
        &[],
        ByHand,
        &[(
            "postgres",
            "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC",
        )],
    ),
    case(
        "a group that is more than a group",
        &[(
            "postgres",
            "ALTER ROLE tenantry_app LOGIN;;GRANT pg_read_all_data TO tenantry_app",
        )],
        &["GROUP_ALTERED"],
        ByHand,
        &[(
            "postgres",
            "ALTER ROLE tenantry_app NOLOGIN;;REVOKE pg_read_all_data FROM tenantry_app",
        )],
    ),
    case(
        "logins that serve requests may define tables",
        &[(
            "tenant_acme",
            "GRANT CREATE ON SCHEMA public TO tenantry_app",
        )],
        &["RUNTIME_RIGHTS"],
        ByHand,
        &[(
            "tenant_acme",
            "REVOKE CREATE ON SCHEMA public FROM tenantry_app",
        )],
    ),
    case(
        "an admin without a right",
        &[("postgres", "ALTER ROLE [admin] NOCREATEDB")],
        &["CLUSTER_UNFIT"],
        ByHand,
        &[("postgres", "ALTER ROLE [admin] CREATEDB")],
    ),
    // Secrets.
    case(
        "a password sealed with a key that is not there",
        &[(
            "catalog",
            "UPDATE logins SET key_id = 'lost' WHERE name = 'tenant_acme_owner'",
        )],
        &["SECRET_UNREADABLE"],
        ByHand,
        &[(
            "catalog",
            "UPDATE logins SET key_id = 'k1' WHERE name = 'tenant_acme_owner'",
        )],
    ),
    case(
        "a sealed password moved from another row",
        &[
            (
                "catalog",
                "CREATE TABLE kept AS SELECT key_id, sealed FROM logins WHERE name = 'tenant_acme_router'",
            ),
            (
                "catalog",
                "UPDATE logins SET sealed = (SELECT sealed FROM logins WHERE name = 'tenant_sus_router') WHERE name = 'tenant_acme_router'",
            ),
        ],
        &["SECRET_UNREADABLE"],
        ByHand,
        &[(
            "catalog",
            "UPDATE logins SET sealed = (SELECT sealed FROM kept) WHERE name = 'tenant_acme_router';;DROP TABLE kept",
        )],
    ),
    case(
        "a password that is missing",
        &[
            (
                "catalog",
                "CREATE TABLE kept AS SELECT key_id, sealed FROM logins WHERE name = 'tenant_sus_router'",
            ),
            (
                "catalog",
                "UPDATE logins SET key_id = NULL, sealed = NULL WHERE name = 'tenant_sus_router'",
            ),
        ],
        &["SECRET_MISSING"],
        ByHand,
        &[(
            "catalog",
            "UPDATE logins SET (key_id, sealed) = (SELECT key_id, sealed FROM kept) WHERE name = 'tenant_sus_router';;DROP TABLE kept",
        )],
    ),
    case(
        "a password that the server does not know",
        &[(
            "postgres",
            "CREATE TABLE kept AS SELECT rolpassword FROM pg_authid WHERE rolname = 'tenant_acme_owner';;ALTER ROLE tenant_acme_owner PASSWORD 'another'",
        )],
        &["LOGIN_REFUSED"],
        ByHand,
        &[(
            "postgres",
            "DO $$ BEGIN EXECUTE format('ALTER ROLE tenant_acme_owner PASSWORD %L', (SELECT rolpassword FROM kept)); END $$;;DROP TABLE kept",
        )],
    ),
    // Identities.
    case(
        "another epoch",
        &[("tenant_acme", "UPDATE tenantry_self.identity SET epoch = 7")],
        &["IDENTITY_EPOCH"],
        ByHand,
        &[("tenant_acme", "UPDATE tenantry_self.identity SET epoch = 1")],
    ),
    case(
        "another epoch where nobody may come in",
        &[("tenant_del", "UPDATE tenantry_self.identity SET epoch = 7")],
        &["IDENTITY_EPOCH"],
        ByHand,
        &[("tenant_del", "UPDATE tenantry_self.identity SET epoch = 1")],
    ),
    case(
        "another's identity",
        &[(
            "tenant_sus",
            "UPDATE tenantry_self.identity SET database_id = '[acme]'",
        )],
        &["IDENTITY_OF_ANOTHER"],
        ByHand,
        &[(
            "tenant_sus",
            "UPDATE tenantry_self.identity SET database_id = '[sus]'",
        )],
    ),
    case(
        "no identity",
        &[(
            "tenant_acme",
            "ALTER TABLE tenantry_self.identity RENAME TO hidden",
        )],
        &["IDENTITY_MISSING"],
        ByHand,
        &[(
            "tenant_acme",
            "ALTER TABLE tenantry_self.hidden RENAME TO identity",
        )],
    ),
    case(
        "an identity that its logins cannot read",
        &[(
            "[spare]",
            "REVOKE SELECT ON tenantry_self.identity FROM tenantry_app",
        )],
        &["IDENTITY_MISSING"],
        ByHand,
        &[(
            "[spare]",
            "SET ROLE [admin];;GRANT SELECT ON tenantry_self.identity TO tenantry_app",
        )],
    ),
    case(
        "a view in the identity's place, as a tenant could lay it were the schema gone",
        &[(
            "tenant_del",
            "ALTER SCHEMA tenantry_self RENAME TO hidden;;CREATE SCHEMA tenantry_self AUTHORIZATION tenantry_owner;;CREATE TABLE public.caught (by_whom text);;GRANT ALL ON public.caught TO PUBLIC;;GRANT USAGE ON SCHEMA public TO PUBLIC;;SET ROLE tenantry_owner;;CREATE FUNCTION tenantry_self.trap() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (session_user); RETURN 1; END $$;;CREATE VIEW tenantry_self.identity AS SELECT '[installation]'::uuid AS installation, '[other]'::uuid AS database_id, tenantry_self.trap() AS epoch;;GRANT SELECT ON tenantry_self.identity TO PUBLIC",
        )],
        &["IDENTITY_MISSING"],
        ByHand,
        &[(
            "tenant_del",
            "DO $$ BEGIN IF EXISTS (SELECT FROM public.caught) THEN RAISE 'a tenant''s function ran as the admin'; END IF; END $$;;DROP TABLE public.caught;;REVOKE USAGE ON SCHEMA public FROM PUBLIC;;DROP SCHEMA tenantry_self CASCADE;;ALTER SCHEMA hidden RENAME TO tenantry_self",
        )],
    ),
    // Migrations.
    case(
        "other migrations than recorded",
        &[(
            "catalog",
            "UPDATE databases SET schema = 'another' WHERE id = '[acme]'",
        )],
        &["SCHEMA_DIFFERS"],
        ByHand,
        &[(
            "catalog",
            "UPDATE databases SET schema = (SELECT schema FROM templates) WHERE id = '[acme]'",
        )],
    ),
    case(
        "a migration in part",
        &[(
            "tenant_sus",
            "UPDATE tenantry.migrations SET success = false WHERE version = 1",
        )],
        &["SCHEMA_DIRTY"],
        ByHand,
        &[(
            "tenant_sus",
            "UPDATE tenantry.migrations SET success = true WHERE version = 1",
        )],
    ),
    // The catalog with itself.
    case(
        "a tenant without a domain",
        &[("catalog", "DELETE FROM domains WHERE name = 'acme'")],
        &["TENANT_WITHOUT_DOMAIN"],
        ByHand,
        &[(
            "catalog",
            "INSERT INTO domains (name, tenant_id, kind, is_primary) SELECT 'acme', id, 'subdomain', true FROM tenants WHERE slug = 'acme'",
        )],
    ),
    case(
        "a tenant without a database",
        &[(
            "catalog",
            "INSERT INTO tenants (id, slug, name, status, cluster_id) VALUES ('[other]', 'bare', 'Bare', 'active', '[cluster]');;INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ('bare', '[other]', 'subdomain', true)",
        )],
        &["TENANT_WITHOUT_DATABASE"],
        ByHand,
        &[("catalog", "DELETE FROM tenants WHERE slug = 'bare'")],
    ),
    case(
        "a tenant that nobody finishes",
        &[(
            "catalog",
            "UPDATE tenants SET status = 'provisioning' WHERE slug = 'acme'",
        )],
        &["TENANT_UNFINISHED"],
        ByHand,
        &[(
            "catalog",
            "UPDATE tenants SET status = 'active' WHERE slug = 'acme'",
        )],
    ),
    case(
        "a spare that nobody finishes",
        &[(
            "catalog",
            "UPDATE databases SET state = 'making' WHERE name = '[spare]'",
        )],
        &["DATABASE_UNFINISHED"],
        ByHand,
        &[(
            "catalog",
            "UPDATE databases SET state = 'spare' WHERE name = '[spare]'",
        )],
    ),
    case(
        "a database without the row of a login",
        &[(
            "catalog",
            "CREATE TABLE kept AS SELECT * FROM logins WHERE name = 'tenant_acme_user';;DELETE FROM logins WHERE name = 'tenant_acme_user'",
        )],
        &["GRANT_UNEXPECTED", "ROLE_LEFT_OVER", "ROLE_UNRECORDED"],
        ByHand,
        &[
            (
                "catalog",
                "INSERT INTO logins SELECT * FROM kept;;DROP TABLE kept",
            ),
            (
                "postgres",
                "ALTER ROLE tenant_acme_user LOGIN CONNECTION LIMIT 20;;SET ROLE [admin];;GRANT CONNECT ON DATABASE tenant_acme TO tenant_acme_user",
            ),
        ],
    ),
    case(
        "rows of nobody",
        &[(
            "catalog",
            "SET session_replication_role = replica;;INSERT INTO directory (address_hash, tenant_id, key_name) VALUES (decode(repeat('00', 32), 'hex'), '[other]', 'd1')",
        )],
        &["ROWS_OF_NOBODY"],
        ByHand,
        &[(
            "catalog",
            "DELETE FROM directory WHERE tenant_id = '[other]'",
        )],
    ),
    case(
        "a former name past its time",
        &[(
            "catalog",
            "INSERT INTO domains (name, tenant_id, kind, redirects_until) SELECT 'past', id, 'subdomain', now() - interval '1 hour' FROM tenants WHERE slug = 'acme'",
        )],
        &["ROWS_OVERDUE"],
        ByHand,
        &[("catalog", "DELETE FROM domains WHERE name = 'past'")],
    ),
    case(
        "a purge that is late",
        &[(
            "catalog",
            "UPDATE tenants SET purge_at = now() - interval '1 hour' WHERE slug = 'del'",
        )],
        &["PURGE_OVERDUE"],
        ByHand,
        &[(
            "catalog",
            "UPDATE tenants SET purge_at = now() + interval '1 day' WHERE slug = 'del'",
        )],
    ),
    // Operations.
    case(
        "an operation that waits for a person",
        &[(
            "catalog",
            "INSERT INTO operations (id, kind, status, params, asked_by) VALUES ('[other]', 'spare', 'parked', '{}', 'test')",
        )],
        &["OPERATION_PARKED"],
        ByHand,
        &[("catalog", "DELETE FROM operations WHERE id = '[other]'")],
    ),
    case(
        "an operation that nobody drives",
        &[(
            "catalog",
            "INSERT INTO operations (id, kind, status, params, asked_by, lease_holder, lease_until) VALUES ('[other]', 'spare', 'running', '{}', 'test', '[other]', now() - interval '2 minutes')",
        )],
        &["OPERATION_ABANDONED"],
        ByHand,
        &[("catalog", "DELETE FROM operations WHERE id = '[other]'")],
    ),
    case(
        "an operation that is held for a year",
        &[(
            "catalog",
            "INSERT INTO operations (id, kind, status, params, asked_by, lease_holder, lease_until) VALUES ('[other]', 'spare', 'running', '{}', 'test', '[other]', now() + interval '1 year')",
        )],
        &["OPERATION_LEASE"],
        ByFix,
        &[("catalog", "DELETE FROM operations WHERE id = '[other]'")],
    ),
    case(
        "an operation that is tried for ever",
        &[(
            "catalog",
            "INSERT INTO operations (id, kind, status, params, asked_by, lease_holder, lease_until, fence) VALUES ('[other]', 'spare', 'running', '{}', 'test', '[other]', now() + interval '1 minute', 200)",
        )],
        &["OPERATION_FAILING"],
        ByHand,
        &[("catalog", "DELETE FROM operations WHERE id = '[other]'")],
    ),
    // Routers.
    case(
        "a router that lacks changes",
        &[(
            "catalog",
            "UPDATE changes SET at = now() - interval '1 hour';;INSERT INTO routers (id, name, applied, lease_until) VALUES ('[other]', 'stuck', 0, now() + interval '1 hour')",
        )],
        &["ROUTER_BEHIND"],
        ByHand,
        &[("catalog", "DELETE FROM routers WHERE id = '[other]'")],
    ),
    case(
        "a share of a router that is gone",
        &[(
            "catalog",
            "INSERT INTO routers (id, name, applied, lease_until) VALUES ('[other]', 'gone', 1000000, now() - interval '1 hour');;INSERT INTO budget_shares (cluster_id, router_id, slots) VALUES ('[cluster]', '[other]', 3)",
        )],
        &["SHARE_OF_DEAD"],
        ByHand,
        &[(
            "catalog",
            "DELETE FROM budget_shares WHERE router_id = '[other]';;DELETE FROM routers WHERE id = '[other]'",
        )],
    ),
    case(
        "more given out than there is",
        &[(
            "catalog",
            "UPDATE changes SET at = now() - interval '1 hour';;INSERT INTO routers (id, name, applied, lease_until) VALUES ('[other]', 'rich', 1000000, now() + interval '1 hour');;INSERT INTO budget_shares (cluster_id, router_id, slots) VALUES ('[cluster]', '[other]', 30);;UPDATE clusters SET connection_budget = 10",
        )],
        &["BUDGET_EXCEEDED"],
        ByHand,
        &[(
            "catalog",
            "DELETE FROM budget_shares WHERE router_id = '[other]';;DELETE FROM routers WHERE id = '[other]';;UPDATE clusters SET connection_budget = 50",
        )],
    ),
    // Clusters.
    case(
        "a server that does not answer",
        &[("catalog", "UPDATE clusters SET port = 1")],
        &["CLUSTER_UNREACHABLE"],
        ByHand,
        &[("catalog", "UPDATE clusters SET port = [port]")],
    ),
    case(
        "an admin's password that does not open",
        &[("catalog", "UPDATE clusters SET admin_key_id = 'lost'")],
        &["SECRET_UNREADABLE"],
        ByHand,
        &[("catalog", "UPDATE clusters SET admin_key_id = 'k1'")],
    ),
];
