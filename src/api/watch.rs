//! WatchRealtime: the state of a workspace, pushed.
//!
//! A message is made only when the transport asks for one. So a slow reader skips states, holds up nobody, and never
//! has more than the one message that the transport is sending; and a message is fresh when it is handed over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, ReusableBoxFuture};
use tonic::{Request, Status};

use super::codec::Encoded;
use super::decode::{self, WatchRequest};
use super::feed::{Feed, Frame, Offer, Source, Want};
use super::proto::v1;
use super::seats::Seat;
use super::statistics::{Statistics, ask};
use super::status::ApiError;
use super::{caller, permit, status};
use crate::pipeline::{AskError, Role, Topic};

pub(super) async fn open(
    service: &Statistics,
    request: Request<v1::WatchRealtimeRequest>,
) -> Result<Watch<Topic>, Status> {
    let called = Instant::now();
    let caller = caller(&request);
    let WatchRequest { workspace, channel, min_interval, heartbeat } =
        decode::watch_realtime(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Read)?;
    let topic = ask(workspace, service.api.pipeline.topic(&caller, workspace, &channel)).await?;
    // The account is known with the topic: a watch that is refused costs one question.
    let seat = service.seats.take(topic.account)?;
    let feed = service.hub.feed(workspace, channel, topic);
    let watch = Watch::new(feed, Pace { min_interval, heartbeat }, called, service.api.stop.clone());
    Ok(watch.on(seat))
}

/// How often a watcher wants a message.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Least time between two messages.
    pub min_interval: Duration,
    /// Longest time without one.
    pub heartbeat: Duration,
}

/// The messages of one watcher. Whoever drops it frees all that it held.
pub struct Watch<S: Source> {
    next: ReusableBoxFuture<'static, (Watcher<S>, Result<Encoded, Status>)>,
    ended: bool,
    _seat: Option<Seat>,
}

struct Watcher<S: Source> {
    feed: Arc<Feed<S>>,
    ticks: watch::Receiver<u64>,
    pace: Pace,
    /// The first message is never older than this.
    called: Instant,
    sent: Option<Sent>,
    stop: CancellationToken,
}

/// The last message.
struct Sent {
    at: Instant,
    encoded_at: Instant,
    version: u64,
}

impl<S: Source> Watch<S> {
    pub fn new(feed: Arc<Feed<S>>, pace: Pace, called: Instant, stop: CancellationToken) -> Watch<S> {
        let ticks = feed.subscribe();
        let watcher = Watcher { feed, ticks, pace, called, sent: None, stop };
        Watch { next: ReusableBoxFuture::new(watcher.next()), ended: false, _seat: None }
    }

    /// Holds the seat for as long as the watch goes on.
    fn on(self, seat: Seat) -> Watch<S> {
        Watch { _seat: Some(seat), ..self }
    }
}

impl<S: Source> Stream for Watch<S> {
    type Item = Result<Encoded, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let (watcher, message) = ready!(self.next.poll(cx));
        if message.is_ok() {
            self.next.set(watcher.next());
        } else {
            self.ended = true;
        }
        Poll::Ready(Some(message))
    }
}

impl<S: Source> Watcher<S> {
    /// The next message, or what ends the stream.
    async fn next(mut self) -> (Watcher<S>, Result<Encoded, Status>) {
        let stop = self.stop.clone();
        let frame = tokio::select! {
            biased;
            () = stop.cancelled() => Err(ApiError::Stopping),
            frame = self.frame() => frame,
        };
        let message = match frame {
            Ok(Frame { message, version, encoded_at }) => {
                self.sent = Some(Sent { at: Instant::now(), encoded_at, version });
                Ok(message)
            }
            Err(end) => Err(status::status(end)),
        };
        (self, message)
    }

    /// The next frame when it is due, or why no more will come. Looks only after it has marked what it has seen,
    /// so that no change is missed between a look and a wait.
    async fn frame(&mut self) -> Result<Frame, ApiError> {
        let heartbeat_at = match &self.sent {
            Some(sent) => {
                sleep_until(sent.at + self.pace.min_interval).await;
                sent.at + self.pace.heartbeat
            }
            None => self.called,
        };
        loop {
            self.ticks.borrow_and_update();
            let want = match &self.sent {
                None => Want::Since(self.called),
                Some(sent) if Instant::now() >= heartbeat_at => Want::After(sent.encoded_at),
                Some(sent) => Want::OtherThan(sent.version),
            };
            let offer = self.feed.offer(want);
            if self.feed.has_ended() {
                return Err(ApiError::Ask(self.feed.workspace(), AskError::UnknownWorkspace));
            }
            match offer {
                Offer::Frame(frame) => return Ok(frame),
                Offer::NotBefore(moment) => sleep_until(moment).await,
                Offer::Unchanged => tokio::select! {
                    () = sleep_until(heartbeat_at) => {}
                    ticked = self.ticks.changed() => ticked.map_err(|_| ApiError::Stopping)?,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
