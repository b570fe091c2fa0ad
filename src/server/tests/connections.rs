use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Reads until the server closes; returns after how long it did.
async fn closed(mut connection: DuplexStream) -> Duration {
    let start = Instant::now();
    // An error is a close too: of a connection with something unread.
    let _ = timeout(Duration::from_secs(3600), connection.read_to_end(&mut Vec::new())).await.expect("still open");
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let server = Server::new(router(Routes::default()));
    assert_eq!(closed(server.connect()).await, Connections::default().preface_timeout);
}

#[tokio::test(start_paused = true)]
async fn half_sent_headers_and_idle_http_1_connections_are_closed() {
    let bound = Connections::default().header_read_timeout;
    let server = Server::new(router(Routes::default()));
    let mut half_sent = server.connect();
    half_sent.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    assert_eq!(closed(half_sent).await, bound);

    let mut idle = server.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    assert_eq!(closed(idle).await, bound);
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_answers_no_ping_is_closed() {
    let server = Server::new(router(Routes::default()));
    let mut mute = server.connect();
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let Connections { keep_alive_interval, keep_alive_timeout, .. } = Connections::default();
    assert_eq!(closed(mute).await, keep_alive_interval + keep_alive_timeout);
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_answers_pings_may_be_silent() {
    let connections = Connections { max_idle: Duration::ZERO, ..Connections::default() };
    let server = Server::bounded(router(Routes::default()), connections);
    let mut client = server.client().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(client.get("/").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_from_its_socket_is_closed() {
    let (router, gone) = endless();
    let server = Server::new(router);
    let mut connection = server.connect();
    connection.write_all(b"GET /plain HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let start = Instant::now();
    gone.await;
    assert_eq!(start.elapsed(), Connections::default().write_stall_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_connection_above_the_bound_waits_for_another_to_end() {
    let connections = Connections { max_connections: 2, max_idle: Duration::ZERO, ..Connections::default() };
    let server = Server::with(router(Routes::default()), Settings { connections, ..Settings::default() });
    let mut first = server.client().await;
    let mut second = server.client().await;
    assert!(first.get("/").await.is_ok() && second.get("/").await.is_ok());

    let mut third = server.client().await;
    let mut asked = Box::pin(third.get("/"));
    assert!(timeout(Duration::from_secs(3600), asked.as_mut()).await.is_err(), "served above the bound");
    assert!(second.get("/").await.is_ok());

    drop(first);
    assert_eq!(asked.await.unwrap().status(), StatusCode::NOT_FOUND);
    let (outcome, _) = server.stop().await;
    assert_eq!(outcome.accepted, 3);
}

#[tokio::test(start_paused = true)]
async fn a_peer_above_its_bound_is_closed_and_others_are_served() {
    let connections = Connections { max_connections_per_peer: 2, ..Connections::default() };
    let server = Server::bounded(router(Routes::default()), connections);
    let mut first = server.client().await;
    let mut second = server.client().await;
    assert!(first.get("/").await.is_ok() && second.get("/").await.is_ok());
    assert_eq!(closed(server.connect()).await, Duration::ZERO, "one past the bound");

    // Another port is the same peer, another address is not.
    let same = SocketAddr::new(peer().ip(), 1);
    assert_eq!(closed(server.connect_from(same)).await, Duration::ZERO);
    let other = SocketAddr::from(([192, 0, 2, 8], peer().port()));
    assert_eq!(closed(server.connect_from(other)).await, Connections::default().preface_timeout);

    drop(first);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(closed(server.connect()).await, Connections::default().preface_timeout, "its seat is free");
    let (outcome, _) = server.stop().await;
    assert_eq!((outcome.accepted, outcome.refused), (4, 2));
}

/// The bytes of a gRPC request's header list before the field `flood`, as HTTP/2 counts them.
const OTHER_FIELDS: usize = 7 + 4 + 32 + 7 + 4 + 32 + 10 + 4 + 32 + 5 + 15 + 32 + 12 + 16 + 32 + 14 + 1 + 32;

#[tokio::test(start_paused = true)]
async fn headers_are_taken_up_to_the_bound_and_refused_one_byte_past_it() {
    let connections = Connections { max_header_bytes: 8192, ..Connections::default() };
    let server = Server::bounded(answering(|_| async { unary() }), connections);
    let most = 8192 - OTHER_FIELDS - "flood".len() - 32;
    let mut client = server.client().await;
    let mut send = async |bytes: usize| {
        let mut request = grpc("/test.Test/Call", None, Body::empty());
        request.headers_mut().insert("flood", "x".repeat(bytes).parse().unwrap());
        client.send(request).await
    };
    assert_eq!(read(send(most).await.unwrap()).await.unwrap().status().code(), tonic::Code::Ok);
    let refused = read(send(most + 1).await.unwrap()).await.unwrap();
    assert_eq!(
        (refused.status().code(), refused.reason().as_str()),
        (tonic::Code::ResourceExhausted, "HEADERS_TOO_LARGE")
    );
    let told = refused.status().get_details_error_info().unwrap().metadata;
    assert_eq!((told["limit"].as_str(), told["limit_value"].as_str()), ("max_header_bytes", "8192"));
    // What is far beyond it is not even read: the answer is the transport's own.
    assert_eq!(send(2 * most + 8192).await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);

    for (bytes, answer) in [(4 << 10, "HTTP/1.1 404"), (9 << 10, "HTTP/1.1 431"), (30 << 10, "HTTP/1.1 431")] {
        let mut connection = server.connect();
        let flood = "x".repeat(bytes);
        let head = format!("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nflood: {flood}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut said = String::new();
        let _ = connection.read_to_string(&mut said).await;
        assert!(said.starts_with(answer), "{bytes}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_above_the_bound_wait_for_another_to_end() {
    let connections = Connections { max_concurrent_streams: 2, ..Connections::default() };
    let (router, mut begun, _gone) = hanging();
    let server = Server::bounded(router, connections);
    let mut client = server.client().await;
    // The bound is in the server's first frame, which the client has seen after one answer.
    assert_eq!(client.get("/").await.unwrap().status(), StatusCode::NOT_FOUND);
    let mut calls = Vec::new();
    for _ in 0..3 {
        let request = client.requests.send_request(grpc("/test.Test/Call", None, Body::empty()));
        calls.push(tokio::spawn(request));
    }
    begun.recv().await.unwrap();
    begun.recv().await.unwrap();
    assert!(timeout(Duration::from_secs(60), begun.recv()).await.is_err(), "a third call has begun");
    for call in &calls[..2] {
        call.abort();
    }
    assert!(timeout(Duration::from_secs(60), begun.recv()).await.is_ok(), "the third call has its turn");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_ends_its_connection_at_the_allowance() {
    let connections = Connections { max_control_frames: 10, max_concurrent_streams: 1, ..Connections::default() };
    let server = Server::bounded(router(Routes::default()), connections);
    for (pings, is_cut) in [(9, false), (10, true)] {
        let mut connection = server.connect();
        // The settings are a frame, too.
        let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let pings = b"\0\0\x08\x06\0\0\0\0\0pingping".repeat(pings);
        connection.write_all(&[opening, &pings[..]].concat()).await.unwrap();
        let Connections { keep_alive_interval, .. } = Connections::default();
        assert_eq!(closed(connection).await < keep_alive_interval, is_cut);
    }
}

#[tokio::test]
async fn tcp_connections_do_not_delay_small_answers() {
    let mut listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = Accept::accept(&mut listener).await.unwrap();
    assert!(stream.nodelay().unwrap());
    assert_eq!(peer.address, client.local_addr().unwrap());
}
