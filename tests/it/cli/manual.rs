//! The manual pages are right as pages, and there is one for each command.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tenantry_testkit::{Cli, program};

fn pages() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    Cli::of(program(), &["man", "--dir", &path]).expect(0);
    let mut pages: Vec<_> = std::fs::read_dir(folder.path())
        .expect("pages")
        .map(|page| page.expect("a page").path())
        .collect();
    pages.sort();
    (folder, pages)
}

#[test]
fn every_command_has_a_page_that_shows_an_example() {
    let (_folder, pages) = pages();
    assert!(pages.len() > 20, "{pages:?}");
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("a page");
        assert!(text.contains("Example"), "{}", page.display());
    }
    let main = Cli::of(program(), &["man"]).expect(0).stdout;
    assert!(
        main.contains(".TH") && main.contains("tenantry\\-tenants(1)"),
        "{main}"
    );
}

#[test]
fn man_has_no_warning_about_any_page() {
    let (_folder, pages) = pages();
    let tools: [(&str, &[&str]); 2] = [
        ("man", &["--warnings", "--encoding=utf8", "--local-file"]),
        ("mandoc", &["-T", "lint", "-W", "error,stop"]),
    ];
    for (tool, arguments) in tools {
        let output = Command::new(tool)
            .args(arguments)
            .args(&pages)
            .env("MANPAGER", "cat")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{tool}: {error}; run .ci/install-shells.sh"));
        let wrong = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{tool}: {told}{wrong}");
        assert_eq!(wrong.trim(), "", "{tool}");
    }
}
