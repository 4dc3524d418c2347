//! The trace that a request belongs to, as W3C Trace Context names it
//! (<https://www.w3.org/TR/trace-context/>), and the request's span in it.
//!
//! Whoever names a trace can put spans into it and have them kept. So a `traceparent` is continued
//! where it came from a trusted proxy; from anybody else it is a link beside a trace of our own, and
//! an id in the log. Where no traces are exported it is that id and nothing else.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tenantry_types::TenantId;
use tenantry_types::span::TARGET;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::RequestId;

/// Tells a client which trace its request is in, as level 2 of the recommendation drafts it.
pub(crate) const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The request's span in a trace; nothing where no traces are exported.
#[derive(Clone)]
pub(crate) struct Traced(Span);

impl Traced {
    /// A request that is in no trace: a probe.
    pub(crate) fn none() -> Self {
        Self(Span::none())
    }

    /// Begins the span of a request. `trusted`: whether the one that sent it may name its trace.
    pub(crate) fn begin(
        headers: &HeaderMap,
        trusted: bool,
        method: &'static str,
        id: &RequestId,
    ) -> Self {
        let span = tracing::debug_span!(target: TARGET, "request",
            otel.kind = "server",
            otel.name = method,
            otel.status_code = Empty,
            http.request.method = method,
            http.route = Empty,
            http.response.status_code = Empty,
            tenantry.request.id = id.as_str(),
            tenantry.tenant.id = Empty,
        );
        if !span.is_disabled()
            && let Some(named) = parent(headers)
        {
            let (trace, span_id, flags) = named.parts();
            let remote = SpanContext::new(trace, span_id, flags, true, TraceState::NONE);
            if trusted {
                let parent = opentelemetry::Context::new().with_remote_span_context(remote);
                // Only a span that was begun already refuses a parent.
                let _ = span.set_parent(parent);
            } else {
                span.add_link(remote);
            }
        }
        Self(span)
    }

    pub(crate) fn span(&self) -> &Span {
        &self.0
    }

    /// The template of the route that answers.
    pub(crate) fn route(&self, method: &str, path: &'static str) {
        if !self.0.is_disabled() {
            self.0.record("http.route", path);
            // A field would not do: the span was begun when its ids were asked for.
            let context = self.0.context();
            context.span().update_name(format!("{method} {path}"));
        }
    }

    pub(crate) fn tenant(&self, tenant: TenantId) {
        if !self.0.is_disabled() {
            self.0.record("tenantry.tenant.id", display(tenant));
        }
    }

    pub(crate) fn answered(&self, status: u16) {
        self.0.record("http.response.status_code", status);
        if status >= 500 {
            self.0.record("otel.status_code", "ERROR");
        }
    }

    /// The ids of the trace and of this span, and whether it is kept; none where nothing is exported.
    pub(crate) fn ids(&self) -> Option<Ids> {
        if self.0.is_disabled() {
            return None;
        }
        let context = self.0.context();
        let context = context.span().span_context().clone();
        context.is_valid().then_some(Ids(context))
    }
}

/// The ids of a span.
pub(crate) struct Ids(SpanContext);

impl Ids {
    pub(crate) fn trace(&self) -> String {
        self.0.trace_id().to_string()
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let (trace, span) = (self.0.trace_id(), self.0.span_id());
        let flags = self.0.trace_flags().to_u8() & 1;
        HeaderValue::from_str(&format!("00-{trace}-{span}-{flags:02x}")).ok()
    }
}

/// Whether the one that sent a request is a trusted proxy.
pub(crate) fn is_trusted(peer: Option<&ConnectInfo<SocketAddr>>, trusted: &[IpNet]) -> bool {
    peer.is_some_and(|ConnectInfo(peer)| {
        let peer = peer.ip().to_canonical();
        trusted.iter().any(|net| net.contains(&peer))
    })
}

/// The trace's id: 32 hexadecimal digits, not all zero. None where the header is missing, not as the
/// recommendation says, or there twice.
pub(crate) fn id_of(headers: &HeaderMap) -> Option<&str> {
    parent(headers).map(|parent| parent.trace)
}

/// What a `traceparent` says.
struct Parent<'a> {
    trace: &'a str,
    span: &'a str,
    flags: &'a str,
}

impl Parent<'_> {
    fn parts(&self) -> (TraceId, SpanId, TraceFlags) {
        let flags = u8::from_str_radix(self.flags, 16).unwrap_or_default();
        (
            TraceId::from_hex(self.trace).unwrap_or(TraceId::INVALID),
            SpanId::from_hex(self.span).unwrap_or(SpanId::INVALID),
            TraceFlags::new(flags & 1),
        )
    }
}

fn parent(headers: &HeaderMap) -> Option<Parent<'_>> {
    let mut all = headers.get_all("traceparent").iter();
    let (Some(header), None) = (all.next(), all.next()) else {
        return None;
    };
    let text = header.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    // A later version may have more parts; ours has four.
    let whole = version != "00" || parts.next().is_none();
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(span, 16)
        && !zero(span)
        && hex(flags, 2);
    (valid && whole).then_some(Parent { trace, span, flags })
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn zero(text: &str) -> bool {
    text.bytes().all(|b| b == b'0')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(all: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for text in all {
            headers.append("traceparent", HeaderValue::from_static(text));
        }
        id_of(&headers).map(str::to_owned)
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_trace_of_a_valid_header_is_known() {
        let trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        assert_eq!(read(&[GOOD]), trace);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes";
        assert_eq!(read(&[later]), trace);
    }

    #[test]
    fn anything_else_is_no_trace() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-ann@acme.example000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[GOOD, GOOD]), None, "which of the two?");
    }
}
