//! Metrics: the recorder that the crates' counts go to, and the readings that nobody else makes.
//!
//! What can be asked for at any time (connections, the change log, the process) is read when somebody
//! scrapes, not on the way of a request. A scrape asks no database.

mod process;
mod readings;
mod top;

use std::sync::Arc;
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tenantry_types::metric::{self, Kind};

use crate::failure::{Failure, Result};

pub use readings::Sources;

/// How often samples are put into their buckets; until then they take memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts to keep counts. Before anything registers what it counts.
    ///
    /// # Errors
    /// When something else in this process does already.
    pub fn start() -> Result<Self> {
        let failed =
            |error: &dyn std::error::Error| Failure::because("metrics cannot be kept", error);
        let mut builder = PrometheusBuilder::new();
        for metric in metric::ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder
                    .set_buckets_for_metric(name, bounds)
                    .map_err(|error| failed(&error))?;
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|error| failed(&error))?;
        for metric in metric::ALL {
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, metric.about),
                Kind::Gauge => describe_gauge!(metric.name, metric.about),
                Kind::Histogram(_) => describe_histogram!(metric.name, metric.about),
            }
        }
        Ok(Self(handle))
    }

    /// Keeps memory bounded where nobody scrapes. Ends with the runtime.
    pub async fn keep(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }

    /// What answers a scrape.
    pub fn render(&self, sources: Sources) -> tenantry_api::internal::Render {
        let handle = self.0.clone();
        Arc::new(move || {
            sources.read();
            let mut text = handle.render();
            process::write_cpu_seconds(&mut text);
            top::write(&mut text, sources.router());
            text
        })
    }
}

/// `docs/metrics.md`, as the table says.
#[cfg(test)]
fn document() -> String {
    let mut text = include_str!("document.md").to_owned();
    for metric in metric::ALL {
        text.push_str(&format!("\n## `{}`\n\n", metric.name));
        text.push_str(&format!(
            "{}, {}\n",
            metric.kind.word(),
            match metric.labels {
                [] => "no labels.".to_owned(),
                labels => format!(
                    "by {}.",
                    labels
                        .iter()
                        .map(|(label, _)| format!("`{label}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            }
        ));
        text.push_str(&format!("{}\n", metric.about));
        if !metric.labels.is_empty() {
            text.push('\n');
        }
        for (label, values) in metric.labels {
            text.push_str(&format!("- `{label}`: {values}\n"));
        }
        if let Kind::Histogram(bounds) = metric.kind {
            let bounds: Vec<_> = bounds.iter().map(ToString::to_string).collect();
            text.push_str(&format!("\nBuckets up to {} s.\n", bounds.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("TENANTRY_TEST_WRITE_DOCS").is_some() {
            std::fs::write(path, document()).expect("written");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == document(),
            "docs/metrics.md is not current: run this test with TENANTRY_TEST_WRITE_DOCS=1"
        );
    }
}
