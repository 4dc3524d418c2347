//! `TENANTRY_…` variables as a layer of the configuration.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::keys::{self, KEYS, Shape};
use crate::failure::{Failure, Result};

/// Variables that are no configuration: the command line reads them.
pub const COMMAND_LINE: &[(&str, &str)] = &[
    (
        "TENANTRY_CONFIG",
        "The configuration file. Without it, `tenantry.toml` in the current folder, if it is there.",
    ),
    (
        "TENANTRY_LOG",
        "Which log lines are shown: `info`, or per part, like `warn,tenantry_router=debug`.",
    ),
    ("TENANTRY_LOG_FORMAT", "How they look: `human` or `json`."),
    (
        "TENANTRY_CLUSTER_URL",
        "For `init`: the first Postgres server for tenants, with its admin login. A secret.",
    ),
    (
        "TENANTRY_URL",
        "For commands that ask a running control plane: where it is.",
    ),
    (
        "TENANTRY_INTERNAL_URL",
        "Written by `dev` for other programs: where its `/metrics` is.",
    ),
    (
        "TENANTRY_INSTALLATION",
        "Written by `router-credentials` for programs with the router inside: which installation they join.",
    ),
    (
        "TENANTRY_TOKEN",
        "For the same: the operator's token. A secret.",
    ),
    (
        "TENANTRY_OUTPUT",
        "What commands print: `table` for people, `json` for programs.",
    ),
    ("TENANTRY_DATA", "The data folder of `dev`."),
    (
        "TENANTRY_PG_BIN",
        "For `dev` and tests: the folder of Postgres's programs.",
    ),
];

/// Variables that only a build for tests reads.
#[cfg(feature = "faults")]
const OF_TESTS: &[&str] = &["TENANTRY_FAULT"];
#[cfg(not(feature = "faults"))]
const OF_TESTS: &[&str] = &[];

/// The environment, taken once, so that a test can give its own. An empty variable counts as unset,
/// as `TENANTRY_KEYS=` in a file of variables means.
#[derive(Clone, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Those of this process. Text that is no UTF-8 counts as replaced, and is then refused by
    /// whatever reads it.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        }))
    }

    /// The given ones; others than `TENANTRY_…` are left out.
    pub fn of<N: Into<String>, V: Into<String>>(all: impl IntoIterator<Item = (N, V)>) -> Self {
        let ours = all
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _)| name.starts_with("TENANTRY_"));
        Self(ours.collect())
    }

    /// Refuses names that nothing reads.
    ///
    /// # Errors
    /// When there is one; the message has the nearest known name.
    pub fn refuse_unknown(&self) -> Result<()> {
        let unknown: Vec<&str> = self
            .0
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !is_known(name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let settings: Vec<String> = KEYS.iter().map(keys::Key::variable).collect();
        let known = || {
            settings
                .iter()
                .map(String::as_str)
                .chain(COMMAND_LINE.iter().map(|(name, _)| *name))
        };
        let lines = unknown
            .iter()
            .map(|name| match keys::nearest(name, known()) {
                Some(near) => format!("`{name}` is no known variable; did you mean `{near}`?"),
                None => format!("`{name}` is no known variable"),
            });
        Err(Failure::usage(lines.collect::<Vec<_>>().join("\n       "))
            .next("correct or unset it: variables that begin with TENANTRY_ must be known ones"))
    }
}

impl Provider for &Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment").interpolater(|_: &Profile, path: &[&str]| {
            format!("TENANTRY_{}", path.join("_").to_uppercase())
        })
    }

    fn data(&self) -> std::result::Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (name, text) in &self.0 {
            let key = KEYS.iter().find(|key| &key.variable() == name);
            if let Some(key) = key.filter(|_| !text.trim().is_empty()) {
                super::layers::put(&mut dict, key.path, shaped(key.shape, text));
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

/// Names that tests and the checks of SQL against a live database use.
fn is_known(name: &str) -> bool {
    COMMAND_LINE.iter().any(|(known, _)| *known == name)
        || OF_TESTS.contains(&name)
        || name.starts_with("TENANTRY_TEST_")
        || name.ends_with("_DEV_URL")
        || KEYS.iter().any(|key| key.variable() == name)
}

/// A text that has not the wanted shape stays text: the struct that reads it then says what is
/// wrong, with the name of the variable.
fn shaped(shape: Shape, text: &str) -> Value {
    match shape {
        Shape::Text | Shape::Duration => Value::from(text),
        Shape::List => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(Value::from)
            .collect::<Vec<_>>()
            .into(),
        Shape::Number => text
            .trim()
            .parse::<u64>()
            .map_or_else(|_| text.into(), Value::from),
        Shape::Ratio => text
            .trim()
            .parse::<f64>()
            .map_or_else(|_| text.into(), Value::from),
        Shape::Numbers => {
            let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
            let read = pairs.map(|pair| {
                let (name, number) = pair.split_once('=')?;
                let number = number.trim().parse::<u64>().ok()?;
                Some((name.trim().to_owned(), Value::from(number)))
            });
            match read.collect::<Option<Dict>>() {
                Some(dict) => Value::from(dict),
                None => text.into(),
            }
        }
        Shape::Switch => match text.trim() {
            "true" | "1" => true.into(),
            "false" | "0" => false.into(),
            _ => text.into(),
        },
    }
}
