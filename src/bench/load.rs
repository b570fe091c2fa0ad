//! The driver: tonic's client, with messages that are encoded ahead and answers that stay bytes, so that the cores are
//! left to the service as far as may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use hdrhistogram::Histogram;
use http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::service::Service;
use crate::cli::client::Server;
use crate::cli::failure::Failure;

/// Passes bytes through.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, body: &mut EncodeBuf<'_>) -> Result<(), Status> {
        body.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(body.copy_to_bytes(body.remaining())))
    }
}

/// Some connections to one service.
#[derive(Clone)]
pub struct Client {
    servers: Arc<[Server]>,
}

/// What a number of calls came to.
pub struct Run {
    pub calls: u64,
    pub seconds: f64,
    /// Of the server's process, where that can be read.
    pub cpu_us: Option<f64>,
    /// In microseconds.
    pub latency: Histogram<u64>,
}

/// The latencies that are told apart: up to a minute, by three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000, 3).unwrap_or_else(|_| unreachable!("the bounds are valid ones"))
}

pub fn note(latency: &mut Histogram<u64>, since: Instant) {
    latency.saturating_record(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
}

impl Client {
    pub fn new(service: &Service, connections: usize) -> Result<Client, Failure> {
        let servers: Result<Vec<Server>, Failure> =
            (0..connections).map(|_| Server::new(&service.connection)).collect();
        Ok(Client { servers: servers?.into() })
    }

    fn server(&self, number: usize) -> &Server {
        &self.servers[number % self.servers.len()]
    }

    /// A request with the user's credentials.
    fn request(&self, message: Bytes) -> Request<Bytes> {
        let mut request = Request::new(message);
        if let Some(value) = self.server(0).authorization()
            && let Ok(value) = MetadataValue::try_from(value.as_bytes())
        {
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    pub async fn call(&self, number: usize, path: &'static str, message: Bytes) -> Result<Bytes, Failure> {
        let mut grpc = Grpc::new(self.server(number).channel());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = self.request(message);
        request.set_timeout(self.server(number).timeout());
        Ok(grpc.unary(request, PathAndQuery::from_static(path), Raw).await?.into_inner())
    }

    /// Makes every call, so many at a time, until there are no more or the time is up; `check` sees each answer.
    pub async fn call_all(
        &self,
        service: &Service,
        path: &'static str,
        messages: Vec<Bytes>,
        in_flight: usize,
        at_most: Duration,
        check: fn(&Bytes) -> Result<(), Failure>,
    ) -> Result<Run, Failure> {
        // All connections are there before the clock starts.
        let (messages, next) = (Arc::<[Bytes]>::from(messages), Arc::new(AtomicUsize::new(0)));
        let (cpu_us, begun) = (service.cpu_us(), Instant::now());
        let mut callers = JoinSet::new();
        for number in 0..in_flight {
            let (client, messages, next) = (self.clone(), messages.clone(), next.clone());
            callers.spawn(async move {
                let mut latency = histogram();
                while begun.elapsed() < at_most
                    && let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let asked = Instant::now();
                    let answer = client.call(number, path, message.clone()).await?;
                    note(&mut latency, asked);
                    check(&answer)?;
                }
                Ok::<_, Failure>(latency)
            });
        }
        let mut latency = histogram();
        while let Some(caller) = callers.join_next().await {
            let of_caller = caller.map_err(|error| Failure::Data(format!("a caller ended: {error}")))??;
            latency += of_caller;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cpu_us = service.cpu_us().zip(cpu_us).map(|(after, before)| after - before);
        Ok(Run { calls: latency.len(), seconds, cpu_us, latency })
    }

    /// A stream of answers.
    pub async fn watch(&self, path: &'static str, message: Bytes) -> Result<Streaming<Bytes>, Failure> {
        let channel: Channel = self.server(0).channel();
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        Ok(grpc.server_streaming(self.request(message), path, Raw).await?.into_inner())
    }
}
