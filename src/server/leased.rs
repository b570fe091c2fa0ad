//! A body that lasts no longer than the credentials that its call was let in with.
use super::{
    fuse::{READ_GRACE, arm},
    plain::LastWords,
    rarely::Rarely,
    refusal::{self, trailers},
};
use crate::access::Lease;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower::BoxError;

/// A body that ends with its caller's credentials; without an inner body, and once it has said its last words, it has
/// ended.
pub struct EntranceBody<B> {
    inner: Option<B>,
    words: Option<Bytes>,
    lease: Option<Lease>,
    /// There once the body had to wait, which an answer made at once never does.
    over: Option<Rarely<dyn Future<Output = ()> + Send>>,
    has_sent: bool,
    end: End,
}

/// How a body says that its caller's credentials are no longer good.
#[derive(Clone, Copy)]
pub(super) enum End {
    Status,
    Words(LastWords),
    /// Nothing else can tell the client that it is not whole.
    Break,
}

impl End {
    pub fn of_plain<B>(response: &Response<B>) -> Self {
        response.extensions().get().copied().map_or(Self::Break, Self::Words)
    }
}

impl<B> EntranceBody<B> {
    pub(super) fn new(inner: B, lease: Option<Lease>, end: End) -> Self {
        Self { inner: Some(inner), words: None, lease, over: None, has_sent: false, end }
    }

    pub(super) fn ended() -> Self {
        Self { inner: None, words: None, lease: None, over: None, has_sent: false, end: End::Break }
    }

    pub(super) fn saying(words: Bytes) -> Self {
        Self { words: Some(words).filter(|words| !words.is_empty()), ..Self::ended() }
    }

    fn poll_over(&mut self, lease: &Lease, cx: &mut Context<'_>) -> bool {
        let over = self.over.get_or_insert_with(|| {
            let stalled = lease.clone();
            // A client that reads nothing is not polled, and must not keep what is no longer its own.
            arm(async move {
                stalled.over().await;
                tokio::time::sleep(READ_GRACE).await;
            });
            Rarely::new(Box::pin(lease.clone().over()))
        });
        Pin::new(over).poll(cx).is_ready()
    }
}

impl<B> Body for EntranceBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(this.words.take().map(|words| Ok(Frame::data(words))));
        };
        let polled = Pin::new(inner).poll_frame(cx).map_err(Into::into);
        let Some(lease) = this.lease.take() else { return polled };
        let is_over = match &polled {
            Poll::Pending => this.poll_over(&lease, cx),
            // The first data is what the call asked for while its caller was known; later ones are a stream's.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                std::mem::replace(&mut this.has_sent, true) && lease.is_over()
            }
            Poll::Ready(_) => false,
        };
        if !is_over {
            this.lease = Some(lease);
            return polled;
        }
        let end = this.end;
        *this = Self::ended();
        let over = refusal::lease_over();
        Poll::Ready(Some(match end {
            End::Status => Ok(trailers(&over)),
            End::Words(LastWords(words)) => Ok(Frame::data(words(StatusCode::UNAUTHORIZED, over.message()))),
            End::Break => Err("the credentials of the caller are no longer good".into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().map_or(self.words.is_none(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.lease) {
            (None, _) => SizeHint::with_exact(self.words.as_ref().map_or(0, Bytes::len) as u64),
            (Some(inner), None) => inner.size_hint(),
            // It may be cut, so no length may be promised.
            (Some(_), Some(_)) => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A stream that has data whenever it is asked.
    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
        }
    }

    #[tokio::test]
    async fn a_stream_that_never_waits_ends_with_its_lease_too_but_not_before_its_first_data() {
        for frames_before in [0, 1, 3] {
            let taken_away = CancellationToken::new();
            let lease = Lease::until_cancelled(taken_away.clone());
            let mut body = EntranceBody::new(Endless, Some(lease), End::Status);
            for _ in 0..frames_before {
                assert!(body.frame().await.unwrap().unwrap().is_data());
            }
            taken_away.cancel();
            if frames_before == 0 {
                assert!(body.frame().await.unwrap().unwrap().is_data(), "its caller was known when it was made");
            }
            let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
            assert_eq!(last["grpc-status"], (tonic::Code::Unauthenticated as i32).to_string());
            assert!(body.frame().await.is_none() && body.is_end_stream());
        }
    }
}
