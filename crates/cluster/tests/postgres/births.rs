//! Logins and names, from a birth to a removal.

use std::process::Stdio;

use tenantry_cluster::logins::{self, Dropped, LoginKind};
use tenantry_cluster::names::{self, Naming};
use tenantry_cluster::{ClusterError, databases, identity};
use tenantry_types::{Secret, Slug};
use tenantry_vault::scram;

use crate::world::{PASSWORD, World, db, one, role, sql, state};

crate::tests! {
    each_step_of_a_birth_may_be_repeated,
    libpq_and_sqlx_log_in_with_our_verifiers,
    a_foreign_login_is_neither_changed_nor_dropped,
    a_login_is_dropped_after_its_database_and_not_before,
    a_rename_takes_database_and_logins_along_and_may_be_repeated,
    a_taken_name_is_refused_and_nothing_is_renamed,
    a_free_name_is_one_that_no_database_and_no_login_has,
    the_identity_is_written_once_and_belongs_to_one_database,
    a_clone_replaces_the_identity_of_its_template_and_no_other,
    a_clone_is_completed_whole_or_not_at_all,
}

/// Runs alone, as it is about what one machine can do.
pub(crate) async fn sixteen_births_at_once_all_succeed(world: World) {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let world = world.clone();
        running.spawn(async move { world.tenant().await });
    }
    let tenants = running.join_all().await;
    assert_eq!(tenants.len(), 16);
    let mut conn = world.conn().await;
    let found = databases::list(&mut conn, world.installation)
        .await
        .expect("listed");
    for tenant in &tenants {
        let found = found
            .iter()
            .find(|found| found.mark == tenant.mark)
            .expect("listed");
        assert!(
            found.open && !found.public && found.name == tenant.db.as_str(),
            "{found:?}"
        );
    }
    for tenant in &tenants {
        databases::drop_forced(&mut conn, &tenant.db, &tenant.mark)
            .await
            .expect("dropped");
        for login in tenant.logins.first() {
            for outcome in [Dropped::Gone, Dropped::Absent] {
                let dropped = logins::drop(&mut conn, &login, &tenant.mark).await;
                assert_eq!(dropped.expect("dropped"), outcome);
            }
        }
    }
}

async fn each_step_of_a_birth_may_be_repeated(world: World) {
    let tenant = world.tenant().await;
    let (name, mark) = (&tenant.db, &tenant.mark);
    let mut conn = world.conn().await;
    databases::create_closed(&mut conn, name, &world.template, mark)
        .await
        .expect("there");
    databases::mark(&mut conn, name, mark)
        .await
        .expect("marked");
    databases::revoke_public(&mut conn, name)
        .await
        .expect("closed");
    databases::grant_owner_create(&mut conn, name)
        .await
        .expect("granted");
    databases::prepare(&mut conn, name, mark)
        .await
        .expect("prepared");
    databases::grant_connect(&mut conn, name, &tenant.logins.first())
        .await
        .expect("granted");
    // As a restarted operation would: with another password.
    let mut login = world.new_login(&tenant.logins.user, LoginKind::User, *mark);
    login.verifier = scram::verifier(&Secret::new("another"), [9; 16], 1);
    logins::create(&mut conn, &login).await.expect("there");
    databases::admit(&mut conn, name, &tenant.logins.first())
        .await
        .expect("open");
    assert_eq!(
        databases::mark_of(&mut conn, name).await.expect("asked"),
        Some(*mark)
    );
    assert_eq!(
        state(world.login(name, &tenant.logins.user).await),
        "28P01",
        "the old password"
    );
    world
        .open(name.as_str(), tenant.logins.user.as_str(), "another")
        .await
        .expect("the new password");
    let mut superuser = world.superuser("postgres").await;
    let text = format!(
        "SELECT count(*) FROM pg_auth_members WHERE member = '{}'::regrole",
        tenant.logins.user.as_str()
    );
    assert_eq!(
        one::<i64>(&mut superuser, &text).await,
        1,
        "a member of its group alone"
    );
}

async fn libpq_and_sqlx_log_in_with_our_verifiers(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let user = &tenant.logins.user;
    for (password, iterations) in [("plain", 1), (PASSWORD, 4096), ("Ⅸ\u{ad} pässword", 2)] {
        let verifier = scram::verifier(&Secret::new(password), [3; 16], iterations);
        logins::set_password(&mut conn, user, &verifier, &tenant.mark)
            .await
            .expect("set");
        world
            .open(tenant.db.as_str(), user.as_str(), password)
            .await
            .expect("sqlx gets in");
        assert_eq!(
            state(world.open(tenant.db.as_str(), user.as_str(), "wrong").await),
            "28P01"
        );
        let psql = tokio::process::Command::new("psql")
            .args([
                "-X",
                "-h",
                "127.0.0.1",
                "-p",
                &world.port.to_string(),
                "-U",
                user.as_str(),
                "-c",
                "SELECT 1",
            ])
            .arg(tenant.db.as_str())
            .env("PGPASSWORD", password)
            .stdout(Stdio::null())
            .status();
        match psql.await {
            Ok(status) => assert!(status.success(), "psql gets in with {password}"),
            Err(error) => eprintln!("psql was not tried: {error}"),
        }
    }
    let error = logins::set_password(&mut conn, user, "in clear", &tenant.mark)
        .await
        .expect_err("no verifier");
    assert_eq!(error.code(), "INTERNAL");
}

async fn a_foreign_login_is_neither_changed_nor_dropped(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let name = role(&format!("foreign_{}", world.number()));
    let mut admin = world.raw_admin("postgres").await;
    sql(
        &mut admin,
        &format!(
            "CREATE ROLE {name} LOGIN PASSWORD 'theirs'; GRANT CONNECT ON DATABASE {} TO {name}",
            tenant.db
        ),
    )
    .await
    .expect("made");
    let login = world.new_login(&name, LoginKind::User, tenant.mark);
    let not_ours = |outcome: Result<(), ClusterError>| {
        assert!(
            matches!(outcome, Err(ClusterError::NotOurs(_))),
            "{outcome:?}"
        )
    };
    not_ours(logins::create(&mut conn, &login).await);
    not_ours(logins::set_password(&mut conn, &name, &login.verifier, &tenant.mark).await);
    not_ours(logins::rename(&mut conn, &name, &role("ours_now"), &tenant.mark).await);
    not_ours(logins::drop(&mut conn, &name, &tenant.mark).await.map(drop));
    let other = world.tenant().await;
    not_ours(
        logins::drop(&mut conn, &other.logins.user, &tenant.mark)
            .await
            .map(drop),
    );
    world
        .open(tenant.db.as_str(), name.as_str(), "theirs")
        .await
        .expect("their password still works");
}

async fn a_login_is_dropped_after_its_database_and_not_before(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let error = logins::drop(&mut conn, &tenant.logins.owner, &tenant.mark)
        .await
        .expect_err("it may connect");
    assert!(
        matches!(&error, ClusterError::Refused { sqlstate, .. } if sqlstate == "2BP01"),
        "{error}"
    );
    databases::drop_forced(&mut conn, &tenant.db, &tenant.mark)
        .await
        .expect("dropped");
    let dropped = logins::drop(&mut conn, &tenant.logins.owner, &tenant.mark).await;
    assert_eq!(dropped.expect("dropped"), Dropped::Gone);
}

async fn a_rename_takes_database_and_logins_along_and_may_be_repeated(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let slug = Slug::parse(&format!("re-name-{}", world.number())).expect("a slug");
    let to = names::free_base(&mut conn, Naming::Readable(&slug))
        .await
        .expect("a name");
    assert_eq!(to, names::database(&slug));
    // A crash after the logins were renamed by hand, before the database was.
    let (old, new) = (&tenant.logins, names::login_names(&to));
    logins::rename(&mut conn, &old.user, &new.user, &tenant.mark)
        .await
        .expect("renamed");
    logins::rename(&mut conn, &old.user, &new.user, &tenant.mark)
        .await
        .expect("was renamed");
    for _ in 0..2 {
        databases::rename_with_logins(&mut conn, &tenant.db, &to, &tenant.mark)
            .await
            .expect("renamed");
        databases::rename(&mut conn, &tenant.db, &to, &tenant.mark)
            .await
            .expect("was renamed");
    }
    for login in new.first() {
        let mut session = world
            .login(&to, &login)
            .await
            .expect("the password and CONNECT went along");
        let id: uuid::Uuid = one(
            &mut session,
            "SELECT database_id FROM tenantry_self.identity",
        )
        .await;
        assert_eq!(id, tenant.mark.database.as_uuid());
    }
    let mut session = world.login(&to, &new.owner).await.expect("in");
    assert_eq!(
        one::<String>(&mut session, "SELECT current_user::text").await,
        "tenantry_owner"
    );
    assert!(
        !databases::exists(&mut conn, &tenant.db)
            .await
            .expect("asked")
    );
}

async fn a_taken_name_is_refused_and_nothing_is_renamed(world: World) {
    let (first, second) = (world.tenant().await, world.tenant().await);
    let mut conn = world.conn().await;
    let rename = databases::rename_with_logins(&mut conn, &first.db, &second.db, &first.mark).await;
    assert!(
        matches!(rename, Err(ClusterError::NameTaken(_))),
        "{rename:?}"
    );
    // A login alone in the way: the database keeps its name as well.
    let to = db(&format!("tenant_in_the_way_{}", world.number()));
    let mut admin = world.raw_admin("postgres").await;
    sql(
        &mut admin,
        &format!("CREATE ROLE {}", names::login_names(&to).user),
    )
    .await
    .expect("made");
    let rename = databases::rename_with_logins(&mut conn, &first.db, &to, &first.mark).await;
    assert!(
        matches!(rename, Err(ClusterError::NameTaken(_))),
        "{rename:?}"
    );
    world
        .login(&first.db, &first.logins.owner)
        .await
        .expect("as before");
    let rename = databases::rename(&mut conn, &first.db, &to, &second.mark).await;
    assert!(
        matches!(rename, Err(ClusterError::NotOurs(_))),
        "{rename:?}"
    );
}

async fn a_free_name_is_one_that_no_database_and_no_login_has(world: World) {
    let mut conn = world.conn().await;
    let mut admin = world.raw_admin("postgres").await;
    let slug = Slug::parse(&format!("free-{}", world.number())).expect("a slug");
    let base = names::database(&slug);
    sql(&mut admin, &format!("CREATE DATABASE {base}"))
        .await
        .expect("made");
    sql(
        &mut admin,
        &format!("CREATE ROLE \"{}_2_router\"", base.as_str()),
    )
    .await
    .expect("made");
    // Longer names with the same beginning are others'.
    sql(
        &mut admin,
        &format!("CREATE ROLE \"{}_3x_owner\"", base.as_str()),
    )
    .await
    .expect("made");
    let free = names::free_base(&mut conn, Naming::Readable(&slug))
        .await
        .expect("a name");
    assert_eq!(free.as_str(), format!("{}_3", base.as_str()));
    let id = world.mark().database;
    let opaque = names::free_base(&mut conn, Naming::Opaque(id))
        .await
        .expect("a name");
    assert_eq!(opaque.as_str(), format!("tnt_{}", id.as_uuid().simple()));
}

async fn the_identity_is_written_once_and_belongs_to_one_database(world: World) {
    let tenant = world.tenant().await;
    let mark = tenant.mark;
    let mut inside = world.admin.enter(&tenant.db, "test").await.expect("inside");
    for epoch in [1, 1, 2] {
        identity::write(&mut inside, mark.installation, mark.database, epoch)
            .await
            .expect("written");
    }
    let error = identity::write(&mut inside, mark.installation, world.mark().database, 3).await;
    assert!(matches!(error, Err(ClusterError::NotOurs(_))), "{error:?}");
    for login in tenant.logins.first() {
        let mut session = world.login(&tenant.db, &login).await.expect("in");
        let text =
            "SELECT concat_ws('/', installation, database_id, epoch) FROM tenantry_self.identity";
        let read: String = one(&mut session, text).await;
        assert_eq!(read, format!("{}/{}/2", mark.installation, mark.database));
    }
}

async fn a_clone_replaces_the_identity_of_its_template_and_no_other(world: World) {
    let tenant = world.tenant().await;
    let (installation, template, clone) = (
        tenant.mark.installation,
        tenant.mark.database,
        world.mark().database,
    );
    let mut inside = world.admin.enter(&tenant.db, "test").await.expect("inside");
    for _ in 0..2 {
        identity::replace(&mut inside, installation, template, clone, 1)
            .await
            .expect("replaced");
    }
    let third = world.mark().database;
    let error = identity::replace(&mut inside, installation, template, third, 1).await;
    assert!(matches!(error, Err(ClusterError::NotOurs(_))), "{error:?}");
    let mut session = world
        .login(&tenant.db, &tenant.logins.router)
        .await
        .expect("in");
    let id: uuid::Uuid = one(
        &mut session,
        "SELECT database_id FROM tenantry_self.identity",
    )
    .await;
    assert_eq!(id, clone.as_uuid());
}

async fn a_clone_is_completed_whole_or_not_at_all(world: World) {
    let (mark, other) = (world.mark(), world.mark());
    let mut conn = world.conn().await;
    let from = names::spare(mark.database);
    let (logins, taken) = (names::login_names(&from), world.tenant().await);
    let to = db(&format!("tenant_whole_{}", world.number()));
    databases::clone_closed(&mut conn, &from, &world.template, &mark)
        .await
        .expect("cloned");
    let refused = |outcome: Result<(), ClusterError>, kind: &str| {
        let why = match &outcome {
            Err(ClusterError::NotOurs(_)) => "not ours",
            Err(ClusterError::NameTaken(_)) => "taken",
            _ => "",
        };
        assert_eq!(why, kind, "{outcome:?}");
    };
    // Two of its logins are there.
    let new = [
        world.new_login(&logins.owner, LoginKind::Owner, mark),
        world.new_login(&logins.router, LoginKind::Router, mark),
        world.new_login(&logins.user, LoginKind::User, mark),
    ];
    logins::create_all(&mut conn, &new[..2]).await.expect("two");
    refused(
        databases::complete(&mut conn, &from, &to, &mark).await,
        "not ours",
    );
    // The third is another's.
    let foreign = world.new_login(&logins.user, LoginKind::User, other);
    logins::create(&mut conn, &foreign).await.expect("made");
    refused(
        databases::complete(&mut conn, &from, &to, &mark).await,
        "not ours",
    );
    logins::drop(&mut conn, &logins.user, &other)
        .await
        .expect("dropped");
    logins::create_all(&mut conn, &new).await.expect("all");
    // Under another's mark, unmarked and open, and to a name that is taken.
    refused(
        databases::complete(&mut conn, &from, &to, &other).await,
        "not ours",
    );
    databases::open(&mut conn, &from).await.expect("opened");
    refused(
        databases::complete(&mut conn, &from, &to, &mark).await,
        "not ours",
    );
    databases::close(&mut conn, &from).await.expect("closed");
    refused(
        databases::complete(&mut conn, &from, &taken.db, &mark).await,
        "taken",
    );
    assert_eq!(
        databases::mark_of(&mut conn, &from).await.expect("asked"),
        None
    );
    let mut superuser = world.superuser("postgres").await;
    let untouched = format!(
        "SELECT NOT datallowconn AND datacl IS NULL FROM pg_database WHERE datname = '{}'",
        from.as_str()
    );
    assert!(one::<bool>(&mut superuser, &untouched).await);
    // At last, and once more under its name, as a spare is.
    databases::complete(&mut conn, &from, &to, &mark)
        .await
        .expect("completed");
    let mut inside = world.admin.enter(&to, "test").await.expect("open");
    identity::write(&mut inside, mark.installation, mark.database, 1)
        .await
        .expect("written");
    inside.end().await;
    for login in names::login_names(&to).first() {
        world.login(&to, &login).await.expect("may connect");
    }
    let mut owner = world
        .login(&to, &names::login_names(&to).owner)
        .await
        .expect("in");
    assert_eq!(
        one::<String>(&mut owner, "SELECT current_user::text").await,
        "tenantry_owner"
    );
    databases::complete(&mut conn, &to, &to, &mark)
        .await
        .expect("repeated");
    let found = databases::list(&mut conn, mark.installation)
        .await
        .expect("listed");
    let found = found.iter().find(|found| found.mark == mark);
    let found = found.expect("marked");
    assert!(
        found.open && !found.public && found.name == to.as_str(),
        "{found:?}"
    );
}
