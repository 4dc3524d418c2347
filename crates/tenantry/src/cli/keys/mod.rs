//! `tenantry keys …`: the keys that seal what the catalog must not show. Local: it works on the catalog
//! and on the keys themselves, wherever they are kept, and asks no server.
//!
//! The first key of a purpose seals, all open. So a key is changed in four steps, each of which leaves
//! everything readable: add another, let every program have it, seal anew what the old one sealed, and
//! retire the old one.

mod add;
mod list;
mod promote;
mod retire;
mod rewrap;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sqlx::PgPool;
use tenantry_catalog::audit;
use tenantry_catalog::keys::Use;
use tenantry_types::{AuditId, InstallationId};
use tenantry_vault::{KeyId, Keyring, Purpose};

use super::Global;
use crate::bootstrap::Sources;
use crate::catalog_url::{self, catalog_failure};
use crate::compose;
use crate::config::{Config, KeySource, Overrides, Variables};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, note};

const EXAMPLES: &str = "\
Examples:
  tenantry keys list
  tenantry keys add admin              then start every `tenantry serve` with the keys that it tells
  tenantry keys rewrap
  tenantry keys retire admin k1";

/// What can be done with them.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Keys {
    /// List the keys, what each does and how many secrets it has sealed
    List(list::List),
    /// Make another key, which seals from then on
    Add(add::Add),
    /// Let a key seal that was added to open only
    Promote(promote::Promote),
    /// Seal anew what older keys have sealed, while everything runs
    Rewrap(rewrap::Rewrap),
    /// Remove a key that no secret is sealed with
    Retire(retire::Retire),
}

impl Keys {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::Add(command) => command.run(global).await,
            Self::Promote(command) => command.run(global).await,
            Self::Rewrap(command) => command.run(global).await,
            Self::Retire(command) => command.run(global).await,
        }
    }
}

/// The purposes of which there may be several keys. A directory key hashes: under a second one nobody
/// would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Seals the passwords that routers use
    Route,
    /// Seals what only the control plane opens
    Admin,
    /// Signs access tokens
    Signing,
}

impl From<Of> for Purpose {
    fn from(of: Of) -> Self {
        match of {
            Of::Route => Self::Route,
            Of::Admin => Self::Admin,
            Of::Signing => Self::Signing,
        }
    }
}

/// The keys, where they are kept, and the catalog that they open.
struct Ring {
    keys: Keyring,
    source: KeySource,
    catalog: PgPool,
    installation: InstallationId,
    sources: Sources,
}

impl Ring {
    async fn open(global: &Global) -> Result<Self> {
        let none = Overrides::default();
        let config = Config::load(
            global.config.as_deref(),
            &Variables::of_process(),
            &none,
            &none,
        )?;
        let source = config.catalog.key_source()?.ok_or_else(compose::no_keys)?;
        let keys = source.keyring()?;
        let catalog = catalog_url::connect(config.catalog.url()?).await?;
        let installation = compose::ready(&catalog, &keys).await?;
        Ok(Self {
            keys,
            source,
            catalog,
            installation,
            sources: Sources::system(),
        })
    }

    /// What is sealed with which key.
    async fn uses(&self) -> Result<Vec<Use>> {
        let failed = |error| catalog_failure("the sealed secrets cannot be counted", &error);
        let mut conn = self
            .catalog
            .acquire()
            .await
            .map_err(|error| failed(error.into()))?;
        tenantry_catalog::keys::uses(&mut conn)
            .await
            .map_err(failed)
    }

    /// Writes what is about to be done, before it is.
    async fn audit(&self, action: &str, detail: &Value) -> Result<()> {
        let failed = |error| catalog_failure("the audit line cannot be written", &error);
        let id = AuditId::generate(&self.sources.clock, &self.sources.entropy);
        let entry = audit::Entry {
            actor: "tenantry:keys",
            operator: None,
            action,
            tenant: None,
            request_id: None,
            address: None,
            agent: None,
            reason: None,
            detail,
        };
        let mut conn = self
            .catalog
            .acquire()
            .await
            .map_err(|error| failed(error.into()))?;
        audit::record(&mut conn, id, &entry).await.map_err(failed)
    }

    /// Puts other keys where these are kept, or tells them where that is not ours to write.
    fn put(&self, keys: &Keyring, done: &str, document: Value, output: Output) -> Result<()> {
        let written = self.source.write(keys)?;
        match output {
            Output::Json => {
                let mut document = document;
                document["written"] = json!(written);
                document["keys"] = match written {
                    true => Value::Null,
                    false => json!(keys.to_setting().expose()),
                };
                output::json(&document)?;
            }
            Output::Table => {
                if !written {
                    output::line(&format!("TENANTRY_KEYS={}", keys.to_setting().expose()))?;
                }
                note(done);
            }
        }
        if output == Output::Table {
            note(match written {
                true => {
                    "The file holds the new keys. Programs that run have the ones that they started with: start each anew."
                }
                false => {
                    "These are all keys now: put them where yours are kept, then start each program anew with them."
                }
            });
        }
        Ok(())
    }
}

/// The name of a key on the command line.
fn key_id(text: &str) -> std::result::Result<KeyId, String> {
    KeyId::parse(text).ok_or_else(|| "must be 1 to 32 of a-z, 0-9 and `-`".to_owned())
}

/// That a key is none of ours is told with those that are.
fn unknown(keys: &Keyring, purpose: Purpose, id: &KeyId) -> Result<()> {
    let names = keys.names();
    if names.contains(&(purpose, id.clone())) {
        return Ok(());
    }
    let there: Vec<_> = names
        .iter()
        .filter(|(of, _)| *of == purpose)
        .map(|(_, id)| id.to_string())
        .collect();
    Err(
        Failure::new(Exit::NotFound, format!("there is no {purpose} key `{id}`"))
            .next(format!("there are: {}", there.join(", "))),
    )
}
