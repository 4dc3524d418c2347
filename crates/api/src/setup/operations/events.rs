//! `GET /setup/operations/{operation}/events`

use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream;
use http::HeaderMap;
use serde::Serialize;
use tenantry_catalog::journal;
use tenantry_catalog::operations::Status;
use tenantry_lifecycle::Followed;
use tenantry_types::{OperationId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::ReadCreated;

/// How long one stream lasts; whoever still listens asks again, and proves again who they are.
const LONGEST: Duration = Duration::from_secs(600);
/// How often it is said that nothing has happened.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event of the stream.
#[derive(ToSchema)]
#[schema(as = OperationEvent)]
#[expect(dead_code, reason = "describes what `axum` writes")]
pub(crate) struct Sent {
    /// `step`, or `end`, which is the last one.
    #[schema(example = "step")]
    event: String,
    /// Of a step the number of its line.
    #[schema(required = false, nullable = false, example = "4")]
    id: Option<String>,
    /// JSON. Of `step`: `step`, `event` (`started`, `done`, `failed`, `undo_started`, `undone`,
    /// `undo_failed`) and `at`. Of `end`: `status`, and `code` and `message` where it did not reach its goal.
    #[schema(example = r#"{"step":"clone","event":"done","at":"2026-03-01T12:00:00.250782Z"}"#)]
    data: String,
}

/// The data of an event `step`: one line of the journal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepEvent {
    step: String,
    event: journal::Event,
    at: Timestamp,
}

/// The data of the event `end`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// The operation as it goes, as server-sent events (HTML Living Standard, 9.2): `step` for each line of its
/// journal from the first on, and `end` with `{status, code?, message?}`, after which the stream is closed.
/// Ids are the lines' numbers: after a break `Last-Event-ID` goes on behind it.
#[utoipa::path(
    get, path = "/setup/operations/{operation}/events", tag = "operations", operation_id = "followOperation",
    params(
        ("operation" = words::OperationId, Path, description = "The operation's id."),
        ("last-event-id" = Option<String>, Header, description = "The last line that was received; what is none is passed over.", example = "4"),
    ),
    responses((
        status = 200, description = "The events.", content_type = "text/event-stream", body = Sent,
    )),
    extensions(("x-problems" = json!(["OPERATION_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<ReadCreated>,
    State(app): State<App>,
    Path(id): Path<OperationId>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, std::convert::Infallible>>>, Problem> {
    operator.must_see(&app, id).await?;
    // What it is not, it cannot go on behind: then it is told from the beginning.
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse::<i32>().ok())
        .unwrap_or(0);
    let following = app
        .lifecycle
        .follow(id, seen.max(0), LONGEST)
        .await?
        .ok_or_else(|| Problem::not_found("OPERATION_NOT_FOUND"))?;
    let events = stream::unfold(following, async |mut following| {
        let next = following.next().await?;
        Some((Ok(event_of(next)), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event_of(followed: Followed) -> Event {
    match followed {
        Followed::Line(entry) => {
            let data = StepEvent {
                step: entry.step,
                event: entry.event,
                at: entry.at,
            };
            data_of(
                Event::default().event("step").id(entry.seq.to_string()),
                &data,
            )
        }
        Followed::End(status, failure) => {
            let (code, message) = failure.map(|told| (told.code, told.message)).unzip();
            let data = End {
                status,
                code,
                message,
            };
            data_of(Event::default().event("end"), &data)
        }
    }
}

fn data_of(event: Event, data: &impl Serialize) -> Event {
    event.data(serde_json::to_string(data).unwrap_or_default())
}
