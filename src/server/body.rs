//! A request body that must come in time.
//!
//! A caller that sends the head of a call and then its body byte by byte, or not at all, would hold a handler, a stream
//! and what it has sent so far for as long as it answers pings.
use super::refusal::request_too_slow;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::BoxError;

/// A body that fails with REQUEST_TOO_SLOW once it has taken longer than its bound.
pub(super) struct Timely<B> {
    inner: B,
    bound: Duration,
    until: Instant,
    /// Exists only once something had to wait; most bodies are there with their heads.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    pub fn new(inner: B, bound: Duration) -> Self {
        Self { inner, bound, until: Instant::now() + bound, timer: None }
    }
}

impl<B> Body for Timely<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx).map_err(Into::into);
        if polled.is_ready() {
            return polled;
        }
        let until = this.until;
        match this.timer.get_or_insert_with(|| Box::pin(sleep_until(until))).as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Box::new(request_too_slow(this.bound))))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
