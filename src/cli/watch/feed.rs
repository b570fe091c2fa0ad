//! The streams behind the board. Each tells what it has as news; a new choice ends them and begins others.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::args::WatchArgs;
use super::figures::{Happened, Realtime, WINDOWS, moment};
use super::follow::{Follower, Loss, Told, span};
use super::model::{List, Subject};
use crate::api::proto::v1::{
    GetCumulativeSeriesRequest, ListTaskChannelsRequest, WatchRealtimeRequest, WatchStatisticsRequest,
    WatchStatisticsResponse,
};
use crate::cli::client::Server;
use crate::cli::failure::{Failure, describe};
use crate::limits;

#[derive(Debug)]
pub enum News {
    Realtime(Realtime),
    /// There are no figures for now; they are asked for again after the pause.
    Lost {
        loss: Loss,
        pause: Duration,
    },
    Window(usize, Happened),
    Trend(usize, Vec<Happened>),
    WindowLost(usize),
    /// There will be none, and why.
    NoWindow(usize, String),
    Channels(List),
    Workspaces(List),
    /// Trying again cannot help.
    Failed(Failure),
}

/// News, with the number of the choice that it belongs to.
type Sender = mpsc::Sender<(u64, News)>;

pub struct Feed {
    server: Server,
    pace: Pace,
    within: u32,
    news: Sender,
    /// Grows with each choice, so that late news of an earlier one is known.
    choice: u64,
    subject: Subject,
    streams: JoinSet<()>,
    looks: JoinSet<()>,
}

/// How often the streams may and must say something.
#[derive(Clone, Copy, Debug)]
struct Pace {
    least: Duration,
    heartbeat: Duration,
}

impl Pace {
    /// Of the windows, which are larger messages and slower figures.
    fn of_windows(self) -> Pace {
        Pace {
            least: self.least.max(limits::WALLBOARD_WINDOWS_INTERVAL),
            heartbeat: self.heartbeat.max(limits::WALLBOARD_HEARTBEAT),
        }
    }
}

impl Feed {
    pub fn new(server: Server, args: &WatchArgs) -> (Feed, mpsc::Receiver<(u64, News)>) {
        let (news, receiver) = mpsc::channel(limits::TERMINAL_NEWS);
        let pace = Pace { least: args.min_interval, heartbeat: args.heartbeat.max(args.min_interval) };
        let (within, subject) = (args.board.within, Subject::default());
        let (streams, looks) = (JoinSet::new(), JoinSet::new());
        (Feed { server, pace, within, news, choice: 0, subject, streams, looks }, receiver)
    }

    /// Ends what there was and begins the streams of this choice.
    pub fn turn_to(&mut self, subject: &Subject) {
        self.choice += 1;
        self.subject = subject.clone();
        self.streams.abort_all();
        self.streams = JoinSet::new();
        if subject.workspace.is_empty() {
            return;
        }
        let teller = Teller { news: self.news.clone(), choice: self.choice };
        let request = WatchRealtimeRequest {
            workspace_sid: subject.workspace.clone(),
            task_channel: subject.channel.clone(),
            min_interval: span(self.pace.least),
            heartbeat_interval: span(self.pace.heartbeat),
        };
        let follower = Follower::new(&self.server, request, self.pace.heartbeat);
        let (live, is_live) = watch::channel(false);
        self.streams.spawn(follow_realtime(follower, live, teller.clone()));
        let pace = self.pace.of_windows();
        for (at, (minutes, bucket_s)) in WINDOWS.into_iter().enumerate() {
            let request = WatchStatisticsRequest {
                workspace_sid: subject.workspace.clone(),
                task_channel: subject.channel.clone(),
                minutes: i32::try_from(minutes).ok(),
                start_time: None,
                end_time: None,
                split_by_wait_time: i32::try_from(self.within).into_iter().collect(),
                min_interval: span(pace.least),
                heartbeat_interval: span(pace.heartbeat),
            };
            let follower = Follower::new(&self.server, request, pace.heartbeat);
            let window = OneWindow { at, minutes, bucket_s, within: self.within, subject: subject.clone() };
            let server = self.server.clone();
            self.streams.spawn(window.follow(server, follower, is_live.clone(), teller.clone()));
        }
        self.look_for_channels();
    }

    /// Whether this news is of what is shown now.
    pub fn is_current(&self, choice: u64) -> bool {
        self.choice == choice
    }

    pub fn look_for_channels(&mut self) {
        if self.subject.workspace.is_empty() {
            return;
        }
        let request = ListTaskChannelsRequest {
            workspace_sid: self.subject.workspace.clone(),
            page_size: limits::PAGE_SIZE_MAX.try_into().unwrap_or(i32::MAX),
            page_token: String::new(),
        };
        let (server, teller) = (self.server.clone(), self.teller());
        self.looks.spawn(async move {
            let list = match server.statistics().list_task_channels(server.request(request)).await {
                Ok(page) => {
                    let page = page.into_inner();
                    let names = page.task_channels.into_iter().map(|channel| channel.unique_name).collect();
                    known(names, !page.next_page_token.is_empty())
                }
                Err(status) => unknown(&status),
            };
            teller.tell(News::Channels(list)).await;
        });
    }

    pub fn look_for_workspaces(&mut self) {
        let (server, teller) = (self.server.clone(), self.teller());
        self.looks.spawn(async move {
            let list = match server.workspaces().await {
                Ok((workspaces, more)) => {
                    known(workspaces.into_iter().map(|workspace| workspace.workspace_sid).collect(), more)
                }
                Err(Failure::Call(status)) => unknown(&status),
                Err(other) => List { trouble: Some(other.to_string()), ..List::default() },
            };
            teller.tell(News::Workspaces(list)).await;
        });
    }

    fn teller(&mut self) -> Teller {
        // Answers that came are no longer kept.
        while self.looks.try_join_next().is_some() {}
        Teller { news: self.news.clone(), choice: self.choice }
    }

    /// Never, unless one of the streams panics.
    pub async fn panic(&mut self) -> Box<dyn std::any::Any + Send> {
        loop {
            match self.streams.join_next().await {
                Some(Err(error)) if error.is_panic() => return error.into_panic(),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

fn known(names: Vec<String>, has_more: bool) -> List {
    List { names, has_more, trouble: None, is_known: true }
}

fn unknown(status: &Status) -> List {
    List { trouble: Some(first_line(status)), ..List::default() }
}

fn first_line(status: &Status) -> String {
    describe(status).lines().next().unwrap_or_default().to_owned()
}

#[derive(Clone)]
struct Teller {
    news: Sender,
    choice: u64,
}

impl Teller {
    async fn tell(&self, news: News) {
        // Where nobody listens any more, the board is being closed.
        let _ = self.news.send((self.choice, news)).await;
    }
}

async fn follow_realtime(mut follower: Follower<WatchRealtimeRequest>, is_live: watch::Sender<bool>, teller: Teller) {
    loop {
        let next = follower.next().await;
        is_live.send_replace(matches!(next, Ok(Told::Message(_))));
        let news = match next {
            Ok(Told::Message(message)) => News::Realtime(Realtime::new(message.realtime.unwrap_or_default())),
            Ok(Told::Lost { loss, pause }) => News::Lost { loss, pause },
            Err(failure) => return teller.tell(News::Failed(failure)).await,
        };
        teller.tell(news).await;
    }
}

struct OneWindow {
    at: usize,
    minutes: u32,
    bucket_s: i64,
    within: u32,
    subject: Subject,
}

impl OneWindow {
    /// What is comes first: where the server has few places for watchers, a window takes none before it.
    async fn follow(
        self,
        server: Server,
        mut follower: Follower<WatchStatisticsRequest>,
        mut is_live: watch::Receiver<bool>,
        teller: Teller,
    ) {
        let mut of_trend = None;
        while is_live.wait_for(|is_live| *is_live).await.is_ok() {
            match follower.next().await {
                Ok(Told::Message(message)) => self.tell(&server, message, &mut of_trend, &teller).await,
                Ok(Told::Lost { .. }) => teller.tell(News::WindowLost(self.at)).await,
                Err(Failure::Call(status)) if matches!(status.code(), Code::OutOfRange | Code::Unimplemented) => {
                    let note = match status.code() {
                        Code::OutOfRange => "The server keeps less than that (--retention).",
                        _ => "The server is older, and does not push this.",
                    };
                    return teller.tell(News::NoWindow(self.at, note.to_owned())).await;
                }
                Err(failure) => return teller.tell(News::Failed(failure)).await,
            }
        }
    }

    /// The figures at once; the trend where a bucket has ended since, or something has come in.
    async fn tell(
        &self,
        server: &Server,
        message: WatchStatisticsResponse,
        of_trend: &mut Option<(i64, i64)>,
        teller: &Teller,
    ) {
        let told = message.statistics.and_then(|statistics| statistics.cumulative).unwrap_or_default();
        teller.tell(News::Window(self.at, Happened::new(&told, self.within))).await;
        let as_of_s = told.as_of.map_or(0, moment).div_euclid(1000);
        let end_s = as_of_s.div_euclid(self.bucket_s) * self.bucket_s;
        let wanted = (end_s, told.revision);
        if *of_trend == Some(wanted) {
            return;
        }
        // What cannot be had now may be had with the next message.
        if let Some(trend) = self.trend(server, end_s).await {
            *of_trend = Some(wanted);
            teller.tell(News::Trend(self.at, trend)).await;
        }
    }

    /// Whole buckets of the clock, of which the last has ended.
    async fn trend(&self, server: &Server, end_s: i64) -> Option<Vec<Happened>> {
        let mut start_s = end_s - i64::from(self.minutes) * 60;
        // The first bucket may begin just before what is kept; then what is whole of the rest is shown.
        for _ in 0..3 {
            let request = GetCumulativeSeriesRequest {
                workspace_sid: self.subject.workspace.clone(),
                task_channel: self.subject.channel.clone(),
                minutes: None,
                start_time: Some(prost_types::Timestamp { seconds: start_s, nanos: 0 }),
                end_time: Some(prost_types::Timestamp { seconds: end_s, nanos: 0 }),
                split_by_wait_time: i32::try_from(self.within).into_iter().collect(),
                bucket: Some(prost_types::Duration { seconds: self.bucket_s, nanos: 0 }),
            };
            match server.statistics().get_cumulative_series(server.request(request)).await {
                Ok(answer) => {
                    let buckets = answer.into_inner().buckets;
                    return Some(buckets.iter().map(|bucket| Happened::new(bucket, self.within)).collect());
                }
                Err(status) if status.code() == Code::OutOfRange => start_s += self.bucket_s,
                Err(_) => return None,
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
