//! Every step of every operation with every fault, made from the lists of steps and not written by hand.
//!
//! Two processes work on one catalog. The victim is asked, and meets the fault: the step fails, the
//! process dies as by `kill -9` before the effect, after it or after its record, the step is run twice, an
//! undoing fails once, the connections to the cluster are ended under it, or it stands still until
//! the other process has carried the operation to its end, and then goes on. The other, the survivor, takes
//! over what the victim leaves. Each case asserts that its fault struck, waits until nothing is under way, and
//! asks the doctor: no difference, and a tenant that is whole or gone.
//!
//! Creation, deletion and rotation are tried whole each time, of the other operations a part that changes
//! from day to day; `TENANTRY_TEST_FAULTS=all` (`make test-faults`) tries everything.
//!
//! Needs the program built with `--features faults`; without it the variable is refused by name.

mod cases;
mod stage;

use std::time::{SystemTime, UNIX_EPOCH};

use cases::{Case, KINDS, Kind};
use stage::Stage;

/// Of so many parts one is tried on a day.
const PARTS: u64 = 6;

/// Tried with the journal's line written before the effect, and with the undoing of `clone` left out: the
/// creation is not whole, or the doctor finds its database.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_survives_every_fault() {
    whole("create").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_survives_every_fault() {
    whole("delete").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_survives_every_fault() {
    whole("rotate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn todays_part_of_the_other_operations_survives_its_faults() {
    let all = std::env::var("TENANTRY_TEST_FAULTS").is_ok_and(|which| which == "all");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let day = now.expect("after 1970").as_secs() / 86_400;
    let others = KINDS
        .iter()
        .filter(|kind| !["create", "delete", "rotate"].contains(&kind.name));
    let cases: Vec<_> = others
        .flat_map(cases::of)
        .enumerate()
        .filter(|(at, _)| all || *at as u64 % PARTS == day % PARTS)
        .map(|(_, case)| case)
        .collect();
    assert!(!cases.is_empty());
    run(cases).await;
}

async fn whole(name: &str) {
    let kind: &Kind = KINDS
        .iter()
        .find(|kind| kind.name == name)
        .expect("one of the kinds");
    run(cases::of(kind)).await;
}

async fn run(cases: Vec<Case>) {
    let mut stage = Stage::set().await;
    for case in cases {
        Box::pin(stage.play(&case)).await;
    }
    stage.leaves_nothing().await;
}
