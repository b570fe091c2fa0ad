//! How much requests may take: memory, room, time.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::thread;

use super::sent::{CALLBACK, FORM, JSON, STREAM, assert_taken, form, post, post_form, post_json};
use crate::common::events::{created, now_ms, sid};
use crate::common::eventually_blocking;
use crate::common::process::{Launch, Server};
use crate::common::web::{connect, head_of};

/// A request that says how long its body is, and has sent this much of it.
fn begun(server: &Server, path: &str, kind: &str, length: usize, sent: &[u8]) -> TcpStream {
    let mut stream = connect(&server.address);
    let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\n{kind}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), sent].concat()).unwrap();
    stream
}

#[test]
fn bodies_are_charged_before_they_come_and_what_is_too_much_is_503_with_retry_after() {
    let server = Launch::ephemeral().with(["--max-ingest-bytes", "8MiB"]).start();
    // A body that does not come has its room, and of the other half small requests have a quarter.
    let held = begun(&server, STREAM, JSON, 4 << 20, b"[");
    let large = format!("[{}]", " ".repeat(7 << 19));
    let refused = eventually_blocking("the room is taken", || {
        let answer = post_json(&server.address, &[], &large);
        (answer.status != 200).then_some(answer)
    });
    let message = refused.problem(503, 20503);
    assert!(message.contains("max_ingest_bytes"), "{message}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    drop(held);
    eventually_blocking("the room is free again", || {
        (post_json(&server.address, &[], &large).status == 200).then_some(())
    });
}

/// Where each goes, as what, how it begins, what makes most of its bytes, how it ends, and what is answered.
const GIANTS: [(&str, &str, &str, &str, &str, u16); 6] = [
    (STREAM, JSON, "", "[", "", 400),
    (STREAM, JSON, "[", "0,", "", 400),
    (STREAM, JSON, "", "{\"a\":", "", 400),
    (STREAM, JSON, "", "{}\n", "", 400),
    (STREAM, JSON, "{\"data\":{\"payload\":{\"x\":[", "[],", "0]}}}", 200),
    (CALLBACK, FORM, "", "a&", "", 413),
];

#[test]
fn no_body_makes_the_server_allocate_beyond_its_limit() {
    let server = Launch::ephemeral().with(["--max-ingest-bytes", "16MiB"]).start();
    let event = form(&created(1, &sid("WS", 1), now_ms(), "voice"));
    assert_taken(&post_form(&server.address, &[], &event));
    let before = server.resident_bytes();
    let mut most = 0;
    for (path, kind, start, unit, end, status) in GIANTS {
        let repeated = unit.repeat(((4 << 20) - start.len() - end.len()) / unit.len());
        let body = [start, &repeated, end].concat();
        thread::scope(|scope| {
            let senders: Vec<_> = (0..12)
                .map(|_| {
                    scope.spawn(|| {
                        (0..3).map(|_| post(&server.address, path, &[kind], body.as_bytes()).status).collect()
                    })
                })
                .collect();
            let watched = scope.spawn(|| {
                let mut most = 0;
                while senders.iter().any(|sender| !sender.is_finished()) {
                    most = most.max(server.resident_bytes());
                    thread::yield_now();
                }
                (most, senders)
            });
            let (peak, senders) = watched.join().unwrap();
            most = most.max(peak);
            for answers in senders {
                let answers: Vec<u16> = answers.join().unwrap();
                assert!(answers.iter().all(|answer| [status, 503].contains(answer)), "{unit}: {answers:?}");
            }
        });
    }
    let grown = most.saturating_sub(before);
    println!("resident: {} MiB before, {} MiB more at most", before >> 20, grown >> 20);
    // The room for bodies, which grow by doubling, and what a body is decoded to, one at a time.
    assert!(grown < 3 * (16 << 20) + (64 << 20), "{} MiB", grown >> 20);
    assert_taken(&post_form(&server.address, &[], &event));
}

#[test]
fn a_body_that_does_not_come_to_its_end_is_given_up() {
    let server = Launch::ephemeral().start();
    let stream = begun(&server, CALLBACK, FORM, 1_000, b"Sid=");
    let (status, _) = head_of(&mut BufReader::new(stream));
    assert_eq!(status, 408);
}
