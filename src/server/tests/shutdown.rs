use super::*;
use tokio::io::AsyncWriteExt;

const NONE_CUT: (u64, Duration) = (0, Duration::ZERO);
const ONE_CUT: (u64, Duration) = (1, BOUND);

async fn stop(server: Server) -> (u64, Duration) {
    let (outcome, elapsed) = server.stop().await;
    (outcome.cut, elapsed)
}

#[tokio::test(start_paused = true)]
async fn a_server_without_connections_stops_at_once() {
    let server = Server::new(router(Routes::default()));
    tokio::task::yield_now().await;
    assert_eq!(stop(server).await, NONE_CUT);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_asked_to_go_and_goes() {
    let server = Server::new(router(Routes::default()));
    let mut client = server.client().await;
    client.get("/").await.unwrap();
    assert_eq!(stop(server).await, NONE_CUT);
    client.connection.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_does_not_hold_a_shutdown() {
    let server = Server::new(router(Routes::default()));
    let _silent = server.connect();
    // A call on another connection, so that both have been accepted.
    server.client().await.get("/").await.unwrap();
    assert_eq!(stop(server).await, NONE_CUT);
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_stays_mute_is_cut_at_the_bound() {
    let server = Server::new(router(Routes::default()));
    let mut mute = server.connect();
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    server.client().await.get("/").await.unwrap();
    assert_eq!(stop(server).await, ONE_CUT);
}

#[tokio::test(start_paused = true)]
async fn half_sent_headers_hold_a_shutdown_no_longer_than_their_own_bound() {
    let server = Server::new(router(Routes::default()));
    let mut half_sent = server.connect();
    half_sent.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    server.client().await.get("/").await.unwrap();
    let (cut, elapsed) = stop(server).await;
    assert_eq!(cut, 0);
    assert!(elapsed <= Connections::default().header_read_timeout, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_http_1_body_that_never_ends_is_cut_at_the_bound() {
    let (router, mut begun, gone) = hanging();
    let server = Server::new(router);
    let mut half_sent = server.connect();
    half_sent.write_all(b"POST /plain HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    begun.recv().await.unwrap();
    assert_eq!(stop(server).await, ONE_CUT);
    assert_eq!(timeout(Duration::ZERO, gone).await, Ok(()), "the handler outlived the server");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_never_ends_is_cut_at_the_bound() {
    let (begin, mut begun) = mpsc::unbounded_channel();
    let server = Server::new(answering(move |request| {
        let begin = begin.clone();
        async move {
            begin.send(()).unwrap();
            request.into_body().collect().await.unwrap();
            unary()
        }
    }));
    let mut client = server.client().await;
    let (_more, frames) = mpsc::channel::<Frame<Bytes>>(1);
    let body = Body::new(StreamBody::new(ReceiverStream::new(frames).map(Ok::<_, std::convert::Infallible>)));
    let call = tokio::spawn(async move { client.send(grpc("/test.Test/Call", None, body)).await });
    begun.recv().await.unwrap();
    assert_eq!(stop(server).await, ONE_CUT);
    call.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_cut_at_the_bound_and_its_handler_is_gone_by_then() {
    let (router, mut begun, gone) = hanging();
    let server = Server::new(router);
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.call(None).await });
    begun.recv().await.unwrap();
    assert_eq!(stop(server).await, ONE_CUT);
    assert_eq!(timeout(Duration::ZERO, gone).await, Ok(()), "the handler outlived the server");
    call.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_is_cut_at_the_bound() {
    let (router, gone) = endless();
    let server = Server::new(router);
    let mut client = server.client_with_window(64 << 10).await;
    let _unread = client.call(None).await.unwrap();
    assert_eq!(stop(server).await, ONE_CUT);
    assert_eq!(timeout(Duration::ZERO, gone).await, Ok(()), "the stream outlived the server");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_finishes_and_new_connections_find_nobody() {
    let (begin, mut begun) = mpsc::unbounded_channel();
    let server = Server::new(answering(move |_| {
        let begin = begin.clone();
        async move {
            begin.send(()).unwrap();
            tokio::time::sleep(Duration::from_secs(7)).await;
            unary()
        }
    }));
    let mut client = server.client().await;
    let connect = server.connect.clone();
    let call = tokio::spawn(async move { read(client.call(None).await.unwrap()).await.unwrap() });
    begun.recv().await.unwrap();
    assert_eq!(stop(server).await, (0, Duration::from_secs(7)));
    assert_eq!(call.await.unwrap().status().code(), tonic::Code::Ok);
    assert!(connect.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_server_cuts_everything() {
    let (router, mut begun, gone) = hanging();
    let server = Server::new(router);
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.call(None).await });
    begun.recv().await.unwrap();
    server.outcome.abort();
    gone.await;
    call.await.unwrap().unwrap_err();
}

/// Takes its time to be dropped, as what flushes or frees a lot does.
struct Slow(Arc<AtomicU64>);

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(100));
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_call_is_gone_when_the_server_is_even_if_it_goes_slowly() {
    let (begin, mut begun) = mpsc::unbounded_channel();
    let dropped = Arc::new(AtomicU64::new(0));
    let drops = dropped.clone();
    let router = answering(move |_| {
        let (begin, slow) = (begin.clone(), Slow(drops.clone()));
        async move {
            let _slow = slow;
            begin.send(()).unwrap();
            pending().await
        }
    });
    let (connect, connected) = mpsc::unbounded_channel();
    let (shutdown, bound) = (CancellationToken::new(), Duration::from_millis(10));
    let outcome = tokio::spawn(serve(Memory(connected), router, Settings::default(), shutdown.clone(), bound));
    let server = Server { connect, shutdown, outcome };
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.call(None).await });
    begun.recv().await.unwrap();
    let (outcome, _) = server.stop().await;
    // Before the client is waited for, which would give the handler time.
    assert_eq!((outcome.cut, dropped.load(Ordering::SeqCst)), (1, 1));
    call.await.unwrap().unwrap_err();
}
