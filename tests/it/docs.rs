//! The documents name what is there.

use std::path::Path;

/// `ARCHITECTURE.md` is a map: each path in it leads somewhere.
#[test]
fn every_path_that_the_architecture_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let paths: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| {
            ["crates/", "migrations-", "tests", "docs/", "deploy/"]
                .iter()
                .any(|folder| quoted.starts_with(folder))
        })
        .filter(|quoted| !quoted.contains(['<', '*', ' ']) && *quoted != "crates/x")
        .collect();
    assert!(paths.len() > 15, "the map names places: {paths:?}");
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root.join(path).exists())
        .collect();
    assert!(missing.is_empty(), "these are not there: {missing:?}");
}
