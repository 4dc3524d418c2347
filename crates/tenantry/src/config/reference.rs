//! The reference of the configuration and the example file, both written from the list of keys.

use std::fmt::Write;

use super::env::COMMAND_LINE;
use super::keys::{KEYS, Key, Shape};

/// `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(REFERENCE_HEAD);
    for (heading, about, keys) in tables() {
        text.push_str(&format!("\n## {heading}\n\n{about}\n\n"));
        text.push_str("| key | variable | flag of `serve` | value | default | |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for key in keys {
            let flag = key.flag.map(|flag| format!("`{flag}`")).unwrap_or_default();
            let secret = if key.secret { "**Secret.** " } else { "" };
            text.push_str(&format!(
                "| `{}` | `{}` | {flag} | {} | {} | {secret}{} |\n",
                key.path,
                key.variable(),
                shape(key.shape),
                cell(key.default),
                cell(key.about),
            ));
        }
    }
    text.push_str(COMMAND_LINE_HEAD);
    for (name, about) in COMMAND_LINE {
        text.push_str(&format!("| `{name}` | {} |\n", cell(about)));
    }
    text
}

/// `deploy/tenantry.example.toml`: every key, commented out, at its default.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(EXAMPLE_HEAD);
    let mut table = "";
    for key in KEYS {
        let (of, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if of != table {
            table = of;
            text.push_str(&format!("\n[{table}]\n"));
        }
        text.push_str(&format!("\n# {}\n", key.about));
        if key.example.is_some() || literal(key) != key.default {
            text.push_str(&format!("# Default: {}.\n", key.default));
        }
        text.push_str(&format!("# {name} = {}\n", value(key)));
    }
    text
}

const REFERENCE_HEAD: &str = "\
# Configuration

Written by `make docs` from `crates/tenantry/src/config/keys.rs`; change it there.

A setting comes from the file (`tenantry.toml` in the current folder, or the one that `--config`
names), over it from a variable of the environment, over that from a flag. A key or variable that is
not in these lists is refused with the nearest known name, and an empty variable counts as unset.
`deploy/tenantry.example.toml` is a file to begin with; `tenantry config` prints this list.

Durations are written with a unit: `250ms`, `15m`, `7d`, `1h 30m`. Lists are arrays in the file and
texts between commas in a variable; names with numbers are a table in the file and `name=1,other=2`
in a variable. Secrets belong into a file that only the service can read, or
into its environment; they appear in no log and on no command line.
";

const COMMAND_LINE_HEAD: &str = "
## Variables of the command line

They are no keys of the file; each but `TENANTRY_LOG` and `TENANTRY_PG_BIN` has a flag of the same name.

| variable | |
|---|---|
";

const EXAMPLE_HEAD: &str = "\
# Every setting of Tenantry, at its default. Written by `make docs`; docs/configuration.md has the same
# as a table. Remove the `#` before what you change: what you leave commented follows the program's
# own default at the next upgrade.
#
# A file that holds `catalog_url` or `keys` is a secret: readable by the service and by nobody else.
";

/// The keys by the table of the file that they stand in.
fn tables() -> Vec<(String, &'static str, Vec<&'static Key>)> {
    let mut tables: Vec<(&str, Vec<&Key>)> = Vec::new();
    for key in KEYS {
        let of = key.path.rsplit_once('.').map_or("", |(table, _)| table);
        match tables.iter_mut().find(|(table, _)| *table == of) {
            Some((_, keys)) => keys.push(key),
            None => tables.push((of, vec![key])),
        }
    }
    let told = |(table, keys): (&str, Vec<&'static Key>)| match table {
        "" => (
            "The program".to_owned(),
            "At the top of the file, above any `[table]`.",
            keys,
        ),
        "router" => (
            "`[router]`".to_owned(),
            "Connections to tenants' databases.",
            keys,
        ),
        "rotation" => (
            "`[rotation]`".to_owned(),
            "Replacing the logins that routers use (docs/rotation.md).",
            keys,
        ),
        "dumps" => (
            "`[dumps]`".to_owned(),
            "Final dumps of tenants that are purged (docs/dumps.md).",
            keys,
        ),
        "telemetry" => (
            "`[telemetry]`".to_owned(),
            "Traces for OpenTelemetry (docs/tracing.md). The usual `OTEL_…` variables are read where a key is not set.",
            keys,
        ),
        other => (
            format!("`[{other}]`"),
            "The keys of this table of the file.",
            keys,
        ),
    };
    tables.into_iter().map(told).collect()
}

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Text => "text",
        Shape::Duration => "duration",
        Shape::List => "list",
        Shape::Number => "number",
        Shape::Ratio => "number from 0 to 1",
        Shape::Switch => "`true` or `false`",
        Shape::Numbers => "names with numbers",
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The default without what is said beside it: `true; false in dev` is `true`.
fn literal(key: &Key) -> &'static str {
    key.default.split(';').next().unwrap_or_default().trim()
}

/// A value as TOML.
fn value(key: &Key) -> String {
    let text = key.example.unwrap_or_else(|| literal(key));
    match key.shape {
        Shape::Number | Shape::Ratio | Shape::Switch => text.to_owned(),
        Shape::Text | Shape::Duration => format!("{text:?}"),
        Shape::Numbers => format!("{{ {} }}", text.replace('=', " = ").replace(',', ", ")),
        Shape::List => {
            let mut list = String::from("[");
            for (at, item) in text.split(',').enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                // Writing into a string cannot fail.
                let _ = write!(list, "{comma}{:?}", item.trim());
            }
            list + "]"
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::failure::Failure;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::{Config, Overrides, Variables};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn is_current(path: &str, text: &str) {
        let committed = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(
            committed == text,
            "{path} is not what the code says: run `make docs` and commit what it writes"
        );
    }

    #[test]
    fn the_committed_reference_and_example_are_current() {
        is_current("docs/configuration.md", &reference());
        is_current("deploy/tenantry.example.toml", &example());
    }

    fn load(file: &str) -> Config {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tenantry.toml");
        std::fs::write(&path, file).expect("written");
        let none = Overrides::default();
        Config::load(Some(&path), &Variables::default(), &none, &none)
            .unwrap_or_else(|failure| panic!("{}", failure.text()))
    }

    /// The example without the `#` before the keys that `take` takes.
    fn uncommented(take: impl Fn(&Key) -> bool) -> String {
        let mut table = String::new();
        let mut lines = Vec::new();
        for line in example().lines() {
            if let Some(name) = line.strip_prefix('[') {
                table = name.replace(']', ".");
            }
            let key = line
                .strip_prefix("# ")
                .and_then(|rest| rest.split_once(" = "))
                .and_then(|(name, _)| {
                    let path = format!("{table}{name}");
                    KEYS.iter().find(|key| key.path == path)
                });
            lines.push(match key {
                Some(key) if take(key) => line.trim_start_matches("# ").to_owned(),
                _ => line.to_owned(),
            });
        }
        lines.join("\n")
    }

    #[test]
    fn the_example_holds_the_defaults() {
        let default = format!("{:?}", load(""));
        assert_eq!(format!("{:?}", load(&example())), default);
        let plain = uncommented(|key| key.example.is_none());
        assert!(plain.contains("\nlisten = "), "{plain}");
        assert_eq!(format!("{:?}", load(&plain)), default);
    }

    #[test]
    fn every_line_of_the_example_can_be_used() {
        let all = uncommented(|key| key.path != "public_url");
        let commented = all.lines().filter(|line| line.starts_with("# ")).count();
        let keys = all
            .lines()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(keys.count(), KEYS.len() - 1, "of {commented} comments");
        load(&all);
        load("base_domains = [\"example.com\"]\npublic_url = \"https://example.com\"");
    }

    #[test]
    fn a_default_that_is_a_duration_is_declared_as_one() {
        for key in KEYS {
            let number = literal(key).parse::<u64>().is_ok();
            let duration = !number && humantime::parse_duration(literal(key)).is_ok();
            assert_eq!(duration, key.shape == Shape::Duration, "{}", key.path);
        }
    }

    #[test]
    fn what_is_masked_and_nothing_else_is_declared_a_secret() {
        for key in KEYS.iter().filter(|key| key.shape == Shape::Text) {
            let read = |text: &str| {
                let variables = Variables::of([(key.variable(), text)]);
                let none = Overrides::default();
                let empty = tempfile::NamedTempFile::new().expect("a file");
                let config = Config::load(Some(empty.path()), &variables, &none, &none)?;
                let telemetry = Config::telemetry_of(Some(empty.path()), &variables);
                Ok::<_, Failure>(format!("{config:?} {telemetry:?}"))
            };
            // A list of headers takes no plain word.
            let loaded = read("hunter2").or_else(|_| read("name=hunter2"));
            let masked = loaded.is_ok_and(|told| !told.contains("hunter2"));
            assert_eq!(masked, key.secret, "{}", key.path);
        }
    }

    #[test]
    fn the_flags_are_those_of_serve() {
        use clap::CommandFactory;
        let cli = crate::cli::Cli::command();
        let serve = cli.find_subcommand("serve").expect("serve");
        for key in KEYS {
            let name = key.path.replace('_', "-");
            let has = serve
                .get_arguments()
                .any(|flag| flag.get_long() == Some(&name));
            let listed = key.flag.map(|flag| flag.trim_start_matches("--"));
            assert_eq!(listed, has.then_some(name.as_str()), "{}", key.path);
        }
    }
}
