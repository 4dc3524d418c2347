//! Rotation by the calendar, where it is configured (`rotation.every`).
//!
//! Every process looks, and the first that finds something due begins one `rotate-all` for all of it;
//! while that runs, by its lease in one process, the others find it running.

use std::time::Duration;

use tenantry_catalog::logins;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest, for tests and for those who want it very short.
const SHORTEST: Duration = Duration::from_millis(200);

pub(crate) async fn run(life: Lifecycle) {
    let Some(every) = life.deps().settings.rotation_every else {
        return;
    };
    let pause = (every / 20).clamp(SHORTEST, LONGEST);
    loop {
        match look(&life, every).await {
            Ok(()) | Err(StartError::InProgress(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "could not look for logins that are to be rotated; trying again");
            }
        }
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn look(life: &Lifecycle, every: Duration) -> Result<(), StartError> {
    let Some(_at_work) = life.at_work("rotation") else {
        return Ok(());
    };
    let mut conn = life.deps().catalog.acquire().await?;
    let due = logins::scheduled(&mut conn, every, 1).await?;
    drop(conn);
    if due.is_empty() {
        return Ok(());
    }
    let jitter = life.deps().settings.rotation_jitter;
    let asker = Asker::product("scheduled rotation");
    life.rotate_fleet(jitter, Some(every), asker).await?;
    Ok(())
}
