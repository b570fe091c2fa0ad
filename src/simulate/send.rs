//! Batches to the server, over several connections, by single calls, over streams, or posted; each until it is settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::post::Poster;
use crate::api::proto::v1::{Event, IngestEventsRequest, IngestEventsResponse};
use crate::cli::delivery::{Backoff, Courier, Receipt};
use crate::cli::failure::Failure;

/// Batches that all senders take from.
type Batches = Arc<Mutex<mpsc::Receiver<Vec<Event>>>>;

/// What became of each batch.
type Receipts = mpsc::Sender<Result<Receipt, Failure>>;

/// Time that an idle stream may be silent; the keep-alive of the connection finds a dead one sooner.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// What brings batches to the server over one connection.
pub(super) enum Carrier {
    /// One call a batch.
    Calls(Courier),
    /// One stream.
    Streams(Courier),
    /// TaskRouter's own forms.
    Posts(Poster),
}

/// Starts the senders. The receipts end when the batches do.
pub(super) fn start(
    carriers: Vec<Carrier>,
    in_flight: usize,
    batches: mpsc::Receiver<Vec<Event>>,
) -> mpsc::Receiver<Result<Receipt, Failure>> {
    let batches = Arc::new(Mutex::new(batches));
    let (receipts, received) = mpsc::channel(64);
    for carrier in carriers {
        match carrier {
            Carrier::Streams(courier) => {
                tokio::spawn(send_by_stream(courier, in_flight, Arc::clone(&batches), receipts.clone()));
            }
            Carrier::Calls(courier) => {
                let deliver = move |events| {
                    let courier = courier.clone();
                    async move { courier.deliver(events).await }
                };
                send_each(deliver, in_flight, &batches, &receipts);
            }
            Carrier::Posts(poster) => {
                let deliver = move |events| {
                    let poster = poster.clone();
                    async move { poster.deliver(events).await }
                };
                send_each(deliver, in_flight, &batches, &receipts);
            }
        }
    }
    received
}

async fn next(batches: &Batches) -> Option<Vec<Event>> {
    batches.lock().await.recv().await
}

/// So many senders of one batch at a time.
fn send_each<F>(
    deliver: impl Fn(Vec<Event>) -> F + Clone + Send + 'static,
    senders: usize,
    batches: &Batches,
    receipts: &Receipts,
) where
    F: Future<Output = Result<Receipt, Failure>> + Send,
{
    for _ in 0..senders {
        let (deliver, batches, receipts) = (deliver.clone(), Arc::clone(batches), receipts.clone());
        tokio::spawn(async move {
            while let Some(events) = next(&batches).await {
                let receipt = deliver(events).await;
                let failed = receipt.is_err();
                if receipts.send(receipt).await.is_err() || failed {
                    return;
                }
            }
        });
    }
}

async fn send_by_stream(courier: Courier, window: usize, batches: Batches, receipts: Receipts) {
    let mut sender = StreamSender {
        backoff: Backoff::new(courier.patience),
        courier,
        window,
        batches,
        unanswered: VecDeque::new(),
        at_end: false,
        receipts,
    };
    if let Err(failure) = sender.run().await {
        // Nobody listens only when the command is ending anyway.
        let _ = sender.receipts.send(Err(failure)).await;
    }
}

/// One stream after another, and what must be sent again when one breaks.
struct StreamSender {
    courier: Courier,
    /// Requests without an answer at most.
    window: usize,
    batches: Batches,
    unanswered: VecDeque<IngestEventsRequest>,
    at_end: bool,
    backoff: Backoff,
    receipts: Receipts,
}

impl StreamSender {
    async fn run(&mut self) -> Result<(), Failure> {
        while !(self.at_end && self.unanswered.is_empty()) {
            let status = match self.open().await {
                Ok((requests, answers)) => match self.exchange(requests, answers).await {
                    Ok(()) => continue,
                    Err(status) => status,
                },
                Err(status) => status,
            };
            sleep(self.backoff.pause(status)?).await;
        }
        Ok(())
    }

    /// Opens a stream, with everything that has no answer yet ahead.
    async fn open(&self) -> Result<(mpsc::Sender<IngestEventsRequest>, Streaming<IngestEventsResponse>), Status> {
        let (requests, outgoing) = mpsc::channel(self.window);
        for request in &self.unanswered {
            // There is room for a whole window, and the receiver is here.
            let _ = requests.try_send(request.clone());
        }
        let server = &self.courier.server;
        let opened = timeout(server.timeout(), server.ingest().stream_events(ReceiverStream::new(outgoing))).await;
        let response = opened.map_err(|_| Status::deadline_exceeded("no answer within --timeout"))??;
        Ok((requests, response.into_inner()))
    }

    /// Sends and receives until all is answered, or the stream breaks.
    async fn exchange(
        &mut self,
        requests: mpsc::Sender<IngestEventsRequest>,
        mut answers: Streaming<IngestEventsResponse>,
    ) -> Result<(), Status> {
        loop {
            if self.at_end && self.unanswered.is_empty() {
                return Ok(());
            }
            let silence = if self.unanswered.is_empty() { IDLE } else { self.courier.server.timeout() };
            tokio::select! {
                batch = next(&self.batches), if !self.at_end && self.unanswered.len() < self.window => match batch {
                    Some(events) => {
                        let request = IngestEventsRequest { events };
                        self.unanswered.push_back(request.clone());
                        // If the stream has ended, its status comes with the answers.
                        let _ = requests.send(request).await;
                    }
                    None => self.at_end = true,
                },
                answer = timeout(silence, answers.message()) => {
                    let answer = answer.map_err(|_| Status::deadline_exceeded("no answer within --timeout"))??;
                    let response = answer.ok_or_else(|| Status::unavailable("the server ended the stream"))?;
                    self.settle(response).await;
                }
            }
        }
    }

    async fn settle(&mut self, response: IngestEventsResponse) {
        self.unanswered.pop_front();
        let retries = self.backoff.tries;
        self.backoff.reset();
        // Nobody listens only when the command is ending anyway.
        let _ = self.receipts.send(Ok(Receipt { response, retries })).await;
    }
}
