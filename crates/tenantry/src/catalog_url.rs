//! Reaching the catalog by its URL, and what to say when that fails.

use reqwest::Url;
use sqlx::PgPool;
use tenantry_catalog::{CatalogError, OF_CONTROL};
use tenantry_types::{RoleName, Secret};

use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};

/// A few connections to the catalog, for a command that works on it.
///
/// # Errors
/// When it cannot be reached or the login is refused, with what to do.
pub async fn connect(url: &Secret) -> Result<PgPool> {
    connect_pool(url, 2).await
}

/// Connections to the catalog.
///
/// # Errors
/// As [`connect`].
pub async fn connect_pool(url: &Secret, max: u32) -> Result<PgPool> {
    tenantry_catalog::connect(url, max, OF_CONTROL, "tenantry/control")
        .await
        .map_err(|error| catalog_failure("the catalog cannot be reached", &error))
}

/// The same catalog with another login.
///
/// # Errors
/// When the URL is none.
pub fn as_login(url: &Secret, login: &RoleName, password: &Secret) -> Result<Secret> {
    let mut url = Url::parse(url.expose()).map_err(|_| no_url())?;
    // As parameters, which win over what stands before the host: a URL of a socket has no host
    // and so no room for a login.
    url.query_pairs_mut()
        .append_pair("user", login.as_str())
        .append_pair("password", password.expose());
    Ok(Secret::new(url.as_str()))
}

/// The same catalog with another login and without the first one's password: for somebody who must not
/// have that.
///
/// # Errors
/// When the URL is none.
pub fn replacing_login(url: &Secret, login: &RoleName, password: &Secret) -> Result<Secret> {
    let mut bare = Url::parse(url.expose()).map_err(|_| no_url())?;
    let kept: Vec<_> = bare
        .query_pairs()
        .filter(|(name, _)| !matches!(name.as_ref(), "user" | "password"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    bare.set_query(None);
    if !kept.is_empty() {
        bare.query_pairs_mut().extend_pairs(kept);
    }
    // Fails where there is no host, and so no room for a login: a URL of a socket.
    let in_front = bare.set_username("").is_ok() && bare.set_password(None).is_ok();
    if in_front
        && bare.set_username(login.as_str()).is_ok()
        && bare.set_password(Some(password.expose())).is_ok()
    {
        return Ok(Secret::new(bare.as_str()));
    }
    as_login(&Secret::new(bare.as_str()), login, password)
}

fn no_url() -> Failure {
    Failure::usage("`catalog_url` is no URL")
        .next("write TENANTRY_CATALOG_URL like postgres://login:password@host:5432/database")
}

/// A failure of the catalog, with what to do where that is known.
pub fn catalog_failure(doing: &str, error: &CatalogError) -> Failure {
    let text = format!("{doing}: {}", chain(error));
    if let CatalogError::Query(sqlx::Error::Configuration(_)) = error {
        // What the parser says ("relative URL without a base") is about URLs, not about the setting.
        return Failure::usage("`catalog_url` is no URL of a Postgres database")
            .next("write TENANTRY_CATALOG_URL like postgres://login:password@host:5432/database");
    }
    let state = match error {
        CatalogError::Unavailable(source) | CatalogError::Query(source) => {
            source.as_database_error().and_then(|report| report.code())
        }
        _ => None,
    };
    match (error, state.as_deref()) {
        (CatalogError::Unavailable(_), _) => Failure::new(Exit::Unavailable, text).next(
            "check that its server runs and that TENANTRY_CATALOG_URL names its host and port",
        ),
        (_, Some("28P01" | "28000")) => Failure::new(Exit::NotAllowed, text)
            .next("check login and password in TENANTRY_CATALOG_URL"),
        (_, Some("3D000")) => Failure::new(Exit::NotFound, text)
            .next("create the database that TENANTRY_CATALOG_URL names, owned by its login, then run `tenantry init`"),
        (CatalogError::NotMigrated { .. }, _) => Failure::new(Exit::from(error.kind()), text)
            .next("`tenantry init` prepares a catalog that is new; one that is in use: `tenantry catalog migrate`"),
        // Its message names the command to run.
        _ => Failure::new(Exit::from(error.kind()), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_for_others_holds_nothing_of_the_first_login() {
        let login = RoleName::parse("tenantry_router_1").expect("a name");
        for (from, to) in [
            (
                "postgres://admin:hidden@h:1/db",
                "postgres://tenantry_router_1:p%2Fw&@h:1/db",
            ),
            (
                "postgres://admin:hidden@h/db?sslmode=require&user=admin&password=hidden",
                "postgres://tenantry_router_1:p%2Fw&@h/db?sslmode=require",
            ),
            (
                "postgres:///db?host=/run/pg&user=admin&password=hidden",
                "postgres:///db?host=%2Frun%2Fpg&user=tenantry_router_1&password=p%2Fw%26",
            ),
        ] {
            let given = replacing_login(&Secret::new(from), &login, &Secret::new("p/w&"));
            let given = given.expect("a URL");
            assert_eq!(given.expose(), to);
            assert!(!given.expose().contains("hidden"));
        }
    }

    #[test]
    fn another_login_wins_over_the_one_in_the_url() {
        let login = RoleName::parse("tenantry_router_1").expect("a name");
        let url = as_login(
            &Secret::new("postgres://a:b@h:1/db"),
            &login,
            &Secret::new("p/w&="),
        )
        .expect("a URL");
        assert_eq!(
            url.expose(),
            "postgres://a:b@h:1/db?user=tenantry_router_1&password=p%2Fw%26%3D"
        );
    }
}
