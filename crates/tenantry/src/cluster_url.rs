//! A cluster as it is named on the command line: `postgres://admin:password@host:port/database`.

use percent_encoding::percent_decode_str;
use reqwest::Url;
use tenantry_catalog::clusters::TlsMode;
use tenantry_cluster::{Address, Admin};
use tenantry_types::{DbName, RoleName, Secret};

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
    /// How to use TLS.
    pub tls: TlsMode,
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
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(5432),
            maintenance_db: DbName::parse(database).map_err(|error| wrong(error.to_string()))?,
            tls: tls(&url).map_err(wrong)?,
            login: RoleName::parse(login).map_err(|error| wrong(format!("its login: {error}")))?,
            password: Secret::new(password.ok_or_else(|| wrong("it has no password".to_owned()))?),
        })
    }

    /// The admin login to work with.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let address = Address::new(&self.host, self.port, self.tls.as_str());
        Admin::new(
            address,
            self.maintenance_db.clone(),
            self.login.clone(),
            self.password.clone(),
        )
    }
}

/// `sslmode`, as libpq writes it. Other parameters would be silently without effect.
fn tls(url: &Url) -> std::result::Result<TlsMode, String> {
    let mut tls = TlsMode::Prefer;
    for (name, value) in url.query_pairs() {
        if name != "sslmode" {
            return Err(format!(
                "the parameter `{name}` is not known here; only sslmode is"
            ));
        }
        tls = value.parse().map_err(|_| {
            format!("sslmode `{value}` is none of disable, prefer, require, verify-full")
        })?;
    }
    Ok(tls)
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
        assert_eq!(url.tls, TlsMode::Require);
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
        ] {
            let failure = parse(bad).map(drop).expect_err(bad);
            assert!(!failure.text().contains("hunter2"), "{bad}");
        }
    }
}
