//! Around each service: what the library answers to a request that it cannot read, in this service's own terms.
//!
//! For a call with one request the library reads it before any handler runs, and fails with codes that mean something
//! else here: OUT_OF_RANGE for a message that is too large, INTERNAL for a body that is cut off. Such an answer has no
//! body, so its status stands in the headers, and it has no details, which everything of ours has.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::status::of_reading;

/// A service whose every error is in the contract's terms.
#[derive(Clone, Debug)]
pub struct Refined<S> {
    service: S,
    most_bytes: usize,
}

impl<S> Refined<S> {
    /// `most_bytes` is the limit on one message that the service was given.
    pub fn new(service: S, most_bytes: usize) -> Refined<S> {
        Refined { service, most_bytes }
    }
}

impl<S: NamedService> NamedService for Refined<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Refined<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = RefinedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        RefinedFuture { answer: self.service.call(request), most_bytes: self.most_bytes }
    }
}

#[derive(Debug)]
pub struct RefinedFuture<F> {
    answer: F,
    most_bytes: usize,
}

impl<F> Future for RefinedFuture<F>
where
    F: Future<Output = Result<http::Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(answer) = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(Ok(refine(answer, self.most_bytes)))
    }
}

fn refine(answer: http::Response<Body>, most_bytes: usize) -> http::Response<Body> {
    match Status::from_header_map(answer.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            let refined = of_reading(status, most_bytes);
            if refined.details().is_empty() { answer } else { refined.into_http() }
        }
        Some(_) | None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::{ApiError, status};
    use crate::event::WorkspaceSid;
    use crate::pipeline::AskError;

    fn has_details(answer: &http::Response<Body>) -> bool {
        answer.headers().contains_key("grpc-status-details-bin")
    }

    fn code(answer: &http::Response<Body>) -> &str {
        answer.headers()["grpc-status"].to_str().unwrap()
    }

    #[test]
    fn an_error_of_the_library_is_put_in_our_terms() {
        assert_eq!(code(&refine(Status::out_of_range("too large").into_http(), 9)), "8");
        assert_eq!(code(&refine(Status::internal("cut off").into_http(), 9)), "3");
        let unzipped = refine(Status::resource_exhausted("decompressing").into_http(), 9);
        assert_eq!((code(&unzipped), has_details(&unzipped)), ("8", true));
    }

    #[test]
    fn an_error_of_the_transport_stays_as_the_library_has_it() {
        let answer = refine(Status::unimplemented("gzip").into_http(), 9);
        assert_eq!((code(&answer), has_details(&answer)), ("12", false));
    }

    #[test]
    fn an_error_whose_code_is_right_already_gains_details() {
        let answer = refine(Status::resource_exhausted("size limit exceeded while decompressing").into_http(), 9);
        assert_eq!(code(&answer), "8");
        assert!(answer.headers().contains_key("grpc-status-details-bin"));
    }

    #[test]
    fn an_error_of_ours_and_an_answer_stay_as_they_are() {
        let (oldest, asked) = (crate::event::Second(1), crate::event::Second(0));
        let ours = ApiError::Ask(WorkspaceSid::from_bytes([0; 16]), AskError::WindowTooOld { oldest, asked });
        assert_eq!(code(&refine(status(ours).into_http(), 9)), "11");
        assert!(refine(http::Response::new(Body::empty()), 9).headers().is_empty());
    }
}
