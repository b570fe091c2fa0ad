//! Those who look: watchers that come, go, stall and leave without a goodbye, and callers of every other question.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::api::proto::v1;
use tonic::{Code, Status, Streaming};

use super::compare::has_become_too_old;
use super::produce::connect;
use super::world::{Home, Place, RETENTION_MS, World, count};
use crate::common::calls::Client;
use crate::common::events::{at, length};
use crate::common::stalled::client_at;

/// The task channels of the simulated centres, and one that nobody has.
pub const CHANNELS: [&str; 5] = ["voice", "chat", "sms", "email", "pigeon"];

fn home<'a>(world: &'a World, rng: &mut ChaCha8Rng) -> &'a Home {
    &world.homes[rng.random_range(0..world.homes.len())]
}

/// One viewer after the other, each with a connection of its own and some watches on it.
pub async fn view(world: Arc<World>, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while let Some(place) = world.place().await {
        let (client, deaf) = match client_at(place.address.clone()).await {
            Ok(connected) => connected,
            Err(error) => {
                world.excuse(&place, "a viewer's connection", &error);
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        count(&world.counts.connections);
        let mut watching = tokio::task::JoinSet::new();
        for _ in 0..rng.random_range(1..=6) {
            let rng = ChaCha8Rng::seed_from_u64(rng.random());
            watching.spawn(watch(world.clone(), client.clone(), place.clone(), rng));
        }
        // Some stay for the whole life of the server, most for a moment.
        let stay_ms = if rng.random_bool(0.02) { 60_000 } else { rng.random_range(20..3_000) };
        let stalls = rng.random_bool(0.2);
        let stay = async {
            tokio::time::sleep(Duration::from_millis(stay_ms / 2)).await;
            if stalls {
                deaf.set();
            }
            tokio::time::sleep(Duration::from_millis(stay_ms / 2)).await;
        };
        tokio::select! {
            () = stay => {}
            () = gone(&world, &place) => {}
        }
        // All of it is dropped at once: neither the watches nor the connection say goodbye.
        while let Some(ended) = watching.try_join_next() {
            ended.expect("a watcher found nothing wrong");
        }
        watching.abort_all();
        while let Some(ended) = watching.join_next().await {
            assert!(!ended.is_err_and(|error| error.is_panic()), "a watcher found something wrong");
        }
    }
}

/// Waits until the server is not there any more, or the run is over.
async fn gone(world: &World, place: &Place) {
    while !world.is_over() && world.place.borrow().as_ref() == Some(place) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn watch(world: Arc<World>, client: Client, place: Place, mut rng: ChaCha8Rng) {
    let home = home(&world, &mut rng);
    let channel = if rng.random_bool(0.5) { "" } else { CHANNELS[rng.random_range(0..CHANNELS.len())] };
    let min_interval = [None, Some(10), Some(50)][rng.random_range(0..3)].map(Duration::from_millis);
    let heartbeat = [None, Some(100), Some(1_000)][rng.random_range(0..3)].map(Duration::from_millis);
    let request = v1::WatchRealtimeRequest {
        workspace_sid: home.sid.clone(),
        task_channel: channel.to_owned(),
        min_interval: min_interval.map(length),
        heartbeat_interval: heartbeat.map(length),
    };
    let floor = home.floor();
    let failed = match client.watch(request).await {
        Ok(messages) => follow(&world, home, floor, messages).await,
        Err(status) => status,
    };
    if floor == 0 && failed.code() == Code::NotFound {
        return; // nothing had named it yet
    }
    world.excuse(&place, "a watch", &failed);
}

/// Reads until the stream fails; each message must be of a state no older than the one before.
async fn follow(
    world: &World,
    home: &Home,
    mut floor: i64,
    mut messages: Streaming<v1::WatchRealtimeResponse>,
) -> Status {
    count(&world.counts.watches);
    loop {
        let realtime = match messages.message().await {
            Ok(Some(message)) => message.realtime.expect("a message holds the statistics"),
            Ok(None) => return Status::unknown("the watch ended well"),
            Err(status) => return status,
        };
        count(&world.counts.messages);
        assert_eq!(realtime.workspace_sid, home.sid);
        // `as_of` may go back by the moments for which a state is behind the clock: on this one, by seconds.
        assert!(realtime.as_of.is_some(), "an answer says when");
        assert!(realtime.revision >= floor, "revision {} after {floor}", realtime.revision);
        floor = realtime.revision;
        home.saw(floor);
    }
}

/// Questions of every kind, some of them wrong.
pub async fn ask(world: Arc<World>, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while let Some((place, client)) = connect(&world).await {
        for _ in 0..rng.random_range(20..400) {
            let home = home(&world, &mut rng);
            if home.floor() == 0 {
                break;
            }
            if let Err(status) = question(&world, &client, home, &mut rng).await {
                world.excuse(&place, "a question", &status);
                break;
            }
            count(&world.counts.questions);
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..20))).await;
        }
    }
}

async fn question(world: &World, client: &Client, home: &Home, rng: &mut ChaCha8Rng) -> Result<(), Status> {
    let floor = home.floor();
    let now_ms = world.clock.now_ms();
    let workspace_sid = home.sid.clone();
    let revision = match rng.random_range(0..7) {
        0 => client.realtime(&home.sid, CHANNELS[rng.random_range(0..CHANNELS.len())]).await?.revision,
        1 => {
            let start_time = Some(at(now_ms - rng.random_range(60_000..RETENTION_MS - 300_000)));
            let split_by_wait_time = vec![5, 60, 600];
            let request =
                v1::GetCumulativeRequest { workspace_sid, start_time, split_by_wait_time, ..Default::default() };
            match client.cumulative(request.clone()).await {
                Err(status) if has_become_too_old(world, &request, &status) => floor,
                answer => answer?.revision,
            }
        }
        2 => {
            let request = v1::GetStatisticsRequest { workspace_sid, minutes: Some(30), ..Default::default() };
            let both = client.statistics().get_statistics(request).await?.into_inner();
            let (realtime, cumulative) = (both.realtime.expect("there"), both.cumulative.expect("there"));
            assert_eq!((realtime.revision, realtime.as_of), (cumulative.revision, cumulative.as_of));
            realtime.revision
        }
        3 => {
            let request = v1::ListTaskChannelsRequest { workspace_sid, page_size: 2, ..Default::default() };
            client.statistics().list_task_channels(request).await?;
            floor
        }
        4 => {
            let request = v1::ListWorkspacesRequest::default();
            client.statistics().list_workspaces(request).await?;
            floor
        }
        5 => {
            let unknown = format!("WS{:032x}", rng.random::<u64>());
            refused(client.realtime(&unknown, "").await, Code::NotFound)?;
            floor
        }
        _ => {
            let start_time = Some(at(now_ms - 3 * RETENTION_MS));
            let request = v1::GetCumulativeRequest { workspace_sid, start_time, ..Default::default() };
            refused(client.cumulative(request).await, Code::OutOfRange)?;
            floor
        }
    };
    assert!(revision >= floor, "revision {revision} after {floor}");
    home.saw(revision);
    Ok(())
}

/// That it was refused with this code; another failure is one of the connection.
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code) -> Result<(), Status> {
    match answer {
        Ok(answer) => panic!("expected {code:?}: {answer:?}"),
        Err(status) if status.code() == code => Ok(()),
        Err(status) => Err(status),
    }
}
