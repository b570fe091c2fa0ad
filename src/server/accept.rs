//! Where connections come from, and what to do when none can be taken.
use super::peer::Peer;
use std::{future::Future, io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// The first wait after an accept that failed for want of something, doubled up to the last: a full file table frees in
/// milliseconds or in minutes, and asking without a wait would take a core from the very work that frees it.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A source of byte streams that speak HTTP. The listener is one; a TLS acceptor in front of it, and tests, are others.
/// A stream that still has a handshake before it does it in its reads and writes, so that nobody waits for it in
/// `accept`, and the connection's own bounds hold for it.
pub trait Accept: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next stream and its peer. Dropping the future loses no stream.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // Answers are small and pushed as they come; Nagle's algorithm would hold each for the peer's delayed
        // acknowledgement. A socket that refuses is closing, and says so on its first read.
        let _ = stream.set_nodelay(true);
        Ok((stream, address.into()))
    }
}

/// The next stream, however long it takes. A connection that died in the queue is skipped; for any other trouble, such as
/// a full file table, it waits and tries again: it is the machine's trouble, it passes, and open connections go on.
pub async fn next<A: Accept>(acceptor: &mut A) -> (A::Stream, Peer) {
    let mut wait = FIRST_WAIT;
    let mut failures = 0_u64;
    loop {
        match acceptor.accept().await {
            Ok(accepted) => {
                if failures > 0 {
                    tracing::info!(failures, "connections are accepted again");
                }
                return accepted;
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "no connection can be accepted; trying again, at most each second");
                }
                failures += 1;
                sleep(wait).await;
                wait = (wait * 2).min(LAST_WAIT);
            }
        }
    }
}

/// Whether the failure is that of a connection which broke before it was taken, rather than the listener's or the
/// machine's. accept(2) reports these on the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::VecDeque, net::SocketAddr};
    use tokio::{
        io::{DuplexStream, duplex},
        time::Instant,
    };

    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ECONNABORTED: i32 = 103;

    /// Fails with each error number in turn, then accepts.
    struct Failing(VecDeque<i32>, u32);

    impl Accept for Failing {
        type Stream = DuplexStream;

        async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
            self.1 += 1;
            match self.0.pop_front() {
                Some(number) => Err(io::Error::from_raw_os_error(number)),
                None => Ok((duplex(1).0, SocketAddr::from(([127, 0, 0, 1], 1)).into())),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_file_table_is_asked_ever_less_often() {
        let begun = Instant::now();
        let mut acceptor = Failing([EMFILE, ENFILE].into_iter().cycle().take(10).collect(), 0);
        next(&mut acceptor).await;
        // 10, 20, … 640 ms, then a second each: seven doublings and three full waits.
        assert_eq!((acceptor.1, begun.elapsed()), (11, Duration::from_millis(1270 + 3000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_stays_full_is_asked_once_a_second() {
        let mut acceptor = Failing(std::iter::repeat_n(EMFILE, 1000).collect(), 0);
        let minute = tokio::time::timeout(Duration::from_secs(60), next(&mut acceptor)).await;
        assert!(minute.is_err());
        assert!((60..=70).contains(&acceptor.1), "{} times in a minute", acceptor.1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_died_in_the_queue_costs_no_wait() {
        let begun = Instant::now();
        let mut acceptor = Failing(std::iter::repeat_n(ECONNABORTED, 100).collect(), 0);
        next(&mut acceptor).await;
        assert_eq!((acceptor.1, begun.elapsed()), (101, Duration::ZERO));
    }
}
