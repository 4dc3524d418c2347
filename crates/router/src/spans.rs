//! The router's spans in a trace. None is on the way of a warm request: what is remembered and what is
//! idle is handed out without one.

use tenantry_types::TenantId;
use tenantry_types::span::TARGET;
use tracing::Span;
use tracing::field::Empty;

/// The catalog is asked where something leads.
pub(crate) fn resolve() -> Span {
    tracing::debug_span!(target: TARGET, "resolve", outcome = Empty, otel.status_code = Empty)
}

/// A request waits for a connection.
pub(crate) fn acquire(tenant: TenantId) -> Span {
    tracing::debug_span!(target: TARGET, "acquire", tenantry.tenant.id = %tenant,
        outcome = Empty, otel.status_code = Empty)
}

/// A connection is opened.
pub(crate) fn connect(tenant: TenantId) -> Span {
    tracing::debug_span!(target: TARGET, "connect", tenantry.tenant.id = %tenant,
        otel.kind = "client", db.system.name = "postgresql",
        outcome = Empty, otel.status_code = Empty)
}

/// The database is asked which one it is.
pub(crate) fn prove() -> Span {
    tracing::debug_span!(target: TARGET, "prove")
}

/// How it went; `None` is well.
pub(crate) fn end(span: &Span, trouble: Option<&'static str>) {
    span.record("outcome", trouble.unwrap_or("done"));
    if trouble.is_some() {
        span.record("otel.status_code", "ERROR");
    }
}
