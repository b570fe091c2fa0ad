//! The caller's deadline, on heads and bodies alike.
//!
//! tonic enforces `grpc-timeout` only in its own server, only until the head of the response, answers CANCELLED, and
//! ignores a malformed one. Here the whole call is bounded: at the deadline the handler is dropped, so that work not yet
//! begun is never begun, and the caller is told DEADLINE_EXCEEDED in a trailers-only response or in the trailers of the
//! body already begun. What is ready at that moment is not thrown away: a unary answer goes out whole.
use super::{
    fuse::{READ_GRACE, arm},
    refusal::{deadline_exceeded, is_grpc, malformed_timeout, trailers, trailers_only},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tower::{BoxError, Layer, Service};

/// A deadline further away than this is none: nobody waits a year, and instants that far overflow.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Bounds every gRPC call by its `grpc-timeout` and by the server's own `longest`, whichever is shorter. Plain HTTP has no
/// deadlines and passes untouched.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer {
    longest: Option<Duration>,
}

impl DeadlineLayer {
    /// `longest` bounds calls that name no deadline, streams included; `None` leaves them unbounded.
    pub fn new(longest: Option<Duration>) -> Self {
        Self { longest }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, longest: self.longest }
    }
}

#[derive(Clone, Debug)]
pub struct Bounded<S> {
    inner: S,
    longest: Option<Duration>,
}

impl<S, R, B> Service<Request<R>> for Bounded<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<DeadlineBody<B>>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        if !is_grpc(&request) {
            return DeadlineFuture::running(self.inner.call(request), None);
        }
        let asked = match timeout_of(request.headers()) {
            Ok(asked) => asked,
            Err(refusal) => return DeadlineFuture::refused(refusal),
        };
        let limit = match (asked, self.longest) {
            (Some(asked), Some(longest)) => Some(asked.min(longest)),
            (asked, longest) => asked.or(longest),
        };
        if let Some(limit) = limit.filter(Duration::is_zero) {
            return DeadlineFuture::refused(deadline_exceeded(limit));
        }
        let deadline = limit.filter(|limit| *limit < FOR_EVER).map(Deadline::after);
        DeadlineFuture::running(self.inner.call(request), deadline)
    }
}

/// When a call ends, and how long it was given. The timer exists only once something had to wait, which a call answered
/// at once never does.
struct Deadline {
    at: Instant,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit, timer: None }
    }

    fn has_passed(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Whether it has passed; if not, the task is woken when it does.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> bool {
        // Asked first, because timers are rounded up to the next millisecond.
        let at = self.at;
        self.has_passed() || self.timer.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(cx).is_ready()
    }
}

pin_project! {
    /// The bounded call. Either there is an inner future, or a refusal that was decided before there was one.
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<Status>,
        deadline: Option<Deadline>,
        has_begun: bool,
    }
}

impl<F> DeadlineFuture<F> {
    fn running(inner: F, deadline: Option<Deadline>) -> Self {
        Self { inner: Some(inner), refusal: None, deadline, has_begun: false }
    }

    fn refused(refusal: Status) -> Self {
        Self { inner: None, refusal: Some(refusal), deadline: None, has_begun: false }
    }
}

impl<F, B, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<DeadlineBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // A server that is behind must not begin what nobody waits for any more.
        let is_late =
            !std::mem::replace(this.has_begun, true) && this.deadline.as_ref().is_some_and(Deadline::has_passed);
        if !is_late
            && let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(answer) = inner.poll(cx)
        {
            let deadline = this.deadline.take();
            return Poll::Ready(answer.map(|response| response.map(|body| DeadlineBody::new(body, deadline))));
        }
        if let Some(deadline) = this.deadline
            && deadline.poll_passed(cx)
        {
            *this.refusal = Some(deadline_exceeded(deadline.limit));
        }
        let Some(refusal) = this.refusal.take() else { return Poll::Pending };
        this.inner.set(None);
        Poll::Ready(Ok(trailers_only(refusal, DeadlineBody::ended())))
    }
}

/// A body that its deadline ends with DEADLINE_EXCEEDED; without an inner body it has ended.
pub struct DeadlineBody<B> {
    inner: Option<B>,
    deadline: Option<Deadline>,
    has_sent: bool,
}

impl<B: Body> DeadlineBody<B> {
    fn new(inner: B, deadline: Option<Deadline>) -> Self {
        if let Some(deadline) = &deadline
            && !inner.is_end_stream()
        {
            arm(tokio::time::sleep_until(deadline.at + READ_GRACE));
        }
        Self { inner: Some(inner), deadline, has_sent: false }
    }
}

impl<B> DeadlineBody<B> {
    fn ended() -> Self {
        Self { inner: None, deadline: None, has_sent: false }
    }
}

impl<B> Body for DeadlineBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx).map_err(Into::into);
        let Some(deadline) = &mut this.deadline else { return polled };
        let is_over = match &polled {
            Poll::Pending => deadline.poll_passed(cx),
            // The first data, the status and the end are let through late: they were ready, and a unary answer is made of
            // just these. A later message of a stream is what the deadline is there to stop.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                std::mem::replace(&mut this.has_sent, true) && deadline.has_passed()
            }
            Poll::Ready(_) => false,
        };
        if !is_over {
            return polled;
        }
        let status = deadline_exceeded(deadline.limit);
        *this = Self::ended();
        Poll::Ready(Some(Ok(trailers(&status))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.deadline) {
            (None, _) => SizeHint::with_exact(0),
            (Some(inner), None) => inner.size_hint(),
            // It may be cut, so no length may be promised.
            (Some(_), Some(_)) => SizeHint::new(),
        }
    }
}

/// The caller's limit, if there is one.
///
/// The gRPC protocol: one to eight ASCII digits, then a unit. Zero is not in its grammar, yet clients whose deadline has
/// just passed send it and mean it, so it is taken as passed.
fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let mut values = headers.get_all("grpc-timeout").iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Two values contradict each other.
    let limit = if values.next().is_none() { parse(value) } else { None };
    limit.map(Some).ok_or_else(|| {
        malformed_timeout(&String::from_utf8_lossy(value.as_bytes()).chars().take(64).collect::<String>())
    })
}

/// One value of `grpc-timeout`; `None` where it is malformed.
pub fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0_u64, |amount, digit| amount * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<Duration> {
        parse(&HeaderValue::from_str(value).unwrap())
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parsed("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parsed("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parsed("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parsed("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parsed("7n"), Some(Duration::from_nanos(7)));
        assert_eq!(parsed("00000000n"), Some(Duration::ZERO));
        assert_eq!(parsed("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
    }

    #[test]
    fn nothing_else_is_a_timeout() {
        for value in [
            "",
            "S",
            "1",
            "1s",
            "1h",
            "-1S",
            "+1S",
            " 1S",
            "1S ",
            "1 S",
            "1.5S",
            "123456789n",
            "0x1S",
            "1SS",
            "é",
            "٣S",
        ] {
            assert_eq!(
                HeaderValue::from_bytes(value.as_bytes()).ok().and_then(|value| parse(&value)),
                None,
                "{value:?}"
            );
        }
    }

    #[test]
    fn two_timeouts_contradict_each_other() {
        let mut headers = HeaderMap::new();
        headers.append("grpc-timeout", HeaderValue::from_static("1S"));
        headers.append("grpc-timeout", HeaderValue::from_static("2S"));
        assert_eq!(timeout_of(&headers).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
