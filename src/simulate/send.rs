//! Batches to the server, over several connections, by single calls or over streams; each until it is settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::api::proto::v1::{Event, IngestEventsRequest, IngestEventsResponse};
use crate::cli::delivery::{Backoff, Courier, Receipt};
use crate::cli::failure::Failure;

/// Batches that all senders take from.
type Batches = Arc<Mutex<mpsc::Receiver<Vec<Event>>>>;

/// What became of each batch.
type Receipts = mpsc::Sender<Result<Receipt, Failure>>;

/// Time that an idle stream may be silent; the keep-alive of the connection finds a dead one sooner.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts the senders, each courier with its own connection. The receipts end when the batches do.
pub(super) fn start(
    couriers: Vec<Courier>,
    in_flight: usize,
    by_stream: bool,
    batches: mpsc::Receiver<Vec<Event>>,
) -> mpsc::Receiver<Result<Receipt, Failure>> {
    let batches = Arc::new(Mutex::new(batches));
    let (receipts, received) = mpsc::channel(64);
    for courier in couriers {
        if by_stream {
            tokio::spawn(send_by_stream(courier, in_flight, Arc::clone(&batches), receipts.clone()));
        } else {
            for _ in 0..in_flight {
                tokio::spawn(send_by_call(courier.clone(), Arc::clone(&batches), receipts.clone()));
            }
        }
    }
    received
}

async fn next(batches: &Batches) -> Option<Vec<Event>> {
    batches.lock().await.recv().await
}

async fn send_by_call(courier: Courier, batches: Batches, receipts: Receipts) {
    while let Some(events) = next(&batches).await {
        let receipt = courier.deliver(events).await;
        let failed = receipt.is_err();
        if receipts.send(receipt).await.is_err() || failed {
            return;
        }
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
