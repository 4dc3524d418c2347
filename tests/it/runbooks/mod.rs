//! The runbooks of docs/runbooks, followed word by word: each test runs every command of its page, in order, with
//! the words in capitals replaced. A command that is added to a page fails its test until it is run there; but for those of a
//! lost catalog and a restored cluster, whose tests run the same commands with what else a server needs for them.

pub(crate) mod catalog_lost;
mod cluster_full;
mod cluster_restored;
mod keys_lost;
mod router_wild;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use tenantry_testkit::{Cli, Dev};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks")
}

/// A page, and what of it was not done yet.
struct Runbook {
    name: &'static str,
    left: VecDeque<String>,
}

impl Runbook {
    fn open(name: &'static str) -> Self {
        let page = std::fs::read_to_string(folder().join(format!("{name}.md"))).expect(name);
        let mut left = VecDeque::new();
        for block in page.split("\n```").skip(1).step_by(2) {
            let (kind, lines) = block.split_once('\n').expect("a block");
            assert!(["sh", "sql"].contains(&kind), "{name}: a block of `{kind}`");
            left.extend(
                lines
                    .lines()
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned),
            );
        }
        Self { name, left }
    }

    /// The next line, which must begin so, with words replaced.
    fn line(&mut self, begins: &str, words: &[(&str, &str)]) -> String {
        let mut line = self.left.pop_front().expect("another command on the page");
        assert!(
            line.starts_with(begins),
            "{}: `{line}` is next, not `{begins}`",
            self.name
        );
        for (word, value) in words {
            line = line.replace(word, value);
        }
        let capitals = line
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .find(|word| {
                word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            });
        let is_sql = begins
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_uppercase());
        assert!(
            is_sql || capitals.is_none(),
            "{}: `{line}`: what is {capitals:?}?",
            self.name
        );
        line
    }

    /// The arguments of the next line, a command of ours.
    fn arguments(&mut self, begins: &str, words: &[(&str, &str)]) -> Vec<String> {
        let line = self.line(&format!("tenantry {begins}"), words);
        let mut all = Vec::new();
        for (at, part) in line.split('\'').enumerate() {
            match at % 2 {
                0 => all.extend(part.split_whitespace().map(str::to_owned)),
                _ => all.push(part.to_owned()),
            }
        }
        all.remove(0);
        all
    }

    /// Runs the next line, a command that must succeed.
    fn run(&mut self, dev: &Dev, begins: &str, words: &[(&str, &str)]) -> Cli {
        let arguments = self.arguments(begins, words);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        dev.cli(&arguments).expect(0)
    }

    /// The page is at its end.
    fn done(self) {
        assert!(
            self.left.is_empty(),
            "{}: nobody ran {:?}",
            self.name,
            self.left
        );
    }
}

#[test]
fn each_runbook_is_in_the_index_and_has_a_test() {
    let index = std::fs::read_to_string(folder().join("README.md")).expect("the index");
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/runbooks");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).expect("the runbooks") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name != "README.md" {
            names.insert(name.trim_end_matches(".md").to_owned());
        }
    }
    for name in &names {
        assert!(
            index.contains(&format!("| [{name}]({name}.md) |")),
            "{name} is not in the index"
        );
        let test = tests.join(format!("{}.rs", name.replace('-', "_")));
        assert!(test.is_file(), "{name} has no test");
        let page = std::fs::read_to_string(folder().join(format!("{name}.md"))).expect(name);
        for heading in [
            "\n## When\n",
            "\n## What to do\n",
            "\n## How you know that it is over\n",
        ] {
            assert!(page.contains(heading), "{name} lacks {heading:?}");
        }
    }
    assert_eq!(index.matches(".md) |").count(), names.len(), "{names:?}");
}
