//! The host's clock is set back and forward by an hour under the real server, which is killed and begins anew at each
//! place: no stored fact changes, nothing panics, no age is negative, and revisions only grow.

mod common;

use common::calls::Client;
use common::clock::Clock;
use common::events::{Centre, Figures, at, created, length_ms, ms, sid};
use common::process::{Launch, Server};
use common::{HANG, in_time};
use tasktally::api::proto::v1;
use tonic::Streaming;
use tonic_health::pb::health_check_response::ServingStatus;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const RETENTION_MS: i64 = 30 * 24 * HOUR_MS;
/// Events of the past, which nothing may change any more.
const PAST: u64 = 400;
/// A task that only a clock an hour ahead may call too old.
const OLD_TASK: u64 = 90_000;

struct Scene {
    clock: Clock,
    dir: tempfile::TempDir,
    /// When it began, by a clock that nobody sets.
    began_ms: i64,
    past: Centre,
    figures: Figures,
    /// A workspace in which something happens at each place.
    live: String,
    lived: u64,
    /// A workspace with one task, of the moment when it began: to a clock that was set back, it is yet to come.
    quiet: String,
    revision: i64,
}

impl Scene {
    fn serve(&self) -> Server {
        Launch::on(self.dir.path()).with(["--partitions", "2"]).within(self.clock.go_on()).start()
    }

    fn past_events(&self) -> Vec<v1::Event> {
        (0..PAST).map(|number| self.past.event(number)).collect()
    }

    /// Of the moment, and never of another hour.
    fn assert_now(&self, realtime: &v1::WorkspaceRealtimeStatistics) {
        let as_of_ms = ms(realtime.as_of.as_ref().unwrap());
        assert!((as_of_ms - self.clock.now_ms()).abs() < MINUTE_MS, "as of {as_of_ms}, at {}", self.clock.now_ms());
        let age_ms = length_ms(realtime.longest_task_waiting_age.as_ref().unwrap());
        let since_ms = ms(realtime.longest_task_waiting_since.as_ref().unwrap());
        assert_eq!(age_ms, (as_of_ms - since_ms).max(0), "waiting since {since_ms}, as of {as_of_ms}");
    }

    /// All that was told of the past is as it was, and what is new is taken.
    async fn look(&mut self, server: &mut Server, set_ms: i64, watch: &mut Streaming<v1::WatchRealtimeResponse>) {
        let client = Client::to(server).await;
        let workspace_sid = self.past.workspace(0);
        let (start_time, end_time) = (at(self.began_ms - 3 * HOUR_MS), at(self.began_ms - 90 * MINUTE_MS));
        let asked = v1::GetStatisticsRequest {
            workspace_sid: workspace_sid.clone(),
            start_time: Some(start_time),
            end_time: Some(end_time),
            ..v1::GetStatisticsRequest::default()
        };
        let told = client.statistics().get_statistics(asked).await.unwrap().into_inner();
        let realtime = told.realtime.as_ref().unwrap();
        // By a clock an hour ahead the old task is too old, and by one that was set back it is not.
        let old = set_ms <= 0;
        let mut figures = Figures::told(&told);
        figures.pending -= i64::from(old);
        assert_eq!(figures, self.figures, "{set_ms} ms from where it began");
        self.assert_now(realtime);
        let oldest = v1::GetCumulativeRequest {
            workspace_sid: workspace_sid.clone(),
            start_time: Some(at(self.began_ms - RETENTION_MS + 10 * MINUTE_MS)),
            ..v1::GetCumulativeRequest::default()
        };
        match client.cumulative(oldest).await {
            Ok(cumulative) if old => {
                let expected = self.figures.tasks_created + 1;
                assert_eq!(cumulative.tasks_created, expected, "{set_ms} ms from where it began");
            }
            Err(status) if !old => assert_eq!(status.code(), tonic::Code::OutOfRange),
            other => panic!("{set_ms} ms from where it began: {other:?}"),
        }

        let again = client.send(self.past_events()).await.unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, PAST as i64), "{:?}", again.rejected);
        assert!(again.revision >= self.revision);
        self.lived += 1;
        let new = created(100_000 + self.lived, &self.live, self.clock.now_ms(), "voice");
        let revision = client.accept(vec![new]).await;
        assert!(revision > self.revision, "revision {revision} after {}", self.revision);
        let live = client.realtime(&self.live, "").await.unwrap();
        assert_eq!((live.total_tasks, live.revision), (self.lived as i64, revision), "at {set_ms}");
        self.assert_now(&live);
        self.revision = revision;
        let quiet = client.realtime(&self.quiet, "").await.unwrap();
        assert_eq!(quiet.total_tasks, 1);
        self.assert_now(&quiet);
        self.follow(watch).await;
        assert_eq!(client.health_of("").await.unwrap(), ServingStatus::Serving);
        server.assert_sound();
    }

    /// The watch goes by this clock soon, and its revisions only grow.
    async fn follow(&self, watch: &mut Streaming<v1::WatchRealtimeResponse>) {
        let (begun, mut floor) = (std::time::Instant::now(), 0);
        loop {
            assert!(begun.elapsed() < HANG, "the watch does not follow the clock");
            let message = in_time("a message of a watch", watch.message()).await.unwrap().unwrap();
            let shown = message.realtime.unwrap();
            assert!(shown.revision >= floor, "revision {} after {floor}", shown.revision);
            floor = shown.revision;
            assert!(length_ms(shown.longest_task_waiting_age.as_ref().unwrap()) >= 0);
            let apart_ms = (ms(shown.as_of.as_ref().unwrap()) - self.clock.now_ms()).abs();
            if apart_ms < MINUTE_MS {
                assert_eq!(shown.total_tasks, 1);
                return self.assert_now(&shown);
            }
        }
    }

    async fn watch(&self, server: &Server) -> Streaming<v1::WatchRealtimeResponse> {
        let request = v1::WatchRealtimeRequest {
            workspace_sid: self.quiet.clone(),
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..v1::WatchRealtimeRequest::default()
        };
        Client::to(server).await.watch(request).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_back_or_forward_changes_nothing_that_is_stored() {
    let clock = Clock::new(1);
    let began_ms = clock.now_ms();
    let past = Centre { end_ms: began_ms - 2 * HOUR_MS, workspaces: 1 };
    let figures = past.figures(0..PAST).remove(0);
    let (live, quiet) = (sid("WS", 1), sid("WS", 2));
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene { clock, dir, began_ms, past, figures, live, lived: 1, quiet, revision: 0 };
    let mut server = scene.serve();
    let client = Client::to(&server).await;
    client.accept(scene.past_events()).await;
    let old_ms = began_ms - RETENTION_MS + 20 * MINUTE_MS;
    client.accept(vec![created(OLD_TASK, &scene.past.workspace(0), old_ms, "voice")]).await;
    scene.revision = client.accept(vec![created(100_001, &scene.live, began_ms, "voice")]).await;
    client.accept(vec![created(80_000, &scene.quiet, began_ms, "voice")]).await;
    for set_ms in [0, HOUR_MS, 0, -HOUR_MS, 0, HOUR_MS, -HOUR_MS, 0] {
        let mut watch = scene.watch(&server).await;
        scene.clock.set(set_ms);
        scene.look(&mut server, set_ms, &mut watch).await;
        server.kill();
        server = scene.serve();
        let mut watch = scene.watch(&server).await;
        scene.look(&mut server, set_ms, &mut watch).await;
    }
    server.stop();
    server = scene.serve();
    let mut watch = scene.watch(&server).await;
    scene.look(&mut server, 0, &mut watch).await;
}
