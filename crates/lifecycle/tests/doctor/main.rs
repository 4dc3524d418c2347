//! The doctor on a real server: a world with a tenant in each state is healthy, and each thing that is
//! spoilt in it by hand is found, alone, and where it is safe put right.
#![expect(clippy::expect_used, reason = "a test says with a panic what is wrong")]

mod cases;
mod runs;
#[expect(dead_code, reason = "it is the world of the crashes as well")]
#[path = "../crash/world.rs"]
mod world;

use std::collections::BTreeSet;

use cases::{CASES, Case, Mended};
use sqlx::Executor;
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::doctor::{Options, Report, Severity};
use tenantry_lifecycle::{Finished, Lifecycle, Telling};
use tenantry_types::{Reason, Slug};
use world::{World, asker, differences, ended, wanted};

const FIX: Options = Options {
    fix: true,
    quick: false,
    tenant: None,
    cluster: None,
    accept_epoch: None,
};

/// What the cases name: ids and names that differ from run to run.
struct Names(Vec<(&'static str, String)>);

impl Names {
    async fn of(world: &World) -> Self {
        let mut conn = world.superuser("catalog").await;
        let of = "SELECT d.id::text FROM databases d JOIN tenants t ON t.id = d.tenant_id WHERE t.slug = ";
        let mut names = vec![
            ("installation", world.installation.to_string()),
            ("admin", world.admin_login().to_owned()),
            ("port", world.server.port().to_string()),
            ("other", "01890a5d-ac96-774b-bcce-b302099a8057".to_owned()),
        ];
        for (name, sql) in [
            ("acme", format!("{of}'acme'")),
            ("sus", format!("{of}'sus'")),
            (
                "spare",
                "SELECT name FROM databases WHERE state = 'spare'".to_owned(),
            ),
            ("template", "SELECT db_name FROM templates".to_owned()),
            ("cluster", "SELECT id::text FROM clusters".to_owned()),
        ] {
            let value: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .fetch_one(&mut conn)
                .await
                .expect(name);
            names.push((name, value));
        }
        Self(names)
    }

    fn fill(&self, sql: &str) -> String {
        let mut text = sql.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("[{name}]"), value);
        }
        text
    }
}

/// A tenant in each state, one that was renamed, one whose logins were rotated twice, a spare.
async fn full() -> World {
    let world = World::new().await;
    let (life, router) = world.driver_with_spares(None, 1).await;
    for slug in ["acme", "sus", "del", "former", "turned"] {
        make(&life, slug).await;
    }
    life.start_workers();
    let reason = Reason::parse("Unpaid.").expect("a reason");
    let turned = life.suspend(&named("sus"), &reason, asker()).await;
    done(&life, turned.expect("begun").operation_id.expect("one")).await;
    let gone = life.delete(&named("del"), false, asker()).await;
    done(&life, gone.expect("begun").operation_id.expect("one")).await;
    let slug = Slug::parse("present").expect("a slug");
    life.rename(&named("former"), &slug, None, &asker())
        .await
        .expect("renamed");
    for _ in 0..2 {
        let rotated = life.rotate(&named("turned"), asker()).await;
        done(&life, rotated.expect("begun").operation_id).await;
    }
    world.spares(1).await;
    life.shutdown().await;
    router.shutdown().await;
    world
}

fn named(slug: &str) -> TenantRef {
    TenantRef::Slug(Slug::parse(slug).expect("a slug"))
}

async fn make(life: &Lifecycle, slug: &str) {
    let started = life.create(wanted(slug), asker(), None).await;
    let id = started.expect("a beginning").operation_id;
    done(life, id).await;
    life.created(id, Telling::Once, None)
        .await
        .expect("an answer");
}

async fn done(life: &Lifecycle, id: tenantry_types::OperationId) {
    let end = ended(life, id).await;
    assert!(matches!(end, Finished::Done), "{end:?}");
}

async fn run(world: &World, names: &Names, statements: &[(&str, &str)]) {
    for (database, sql) in statements {
        let mut conn = world.superuser(&names.fill(database)).await;
        let sql = names.fill(sql);
        for one in sql.split(";;") {
            conn.execute(sqlx::AssertSqlSafe(one.to_owned()))
                .await
                .unwrap_or_else(|error| panic!("{one}: {error}"));
        }
    }
}

fn codes(report: &Report) -> BTreeSet<String> {
    let found = differences(report).into_iter();
    found.map(|one| one.code.to_string()).collect()
}

/// Seen to fail while a renamed database was said to lack its owner's setting as well, while what a superuser
/// may do in its database was told once more, and while what went with another fix was not called fixed.
#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_spoilt_by_hand_is_found_alone() {
    let world = full().await;
    world.assert_healthy("nothing").await;
    let names = Names::of(&world).await;
    let mut wrong = Vec::new();
    for case in CASES {
        if let Err(told) = tried(&world, &names, case).await {
            wrong.push(format!("{}: {told}", case.what));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    world.assert_healthy("all cases").await;
    world.end().await;
}

async fn tried(world: &World, names: &Names, case: &Case) -> Result<(), String> {
    run(world, names, case.spoil).await;
    let report = world.examined(FIX).await;
    let wanted: BTreeSet<String> = case.found.iter().map(|code| (*code).to_owned()).collect();
    let findings = report.findings.iter();
    let found: BTreeSet<String> = findings
        .filter(|one| one.severity != Severity::Notice)
        .map(|one| one.code.to_string())
        .collect();
    let right = match case.mended {
        Mended::ByFix => report.differences() == 0 && report.counts.fixed > 0,
        // What it cannot or must not put right it leaves exactly as it is.
        Mended::ByHand => codes(&report) == wanted && report.counts.fixed == 0,
    };
    let mut told = Ok(());
    if found != wanted || !right {
        told = Err(format!("{:#?}", report.findings));
    }
    run(world, names, case.heal).await;
    let after = world.examined(Options::default()).await;
    if told.is_ok() && after.differences() > 0 {
        told = Err(format!("not healed: {:#?}", differences(&after)));
    }
    told
}
