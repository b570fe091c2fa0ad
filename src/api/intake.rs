//! How many bytes of ingest requests the server holds: from the moment that a message says how long it is until its
//! events are settled.
//!
//! A message is charged before it is read, so that what is too much costs next to nothing: a call is refused with its
//! body unread, and a stream is not read on. What is charged bounds memory, and it keeps the queues behind it short, so
//! that work is not done in vain. Streams have at most half of it and large calls leave the last eighth, so that neither
//! keeps small calls out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSemaphore;
use tonic::codegen::{Service, StdError};
use tonic::server::NamedService;

use super::ApiLimits;
use super::status::{ApiError, status};
use crate::limits;
use crate::pipeline::{Full, IngestError};

/// The length of the frame around a message: whether it is compressed, and how long it is.
const HEADER_BYTES: usize = 5;

/// The room for requests. Every call holds on to it.
#[derive(Clone, Debug)]
pub struct Intake(Arc<Room>);

#[derive(Debug)]
struct Room {
    all: Arc<Semaphore>,
    /// What streams may take of it.
    streams: Arc<Semaphore>,
    /// What callers may take of it of whom nothing is known before their bodies are read.
    strangers: Arc<Semaphore>,
    /// Turns to decode a large request.
    turns: Arc<Semaphore>,
    most: usize,
    most_of_stream: usize,
    most_of_message: usize,
}

impl Intake {
    pub fn new(limits: &ApiLimits) -> Intake {
        let (most, most_of_message) = (limits.max_ingest_bytes, limits.max_message_bytes);
        let most_of_stream = (most / 2).max(most_of_message).min(most);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Intake(Arc::new(Room {
            all: Arc::new(Semaphore::new(most)),
            streams: Arc::new(Semaphore::new(most_of_stream)),
            strangers: Arc::new(Semaphore::new(most_of_stream)),
            turns: Arc::new(Semaphore::new((cores / 2).max(1))),
            most,
            most_of_stream,
            most_of_message,
        }))
    }

    /// What a message takes. One that is compressed may become as long as any; what it is in the end is settled once it
    /// is read. One that is too long takes nothing, since it is not read.
    fn charge(&self, message: Message) -> u32 {
        let bytes = if message.bytes > self.0.most_of_message {
            0
        } else if message.is_compressed {
            self.0.most_of_message
        } else {
            message.bytes
        };
        u32::try_from(bytes.max(limits::CALL_BYTES).min(self.0.most_of_stream)).unwrap_or(u32::MAX)
    }

    fn try_take(&self, charge: u32) -> Option<Charge> {
        let is_large = charge as usize > limits::LARGE_CALL_BYTES;
        let spare = if is_large { self.0.most / limits::SPARE_FOR_SMALL_CALLS } else { 0 };
        let free = self.0.all.available_permits();
        if free < self.0.most && free < (charge as usize).saturating_add(spare) {
            return None;
        }
        let of_all = self.0.all.clone().try_acquire_many_owned(charge).ok()?;
        Some(Charge { of_all, of_part: None })
    }

    /// Room for the body of one request over HTTP, of as many bytes as it says; asked for before it is read.
    ///
    /// # Errors
    /// There is none.
    pub fn admit(&self, bytes: usize, is_stranger: bool) -> Result<Charge, ApiError> {
        let charge = self.charge(Message { is_compressed: false, bytes, header_end: 0 });
        let mut taken = self.try_take(charge).ok_or_else(|| ApiError::Ingest(self.full()))?;
        if is_stranger {
            let of_strangers = self.0.strangers.clone().try_acquire_many_owned(charge);
            taken.of_part = Some(of_strangers.map_err(|_| ApiError::Ingest(self.full()))?);
        }
        Ok(taken)
    }

    /// Waits for its turn to decode a request that is a large one; held while it is decoded.
    pub async fn turn(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        if bytes > limits::DECODED_IN_TURN_BYTES { self.0.turns.acquire().await.ok() } else { None }
    }

    fn full(&self) -> IngestError {
        IngestError::Overloaded(Full::now("max_ingest_bytes", self.0.most))
    }

    /// Bytes that are not taken.
    pub fn free(&self) -> usize {
        self.0.all.available_permits()
    }
}

/// What one message has taken; free again when this is dropped.
#[derive(Debug)]
pub struct Charge {
    of_all: OwnedSemaphorePermit,
    /// Of the part that streams have, or strangers.
    of_part: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// The body turns out to be longer: this much more is taken.
    pub fn add(&mut self, more: Charge) {
        self.of_all.merge(more.of_all);
        match (&mut self.of_part, more.of_part) {
            (Some(part), Some(more)) => part.merge(more),
            (_, more) => drop(more),
        }
    }

    pub fn bytes(&self) -> usize {
        self.of_all.num_permits()
    }

    /// The caller is known now, and no stranger any more.
    pub fn is_known(&mut self) {
        self.of_part = None;
    }

    /// The message is read, and has this many bytes: what is over is free again.
    pub fn settle(&mut self, bytes: usize) {
        let due = bytes.max(limits::CALL_BYTES);
        for permit in std::iter::once(&mut self.of_all).chain(&mut self.of_part) {
            drop(permit.split(permit.num_permits().saturating_sub(due)));
        }
    }
}

/// The charges of the messages of one call, in their order: put in when a message begins, taken by who handles it.
#[derive(Clone, Debug, Default)]
pub struct Ticket(Arc<Mutex<VecDeque<Charge>>>);

impl Ticket {
    pub fn take(&self) -> Option<Charge> {
        self.charges().pop_front()
    }

    fn put(&self, charge: Charge) {
        self.charges().push_back(charge);
    }

    fn charges(&self) -> MutexGuard<'_, VecDeque<Charge>> {
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service whose requests are charged as they come in.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    service: S,
    intake: Intake,
    /// The path whose requests are streams: they wait where a call is refused.
    stream: &'static str,
}

impl<S> Metered<S> {
    pub fn new(service: S, intake: Intake, stream: &'static str) -> Metered<S> {
        Metered { service, intake, stream }
    }
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Metered<S>
where
    S: Service<http::Request<MeteredBody<B>>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let ticket = Ticket::default();
        request.extensions_mut().insert(ticket.clone());
        let (waits, intake) = (request.uri().path() == self.stream, self.intake.clone());
        self.service.call(request.map(|body| MeteredBody::new(body, intake, ticket, waits)))
    }
}

/// A request's body, of which nothing is passed on that is not charged.
///
/// A piece of a body may hold the end of one message and the beginning of the next. The end is passed on whether or not
/// there is room for the next, so that no message that is charged waits for one that is not.
pub struct MeteredBody<B> {
    body: B,
    intake: Intake,
    ticket: Ticket,
    framing: Framing,
    /// What has come and is not passed on, and how far it is scanned.
    data: Bytes,
    scanned: usize,
    /// The charge of the message that begins at `paid` in the data.
    owed: Option<u32>,
    paid: usize,
    /// `None` for calls, which do not wait.
    waiting: Option<Box<Waiting>>,
    /// By when the message that is being read must be whole.
    until: Option<Pin<Box<Sleep>>>,
}

struct Waiting {
    streams: PollSemaphore,
    all: PollSemaphore,
    of_streams: Option<OwnedSemaphorePermit>,
}

impl<B> MeteredBody<B> {
    fn new(body: B, intake: Intake, ticket: Ticket, waits: bool) -> MeteredBody<B> {
        let waiting = waits.then(|| {
            let Room { all, streams, .. } = &*intake.0;
            let (streams, all) = (PollSemaphore::new(streams.clone()), PollSemaphore::new(all.clone()));
            Box::new(Waiting { streams, all, of_streams: None })
        });
        let (framing, data) = (Framing::default(), Bytes::new());
        MeteredBody { body, intake, ticket, framing, data, scanned: 0, owed: None, paid: 0, waiting, until: None }
    }

    /// The next piece that is charged; `None` where more data is needed.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ApiError>> {
        loop {
            if let Some(charge) = self.owed {
                let taken = match &mut self.waiting {
                    None => Poll::Ready(self.intake.try_take(charge).ok_or_else(|| self.intake.full())),
                    Some(waiting) => waiting.poll_take(charge, cx),
                };
                match taken {
                    Poll::Ready(taken) => self.ticket.put(taken.map_err(ApiError::Ingest)?),
                    Poll::Pending if self.paid > 0 => {
                        self.scanned -= self.paid;
                        return Poll::Ready(Ok(Some(self.data.split_to(std::mem::take(&mut self.paid)))));
                    }
                    Poll::Pending => return Poll::Pending,
                }
                self.owed = None;
            }
            let Some(message) = self.framing.next_message(&self.data[self.scanned..]) else { break };
            self.paid = (self.scanned + message.header_end).saturating_sub(HEADER_BYTES);
            self.scanned += message.header_end;
            self.owed = Some(self.intake.charge(message));
        }
        self.scanned = 0;
        let data = std::mem::take(&mut self.data);
        Poll::Ready(Ok((!data.is_empty()).then_some(data)))
    }

    /// A message that has begun holds its room until it is there, so it may not take for ever.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if self.framing.is_between_messages() {
            self.until = None;
            return false;
        }
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(limits::REQUEST_READ_TIMEOUT)));
        until.as_mut().poll(cx).is_ready()
    }
}

impl Waiting {
    fn poll_take(&mut self, charge: u32, cx: &mut Context<'_>) -> Poll<Result<Charge, IngestError>> {
        if self.of_streams.is_none() {
            self.of_streams = ready!(self.streams.poll_acquire_many(cx, charge));
        }
        // Nobody closes the semaphores; should they be closed, nothing more is taken.
        let of_all = ready!(self.all.poll_acquire_many(cx, charge)).ok_or(IngestError::Stopping);
        Poll::Ready(of_all.map(|of_all| Charge { of_all, of_part: self.of_streams.take() }))
    }
}

impl<B> Body for MeteredBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        loop {
            if !this.data.is_empty() {
                match ready!(this.poll_piece(cx)) {
                    Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    Ok(None) => {}
                    Err(refused) => {
                        this.data = Bytes::new();
                        return Poll::Ready(Some(Err(status(refused).into())));
                    }
                }
            }
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.data = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if this.is_overdue(cx) => {
                    return Poll::Ready(Some(Err(status(ApiError::TooSlow).into())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Where messages begin in the bytes of a body.
#[derive(Debug, Default)]
struct Framing {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes of the message that are still to come.
    rest: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    is_compressed: bool,
    bytes: usize,
    /// Where its header ends in the data that was read.
    header_end: usize,
}

impl Framing {
    /// The first message that begins in the data, which follow on what was read before.
    fn next_message(&mut self, data: &[u8]) -> Option<Message> {
        let skipped = self.rest.min(data.len());
        self.rest -= skipped;
        let header = data[skipped..].iter().take(HEADER_BYTES - self.header_bytes);
        let mut read = skipped;
        for byte in header {
            self.header[self.header_bytes] = *byte;
            self.header_bytes += 1;
            read += 1;
        }
        if self.header_bytes < HEADER_BYTES {
            return None;
        }
        let [is_compressed, length @ ..] = self.header;
        self.header_bytes = 0;
        self.rest = u32::from_be_bytes(length) as usize;
        Some(Message { is_compressed: is_compressed != 0, bytes: self.rest, header_end: read })
    }

    fn is_between_messages(&self) -> bool {
        self.rest == 0 && self.header_bytes == 0
    }
}

#[cfg(test)]
mod tests;
