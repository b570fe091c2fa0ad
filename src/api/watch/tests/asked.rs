//! The same of a state that has to be asked for, and what that may cost.

use std::time::Duration;

use tokio::time::sleep;

use super::super::*;
use super::scene::*;
use crate::event::Second;
use crate::pipeline::Full;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_types::StatusExt;

/// What an answer takes.
const TAKES: i64 = ANSWERED_IN_MS as i64;

#[tokio::test(start_paused = true)]
async fn the_first_message_comes_with_the_answer_to_a_question_after_the_call() {
    let scene = Scene::asked();
    let mut watch = scene.watch(100, 5000);
    assert_eq!(next(&mut watch).await, Seen { workers: 0, revision: 1, as_of: TAKES });
    // Another one has a question of its own, ten milliseconds after the one before.
    assert_eq!(next(&mut scene.watch(100, 5000)).await.as_of, 10 + TAKES);
    assert_eq!(scene.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_pushed_as_soon_as_it_is_known_and_quiet_costs_no_question() {
    let scene = Scene::asked();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    nothing_for(&mut watch, 1000).await;
    assert_eq!(scene.questions(), 1);
    scene.source.set(7);
    assert_eq!(next(&mut watch).await, Seen { workers: 7, revision: 2, as_of: 1000 + 2 * TAKES });
    assert_eq!(scene.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_heartbeat_is_asked_for() {
    let scene = Scene::asked();
    let mut watch = scene.watch(100, 700);
    for beat in 0..4 {
        assert_eq!(next(&mut watch).await, Seen { workers: 0, revision: 1, as_of: beat * (700 + TAKES) + TAKES });
    }
    assert_eq!(scene.questions(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_changes_no_figure_costs_a_question_per_min_interval_and_a_change_still_comes() {
    let scene = Scene::asked();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    for _ in 0..200 {
        scene.source.set(0);
        nothing_for(&mut watch, 5).await;
    }
    let asked = scene.questions();
    assert!((9..=12).contains(&asked), "{asked} questions in a second");
    scene.source.set(3);
    let before = scene.elapsed_ms();
    assert_eq!(next(&mut watch).await.workers, 3);
    assert!(scene.elapsed_ms() - before <= 100 + 2 * TAKES);
}

#[tokio::test(start_paused = true)]
async fn changes_that_never_cease_do_not_keep_a_message_back() {
    let scene = Scene::asked();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    let source = scene.source.clone();
    let changes = tokio::spawn(async move {
        for workers in 1.. {
            source.set(workers);
            sleep(Duration::from_millis(1)).await;
        }
    });
    let mut before = (scene.elapsed_ms(), 0);
    for _ in 0..20 {
        let message = next(&mut watch).await;
        let now = scene.elapsed_ms();
        assert!((100..=100 + 2 * TAKES).contains(&(now - before.0)), "{now} after {before:?}");
        assert!(message.workers > before.1 && now - message.as_of <= 1, "{message:?} at {now}");
        before = (now, message.workers);
    }
    changes.abort();
    assert_eq!(scene.questions(), 21);
}

#[tokio::test(start_paused = true)]
async fn one_question_serves_all_who_watch_the_same() {
    let scene = Scene::asked();
    let mut watches: Vec<_> = (0..50).map(|_| scene.watch(10, 5000)).collect();
    for round in 1..5 {
        let mut places = Vec::new();
        for watch in &mut watches {
            places.push(watch.next().await.unwrap().unwrap().as_bytes().as_ptr());
        }
        places.dedup();
        assert_eq!(places.len(), 1);
        assert_eq!(scene.questions(), round);
        pass(100).await;
        scene.source.set(round as i64);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_too_much_is_served_later() {
    let scene = Scene::asked();
    let full = || AskError::Overloaded(Full { limit: "max_queued_questions", most: 1, retry_after_ms: 40 });
    *scene.source.refusals.lock().unwrap() = vec![full(), full()];
    let mut watch = scene.watch(100, 5000);
    assert_eq!(next(&mut watch).await.as_of, 2 * (TAKES + 40) + TAKES);
    assert_eq!(scene.questions(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_answered_any_more_ends_the_watch_and_the_next_one_asks_for_itself() {
    let scene = Scene::asked();
    let mut watch = scene.watch(100, 5000);
    next(&mut watch).await;
    let too_old = AskError::WindowTooOld { oldest: Second(9), asked: Second(8) };
    *scene.source.refusals.lock().unwrap() = vec![too_old];
    let status = watch.next().await.unwrap().unwrap_err();
    assert_eq!((status.code(), scene.elapsed_ms()), (Code::OutOfRange, 5000 + 2 * TAKES));
    assert!(watch.next().await.is_none());
    // The ended watch is still held.
    assert_eq!(next(&mut scene.watch(100, 5000)).await.as_of, 5000 + 3 * TAKES);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_and_the_end_of_the_workspace_end_it_while_it_asks() {
    for is_shutdown in [true, false] {
        let scene = Scene::asked();
        let mut watch = scene.watch(100, 5000);
        nothing_for(&mut watch, 1).await;
        if is_shutdown {
            scene.stop.cancel()
        } else {
            scene.source.end()
        }
        let status = watch.next().await.unwrap().unwrap_err();
        let expected = if is_shutdown { (Code::Unavailable, true) } else { (Code::NotFound, false) };
        assert_eq!((status.code(), status.get_details_retry_info().is_some()), expected);
        assert_eq!(scene.elapsed_ms(), 1);
        assert!(watch.next().await.is_none());
        drop(watch);
        assert!(scene.hub.is_empty());
    }
}
