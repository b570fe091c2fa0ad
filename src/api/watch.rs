//! WatchRealtime and WatchStatistics: the state of a workspace, pushed.
//!
//! A message is made only when the transport asks for one. So a slow reader skips states, holds up nobody, and never
//! has more than the one message that the transport is sending; and a message is fresh when it is handed over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;
use tonic::{Request, Status};

use super::codec::Encoded;
use super::decode::{self, CumulativeRequest, Pace, WatchRequest, WatchStatisticsRequest};
use super::feed::{Feed, Frame, Hub, Offer, Want};
use super::inquiry::Inquiry;
use super::proto::v1;
use super::seats::Seat;
use super::source::Source;
use super::statistics::Statistics;
use super::status::ApiError;
use super::{Api, caller, permit, status};
use crate::pipeline::{AskError, Caller, CumulativeQuestion, Role, Topic};

pub(super) async fn open(
    service: &Statistics,
    request: Request<v1::WatchRealtimeRequest>,
) -> Result<Watch<Topic>, Status> {
    let caller = caller(&request);
    let read = decode::watch_realtime(request.into_inner()).map_err(ApiError::BadFields)?;
    Ok(begin(&service.api, &service.hub, &caller, read).await?)
}

/// Begins a watch in the form of this hub.
///
/// # Errors
/// The caller may not, there is no such workspace, or no room.
pub async fn begin(
    api: &Api,
    hub: &Hub<Topic>,
    caller: &Caller,
    request: WatchRequest,
) -> Result<Watch<Topic>, ApiError> {
    let called = Instant::now();
    let WatchRequest { workspace, channel, pace } = request;
    permit(caller, Role::Read)?;
    let topic = api.pipeline.topic(caller, workspace, &channel).await;
    let topic = topic.map_err(|error| ApiError::Ask(workspace, error))?;
    // The account is known with the topic: a watch that is refused costs one question.
    let seat = api.seats.take(topic.account)?;
    Ok(Watch::new(hub.feed(topic), pace, called).on(seat))
}

pub(super) async fn open_statistics(
    service: &Statistics,
    request: Request<v1::WatchStatisticsRequest>,
) -> Result<Watch<Inquiry>, Status> {
    let caller = caller(&request);
    let read = decode::watch_statistics(request.into_inner()).map_err(ApiError::BadFields)?;
    Ok(begin_statistics(&service.api, &service.statistics_hub, &caller, read).await?)
}

/// Begins a watch of what is and what was, in the form of this hub.
///
/// # Errors
/// The caller may not, there is no such workspace or interval, or no room.
pub async fn begin_statistics(
    api: &Api,
    hub: &Hub<Inquiry>,
    caller: &Caller,
    request: WatchStatisticsRequest,
) -> Result<Watch<Inquiry>, ApiError> {
    let called = Instant::now();
    let WatchStatisticsRequest { of: CumulativeRequest { workspace, channel, window, thresholds }, pace } = request;
    permit(caller, Role::Read)?;
    let question = CumulativeQuestion { channel: channel.clone(), window, thresholds };
    // Whether there is an answer at all, before anything is taken.
    let ask = |error| ApiError::Ask(workspace, error);
    api.pipeline.statistics(caller, workspace, question.clone()).await.map_err(ask)?;
    let topic = api.pipeline.topic(caller, workspace, &channel).await.map_err(ask)?;
    let seat = api.seats.take(topic.account)?;
    let inquiry = Inquiry::new(api.pipeline.clone(), *caller, topic, question, api.seats.questions().clone());
    Ok(Watch::new(hub.feed(Arc::new(inquiry)), pace, called).on(seat))
}

/// The form of the contract.
pub(super) fn message(realtime: v1::WorkspaceRealtimeStatistics) -> Encoded {
    Encoded::new(&v1::WatchRealtimeResponse { realtime: Some(realtime) })
}

/// The form of the contract.
pub(super) fn statistics_message(statistics: v1::WorkspaceStatistics) -> Encoded {
    Encoded::new(&v1::WatchStatisticsResponse { statistics: Some(statistics) })
}

/// The messages of one watcher. Whoever drops it frees all that it held.
pub struct Watch<S: Source> {
    feed: Arc<Feed<S>>,
    pace: Pace,
    /// The first message is never older than this.
    called: Instant,
    sent: Option<Sent>,
    /// Since when the feed is asking for what is wanted.
    asked: Option<Instant>,
    timer: Timer,
    /// The place at the feed's bell, and the task that is woken.
    place: Option<(usize, Waker)>,
    ended: bool,
    seat: Option<Seat>,
}

/// The last message.
struct Sent {
    at: Instant,
    encoded_at: Instant,
    version: u64,
    /// Up to which tick of the feed there was nothing new.
    tick: u64,
    /// From when on there may be another one.
    rests_until: Instant,
}

/// What there is for the watcher at some moment.
enum Look {
    Frame(Frame, u64),
    /// Nothing before this moment, unless the feed says so.
    Until(Instant),
    /// Nothing before the feed says so.
    Asked,
}

impl<S: Source> Watch<S> {
    pub fn new(feed: Arc<Feed<S>>, pace: Pace, called: Instant) -> Watch<S> {
        Watch {
            feed,
            pace,
            called,
            sent: None,
            asked: None,
            timer: Timer::default(),
            place: None,
            ended: false,
            seat: None,
        }
    }

    /// Holds the seat for as long as the watch goes on.
    fn on(mut self, seat: Seat) -> Watch<S> {
        self.seat = Some(seat);
        self
    }
}

impl<S: Source> Stream for Watch<S> {
    type Item = Result<Encoded, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx).map(|message| message.map(|message| message.map_err(status::status)))
    }
}

impl<S: Source> Watch<S> {
    /// The next message, or what ends the watch.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Encoded, ApiError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_frame(cx));
        self.ended = message.is_err();
        Poll::Ready(Some(message))
    }

    /// The next frame when it is due, or why no more will come.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Encoded, ApiError>> {
        // Before it looks, so that no change is missed between a look and a wait.
        self.hang(cx);
        loop {
            if self.feed.is_stopping() {
                return Poll::Ready(Err(ApiError::Stopping));
            }
            let now = Instant::now();
            match self.look(now)? {
                Look::Frame(Frame { message, version, encoded_at, .. }, tick) => {
                    if let Some(seat) = &self.seat {
                        let before = self.sent.as_ref().map_or(tick, |sent| sent.tick);
                        let changes = if S::TICKS_ARE_CHANGES { tick.saturating_sub(before) } else { 0 };
                        seat.note(changes.saturating_sub(1));
                    }
                    let rests_until = now + self.pace.min_interval;
                    self.sent = Some(Sent { at: now, encoded_at, version, tick, rests_until });
                    return Poll::Ready(Ok(message));
                }
                Look::Asked => return Poll::Pending,
                Look::Until(moment) => ready!(self.timer.poll(moment, now, cx)),
            }
        }
    }

    fn hang(&mut self, cx: &Context<'_>) {
        if self.place.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            return;
        }
        self.unhang();
        self.timer = Timer::default();
        self.place = Some((self.feed.join(cx.waker().clone()), cx.waker().clone()));
    }

    fn unhang(&mut self) {
        if let Some((place, _)) = self.place.take() {
            self.feed.leave(place);
        }
    }

    fn look(&mut self, now: Instant) -> Result<Look, ApiError> {
        let want = match &self.sent {
            None => Want::Since(self.called),
            Some(sent) => {
                let heartbeat_at = sent.at + self.pace.heartbeat;
                let is_due = now >= heartbeat_at;
                if !is_due && sent.tick == self.feed.tick() {
                    return Ok(Look::Until(heartbeat_at));
                }
                if !is_due && now < sent.rests_until {
                    return Ok(Look::Until(sent.rests_until.min(heartbeat_at)));
                }
                if is_due { Want::After(sent.encoded_at) } else { Want::OtherThan(sent.version) }
            }
        };
        let offer = self.feed.offer(want, self.asked, now);
        if self.feed.has_ended() {
            return Err(ApiError::Ask(self.feed.workspace(), AskError::UnknownWorkspace));
        }
        let is_answered = matches!(offer, Offer::Frame(..) | Offer::Unchanged(_));
        let has_asked = is_answered && self.asked.take().is_some();
        Ok(match (offer, &mut self.sent) {
            (Offer::Frame(frame, tick), _) => Look::Frame(frame, tick),
            (Offer::NotBefore(moment), _) => Look::Until(moment),
            (Offer::Asked, _) => {
                self.asked.get_or_insert(now);
                Look::Asked
            }
            (Offer::Unchanged(tick), Some(sent)) => {
                sent.tick = tick;
                // A question costs more than a look: one for each message that there may be.
                if has_asked {
                    sent.rests_until = now + self.pace.min_interval;
                }
                let heartbeat_at = sent.at + self.pace.heartbeat;
                let has_news = tick != self.feed.tick();
                Look::Until(if has_news { sent.rests_until.min(heartbeat_at) } else { heartbeat_at })
            }
            (Offer::Over(error), _) => return Err(ApiError::Ask(self.feed.workspace(), error)),
            (Offer::Unchanged(_), None) => unreachable!("nothing was sent that could be unchanged"),
        })
    }
}

impl<S: Source> Drop for Watch<S> {
    fn drop(&mut self) {
        self.unhang();
    }
}

/// Wakes the task at some moment or before. A moment that is put off, as that of a heartbeat is by each message, leaves
/// the alarm where it is: it goes off once too early rather than being moved a hundred times.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, moment: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let alarm = self.0.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        let at = alarm.deadline();
        if at <= now || at > moment {
            alarm.as_mut().reset(moment);
        }
        alarm.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests;
