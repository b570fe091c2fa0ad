//! Connections: how many, how long, and what one may take.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use prost::Message;
use tasktally::api::proto::v1::{self, EventType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use super::assert_bound;
use crate::common::authority::{Authority, file};
use crate::common::calls::{Client, end_of, next, quiet_watch};
use crate::common::details::{assert_told, told};
use crate::common::events::{bare, created, now_ms, sid};
use crate::common::hostile::{
    END_HEADERS, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, call_fields, closed,
    connect_from, frame, next_frame, opening,
};
use crate::common::process::{Launch, Server};
use crate::common::raw::{REALTIME, WATCH, call, call_with, framed, open_body, whole_body};
use crate::common::{eventually, in_time};

const GET: &[u8] = b"GET /v1 HTTP/1.1\r\nhost: test\r\n\r\n";

fn workspace() -> String {
    sid("WS", 1)
}

async fn with_workspace(client: &Client) {
    client.accept(vec![bare(1, EventType::WorkspaceCreated, &workspace(), now_ms())]).await;
}

/// Whether the server answers HTTP on this connection; not where it closes it instead.
async fn is_served(stream: &mut TcpStream) -> bool {
    let ask = async {
        stream.write_all(GET).await?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await?;
        // The rest is no more than fits.
        let mut rest = [0; 4096];
        let _ = stream.read(&mut rest).await?;
        io::Result::Ok(&answer == b"HTTP/1.1")
    };
    in_time("an answer or the end of a connection", ask).await.unwrap_or(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let server = Launch::ephemeral().with(["--max-connections-per-peer", "3"]).start();
    let from = async |last: u8| connect_from([127, 0, 0, last], &server.address).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = from(2).await;
        assert!(is_served(&mut stream).await, "up to the bound");
        open.push(stream);
    }
    for _ in 0..50 {
        assert!(!is_served(&mut from(2).await).await, "one past the bound");
    }
    server.logs("max_connections_per_peer=3");
    assert_eq!(server.log.text().matches("as many connections as it may").count(), 1, "not a line for each");
    assert!(is_served(&mut from(3).await).await, "another address");
    for stream in &mut open {
        assert!(is_served(stream).await, "those that are there stay");
    }
    drop(open.pop());
    eventually("the seat is free again", async || is_served(&mut from(2).await).await.then_some(())).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_connections_and_one_more_waits() {
    let server = Launch::ephemeral().with(["--max-connections=3", "--max-connections-per-peer=3"]).start();
    let from = async |last: u8| connect_from([127, 0, 0, last], &server.address).await.unwrap();
    let mut open = Vec::new();
    for last in 2..5 {
        let mut stream = from(last).await;
        assert!(is_served(&mut stream).await, "up to the bound");
        open.push(stream);
    }
    let mut late = from(5).await;
    late.write_all(GET).await.unwrap();
    server.logs("max_connections=3");
    for _ in 0..20 {
        for stream in &mut open {
            assert!(is_served(stream).await);
        }
    }
    let early = late.try_read(&mut [0; 16]);
    assert!(early.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock), "one past the bound is served");
    drop(open.pop());
    let mut answer = [0; 8];
    in_time("its turn comes", late.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_have_so_many_bytes() {
    const MOST: usize = 4096;
    let server = Launch::ephemeral().with(["--max-header-bytes=4KiB"]).start();
    let client = Client::to(&server).await;
    with_workspace(&client).await;
    let ask = async |flood: usize| -> Result<bytes::Bytes, Status> {
        let request = v1::GetRealtimeRequest { workspace_sid: workspace(), ..Default::default() }.encode_to_vec();
        let flood = "x".repeat(flood);
        call_with(client.channel.clone(), REALTIME, &[("flood", &flood)], whole_body(framed(&request, false))).await
    };
    // The refusal tells how many bytes the others have.
    let status = ask(MOST).await.unwrap_err();
    let bound = ("max_header_bytes", MOST);
    assert_bound(&status, Code::ResourceExhausted, "HEADERS_TOO_LARGE", false, &[], bound);
    let counted = status.message().split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap();
    let free = MOST - (counted - MOST);
    ask(free).await.expect("at the bound");
    let status = ask(free + 1).await.expect_err("one past the bound");
    assert_bound(&status, Code::ResourceExhausted, "HEADERS_TOO_LARGE", false, &[], bound);
    client.realtime(&workspace(), "").await.expect("the connection goes on");
    server.stop();
}

/// An open connection, and the frames that the server begins with.
async fn opened(server: &Server) -> (TcpStream, Vec<Frame>) {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(&opening()).await.unwrap();
    let mut begun = Vec::new();
    // Its settings, the acknowledgement of ours, and what its window is more than usual, in any order.
    while begun.len() < 3 {
        begun.push(next_frame(&mut stream).await.expect("the server opens the connection"));
    }
    (stream, begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_calls_and_unread_bytes() {
    let server = Launch::ephemeral().with(["--max-streams=2", "--max-unread-bytes=256KiB"]).start();
    let (mut stream, begun) = opened(&server).await;
    let settings = begun.iter().find(|frame| frame.kind == SETTINGS).unwrap();
    let told = |id: u16| {
        let mut pairs = settings.payload.chunks(6).filter(|pair| pair[..2] == id.to_be_bytes());
        pairs.next().map(|pair| u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
    };
    assert_eq!((told(3), told(4)), (Some(2), Some(128 << 10)), "streams, and the window of each");
    let window = begun.iter().find(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 0).unwrap();
    assert_eq!(window.payload, ((256_u32 << 10) - 65_535).to_be_bytes(), "what the connection's is more than usual");

    // A client that does not hold back by itself.
    for id in [1, 3, 5] {
        stream.write_all(&frame(HEADERS, END_HEADERS, id, &call_fields(WATCH))).await.unwrap();
    }
    let refused = loop {
        let frame = next_frame(&mut stream).await.expect("the connection goes on");
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!((refused.stream, &refused.payload[..]), (5, &[0, 0, 0, 7][..]), "REFUSED_STREAM, and only the third");
    // Room again for one once another has gone.
    stream.write_all(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await.unwrap();
    stream.write_all(&frame(HEADERS, END_HEADERS, 7, &call_fields("/none.Such/Call"))).await.unwrap();
    let answered = loop {
        let frame = next_frame(&mut stream).await.expect("the connection goes on");
        if frame.stream == 7 {
            break frame;
        }
    };
    assert_eq!(answered.kind, HEADERS);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_so_much_time() {
    let server = Launch::ephemeral().with(["--body-timeout=500ms"]).start();
    let client = Client::to(&server).await;
    with_workspace(&client).await;
    // A stream of events takes as long as it likes.
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = client.ingest().stream_events(requests).await.unwrap().into_inner();
    for path in [REALTIME, WATCH, "/grpc.health.v1.Health/Watch"] {
        let (sender, body) = open_body();
        sender.send(framed(&[0; 100], false).slice(..50)).await.unwrap();
        let status = in_time("a slow call ends", call(client.channel.clone(), path, None, body)).await.unwrap_err();
        let told = told(&status);
        assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "REQUEST_TOO_SLOW"), "{path}");
        assert_eq!((told.metadata("limit"), told.metadata("limit_value")), ("body_timeout", "500ms"), "{path}");
        drop(sender);
    }
    sender.send(v1::IngestEventsRequest::default()).await.unwrap();
    assert!(in_time("an answer on a quiet stream", answers.message()).await.unwrap().is_some());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_silent_for_so_long() {
    let timeouts = ["--handshake-timeout=300ms", "--header-timeout=300ms", "--max-connection-idle=300ms"];
    let server = Launch::ephemeral().with(timeouts).start();
    let client = Client::to(&server).await;
    with_workspace(&client).await;
    let mut watch = client.watch(quiet_watch(&workspace())).await.unwrap();
    next(&mut watch).await;
    // No word, half a preface, half a head, and nothing after an answer.
    for words in [b"", &PREFACE[..10], b"GET / HTTP/1.1\r\n", GET] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(words).await.unwrap();
        closed(stream).await;
    }
    // HTTP/2 without a call is asked to finish.
    let (mut idle, _) = opened(&server).await;
    let asked = loop {
        let frame = next_frame(&mut idle).await.expect("it is asked before it is closed");
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(asked.payload[4..8], [0; 4], "NO_ERROR");
    client.accept(vec![created(2, &workspace(), now_ms(), "voice")]).await;
    next(&mut watch).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_no_ping_is_closed_and_one_that_does_is_not() {
    let server = Launch::ephemeral().with(["--keepalive-interval=100ms", "--keepalive-timeout=3s"]).start();
    let (mut mute, _) = opened(&server).await;
    let client = Client::to(&server).await;
    with_workspace(&client).await;
    let mut watch = client.watch(quiet_watch(&workspace())).await.unwrap();
    next(&mut watch).await;
    let mut pings = 0;
    while let Some(frame) = next_frame(&mut mute).await {
        pings += u32::from(frame.kind == PING);
    }
    assert!(pings > 0, "it was asked");
    client.accept(vec![created(2, &workspace(), now_ms(), "voice")]).await;
    next(&mut watch).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_an_age_at_which_its_watches_are_told_and_its_calls_go_on_for_a_grace() {
    let server = Launch::ephemeral().with(["--max-connection-age=1s", "--max-connection-grace=2s"]).start();
    let client = Client::to(&server).await;
    with_workspace(&client).await;
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut watch = client.watch(quiet_watch(&workspace())).await.unwrap();
    let mut answers = client.ingest().stream_events(requests).await.unwrap().into_inner();
    next(&mut watch).await;
    let status = end_of(&mut watch).await;
    let told = assert_told(&status, Code::Unavailable, "CONNECTION_TOO_OLD", true, &[]);
    assert_eq!((told.metadata("limit"), told.metadata("limit_value")), ("max_connection_age", "1s"));
    // Begun anew, over a new connection, while what was under way on the old one goes on. A call that meets the end of
    // the old one is not sent.
    let again = async || client.watch(quiet_watch(&workspace())).await.ok();
    let mut again = eventually("the watch is begun anew", again).await;
    next(&mut again).await;
    let events = vec![bare(2, EventType::WorkspaceUpdated, &workspace(), now_ms())];
    sender.send(v1::IngestEventsRequest { events }).await.unwrap();
    assert_eq!(in_time("an answer", answers.message()).await.unwrap().unwrap().accepted, 1);
    // And is cut in the end; what was not answered may be sent again.
    assert_ne!(end_of(&mut answers).await.code(), Code::Ok);
    server.logs("was asked to finish did not, and is cut");
    server.stop();
}

/// What a client says first, in TLS.
async fn hello(endpoint: impl FnOnce(u16) -> Endpoint) -> Vec<u8> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = endpoint(port);
    let client = tokio::spawn(async move { endpoint.connect().await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = vec![0; 16 << 10];
    let length = stream.read(&mut hello).await.unwrap();
    hello.truncate(length);
    client.abort();
    hello
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_handshakes_are_under_way_and_one_more_waits() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let (cert, key) = authority.server().write(dir.path(), "server");
    file(dir.path(), "ca.pem", &authority.pem());
    let files = [format!("--tls-cert={}", cert.display()), format!("--tls-key={}", key.display())];
    let server = Launch::ephemeral().with(files).with(["--max-handshakes=1", "--handshake-timeout=2s"]).start();
    let port: u16 = server.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let endpoint = |port: u16| {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
        Endpoint::from_shared(format!("https://127.0.0.1:{port}")).unwrap().tls_config(tls).unwrap()
    };
    assert!(Client::at(endpoint(port)).await.health_of("").await.is_ok(), "at the bound");
    let mut stalled = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    stalled.write_all(&hello(endpoint).await).await.unwrap();
    // The server's part of the handshake: the place is taken, and the client says no more.
    stalled.read_exact(&mut [0; 5]).await.unwrap();
    // Begun clearly later: its wait counts as its own time, which must not end with the first one's.
    let late = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        Client::at(endpoint(port)).await.health_of("").await
    };
    tokio::select! {
        biased;
        () = closed(stalled) => {}
        _ = late => panic!("one past the bound has not waited"),
    }
    let after = in_time("its place is free", Client::at(endpoint(port))).await;
    assert!(after.health_of("").await.is_ok());
    server.stop();
}
