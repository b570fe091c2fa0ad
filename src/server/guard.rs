//! A connection that cannot wait for ever on its peer.
//!
//! hyper bounds HTTP/1 headers and pings HTTP/2 peers, and leaves two gaps: before the first bytes tell which of the two a
//! connection speaks there is no timer at all, and a peer that reads nothing from its socket blocks the very write that
//! would close the connection. Both are bounded here, under hyper; a TLS stream placed inside is bounded with them, its
//! handshake included. And once the peer speaks HTTP/2, the frames that it sends are counted ([`super::frames`]).
use super::frames::{Allowance, Frames};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What a client that speaks HTTP/2 sends first; the first byte that differs makes it HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A byte stream that fails with `TimedOut` when its peer does not say within a bound what it speaks, or takes no byte of
/// a waiting write for a bound, and with `InvalidData` when it floods us with frames that ask for nothing.
///
/// It says that it has vectored writes only once something was written. A codec asks when it is made, to decide from which
/// size on a piece is sent from where it lies, with a system call of its own; told no, h2 puts answers of up to 1 KiB, not
/// just of 256 bytes, one behind the other, and HTTP/1 puts a body behind its head. It asks again at each write, so that
/// what is larger still goes out together with its frame's head.
pub struct Guarded<T> {
    io: T,
    preface: Preface,
    allowance: Allowance,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    has_written: bool,
}

enum Preface {
    /// `seen` bytes equal to the preface's have come, fewer than all of them.
    Awaited {
        seen: usize,
        until: Pin<Box<Sleep>>,
    },
    Http1,
    Http2(Box<Frames>),
}

impl<T> Guarded<T> {
    /// `preface`: how long the first bytes may take. `stall`: how long a write may make no progress. `allowance`: for
    /// frames that ask for nothing.
    pub fn new(io: T, preface: Duration, stall: Duration, allowance: Allowance) -> Self {
        let preface = Preface::Awaited { seen: 0, until: Box::pin(sleep(preface)) };
        Self { io, preface, allowance, stall, stalled: None, has_written: false }
    }

    /// What came of a write.
    fn written(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.has_written = true;
        if let (Poll::Ready(Ok(bytes)), Preface::Http2(frames)) = (&polled, &mut self.preface) {
            frames.sent(*bytes);
        }
        self.or_stalled(cx, polled)
    }

    /// Passes `polled` on, unless it has been pending for the whole of `stall`.
    fn or_stalled<R>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(timed_out("the peer stopped reading")))
    }
}

impl Preface {
    /// Follows what has come. Answers whether the peer is within its allowance.
    fn learn(&mut self, bytes: &[u8], allowance: Allowance) -> bool {
        let seen = match self {
            Self::Awaited { seen, .. } => seen,
            Self::Http1 => return true,
            Self::Http2(frames) => return frames.receive(bytes),
        };
        let rest = &PREFACE[*seen..];
        let (head, frames) = bytes.split_at(rest.len().min(bytes.len()));
        // No bytes is the end of the stream, which hyper treats as HTTP/1.
        if bytes.is_empty() || !rest.starts_with(head) {
            *self = Self::Http1;
            return true;
        }
        if head.len() < rest.len() {
            *seen += head.len();
            return true;
        }
        let mut followed = Box::new(Frames::new(allowance));
        let is_within = followed.receive(frames);
        *self = Self::Http2(followed);
        is_within
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Awaited { until, .. } => until.as_mut().poll(cx).is_ready(),
            Self::Http1 | Self::Http2(_) => false,
        }
    }
}

fn timed_out(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Checked before the read, so that one byte now and then does not extend the bound.
        if this.preface.is_overdue(cx) {
            return Poll::Ready(Err(timed_out("the peer did not begin to speak HTTP")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        if !this.preface.learn(&buf.filled()[before..], this.allowance) {
            let why = "the peer sent too many frames that ask for nothing";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.has_written && self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.or_stalled(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.or_stalled(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    const PREFACE_BOUND: Duration = Duration::from_secs(10);
    const STALL_BOUND: Duration = Duration::from_secs(30);

    fn guarded<T>(io: T) -> Guarded<T> {
        Guarded::new(io, PREFACE_BOUND, STALL_BOUND, Allowance::of(10))
    }

    /// A guard that does not guard must fail its test rather than hang it.
    async fn bounded<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::time::timeout(Duration::from_secs(3600), io).await.expect("waited for ever")
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up() {
        let (_peer, io) = duplex(64);
        let begun = Instant::now();
        let error = bounded(guarded(io).read_u8()).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickled_preface_does_not_extend_the_bound() {
        let (mut peer, io) = duplex(64);
        let mut io = guarded(io);
        let begun = Instant::now();
        for byte in &PREFACE[..4] {
            peer.write_u8(*byte).await.unwrap();
            assert_eq!(io.read_u8().await.unwrap(), *byte);
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        let error = bounded(io.read_u8()).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_first_telling_bytes_reads_are_hypers_to_bound() {
        for first in [PREFACE, b"GET", b"PRI * HTTP/1.1"] {
            let (mut peer, io) = duplex(64);
            let mut io = guarded(io);
            peer.write_all(first).await.unwrap();
            io.read_exact(&mut vec![0; first.len()]).await.unwrap();
            let silence = tokio::time::timeout(Duration::from_secs(3600), io.read_u8()).await;
            assert!(silence.is_err(), "{first:?}: {silence:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_from_the_end_of_the_preface_on_and_in_http_2_alone() {
        let ping = b"\0\0\x08\x06\0\0\0\0\0pingping";
        for cut in [1, 23, 24, 30, 500] {
            let (mut peer, io) = duplex(1 << 10);
            let mut io = guarded(io);
            let stream = [PREFACE, &ping.repeat(10)].concat();
            for piece in stream.chunks(cut) {
                peer.write_all(piece).await.unwrap();
                io.read_exact(&mut vec![0; piece.len()]).await.unwrap();
            }
            peer.write_all(ping).await.unwrap();
            let error = bounded(io.read_exact(&mut [0; 17])).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "pieces of {cut}");
        }
        let (mut peer, io) = duplex(1 << 10);
        let mut io = guarded(io);
        let upload = [b"PUT / HTTP/1.1", &ping.repeat(40)[..]].concat();
        peer.write_all(&upload).await.unwrap();
        assert!(bounded(io.read_exact(&mut vec![0; upload.len()])).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_no_byte_is_given_up_and_one_that_takes_some_is_not() {
        let (mut peer, io) = duplex(8);
        let mut io = guarded(io);
        let begun = Instant::now();
        io.write_all(&[0; 8]).await.unwrap();
        let slow = tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                peer.read_u8().await.unwrap();
            }
            peer
        });
        let error = bounded(io.write_all(&[0; 9])).await.unwrap_err();
        let _peer = slow.await.unwrap();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 3 * 29 + 30));
    }
}
