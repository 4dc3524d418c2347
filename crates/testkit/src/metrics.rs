//! What `GET /metrics` tells, read as Prometheus reads it.

use std::collections::BTreeMap;

use reqwest::Method;

use crate::{Answer, Client};

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The whole text.
    pub text: String,
    series: BTreeMap<String, f64>,
}

impl Metrics {
    /// Asks an internal listener.
    ///
    /// # Panics
    /// When it does not answer with metrics.
    pub async fn scrape(internal_url: &str) -> Self {
        let answer = ask(internal_url, "/metrics").await;
        assert_eq!(answer.status, 200, "{answer}");
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let lines = answer.text.lines();
        let series = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                (name.to_owned(), value.parse().expect("a number"))
            })
            .collect();
        Self {
            text: answer.text,
            series,
        }
    }

    /// The names of all series, with their labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// The sum of all series of this name that have all these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &str| {
            let (of, rest) = series.split_once('{').unwrap_or((series, ""));
            of == name
                && labels
                    .iter()
                    .all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        let all = self.series.iter().filter(|(series, _)| has(series));
        all.map(|(_, value)| value).sum()
    }
}

/// One `GET` on an internal listener.
pub(crate) async fn ask(internal_url: &str, path: &str) -> Answer {
    let address = internal_url.trim_start_matches("http://");
    let to = address.parse().expect("an address");
    Client::new(to, address)
        .request(Method::GET, path)
        .send()
        .await
}
