//! Sending traces to a collector: OTLP as protobuf over HTTP.
//!
//! Spans go through a bounded queue to a thread of their own; a request never waits for it, and what
//! does not fit is dropped. A collector that cannot be reached is told once in the log, and once more
//! when it can be reached again. Only spans made for traces go out (see `tenantry_types::span`): no
//! log line does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData};
use reqwest::redirect;
use tokio::runtime::Handle;

use crate::config::{TelemetrySettings, of_process};
use crate::failure::{Failure, Result};

/// How long one sending may take.
const SEND: Duration = Duration::from_secs(5);
/// How long the program's end waits for what is left.
const LAST: Duration = Duration::from_secs(5);

/// What exports, until it is told to end.
pub struct Export {
    provider: SdkTracerProvider,
}

impl Export {
    /// Prepares to export where the settings say so. Nothing is sent before there are spans.
    ///
    /// # Errors
    /// When a setting is not usable.
    pub fn prepare(settings: &TelemetrySettings, runtime: &Handle) -> Result<Option<Self>> {
        let Some(endpoint) = settings.endpoint(&of_process)? else {
            return Ok(None);
        };
        let headers = settings.headers()?;
        let headers: HashMap<String, String> = headers
            .into_iter()
            .map(|(name, value)| (name, value.expose().to_owned()))
            .collect();
        let http = Http {
            client: client(&endpoint)?,
            runtime: runtime.clone(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(endpoint.as_str())
            .with_timeout(SEND)
            .with_headers(headers)
            .build()
            .map_err(|error| Failure::because("traces cannot be exported", &error))?;
        let attributes = settings.attributes()?.into_iter();
        let resource = Resource::builder()
            .with_service_name(settings.service(&of_process))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(attributes.map(|(name, value)| KeyValue::new(name, value)))
            .build();
        // A trace that a trusted proxy began is kept or not as it decided.
        let ratio = Sampler::TraceIdRatioBased(settings.ratio(&of_process)?);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Told {
                exporter,
                failing: AtomicBool::new(false),
            })
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider }))
    }

    /// What makes spans.
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("tenantry")
    }

    /// Sends what is left. Blocks its thread, at most for some seconds; the runtime must still run.
    pub fn finish(self) {
        // What cannot be sent was told.
        let _ = self.provider.shutdown_with_timeout(LAST);
    }
}

fn client(endpoint: &reqwest::Url) -> Result<reqwest::Client> {
    // Another part of the program may have installed it before; either is the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tenantry/", env!("CARGO_PKG_VERSION")))
        .timeout(SEND)
        // A redirect would take the headers elsewhere.
        .redirect(redirect::Policy::none());
    if endpoint.scheme() == "http" {
        // Without it the client reads the system's certificates, and fails where there are none.
        builder = builder.tls_certs_only(Vec::new());
    }
    builder
        .build()
        .map_err(|error| Failure::because("the HTTP client for traces cannot be made", &error))
}

/// The program's HTTP client for a thread that is outside of its runtime.
#[derive(Debug)]
struct Http {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(
        &self,
        request: Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let answering = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            let retry_after = answer.headers().get(http::header::RETRY_AFTER).cloned();
            Ok::<_, reqwest::Error>((status, retry_after, answer.bytes().await?))
        });
        let (status, retry_after, body) = answering.await?.map_err(reqwest::Error::without_url)?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if let Some(value) = retry_after {
            let headers = response.headers_mut();
            headers.insert(http::header::RETRY_AFTER, value);
        }
        Ok(response)
    }
}

/// Tells when the collector goes away and when it is back, and nothing in between.
#[derive(Debug)]
struct Told {
    exporter: SpanExporter,
    failing: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !failed_before => tracing::warn!(
                error = error as &dyn std::error::Error,
                "traces cannot be exported; they are dropped until the collector takes them"
            ),
            Ok(()) if failed_before => tracing::info!("traces are exported again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
