//! Connections: many of them, and those that are held without being used.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Code;

use crate::common::calls::{Client, quiet_watch};
use crate::common::details::told;
use crate::common::events::sid;
use crate::common::hostile::{PREFACE, connect_from, opening};
use crate::common::process::Launch;
use crate::common::raw::{INGEST, call, framed, open_body};
use crate::common::{eventually, in_time, stalled};
use crate::{beginning, ending};

/// A server that loses its patience while a test can watch.
fn impatient() -> Launch {
    Launch::ephemeral().with([
        "--handshake-timeout=1s",
        "--header-timeout=1s",
        "--body-timeout=1s",
        "--write-stall-timeout=1s",
        "--keepalive-interval=1s",
        "--keepalive-timeout=1s",
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_trickle_do_not_extend_their_time() {
    let server = impatient().start();
    let begun = beginning(&server).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let trickle = async {
        // Ends with the connection: the kernel refuses to send to a peer that has closed.
        while stream.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    in_time("the server closes a connection of trickling headers", trickle).await;
    ending(server, begun, "trickled headers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_ends_its_call() {
    let server = impatient().start();
    let begun = beginning(&server).await;
    let client = Client::to(&server).await;
    let mut calls = Vec::new();
    for _ in 0..100 {
        let (sender, body) = open_body();
        sender.send(framed(&[0; 100], false).slice(..50)).await.unwrap();
        let call = tokio::spawn(call(client.channel.clone(), INGEST, None, body));
        calls.push((sender, call));
    }
    for (_sender, call) in calls {
        let status = in_time("a slow call ends", call).await.unwrap().unwrap_err();
        let told = told(&status);
        assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "REQUEST_TOO_SLOW"), "{status:?}");
        assert_eq!((told.metadata("limit"), told.metadata("limit_value")), ("body_timeout", "1s"));
    }
    drop(client);
    ending(server, begun, "slow bodies").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_reading_are_given_up() {
    let server = impatient().start();
    let begun = beginning(&server).await;
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let (client, ear) = stalled::client(&server).await;
        let mut watches = Vec::new();
        for _ in 0..50 {
            watches.push(client.watch(quiet_watch(&sid("WS", 0x00dd))).await.unwrap());
        }
        ear.set();
        deaf.push((client, watches));
    }
    begun.0.is_answered().await;
    // They hold on to their connections; the server does not.
    begun.1.is_all_again(&server).await;
    drop(deaf);
    ending(server, begun, "deaf readers").await;
}

/// How many connections the test of many opens; CI asks for 10,000.
fn many() -> usize {
    let asked = std::env::var("TASKTALLY_HOSTILE_CONNECTIONS").ok().map_or(2_000, |text| text.parse().unwrap());
    // Each is a file here and one there; what the machine allows, less what else is open.
    let files = rlimit::increase_nofile_limit(asked as u64 + 500).unwrap() as usize;
    asked.min(files.saturating_sub(500))
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_up_to_the_limit_on_open_files_leave_the_journal_its_own() {
    // The server has 400 files; 10,000 connections want one each, and most of them say nothing.
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(dir.path()).with(["--handshake-timeout=1s", "--checkpoint-interval=1s"]).files(400).start();
    server.logs("the limit on open files is low; it bounds the connections");
    let begun = beginning(&server).await;
    let many = many();
    let mut open = tokio::task::JoinSet::new();
    for number in 0..many {
        let address = server.address.clone();
        open.spawn(async move {
            // Those that find the queue full try for as long as the others need to be sent away.
            let source = [127, 0, 1, (number % 250) as u8];
            let mut stream = connect_from(source, &address).await.ok()?;
            let _ = stream.write_all(&PREFACE[..number % 24]).await;
            Some(stream)
        });
        if open.len() >= 600 {
            open.join_next().await;
        }
        if number % 500 == 0 {
            begun.0.is_answered().await;
        }
    }
    begun.0.is_answered().await;
    // One that comes new is served in its turn, while those before it hold what there is.
    let late = in_time("a new client is served", Client::to(&server)).await;
    assert!(in_time("its call is answered", late.health_of("")).await.is_ok());
    drop((late, open));
    assert!(!server.log.contains("no connection can be accepted"), "a file was left for each that was accepted");
    assert!(!server.log.contains("ERROR"), "the journal had its own; log:\n{}", server.log.text());
    ending(server, begun, &format!("{many} connections and 400 files")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_that_are_kept_alive_are_held_and_let_go() {
    let many = many().min(9_900);
    let server = Launch::ephemeral().with(["--keepalive-interval=1h"]).start();
    let begun = beginning(&server).await;
    let before = server.resident_bytes();
    let mut streams = Vec::new();
    for number in 0..many {
        let mut stream = connect_from([127, 0, 2, (number % 250) as u8], &server.address).await.unwrap();
        stream.write_all(&opening()).await.unwrap();
        streams.push(stream);
    }
    eventually("all are accepted", async || (server.files() >= many).then_some(())).await;
    begun.0.is_answered().await;
    let each = server.resident_bytes().saturating_sub(before) / many as u64;
    println!("{many} connections: {each} bytes of the server's memory each");
    assert!(each < 64 << 10, "{each} bytes a connection");
    drop(streams);
    ending(server, begun, &format!("{many} connections")).await;
}
