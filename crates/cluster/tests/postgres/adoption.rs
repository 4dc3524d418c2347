//! A database of somebody else's is taken over, used, and given back as it was; what cannot be is refused.
//!
//! What is compared is what `pg_dump --create --schema-only` writes, where the server has one, and the owners, rights
//! and settings of everything as the system catalogs have them.

use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_cluster::adoption::{self, Consent, Former};
use tenantry_cluster::logins::{self, LoginKind};
use tenantry_cluster::{AdminConn, Mark, databases, fence, identity, names};
use tenantry_types::DbName;

use crate::world::{World, db, one, sql, state};

crate::tests! {
    a_database_is_used_as_a_tenants_and_given_back_as_it_was,
    each_direction_may_be_cut_off_and_repeated,
    what_was_changed_since_the_look_is_not_taken,
    what_needs_our_tables_keeps_them_from_going,
    code_that_a_tenant_wrote_does_not_get_its_former_owners_rights,
    what_cannot_change_hands_is_told_before_anybody_is_shut_out,
    what_cannot_be_taken_over_is_refused_with_its_reason,
}

/// All kinds of things that a role can own in a database, with rights and defaults of others'.
const CONTENTS: &str = r#"
    CREATE SCHEMA app;
    CREATE SCHEMA "Odd ""Name""";
    GRANT USAGE ON SCHEMA app TO reporting;
    GRANT CREATE ON SCHEMA app TO PUBLIC;
    CREATE TYPE app.mood AS ENUM ('good', 'bad');
    CREATE DOMAIN app.percent AS int CHECK (VALUE BETWEEN 0 AND 100);
    REVOKE USAGE ON TYPE app.percent FROM PUBLIC;
    CREATE TYPE app.pair AS (a int, b text);
    CREATE TYPE app.span AS RANGE (subtype = float8);
    CREATE TABLE public.orders (id serial PRIMARY KEY, who text NOT NULL, mood app.mood DEFAULT 'good', part app.percent);
    CREATE TABLE app.lines (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int REFERENCES public.orders, price numeric);
    CREATE INDEX ON app.lines (order_id);
    CREATE TABLE app.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
    CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
    CREATE TABLE "Odd ""Name"""."Table; DROP" ("Column" int);
    CREATE SEQUENCE app.free START 7;
    CREATE VIEW app.totals AS SELECT order_id, sum(price) AS total FROM app.lines GROUP BY 1;
    CREATE MATERIALIZED VIEW app.kept AS SELECT count(*) FROM public.orders;
    CREATE FUNCTION app.secret(n int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT n + 1';
    REVOKE EXECUTE ON FUNCTION app.secret(int) FROM PUBLIC;
    CREATE FUNCTION app.secret(n int, "odd Type" app.mood) RETURNS int LANGUAGE sql AS 'SELECT n';
    CREATE PROCEDURE app.work() LANGUAGE plpgsql AS 'BEGIN NULL; END';
    CREATE AGGREGATE app.product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = 1);
    CREATE FUNCTION app.touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touched BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION app.touched();
    CREATE OPERATOR app.=== (leftarg = int, rightarg = int, function = int4eq);
    CREATE TEXT SEARCH CONFIGURATION app.plain (COPY = pg_catalog.simple);
    CREATE TEXT SEARCH DICTIONARY app.dict (template = pg_catalog.simple);
    CREATE STATISTICS app.stat ON who, mood FROM public.orders;
    CREATE COLLATION app.c FROM "C";
    ALTER TABLE app.lines ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON app.lines TO PUBLIC USING (true);
    GRANT SELECT ON public.orders TO reporting;
    GRANT UPDATE (who) ON public.orders TO reporting WITH GRANT OPTION;
    GRANT SELECT ON ALL TABLES IN SCHEMA app TO reporting;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reporting;
    ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    COMMENT ON TABLE public.orders IS 'what was ordered';
    SELECT lo_from_bytea(4711, 'a large object');
    INSERT INTO public.orders (who) VALUES ('ann'), ('bob');
    INSERT INTO app.lines (order_id, price) VALUES (1, 2.5)"#;

/// A database that knows nothing of us, owned by a role of its own.
struct Theirs {
    name: DbName,
    owner: String,
}

async fn theirs(world: &World) -> Theirs {
    let number = world.number();
    let (name, owner) = (
        format!("legacy{number}"),
        format!("Legacy \"role\" {number}"),
    );
    let quoted = format!("\"{}\"", owner.replace('"', "\"\""));
    let mut superuser = world.superuser("postgres").await;
    let reporting = sql(
        &mut superuser,
        "CREATE ROLE reporting LOGIN PASSWORD 'correct horse battery staple'",
    )
    .await;
    // Another test was first.
    drop(reporting);
    sql(
        &mut superuser,
        &format!("CREATE ROLE {quoted} LOGIN PASSWORD 'correct horse battery staple'"),
    )
    .await
    .expect("the role");
    if world.version >= 16 {
        // As for whoever creates a role there: it may pass it on, and nothing else.
        let grant =
            format!("GRANT {quoted} TO tenantry_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
        sql(&mut superuser, &grant).await.expect("the admin may");
    }
    for text in [
        format!("CREATE DATABASE {name} OWNER {quoted}"),
        format!("ALTER DATABASE {name} SET search_path = app, public"),
        format!("ALTER DATABASE {name} CONNECTION LIMIT 33"),
        format!("COMMENT ON DATABASE {name} IS 'of \\ somebody''s'"),
        format!("GRANT CONNECT ON DATABASE {name} TO reporting"),
    ] {
        sql(&mut superuser, &text).await.expect(&text);
    }
    let mut inside = world.superuser(&name).await;
    if world.version < 15 {
        let text = format!("ALTER SCHEMA public OWNER TO {quoted}");
        sql(&mut inside, &text).await.expect(&text);
    }
    Theirs {
        name: db(&name),
        owner,
    }
}

impl Theirs {
    async fn session(&self, world: &World) -> PgConnection {
        world
            .open(self.name.as_str(), &self.owner, crate::world::PASSWORD)
            .await
            .expect("its owner gets in")
    }

    async fn filled(self, world: &World) -> Self {
        let mut owner = self.session(world).await;
        sql(&mut owner, CONTENTS).await.expect("filled");
        let mut superuser = world.superuser(self.name.as_str()).await;
        let trusted = "SELECT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_trgm' AND trusted)";
        if one::<bool>(&mut superuser, trusted).await {
            sql(&mut owner, "CREATE EXTENSION pg_trgm")
                .await
                .expect("trusted");
        }
        self
    }
}

fn agreed() -> Consent {
    Consent {
        disconnect: true,
        shut_out: true,
        extensions: Vec::new(),
    }
}

/// Both looks; the codes of what was refused.
async fn look(world: &World, name: &str, consent: &Consent) -> (Option<Former>, Vec<&'static str>) {
    let mut conn = world.conn().await;
    let mut found = adoption::shared(&mut conn, world.installation, name, consent)
        .await
        .expect("looked");
    if let (Some(former), true) = (&mut found.former, found.can_enter) {
        let mut inside = world
            .admin
            .enter(&db(name), "tenantry/test")
            .await
            .expect("inside");
        let refused = adoption::contents(&mut inside, former, consent)
            .await
            .expect("looked");
        found.refusals.extend(refused);
        inside.close().await;
    }
    let codes = found.refusals.iter().map(adoption::Refusal::code).collect();
    (found.former, codes)
}

async fn inside(world: &World, theirs: &Theirs) -> AdminConn {
    world
        .admin
        .enter(&theirs.name, "tenantry/test")
        .await
        .expect("inside")
}

async fn furnish(world: &World, theirs: &Theirs, mark: &Mark, former: &Former) {
    let (mut conn, mut inside) = (world.conn().await, inside(world, theirs).await);
    adoption::furnish(&mut conn, &mut inside, mark, 1, former, &agreed())
        .await
        .expect("furnished");
    adoption::leave(&mut conn, former).await.expect("left");
    inside.close().await;
    let names = names::login_names(&theirs.name);
    let new = [
        world.new_login(&names.owner, LoginKind::Owner, *mark),
        world.new_login(&names.router, LoginKind::Router, *mark),
        world.new_login(&names.user, LoginKind::User, *mark),
    ];
    logins::create_for(&mut conn, &theirs.name, &new)
        .await
        .expect("logins");
}

async fn unfurnish(world: &World, theirs: &Theirs, mark: &Mark, former: &Former) {
    let mut conn = world.conn().await;
    let names = names::login_names(&theirs.name).all();
    fence::close(&mut conn, &theirs.name, &names)
        .await
        .expect("fenced");
    let mut inside = inside(world, theirs).await;
    adoption::unfurnish(&mut conn, &mut inside, mark, former)
        .await
        .expect("taken out");
    inside.close().await;
    databases::revoke_connect(&mut conn, &theirs.name, &names)
        .await
        .expect("revoked");
    for name in &names {
        let dropped = logins::drop_or_bury(&mut conn, name, mark)
            .await
            .expect("dropped");
        assert!(
            !matches!(dropped, logins::Dropped::Tombstone(_)),
            "{dropped:?}"
        );
    }
}

/// Everything about a database and what is in it, but the data: one line for each thing.
async fn picture(world: &World, name: &str) -> Vec<String> {
    let acl = |column: &str, kind: char, owner: &str| {
        format!(
            "(SELECT string_agg(concat_ws(' ', a.grantor::regrole, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                                a.privilege_type, a.is_grantable), ', ' ORDER BY a.nth)
              FROM aclexplode(coalesce({column}, acldefault('{kind}', {owner}))) WITH ORDINALITY
                   AS a (grantor, grantee, privilege_type, is_grantable, nth))"
        )
    };
    let classes = [
        (
            "pg_class",
            "relowner",
            Some(("relacl", 'r')),
            "relkind IN ('r', 'p', 'v', 'm') AND oid >= 16384",
        ),
        (
            "pg_class",
            "relowner",
            Some(("relacl", 's')),
            "relkind = 'S'",
        ),
        (
            "pg_class",
            "relowner",
            None,
            "relkind IN ('i', 'I', 't', 'c') AND oid >= 16384",
        ),
        ("pg_proc", "proowner", Some(("proacl", 'f')), "oid >= 16384"),
        ("pg_type", "typowner", Some(("typacl", 'T')), "oid >= 16384"),
        (
            "pg_namespace",
            "nspowner",
            Some(("nspacl", 'n')),
            "nspname !~ '^pg_temp'",
        ),
        ("pg_collation", "collowner", None, "oid >= 16384"),
        ("pg_operator", "oprowner", None, "oid >= 16384"),
        ("pg_ts_config", "cfgowner", None, "oid >= 16384"),
        ("pg_ts_dict", "dictowner", None, "oid >= 16384"),
        ("pg_statistic_ext", "stxowner", None, "true"),
        ("pg_opclass", "opcowner", None, "oid >= 16384"),
        ("pg_extension", "extowner", None, "true"),
    ];
    let mut queries: Vec<String> = classes
        .iter()
        .map(|(class, owner, rights, which)| {
            let rights = rights.map_or("''".to_owned(), |(column, kind)| acl(column, kind, owner));
            format!(
                "SELECT concat_ws(' | ', '{class}', (pg_identify_object('{class}'::regclass, oid, 0)).identity,
                        {owner}::regrole, {rights}) FROM {class} WHERE {which} ORDER BY 1"
            )
        })
        .collect();
    queries.push(format!(
        "SELECT concat_ws(' | ', 'large object', oid, lomowner::regrole, {}) FROM pg_largeobject_metadata ORDER BY 1",
        acl("lomacl", 'L', "lomowner")
    ));
    queries.push(format!(
        "SELECT concat_ws(' | ', 'database', datdba::regrole, {}, datconnlimit, datallowconn,
                shobj_description(oid, 'pg_database'),
                (SELECT string_agg(concat_ws(' ', setrole, setconfig), ', ' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid))
         FROM pg_database d WHERE datname = current_database()",
        acl("datacl", 'd', "datdba")
    ));
    queries.push(
        "SELECT concat_ws(' | ', 'column', attrelid::regclass, attname, attacl) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid >= 16384 ORDER BY 1".to_owned(),
    );
    queries.push(
        "SELECT concat_ws(' | ', 'defaults', defaclrole::regrole, defaclnamespace, defaclobjtype, defaclacl) FROM pg_default_acl ORDER BY 1".to_owned(),
    );
    queries.push(
        "SELECT concat_ws(' | ', 'member', roleid::regrole, member::regrole, grantor::regrole, to_jsonb(m) - 'oid') FROM pg_auth_members m
         WHERE roleid = (SELECT datdba FROM pg_database WHERE datname = current_database()) ORDER BY 1".to_owned(),
    );
    let mut superuser = world.superuser(name).await;
    let mut lines = Vec::new();
    for query in queries {
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query.clone()))
            .fetch_all(&mut superuser)
            .await
            .expect(&query);
        lines.extend(found);
    }
    let dump = world.bin.join("pg_dump");
    if dump.exists() {
        let dumped = tokio::process::Command::new(dump)
            .env("PGPASSWORD", "super")
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "--create",
                "--schema-only",
                "-p",
            ])
            .args([world.port.to_string().as_str(), name])
            .output()
            .await
            .expect("pg_dump runs");
        assert!(
            dumped.status.success(),
            "{}",
            String::from_utf8_lossy(&dumped.stderr)
        );
        let text = String::from_utf8(dumped.stdout).expect("text");
        // Newer ones write a line with a random word.
        lines.extend(
            text.lines()
                .filter(|line| !line.contains("restrict "))
                .map(str::to_owned),
        );
    }
    lines
}

fn assert_same(before: &[String], after: &[String]) {
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "lost: {gone:#?}\nnew: {new:#?}"
    );
    assert_eq!(before, after, "the same lines in another order");
}

async fn a_database_is_used_as_a_tenants_and_given_back_as_it_was(world: World) {
    let theirs = theirs(&world).await.filled(&world).await;
    let name = theirs.name.as_str();
    let before = picture(&world, name).await;
    let (former, refused) = look(&world, name, &agreed()).await;
    assert_eq!(refused, Vec::<&str>::new());
    assert_same(&before, &picture(&world, name).await);
    let former = former.expect("how it was");
    // As a later release reads it.
    let kept = serde_json::to_string(&former).expect("JSON");
    let former: Former = serde_json::from_str(&kept).expect("a record");
    let mark = world.mark();

    let mut open = theirs.session(&world).await;
    let mut conn = world.conn().await;
    adoption::take(&mut conn, &theirs.name, &mark, &former, &agreed())
        .await
        .expect("taken");
    assert!(
        sql(&mut open, "SELECT 1").await.is_err(),
        "its session was ended"
    );
    furnish(&world, &theirs, &mark, &former).await;

    for stranger in [theirs.owner.as_str(), "reporting"] {
        let entered = world.open(name, stranger, crate::world::PASSWORD).await;
        assert_eq!(state(entered), "42501", "{stranger} is shut out");
    }
    let logins = names::login_names(&theirs.name);
    let mut router = world.login(&theirs.name, &logins.router).await.expect("in");
    for text in [
        "INSERT INTO public.orders (who) VALUES ('eve')",
        "UPDATE app.events SET what = 'x'; INSERT INTO app.events VALUES ('2024-01-01', 'y')",
        "INSERT INTO \"Odd \"\"Name\"\"\".\"Table; DROP\" VALUES (1)",
        "SELECT nextval('app.free'), app.secret(1), * FROM app.totals",
        "SELECT lo_get(4711), lo_put(4711, 0, 'A')",
        "SELECT count(*) FROM app.kept; CALL app.work()",
        "SELECT database_id FROM tenantry_self.identity",
    ] {
        sql(&mut router, text).await.expect(text);
    }
    assert_eq!(
        state(sql(&mut router, "CREATE TABLE public.t (i int)").await),
        "42501"
    );
    assert_eq!(
        state(sql(&mut router, "CREATE TABLE app.t (i int)").await),
        "42501"
    );
    let mut owner = world.login(&theirs.name, &logins.owner).await.expect("in");
    sql(
        &mut owner,
        "ALTER TABLE public.orders ADD COLUMN note text; CREATE TABLE app.new_one (i int);
                     CREATE SCHEMA later; CREATE VIEW later.v AS SELECT 1 AS one;
                     CREATE TABLE tenantry.ours (i int REFERENCES public.orders (id))",
    )
    .await
    .expect("migrations go on");
    sql(&mut router, "INSERT INTO app.new_one VALUES (1)")
        .await
        .expect("defaults hold");
    let mut user = world.login(&theirs.name, &logins.user).await.expect("in");
    sql(&mut user, "SELECT lo_from_bytea(4712, 'its own')")
        .await
        .expect("made");

    unfurnish(&world, &theirs, &mark, &former).await;
    adoption::give_back(&mut conn, &theirs.name, &mark, &former)
        .await
        .expect("given back");

    // What was made meanwhile is the owner's now, who removes it.
    let mut back = theirs.session(&world).await;
    sql(
        &mut back,
        "SELECT lo_unlink(4712); DROP TABLE app.new_one; DROP SCHEMA later CASCADE;
                    ALTER TABLE public.orders DROP COLUMN note",
    )
    .await
    .expect("its own again");
    assert_eq!(
        one::<i64>(&mut back, "SELECT count(*) FROM public.orders").await,
        3,
        "what was written stays"
    );
    // Tried with the schemas' rights not given back: PUBLIC's CREATE on `app` was gone.
    assert_same(&before, &picture(&world, name).await);
    let mut reporting = world
        .open(name, "reporting", crate::world::PASSWORD)
        .await
        .expect("let in again");
    sql(&mut reporting, "SELECT * FROM public.orders")
        .await
        .expect("may read again");
}

async fn each_direction_may_be_cut_off_and_repeated(world: World) {
    let theirs = theirs(&world).await.filled(&world).await;
    let before = picture(&world, theirs.name.as_str()).await;
    let former = look(&world, theirs.name.as_str(), &agreed())
        .await
        .0
        .expect("how it was");
    let (mark, mut conn) = (world.mark(), world.conn().await);
    // Nothing done yet, and everything given back.
    adoption::give_back(&mut conn, &theirs.name, &mark, &former)
        .await
        .expect("nothing to do");
    assert_same(&before, &picture(&world, theirs.name.as_str()).await);
    for _ in 0..2 {
        adoption::take(&mut conn, &theirs.name, &mark, &former, &agreed())
            .await
            .expect("taken");
    }
    let taken = picture(&world, theirs.name.as_str()).await;
    unfurnish(&world, &theirs, &mark, &former).await;
    assert_same(&taken, &picture(&world, theirs.name.as_str()).await);
    for _ in 0..2 {
        furnish(&world, &theirs, &mark, &former).await;
    }
    for _ in 0..2 {
        unfurnish(&world, &theirs, &mark, &former).await;
    }
    for _ in 0..2 {
        adoption::give_back(&mut conn, &theirs.name, &mark, &former)
            .await
            .expect("given back");
    }
    assert_same(&before, &picture(&world, theirs.name.as_str()).await);
}

async fn what_was_changed_since_the_look_is_not_taken(world: World) {
    let theirs = theirs(&world).await;
    let former = look(&world, theirs.name.as_str(), &agreed())
        .await
        .0
        .expect("how it was");
    let (mark, mut conn) = (world.mark(), world.conn().await);
    let mut superuser = world.superuser("postgres").await;
    let grant = format!("GRANT TEMPORARY ON DATABASE {} TO reporting", theirs.name);
    sql(&mut superuser, &grant).await.expect("granted");
    let taken = adoption::take(&mut conn, &theirs.name, &mark, &former, &agreed()).await;
    // Tried without the proof in the transaction: it was taken.
    assert!(taken.is_err(), "somebody granted something in between");
    assert_eq!(
        databases::mark_of(&mut conn, &theirs.name)
            .await
            .expect("asked"),
        None
    );
    // Nobody agreed to the end of this session.
    let former = look(&world, theirs.name.as_str(), &agreed())
        .await
        .0
        .expect("how it was");
    let mut open = theirs.session(&world).await;
    let stays = Consent {
        disconnect: false,
        ..agreed()
    };
    let taken = adoption::take(&mut conn, &theirs.name, &mark, &former, &stays).await;
    assert!(
        matches!(
            taken,
            Err(tenantry_cluster::ClusterError::StillConnected { count: 1 })
        ),
        "{taken:?}"
    );
    sql(&mut open, "SELECT 1").await.expect("its session stays");
    adoption::give_back(&mut conn, &theirs.name, &mark, &former)
        .await
        .expect("given back");
}

async fn what_needs_our_tables_keeps_them_from_going(world: World) {
    let theirs = theirs(&world).await;
    let former = look(&world, theirs.name.as_str(), &agreed())
        .await
        .0
        .expect("how it was");
    let (mark, mut conn) = (world.mark(), world.conn().await);
    adoption::take(&mut conn, &theirs.name, &mark, &former, &agreed())
        .await
        .expect("taken");
    furnish(&world, &theirs, &mark, &former).await;
    let logins = names::login_names(&theirs.name);
    let mut owner = world.login(&theirs.name, &logins.owner).await.expect("in");
    sql(
        &mut owner,
        "CREATE TABLE tenantry.users (id int PRIMARY KEY, other int REFERENCES tenantry.users);
                     CREATE TABLE public.mine (who int REFERENCES tenantry.users);
                     CREATE VIEW public.seen AS SELECT * FROM tenantry.users",
    )
    .await
    .expect("made");
    drop(owner);
    let mut inside = inside(&world, &theirs).await;
    let held = adoption::held_by(&mut conn, &mut inside, &mark, &former)
        .await
        .expect("asked");
    assert_eq!(held.len(), 2, "{held:?}");
    let out = adoption::unfurnish(&mut conn, &mut inside, &mark, &former).await;
    assert!(out.is_err(), "{out:?}");
    let found = identity::read(&mut inside)
        .await
        .expect("asked")
        .expect("still there");
    assert_eq!(found.database, mark.database);
}

async fn adopted(world: &World) -> (Theirs, Former, Mark) {
    let theirs = theirs(world).await.filled(world).await;
    let former = look(world, theirs.name.as_str(), &agreed()).await.0;
    let (former, mark) = (former.expect("how it was"), world.mark());
    let mut conn = world.conn().await;
    adoption::take(&mut conn, &theirs.name, &mark, &former, &agreed())
        .await
        .expect("taken");
    furnish(world, &theirs, &mark, &former).await;
    (theirs, former, mark)
}

async fn held(world: &World, theirs: &Theirs, mark: &Mark, former: &Former) -> Vec<String> {
    let (mut conn, mut inside) = (world.conn().await, inside(world, theirs).await);
    adoption::held_by(&mut conn, &mut inside, mark, former)
        .await
        .expect("asked")
}

async fn code_that_a_tenant_wrote_does_not_get_its_former_owners_rights(world: World) {
    let (theirs, former, mark) = adopted(&world).await;
    assert_eq!(
        held(&world, &theirs, &mark, &former).await,
        Vec::<String>::new()
    );
    let logins = names::login_names(&theirs.name);
    let mut owner = world.login(&theirs.name, &logins.owner).await.expect("in");
    sql(
        &mut owner,
        "CREATE FUNCTION public.planted() RETURNS name LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user';
         CREATE PROCEDURE public.plain() LANGUAGE sql AS 'SELECT 1';
         CREATE OR REPLACE FUNCTION app.secret(n int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT n + 2'",
    )
    .await
    .expect("made");
    drop(owner);
    let told = held(&world, &theirs, &mark, &former).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("app.secret(integer) ") && told[1].contains("public.planted()"));

    // What was made between the question and the fence: it is there, and is anybody's.
    unfurnish(&world, &theirs, &mark, &former).await;
    let mut conn = world.conn().await;
    adoption::give_back(&mut conn, &theirs.name, &mark, &former)
        .await
        .expect("given back");
    let mut superuser = world.superuser(theirs.name.as_str()).await;
    // Tried without SECURITY INVOKER in the way back: both were the former owner's, with its rights.
    let definers =
        "SELECT count(*) FROM pg_proc WHERE prosecdef AND proname IN ('planted', 'secret')";
    assert_eq!(one::<i64>(&mut superuser, definers).await, 0);

    // An owner that became more than a plain role meanwhile.
    let (theirs, former, mark) = adopted(&world).await;
    let quoted = format!("\"{}\"", theirs.owner.replace('"', "\"\""));
    let sudo = format!("ALTER ROLE {quoted} CREATEROLE");
    sql(&mut superuser, &sudo).await.expect("more");
    let told = held(&world, &theirs, &mark, &former).await;
    assert!(
        matches!(&told[..], [one] if one.contains("CREATEROLE")),
        "{told:?}"
    );
}

async fn what_cannot_change_hands_is_told_before_anybody_is_shut_out(world: World) {
    let (theirs, former, mark) = adopted(&world).await;
    let logins = names::login_names(&theirs.name);
    let mut owner = world.login(&theirs.name, &logins.owner).await.expect("in");
    sql(
        &mut owner,
        "CREATE TABLE public.mine (i int); CREATE PUBLICATION news FOR TABLE public.mine;
         CREATE POLICY ours ON public.mine TO tenantry_app USING (true)",
    )
    .await
    .expect("made");
    let trusted = "SELECT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'citext' AND trusted)";
    let extension = one::<bool>(&mut owner, trusted).await;
    if extension {
        sql(&mut owner, "CREATE EXTENSION citext")
            .await
            .expect("trusted");
    }
    let told = held(&world, &theirs, &mark, &former).await.join("\n");
    assert!(told.contains("publication news"), "{told}");
    assert!(
        told.contains("policy ours on public.mine names tenantry_app"),
        "{told}"
    );
    assert_eq!(told.contains("extension citext"), extension, "{told}");
    let (mut conn, mut inside) = (world.conn().await, inside(&world, &theirs).await);
    let out = adoption::unfurnish(&mut conn, &mut inside, &mark, &former).await;
    assert!(out.is_err(), "{out:?}");

    sql(
        &mut owner,
        "DROP PUBLICATION news; DROP POLICY ours ON public.mine; DROP EXTENSION IF EXISTS citext",
    )
    .await
    .expect("dropped");
    // What goes by itself, whatever a tenant's logins did with it.
    sql(
        &mut owner,
        &format!(
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reporting;
             GRANT SELECT ON public.mine TO {} WITH GRANT OPTION; GRANT INSERT (i) ON public.mine TO {}",
            logins.user, logins.user
        ),
    )
    .await
    .expect("granted");
    let mut user = world.login(&theirs.name, &logins.user).await.expect("in");
    sql(
        &mut user,
        "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC; GRANT SELECT ON public.mine TO reporting",
    )
    .await
    .expect("passed on");
    drop((owner, user));
    assert_eq!(
        held(&world, &theirs, &mark, &former).await,
        Vec::<String>::new()
    );
    unfurnish(&world, &theirs, &mark, &former).await;
    let mut superuser = world.superuser(theirs.name.as_str()).await;
    // Tried with the default privileges left as they were, and without CASCADE: the way back ended in an error.
    let left = "SELECT count(*) FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
                WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND (r.rolname LIKE 'tenantry\\_%' OR r.rolname LIKE 'legacy%\\_user')";
    assert_eq!(one::<i64>(&mut superuser, left).await, 0);
}

async fn what_cannot_be_taken_over_is_refused_with_its_reason(world: World) {
    let none = Consent::default();
    // What is done inside by the superuser, or to the database `$db` and its owner `$owner`, and what is said then.
    let cases: &[(&str, &str)] = &[
        ("SELECT 1", ""),
        ("CREATE SCHEMA tenantry", "ADOPT_TRACES"),
        ("CREATE TABLE public.change_counter (); CREATE TABLE public.doctor_runs (); ALTER TABLE public.change_counter OWNER TO $owner;
          ALTER TABLE public.doctor_runs OWNER TO $owner", "ADOPT_TRACES"),
        ("CREATE TABLE public.t (i int)", "ADOPT_OTHERS_OWN"),
        ("CREATE SCHEMA s AUTHORIZATION reporting", "ADOPT_OTHERS_OWN"),
        ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ADOPT_OTHERS_OWN"),
        ("CREATE TYPE public.e AS ENUM ('a')", "ADOPT_OTHERS_OWN"),
        ("SELECT lo_create(0)", "ADOPT_OTHERS_OWN"),
        ("ALTER SCHEMA public OWNER TO postgres", "ADOPT_OTHERS_OWN"),
        ("CREATE FUNCTION public.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
          ALTER FUNCTION public.f() OWNER TO $owner; CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION public.f()", "ADOPT_UNSAFE"),
        ("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w", "ADOPT_UNSAFE"),
        ("CREATE EXTENSION file_fdw", "ADOPT_EXTENSIONS"),
        // Tried without the question: all were taken.
        ("ALTER DATABASE $db SET search_path = app, pg_catalog", "ADOPT_UNSAFE"),
        ("ALTER DATABASE $db SET role = $owner", "ADOPT_UNSAFE"),
        ("ALTER ROLE tenantry_admin IN DATABASE $db SET default_transaction_read_only = on", "ADOPT_UNSAFE"),
        // Tried without the question: it was taken, and everybody could hang a trigger on the identity.
        ("ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_admin GRANT ALL ON TABLES TO PUBLIC", "ADOPT_UNSAFE"),
        ("CREATE PUBLICATION p", "ADOPT_REPLICATION"),
        ("GRANT CONNECT ON DATABASE $db TO reporting", "ADOPT_OTHER_LOGINS"),
        ("GRANT CONNECT ON DATABASE $db TO reporting WITH GRANT OPTION; SET SESSION AUTHORIZATION reporting;
          GRANT CONNECT ON DATABASE $db TO tenantry_app; RESET SESSION AUTHORIZATION", "ADOPT_RIGHTS_PASSED_ON ADOPT_OTHER_LOGINS"),
        ("ALTER DATABASE $db OWNER TO postgres", "ADOPT_OWNER"),
        ("ALTER ROLE $owner SUPERUSER", "ADOPT_OWNER"),
        // Whose rights what a tenant writes would get when it is un-adopted. Tried without the question: all were taken.
        ("ALTER DATABASE $db OWNER TO tenantry_admin", "ADOPT_OWNER"),
        ("ALTER ROLE $owner CREATEROLE", "ADOPT_OWNER"),
        ("ALTER ROLE $owner REPLICATION", "ADOPT_OWNER"),
        ("ALTER ROLE $owner BYPASSRLS", "ADOPT_OWNER"),
        ("GRANT pg_execute_server_program TO $owner", "ADOPT_OWNER"),
        ("CREATE ROLE creators CREATEROLE; CREATE ROLE team IN ROLE creators; GRANT team TO $owner", "ADOPT_OWNER"),
        ("ALTER ROLE $owner CREATEDB", ""),
        ("ALTER DATABASE $db IS_TEMPLATE true", "ADOPT_SYSTEM_DATABASE"),
        ("CREATE ROLE $db_user", "ADOPT_LOGINS_TAKEN"),
        ("COMMENT ON DATABASE $db IS 'tenantry:00000000-0000-0000-0000-000000000001:00000000-0000-0000-0000-000000000001'", "ADOPT_TAKEN"),
    ];
    let mut wrong = Vec::new();
    for (what, expected) in cases {
        let theirs = theirs(&world).await;
        let mut superuser = world.superuser(theirs.name.as_str()).await;
        let owner = format!("\"{}\"", theirs.owner.replace('"', "\"\""));
        // What `theirs` grants is not looked at here.
        let text = format!(
            "REVOKE ALL ON DATABASE {} FROM reporting; {what}",
            theirs.name
        );
        let text = text.replace("$db_user", &format!("{}_user", theirs.name.as_str()));
        let text = text
            .replace("$db", theirs.name.as_str())
            .replace("$owner", &owner);
        if what.contains("file_fdw")
            && !one::<bool>(
                &mut superuser,
                "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'file_fdw')",
            )
            .await
        {
            continue;
        }
        for statement in text
            .split(';')
            .filter(|s| !s.trim().is_empty())
            .collect::<Vec<_>>()
            .join(";\n")
            .split(";\n")
        {
            // A body in quotes may hold a semicolon: those are written without one here.
            sql(&mut superuser, statement).await.expect(statement);
        }
        drop(superuser);
        settled(&world, &theirs).await;
        let codes = look(&world, theirs.name.as_str(), &none).await.1;
        let missing = expected
            .split(' ')
            .any(|one| !one.is_empty() && !codes.contains(&one));
        if missing || (expected.is_empty() && !codes.is_empty()) {
            wrong.push(format!("{what}: {codes:?}"));
        }
        if world.version >= 16 && what.starts_with("SELECT 1") {
            // There nobody may do anything with a role that nobody has given to him.
            let mut superuser = world.superuser("postgres").await;
            sql(
                &mut superuser,
                &format!("REVOKE {owner} FROM tenantry_admin"),
            )
            .await
            .expect("revoked");
            assert_eq!(
                look(&world, theirs.name.as_str(), &none).await.1,
                ["ADOPT_OWNER"]
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (name, code) in [
        ("nowhere", "ADOPT_NO_DATABASE"),
        ("postgres", "ADOPT_SYSTEM_DATABASE"),
        ("template1", "ADOPT_SYSTEM_DATABASE"),
    ] {
        assert_eq!(look(&world, name, &none).await.1, [code], "{name}");
    }
    let tenant = world.tenant().await;
    assert_eq!(
        look(&world, tenant.db.as_str(), &none).await.1,
        ["ADOPT_TAKEN"]
    );

    let theirs = theirs(&world).await;
    let mut superuser = world.superuser("postgres").await;
    sql(
        &mut superuser,
        &format!("REVOKE ALL ON DATABASE {} FROM reporting", theirs.name),
    )
    .await
    .expect("revoked");
    let open = theirs.session(&world).await;
    assert_eq!(
        look(&world, theirs.name.as_str(), &none).await.1,
        ["ADOPT_SESSIONS"]
    );
    drop(open);
    settled(&world, &theirs).await;
    sql(&mut superuser, "CREATE DATABASE legacy_latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0").await.expect("made");
    assert!(
        look(&world, "legacy_latin", &none)
            .await
            .1
            .contains(&"ADOPT_ENCODING")
    );
    sql(&mut superuser, "CREATE DATABASE \"Odd-name\"")
        .await
        .expect("made");
    let mut conn = world.conn().await;
    let found = adoption::shared(&mut conn, world.installation, "Odd-name", &none)
        .await
        .expect("looked");
    assert_eq!(found.refusals[0].code(), "ADOPT_NAME");
    for text in ["CREATE DATABASE legacy_long_name_of_sixty_characters_that_leaves_no_room_for_us"]
    {
        sql(&mut superuser, text).await.expect(text);
    }
    let long = "legacy_long_name_of_sixty_characters_that_leaves_no_room_for_us";
    let found = adoption::shared(&mut conn, world.installation, long, &none)
        .await
        .expect("looked");
    assert_eq!(found.refusals[0].code(), "ADOPT_NAME");
}

/// Until the server has forgotten the test's own sessions in the database.
async fn settled(world: &World, theirs: &Theirs) {
    let mut superuser = world.superuser("postgres").await;
    let text = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
        theirs.name.as_str()
    );
    while one::<i64>(&mut superuser, &text).await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
