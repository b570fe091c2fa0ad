//! A client whose socket can be told to read nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tower::service_fn;

use super::calls::Client;
use super::process::Server;

/// Tells a connection to stop reading.
#[derive(Clone, Default)]
pub struct Deaf(Arc<AtomicBool>);

impl Deaf {
    /// From here on not a byte is read from the socket; writing goes on.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Stalling {
    stream: TcpStream,
    deaf: Deaf,
}

impl AsyncRead for Stalling {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deaf.0.load(Ordering::SeqCst) {
            // Nobody will wake it: it stays so until it is dropped.
            let _: &Waker = cx.waker();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stalling {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A client over a connection that can be made deaf.
pub async fn client(server: &Server) -> (Client, Deaf) {
    client_at(server.address.clone()).await.expect("the server is reachable")
}

/// Likewise, to an address where there may be nobody.
pub async fn client_at(address: String) -> Result<(Client, Deaf), tonic::transport::Error> {
    let deaf = Deaf::default();
    let there = deaf.clone();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let connector = service_fn(move |_: http::Uri| {
        let (address, deaf) = (address.clone(), there.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            Ok::<_, io::Error>(TokioIo::new(Stalling { stream, deaf }))
        }
    });
    let channel = endpoint.connect_with_connector(connector).await?;
    Ok((Client { channel }, deaf))
}
