//! The promises of a watch, on a clock that only moves when nobody has anything to do.

mod asked;
mod scene;

use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::api::feed::{ENCODING_INTERVAL, MOST_FRAME_AGE};
use scene::*;

#[tokio::test(start_paused = true)]
async fn the_first_message_comes_at_once_and_is_complete() {
    let scene = Scene::new();
    scene.source.set(4);
    let mut watch = scene.watch(100, 5000);
    assert_eq!(next(&mut watch).await, Seen { workers: 4, revision: 2, as_of: 0 });
    assert_eq!(scene.elapsed_ms(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_message_is_never_older_than_the_call() {
    let scene = Scene::new();
    let mut first = scene.watch(100, 5000);
    next(&mut first).await;
    for (wait, expected) in [(3, 10), (50, 60)] {
        // There is a fresh frame with the very same figures, but it is older than the call.
        pass(wait).await;
        let mut second = scene.watch(100, 5000);
        assert_eq!(next(&mut second).await.as_of, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_pushed_at_once() {
    let scene = Scene::new();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    nothing_for(&mut watch, 1000).await;
    scene.source.set(7);
    assert_eq!(next(&mut watch).await, Seen { workers: 7, revision: 2, as_of: 1000 });
}

#[tokio::test(start_paused = true)]
async fn there_is_at_most_one_message_per_min_interval_and_it_is_the_latest() {
    let scene = Scene::new();
    let mut watch = scene.watch(250, 5000);
    next(&mut watch).await;
    for workers in 1..=20 {
        scene.source.set(workers);
        nothing_for(&mut watch, 10).await;
    }
    assert_eq!(next(&mut watch).await, Seen { workers: 20, revision: 21, as_of: 250 });
    nothing_for(&mut watch, 4999).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_skips_states() {
    let scene = Scene::new();
    let mut watch = scene.watch(10, 5000);
    next(&mut watch).await;
    for workers in 1..=100 {
        scene.source.set(workers);
        pass(20).await;
    }
    // Made when it is asked for: not two seconds old, and the one message there is.
    assert_eq!(next(&mut watch).await, Seen { workers: 100, revision: 101, as_of: 2000 });
    nothing_for(&mut watch, 4999).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_change_each_heartbeat_brings_a_new_moment() {
    let scene = Scene::new();
    let mut watch = scene.watch(100, 700);
    for expected in [0, 700, 1400] {
        assert_eq!(next(&mut watch).await, Seen { workers: 0, revision: 1, as_of: expected });
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_as_short_as_a_frame_is_old_still_brings_a_new_moment() {
    let scene = Scene::new();
    let mut watch = scene.watch(100, 100);
    for expected in [0, 100, 200, 300] {
        assert_eq!(next(&mut watch).await.as_of, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_without_a_change_of_figures_is_no_change() {
    let scene = Scene::new();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    pass(200).await;
    scene.source.set(0);
    nothing_for(&mut watch, 4000).await;
    // Nor is a figure that is back where it was.
    scene.source.set(1);
    scene.source.set(0);
    nothing_for(&mut watch, 799).await;
    assert_eq!(next(&mut watch).await, Seen { workers: 0, revision: 4, as_of: 5000 });
}

#[tokio::test(start_paused = true)]
async fn one_encoding_serves_all_watchers() {
    let scene = Scene::new();
    let mut watches: Vec<_> = (0..50).map(|_| scene.watch(10, 5000)).collect();
    for round in 1..5 {
        let mut places = Vec::new();
        for watch in &mut watches {
            places.push(watch.next().await.unwrap().unwrap().as_bytes().as_ptr());
        }
        places.dedup();
        assert_eq!(places.len(), 1);
        pass(100).await;
        scene.source.set(round);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_message_is_at_most_100_ms_old_when_it_is_handed_over() {
    for (min_interval_ms, expected) in [(110, 10), (111, 111)] {
        let scene = Scene::new();
        let (mut quick, mut slow) = (scene.watch(10, 5000), scene.watch(min_interval_ms, 5000));
        next(&mut quick).await;
        next(&mut slow).await;
        pass(10).await;
        scene.source.set(1);
        assert_eq!(next(&mut quick).await.as_of, 10);
        assert_eq!(next(&mut slow).await.as_of, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_of_one_is_no_change_for_another() {
    let scene = Scene::new();
    let (mut quick, mut slow) = (scene.watch(10, 300), scene.watch(10, 1000));
    next(&mut quick).await;
    next(&mut slow).await;
    for expected in [300, 600, 900] {
        assert_eq!(next(&mut quick).await.as_of, expected);
        nothing_for(&mut slow, 0).await;
    }
    // One encoded for the other's heartbeat a moment ago will do.
    assert_eq!(next(&mut slow).await.as_of, 900);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_watch_with_unavailable_and_a_delay() {
    let scene = Scene::new();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    scene.stop.cancel();
    let status = watch.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
    assert!(watch.next().await.is_none());
    assert_eq!(scene.elapsed_ms(), 0);
    assert_eq!(scene.watch(100, 5000).next().await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_goes_leaves_nothing_behind() {
    let scene = Scene::new();
    let (mut one, mut two) = (scene.watch(100, 5000), scene.watch(100, 5000));
    next(&mut one).await;
    next(&mut two).await;
    nothing_for(&mut one, 500).await;
    assert_eq!(scene.hub.len(), 1);
    drop(one);
    assert_eq!(scene.hub.len(), 1);
    drop(two);
    assert!(scene.hub.is_empty());
    // The crier hears of it.
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&scene.source), 1);
    assert_eq!(scene.source.ticks.receiver_count(), 0);
}

/// What one watcher of a crowd saw: when it asked, when it got it, what.
async fn crowd_member(mut watch: Watch<Fake>, source: Arc<Fake>, min_interval_ms: u64, seed: u64) -> Vec<i64> {
    let (mut last, mut moments) = (None::<(i64, i64)>, Vec::new());
    for step in 0..60 {
        let message = next(&mut watch).await;
        let got = source.now() - START.0;
        let most_age = i64::try_from(MOST_FRAME_AGE.as_millis()).unwrap();
        assert!(got - message.as_of <= most_age, "{message:?} at {got}");
        if let Some((before, as_of)) = last {
            assert!(got - before >= i64::try_from(min_interval_ms).unwrap(), "{before} {got}");
            assert!(message.as_of > as_of);
        }
        last = Some((got, message.as_of));
        moments.push(message.as_of);
        if step % 7 == seed % 7 {
            pass(seed * 13 % 170).await;
        }
    }
    moments
}

#[tokio::test(start_paused = true)]
async fn in_a_crowd_every_promise_holds_at_once() {
    let scene = Scene::new();
    let mut crowd = JoinSet::new();
    for member in 0..40 {
        let min_interval_ms = 10 + member * 7 % 90;
        let watch = scene.watch(min_interval_ms, 100 + member * 11 % 300);
        crowd.spawn(crowd_member(watch, scene.source.clone(), min_interval_ms, member));
    }
    let source = scene.source.clone();
    let changes = tokio::spawn(async move {
        for workers in 0.. {
            source.set(workers % 3);
            pass(1 + u64::try_from(workers).unwrap() * 17 % 41).await;
        }
    });
    let mut encodings: Vec<i64> = crowd.join_all().await.into_iter().flatten().collect();
    changes.abort();
    encodings.sort_unstable();
    encodings.dedup();
    let least = i64::try_from(ENCODING_INTERVAL.as_millis()).unwrap();
    assert!(encodings.windows(2).all(|pair| pair[1] - pair[0] >= least), "{encodings:?}");
    assert!(encodings.len() > 50);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_forgotten_workspace_ends_and_the_next_one_is_of_its_new_life() {
    let scene = Scene::new();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    let before = scene.elapsed_ms();
    scene.source.end();
    let status = watch.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "WORKSPACE_NOT_FOUND");
    assert!(scene.elapsed_ms() - before <= 100, "it does not wait for a heartbeat");
    assert!(watch.next().await.is_none());
    // The ended watch is still held.
    let anew = Scene { hub: scene.hub, ..Scene::new() };
    anew.source.set(7);
    assert_eq!(next(&mut anew.watch(100, 5000)).await.workers, 7);
    drop(watch);
    assert_eq!(next(&mut anew.watch(100, 5000)).await.workers, 7);
}
