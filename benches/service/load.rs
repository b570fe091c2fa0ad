//! The driver: tonic's client, with messages that are encoded ahead and answers that stay bytes, so that the two cores
//! are left to the service as far as may be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tasktally::api::proto::v1::IngestEventsResponse;
use tasktally::bench::load::Raw;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use super::child::Service;

/// What a run of calls cost the service.
#[derive(Clone, Copy)]
pub struct Cost {
    pub cpu_us: f64,
    pub seconds: f64,
}

/// Some connections to one service.
#[derive(Clone)]
pub struct Client {
    channels: Arc<[Channel]>,
}

impl Client {
    pub async fn connect(address: SocketAddr, connections: usize) -> Client {
        let mut channels = Vec::new();
        for _ in 0..connections {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
            channels.push(endpoint.tcp_nodelay(true).connect().await.expect("connect"));
        }
        Client { channels: channels.into() }
    }

    fn grpc(&self, number: usize) -> Grpc<Channel> {
        Grpc::new(self.channels[number % self.channels.len()].clone())
    }

    pub async fn call(&self, path: &'static str, message: Bytes) -> Bytes {
        unary(&mut self.grpc(0), path, message).await
    }

    /// Makes every call, at most `in_flight` at a time; `check` sees each answer.
    pub async fn call_all(&self, path: &'static str, messages: &Arc<[Bytes]>, in_flight: usize, check: fn(&Bytes)) {
        let next = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..in_flight)
            .map(|number| {
                let (mut grpc, next, messages) = (self.grpc(number), next.clone(), messages.clone());
                tokio::spawn(async move {
                    while let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                        check(&unary(&mut grpc, path, message.clone()).await);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("a caller");
        }
    }

    /// Sends every message over a few streams and waits for the answers.
    pub async fn stream_all(&self, path: &'static str, messages: &[Bytes], streams: usize, check: fn(&Bytes)) {
        let senders: Vec<_> = messages
            .chunks(messages.len().div_ceil(streams))
            .enumerate()
            .map(|(number, share)| {
                let (client, share) = (self.clone(), share.to_vec());
                tokio::spawn(async move {
                    let sent = share.len();
                    let mut grpc = client.grpc(number);
                    grpc.ready().await.expect("a connection");
                    let requests = Request::new(tokio_stream::iter(share));
                    let path = PathAndQuery::from_static(path);
                    let mut answers = grpc.streaming(requests, path, Raw).await.expect("a stream").into_inner();
                    for _ in 0..sent {
                        check(&answers.message().await.expect("an answer").expect("as many answers as requests"));
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.expect("a sender");
        }
    }

    /// A stream of answers, on the connection of this number.
    pub async fn watch(&self, number: usize, path: &'static str, message: Bytes) -> Streaming<Bytes> {
        let mut grpc = self.grpc(number);
        grpc.ready().await.expect("a connection");
        let path = PathAndQuery::from_static(path);
        grpc.server_streaming(Request::new(message), path, Raw).await.expect("a watch").into_inner()
    }
}

async fn unary(grpc: &mut Grpc<Channel>, path: &'static str, message: Bytes) -> Bytes {
    grpc.ready().await.expect("a connection");
    let path = PathAndQuery::from_static(path);
    grpc.unary(Request::new(message), path, Raw).await.expect("an answer").into_inner()
}

/// What the work costs the service.
pub async fn measure(service: &Service, work: impl Future<Output = ()>) -> Cost {
    let (cpu_us, begun) = (service.cpu_us(), Instant::now());
    work.await;
    Cost { seconds: begun.elapsed().as_secs_f64(), cpu_us: service.cpu_us() - cpu_us }
}

/// What the service still does by itself after the work, until it comes to rest.
pub async fn aftermath(service: &Service) -> Cost {
    const LOOK_EVERY: Duration = Duration::from_secs(2);
    const AT_REST: f64 = 0.02;
    let (from_us, begun) = (service.cpu_us(), Instant::now());
    loop {
        let before_us = service.cpu_us();
        tokio::time::sleep(LOOK_EVERY).await;
        let cpu_us = service.cpu_us();
        if (cpu_us - before_us) / 1e6 < AT_REST * LOOK_EVERY.as_secs_f64() || begun.elapsed() > Duration::from_secs(120)
        {
            return Cost { seconds: begun.elapsed().as_secs_f64(), cpu_us: cpu_us - from_us };
        }
    }
}

/// An ingest answer must say that everything was taken: otherwise the figures are of something else.
pub fn all_accepted(answer: &Bytes) {
    let answer = IngestEventsResponse::decode(answer.clone()).expect("an answer of ingest");
    assert!(
        answer.accepted > 0 && answer.duplicates == 0 && answer.rejected.is_empty(),
        "not every event was accepted: {} were, {} are duplicates, {:?}",
        answer.accepted,
        answer.duplicates,
        answer.rejected.first()
    );
}
