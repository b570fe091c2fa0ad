//! The bare service to compare with: tonic's own server and prost's default types. It decodes what it is sent, answers a
//! message of the size asked for, and does nothing else.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::api::proto::v1::{IngestEventsRequest, IngestEventsResponse};
use crate::cli::failure::Failure;
use crate::cli::print;

/// As long as the question that it stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ask {
    #[prost(bytes = "vec", tag = "1")]
    pub pad: Vec<u8>,
    /// The size of the answer wanted.
    #[prost(uint32, tag = "2")]
    pub answer_bytes: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    #[prost(bytes = "vec", tag = "1")]
    pub pad: Vec<u8>,
}

pub const INGEST: &str = "/bare.Service/Ingest";
pub const ASK: &str = "/bare.Service/Ask";

/// Serves until standard input ends, which is when whoever started it has gone.
pub async fn serve() -> Result<u8, Failure> {
    let listening =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::Data(format!("the bare service: {error}"));
    let incoming =
        TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(|error| listening(error.into()))?;
    let address = incoming.local_addr().map_err(|error| listening(error.into()))?;
    print(format!("bare service listens on {address}\n"))?;
    let server = tonic::transport::Server::builder().add_service(Bare);
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nothing is ever sent; how it ends is no matter, nor whether anybody still waits for it.
        let _read = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _heard = ended.send(());
    });
    tokio::select! {
        served = server.serve_with_incoming(incoming.with_nodelay(Some(true))) => {
            served.map_err(|error| listening(error.into()))?;
        }
        _ = end => {}
    }
    Ok(0)
}

#[derive(Clone)]
pub struct Bare;

impl NamedService for Bare {
    const NAME: &'static str = "bare.Service";
}

pub type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        match request.uri().path() {
            INGEST => Box::pin(async {
                let codec = ProstCodec::<IngestEventsResponse, IngestEventsRequest>::default();
                Ok(Grpc::new(codec).unary(Counter, request).await)
            }),
            ASK => {
                Box::pin(async { Ok(Grpc::new(ProstCodec::<Answer, Ask>::default()).unary(Answerer, request).await) })
            }
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

pub fn answer(bytes: u32) -> Answer {
    Answer { pad: vec![1; bytes as usize] }
}
