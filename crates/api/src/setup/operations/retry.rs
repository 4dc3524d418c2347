//! `POST /setup/operations/{operation}/retry`

use axum::extract::State;
use axum::response::Response;
use tenantry_types::OperationId;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted};

/// Lets a parked operation go on where it stopped, forwards or backwards, when what stood in its way is
/// mended; one that waits for its next try goes on at once. Its tenant gets back the state it had.
#[utoipa::path(
    post, path = "/setup/operations/{operation}/retry", tag = "operations", operation_id = "retryOperation",
    params(("operation" = words::OperationId, Path, description = "The operation's id.")),
    responses(
        (
            status = 202,
            description = "It goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!(["OPERATION_ENDED", "OPERATION_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(id): Path<OperationId>,
) -> Result<Response, Problem> {
    app.lifecycle.retry(id, &operator.asker()).await?;
    Ok(progress::accepted(id, None))
}
