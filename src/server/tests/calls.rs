use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(start_paused = true)]
async fn an_unknown_method_is_unimplemented_and_an_unknown_path_not_found() {
    let server = Server::new(router(Routes::default()));
    let mut client = server.client().await;
    let answer = read(client.call(None).await.unwrap()).await.unwrap();
    assert!(answer.is_trailers_only(), "{answer:?}");
    assert_eq!(answer.status().code(), tonic::Code::Unimplemented);
    assert_eq!(client.get("/").await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn http_1_is_spoken_on_the_same_port() {
    let server = Server::new(router(Routes::default()));
    let mut connection = server.connect();
    connection.write_all(b"GET /nothing HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_request_knows_its_peer() {
    let server = Server::new(answering(|request| async move {
        let Peer { address: peer, .. } = request.extensions().get().cloned().unwrap();
        Response::new(Body::from(peer.to_string()))
    }));
    let answer = read(server.client().await.get("/plain").await.unwrap()).await.unwrap();
    assert_eq!(answer.data, [peer().to_string()]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_frees_what_its_call_held() {
    let (router, mut begun, gone) = hanging();
    let server = Server::new(router);
    let mut client = server.client().await;
    let call = tokio::spawn(async move {
        let _ = client.call(None).await;
    });
    begun.recv().await.unwrap();
    let start = Instant::now();
    call.abort();
    gone.await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}
