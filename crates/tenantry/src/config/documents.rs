//! What the documents say of the configuration exists.

use std::path::{Path, PathBuf};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every document, and everything in `deploy/`.
fn documents() -> Vec<(String, String)> {
    let mut paths = vec![];
    for file in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        paths.push(root().join(file));
    }
    for folder in ["docs", "deploy"] {
        files(&root().join(folder), &mut paths);
    }
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("text");
        (path.display().to_string(), text)
    };
    paths.into_iter().map(read).collect()
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files(&path, into),
            // A person's own secrets.
            false if path.ends_with(".env") => {}
            false => into.push(path),
        }
    }
}

#[test]
fn every_variable_that_a_document_names_is_read() {
    let mut seen = 0;
    for (path, text) in documents() {
        let words =
            text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        for name in words.filter(|word| word.starts_with("TENANTRY_") && *word != "TENANTRY_") {
            seen += 1;
            if let Err(failure) = Variables::of([(name, "x")]).refuse_unknown() {
                panic!("{path}: {}", failure.text());
            }
        }
    }
    assert!(seen > 50, "the documents name variables: {seen}");
}

/// A key that was renamed or misspelt; other names in backticks are no business of ours.
#[test]
fn no_document_names_a_key_that_is_nearly_one() {
    let known = || KEYS.iter().map(|key| key.path);
    let mut right = 0;
    for (path, text) in documents().iter().filter(|(path, _)| path.ends_with(".md")) {
        for name in text.split('`').skip(1).step_by(2) {
            let name = name.split(" = ").next().unwrap_or(name);
            let like_a_key = name.contains(['_', '.'])
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.');
            if !like_a_key {
                continue;
            }
            if keys::find(name).is_some() {
                right += 1;
            } else if let Some(near) = keys::nearest(name, known()) {
                let likeness = strsim::normalized_damerau_levenshtein(name, near);
                let of_the_router = name.starts_with("router.");
                assert!(
                    likeness < 0.75 && !of_the_router,
                    "{path}: `{name}` is no key; is it `{near}`?"
                );
            }
        }
    }
    assert!(right > 30, "the documents name keys: {right}");
}

#[test]
fn the_configuration_that_a_document_shows_can_be_loaded() {
    let mut shown = 0;
    for (path, text) in documents() {
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            // A product's own Cargo.toml.
            if block.starts_with("[dependencies]") {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("tenantry.toml");
            std::fs::write(&file, block).expect("written");
            let none = Overrides::default();
            if let Err(failure) = Config::load(Some(&file), &Variables::default(), &none, &none) {
                panic!("{path}: {}", failure.text());
            }
            shown += 1;
        }
    }
    assert!(shown > 0, "deploy/README.md shows a configuration");
}
