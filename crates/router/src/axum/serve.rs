//! Around a product's handlers: what a request found is held until its answer was sent, and the
//! request is ended with its tenant's place.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::axum::BoxError;
use ::axum::body::{Body, Bytes, HttpBody};
use ::axum::http::{Request, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tenantry_types::ErrorKind;
use tower::Service;

use super::{Tenants, problem};
use crate::visits::{Cut, Streams, Visits};

/// The service of a [`super::TenantLayer`].
#[derive(Clone, Debug)]
pub struct TenantService<S> {
    pub(super) inner: S,
    pub(super) tenants: Tenants,
}

impl<S, B, R> Service<Request<B>> for TenantService<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
    R: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let visits = Visits::new();
        let extensions = request.extensions_mut();
        extensions.insert(self.tenants.clone());
        extensions.insert(visits.entrance());
        let answering = self.inner.call(request);
        async move {
            match visits.until_cut(answering).await {
                Ok(answer) => Ok(until_sent(visits, answer?.map(Body::new))),
                Err(cut) => {
                    tracing::info!("{cut}");
                    let wait = Some(std::time::Duration::from_secs(1));
                    let kind = ErrorKind::Unavailable;
                    Ok(problem::answer(kind, "DATABASE_UNAVAILABLE", wait))
                }
            }
        }
        .boxed()
    }
}

/// An answer, with the visits of its request until it was sent to its end or given up. When one of
/// them is cut before that, the answer breaks off.
pub fn until_sent(visits: Visits, answer: Response<Body>) -> Response<Body> {
    if visits.is_empty() || answer.body().is_end_stream() {
        return answer;
    }
    answer.map(|body| {
        Body::new(Sending {
            rest: Some((body, visits.into_streams())),
        })
    })
}

/// A body that is being sent.
struct Sending {
    rest: Option<(Body, Streams)>,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some((body, streams)) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let part = streams.next_part(cx, |cx| Pin::new(body).poll_frame(cx));
        let over = !matches!(part, Poll::Pending | Poll::Ready(Ok(Some(Ok(_)))));
        if over {
            self.rest = None;
        }
        part.map(|part| match part {
            Ok(frame) => frame.map(|frame| frame.map_err(BoxError::from)),
            Err(Cut) => {
                tracing::info!("{Cut}");
                Some(Err(Cut.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let rest = self.rest.as_ref();
        rest.is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref();
        rest.map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}
