//! The fence, and ending the admin's own sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tenantry_cluster::{ClusterError, fence, names, sessions};
use tenantry_types::RoleName;
use tokio::task::JoinHandle;

use crate::world::{Tenant, World, db, one, role, sql, state};

crate::tests! {
    a_role_of_somebody_elses_is_left_alone_whatever_it_is_called,
    a_fenced_tenant_has_no_session_and_gets_none,
    a_fence_for_those_who_use_the_tenant_spares_the_owner,
    a_fence_holds_against_logins_that_arrive_all_the_time,
    a_tenant_that_locks_its_own_role_is_fenced_all_the_same,
    a_fence_waits_for_who_is_just_coming_in,
    a_fence_does_not_wait_for_who_says_nothing,
    a_fence_leaves_others_alone,
    a_session_that_does_not_end_is_reported,
    a_guest_of_a_login_is_fenced_too,
    sessions_of_a_former_driver_are_ended_and_no_others,
}

async fn sessions_of(world: &World, tenant: &Tenant) -> i64 {
    let mut superuser = world.superuser("postgres").await;
    let name = tenant.db.as_str();
    one(&mut superuser, &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' OR usename LIKE '{name}%'")).await
}

async fn a_fenced_tenant_has_no_session_and_gets_none(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let mut open = Vec::new();
    for login in tenant.logins.first() {
        open.push(world.login(&tenant.db, &login).await.expect("in"));
    }
    let mut busy = world
        .login(&tenant.db, &tenant.logins.router)
        .await
        .expect("in");
    let busy = tokio::spawn(async move { state(sql(&mut busy, "SELECT pg_sleep(60)").await) });
    for _ in 0..2 {
        fence::close(&mut conn, &tenant.db, &tenant.logins.first())
            .await
            .expect("fenced");
        assert_eq!(sessions_of(&world, &tenant).await, 0);
        for login in tenant.logins.first() {
            assert_eq!(
                state(world.login(&tenant.db, &login).await),
                "28000",
                "may not log in"
            );
        }
    }
    assert_eq!(
        busy.await.expect("ended"),
        "57P01",
        "the running query was ended"
    );
    for _ in 0..2 {
        fence::reopen(&mut conn, &tenant.logins.first())
            .await
            .expect("reopened");
    }
    world
        .login(&tenant.db, &tenant.logins.user)
        .await
        .expect("in again");
    // Logins that an undo dropped already are no obstacle.
    let gone = [role("never_was"), tenant.logins.user.clone()];
    fence::close(&mut conn, &tenant.db, &gone)
        .await
        .expect("fenced");
    fence::close(&mut conn, &db("never_was"), &gone)
        .await
        .expect("fenced");
}

/// Tried with a fence that spares nobody's sessions (the owner's is ended), and with one that leaves the
/// product's login out (it is let in).
async fn a_fence_for_those_who_use_the_tenant_spares_the_owner(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let logins = &tenant.logins;
    let mut migration = world.login(&tenant.db, &logins.owner).await.expect("in");
    let mut held = world.login(&tenant.db, &logins.user).await.expect("in");
    fence::close_but(&mut conn, &tenant.db, &logins.of_use(), &logins.owner)
        .await
        .expect("fenced");
    assert_eq!(one::<i32>(&mut migration, "SELECT 1").await, 1, "goes on");
    assert_eq!(state(sql(&mut held, "SELECT 1").await), "57P01");
    for login in [&logins.router, &logins.user] {
        assert_eq!(
            state(world.login(&tenant.db, login).await),
            "28000",
            "{login}"
        );
    }
    world.login(&tenant.db, &logins.owner).await.expect("in");
}

async fn a_fence_holds_against_logins_that_arrive_all_the_time(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let closed = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for at in 0..8 {
        let (world, name, closed) = (world.clone(), tenant.db.clone(), Arc::clone(&closed));
        let login = tenant.logins.first()[at % 3].clone();
        clients.spawn(async move {
            let (mut entered, mut refused) = (0, 0);
            while refused < 20 {
                // Begun after the fence stood, it must not come in.
                let after = closed.load(Ordering::SeqCst);
                match world.login(&name, &login).await {
                    Ok(mut session) => {
                        assert!(!after, "a login came in through a closed fence");
                        entered += 1;
                        let _ = sql(&mut session, "SELECT pg_sleep(0.05)").await;
                    }
                    Err(_) if after => refused += 1,
                    Err(_) => {}
                }
            }
            entered
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    fence::close(&mut conn, &tenant.db, &tenant.logins.first())
        .await
        .expect("fenced");
    closed.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        let names: Vec<String> = tenant
            .logins
            .all()
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect();
        let mut superuser = world.superuser("postgres").await;
        // A client that is refused shows for a moment in its start, without a state of its own.
        let text = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('{}') AND state IS NOT NULL",
            names.join("', '")
        );
        assert_eq!(one::<i64>(&mut superuser, &text).await, 0);
    }
    let entered: i32 = clients.join_all().await.into_iter().sum();
    assert!(
        entered > 0,
        "somebody was inside before, or this shows nothing"
    );
}

async fn a_tenant_that_locks_its_own_role_is_fenced_all_the_same(world: World) {
    let tenant = world.tenant().await;
    let mut held = world
        .login(&tenant.db, &tenant.logins.user)
        .await
        .expect("in");
    sql(&mut held, "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine'")
        .await
        .expect("its own row is locked");
    let mut conn = world.conn().await;
    fence::close(&mut conn, &tenant.db, &tenant.logins.first())
        .await
        .expect("fenced");
    assert_eq!(sessions_of(&world, &tenant).await, 0);
    assert_eq!(
        state(world.login(&tenant.db, &tenant.logins.user).await),
        "28000"
    );
}

/// Keeps every session that starts in the tenant's database at its door, after its login was checked: until
/// the transaction ends.
async fn door_held(world: &World, tenant: &Tenant) -> PgConnection {
    let mut holder = world.raw_admin("postgres").await;
    let name = tenant.db.as_str();
    let held = format!("BEGIN; ALTER DATABASE {name} RENAME TO {name}_held");
    sql(&mut holder, &held).await.expect("the door is held");
    holder
}

/// A login that has come to the door.
async fn arriving(
    world: &World,
    tenant: &Tenant,
    login: &RoleName,
) -> JoinHandle<Result<PgConnection, sqlx::Error>> {
    let (asking, name, login) = (world.clone(), tenant.db.clone(), login.clone());
    let arriving = tokio::spawn(async move { asking.login(&name, &login).await });
    let mut superuser = world.superuser("postgres").await;
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND NOT granted
           AND objid = (SELECT oid FROM pg_database WHERE datname = '{}')",
        tenant.db.as_str()
    );
    while one::<i64>(&mut superuser, &waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    arriving
}

/// Waits for a fence that must not stand before the door is let go, and says what became of who was in it.
async fn stood_after<F>(
    fence: F,
    mut holder: PgConnection,
    arriving: JoinHandle<Result<PgConnection, sqlx::Error>>,
) where
    F: Future<Output = Result<(), ClusterError>>,
{
    let mut fence = std::pin::pin!(fence);
    let early = tokio::time::timeout(Duration::from_millis(400), &mut fence).await;
    assert!(
        early.is_err(),
        "it stood while somebody was coming in: {early:?}"
    );
    sql(&mut holder, "ROLLBACK").await.expect("let go");
    fence.await.expect("fenced");
    // It came in, and was sent out again before the fence stood.
    if let Ok(mut session) = arriving.await.expect("arrived") {
        assert_eq!(state(sql(&mut session, "SELECT 1").await), "57P01");
    }
}

/// Tried with no starts read at all, with starts that are let off after the pause although they are at the
/// door, and, on 18, with those let off that show of nobody: each time the fence stands while the door is held.
async fn a_fence_waits_for_who_is_just_coming_in(world: World) {
    for expelled in [false, true] {
        let tenant = world.tenant().await;
        let holder = door_held(&world, &tenant).await;
        let arriving = arriving(&world, &tenant, &tenant.logins.user).await;
        let mut conn = world.conn().await;
        let logins = tenant.logins.first();
        let fence = async {
            match expelled {
                true => fence::expel(&mut conn, &logins).await,
                false => fence::close(&mut conn, &tenant.db, &logins).await,
            }
        };
        stood_after(fence, holder, arriving).await;
    }
}

/// Tried with a fence that waits for every start: it gives up after five seconds.
async fn a_fence_does_not_wait_for_who_says_nothing(world: World) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let mut silent = tokio::net::TcpStream::connect(("127.0.0.1", world.port))
        .await
        .expect("connected");
    let mut packet = Vec::from(196_608_i32.to_be_bytes());
    for text in [
        "user",
        tenant.logins.user.as_str(),
        "database",
        tenant.db.as_str(),
        "",
    ] {
        packet.extend_from_slice(text.as_bytes());
        packet.push(0);
    }
    let length = i32::try_from(packet.len() + 4).expect("short");
    silent.write_i32(length).await.expect("sent");
    silent.write_all(&packet).await.expect("sent");
    assert_eq!(silent.read_u8().await.expect("asked for a password"), b'R');
    fence::close(&mut conn, &tenant.db, &tenant.logins.first())
        .await
        .expect("fenced");
    assert_eq!(sessions_of(&world, &tenant).await, 0);
}

async fn a_fence_leaves_others_alone(world: World) {
    let (tenant, neighbour) = (world.tenant().await, world.tenant().await);
    let mut beside = world
        .login(&neighbour.db, &neighbour.logins.user)
        .await
        .expect("in");
    let mut superuser = world.superuser(tenant.db.as_str()).await;
    let mut stranger = world.raw_admin(tenant.db.as_str()).await;
    fence::close(&mut world.conn().await, &tenant.db, &tenant.logins.first())
        .await
        .expect("fenced");
    for session in [&mut beside, &mut superuser, &mut stranger] {
        assert_eq!(one::<i32>(session, "SELECT 1").await, 1);
    }
}

async fn a_session_that_does_not_end_is_reported(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    let mut session = world
        .login(&tenant.db, &tenant.logins.user)
        .await
        .expect("in");
    let pid: i32 = one(&mut session, "SELECT pg_backend_pid()").await;
    signal("STOP", pid).await;
    let soon = Duration::from_millis(300);
    let outcome = fence::close_within(&mut conn, &tenant.db, &tenant.logins.first(), soon).await;
    signal("CONT", pid).await;
    assert!(
        matches!(outcome, Err(ClusterError::StillConnected { count: 1 })),
        "{outcome:?}"
    );
    fence::close(&mut conn, &tenant.db, &tenant.logins.first())
        .await
        .expect("fenced when repeated");
}

async fn signal(name: &str, pid: i32) {
    let kill = tokio::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(kill.await.expect("kill runs").success());
}

async fn a_guest_of_a_login_is_fenced_too(world: World) {
    let (tenant, guest) = (world.tenant().await, world.tenant().await);
    let mut host = world
        .login(&tenant.db, &tenant.logins.user)
        .await
        .expect("in");
    let invite = format!("GRANT {} TO {}", tenant.logins.user, guest.logins.user);
    let invited = state(sql(&mut host, &invite).await);
    if world.version > 14 {
        assert_eq!(invited, "42501", "a login cannot pass itself on");
        // Somebody with the right to do so did it all the same. (What a superuser granted, only a
        // superuser can take back on 16 and later.)
        sql(&mut world.raw_admin("postgres").await, &invite)
            .await
            .expect("granted");
    }
    let mut visitor = world
        .login(&tenant.db, &guest.logins.user)
        .await
        .expect("let in by the membership");
    fence::close(&mut world.conn().await, &tenant.db, &tenant.logins.first())
        .await
        .expect("fenced");
    assert_eq!(state(sql(&mut visitor, "SELECT 1").await), "57P01");
    assert_eq!(
        state(world.login(&tenant.db, &guest.logins.user).await),
        "42501",
        "no CONNECT any more"
    );
    world
        .login(&guest.db, &guest.logins.user)
        .await
        .expect("its own door is open");
}

async fn sessions_of_a_former_driver_are_ended_and_no_others(world: World) {
    let tenant = world.tenant().await;
    let number = world.number();
    let prefix = format!("tenantry/op/{number}/");
    let name = |fence: u32| format!("{prefix}{fence}");
    let mut first = world.admin.connect(&name(1)).await.expect("in");
    let mut second = world.admin.enter(&tenant.db, &name(2)).await.expect("in");
    let mut mine = world.admin.connect(&name(3)).await.expect("in");
    let mut beside = world
        .admin
        .connect("tenantry/op/other/1")
        .await
        .expect("in");
    let mut tenants = world
        .login(&tenant.db, &tenant.logins.user)
        .await
        .expect("in");
    sql(
        &mut tenants,
        &format!("SET application_name = '{}'", name(1)),
    )
    .await
    .expect("set");
    let mut keeper = world.admin.connect(&name(3)).await.expect("in");
    let ended = sessions::terminate_by_application(&mut keeper, &prefix, &name(3))
        .await
        .expect("ended");
    assert_eq!(ended, 2);
    let ended = sessions::terminate_by_application(&mut keeper, &prefix, &name(3))
        .await
        .expect("none left");
    assert_eq!(ended, 0);
    for gone in [&mut first, &mut second] {
        let error = tenantry_cluster::groups::ensure(gone)
            .await
            .expect_err("ended");
        assert_eq!(error.code(), "CLUSTER_UNAVAILABLE", "{error}");
    }
    for here in [&mut mine, &mut beside] {
        tenantry_cluster::groups::ensure(here)
            .await
            .expect("still there");
    }
    assert_eq!(one::<i32>(&mut tenants, "SELECT 1").await, 1);
}

async fn a_role_of_somebody_elses_is_left_alone_whatever_it_is_called(world: World) {
    let tenant = world.tenant().await;
    let stranger = role(&format!("{}_user_2", tenant.db.as_str()));
    assert!(names::login_names(&tenant.db).all().contains(&stranger));
    let mut superuser = world.superuser("postgres").await;
    let made = format!(
        "CREATE ROLE {stranger} LOGIN PASSWORD '{}'",
        crate::world::PASSWORD
    );
    sql(&mut superuser, &made).await.expect("made");
    let let_in = format!("GRANT CONNECT ON DATABASE postgres TO {stranger}");
    sql(&mut superuser, &let_in).await.expect("let in");
    let mut session = world
        .open("postgres", stranger.as_str(), crate::world::PASSWORD)
        .await
        .expect("in");
    let all = names::login_names(&tenant.db).all();
    let mut conn = world.conn().await;
    let may = format!(
        "SELECT rolcanlogin FROM pg_roles WHERE rolname = '{}'",
        stranger.as_str()
    );
    fence::close(&mut conn, &tenant.db, &all)
        .await
        .expect("fenced");
    // Tried without the question for a mark: it could log in no longer.
    assert!(one::<bool>(&mut superuser, &may).await);
    sql(&mut session, "SELECT 1")
        .await
        .expect("its session stays");
    sql(&mut superuser, &format!("ALTER ROLE {stranger} NOLOGIN"))
        .await
        .expect("somebody's wish");
    fence::reopen(&mut conn, &all).await.expect("open");
    assert!(!one::<bool>(&mut superuser, &may).await);
    world
        .login(&tenant.db, &tenant.logins.user)
        .await
        .expect("ours are in again");
    // One that lost its mark is ours by its group. Tried by the mark alone: it got in.
    let user = tenant.logins.user.as_str();
    let lost = format!("COMMENT ON ROLE {user} IS NULL");
    sql(&mut superuser, &lost).await.expect("lost");
    fence::close(&mut conn, &tenant.db, &all)
        .await
        .expect("fenced");
    let entered = world.login(&tenant.db, &tenant.logins.user).await;
    assert_eq!(state(entered), "28000");
}
