//! What TaskRouter's JSON costs over HTTP/1, against a bare axum handler that gives a body of the same size.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::child::Service;
use super::figures::{ROUNDS, Table, median};
use super::load::measure;

const CALLS: usize = 20_000;
/// One call at a time on each: HTTP/1 knows no more.
const CONNECTIONS: usize = 32;

/// Serves bodies of the size that the path names, until it is killed.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("axum listens on {}", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|io| io.set_nodelay(true).expect("a socket"));
        axum::serve(listener, Router::new().route("/{bytes}", get(body))).await.expect("serve");
    });
}

async fn body(Path(bytes): Path<usize>) -> impl IntoResponse {
    ([("content-type", "application/json")], vec![b'x'; bytes])
}

pub async fn realtime(table: &Table, ours: &Service, workspace_sid: &str) {
    let bare = Service::bare_web();
    let path = format!("/v1/Workspaces/{workspace_sid}/RealTimeStatistics");
    let body_bytes = asked(&mut connected(ours.address).await, &request(&path)).await;
    let same = format!("/{body_bytes}");
    let (mut costs, mut bare_costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        costs.push(measure(ours, all_asked(ours.address, &path)).await);
        bare_costs.push(measure(&bare, all_asked(bare.address, &same)).await);
    }
    let calls = CALLS as f64;
    let [ours_us, bare_us] = [&costs, &bare_costs].map(|costs| median(costs.iter().map(|cost| cost.cpu_us / calls)));
    let [ours_rate, bare_rate] =
        [&costs, &bare_costs].map(|costs| median(costs.iter().map(|cost| calls / cost.seconds)));
    table.cpu(&format!("RealTimeStatistics, {body_bytes} bytes of JSON: CPU a call"), ours_us, bare_us);
    table.rate("RealTimeStatistics as JSON: calls", ours_rate, bare_rate);
}

async fn all_asked(address: SocketAddr, path: &str) {
    let request = request(path);
    let callers = (0..CONNECTIONS).map(|_| {
        let request = request.clone();
        tokio::spawn(async move {
            let mut connection = connected(address).await;
            for _ in 0..CALLS / CONNECTIONS {
                asked(&mut connection, &request).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller");
    }
}

async fn connected(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("connect");
    stream.set_nodelay(true).expect("a socket");
    BufReader::new(stream)
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n\r\n")
}

/// The size of the answer's body, which is read to its end.
async fn asked(connection: &mut BufReader<TcpStream>, request: &str) -> usize {
    connection.get_mut().write_all(request.as_bytes()).await.expect("a request");
    let (mut line, mut length) = (String::new(), None);
    connection.read_line(&mut line).await.expect("a status");
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    loop {
        line.clear();
        connection.read_line(&mut line).await.expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name == "content-length" {
            length = value.parse().ok();
        }
    }
    let length: usize = length.expect("a length");
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.expect("a body");
    length
}
