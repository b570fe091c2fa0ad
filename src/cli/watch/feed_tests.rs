use std::time::Duration;

use super::*;
use crate::cli::args::ClientCommand;
use crate::cli::failure::EXIT_REQUEST;
use crate::cli::tests::{Fake, command};

const WORKSPACE: &str = "WS00000000000000000000000000000001";

/// The feed of a board, with that many of its calls refused first.
async fn feed(fake: &Fake, refusals: Vec<Status>) -> (Feed, mpsc::Receiver<(u64, News)>) {
    fake.0.lock().unwrap().failures.extend(refusals);
    feed_of(fake.serve().await)
}

fn feed_of(address: std::net::SocketAddr) -> (Feed, mpsc::Receiver<(u64, News)>) {
    let ClientCommand::Watch(args) = command(&format!("watch {WORKSPACE}"), address) else {
        panic!("this is the command of a watch")
    };
    Feed::new(Server::new(&args.connection).unwrap(), &args)
}

fn subject(channel: &str) -> Subject {
    Subject { workspace: WORKSPACE.to_owned(), channel: channel.to_owned() }
}

/// The next so many news but for lists, in short.
async fn told(news: &mut mpsc::Receiver<(u64, News)>, number: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < number {
        let next = tokio::time::timeout(Duration::from_secs(30), news.recv()).await.expect("news within half a minute");
        told.push(match next.unwrap() {
            (_, News::Channels(_) | News::Workspaces(_)) => continue,
            (choice, News::Realtime(realtime)) => format!("{choice}: {} tasks", realtime.total_tasks),
            (choice, News::Lost { loss: Loss { why, is_answer: true }, .. }) => format!("{choice}: refused, {why}"),
            (choice, News::Lost { loss: Loss { why, .. }, .. }) => {
                format!("{choice}: lost, {}", why.split(':').next().unwrap())
            }
            (choice, News::Window(at, happened)) => {
                format!("{choice}: window {at}, {:?}", happened.value(crate::cli::watch::figures::Figure::Created))
            }
            (choice, News::NoWindow(at, why)) => format!("{choice}: no window {at}, {why}"),
            (choice, News::Failed(failure)) => format!("{choice}: failed, {}", failure.exit_code()),
            (_, other) => panic!("{other:?}"),
        });
    }
    told
}

#[tokio::test]
async fn windows_wait_for_what_is_and_take_no_place_before_it() {
    let fake = Fake::default();
    let (mut feed, mut news) = feed(&fake, vec![Status::unavailable("full"), Status::unavailable("full")]).await;
    feed.turn_to(&subject(""));
    let first = told(&mut news, 3).await;
    assert_eq!(first, ["1: refused, UNAVAILABLE: full", "1: refused, UNAVAILABLE: full", "1: 4 tasks"]);
    let mut windows = told(&mut news, 3).await;
    windows.sort();
    assert_eq!(
        windows[..2],
        ["1: no window 2, The server keeps less than that (--retention).", "1: window 0, Some(15)"]
    );
    assert_eq!(windows[2], "1: window 1, Some(240)");
    assert_eq!(fake.0.lock().unwrap().watches[..3], ["realtime"; 3]);
}

#[tokio::test]
async fn a_server_that_is_not_there_has_refused_nothing() {
    // A port that was free, and where nobody listens any more.
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (mut feed, mut news) = feed_of(address);
    feed.turn_to(&subject(""));
    assert_eq!(told(&mut news, 2).await, ["1: lost, UNAVAILABLE", "1: lost, UNAVAILABLE"]);
}

#[tokio::test]
async fn what_no_retry_can_help_is_told_and_opens_no_window() {
    let fake = Fake::default();
    let (mut feed, mut news) = feed(&fake, vec![Status::not_found("no such workspace")]).await;
    feed.turn_to(&subject(""));
    assert_eq!(told(&mut news, 1).await, [format!("1: failed, {EXIT_REQUEST}")]);
    assert_eq!(fake.0.lock().unwrap().watches, ["realtime"]);
}

#[tokio::test]
async fn another_choice_ends_the_streams_of_the_one_before() {
    let fake = Fake::default();
    let (mut feed, mut news) = feed(&fake, Vec::new()).await;
    feed.turn_to(&subject(""));
    told(&mut news, 4).await;
    feed.turn_to(&subject("voice"));
    assert!(feed.is_current(2) && !feed.is_current(1));
    assert_eq!(told(&mut news, 1).await, ["2: 4 tasks"]);
}
