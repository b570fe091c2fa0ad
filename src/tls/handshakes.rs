//! The room for handshakes: a handshake costs a signature, a thousand times what a call costs, and one that has begun
//! holds memory until its peer goes on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::server::network;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of all handshakes that one peer may take: a peer that begins many and ends none leaves the others room.
const PEER_SHARE: usize = 4;

/// Handshakes that may be under way at a time. Those beyond wait for a place; their wait counts as their own time.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    all: Arc<Semaphore>,
    of_one_peer: usize,
    peers: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
}

/// A place; free again when dropped.
pub(super) struct Place {
    _of_all: Option<OwnedSemaphorePermit>,
    // Dropped after the permit that it lends.
    _of_peer: (Option<OwnedSemaphorePermit>, Arc<Semaphore>),
}

impl Handshakes {
    /// `most` at a time, of which a quarter for any one peer.
    pub fn new(most: usize) -> Handshakes {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let all = Arc::new(Semaphore::new(most));
        Handshakes { all, of_one_peer: most.div_ceil(PEER_SHARE), peers: Arc::default() }
    }

    /// A place for a handshake of this peer, once there is one.
    pub async fn place(&self, peer: IpAddr) -> Place {
        // The peer's own places first: one that waits for itself must not hold a place of all.
        let own = self.of_peer(network(peer));
        let of_peer = own.clone().acquire_owned().await.ok();
        let of_all = self.all.clone().acquire_owned().await.ok();
        Place { _of_all: of_all, _of_peer: (of_peer, own) }
    }

    fn of_peer(&self, peer: IpAddr) -> Arc<Semaphore> {
        let mut peers = self.peers();
        if let Some(own) = peers.get(&peer).and_then(Weak::upgrade) {
            return own;
        }
        // Whoever comes new sweeps out those that have gone, once they are as many as those that can be there.
        if peers.len() >= 2 * self.all.available_permits().max(64) {
            peers.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.of_one_peer));
        peers.insert(peer, Arc::downgrade(&own));
        own
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Semaphore>>> {
        // Each entry is whole whatever panicked beside it.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn is_free(handshakes: &Handshakes, of: IpAddr) -> Option<Place> {
        tokio::time::timeout(Duration::from_secs(1), handshakes.place(of)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_has_a_quarter_and_all_have_the_bound() {
        let handshakes = Handshakes::new(8);
        let first = [is_free(&handshakes, peer(1)).await, is_free(&handshakes, peer(1)).await];
        assert!(first.iter().all(Option::is_some));
        assert!(is_free(&handshakes, peer(1)).await.is_none(), "a third of one peer");
        let mut others = Vec::new();
        for last in [2, 2, 3, 3, 4, 4] {
            others.push(is_free(&handshakes, peer(last)).await.expect("under both bounds"));
        }
        assert!(is_free(&handshakes, peer(5)).await.is_none(), "a ninth of all");
        drop(others.pop());
        assert!(is_free(&handshakes, peer(5)).await.is_some());
        drop(first);
        assert!(is_free(&handshakes, peer(1)).await.is_some());
    }

    #[tokio::test]
    async fn peers_that_have_gone_are_forgotten() {
        let handshakes = Handshakes::new(8);
        for number in 0..10_000_u32 {
            drop(handshakes.place(IpAddr::from(number.to_be_bytes())).await);
        }
        assert!(handshakes.peers().len() <= 200, "{}", handshakes.peers().len());
    }
}
