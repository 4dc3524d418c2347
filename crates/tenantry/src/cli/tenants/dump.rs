//! `tenantry tenants dump`: a tenant's database as a file of `pg_dump`, by a login that ends with it.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use tenantry_lifecycle::dump::{self, DumpError, Manifest, Programs, Taking, Way};
use tenantry_types::{Clock, Secret, TenantId};

use super::logins::issue::Wanted;
use crate::cli::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants dump acme
  tenantry tenants dump acme --to /backup/acme.dump
  TENANTRY_PG_BIN=/usr/lib/postgresql/18/bin tenantry tenants dump acme

The dump is not encrypted. Beside it is FILE.json, which says whose it is; keep both.";

/// How long the login of a dump is good; it ends with the command.
const TTL: &str = "1d";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Dump {
    /// Its id or slug
    tenant: String,
    /// The file, which must not be there yet [default: SLUG-TIME.dump in this folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    to: Option<PathBuf>,
    #[command(flatten)]
    tools: Tools,
}

/// What runs against the database.
#[derive(Args, Clone, Debug)]
pub(super) struct Tools {
    /// The folder of Postgres's client programs [default: those of PATH]
    #[arg(long, env = "TENANTRY_PG_BIN", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pg_bin: Option<PathBuf>,
    /// The certificates that the server's is checked by, where the system's do not do
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    root_ca: Option<PathBuf>,
}

impl Dump {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = client.get(&["tenants", &self.tenant], &[]).await?;
        let to = self.to.clone().unwrap_or_else(|| named(&tenant, ""));
        let manifest = taken(&client, &tenant, &to, &self.tools, global).await?;
        match global.output {
            Output::Json => output::json(&document(&to, &manifest)),
            Output::Table => {
                print(&to, &manifest)?;
                note("It holds the tenant's data in clear; keep the .json beside it.");
                Ok(())
            }
        }
    }
}

/// A name for a dump that is taken now.
pub(super) fn named(tenant: &Value, what: &str) -> PathBuf {
    let now = Clock::system().now().format("%Y%m%dT%H%M%SZ");
    PathBuf::from(format!("{}{what}-{now}.dump", text(tenant, "slug")))
}

/// Takes a dump of a tenant.
pub(super) async fn taken(
    client: &Client,
    tenant: &Value,
    to: &Path,
    tools: &Tools,
    global: &Global,
) -> Result<Manifest> {
    if to.exists() {
        return Err(Failure::usage(format!("{} is there already", to.display()))
            .next("name another file with --to"));
    }
    let id = text(tenant, "tenantId");
    let taking = Taking {
        tenant_id: id
            .parse::<TenantId>()
            .map_err(|error| Failure::because("the tenant's id cannot be read", &error))?,
        slug: text(tenant, "slug"),
        taken_at: Clock::system().now(),
        operation_id: None,
    };
    let progress = Progress::of(&format!("Dumping tenant {}", taking.slug), global.output);
    let manifest = with_login(client, &id, tools, "dump", global, async |way| {
        dump::write(&tools.programs(), &way, to, &taking).await
    })
    .await;
    drop(progress);
    manifest
}

/// Does something as the owner of a tenant's database, by a login that ends with it.
pub(super) async fn with_login<T>(
    client: &Client,
    tenant: &str,
    tools: &Tools,
    reason: &str,
    global: &Global,
    work: impl AsyncFnOnce(Way) -> std::result::Result<T, DumpError>,
) -> Result<T> {
    let wanted = Wanted::owner(reason);
    let login = wanted.issue(client, tenant, TTL, global).await?;
    let name = text(&login, "dbUsername");
    // Stopped by Ctrl-C, too, the login is ended; the programs end with us.
    let done = tokio::select! {
        done = work(tools.way(&login)) => done.map_err(failure),
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "stopped")),
    };
    if let Err(error) = client
        .delete(&["tenants", tenant, "logins", &name], &[])
        .await
    {
        note(&error.text());
        note(&format!(
            "The login {name} could not be ended now; it ends by itself, {}.",
            text(&login, "expiresAt")
        ));
    }
    done
}

impl Tools {
    pub(super) fn programs(&self) -> Programs {
        Programs::of(self.pg_bin.clone())
    }

    fn way(&self, login: &Value) -> Way {
        let port = login.get("dbPort").and_then(Value::as_u64);
        Way {
            host: text(login, "dbHost"),
            port: port.and_then(|port| port.try_into().ok()).unwrap_or(5432),
            database: text(login, "dbName"),
            login: text(login, "dbUsername"),
            password: Secret::new(text(login, "dbPassword")),
            ssl_mode: text(login, "sslMode"),
            root_ca: self.root_ca.clone(),
        }
    }
}

pub(super) fn failure(error: DumpError) -> Failure {
    let text = crate::failure::chain(&error);
    match error {
        DumpError::Program { .. } => Failure::new(Exit::Usage, text)
            .next("install Postgres's client programs, or say where they are with TENANTRY_PG_BIN"),
        DumpError::TooOld { .. } => Failure::new(Exit::Usage, text)
            .next("set TENANTRY_PG_BIN to the programs of the server's version or a later one"),
        DumpError::Unsafe { .. } => Failure::new(Exit::Usage, text)
            .coded("PROGRAMS_UNSAFE")
            .next(
                "install Postgres's client programs of such a version (on Debian and Ubuntu `apt-get install \
                 --only-upgrade postgresql-client-15`, or another major's), or say where they are with TENANTRY_PG_BIN",
            ),
        DumpError::File { .. } | DumpError::Damaged { .. } => Failure::new(Exit::Usage, text),
        DumpError::Failed { .. } => Failure::new(Exit::Failed, text),
    }
}

/// A dump for programs.
pub(in crate::cli) fn document(path: &Path, manifest: &Manifest) -> Value {
    let mut told = json!(manifest);
    told["path"] = json!(path.display().to_string());
    told
}

fn print(path: &Path, manifest: &Manifest) -> Result<()> {
    output::fields([
        ("file", Shape::Text, path.display().to_string()),
        ("tenant", Shape::Whole, manifest.tenant_id.to_string()),
        ("slug", Shape::Whole, manifest.slug.clone()),
        ("bytes", Shape::Whole, manifest.bytes.to_string()),
        ("sha256", Shape::Whole, manifest.sha256.clone()),
    ])
}
