//! The bare service to compare with: tonic's own server and prost's default types, the system's allocator and as many
//! threads as the real one's runtime has. It decodes what it is sent, answers a message of the size asked for, and does
//! nothing else.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tasktally::api::proto::v1::{IngestEventsRequest, IngestEventsResponse};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// As long as the question that it stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ask {
    #[prost(bytes = "vec", tag = "1")]
    pub pad: Vec<u8>,
    /// The size of the answer wanted.
    #[prost(uint32, tag = "2")]
    pub answer_bytes: u32,
    /// Of a watch: the time between two messages.
    #[prost(uint32, tag = "3")]
    pub every_ms: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    #[prost(bytes = "vec", tag = "1")]
    pub pad: Vec<u8>,
}

pub const INGEST: &str = "/bare.Service/Ingest";
pub const ASK: &str = "/bare.Service/Ask";
pub const WATCH: &str = "/bare.Service/Watch";

/// Serves until it is killed.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        println!("echo listens on {}", incoming.local_addr().expect("an address"));
        let (ticks, ticking) = watch::channel(0);
        tokio::spawn(tick(ticks));
        let server = tonic::transport::Server::builder().add_service(Bare { ticking });
        server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.expect("serve");
    });
}

/// One clock for all watchers, as the real service has one state for all.
async fn tick(ticks: watch::Sender<u32>) {
    let mut clock = tokio::time::interval(super::watch::EVERY);
    loop {
        clock.tick().await;
        ticks.send_modify(|count| *count += 1);
    }
}

#[derive(Clone)]
struct Bare {
    ticking: watch::Receiver<u32>,
}

impl NamedService for Bare {
    const NAME: &'static str = "bare.Service";
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let watcher = Watcher(self.ticking.clone());
        match request.uri().path() {
            INGEST => Box::pin(async {
                let codec = ProstCodec::<IngestEventsResponse, IngestEventsRequest>::default();
                Ok(Grpc::new(codec).unary(Counter, request).await)
            }),
            ASK => {
                Box::pin(async { Ok(Grpc::new(ProstCodec::<Answer, Ask>::default()).unary(Answerer, request).await) })
            }
            WATCH => Box::pin(async {
                Ok(Grpc::new(ProstCodec::<Answer, Ask>::default()).server_streaming(watcher, request).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) }),
        }
    }
}

struct Counter;

impl UnaryService<IngestEventsRequest> for Counter {
    type Response = IngestEventsResponse;
    type Future = Ready<Result<Response<IngestEventsResponse>, Status>>;

    fn call(&mut self, request: Request<IngestEventsRequest>) -> Self::Future {
        let accepted = request.get_ref().events.len() as i64;
        ready(Ok(Response::new(IngestEventsResponse { accepted, revision: 1, ..Default::default() })))
    }
}

struct Answerer;

impl UnaryService<Ask> for Answerer {
    type Response = Answer;
    type Future = Ready<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        ready(Ok(Response::new(answer(request.get_ref().answer_bytes))))
    }
}

fn answer(bytes: u32) -> Answer {
    Answer { pad: vec![1; bytes as usize] }
}

struct Watcher(watch::Receiver<u32>);

impl ServerStreamingService<Ask> for Watcher {
    type Response = Answer;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let bytes = request.get_ref().answer_bytes;
        debug_assert_eq!(Duration::from_millis(request.get_ref().every_ms.into()), super::watch::EVERY);
        let answers: Self::ResponseStream = Box::pin(WatchStream::new(self.0.clone()).map(move |_| Ok(answer(bytes))));
        ready(Ok(Response::new(answers)))
    }
}
