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

/// A link from one document to another, or to a file beside it, leads somewhere.
#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents: Vec<_> = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "deploy/README.md",
    ]
    .iter()
    .map(|name| root.join(name))
    .collect();
    for folder in ["docs", "docs/adr", "docs/errors"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").path());
        documents.extend(files.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    let (mut seen, mut missing) = (0, Vec::new());
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("text");
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or_default();
            seen += 1;
            if !file.is_empty() && !document.with_file_name(file).exists() {
                missing.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(seen > 80, "the documents are linked: {seen}");
    assert!(missing.is_empty(), "these lead nowhere: {missing:#?}");
}

/// Each decision is in the index, and the numbers are given once.
#[test]
fn every_decision_is_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adr");
    let index = std::fs::read_to_string(folder.join("README.md")).expect("the index");
    let entries = std::fs::read_dir(folder).expect("docs/adr");
    let mut pages: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name != "README.md")
        .collect();
    pages.sort();
    let missing: Vec<_> = pages
        .iter()
        .filter(|name| !index.contains(&format!("]({name})")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/adr/README.md lacks a line for {missing:?}"
    );
    let mut numbers: Vec<_> = pages
        .iter()
        .filter_map(|name| name.split('-').next())
        .collect();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        pages.len(),
        "two decisions have one number: {pages:?}"
    );
}
