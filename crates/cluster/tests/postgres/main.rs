//! The cluster's functions on real servers: the installed one, and those of `TENANTRY_TEST_PG_BINS`
//! (`bin` folders, separated by colons). One server for each version; each test makes its own
//! databases and logins on it.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says what it expected"
)]

mod adoption;
mod births;
mod clones;
mod fencing;
mod forged;
mod grouping;
mod hindering;
mod house;
mod naming;
mod sealing;
mod world;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use tenantry_devpg::{Server, Settings};
use tenantry_types::Secret;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_the_installed_postgres() {
    on(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_the_other_postgres_versions() {
    let bins = std::env::var("TENANTRY_TEST_PG_BINS").unwrap_or_default();
    for bin in bins.split(':').filter(|bin| !bin.is_empty()) {
        on(Some(bin.into())).await;
    }
}

async fn on(bin_dir: Option<PathBuf>) {
    let folder = tempfile::Builder::new()
        .prefix("tenantry-cluster-")
        .tempdir()
        .expect("a folder");
    // The server runs as another user where the tests run as root.
    #[cfg(unix)]
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("a folder that others can enter");
    let mut settings = Settings::new(folder.path(), Secret::new("super"), Secret::new("admin"));
    settings.bin_dir = bin_dir;
    settings.durable = false;
    let server = Server::start(settings).await.expect("a server");
    let version = server.version();
    let failed = all(&server).await;
    server.stop().await.expect("stopped");
    assert!(failed.is_empty(), "on Postgres {version}: {failed:#?}");
}

/// Runs all tests on one server and answers those that failed.
async fn all(server: &Server) -> Vec<String> {
    let mut failed = Vec::new();
    // These change what the whole cluster shares, so they come first and one after another.
    let world = World::new(server);
    for (name, test) in grouping::tests() {
        run(&mut failed, name, tokio::spawn(test(world.clone())).await);
    }
    let world = world.with_template().await;
    let mut running = JoinSet::new();
    let tests = [
        adoption::tests(),
        births::tests(),
        clones::tests(),
        fencing::tests(),
        forged::tests(),
        hindering::tests(),
        house::tests(),
        naming::tests(),
        sealing::tests(),
    ];
    // Part of the names of those that are to run alone, while one of them is written.
    let only = std::env::var("TENANTRY_CLUSTER_TESTS").unwrap_or_default();
    let tests = tests
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.contains(&only));
    // A few at a time: a session must be open within 3 seconds, also on a machine with two cores.
    let places = Arc::new(Semaphore::new(6));
    for (name, test) in tests {
        let (test, places) = (test(world.clone()), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire().await;
            (name, tokio::spawn(test).await)
        });
    }
    while let Some(done) = running.join_next().await {
        let (name, outcome) = done.expect("never aborted");
        run(&mut failed, name, outcome);
    }
    if !only.is_empty() {
        return failed;
    }
    let births = births::sixteen_births_at_once_all_succeed(world.clone());
    run(
        &mut failed,
        "sixteen_births_at_once_all_succeed",
        tokio::spawn(births).await,
    );
    let owner = house::an_owner_who_drops_the_groups_rights_harms_its_own_database_only(world);
    run(
        &mut failed,
        "an_owner_who_drops_the_groups_rights…",
        tokio::spawn(owner).await,
    );
    failed
}

fn run(failed: &mut Vec<String>, name: &str, outcome: Result<(), tokio::task::JoinError>) {
    let Err(error) = outcome else { return };
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| error.into_panic()));
    let text = panic.ok().and_then(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
    });
    eprintln!("failed: {name}");
    failed.push(format!("{name}: {}", text.unwrap_or_default()));
}

/// The tests of a module, by name.
pub(crate) type Tests = Vec<(&'static str, fn(World) -> world::Running)>;

/// Lists test functions.
#[macro_export]
macro_rules! tests {
    ($($name:ident,)+) => {
        pub(crate) fn tests() -> $crate::Tests {
            vec![$((concat!(module_path!(), "::", stringify!($name)), |world| Box::pin($name(world)))),+]
        }
    };
}
