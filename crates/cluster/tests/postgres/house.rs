//! The walls between tenants, tried with real logins.

use sqlx::PgConnection;
use tenantry_cluster::databases;
use tenantry_cluster::logins::LoginKind;

use crate::world::{Tenant, World, one, role, sql, state};

crate::tests! {
    a_login_gets_into_its_own_database_only,
    a_customers_program_cannot_take_every_place_on_the_server,
    runtime_logins_define_nothing,
    what_the_owner_makes_belongs_to_the_group_and_serves_the_runtime_logins,
    nobody_of_a_tenant_can_touch_the_identity,
    an_owner_cannot_loosen_the_walls,
    an_owner_cannot_reach_a_neighbours_sessions_or_settings,
}

/// What each login is refused with, for each statement.
async fn refused(
    world: &World,
    tenant: &Tenant,
    logins: &[&tenantry_types::RoleName],
    statements: &[&str],
) {
    for login in logins {
        let mut session = world.login(&tenant.db, login).await.expect("in");
        for statement in statements {
            assert_eq!(
                state(sql(&mut session, statement).await),
                "42501",
                "{login}: {statement}"
            );
        }
    }
}

async fn a_login_gets_into_its_own_database_only(world: World) {
    let (tenant, neighbour) = (world.tenant().await, world.tenant().await);
    let catalog = format!("catalog_{}", world.number());
    let mut superuser = world.superuser("postgres").await;
    sql(&mut superuser, &format!("CREATE DATABASE {catalog}"))
        .await
        .expect("made");
    sql(
        &mut superuser,
        &format!("REVOKE ALL ON DATABASE {catalog} FROM PUBLIC"),
    )
    .await
    .expect("closed");
    for login in tenant.logins.first() {
        world.login(&tenant.db, &login).await.expect("its own");
        for database in [neighbour.db.as_str(), "postgres", "template1", &catalog] {
            let outcome = world
                .open(database, login.as_str(), crate::world::PASSWORD)
                .await;
            assert_eq!(state(outcome), "42501", "{login} at {database}");
        }
        let text = format!(
            "SELECT string_agg(datname, ' ') FROM pg_database
             WHERE has_database_privilege('{}', oid, 'CONNECT') AND datallowconn
               AND (shobj_description(oid, 'pg_database') LIKE 'tenantry:%'
                    OR datname IN ('postgres', 'template1', '{catalog}'))",
            login.as_str()
        );
        assert_eq!(
            one::<String>(&mut superuser, &text).await,
            tenant.db.as_str()
        );
    }
}

async fn a_customers_program_cannot_take_every_place_on_the_server(world: World) {
    let tenant = world.tenant().await;
    let mut sessions = Vec::new();
    for _ in 0..LoginKind::User.connection_limit() {
        sessions.push(
            world
                .login(&tenant.db, &tenant.logins.user)
                .await
                .expect("a place"),
        );
    }
    assert_eq!(
        state(world.login(&tenant.db, &tenant.logins.user).await),
        "53300"
    );
    world
        .login(&tenant.db, &tenant.logins.router)
        .await
        .expect("ours is another login");
    let itself = format!("ALTER ROLE {} CONNECTION LIMIT -1", tenant.logins.user);
    assert_eq!(state(sql(&mut sessions[0], &itself).await), "42501");
}

async fn runtime_logins_define_nothing(world: World) {
    let tenant = world.tenant().await;
    let logins = [&tenant.logins.router, &tenant.logins.user];
    refused(
        &world,
        &tenant,
        &logins,
        &[
            "CREATE TABLE public.t (i int)",
            "CREATE TABLE tenantry.t (i int)",
            "CREATE TABLE tenantry_self.t (i int)",
            "CREATE TEMPORARY TABLE t (i int)",
            "CREATE SCHEMA s",
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TYPE public.e AS ENUM ('a')",
            "CREATE EXTENSION pgcrypto",
            "ALTER TABLE public.things ADD COLUMN x int",
            "DROP TABLE public.things",
            "TRUNCATE public.things",
            "CREATE INDEX ON public.things (name)",
            "SET ROLE tenantry_owner",
            "SET ROLE tenantry_admin",
        ],
    )
    .await;
}

async fn what_the_owner_makes_belongs_to_the_group_and_serves_the_runtime_logins(world: World) {
    let tenant = world.tenant().await;
    let mut owner = world
        .login(&tenant.db, &tenant.logins.owner)
        .await
        .expect("in");
    sql(
        &mut owner,
        "CREATE TABLE public.made (id bigserial PRIMARY KEY, name text);
         CREATE TABLE tenantry.made (id bigint GENERATED ALWAYS AS IDENTITY, name text);
         ALTER TABLE public.things ADD COLUMN added int;
         CREATE SCHEMA extra; CREATE TEMPORARY TABLE scratch (i int)",
    )
    .await
    .expect("the owner migrates");
    let owners: String = one(
        &mut owner,
        "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class
         WHERE relnamespace IN ('public'::regnamespace, 'tenantry'::regnamespace)",
    )
    .await;
    assert_eq!(owners, "tenantry_owner");
    for login in [&tenant.logins.router, &tenant.logins.user] {
        let mut session = world.login(&tenant.db, login).await.expect("in");
        for table in ["public.things", "public.made", "tenantry.made"] {
            let statements = format!(
                "INSERT INTO {table} (name) VALUES ('a'); UPDATE {table} SET name = 'b'; DELETE FROM {table}; SELECT * FROM {table}"
            );
            sql(&mut session, &statements).await.expect(table);
        }
    }
    let reader = format!("reader_{}", world.number());
    let mut superuser = world.superuser("postgres").await;
    let make = format!(
        "CREATE ROLE {reader} LOGIN PASSWORD '{}' IN ROLE tenantry_readonly; GRANT CONNECT ON DATABASE {} TO {reader}",
        crate::world::PASSWORD,
        tenant.db
    );
    sql(&mut superuser, &make).await.expect("made");
    let mut session = world.login(&tenant.db, &role(&reader)).await.expect("in");
    for table in ["public.things", "public.made", "tenantry.made"] {
        sql(&mut session, &format!("SELECT * FROM {table}"))
            .await
            .expect(table);
        let write = format!("INSERT INTO {table} (name) VALUES ('a')");
        assert_eq!(state(sql(&mut session, &write).await), "42501", "{table}");
    }
}

async fn nobody_of_a_tenant_can_touch_the_identity(world: World) {
    let tenant = world.tenant().await;
    let statements = [
        "INSERT INTO tenantry_self.identity VALUES (false, gen_random_uuid(), gen_random_uuid(), 1)",
        "UPDATE tenantry_self.identity SET epoch = 9",
        "DELETE FROM tenantry_self.identity",
        "TRUNCATE tenantry_self.identity",
        "DROP TABLE tenantry_self.identity",
        "DROP SCHEMA tenantry_self CASCADE",
        "ALTER SCHEMA tenantry_self RENAME TO mine",
        "ALTER TABLE tenantry_self.identity OWNER TO tenantry_owner",
        "ALTER TABLE tenantry_self.identity ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE tenantry_self.identity ADD COLUMN x int",
        "CREATE TABLE tenantry_self.mine (i int)",
        "CREATE INDEX ON tenantry_self.identity (epoch)",
        "SELECT * FROM tenantry_self.identity FOR UPDATE",
        "BEGIN; LOCK TABLE tenantry_self.identity IN SHARE MODE",
    ];
    let all = tenant.logins.first();
    refused(
        &world,
        &tenant,
        &all.iter().collect::<Vec<_>>(),
        &statements,
    )
    .await;
    // What could make the admin's own write run the tenant's code.
    let traps = [
        "CREATE TRIGGER trap BEFORE UPDATE ON tenantry_self.identity FOR EACH ROW EXECUTE FUNCTION public.trap()",
        "CREATE RULE trap AS ON UPDATE TO tenantry_self.identity DO ALSO DELETE FROM public.things",
        "CREATE TABLE public.hook (is_only boolean REFERENCES tenantry_self.identity ON UPDATE CASCADE)",
        "CREATE TABLE public.child () INHERITS (tenantry_self.identity)",
        "CREATE POLICY trap ON tenantry_self.identity USING (true)",
    ];
    let mut owner = world
        .login(&tenant.db, &tenant.logins.owner)
        .await
        .expect("in");
    let function = "CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$";
    sql(&mut owner, function)
        .await
        .expect("a function of its own");
    for role in ["tenantry_owner", "NONE"] {
        sql(&mut owner, &format!("SET ROLE {role}"))
            .await
            .expect("set");
        for trap in traps {
            assert_eq!(
                state(sql(&mut owner, trap).await),
                "42501",
                "as {role}: {trap}"
            );
        }
    }
    let epoch: i64 = one(&mut owner, "SELECT epoch FROM tenantry_self.identity").await;
    assert_eq!(epoch, 1);
}

/// The ACL, limit, owner and comment of a database.
async fn facts(conn: &mut PgConnection, tenant: &Tenant) -> String {
    let text = format!(
        "SELECT concat_ws(' | ', datacl, datconnlimit, datdba::regrole, datallowconn, shobj_description(oid, 'pg_database'))
         FROM pg_database WHERE datname = '{}'",
        tenant.db.as_str()
    );
    one(conn, &text).await
}

async fn an_owner_cannot_loosen_the_walls(world: World) {
    let (tenant, neighbour) = (world.tenant().await, world.tenant().await);
    let mut superuser = world.superuser("postgres").await;
    let before = (
        facts(&mut superuser, &tenant).await,
        facts(&mut superuser, &neighbour).await,
    );
    let (own, next) = (&tenant.db, &neighbour.db);
    let guest = &neighbour.logins.user;
    let mut owner = world.login(own, &tenant.logins.owner).await.expect("in");
    for group in ["SET ROLE tenantry_owner", "SET ROLE NONE"] {
        sql(&mut owner, group).await.expect("set");
        for statement in [
            format!("GRANT CONNECT ON DATABASE {own} TO {guest}"),
            format!("GRANT CONNECT ON DATABASE {own} TO PUBLIC"),
            format!(
                "GRANT CONNECT ON DATABASE {next} TO {}",
                tenant.logins.owner
            ),
            format!(
                "REVOKE CONNECT ON DATABASE {own} FROM {}",
                tenant.logins.router
            ),
            format!("ALTER DATABASE {own} CONNECTION LIMIT 1"),
            format!("ALTER DATABASE {own} RENAME TO mine"),
            format!("ALTER DATABASE {own} OWNER TO tenantry_owner"),
            format!("ALTER DATABASE {own} SET statement_timeout = 1"),
            format!("COMMENT ON DATABASE {own} IS 'mine'"),
            format!("COMMENT ON ROLE {} IS 'mine'", tenant.logins.owner),
            format!("DROP DATABASE {next} WITH (FORCE)"),
            format!("GRANT tenantry_owner TO {guest}"),
            format!("GRANT tenantry_app TO {}", tenant.logins.owner),
            format!("ALTER ROLE {guest} PASSWORD 'mine'"),
            format!("ALTER ROLE {} CONNECTION LIMIT 1", tenant.logins.owner),
            format!("ALTER ROLE {} CREATEDB", tenant.logins.owner),
            format!(
                "REASSIGN OWNED BY tenantry_admin TO {}",
                tenant.logins.owner
            ),
            "SET ROLE tenantry_admin".to_owned(),
            "ALTER ROLE tenantry_owner LOGIN".to_owned(),
        ] {
            // GRANT without the right only warns where the role has another right on the database.
            let outcome = state(sql(&mut owner, &statement).await);
            let warns = statement.starts_with("GRANT CONNECT") || statement.starts_with("REVOKE");
            assert!(
                outcome == "42501" || warns,
                "{group}, {statement}: {outcome}"
            );
        }
    }
    let after = (
        facts(&mut superuser, &tenant).await,
        facts(&mut superuser, &neighbour).await,
    );
    assert_eq!(before, after);
}

/// Runs alone: for a moment no row of any database can be written.
pub(crate) async fn an_owner_who_drops_the_groups_rights_harms_its_own_database_only(world: World) {
    let (tenant, neighbour) = (world.tenant().await, world.tenant().await);
    let mut superuser = world.superuser("postgres").await;
    let before = (
        facts(&mut superuser, &tenant).await,
        facts(&mut superuser, &neighbour).await,
    );
    let mut owner = world
        .login(&tenant.db, &tenant.logins.owner)
        .await
        .expect("in");
    // While the transaction is open it holds the row of each database that the group has rights on.
    sql(&mut owner, "BEGIN; DROP OWNED BY tenantry_owner CASCADE")
        .await
        .expect("it only warns");
    databases::open(&mut world.conn().await, &neighbour.db)
        .await
        .expect("ends the transaction, then works");
    assert_eq!(state(sql(&mut owner, "COMMIT").await), "57P01", "ended");
    let mut owner = world
        .login(&tenant.db, &tenant.logins.owner)
        .await
        .expect("in");
    sql(&mut owner, "DROP OWNED BY tenantry_owner CASCADE")
        .await
        .expect("again");
    sql(
        &mut owner,
        "SET ROLE NONE; DROP OWNED BY CURRENT_USER CASCADE",
    )
    .await
    .expect("its own");
    let after = (
        facts(&mut superuser, &tenant).await,
        facts(&mut superuser, &neighbour).await,
    );
    assert_eq!(before, after, "no right on any database was lost");
    let mut beside = world
        .login(&neighbour.db, &neighbour.logins.owner)
        .await
        .expect("in");
    sql(
        &mut beside,
        "CREATE SCHEMA still; CREATE TABLE public.still (i int); SELECT * FROM public.things",
    )
    .await
    .expect("unharmed");
    assert_eq!(
        state(sql(&mut owner, "SELECT * FROM public.things").await),
        "42P01",
        "it threw away its own"
    );
    let move_all = format!(
        "SET ROLE NONE; REASSIGN OWNED BY tenantry_owner TO {}",
        tenant.logins.owner
    );
    sql(&mut owner, &move_all)
        .await
        .expect("moves what is in its own database");
    let count = "SELECT count(*) FROM pg_class WHERE relowner <> 'tenantry_owner'::regrole AND relnamespace = 'public'::regnamespace";
    assert_eq!(one::<i64>(&mut beside, count).await, 0);
}

async fn an_owner_cannot_reach_a_neighbours_sessions_or_settings(world: World) {
    let (tenant, neighbour) = (world.tenant().await, world.tenant().await);
    let mut beside = world
        .login(&neighbour.db, &neighbour.logins.owner)
        .await
        .expect("in");
    let pid: i32 = one(&mut beside, "SELECT pg_backend_pid()").await;
    let mut owner = world
        .login(&tenant.db, &tenant.logins.owner)
        .await
        .expect("in");
    for statement in [
        format!("SELECT pg_terminate_backend({pid})"),
        format!("SELECT pg_cancel_backend({pid})"),
    ] {
        assert_eq!(
            state(sql(&mut owner, &statement).await),
            "42501",
            "{statement}"
        );
    }
    let query: String = one(
        &mut owner,
        &format!("SELECT query FROM pg_stat_activity WHERE pid = {pid}"),
    )
    .await;
    assert_eq!(query, "<insufficient privilege>");
    // A member may change the group's settings and password. Neither reaches a login.
    sql(
        &mut owner,
        "ALTER ROLE tenantry_owner SET statement_timeout = 1",
    )
    .await
    .expect("allowed");
    let mut fresh = world
        .login(&neighbour.db, &neighbour.logins.owner)
        .await
        .expect("in");
    assert_eq!(
        one::<String>(&mut fresh, "SHOW statement_timeout").await,
        "0"
    );
    let outcome = world
        .open(neighbour.db.as_str(), "tenantry_owner", "x")
        .await;
    assert!(
        matches!(state(outcome).as_str(), "28P01" | "28000"),
        "the group cannot log in"
    );
    sql(&mut owner, "ALTER ROLE tenantry_owner RESET ALL")
        .await
        .expect("reset");
}
