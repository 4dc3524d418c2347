//! Watching an operation to its end. It goes on in the server, whatever becomes of us.

use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Progress, items, text};

/// How often the operation is looked at.
const POLL: Duration = Duration::from_millis(300);
/// How long a server that does not answer is waited for: the operation goes on without us.
const PATIENCE: Duration = Duration::from_secs(60);

/// The operation at its end; meanwhile `progress` shows how it goes.
///
/// # Errors
/// When it cannot be looked at, or somebody pressed Ctrl-C.
pub async fn to_its_end(client: &Client, id: &str, progress: &mut Progress) -> Result<Value> {
    let left = || {
        format!(
            "the operation goes on in the server: `tenantry operations show {id} --wait` follows it"
        )
    };
    unless_stopped(watch(client, id, progress), || {
        Failure::new(
            Exit::Interrupted,
            format!("stopped watching operation {id}"),
        )
        .next(left())
    })
    .await
    .map_err(|failure| match failure.exit() {
        Exit::Unavailable => failure.next(left()),
        _ => failure,
    })
}

/// Does something unless Ctrl-C is pressed meanwhile. What is on the terminal then goes in order,
/// as after any other end.
///
/// # Errors
/// That of `work`, or `stopped`.
pub async fn unless_stopped<T>(
    work: impl Future<Output = Result<T>>,
    stopped: impl FnOnce() -> Failure,
) -> Result<T> {
    tokio::select! {
        done = work => done,
        told = tokio::signal::ctrl_c() => {
            // Where signals cannot be listened for, Ctrl-C has ended the program already.
            drop(told);
            Err(stopped())
        }
    }
}

async fn watch(client: &Client, id: &str, progress: &mut Progress) -> Result<Value> {
    let mut silent_since = None;
    loop {
        match client.get(&["operations", id], &[]).await {
            Ok(operation) => {
                silent_since = None;
                if !matches!(text(&operation, "status").as_str(), "running" | "undoing") {
                    return Ok(operation);
                }
                show(&operation, progress);
            }
            // The server may be restarting; the operation is durable.
            Err(failure) if failure.exit() == Exit::Unavailable => {
                let since = *silent_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > PATIENCE {
                    return Err(failure);
                }
                progress.say("waiting for the server");
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(POLL).await;
    }
}

fn show(operation: &Value, progress: &mut Progress) {
    let number = |name: &str| operation.pointer(&format!("/progress/{name}"))?.as_u64();
    if let (Some(done), Some(total)) = (number("done"), number("total")) {
        let failed = match number("failed") {
            Some(failed) if failed > 0 => format!(", {failed} failed"),
            _ => String::new(),
        };
        return progress.reach(done, total, &format!("databases{failed}"));
    }
    let running = items(operation, "steps")
        .iter()
        .rfind(|step| matches!(text(step, "status").as_str(), "running" | "undoing"));
    if let Some(step) = running {
        progress.step(&format!(
            "{}: {}",
            text(operation, "kind"),
            text(step, "name")
        ));
    }
}
