//! A cluster as it is named on the command line: `postgres://admin:password@host:port/database`.

use std::path::Path;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use tenantry_catalog::clusters::TlsMode;
use tenantry_cluster::{Address, Admin};
use tenantry_types::{DbName, RoleName, RootCa, Secret};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Where a cluster is and how its admin gets in.
#[derive(Clone, Debug)]
pub struct ClusterUrl {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The database that the admin works from.
    pub maintenance_db: DbName,
    /// How to use TLS; `prefer` where nothing was said.
    pub tls: TlsMode,
    /// Whether it was said.
    pub tls_is_given: bool,
    /// The authority of its certificate, where that is no public one.
    pub root_ca: Option<RootCa>,
    /// The admin's login.
    pub login: RoleName,
    /// Its password.
    pub password: Secret,
}

impl ClusterUrl {
    /// Reads it.
    ///
    /// # Errors
    /// When a part is missing or not usable; the message never holds the password.
    pub fn parse(url: &Secret) -> Result<Self> {
        let wrong = |why: String| {
            Failure::usage(format!("the cluster's URL is not usable: {why}"))
                .next("write it like postgres://admin:password@db.example.com:5432/postgres?sslmode=require")
        };
        // What the parser says ("relative URL without a base") is about URLs, not about the setting.
        let url = Url::parse(url.expose()).map_err(|_| {
            wrong(
                "it is no URL: it begins with postgres:// and names login, password and host"
                    .to_owned(),
            )
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("it does not begin with postgres://".to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host".to_owned()))?;
        let login = decoded(url.username()).unwrap_or_default();
        let password = url.password().and_then(decoded);
        let database = match url.path().trim_matches('/') {
            "" => "postgres",
            name => name,
        };
        let (tls, root_ca) = tls(&url).map_err(wrong)?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(5432),
            maintenance_db: DbName::parse(database).map_err(|error| wrong(error.to_string()))?,
            tls: tls.unwrap_or(TlsMode::Prefer),
            tls_is_given: tls.is_some(),
            root_ca,
            login: RoleName::parse(login).map_err(|error| wrong(format!("its login: {error}")))?,
            password: Secret::new(password.ok_or_else(|| wrong("it has no password".to_owned()))?),
        })
    }

    /// The admin login to work with.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let address =
            Address::new(&self.host, self.port, self.tls.as_str()).trusting(self.root_ca.clone());
        Admin::new(
            address,
            self.maintenance_db.clone(),
            self.login.clone(),
            self.password.clone(),
        )
    }
}

/// `sslmode` and `sslrootcert`, as libpq writes them. Other parameters would be silently without effect.
fn tls(url: &Url) -> std::result::Result<(Option<TlsMode>, Option<RootCa>), String> {
    let (mut tls, mut authority) = (None, None);
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "sslmode" if value == "verify-ca" => {
                return Err("sslmode `verify-ca` is not offered: it would take the certificate of any host; \
                            verify-full with sslrootcert looks at both"
                    .to_owned());
            }
            "sslmode" => {
                tls = Some(value.parse().map_err(|_| {
                    format!("sslmode `{value}` is none of disable, prefer, require, verify-full")
                })?);
            }
            "sslrootcert" => {
                let file = Path::new(value.as_ref());
                authority = Some(root_ca(file).map_err(|failure| failure.text().to_owned())?);
            }
            _ => {
                return Err(format!(
                    "the parameter `{name}` is not known here; only sslmode and sslrootcert are"
                ));
            }
        }
    }
    if authority.is_some() && tls != Some(TlsMode::VerifyFull) {
        return Err("sslrootcert is compared with nothing without sslmode=verify-full".to_owned());
    }
    Ok((tls, authority))
}

/// The authority in a file.
///
/// # Errors
/// When it cannot be read or holds no certificate.
pub fn root_ca(file: &Path) -> Result<RootCa> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::because(
            format!("the certificate cannot be read from {shown}"),
            &error,
        )
        .exit_as(Exit::Usage)
    })?;
    RootCa::parse(&text).map_err(|error| Failure::usage(format!("{shown} {error}")))
}

fn decoded(part: &str) -> Option<String> {
    percent_decode_str(part)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClusterUrl> {
        ClusterUrl::parse(&Secret::new(text))
    }

    #[test]
    fn all_parts_are_read_and_decoded() {
        let url = parse("postgres://adm:p%40ss%2F@db.example:6543/maint?sslmode=require")
            .expect("usable");
        assert_eq!((url.host.as_str(), url.port), ("db.example", 6543));
        assert_eq!(url.password.expose(), "p@ss/");
        assert_eq!(url.maintenance_db.as_str(), "maint");
        assert_eq!((url.tls, url.tls_is_given), (TlsMode::Require, true));
    }

    #[test]
    fn an_authority_is_read_from_its_file_and_goes_with_verify_full_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, pem).expect("written");
        let at = |mode: &str| {
            parse(&format!(
                "postgres://adm:x@db?sslmode={mode}&sslrootcert={}",
                file.display()
            ))
        };
        assert!(at("require").is_err());
        let url = at("verify-full").expect("usable");
        assert_eq!(url.root_ca.expect("it is there").as_str(), pem);
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let url = parse("postgresql://adm:x@[::1]").expect("usable");
        assert_eq!((url.host.as_str(), url.port), ("::1", 5432));
        assert_eq!(url.maintenance_db.as_str(), "postgres");
        assert_eq!(url.tls, TlsMode::Prefer);
    }

    #[test]
    fn a_broken_url_is_refused_without_showing_the_password() {
        for bad in [
            "db.example",
            "http://adm:hunter2@db",
            "postgres://adm@db",
            "postgres://:hunter2@db",
            "postgres://Adm-1:hunter2@db",
            "postgres://adm:hunter2@db/a/b",
            "postgres://adm:hunter2@db?sslmode=maybe",
            "postgres://adm:hunter2@db?options=x",
            "postgres://adm:hunter2@db?sslmode=verify-ca",
            "postgres://adm:hunter2@db?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
        ] {
            let failure = parse(bad).map(drop).expect_err(bad);
            assert!(!failure.text().contains("hunter2"), "{bad}");
        }
    }
}
