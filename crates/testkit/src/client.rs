//! A client of one host of one server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use reqwest::{Method, header};
use serde_json::Value;

use crate::{Answer, logs};

/// Sends to one server, as one host, perhaps with a token. Made anew by each test: its connections
/// belong to that test's runtime.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    to: SocketAddr,
    host: String,
    bearer: Option<String>,
}

impl Client {
    /// A client that reaches `to` and says in `Host` that it wants `host`.
    #[must_use]
    pub fn new(to: SocketAddr, host: &str) -> Self {
        Self::built(to, host, reqwest::Client::builder())
    }

    /// As [`Client::new`], coming from another loopback address, e.g. 127.0.0.9.
    #[must_use]
    pub fn from_address(to: SocketAddr, host: &str, from: IpAddr) -> Self {
        Self::built(to, host, reqwest::Client::builder().local_address(from))
    }

    fn built(to: SocketAddr, host: &str, builder: reqwest::ClientBuilder) -> Self {
        let http = plain(builder)
            // What is answered is looked at, not what it leads to.
            .redirect(reqwest::redirect::Policy::none())
            // A connection of before a restart would be found dead only after a request was lost.
            .pool_max_idle_per_host(0)
            // A guard against hanging, no expectation.
            .timeout(Duration::from_secs(180))
            .build()
            .expect("an HTTP client");
        Self {
            http,
            to,
            host: host.to_owned(),
            bearer: None,
        }
    }

    /// The same, with another token.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        logs::learn(token);
        Self {
            bearer: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same, without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self {
            bearer: None,
            ..self.clone()
        }
    }

    /// The same, as another host.
    #[must_use]
    pub fn host(&self, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ..self.clone()
        }
    }

    /// Where a page of its host comes from, as a browser says it.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The token it sends.
    #[must_use]
    pub fn token(&self) -> &str {
        self.bearer.as_deref().unwrap_or_default()
    }

    /// A request to be completed and sent.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> Request {
        let url = format!("http://{}{path}", self.to);
        let mut inner = self
            .http
            .request(method.clone(), url)
            .header(header::HOST, &self.host);
        if let Some(token) = &self.bearer {
            inner = inner.bearer_auth(token);
        }
        Request {
            asked: format!("{method} http://{}{path}", self.host),
            inner,
        }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).json(&body).send().await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PUT, path).json(&body).send().await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PATCH, path).json(&body).send().await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path).send().await
    }
}

/// A client that goes straight to a server on this machine.
pub fn plain(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // A second one in this process would do as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    builder.no_proxy()
}

/// A request that is not sent yet.
#[derive(Debug)]
pub struct Request {
    asked: String,
    inner: reqwest::RequestBuilder,
}

impl Request {
    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.inner = self.inner.header(name, value);
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        logs::learn_from(body);
        self.inner = self.inner.json(body);
        self
    }

    /// With a body as it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.inner = self.inner.body(body.into());
        self
    }

    /// Sends it and reads the answer, if there is one: the server may be killed meanwhile.
    pub async fn try_send(self) -> Option<Answer> {
        let response = self.inner.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.ok()?;
        let answer = Answer {
            asked: self.asked,
            status,
            headers,
            text,
        };
        if status < 300 {
            logs::learn_from(&answer.json());
        }
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap_or_default().split(';').next();
            logs::learn(
                pair.and_then(|pair| pair.split_once('='))
                    .unwrap_or_default()
                    .1,
            );
        }
        Some(answer)
    }

    /// Sends it and reads the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(self) -> Answer {
        let asked = self.asked.clone();
        self.try_send()
            .await
            .unwrap_or_else(|| panic!("no answer to {asked}"))
    }
}
