//! Clients that mean harm, byte by byte; a well-behaved one beside them; and what the server holds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tasktally::api::proto::v1::EventType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::calls::Client;
use super::events::{bare, now_ms, sid};
use super::process::Server;
use super::{HANG, eventually, in_time};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types of HTTP/2.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a client says first: the preface and empty settings.
pub fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A header field in HPACK, neither indexed nor compressed.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        hpack_length(text.len(), &mut bytes);
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn hpack_length(length: usize, bytes: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else { return bytes.push(length as u8) };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// The header block of a gRPC call.
pub fn call_fields(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A connection to the server from this loopback address.
pub async fn connect_from(source: [u8; 4], server: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(server.parse().unwrap()).await
}

/// Reads until the server closes; panics when it never does.
pub async fn closed(mut stream: TcpStream) {
    let end = async {
        let mut buffer = [0; 16 << 10];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    in_time("the server closes a connection", end).await;
}

/// What came of a flood.
#[derive(Debug)]
pub struct Flooded {
    /// Units sent until the server ended the connection; they are ahead of the server by what the sockets hold.
    pub units: u32,
    /// What the server said, the end of it.
    pub said: Vec<u8>,
}

impl Flooded {
    pub fn said(&self, text: &str) -> bool {
        self.said.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Sends units, by number, one after the other as fast as the server takes them, until it ends the connection; panics when
/// it takes `most` of them.
pub async fn flood(what: &str, server: &Server, mut unit: impl FnMut(u32) -> Vec<u8>, most: u32) -> Flooded {
    let stream = TcpStream::connect(&server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let is_over = Arc::new(AtomicBool::new(false));
    let there = is_over.clone();
    let reading = tokio::spawn(async move {
        let (mut said, mut buffer) = (Vec::new(), [0; 16 << 10]);
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            said.extend(&buffer[..read]);
            let old = said.len().saturating_sub(4 << 10);
            said.drain(..old);
        }
        there.store(true, Ordering::SeqCst);
        said
    });
    let cpu = server.cpu();
    let started = Instant::now();
    let mut units = 0;
    let mut pack = opening();
    while !is_over.load(Ordering::SeqCst) {
        assert!(units < most && started.elapsed() < HANG, "{what}: {units} units and no end");
        for _ in 0..256 {
            pack.extend(unit(units));
            units += 1;
        }
        // A server that has closed resets what comes after.
        if tokio::time::timeout(HANG, writer.write_all(&pack)).await.expect("the server reads or closes").is_err() {
            break;
        }
        pack.clear();
    }
    let said = in_time("the end of a flooded connection", reading).await.unwrap();
    let cpu = server.cpu() - cpu;
    println!("{what}: ended after {units} units, {:?}, {cpu:?} of the server's CPU", started.elapsed());
    Flooded { units, said }
}

/// A client that does what clients do, over one connection, while others do what they like.
pub struct Witness {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<Duration>,
}

impl Witness {
    pub async fn of(client: Client) -> Witness {
        let workspace = sid("WS", 0x00dd);
        client.accept(vec![bare(1, EventType::WorkspaceCreated, &workspace, now_ms())]).await;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (there, count) = (stop.clone(), answered.clone());
        let task = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            let mut number = 2;
            while !there.load(Ordering::SeqCst) {
                let started = Instant::now();
                let event = bare(number, EventType::WorkspaceUpdated, &workspace, now_ms());
                let revision = in_time("an ingest of the well-behaved client", client.accept(vec![event])).await;
                let read = in_time("a question of the well-behaved client", client.realtime(&workspace, "")).await;
                assert!(read.unwrap().revision >= revision);
                longest = longest.max(started.elapsed());
                count.fetch_add(1, Ordering::SeqCst);
                number += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            longest
        });
        let witness = Witness { stop, answered, task };
        witness.is_answered().await;
        witness
    }

    /// Waits until it has been answered twice more, which takes place after now.
    pub async fn is_answered(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("the well-behaved client is answered", async || {
            assert!(!self.task.is_finished(), "the well-behaved client was not answered");
            (self.answered.load(Ordering::SeqCst) >= before + 2).then_some(())
        })
        .await;
    }

    /// The end: every call was answered; tells the longest.
    pub async fn finish(self, what: &str) {
        self.stop.store(true, Ordering::SeqCst);
        let longest = self.task.await.expect("each call was answered");
        println!("{what}: the well-behaved client had {:?} answers, the slowest in {longest:?}", self.answered);
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    files: usize,
    threads: u64,
    resident_bytes: u64,
}

/// What memory may be left with the allocator after an attack.
const MEMORY_LEFT_BYTES: u64 = 128 << 20;

/// Threads for work that blocks; the runtime ends them when it likes.
const THREADS_LEFT: u64 = 4;

impl Held {
    pub fn by(server: &Server) -> Held {
        let (files, threads, resident_bytes) = (server.files(), server.threads(), server.resident_bytes());
        Held { files, threads, resident_bytes }
    }

    /// Waits until the server holds no more than it did.
    pub async fn is_all_again(self, server: &Server) {
        eventually("the server lets go of what it held", async || {
            let now = Held::by(server);
            let is_free = now.files <= self.files
                && now.threads <= self.threads + THREADS_LEFT
                && now.resident_bytes <= self.resident_bytes + MEMORY_LEFT_BYTES;
            if is_free {
                println!("before: {self:?}, after: {now:?}");
            }
            is_free.then_some(())
        })
        .await;
    }
}

/// A frame that the server sent.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The server's next frame; `None` at the end of the connection.
pub async fn next_frame(stream: &mut TcpStream) -> Option<Frame> {
    let read = async {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream: id, payload })
    };
    in_time("the server's next frame", read).await
}
