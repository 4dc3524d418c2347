//! The command line as a client of the setup API.
//!
//! It knows no database: what it can do, any program with a token can do.

mod discover;
mod download;
mod events;
mod problem;
mod reach;
mod resolve;

pub use discover::dev_environment;
pub use download::Download;
pub use events::{Event, Events};

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Url, redirect};
use serde_json::Value;
use tenantry_types::Secret;

use crate::cli::Global;
use crate::failure::{Failure, Result};

/// Longer than a creation or a deletion takes with all its retries, shorter than a person's patience.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Longer than the server lets one stream of events last.
const LISTENING: Duration = Duration::from_secs(900);

/// A connection to one control plane, with a token.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// The parts of a path below `/setup`, each encoded by itself: a name with a slash stays one part.
pub type Path<'a> = &'a [&'a str];

impl Client {
    /// Finds the control plane and the token, as the flags say or where `tenantry dev` left them.
    ///
    /// # Errors
    /// When there is no URL or token, or the URL is not usable.
    pub fn connect(global: &Global) -> Result<Self> {
        let target = discover::target(global)?;
        let base = base_url(&target.url)?;
        let local = is_local(&base);
        if base.scheme() == "http" && !local {
            crate::output::note(
                "warning: the token is sent in clear to this http:// URL; use https://",
            );
        }
        Ok(Self {
            http: http_client(&base, local)?,
            base,
            token: target.token,
        })
    }

    /// Reads.
    ///
    /// # Errors
    /// When no answer comes or it is an error.
    pub async fn get(&self, path: Path<'_>, query: &[(&str, String)]) -> Result<Value> {
        self.send(Method::GET, path, query, None, None).await
    }

    /// Asks for a change. `key` is an `Idempotency-Key`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &self,
        path: Path<'_>,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<Value> {
        self.send(Method::POST, path, &[], body, key).await
    }

    /// Sets something to what it is to be.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put(&self, path: Path<'_>, body: Value) -> Result<Value> {
        self.send(Method::PUT, path, &[], Some(body), None).await
    }

    /// Asks for a change that may take long; `begin_only` is answered with the operation at once.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn create(
        &self,
        path: Path<'_>,
        body: Value,
        key: Option<&str>,
        begin_only: bool,
    ) -> Result<Value> {
        let request = self.request(Method::POST, path, &[], key)?.json(&body);
        let request = match begin_only {
            true => request.header("prefer", "respond-async"),
            false => request,
        };
        self.answer(request).await
    }

    /// Listens to what happens, behind the event of this id; empty: from the first one.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn events(&self, path: Path<'_>, last: &str) -> Result<Events> {
        let mut request = self
            .request(Method::GET, path, &[], None)?
            .header("accept", "text/event-stream")
            .timeout(LISTENING);
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let response = request
            .send()
            .await
            .map_err(|error| reach::failure(&self.base, error))?;
        if !response.status().is_success() {
            problem::answer(response, &self.base).await?;
            return Err(Failure::usage("the server does not send events here"));
        }
        Ok(Events::new(response, self.base.clone()))
    }

    /// Reads what comes as a stream.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn download(&self, path: Path<'_>, query: &[(&str, String)]) -> Result<Download> {
        let response = self
            .request(Method::GET, path, query, None)?
            .timeout(LISTENING)
            .send()
            .await
            .map_err(|error| reach::failure(&self.base, error))?;
        if !response.status().is_success() {
            problem::answer(response, &self.base).await?;
            return Err(Failure::usage("the server sends no lines here"));
        }
        Ok(Download::new(response, self.base.clone()))
    }

    /// Changes a part of what is there.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn patch(&self, path: Path<'_>, body: Value) -> Result<Value> {
        self.send(Method::PATCH, path, &[], Some(body), None).await
    }

    /// Removes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: Path<'_>, query: &[(&str, String)]) -> Result<Value> {
        self.send(Method::DELETE, path, query, None, None).await
    }

    /// Removes what may take long; `begin_only` is answered with the operation at once.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn end(
        &self,
        path: Path<'_>,
        query: &[(&str, String)],
        begin_only: bool,
    ) -> Result<Value> {
        let request = self.request(Method::DELETE, path, query, None)?;
        let request = match begin_only {
            true => request.header("prefer", "respond-async"),
            false => request,
        };
        self.answer(request).await
    }

    async fn send(
        &self,
        method: Method,
        path: Path<'_>,
        query: &[(&str, String)],
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<Value> {
        let mut request = self.request(method, path, query, key)?;
        if let Some(body) = &body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    fn request(
        &self,
        method: Method,
        path: Path<'_>,
        query: &[(&str, String)],
        key: Option<&str>,
    ) -> Result<RequestBuilder> {
        let request = self
            .http
            .request(method, self.url(path)?)
            .bearer_auth(self.token.expose())
            .query(query);
        Ok(match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        })
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value> {
        let response = request
            .send()
            .await
            .map_err(|error| reach::failure(&self.base, error))?;
        problem::answer(response, &self.base).await
    }

    /// Where it is, as a person wrote it.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn url(&self, path: Path<'_>) -> Result<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("the URL cannot have a path"))?
            .pop_if_empty()
            .push("setup")
            .extend(path);
        Ok(url)
    }
}

/// A client for what listens on this machine.
///
/// # Errors
/// When it cannot be made.
pub fn to_this_machine(patience: Duration) -> Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(patience)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tls_certs_only(Vec::new())
        .build()
        .map_err(|error| Failure::because("the HTTP client cannot be made", &error))
}

fn http_client(base: &Url, local: bool) -> Result<reqwest::Client> {
    // Another part of the program may have installed it before; either is the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tenantry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .timeout(TIMEOUT)
        .dns_resolver(resolve::Loopback)
        // A redirect would take the token elsewhere or turn a POST into a GET.
        .redirect(redirect::Policy::none());
    if local {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // Without it the client reads the system's certificates, and fails where there are none.
        builder = builder.tls_certs_only(Vec::new());
    }
    builder
        .build()
        .map_err(|error| Failure::because("the HTTP client cannot be made", &error))
}

fn base_url(text: &str) -> Result<Url> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no URL of a control plane"))
            .next("write it like http://localhost:3000 or https://example.com")
    };
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(wrong())
    }
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        resolve::is_loopback_name(host) || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Client {
        let base = base_url(base).expect("a URL");
        Client {
            http: http_client(&base, is_local(&base)).expect("a client"),
            base,
            token: Secret::new("t"),
        }
    }

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        let url = client("http://localhost:3000")
            .url(&["tenants", "../a/b?c"])
            .expect("a URL");
        assert_eq!(
            url.as_str(),
            "http://localhost:3000/setup/tenants/..%2Fa%2Fb%3Fc"
        );
        let url = client("https://example.com/")
            .url(&["tenants"])
            .expect("a URL");
        assert_eq!(url.as_str(), "https://example.com/setup/tenants");
    }

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        for local in [
            "http://localhost:1",
            "http://a.localhost",
            "http://127.0.0.1:3",
            "http://[::1]:3",
        ] {
            assert!(is_local(&base_url(local).expect("a URL")), "{local}");
        }
        for far in [
            "http://example.com",
            "http://notlocalhost",
            "http://10.0.0.1",
        ] {
            assert!(!is_local(&base_url(far).expect("a URL")), "{far}");
        }
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for bad in [
            "",
            "localhost",
            "localhost:3000",
            "ftp://a",
            "postgres://a/b",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
