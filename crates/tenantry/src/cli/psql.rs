//! `tenantry psql`: psql in a tenant's database, by a login that ends with it.

use std::io::Write;
use std::process::ExitStatus;

use clap::{Args, ValueHint};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::tenants::Wanted;
use crate::cli::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry psql acme                                         may read
  tenantry psql acme --role owner --reason 'ticket 4711'
  tenantry psql acme -- -c 'SELECT count(*) FROM invoices'   whatever psql takes";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Psql {
    /// The tenant's id or slug
    tenant: String,
    /// The longest that it may take; the session is ended then
    #[arg(long, value_name = "DURATION", default_value = "8h")]
    ttl: String,
    /// The program
    #[arg(long, value_name = "PROGRAM", default_value = "psql", value_hint = ValueHint::CommandName)]
    psql: String,
    #[command(flatten)]
    wanted: Wanted,
    /// What psql is given, behind `--`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

impl Psql {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let login = self
            .wanted
            .issue(&client, &self.tenant, &self.ttl, global)
            .await?;
        let ended = self.session(&login).await;
        let name = text(&login, "dbUsername");
        let path = ["tenants", &self.tenant, "logins", &name];
        if let Err(error) = client.delete(&path, &[]).await {
            note(&error.text());
            let until = text(&login, "expiresAt");
            note(&format!(
                "The login {name} could not be ended now; it ends by itself, {until}."
            ));
        }
        let status = ended?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Failed,
                format!("{} ended with {status}", self.psql),
            )),
        }
    }

    /// Runs it on this terminal. Ctrl-C is for it: it ends a statement there, and not us.
    async fn session(&self, login: &Value) -> Result<ExitStatus> {
        let is = |name| text(login, name);
        // Kept until psql has ended.
        let authority = root_cert(login)?;
        let mut command = Command::new(&self.psql);
        if let Some(file) = &authority {
            command.env("PGSSLROOTCERT", file.path());
        }
        let mut child = command
            .args(&self.arguments)
            .env("PGHOST", is("dbHost"))
            .env("PGPORT", is("dbPort"))
            .env("PGDATABASE", is("dbName"))
            .env("PGUSER", is("dbUsername"))
            .env("PGPASSWORD", is("dbPassword"))
            .env("PGSSLMODE", is("sslMode"))
            .env("PGAPPNAME", "tenantry psql")
            .env_remove("PGHOSTADDR")
            .env_remove("PGSERVICE")
            .env_remove("PGOPTIONS")
            .spawn()
            .map_err(|error| {
                Failure::new(Exit::Usage, format!("{} cannot be run: {error}", self.psql))
                    .next("install Postgres's client programs, or say where it is with --psql")
            })?;
        loop {
            tokio::select! {
                ended = child.wait() => {
                    return ended.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", self.psql)));
                }
                _ = tokio::signal::ctrl_c() => {}
            }
        }
    }
}

/// The certificate of the authority that the server's is from, as libpq wants it: in a file.
fn root_cert(login: &Value) -> Result<Option<NamedTempFile>> {
    let text = text(login, "sslRootCert");
    if text.is_empty() {
        return Ok(None);
    }
    let file = || {
        let mut file = NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    file().map(Some).map_err(|error: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!("the certificate of the server's authority cannot be kept in a file: {error}"),
        )
    })
}
