//! How long connections and request bodies last.
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const IDLE: Duration = Duration::from_secs(600);

fn unbounded() -> Connections {
    Connections { max_idle: Duration::ZERO, max_age: Duration::ZERO, ..Connections::default() }
}

/// Whether the connection of a client ends within this time; and after how long.
async fn ended(client: Client, within: Duration) -> Option<Duration> {
    let start = Instant::now();
    timeout(within, client.connection).await.ok().map(|_| start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_calls_is_asked_to_finish_at_the_bound() {
    let server = Server::bounded(router(Routes::default()), Connections { max_idle: IDLE, ..unbounded() });
    // One that never called, and one whose last call was a while ago.
    let silent = ended(server.client().await, 2 * IDLE).await.expect("asked to finish");
    assert!((IDLE..IDLE + Duration::from_secs(1)).contains(&silent), "{silent:?}");
    let mut client = server.client().await;
    tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
    assert!(client.get("/").await.is_ok());
    let since = ended(client, 2 * IDLE).await.expect("asked to finish");
    assert!((IDLE..IDLE + Duration::from_secs(1)).contains(&since), "{since:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_call_does_not_idle() {
    let (router, mut begun, _gone) = hanging();
    let server = Server::bounded(router, Connections { max_idle: IDLE, ..unbounded() });
    let mut client = server.client().await;
    let call = tokio::spawn(client.requests.send_request(grpc("/test.Test/Call", None, Body::empty())));
    begun.recv().await.unwrap();
    tokio::time::sleep(10 * IDLE).await;
    assert!(client.get("/").await.is_ok());
    call.abort();
    assert!(ended(client, 2 * IDLE).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_takes_no_new_calls_and_cuts_none() {
    let (finish, finished) = tokio::sync::watch::channel(false);
    let router = answering(move |_| {
        let mut finished = finished.clone();
        async move {
            // As long as a watch: until the test says so.
            let _ = finished.wait_for(|is_finished| *is_finished).await;
            unary()
        }
    });
    let connections = Connections { max_age: HOUR, max_grace: 200 * HOUR, ..unbounded() };
    let server = Server::bounded(router, connections);
    let mut client = server.client().await;
    let call = tokio::spawn(client.requests.send_request(grpc("/test.Test/Call", None, Body::empty())));
    tokio::time::sleep(HOUR.mul_f64(0.89)).await;
    assert!(client.get("/").await.is_ok(), "nine tenths are sure");
    tokio::time::sleep(HOUR.mul_f64(0.12)).await;
    assert!(client.get("/").await.is_err(), "a new call goes over a new connection");
    tokio::time::sleep(100 * HOUR).await;
    assert!(!call.is_finished());
    finish.send(true).unwrap();
    let answer = read(call.await.unwrap().unwrap()).await.unwrap();
    assert_eq!(answer.status().code(), tonic::Code::Ok);
    assert!(ended(client, Duration::from_secs(1)).await.is_some(), "it ends with its last call");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_an_old_connection_is_cut_after_its_grace() {
    let (router, mut begun, gone) = hanging();
    let server = Server::bounded(router, Connections { max_age: HOUR / 2, max_grace: IDLE, ..unbounded() });
    let mut client = server.client().await;
    let start = Instant::now();
    let call = tokio::spawn(client.requests.send_request(grpc("/test.Test/Call", None, Body::empty())));
    begun.recv().await.unwrap();
    gone.await;
    let age = start.elapsed() - IDLE;
    assert!((HOUR.mul_f64(0.45)..=HOUR / 2 + Duration::from_millis(2)).contains(&age), "{age:?}");
    assert!(call.await.unwrap().is_err());
    let (outcome, _) = server.stop().await;
    assert_eq!((outcome.accepted, outcome.cut), (1, 0), "not by the shutdown");
}

#[tokio::test(start_paused = true)]
async fn streams_that_last_are_told_that_their_connection_is_too_old() {
    let router = answering(|_| async { streaming(tokio_stream::once(data(b"state")).chain(tokio_stream::pending())) });
    let connections = Connections { max_age: HOUR, ..unbounded() };
    let settings = Settings { connections, drained: |path| path == "/test.Test/Call", ..Settings::default() };
    let server = Server::with(router, settings);
    let mut client = server.client().await;
    let watch = client.call(None).await.unwrap();
    let answer = timeout(HOUR, read(watch)).await.expect("it is told in time").unwrap();
    assert_eq!(answer.data, ["state"]);
    assert_eq!((answer.status().code(), answer.reason().as_str()), (tonic::Code::Unavailable, "CONNECTION_TOO_OLD"));
    assert!(answer.status().get_details_retry_info().is_some());
    assert!(ended(client, Duration::from_secs(1)).await.is_some(), "it ends with its last call");
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_moment_do_not_leave_in_one() {
    let server = Server::bounded(router(Routes::default()), Connections { max_age: HOUR, ..unbounded() });
    let mut ends = tokio::task::JoinSet::new();
    for _ in 0..50 {
        ends.spawn(ended(server.client().await, 2 * HOUR));
    }
    let ages = ends.join_all().await.into_iter().map(|age| age.expect("asked to finish")).collect::<Vec<_>>();
    let (first, last) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
    assert!(*first >= HOUR.mul_f64(0.9) && *last <= HOUR + Duration::from_secs(1), "{first:?} to {last:?}");
    // Fifty of a uniform tenth lie within a twentieth once in 2⁴³.
    assert!(*last - *first > HOUR.mul_f64(0.05), "{first:?} to {last:?}");
}

#[tokio::test(start_paused = true)]
async fn without_bounds_a_connection_lasts() {
    let server = Server::bounded(router(Routes::default()), unbounded());
    let mut client = server.client().await;
    tokio::time::sleep(100 * HOUR).await;
    assert!(client.get("/").await.is_ok());
}

/// A router whose calls read their bodies whole, and answer with what the reading ended in.
fn reading() -> Router {
    answering(|request| async move {
        match request.into_body().collect().await {
            Ok(_) => unary(),
            Err(error) => refusal::trailers_only(Status::from_error(Box::new(error)), Body::empty()),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_whole_in_time_ends_its_call() {
    let bound = Connections::default().body_timeout;
    let server = Server::new(reading());
    let mut client = server.client().await;
    for (wait, is_late) in [(bound - Duration::from_millis(1), false), (bound + Duration::from_millis(1), true)] {
        let (sender, body) = mpsc::channel(1);
        let body = Body::from_stream(ReceiverStream::new(body).map(Ok::<Bytes, std::convert::Infallible>));
        let call = tokio::spawn(client.requests.send_request(grpc("/test.Test/Call", None, body)));
        sender.send(Bytes::from_static(b"half")).await.unwrap();
        tokio::time::sleep(wait).await;
        drop(sender);
        let answer = read(call.await.unwrap().unwrap()).await.unwrap();
        if is_late {
            assert_eq!(
                (answer.status().code(), answer.reason().as_str()),
                (tonic::Code::ResourceExhausted, "REQUEST_TOO_SLOW")
            );
        } else {
            assert_eq!(answer.status().code(), tonic::Code::Ok);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_lasts_by_its_nature_has_no_bound() {
    let connections = unbounded();
    let settings = Settings { connections, lasting: |path| path == "/test.Test/Call", ..Settings::default() };
    let server = Server::with(reading(), settings);
    let mut client = server.client().await;
    let (sender, body) = mpsc::channel::<Bytes>(1);
    let body = Body::from_stream(ReceiverStream::new(body).map(Ok::<Bytes, std::convert::Infallible>));
    let call = tokio::spawn(client.requests.send_request(grpc("/test.Test/Call", None, body)));
    tokio::time::sleep(100 * HOUR).await;
    drop(sender);
    assert_eq!(read(call.await.unwrap().unwrap()).await.unwrap().status().code(), tonic::Code::Ok);
}
