use super::*;
use std::{convert::Infallible, pin::Pin, task};
use tower::{ServiceExt, service_fn};

fn assert_internal(answer: &Answer) {
    assert_eq!(answer.status().code(), tonic::Code::Internal, "{answer:?}");
    assert_eq!(answer.reason(), "INTERNAL");
    assert!(!answer.status().message().contains("secret"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_is_answered_internal_and_the_connection_lives() {
    let server = Server::new(answering(|request| async move {
        assert!(!request.headers().contains_key("grpc-timeout"), "secret");
        tokio::task::yield_now().await;
        panic!("secret")
    }));
    let mut client = server.client().await;
    for timeout in [None, Some("1S"), None] {
        let answer = read(client.call(timeout).await.unwrap()).await.unwrap();
        assert!(answer.is_trailers_only(), "{answer:?}");
        assert_internal(&answer);
    }
    assert!(!client.connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_there_is_a_future_is_answered_internal() {
    let server = Server::new(answering(|_| -> std::future::Ready<Response<Body>> { panic!("secret") }));
    let answer = read(server.client().await.call(None).await.unwrap()).await.unwrap();
    assert_internal(&answer);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_mid_stream_ends_it_with_internal_in_trailers() {
    let (held, gone) = held();
    let held = once(held);
    let server = Server::new(answering(move |_| {
        let held = held.lock().unwrap().take();
        async move {
            streaming(tokio_stream::iter(1..).map(move |n| {
                let _held = &held;
                assert!(n < 3, "secret {n}");
                data(b"message")
            }))
        }
    }));
    let answer = read(server.client().await.call(None).await.unwrap()).await.unwrap();
    assert_eq!(answer.data.concat(), b"messagemessage");
    assert!(answer.trailers.is_some(), "{answer:?}");
    assert_internal(&answer);
    gone.await;
}

/// Panics when it is dropped.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("secret, again");
    }
}

impl Future for Spiteful {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        panic!("secret")
    }
}

#[tokio::test]
async fn a_future_that_panicked_may_panic_again_when_dropped() {
    let service = PanicLayer::new(wordless).layer(service_fn(|_| Spiteful));
    let answer = read(service.oneshot(grpc("/", None, Body::empty())).await.unwrap()).await.unwrap();
    assert_internal(&answer);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panicked_may_panic_again_when_dropped() {
    let server = Server::new(answering(|_| async {
        let spiteful = Spiteful;
        streaming(tokio_stream::iter([0]).map(move |_| -> Frame<Bytes> {
            let _spiteful = &spiteful;
            panic!("secret")
        }))
    }));
    let answer = read(server.client().await.call(None).await.unwrap()).await.unwrap();
    assert_internal(&answer);
}

#[tokio::test(start_paused = true)]
async fn plain_http_gets_500() {
    let server = Server::new(answering(|_| async { panic!("secret") }));
    let response = server.client().await.get("/plain").await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(read(response).await.unwrap().data.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_plain_body_that_panics_does_not_look_whole() {
    let (send, frames) = mpsc::channel::<&str>(1);
    let frames = once(frames);
    let server = Server::new(answering(move |_| {
        let frames = ReceiverStream::new(frames.lock().unwrap().take().unwrap());
        async move {
            streaming(frames.map(|bytes: &str| {
                assert_ne!(bytes, "break", "secret");
                Frame::data(Bytes::copy_from_slice(bytes.as_bytes()))
            }))
        }
    }));
    let mut client = server.client().await;
    let mut body = client.get("/plain").await.unwrap().into_body();
    send.send("begun").await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    send.send("break").await.unwrap();
    body.frame().await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn plain_http_is_told_in_the_applications_words_and_head_in_none() {
    fn wording(status: StatusCode, sentence: &str) -> Response<Bytes> {
        wordless(status, sentence).map(|_| Bytes::from(format!("{}: {sentence}", status.as_u16())))
    }
    let router = answering(|_| async { panic!("secret") });
    let server = Server::with(router, Settings { wording, ..Settings::default() });
    let mut client = server.client().await;
    let answer = client.get("/plain").await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let said = read(answer).await.unwrap().data.concat();
    assert_eq!(String::from_utf8(said).unwrap(), "500: an internal error; the server's log has the cause");
    let head = Request::head("http://test/plain").body(Body::empty()).unwrap();
    let answer = client.send(head).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(read(answer).await.unwrap().data.concat(), b"");
}
