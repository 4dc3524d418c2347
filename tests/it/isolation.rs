//! The walls between tenants: tokens, headers, logins, and what an owner login could plot

use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_testkit::{Dev, Serve, Tenant, refusal, shared};

const KNOWN: &str = "known-to-the-test-0123456789";

#[tokio::test]
async fn a_token_of_one_is_refused_at_the_other() {
    let dev = shared();
    let (acme, other) = (dev.tenant("iso").await, dev.tenant("iso").await);
    let at_other = other.admin.bearer(acme.admin.token());
    for (method, path, body) in [
        (Method::GET, "/me".to_owned(), None),
        (Method::GET, "/users".to_owned(), None),
        (Method::GET, format!("/users/{}", other.user_id), None),
        (Method::GET, format!("/users/{}", acme.user_id), None),
        (
            Method::POST,
            "/users".to_owned(),
            Some(json!({ "email": "eve@evil.example" })),
        ),
        (Method::DELETE, format!("/users/{}", other.user_id), None),
    ] {
        let mut request = at_other.request(method, &path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await;
        answer.problem(403, "WRONG_TENANT");
        assert!(!answer.text.contains(&other.email), "{answer}");
    }
    let listed = other.admin.get("/users").await;
    assert!(!listed.text.contains("eve@evil.example"), "{listed}");
}

#[tokio::test]
async fn a_header_cannot_lead_a_token_to_another_tenant() {
    let dev = shared();
    let (acme, other) = (dev.tenant("head").await, dev.tenant("head").await);
    let get = |host: &str, header: &str, value: &str| {
        acme.admin
            .host(host)
            .request(Method::GET, "/users")
            .header(header, value)
            .send()
    };
    let (base, own) = (dev.host(None), dev.host(Some(&acme.slug)));
    // `dev` reads the header: it names the tenant where the host does not.
    let answer = get(&base, "x-tenant-id", &acme.id).await;
    assert!(
        answer.status == 200 && answer.text.contains(&acme.email),
        "{answer}"
    );
    // But all that name a tenant must name the same.
    for host in [&base, &own] {
        for named in [&other.id, &other.slug] {
            let answer = get(host, "x-tenant-id", named).await;
            assert!(matches!(answer.status, 400 | 403 | 404), "{answer}");
            assert!(!answer.text.contains(&other.email), "{answer}");
        }
        let junk = get(host, "x-tenant-id", "../../etc").await;
        assert!(matches!(junk.status, 400 | 403 | 404 | 422), "{junk}");
    }
    for header in ["x-forwarded-host", "forwarded", "x-original-host", "x-host"] {
        let value = dev.host(Some(&other.slug));
        let value = if header == "forwarded" {
            format!("host={value}")
        } else {
            value
        };
        let answer = get(&own, header, &value).await;
        assert!(
            answer.status == 200 && answer.text.contains(&acme.email),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn serve_reads_no_header_that_anyone_can_write() {
    let dev = shared();
    let (acme, other) = (dev.tenant("serve").await, dev.tenant("serve").await);
    let serve = Serve::join(dev, "headers", &[("TENANTRY_ALLOW_TENANT_HEADER", "false")]);
    let own = format!("{}.localhost", acme.slug);
    for (header, value) in [
        ("x-tenant-id", other.id.clone()),
        ("x-tenant-id", other.slug.clone()),
        ("x-forwarded-host", format!("{}.localhost", other.slug)),
        ("forwarded", format!("host={}.localhost", other.slug)),
    ] {
        let with = |client: tenantry_testkit::Client| {
            client
                .request(Method::GET, "/users")
                .header(header, &value)
                .send()
        };
        // Signed in: it is the host's tenant, whatever the header says.
        let answer = with(serve.base().host(&own).bearer(acme.admin.token())).await;
        assert!(
            answer.status == 200 && answer.text.contains(&acme.email),
            "{header}: {answer}"
        );
        assert!(!answer.text.contains(&other.email), "{header}: {answer}");
        // The other's token is not helped by a header that names its tenant.
        with(serve.base().host(&own).bearer(other.admin.token()))
            .await
            .problem(403, "WRONG_TENANT");
        // At the base domain the header names nobody: the address alone says which tenant it is.
        let login = json!({ "email": acme.email, "password": tenantry_testkit::ADMIN_PASSWORD });
        let answer = serve
            .base()
            .request(Method::POST, "/auth/login")
            .header(header, &value)
            .json(&login)
            .send()
            .await;
        let opened = answer.expect(200);
        assert_eq!(
            opened["tenants"][0]["tenantId"],
            acme.id.as_str(),
            "{header}"
        );
        assert_eq!(
            opened["tenants"].as_array().map(Vec::len),
            Some(1),
            "{header}"
        );
        assert!(opened["accessToken"].is_null(), "{header}");
    }
}

#[tokio::test]
async fn postgres_itself_lets_each_login_into_its_own_database_only() {
    let dev = Dev::start();
    let (acme, other) = (dev.tenant("wall").await, dev.tenant("wall").await);
    let pg = dev.pg();
    // What Postgres says of every login that is a tenant's and every database.
    let allowed = pg
        .texts(
            "postgres",
            "SELECT format('%s at %s', r.rolname, d.datname) FROM pg_roles r, pg_database d
             WHERE d.datallowconn AND r.rolname LIKE 'tenant\\_%' AND has_database_privilege(r.oid, d.oid, 'CONNECT')
             ORDER BY 1",
        )
        .await;
    let mut expected = Vec::new();
    for tenant in [&acme, &other] {
        expected.extend(
            tenant
                .logins()
                .map(|login| format!("{login} at {}", tenant.db_name)),
        );
    }
    expected.sort();
    assert_eq!(allowed, expected);

    // And what happens when they try.
    let mut others = pg
        .texts("postgres", "SELECT datname::text FROM pg_database")
        .await;
    others.retain(|name| *name != acme.db_name);
    for must in [
        &other.db_name,
        &pg.catalog,
        &"postgres".to_owned(),
        &"template1".to_owned(),
    ] {
        assert!(others.contains(must), "{must} in {others:?}");
    }
    let told = (acme.db_username.clone(), acme.db_password.clone());
    let mut tries = vec![told];
    for login in [acme.owner(), acme.router()] {
        pg.set_password(&login, KNOWN).await;
        tries.push((login, KNOWN.to_owned()));
    }
    for (login, password) in &tries {
        pg.connect(login, password, &acme.db_name)
            .await
            .expect("its own");
        for database in &others {
            let error = pg
                .connect(login, password, database)
                .await
                .expect_err("a wall");
            let state = refusal(&error).unwrap_or_default();
            // 42501: no CONNECT. 55000: a template accepts nobody.
            assert!(
                matches!(state.as_str(), "42501" | "55000"),
                "{login} at {database}: {error}"
            );
        }
        let error = pg
            .connect(login, "a wrong one", &acme.db_name)
            .await
            .expect_err("a password");
        assert_eq!(refusal(&error).as_deref(), Some("28P01"), "{error}");
    }
}

#[tokio::test]
async fn nobody_got_in_by_being_public_or_mighty() {
    let dev = Dev::start();
    let acme = dev.tenant("public").await;
    let pg = dev.pg();
    let open = pg
        .texts(
            "postgres",
            "SELECT datname::text FROM pg_database
             WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT')",
        )
        .await;
    assert_eq!(open, [""; 0], "open to everybody");
    let mighty = pg
        .texts(
            "postgres",
            "SELECT rolname::text FROM pg_roles
             WHERE (rolname LIKE 'tenant\\_%' OR rolname IN ('tenantry_owner', 'tenantry_app', 'tenantry_readonly'))
               AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)",
        )
        .await;
    assert_eq!(mighty, [""; 0]);
    // Of each database the admin login is the owner, and it is no superuser.
    let owners = pg
        .texts(
            "postgres",
            "SELECT DISTINCT format('%s super=%s', r.rolname, r.rolsuper) FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
             WHERE d.datname LIKE 'tenant\\_%'",
        )
        .await;
    assert_eq!(owners.len(), 1, "{owners:?}");
    assert!(owners[0].ends_with("super=f"), "{owners:?}");
    // The product works with that login, never with the superuser.
    acme.admin.get("/me").await.expect(200);
    let sessions = pg
        .texts(
            "postgres",
            "SELECT application_name FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
             WHERE r.rolsuper AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()",
        )
        .await;
    assert_eq!(sessions, [""; 0], "sessions of a superuser");
}

#[tokio::test]
async fn a_runtime_login_makes_nothing() {
    let dev = shared();
    let acme = dev.tenant("ddl").await;
    let pg = dev.pg();
    pg.set_password(&acme.router(), KNOWN).await;
    for (login, password) in [
        (acme.db_username.clone(), acme.db_password.clone()),
        (acme.router(), KNOWN.to_owned()),
    ] {
        let mut conn = pg
            .connect(&login, &password, &acme.db_name)
            .await
            .expect("its own");
        for statement in [
            "CREATE TABLE public.plot (x int)",
            "CREATE TABLE tenantry.plot (x int)",
            "CREATE TABLE tenantry_self.plot (x int)",
            "CREATE TEMP TABLE plot (x int)",
            "CREATE SCHEMA plot",
            "CREATE VIEW public.plot AS SELECT 1",
            "CREATE FUNCTION public.plot() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "ALTER TABLE tenantry.users ADD COLUMN plot int",
            "DROP TABLE tenantry.users",
            "CREATE INDEX ON tenantry.users (name)",
            "CREATE TRIGGER plot BEFORE INSERT ON tenantry.users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "UPDATE tenantry_self.identity SET epoch = 99",
            "INSERT INTO tenantry.migrations SELECT * FROM tenantry.migrations",
            "CREATE DATABASE plot",
            "CREATE ROLE plot",
            "SET ROLE tenantry_owner",
            "SET SESSION AUTHORIZATION postgres",
            "COPY tenantry.users TO PROGRAM 'cat'",
            "SELECT pg_read_file('PG_VERSION')",
            "SELECT rolpassword FROM pg_authid",
        ] {
            refuses(&mut conn, statement).await;
        }
        // What it is for works.
        sqlx::query("UPDATE tenantry.users SET name = 'Ann'")
            .execute(&mut conn)
            .await
            .expect("its rows");
    }
}

#[tokio::test]
async fn an_owner_login_cannot_plot_against_the_product() {
    let dev = shared();
    let acme = dev.tenant("plot").await;
    let pg = dev.pg();
    pg.set_password(&acme.owner(), KNOWN).await;
    let mut owner = pg
        .connect(&acme.owner(), KNOWN, &acme.db_name)
        .await
        .expect("its own");
    let before = what_must_not_change(dev, &acme).await;
    for statement in plots(&acme.db_name) {
        refuses(&mut owner, &statement).await;
    }
    assert_eq!(what_must_not_change(dev, &acme).await, before);
    // What it is for works.
    sqlx::raw_sql("CREATE TABLE public.mine (x int); DROP TABLE public.mine")
        .execute(&mut owner)
        .await
        .expect("its tables");
}

/// What an owner login would try, each to be refused.
pub(crate) fn plots(db: &str) -> Vec<String> {
    let login = |kind: &str| format!("{db}_{kind}");
    let mut plots: Vec<String> = [
        "CREATE TRIGGER plot BEFORE INSERT OR UPDATE ON tenantry_self.identity FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE plot AS ON UPDATE TO tenantry_self.identity DO INSTEAD NOTHING",
        "ALTER TABLE tenantry_self.identity ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE tenantry_self.identity OWNER TO CURRENT_USER",
        "ALTER TABLE tenantry_self.identity RENAME TO was",
        "UPDATE tenantry_self.identity SET epoch = epoch + 1",
        "INSERT INTO tenantry_self.identity SELECT * FROM tenantry_self.identity",
        "DELETE FROM tenantry_self.identity",
        "TRUNCATE tenantry_self.identity",
        "DROP TABLE tenantry_self.identity",
        "DO $$ BEGIN LOCK TABLE tenantry_self.identity IN ACCESS EXCLUSIVE MODE; END $$",
        "DROP SCHEMA tenantry_self CASCADE",
        "ALTER SCHEMA tenantry_self RENAME TO was",
        "CREATE TABLE tenantry_self.plot (x int)",
        "CREATE VIEW tenantry_self.plot AS SELECT 1",
        "CREATE FUNCTION tenantry_self.plot() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE pg_catalog.plot (x int)",
        "CREATE EVENT TRIGGER plot ON ddl_command_start EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE ROLE plot",
        "CREATE DATABASE plot",
        "ALTER ROLE tenantry_owner SUPERUSER",
        "ALTER ROLE tenantry_owner LOGIN",
        "ALTER ROLE tenantry_admin PASSWORD 'plot'",
        "SET ROLE tenantry_admin",
        "SET SESSION AUTHORIZATION tenantry_admin",
        "ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_admin GRANT ALL ON TABLES TO PUBLIC",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "SELECT pg_read_file('PG_VERSION')",
        "ALTER SYSTEM SET log_statement = 'all'",
        "REASSIGN OWNED BY tenantry_admin TO CURRENT_USER",
        "DROP OWNED BY tenantry_admin",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenantry_admin'",
    ]
    .map(str::to_owned)
    .to_vec();
    for who in [
        "PUBLIC".to_owned(),
        login("user"),
        "tenantry_app".to_owned(),
    ] {
        plots.push(format!("GRANT CONNECT ON DATABASE {db} TO {who}"));
        plots.push(format!("GRANT ALL ON DATABASE {db} TO {who}"));
        plots.push(format!("GRANT CONNECT ON DATABASE postgres TO {who}"));
    }
    plots.extend([
        format!("REVOKE CONNECT ON DATABASE {db} FROM {}", login("router")),
        format!("ALTER DATABASE {db} CONNECTION LIMIT 0"),
        format!("ALTER DATABASE {db} CONNECTION LIMIT 100000"),
        format!("ALTER DATABASE {db} ALLOW_CONNECTIONS false"),
        format!("ALTER DATABASE {db} RENAME TO plot"),
        format!("ALTER DATABASE {db} OWNER TO CURRENT_USER"),
        format!("ALTER DATABASE {db} SET search_path = public"),
        format!("COMMENT ON DATABASE {db} IS 'tenantry:plot'"),
        format!("DROP DATABASE {db}"),
        format!("ALTER ROLE {} PASSWORD 'plot'", login("router")),
        format!("ALTER ROLE {} NOLOGIN", login("user")),
        format!("GRANT tenantry_owner TO {}", login("user")),
        format!("GRANT tenantry_admin TO {}", login("owner")),
        format!("GRANT pg_read_all_data TO {}", login("owner")),
    ]);
    plots
}

/// A statement gets an error, or is one of those that only warn; the caller looks at what changed.
pub(crate) async fn refuses(conn: &mut PgConnection, statement: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *conn)
        .await;
    // GRANT and REVOKE without the right to do so warn, and do nothing.
    let only_warns = statement.starts_with("GRANT") || statement.starts_with("REVOKE");
    match done {
        Ok(_) => assert!(only_warns, "it was done: {statement}"),
        Err(error) => {
            let state = refusal(&error).unwrap_or_default();
            // 42501: not allowed; 0LP01, 0A000, 22023: not allowed in this form; 2BP01: in use.
            let refused = matches!(
                state.as_str(),
                "42501" | "0LP01" | "42809" | "0A000" | "22023" | "2BP01"
            );
            assert!(refused, "{statement}: {error}");
        }
    }
}

async fn what_must_not_change(dev: &Dev, tenant: &Tenant) -> Vec<String> {
    let pg = dev.pg();
    let db = &tenant.db_name;
    let mut all = Vec::new();
    for sql in [
        format!("SELECT format('%s %s %s %s %s', datname, datdba::regrole, datacl, datconnlimit, datallowconn) FROM pg_database WHERE datname IN ('{db}', 'postgres', 'template1', '{}') ORDER BY 1", pg.catalog),
        format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{db}'"),
        format!("SELECT format('%s %s %s', rolname, rolcanlogin, rolconfig) FROM pg_roles WHERE rolname LIKE '{db}\\_%' OR rolname LIKE 'tenantry\\_%' ORDER BY 1"),
        format!("SELECT format('%s in %s', member::regrole, roleid::regrole) FROM pg_auth_members WHERE member::regrole::text LIKE '{db}\\_%' ORDER BY 1"),
        "SELECT i::text FROM tenantry_self.identity i".to_owned(),
        "SELECT format('%s %s', relname, relacl) FROM pg_class WHERE relnamespace = 'tenantry_self'::regnamespace ORDER BY 1".to_owned(),
        "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'tenantry_self.identity'::regclass".to_owned(),
    ] {
        all.extend(pg.texts(db, &sql).await);
    }
    all
}

#[tokio::test]
async fn what_one_owner_drops_is_not_missing_elsewhere() {
    let dev = Dev::start();
    let (acme, other) = (dev.tenant("drop").await, dev.tenant("drop").await);
    let pg = dev.pg();
    pg.set_password(&acme.owner(), KNOWN).await;
    let mut owner = pg
        .connect(&acme.owner(), KNOWN, &acme.db_name)
        .await
        .expect("its own");
    let rights = || async {
        pg.texts(
            "postgres",
            "SELECT format('%s %s', datname, datacl) FROM pg_database ORDER BY 1",
        )
        .await
    };
    let before = rights().await;
    // All tenants' owners are members of the same group; shared objects are reached from anywhere.
    for statement in [
        "DROP OWNED BY tenantry_owner CASCADE",
        "REASSIGN OWNED BY tenantry_owner TO CURRENT_USER",
        "DROP OWNED BY tenantry_app CASCADE",
        "DROP OWNED BY CURRENT_USER CASCADE",
    ] {
        // In its own database it may do what it likes to its own tables.
        let _ = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut owner)
            .await;
    }
    let others = |all: Vec<String>| -> Vec<String> {
        all.into_iter()
            .filter(|line| !line.starts_with(&acme.db_name))
            .collect()
    };
    assert_eq!(
        others(rights().await),
        others(before),
        "rights on other databases"
    );
    other.admin.get("/users").await.expect(200);
    // Others are migrated, and new ones made, as before.
    pg.run(&pg.catalog, "UPDATE databases SET schema = 'older'")
        .await;
    let told = dev.cli(&["migrate-all", "--output", "json"]);
    assert!(told.stdout.contains(&other.slug), "{told}");
    let shown = dev
        .operator()
        .get(&format!("/setup/tenants/{}", other.slug))
        .await
        .expect(200);
    assert_eq!(shown["schema"], "current", "{told}");
    dev.tenant("new").await;
}
