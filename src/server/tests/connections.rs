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
async fn an_http_2_peer_that_answers_pings_may_idle() {
    let server = Server::new(router(Routes::default()));
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
    let connections = Connections { max_connections: 2, ..Connections::default() };
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
async fn headers_above_the_bound_are_refused() {
    let server = Server::new(answering(|_| async { unary() }));
    for (bytes, fits) in [(15 << 10, true), (17 << 10, false)] {
        let mut client = server.client().await;
        let mut request = grpc("/test.Test/Call", None, Body::empty());
        request.headers_mut().insert("flood", "x".repeat(bytes).parse().unwrap());
        let answer = client.send(request).await;
        assert_eq!(answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::OK), fits, "{answer:?}");
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
