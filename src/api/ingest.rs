//! IngestService: events in, one request at a time or many over one stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::codec::Encoded;
use super::decode::{self, Batch, Outline, Refused, Sids, Unread};
use super::intake::{Charge, Ticket};
use super::proto::v1::{self, ingest_service_server::IngestService};
use super::status::{ApiError, of_reading};
use super::{Api, caller, encode, permit, refusals};
use crate::pipeline::{Caller, Patience, Role, Submitted};
use crate::trace;

/// Takes events in.
pub struct Ingest {
    counter: Arc<Counter>,
}

/// What requests are handed in to.
pub struct Counter {
    api: Api,
}

impl Ingest {
    pub fn new(api: Api) -> Ingest {
        Ingest { counter: Arc::new(Counter::new(api)) }
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn ingest_events(&self, request: Request<Encoded>) -> Result<Response<v1::IngestEventsResponse>, Status> {
        let caller = caller(&request);
        let charge = request.extensions().get().and_then(Ticket::take);
        let queued = self.counter.queue(&caller, request.into_inner(), charge, Patience::Refuse).await?;
        Ok(Response::new(queued.settled().await?))
    }

    type StreamEventsStream = Answers<Streaming<Encoded>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<Encoded>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let caller = caller(&request);
        // At once: a stream may be silent for as long as it likes.
        permit(&caller, Role::Ingest)?;
        let ticket = request.extensions().get().cloned().unwrap_or_default();
        Ok(Response::new(Answers::new(self.counter.clone(), caller, ticket, request.into_inner())))
    }
}

/// A request whose good events are queued.
struct Queued {
    sids: Sids,
    refused: Vec<(u32, Refused)>,
    submitted: Submitted,
    /// Held until the answer is there.
    _charge: Option<Charge>,
}

impl Counter {
    pub fn new(api: Api) -> Counter {
        Counter { api }
    }

    async fn queue(
        &self,
        caller: &Caller,
        request: Encoded,
        mut charge: Option<Charge>,
        patience: Patience,
    ) -> Result<Queued, Status> {
        let request = request.into_bytes();
        if let Some(charge) = &mut charge {
            charge.settle(request.len());
        }
        let Batch { events, refused, sids } = {
            let _turn = self.api.intake.turn(request.len()).await;
            let decoding = trace::time("decode");
            let batch = self.decode(&request, patience)?;
            decoding.done(&[("tasktally.events", batch.sids.len().into()), ("tasktally.bytes", request.len() as i64)]);
            batch
        };
        drop(request);
        permit(caller, Role::Ingest)?;
        let submitted = self.api.pipeline.submit(caller, events, patience).await.map_err(ApiError::Ingest)?;
        Ok(Queued { sids, refused, submitted, _charge: charge })
    }

    fn decode(&self, request: &Bytes, patience: Patience) -> Result<Batch, ApiError> {
        let most = self.api.limits.max_events;
        let unread = |unread| match unread {
            Unread::NotTheMessage(error) => ApiError::NotTheMessage { cause: error.to_string() },
            Unread::TooMany { sent } => ApiError::TooManyEvents { sent, most },
        };
        // Where a queue may be full, the first and the last event tell whether it is worth reading them all.
        if patience == Patience::Refuse
            && self.api.pipeline.is_pressed()
            && let Some(Outline { events, workspaces }) = decode::outline(request, most).map_err(unread)?
        {
            self.api.pipeline.expect_room(workspaces, events).map_err(ApiError::Ingest)?;
        }
        decode::batch(request, most).map_err(unread)
    }
}

impl Queued {
    async fn settled(self) -> Result<v1::IngestEventsResponse, Status> {
        let ingested = self.submitted.settled().await.map_err(ApiError::Ingest)?;
        let answer = encode::ingested(&self.sids, self.refused, ingested);
        refusals::note(&answer.rejected);
        Ok(answer)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<v1::IngestEventsResponse, Status>> + Send>>;
type Reading<R> = Pin<Box<dyn Future<Output = (Reader<R>, Read)> + Send>>;

/// The answers of one stream, in the order of its requests.
///
/// Reading goes on while answers are awaited, up to a bound; it stops while the queue is full or while nobody takes
/// the answers, and with it the sender. All of it happens in the task that polls this, so that a caller who goes takes
/// everything along.
pub struct Answers<R> {
    /// `None` once nothing more is read.
    reading: Option<Reading<R>>,
    in_flight: VecDeque<Answer>,
    most_in_flight: usize,
    /// What ends the stream after all answers, if it does not end well.
    failure: Option<Status>,
}

struct Reader<R> {
    counter: Arc<Counter>,
    caller: Caller,
    ticket: Ticket,
    requests: R,
}

/// What came of reading on.
enum Read {
    Queued(Queued),
    Failed(Status),
    End,
}

impl<R> Reader<R>
where
    R: Stream<Item = Result<Encoded, Status>> + Unpin + Send + 'static,
{
    async fn read(mut self) -> (Reader<R>, Read) {
        let read = match self.read_request().await {
            Ok(Some(queued)) => Read::Queued(queued),
            Ok(None) => Read::End,
            Err(status) => Read::Failed(status),
        };
        (self, read)
    }

    async fn read_request(&mut self) -> Result<Option<Queued>, Status> {
        let request = tokio::select! {
            biased;
            () = self.counter.api.stop.cancelled() => return Err(ApiError::Stopping.into()),
            request = self.requests.next() => request,
        };
        let Some(request) = request else { return Ok(None) };
        let request = request.map_err(|status| of_reading(status, self.counter.api.limits.max_message_bytes))?;
        let charge = self.ticket.take();
        self.counter.queue(&self.caller, request, charge, Patience::Wait).await.map(Some)
    }
}

impl<R> Answers<R>
where
    R: Stream<Item = Result<Encoded, Status>> + Unpin + Send + 'static,
{
    pub fn new(counter: Arc<Counter>, caller: Caller, ticket: Ticket, requests: R) -> Answers<R> {
        let most_in_flight = counter.api.limits.max_requests_in_flight.max(1);
        let reader = Reader { counter, caller, ticket, requests };
        Answers { reading: Some(Box::pin(reader.read())), in_flight: VecDeque::new(), most_in_flight, failure: None }
    }

    /// How many requests are read and not yet answered.
    pub fn in_flight_now(&self) -> usize {
        self.in_flight.len()
    }

    /// Reads on for as long as there is something to read and room for it.
    fn poll_requests(&mut self, cx: &mut Context<'_>) {
        while self.in_flight.len() < self.most_in_flight {
            let Some(reading) = &mut self.reading else { return };
            let Poll::Ready((reader, read)) = reading.as_mut().poll(cx) else { return };
            self.reading = match read {
                Read::Queued(queued) => {
                    self.in_flight.push_back(Box::pin(queued.settled()));
                    Some(Box::pin(reader.read()))
                }
                Read::Failed(status) => {
                    self.failure = Some(status);
                    None
                }
                Read::End => None,
            };
        }
    }
}

impl<R> Stream for Answers<R>
where
    R: Stream<Item = Result<Encoded, Status>> + Unpin + Send + 'static,
{
    type Item = Result<v1::IngestEventsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_requests(cx);
        let Some(answer) = self.in_flight.front_mut() else {
            return if self.reading.is_some() { Poll::Pending } else { Poll::Ready(self.failure.take().map(Err)) };
        };
        let Poll::Ready(answer) = answer.as_mut().poll(cx) else { return Poll::Pending };
        self.in_flight.pop_front();
        if answer.is_err() {
            // The stream ends here. What is in flight may be taken or not; the caller sends it again.
            self.reading = None;
            self.in_flight.clear();
        }
        Poll::Ready(Some(answer))
    }
}
