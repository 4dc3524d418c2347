//! `tenantry tenants url`: a login for a time, as one URL.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::logins::issue::Wanted;
use crate::cli::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants url acme                                 may read, for 15 minutes
  tenantry tenants url acme --ttl 2h --role owner --reason 'ticket 4711'
  pg_dump \"$(tenantry tenants url acme)\" > acme.sql";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Url {
    /// Its id or slug
    tenant: String,
    /// How long the login is good, at most 7d; sessions that are open then are ended
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    ttl: String,
    /// Where to keep the certificate of the authority that the server's is from, if that is no public one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    root_cert: Option<PathBuf>,
    #[command(flatten)]
    wanted: Wanted,
}

impl Url {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let login = self
            .wanted
            .issue(&client, &self.tenant, &self.ttl, global)
            .await?;
        let authority = text(&login, "sslRootCert");
        let mut url = url(&login);
        match &self.root_cert {
            Some(file) if !authority.is_empty() => {
                std::fs::write(file, authority).map_err(|error| {
                    Failure::new(Exit::Failed, format!("{}: {error}", file.display()))
                })?;
                let file = file.display().to_string();
                let file = utf8_percent_encode(&file, NON_ALPHANUMERIC);
                url = format!("{url}&sslrootcert={file}");
            }
            None if !authority.is_empty() => note(
                "The server's certificate is not from a public authority: with --root-cert FILE its own is written to a file, and named in the URL.",
            ),
            _ => {}
        }
        match global.output {
            Output::Json => {
                let mut told = login.clone();
                told["url"] = Value::from(url);
                output::json(&told)
            }
            Output::Table => {
                output::line(&url)?;
                note(&format!(
                    "Whoever has this gets in until {}. It is not shown again.",
                    text(&login, "expiresAt")
                ));
                Ok(())
            }
        }
    }
}

/// A connection URI (PostgreSQL manual, 34.1.1.2). Name, password and database are letters and digits of
/// ours, so that nothing is to be escaped but an IPv6 address.
fn url(login: &Value) -> String {
    let is = |name| text(login, name);
    let host = match is("dbHost") {
        host if host.contains(':') => format!("[{host}]"),
        host => host,
    };
    format!(
        "postgresql://{}:{}@{host}:{}/{}?sslmode={}",
        is("dbUsername"),
        is("dbPassword"),
        is("dbPort"),
        is("dbName"),
        is("sslMode"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn is_one_that_libpq_reads() {
        let mut login = json!({
            "dbUsername": "tnt_jit_0a", "dbPassword": "aB3-_", "dbHost": "db-1.internal", "dbPort": 5432,
            "dbName": "tenant_acme", "sslMode": "verify-full",
        });
        let wanted =
            "postgresql://tnt_jit_0a:aB3-_@db-1.internal:5432/tenant_acme?sslmode=verify-full";
        assert_eq!(url(&login), wanted);
        login["dbHost"] = json!("::1");
        assert!(url(&login).contains("@[::1]:5432/"));
    }
}
