//! A stream of the server's that is begun anew whenever it breaks: each message is complete, so nothing is missed.

use std::future::Future;
use std::time::Duration;

use tonic::{Request, Status, Streaming};

use crate::api::proto::v1::{
    WatchRealtimeRequest, WatchRealtimeResponse, WatchStatisticsRequest, WatchStatisticsResponse,
};
use crate::cli::client::Server;
use crate::cli::delivery::Backoff;
use crate::cli::failure::{Failure, describe, is_answer};

/// How many heartbeats may be missed before a stream counts as broken.
const MISSED_HEARTBEATS: u32 = 3;

/// A watch goes on for as long as the user looks; this bounds only what `Backoff` must be told.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a stream is asked for with.
pub trait Watch: Clone + Send + Sync + 'static {
    type Message: Send + 'static;

    fn open(self, server: &Server) -> impl Future<Output = Result<Streaming<Self::Message>, Status>> + Send;
}

impl Watch for WatchRealtimeRequest {
    type Message = WatchRealtimeResponse;

    async fn open(self, server: &Server) -> Result<Streaming<WatchRealtimeResponse>, Status> {
        server.statistics().watch_realtime(Request::new(self)).await.map(|response| response.into_inner())
    }
}

impl Watch for WatchStatisticsRequest {
    type Message = WatchStatisticsResponse;

    async fn open(self, server: &Server) -> Result<Streaming<WatchStatisticsResponse>, Status> {
        server.statistics().watch_statistics(Request::new(self)).await.map(|response| response.into_inner())
    }
}

/// What became of a stream.
#[derive(Debug)]
pub enum Told<M> {
    Message(M),
    /// It broke, or did not begin; the next one is asked for after the pause.
    Lost {
        loss: Loss,
        pause: Duration,
    },
}

/// Why there is nothing for now.
#[derive(Clone, Debug)]
pub struct Loss {
    pub why: String,
    /// The server answers, and has no place for us or the like; else there is no word from it.
    pub is_answer: bool,
}

/// A stream's end, or that it has not begun.
struct Trouble {
    status: Status,
    is_answer: bool,
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Trouble {
        Trouble { is_answer: is_answer(&status), status }
    }
}

/// What we say ourselves of a server that says nothing.
fn silence(status: Status) -> Trouble {
    Trouble { status, is_answer: false }
}

pub struct Follower<W: Watch> {
    server: Server,
    request: W,
    overdue: Duration,
    backoff: Backoff,
    stream: Option<Streaming<W::Message>>,
    /// To be waited before the stream is begun again.
    pause: Option<Duration>,
}

impl<W: Watch> Follower<W> {
    /// `heartbeat`: the longest time without a message that was asked for.
    pub fn new(server: &Server, request: W, heartbeat: Duration) -> Follower<W> {
        let overdue = heartbeat * MISSED_HEARTBEATS + Duration::from_secs(1);
        Follower { server: server.clone(), request, overdue, backoff: Backoff::new(FOREVER), stream: None, pause: None }
    }

    /// The next message, or that there is none for now.
    ///
    /// # Errors
    /// Trying again cannot help.
    pub async fn next(&mut self) -> Result<Told<W::Message>, Failure> {
        if let Some(pause) = self.pause.take() {
            tokio::time::sleep(pause).await;
        }
        match self.message().await {
            Ok(message) => {
                self.backoff.reset();
                Ok(Told::Message(message))
            }
            Err(Trouble { status, is_answer }) => {
                self.stream = None;
                let why = describe(&status).lines().next().unwrap_or_default().to_owned();
                let pause = self.backoff.pause(status)?;
                self.pause = Some(pause);
                Ok(Told::Lost { loss: Loss { why, is_answer }, pause })
            }
        }
    }

    async fn message(&mut self) -> Result<W::Message, Trouble> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            // Only its beginning has a time limit.
            None => {
                let opening = self.request.clone().open(&self.server);
                let opened = tokio::time::timeout(self.server.timeout(), opening).await;
                self.stream
                    .insert(opened.map_err(|_| silence(Status::deadline_exceeded("no answer within --timeout")))??)
            }
        };
        match tokio::time::timeout(self.overdue, stream.message()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(silence(Status::unavailable("the server ended the stream"))),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(silence(Status::unavailable("no heartbeat"))),
        }
    }
}

/// A duration that the flags bound to an hour.
pub fn span(duration: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: duration.as_secs().cast_signed(),
        nanos: duration.subsec_nanos().cast_signed(),
    })
}
