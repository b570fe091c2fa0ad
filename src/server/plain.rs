//! What plain HTTP is told where the transport itself answers, or ends an answer that has begun. When is the transport's
//! to know; the words are the application's, as they are of its own answers.
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

/// The answer to a call that does not reach the application: its status, and a sentence that says why. What it puts into
/// the head stays; the transport adds its own.
pub type Wording = fn(StatusCode, &str) -> Response<Bytes>;

/// The status alone.
pub fn wordless(status: StatusCode, _sentence: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Extension of a response whose body says itself why it ends, as the last of its data: where the transport ends such a
/// body, it says so with this rather than break it off.
#[derive(Clone, Copy, Debug)]
pub struct LastWords(pub fn(StatusCode, &str) -> Bytes);

/// How the caller of one request is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tongue {
    wording: Wording,
    is_head: bool,
}

impl Tongue {
    pub fn of<R>(request: &Request<R>, wording: Wording) -> Self {
        Self { wording, is_head: request.method() == Method::HEAD }
    }

    /// `body` makes one of the words.
    pub fn answer<B>(self, status: StatusCode, sentence: &str, body: impl FnOnce(Bytes) -> B) -> Response<B> {
        let response = (self.wording)(status, sentence);
        // HTTP/2 would send it.
        response.map(|words| body(if self.is_head { Bytes::new() } else { words }))
    }
}
