//! A stream that does its handshake in its reads and writes.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_rustls::{LazyConfigAcceptor, server};

use super::Counters;
use super::handshakes::Handshakes;
use crate::server::{Accept, Peer, PeerCertificate};

/// Accepts what another acceptor does, with TLS over it. Which certificate a connection sees is decided when its client
/// begins the handshake.
pub struct TlsAcceptor<A> {
    pub(super) inner: A,
    pub(super) config: watch::Receiver<Arc<ServerConfig>>,
    pub(super) handshakes: Handshakes,
    pub(super) counters: Arc<Counters>,
}

impl<A: Accept + Sync> Accept for TlsAcceptor<A> {
    type Stream = TlsStream<A::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Peer)> {
        let (io, Peer { address, .. }) = self.inner.accept().await?;
        let certificate = PeerCertificate::awaited();
        let handshake = Handshake {
            config: self.config.clone(),
            handshakes: self.handshakes.clone(),
            outcome: Reported { counters: self.counters.clone(), done: false },
            certificate: certificate.clone(),
            peer: address.ip(),
        };
        let stream = TlsStream { state: State::Handshake(Box::pin(handshake.run(io))) };
        Ok((stream, Peer { address, certificate }))
    }
}

/// A byte stream under TLS.
pub struct TlsStream<T> {
    state: State<T>,
}

type Handshaking<T> = Pin<Box<dyn Future<Output = io::Result<server::TlsStream<T>>> + Send>>;

enum State<T> {
    Handshake(Handshaking<T>),
    Open(Box<server::TlsStream<T>>),
    /// The handshake has failed, and what was wrong has been said.
    Failed,
}

struct Handshake {
    config: watch::Receiver<Arc<ServerConfig>>,
    handshakes: Handshakes,
    outcome: Reported,
    certificate: PeerCertificate,
    peer: IpAddr,
}

impl Handshake {
    async fn run<T: AsyncRead + AsyncWrite + Unpin>(mut self, io: T) -> io::Result<server::TlsStream<T>> {
        // Until the client has said hello there is nothing to compute, so that a silent one takes no place.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let _place = self.handshakes.place(self.peer).await;
        let config = self.config.borrow().clone();
        let stream = hello.into_stream(config).await?;
        if let Some([leaf, ..]) = stream.get_ref().1.peer_certificates() {
            self.certificate.learn(leaf);
        }
        self.outcome.done = true;
        Ok(stream)
    }
}

/// Counts the handshake's end, also one that a time-out brings.
struct Reported {
    counters: Arc<Counters>,
    done: bool,
}

impl Drop for Reported {
    fn drop(&mut self) {
        let counter = if self.done { &self.counters.handshakes_done } else { &self.counters.handshakes_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream<T> {
    /// The open stream, once the handshake is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut server::TlsStream<T>>>> {
        if let State::Handshake(handshake) = &mut self.state {
            self.state = match ready!(handshake.as_mut().poll(cx)) {
                Ok(stream) => State::Open(Box::new(stream)),
                Err(error) => {
                    self.state = State::Failed;
                    return Poll::Ready(Err(error));
                }
            };
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            State::Handshake(_) | State::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            // Nobody waits for the rest of a handshake whose connection is to end.
            State::Handshake(_) | State::Failed => {
                self.state = State::Failed;
                Poll::Ready(Ok(()))
            }
        }
    }
}
