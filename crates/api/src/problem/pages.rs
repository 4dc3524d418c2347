//! `docs/errors` against the code: a page per code, a code per page, and each says what is answered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::texts;
use super::*;

/// Codes of errors that never reach a client under this name, and what the client reads instead.
const INSIDE: &[(&str, &str)] = &[
    ("IDENTITY_UNREADABLE", "DATABASE_UNAVAILABLE"),
    ("INVALID_CURSOR", "VALIDATION_FAILED"),
    ("INVALID_OPERATOR_NAME", "VALIDATION_FAILED"),
    ("MIGRATION_BUSY", "MIGRATION_FAILED"),
    ("MIGRATION_DIRTY", "MIGRATION_FAILED"),
    ("MIGRATION_EDITED", "MIGRATION_FAILED"),
    ("SCHEMA_AHEAD", "MIGRATION_FAILED"),
    ("SECRET_UNREADABLE", "DATABASE_UNAVAILABLE"),
    (
        "SESSION_ENDED",
        "INVALID_REFRESH_TOKEN or INVALID_CREDENTIALS",
    ),
    ("UNKNOWN_ROLE", "VALIDATION_FAILED"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<(String, String)> {
    let folder = root().join("docs/errors");
    let files = std::fs::read_dir(folder).expect("docs/errors");
    let mut pages: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .filter_map(|path| {
            let code = path.file_stem()?.to_str()?.to_owned();
            let text = std::fs::read_to_string(&path).expect("text");
            (code != "README").then_some((code, text))
        })
        .collect();
    pages.sort();
    pages
}

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    let pages: BTreeSet<String> = pages().into_iter().map(|(code, _)| code).collect();
    let codes: BTreeSet<String> = codes().map(str::to_owned).collect();
    let without_page: Vec<_> = codes.difference(&pages).collect();
    assert!(
        without_page.is_empty(),
        "write docs/errors/CODE.md, and its line in docs/errors/README.md, for {without_page:?}"
    );
    let without_code: Vec<_> = pages.difference(&codes).collect();
    assert!(
        without_code.is_empty(),
        "crates/api/src/problem/texts.rs has no {without_code:?}: remove these pages of docs/errors"
    );
}

#[test]
fn the_example_of_each_page_is_what_is_answered() {
    for (code, page) in pages() {
        let example = page
            .split_once("```json\n")
            .and_then(|(_, rest)| rest.split_once("```"))
            .map(|(json, _)| serde_json::from_str::<Value>(json))
            .unwrap_or_else(|| panic!("{code}: no example"))
            .unwrap_or_else(|error| panic!("{code}: {error}"));
        let status = texts::status(&code).unwrap_or_else(|| panic!("{code}: no status"));
        let id = RequestId::parse("9f2c1d7be0a44c0d8a51b1f5a7c3e6d2").expect("an id");
        let answered = json!(Problem::with_status(status, code.clone()).body(id.as_str()));
        for member in ["type", "title", "status", "code"] {
            assert_eq!(example[member], answered[member], "{code}: `{member}`");
        }
        for member in ["retryAfter", "detail", "requestId"] {
            assert_eq!(
                example[member].is_null(),
                answered[member].is_null(),
                "{code}: `{member}`"
            );
        }
        let told = format!("# {code}\n\nStatus {}. ", status.as_u16());
        assert!(page.starts_with(&told), "{code}: must begin `{told}`");
        for heading in ["## For the caller", "## For the operator", "## Calls"] {
            assert!(page.contains(heading), "{code}: no `{heading}`");
        }
    }
}

#[test]
fn the_index_has_a_line_for_each_code_with_its_status() {
    let index = std::fs::read_to_string(root().join("docs/errors/README.md")).expect("the index");
    let lines: Vec<&str> = index
        .lines()
        .filter(|line| line.starts_with("| ["))
        .collect();
    let codes: Vec<&str> = codes().collect();
    assert_eq!(lines.len(), codes.len(), "a line for each code");
    for (line, code) in lines.iter().zip(codes) {
        let status = texts::status(code).map_or(0, |status| status.as_u16());
        let begin = format!("| [{code}]({code}.md) | {status} |");
        assert!(line.starts_with(&begin), "`{line}` must begin `{begin}`");
    }
}

/// Codes are texts with an underscore in capitals; in these crates nothing else looks like one.
#[test]
fn each_code_that_the_source_raises_is_in_the_list() {
    let mut raised = BTreeSet::new();
    for name in [
        "api",
        "catalog",
        "cluster",
        "lifecycle",
        "router",
        "tenantdb",
    ] {
        read_codes(&root().join("crates").join(name).join("src"), &mut raised);
    }
    let known = |code: &str| {
        texts::status(code).is_some() || INSIDE.iter().any(|(inside, _)| *inside == code)
    };
    let unknown: Vec<_> = raised.iter().filter(|code| !known(code)).collect();
    assert!(
        unknown.is_empty(),
        "{unknown:?} have no line in crates/api/src/problem/texts.rs (or INSIDE, if no client reads them)"
    );
    for (inside, _) in INSIDE {
        assert!(raised.contains(*inside), "nothing raises {inside} any more");
        assert!(texts::status(inside).is_none(), "{inside} is both");
    }
    let unused: Vec<_> = codes().filter(|code| !raised.contains(*code)).collect();
    assert!(unused.is_empty(), "nothing raises {unused:?} any more");
}

fn read_codes(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_codes(&path, into);
        // `attention.rs`, `verdict.rs` and `finding.rs` have codes of what to look at and of what was found:
        // no errors, and told in docs/cli.md and docs/doctor.md.
        // `problems.rs` and the annotations list codes, they raise none.
        } else if path.extension().is_some_and(|ext| ext == "rs")
            && ![
                "texts.rs",
                "pages.rs",
                "tests.rs",
                "finding.rs",
                "attention.rs",
                "verdict.rs",
                "problems.rs",
            ]
            .iter()
            .any(|name| path.ends_with(name))
        {
            let text = std::fs::read_to_string(&path).expect("text");
            let product = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default();
            for (index, part) in product.split("#[utoipa::path(").enumerate() {
                let behind = part.split_once("\n)]\n").filter(|_| index > 0);
                let raising = behind.map_or(part, |(_, code)| code);
                into.extend(
                    quoted(raising)
                        .filter(|text| is_code(text) || texts::status(text).is_some())
                        .map(str::to_owned),
                );
            }
        }
    }
}

/// What stands between quotation marks, line by line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| {
            !line.trim_start().starts_with("//")
                && !line.contains("env!(")
                && !line.contains(".env(")
        })
        .flat_map(|line| line.split('"').skip(1).step_by(2))
}

fn is_code(text: &str) -> bool {
    let capitals = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let alone = ["INTERNAL", "UNAUTHENTICATED", "OVERLOADED"];
    // Variables of the environment are written alike.
    let variable = text.starts_with("TENANTRY_");
    alone.contains(&text)
        || (capitals(text) && !variable && text.len() > 5 && text.trim_matches('_').contains('_'))
}
