//! Going on with a session whose access token has ended, while a page is asked for.
//!
//! A refresh token is used once, and a second use ends its session. A browser that opens two windows
//! at once uses the same one twice and means no harm; so what one use gave is told again to those who
//! come with the same token within seconds. A thief among them gets no line of his own: all hold the
//! same next token, and the second of them to use that one is found out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tenantry_tenantdb::sessions::{self, Issued, SessionError};
use tenantry_types::{ErrorKind, Secret, UserId};

use crate::app::App;
use crate::context::Visitor;
use crate::problem::Problem;

/// How long a renewal is told again: the way of an answer to the browser, and some.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// The renewals of the last seconds, in this process only.
pub(crate) struct Renewals(Cache<[u8; 32], (UserId, Issued)>);

impl Renewals {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(10_000)
            .time_to_live(TOLD_AGAIN)
            .build();
        Self(cache)
    }

    /// Uses the token up, or tells what that gave a moment ago. `None` when it counts no more.
    pub(super) async fn renew(
        &self,
        visitor: &Visitor,
        token: &Secret,
    ) -> Result<Option<(UserId, Issued)>, Problem> {
        // With the tenant: what is remembered of one must open nothing at another.
        let mut key = Sha256::new();
        key.update(visitor.tenant_id().as_uuid());
        key.update(token.expose());
        let key = key.finalize().into();
        // Boxed: what the cache keeps around it is large, and few requests come here.
        let renewed = Box::pin(self.0.try_get_with(key, rotate(visitor, token)));
        match renewed
            .await
            .map_err(|problem: Arc<Problem>| (*problem).clone())
        {
            Ok(renewed) => Ok(Some(renewed)),
            Err(problem) if problem.code() == REFUSED => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

const REFUSED: &str = "INVALID_REFRESH_TOKEN";

async fn rotate(visitor: &Visitor, token: &Secret) -> Result<(UserId, Issued), Problem> {
    let app = &visitor.app;
    let mut conn = visitor.conn().await?;
    let rotated = sessions::rotate(&mut conn, token, &app.clock, &app.entropy).await;
    if let Err(SessionError::Db(error)) = rotated {
        return Err(error.into());
    }
    conn.release();
    rotated.map_err(|refused| Problem::new(ErrorKind::Unauthenticated, REFUSED).caused_by(refused))
}

/// Whether the page will fill a window of its own, as far as the browser says. A frame or an image
/// at another tenant's page asks with this person's cookies, too, and might throw away the answer
/// and with it the next token.
pub(crate) struct OwnWindow(pub(super) bool);

impl FromRequestParts<App> for OwnWindow {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        let destination = parts.headers.get("sec-fetch-dest");
        Ok(Self(destination.is_none_or(|value| value == "document")))
    }
}
