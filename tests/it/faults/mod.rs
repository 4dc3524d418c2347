//! Every step of every operation with everything that can go wrong in it, generated. Each case is a fault
//! that strikes once in a real process; another one recovers what is left. Then the doctor is asked: no
//! difference, and a tenant that is either whole or gone.
//!
//! Creation, deletion and rotation are tried whole each time, of the other operations a part that changes
//! from day to day and is printed. `TENANTRY_TEST_FAULTS` says what is tried instead: `all`
//! (`make test-faults`), the number of a part, or a piece of the name of a case, such as
//! `create/claim` or `Lost`.
//!
//! Needs the program built with `--features faults`; without it the variable is refused by name.

mod begun;
mod cases;
mod soak;
mod stage;

use std::io::Write;
use std::time::Instant;

use cases::{Case, KINDS};
use stage::Stage;
use tenantry_types::Clock;

/// Of so many parts one is tried on a day.
const PARTS: u64 = 8;

/// These are tried whole.
const WHOLE: [&str; 3] = ["create", "delete", "rotate"];

/// Tried with the undoing of steps left out (the tenant is still there as `provisioning`), and with the
/// journal's line written before the effect (what was killed before `clone` had no database to go on with).
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_survives_every_fault() {
    whole("create").await;
}

/// Tried with all that keeps out a worker which wakes up too late left out at once: the guard of its writes, the look
/// at its lease when it opens a session, the end of its work when its lease is lost, and the end of its sessions
/// by the next worker. It closed a tenant that had been brought back. With one of the first three left out the
/// others keep it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_survives_every_fault() {
    whole("delete").await;
}

/// Tried with the undoing of steps left out: the doctor found the login that was to be taken away.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_survives_every_fault() {
    whole("rotate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_other_operations_survives_its_faults() {
    let others = KINDS
        .iter()
        .filter(|kind| kind.from_spare || !WHOLE.contains(&kind.name));
    let cases = others.flat_map(cases::of);
    let of_part = |part: u64| {
        tell(&format!(
            "faults: part {part} of {PARTS}; TENANTRY_TEST_FAULTS={part} tries it again"
        ));
        cases
            .clone()
            .enumerate()
            .filter(move |(at, _)| *at as u64 % PARTS == part % PARTS)
            .map(|(_, case)| case)
            .collect()
    };
    let tried: Vec<_> = match Wanted::read() {
        Wanted::Today => of_part(seconds() / 86_400 % PARTS),
        Wanted::Part(part) => of_part(part),
        wanted => cases.filter(|case| wanted.has(case)).collect(),
    };
    run(tried).await;
}

#[test]
fn of_every_kind_of_operation_it_is_known_how_it_begins() {
    let missing: Vec<_> = KINDS
        .iter()
        .filter(|kind| begun::how(kind).is_none())
        .map(|kind| kind.name)
        .collect();
    assert_eq!(
        missing, [""; 0],
        "say in tests/it/faults/begun.rs how it begins"
    );
}

async fn whole(name: &str) {
    let wanted = Wanted::read();
    let kind = KINDS
        .iter()
        .find(|kind| kind.name == name && !kind.from_spare);
    let mut cases = cases::of(kind.expect("one of the kinds"));
    cases.retain(|case| wanted.has(case));
    run(cases).await;
}

async fn run(cases: Vec<Case>) {
    if cases.is_empty() {
        return;
    }
    let asked = std::env::var_os("TENANTRY_TEST_FAULTS").is_some();
    let begun = Instant::now();
    let mut stage = Stage::set().await;
    for case in &cases {
        let begun = Instant::now();
        Box::pin(stage.play(case)).await;
        if asked {
            tell(&format!("{case}: {} ms", begun.elapsed().as_millis()));
        }
    }
    stage.leaves_nothing().await;
    tell(&format!(
        "faults: {} cases from {} to {} in {} s",
        cases.len(),
        cases[0],
        cases[cases.len() - 1],
        begun.elapsed().as_secs()
    ));
}

/// What is to be tried.
enum Wanted {
    Today,
    Part(u64),
    All,
    Named(String),
}

impl Wanted {
    fn read() -> Self {
        match std::env::var("TENANTRY_TEST_FAULTS") {
            Err(_) => Self::Today,
            Ok(text) if text == "all" => Self::All,
            Ok(text) => text.parse().map_or(Self::Named(text), Self::Part),
        }
    }

    /// Of those that are tried whole.
    fn has(&self, case: &Case) -> bool {
        match self {
            Self::Named(piece) => case.to_string().contains(piece.as_str()),
            _ => true,
        }
    }
}

/// Since 1970.
fn seconds() -> u64 {
    let now = Clock::system().now().timestamp();
    now.try_into().expect("after 1970")
}

/// Past what the test runner keeps to itself.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
