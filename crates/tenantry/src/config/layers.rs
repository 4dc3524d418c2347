//! The file, the flags, and what to say when a value is wrong.

use std::path::Path;

use figment::providers::{Data, Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::keys::{self, KEYS};
use crate::failure::{Failure, Result};

/// Values that a command sets itself: defaults of `dev` below the file, flags above all.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Dict);

impl Overrides {
    /// Sets a text.
    #[must_use]
    pub fn text(mut self, path: &'static str, text: impl Into<String>) -> Self {
        put(&mut self.0, path, Value::from(text.into()));
        self
    }

    /// Sets a list of texts.
    #[must_use]
    pub fn list<'a>(mut self, path: &'static str, texts: impl Iterator<Item = &'a str>) -> Self {
        put(&mut self.0, path, texts.collect::<Vec<_>>().into());
        self
    }

    /// Sets a switch.
    #[must_use]
    pub fn switch(mut self, path: &'static str, on: bool) -> Self {
        put(&mut self.0, path, Value::from(on));
        self
    }
}

impl Provider for &Overrides {
    fn metadata(&self) -> Metadata {
        Metadata::named("command line")
    }

    fn data(&self) -> std::result::Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// The file's layer, its keys checked. Without a name, `./tenantry.toml` if it is there.
pub(super) fn file(named: Option<&Path>) -> Result<Data<Toml>> {
    let path = named.unwrap_or(Path::new("tenantry.toml"));
    if !path.is_file() {
        return match named {
            None => Ok(Toml::string("")),
            Some(_) => Err(
                Failure::usage(format!("there is no file `{}`", path.display()))
                    .next("correct --config or TENANTRY_CONFIG"),
            ),
        };
    }
    // `file` would look in parent folders too: a folder far above must not configure a server.
    let layer = Toml::file_exact(path);
    let value = Figment::from(&layer).extract::<Value>().map_err(explain)?;
    let mut unknown = Vec::new();
    unknown_keys("", &value, &mut unknown);
    if unknown.is_empty() {
        return Ok(layer);
    }
    let known = || KEYS.iter().map(|key| key.path);
    let lines = unknown
        .iter()
        .map(|name| match keys::nearest(name, known()) {
            Some(near) => format!("`{name}` is no known key; did you mean `{near}`?"),
            None => format!("`{name}` is no known key"),
        });
    let lines = lines.collect::<Vec<_>>().join("\n       ");
    Err(Failure::usage(format!("{}: {lines}", path.display()))
        .next("`tenantry config` lists every key"))
}

/// Puts a value where its path says: `router.idle` into the table `router`.
pub(super) fn put(dict: &mut Dict, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            dict.insert(path.to_owned(), value);
        }
        Some((table, rest)) => {
            let entry = dict
                .entry(table.to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                put(inner, rest, value);
            }
        }
    }
}

/// What figment found wrong, a line each, with the place the value came from.
pub(super) fn explain(error: figment::Error) -> Failure {
    let lines: Vec<String> = error
        .into_iter()
        .map(|error| {
            let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
            let source = error.metadata.as_ref().map(|metadata| {
                let name = metadata.interpolate(&Profile::Default, &path);
                match &metadata.source {
                    Some(source) if path.is_empty() => source.to_string(),
                    Some(source) => format!("`{name}` in {source}"),
                    None => format!("`{}`", name.trim_start_matches("default.")),
                }
            });
            let what = source.unwrap_or_else(|| format!("`{}`", path.join(".")));
            format!("{what}: {}", error.kind)
        })
        .collect();
    Failure::usage(format!(
        "the configuration is not usable: {}",
        lines.join("\n       ")
    ))
    .next("`tenantry config` lists every key with its default")
}

/// Collects the paths of values that no key has. A table that stands for a key's own value is
/// left to the struct that reads it.
fn unknown_keys(prefix: &str, value: &Value, unknown: &mut Vec<String>) {
    let Value::Dict(_, dict) = value else {
        if keys::find(prefix).is_none() {
            unknown.push(prefix.to_owned());
        }
        return;
    };
    for (name, inner) in dict {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        if keys::find(&path).is_none() {
            unknown_keys(&path, inner, unknown);
        }
    }
}
