//! The room for connections: of all, and of each peer, so that none takes what is there for all.
use super::{
    Connections,
    accept::{self, Accept},
    peer::{Peer, network},
    traffic::Traffic,
};
use crate::measure;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// The least time between two log lines that callers can make us say as often as they like.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The room for connections, and what became of those that found none.
pub(super) struct Room {
    free: Arc<Semaphore>,
    most: usize,
    peers: Peers,
    traffic: Arc<Traffic>,
    said_full: Said,
    said_refused: Said,
}

/// What a connection takes of the room, until it is dropped.
pub(super) type Place = (OwnedSemaphorePermit, Seat);

impl Room {
    pub fn new(connections: &Connections, traffic: Arc<Traffic>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections.max_connections.min(Semaphore::MAX_PERMITS))),
            most: connections.max_connections,
            peers: Peers::new(connections.max_connections_per_peer),
            traffic,
            said_full: Said::default(),
            said_refused: Said::default(),
        }
    }

    /// The next connection, once there is a slot for it. Those of peers that have enough are closed on the way.
    pub async fn next<A: Accept>(&mut self, acceptor: &mut A) -> ((A::Stream, Peer), Place) {
        let slot = self.slot().await;
        loop {
            let (io, peer) = accept::next(acceptor).await;
            if let Some(seat) = self.peers.seat(peer.address.ip()) {
                return ((io, peer), (slot, seat));
            }
            drop(io);
            let refused = self.traffic.refused.fetch_add(1, Ordering::Relaxed) + 1;
            measure::refused_by("max_connections_per_peer");
            if self.said_refused.is_due(Instant::now()) {
                tracing::warn!(
                    peer = %peer.address,
                    max_connections_per_peer = self.peers.most,
                    refused_so_far = refused,
                    "a peer has as many connections as it may; new ones of it are closed"
                );
            }
        }
    }

    async fn slot(&mut self) -> OwnedSemaphorePermit {
        if self.free.available_permits() == 0 && self.said_full.is_due(Instant::now()) {
            tracing::warn!(max_connections = self.most, "all connections are taken; new ones wait until others end");
        }
        match self.free.clone().acquire_owned().await {
            Ok(slot) => slot,
            Err(closed) => unreachable!("nobody closes the semaphore of connections: {closed}"),
        }
    }
}

/// When something was last said that callers can make us say as often as they like.
#[derive(Default)]
pub(super) struct Said(Option<Instant>);

impl Said {
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// The open connections, by the network of their peers. Invariant: no entry is zero, so that the table is never larger
/// than the number of connections.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's seat; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    peers: Peers,
    network: IpAddr,
}

impl Peers {
    /// At most `most` connections for each.
    pub fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A seat for a connection from this address, if its network has one left.
    pub fn seat(&self, address: IpAddr) -> Option<Seat> {
        let network = network(address);
        let mut open = self.open();
        let taken = open.get(&network).copied().unwrap_or(0);
        if taken >= self.most {
            return None;
        }
        open.insert(network, taken + 1);
        Some(Seat { peers: self.clone(), network })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Each count is whole whatever panicked beside it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(taken) = open.get_mut(&self.network) {
            *taken -= 1;
            if *taken == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_network_has_its_own_seats_and_leaves_no_trace() {
        let peers = Peers::new(2);
        let seats = [peers.seat(ip("192.0.2.1")), peers.seat(ip("192.0.2.1")), peers.seat(ip("192.0.2.2"))];
        assert!(seats.iter().all(Option::is_some));
        assert!(peers.seat(ip("192.0.2.1")).is_none());
        drop(seats);
        assert!(peers.open().is_empty());
        assert!(peers.seat(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_prefix_of_64_bits() {
        assert_eq!(network(ip("192.0.2.1")), ip("192.0.2.1"));
        assert_eq!(network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        let peers = Peers::new(1);
        let _seat = peers.seat(ip("2001:db8::1"));
        assert!(peers.seat(ip("2001:db8::ffff:1")).is_none() && peers.seat(ip("2001:db8:0:1::1")).is_some());
    }
}
