//! `tenantry bench`: it runs, its document has the keys that are promised, and nothing is left.
//!
//! No number is asserted: a test machine is busy, and a debug build is no product.

use std::path::Path;

use serde_json::Value;
use tenantry_testkit::{Cli, Dev, Options};

/// The smallest sizes that still go through everything.
const PROVISION: &[&str] = &["bench", "provision", "--creations", "1"];
const ROTATE: &[&str] = &[
    "bench",
    "rotate",
    "--tenants",
    "2",
    "--rotations",
    "2",
    "--clients",
    "2",
];
const ROUTE: &[&str] = &[
    "bench",
    "route",
    "--clients",
    "2",
    "--time",
    "100ms",
    "--tenants",
    "2",
    "--cold",
    "1",
    "--resolutions",
    "100",
    "--hot",
    "2",
    "--known",
    "30",
    "--idle",
    "300ms",
    "--catalog",
    "30",
    "--misses",
    "5",
    "--fleet",
    "6",
    "--fleet-clients",
    "8",
    "--budget",
    "3",
    "--pause",
    "10ms",
];

const SUSPEND: &[&str] = &["bench", "suspend", "--suspensions", "2", "--clients", "1"];

const PURGE: &[&str] = &[
    "bench",
    "purge",
    "--tenants",
    "4",
    "--at-once",
    "2",
    "--clients",
    "1",
    "--time",
    "100ms",
];

/// A place to work in; the benchmark starts what it needs itself.
fn place() -> Dev {
    Dev::prepared(Options::default())
}

/// Runs a benchmark on this folder.
fn bench(dev: &Dev, arguments: &[&str], folder: &Path) -> Cli {
    let folder = folder.display().to_string();
    let mut all = arguments.to_vec();
    all.extend(["--data", folder.as_str()]);
    let pg_bin = std::env::var("TENANTRY_PG_BIN").ok();
    let pg_bin = pg_bin.iter().map(|bin| ("TENANTRY_PG_BIN", bin.as_str()));
    dev.cli_elsewhere(&all, &pg_bin.collect::<Vec<_>>())
}

/// Processes whose command line names the folder.
fn left_behind(folder: &Path) -> Vec<String> {
    let name = folder.display().to_string();
    std::fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&name))
        .collect()
}

#[track_caller]
fn keys_of_a_report(report: &Value, bench: &str, figures: &[&str]) {
    assert_eq!(report["bench"], bench);
    assert_eq!(report["schema"], 1);
    assert_eq!(
        report["meaningful"], false,
        "a smoke test is no measurement"
    );
    for key in ["date", "version", "profile", "system", "cpus", "postgres"] {
        assert!(!report["environment"][key].is_null(), "{key}: {report:#}");
    }
    assert_eq!(report["environment"]["postgres"]["settings"]["fsync"], "on");
    let found: Vec<&str> = report["figures"]
        .as_array()
        .expect("figures")
        .iter()
        .map(|figure| figure["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(found, figures);
    for figure in report["figures"].as_array().expect("figures") {
        let pairs = figure["pairs"].as_array().expect("pairs");
        // In two kinds of turns.
        let twice = usize::from(figure["name"] == "route/budget/connections") + 1;
        assert_eq!(pairs.len(), 2 * twice, "{figure:#}");
        for key in ["median", "lowest", "quartile1", "quartile3", "highest"] {
            assert!(figure["ratio"][key].is_f64(), "ratio.{key}: {figure:#}");
        }
        for side in ["product", "bare"] {
            // Little memory may be taken from what was there, and a short turn uses no hundredth of
            // a second.
            let value = figure[side]["value"]["median"].as_f64().expect("a value");
            let may_be_none = ["route/memory", "route/hot-among-many/cpu"]
                .contains(&figure["name"].as_str().unwrap_or_default());
            assert!(
                value > 0.0 || may_be_none,
                "{side} did something: {figure:#}"
            );
            assert!(figure[side]["what"].is_string(), "{figure:#}");
        }
    }
}

#[test]
fn creation_is_measured_and_nothing_is_left() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let arguments = [PROVISION, &["--smoke", "--pairs", "2", "--output", "json"]].concat();
    let report = bench(&dev, &arguments, &folder).expect(0).json();
    keys_of_a_report(
        &report,
        "provision",
        &["provision/template", "provision/spare"],
    );
    for (figure, side) in [(0, "product"), (0, "bare"), (1, "product"), (1, "bare")] {
        let side = &report["figures"][figure][side];
        assert_eq!(side["requests"], 2, "{side:#}");
        assert!(side["p50Ms"].is_f64() && side["p99Ms"].is_f64(), "{side:#}");
        for key in ["server", "postgres", "client"] {
            assert!(side["cpuUs"][key].is_f64(), "{side:#}");
        }
    }
    assert!(!folder.exists(), "its folder is gone");
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

/// That nothing is served after a suspension was answered is part of the run.
#[test]
fn suspension_is_measured_and_nothing_is_left() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let arguments = [SUSPEND, &["--smoke", "--pairs", "2", "--output", "json"]].concat();
    let report = bench(&dev, &arguments, &folder).expect(0).json();
    keys_of_a_report(&report, "suspend", &["suspend/call", "suspend/resume"]);
    for figure in [0, 1] {
        for side in ["product", "bare"] {
            let side = &report["figures"][figure][side];
            assert_eq!(side["requests"], 4, "{side:#}");
            assert!(side["p50Ms"].is_f64() && side["p99Ms"].is_f64(), "{side:#}");
        }
    }
    assert!(!folder.exists(), "its folder is gone");
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

/// That every request of the served tenant was answered is part of the run.
#[test]
fn purges_beside_a_served_tenant_are_measured_and_nothing_is_left() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let arguments = [PURGE, &["--smoke", "--pairs", "2", "--output", "json"]].concat();
    let report = bench(&dev, &arguments, &folder).expect(0).json();
    let figures = [
        "purge/reading",
        "purge/writing",
        "purge/reading/by-hand",
        "purge/writing/by-hand",
        "purge/throughput",
    ];
    keys_of_a_report(&report, "purge", &figures);
    for side in ["product", "bare"] {
        let side = &report["figures"][4][side];
        assert_eq!(side["requests"], 4, "{side:#}");
    }
    assert!(!folder.exists(), "its folder is gone");
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

#[test]
fn rotation_is_measured_under_load_and_nothing_is_left() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let arguments = [ROTATE, &["--smoke", "--pairs", "2", "--output", "json"]].concat();
    let report = bench(&dev, &arguments, &folder).expect(0).json();
    keys_of_a_report(&report, "rotate", &["rotate/tenant"]);
    let settings = &report["settings"];
    assert_eq!(
        (&settings["rotated"], &settings["requestsFailed"]),
        (&4.into(), &0.into())
    );
    assert!(settings["requestsServed"].as_u64() > Some(0), "{report:#}");
    assert!(!folder.exists(), "its folder is gone");
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

#[test]
fn routing_is_measured_and_nothing_is_left() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let arguments = [ROUTE, &["--smoke", "--pairs", "2", "--output", "json"]].concat();
    let report = bench(&dev, &arguments, &folder).expect(0).json();
    let figures = [
        "route/throughput/2",
        "route/me/2",
        "route/cold",
        "route/resolution",
        "route/resolution/parsed",
        "route/resolution/among-many",
        "route/hot-among-many",
        "route/hot-among-many/cpu",
        "route/idle",
        "route/memory",
        "route/misses",
        "route/budget",
        "route/budget/saturated",
        "route/budget/connections",
    ];
    keys_of_a_report(&report, "route", &figures);
    // No matter of time: more tenants than connections, and never one too many.
    let connections = report["figures"].as_array().expect("figures").last();
    let connections = connections.expect("a last one");
    assert_eq!(connections["goal"]["met"], true, "{connections:#}");
    assert!(!folder.exists(), "its folder is gone");
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

#[test]
fn one_scenario_is_measured_alone() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let only = [
        "--smoke", "--pairs", "2", "--output", "json", "--only", "memory",
    ];
    let arguments = [ROUTE, &only].concat();
    let report = bench(&dev, &arguments, &folder).expect(0).json();
    keys_of_a_report(&report, "route", &["route/memory"]);
    assert_eq!(report["settings"]["only"][0], "memory");
    assert!(!folder.exists(), "its folder is gone");
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

#[test]
fn what_would_mean_nothing_is_refused() {
    let dev = place();
    let folder = dev.folder().join("bench");
    let debug = [PROVISION, &["--pairs", "7"]].concat();
    let refused = bench(&dev, &debug, &folder).expect(2);
    assert!(refused.stderr.contains("debug build"), "{refused}");
    let few = [PROVISION, &["--allow-debug", "--pairs", "6"]].concat();
    let refused = bench(&dev, &few, &folder).expect(2);
    assert!(refused.stderr.contains("fewer than 7"), "{refused}");
    let misses = |word: &&'static str| if *word == "5" { "11" } else { *word };
    let mut many: Vec<&str> = ROUTE.iter().map(misses).collect();
    many.extend(["--smoke", "--pairs", "2", "--only", "misses"]);
    let refused = bench(&dev, &many, &folder).expect(2);
    assert!(refused.stderr.contains("more than the 30"), "{refused}");
    let large = [
        ROUTE,
        &[
            "--smoke", "--pairs", "2", "--only", "budget", "--fleet", "20000000",
        ],
    ];
    let refused = bench(&dev, &large.concat(), &folder).expect(2);
    assert!(refused.stderr.contains("--fleet"), "{refused}");
    assert!(!folder.exists());
    let taken = [PROVISION, &["--smoke", "--pairs", "2"]].concat();
    let refused = bench(&dev, &taken, dev.folder()).expect(1);
    assert!(refused.stderr.contains("not there yet"), "{refused}");
    assert!(dev.folder().exists(), "a folder that was there stays");
}
