//! Hostile clients: whatever they do, a well-behaved one is answered throughout, and afterwards the server holds what it
//! held before. All of it goes to loopback, and is bounded in number and time.

mod common;
mod hostile {
    pub mod connections;
    pub mod messages;
}

use common::authority::{Authority, file};
use common::calls::Client;
use common::hostile::*;
use common::process::{Launch, Server};
use common::raw::{INGEST, REALTIME};
use common::{eventually, in_time};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// Above every bound on frames, and a few megabytes of any of them.
const FLOOD: u32 = 2_000_000;

/// The beginning of a ClientHello of 512 bytes.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// A server that logs what ended each connection.
fn watched() -> Server {
    Launch::ephemeral().with(["--log-level=info,tasktally::server=debug"]).start()
}

async fn beginning(server: &Server) -> (Witness, Held) {
    let witness = Witness::of(Client::to(server).await).await;
    (witness, Held::by(server))
}

async fn ending(mut server: Server, (witness, held): (Witness, Held), what: &str) {
    witness.is_answered().await;
    held.is_all_again(&server).await;
    witness.finish(what).await;
    server.assert_sound();
    server.stop();
}

/// Connections that say this, and then nothing.
async fn many_that_say(server: &Server, number: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..number {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stop_half_way_are_closed() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let beginnings: [&[u8]; 6] = [
        b"",
        &PREFACE[..10],
        b"GET / HTTP/1.1\r\nhost: te",
        b"GET / HTTP/1.1\r\nhost: test\r\n\r\n",
        // Behind these there is a ping without an answer.
        &opening(),
        &[opening(), frame(HEADERS, 0, 1, &call_fields(INGEST)[..20])].concat(),
    ];
    let mut streams = Vec::new();
    for beginning in beginnings {
        streams.extend(many_that_say(&server, 100, beginning).await);
        begun.0.is_answered().await;
    }
    for stream in streams {
        closed(stream).await;
    }
    ending(server, begun, "half-open connections").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_leave_others_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let (cert, key) = authority.server().write(dir.path(), "server");
    file(dir.path(), "ca.pem", &authority.pem());
    let files = [format!("--tls-cert={}", cert.display()), format!("--tls-key={}", key.display())];
    let server = Launch::ephemeral().with(files).start();
    let url = server.address.trim_start_matches("https://").to_owned();
    let endpoint = || {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
        Endpoint::from_shared(format!("https://{url}")).unwrap().tls_config(tls).unwrap()
    };
    let witness = Witness::of(Client::at(endpoint()).await).await;
    let begun = (witness, Held::by(&server));
    let mut streams = Vec::new();
    for words in [&b""[..], HALF_A_HELLO] {
        streams.extend(many_that_say(&server, 1_000, words).await);
        begun.0.is_answered().await;
    }
    // One that comes new goes through its own handshake beside them.
    let late = in_time("a new client is served", Client::at(endpoint())).await;
    assert!(in_time("its call is answered", late.health_of("")).await.is_ok());
    drop(late);
    for stream in streams {
        closed(stream).await;
    }
    ending(server, begun, "stalled handshakes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_leave_nothing_behind() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    for round in 0..500 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let words: [&[u8]; 3] = [b"", &opening(), HALF_A_HELLO];
        stream.write_all(words[round % 3]).await.unwrap();
        stream.set_zero_linger().unwrap();
    }
    ending(server, begun, "resets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_nothing_end_their_connection() {
    let server = watched();
    let begun = beginning(&server).await;
    let floods: [(&str, Vec<u8>); 6] = [
        ("pings", frame(PING, 0, 0, b"pingping")),
        ("answers to pings", frame(PING, 1, 0, b"pongpong")),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("window updates", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("frames of an unknown type", frame(0xbe, 0, 0, &[])),
    ];
    for (number, (what, unit)) in (1..).zip(floods) {
        // A window cannot grow beyond 2³¹, which would end the flood early for another reason.
        let flooded = flood(what, &server, |_| unit.clone(), FLOOD).await;
        eventually("the log says what ended it", async || {
            let ended = server.log.text().matches("the peer sent too many frames that ask for nothing").count();
            (ended >= number).then_some(())
        })
        .await;
        // Ahead of the server by what the sockets hold.
        assert!(flooded.units < FLOOD / 2, "{flooded:?}");
        begun.0.is_answered().await;
    }
    ending(server, begun, "control frames").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_reset_at_once_end_their_connection() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let fields = call_fields(REALTIME);
    let stream = |number: u32| 2 * number + 1;
    // All in one piece, as they come before the server has begun them, and each alone.
    let rapid = |number| {
        let reset = frame(RST_STREAM, 0, stream(number), &[0, 0, 0, 8]);
        [frame(HEADERS, END_HEADERS, stream(number), &fields), reset].concat()
    };
    let flooded = flood("calls reset at once", &server, rapid, FLOOD).await;
    // As h2 says it.
    server.logs("remotely-reset pending-accept streams reached limit");
    assert!(flooded.units < 100_000, "{flooded:?}");
    begun.0.is_answered().await;

    // A window of zero bytes more is an error of the stream, which the server itself resets.
    let provoked = |number| {
        let update = frame(WINDOW_UPDATE, 0, stream(number), &[0, 0, 0, 0]);
        [frame(HEADERS, END_HEADERS, stream(number), &fields), update].concat()
    };
    flood("calls that the server is made to reset", &server, provoked, FLOOD).await;
    ending(server, begun, "rapid resets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_data_without_end_or_substance_end_their_connection() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let fields = call_fields(INGEST);
    let open = frame(HEADERS, END_HEADERS, 1, &fields);

    let empty = frame(DATA, 0, 1, &[]);
    let data = flood("empty data", &server, |n| if n == 0 { open.clone() } else { empty.clone() }, FLOOD).await;
    assert!(data.said("too_many_data_frames"), "{data:?}");
    begun.0.is_answered().await;

    let unending = frame(HEADERS, 0, 1, &fields);
    let more = frame(CONTINUATION, 0, 1, &[]);
    flood("continuations", &server, |n| if n == 0 { unending.clone() } else { more.clone() }, FLOOD).await;
    begun.0.is_answered().await;

    let large = field("flood", &"x".repeat(8 << 10));
    let more = frame(CONTINUATION, 0, 1, &large);
    let large =
        flood("large continuations", &server, |n| if n == 0 { unending.clone() } else { more.clone() }, FLOOD).await;
    // Ahead of the server by what the sockets hold, and no more.
    assert!(large.units < 8_000, "{large:?}");
    ending(server, begun, "headers and data").await;
}
