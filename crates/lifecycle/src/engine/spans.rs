//! An operation's spans in a trace: one for a drive, one for each step. They belong to the trace of the
//! request that began the operation; one that another process takes up begins a trace of its own.

use tenantry_types::OperationId;
use tenantry_types::span::TARGET;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::runner::End;
use super::step::StepError;

/// A drive of an operation.
pub(crate) fn operation(id: OperationId, kind: &'static str) -> Span {
    let span = tracing::debug_span!(target: TARGET, parent: None, "operation", otel.name = kind,
        tenantry.operation.id = %id, tenantry.operation.kind = kind,
        outcome = Empty, otel.status_code = Empty);
    if !span.is_disabled() {
        // Of the same trace, and yet nothing that the request's span would wait for to be over.
        let _ = span.set_parent(Span::current().context());
    }
    span
}

/// How a drive ended.
pub(crate) fn ended(outcome: &'static str, ended: &Result<End, StepError>) {
    let span = Span::current();
    span.record("outcome", outcome);
    if matches!(ended, Ok(End::Failed(_) | End::Parked(_)) | Err(_)) {
        span.record("otel.status_code", "ERROR");
    }
}

/// A step, or its undoing.
pub(super) fn step(id: OperationId, kind: &'static str, step: &'static str, undo: bool) -> Span {
    tracing::debug_span!(target: TARGET, "step", otel.name = step,
        tenantry.operation.id = %id, tenantry.operation.kind = kind,
        tenantry.operation.step = step, tenantry.operation.undo = undo,
        otel.status_code = Empty)
}

/// A step that failed.
pub(super) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}
