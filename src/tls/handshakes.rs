//! The room for handshakes: a handshake costs a signature, a thousand times what a call costs, and one that has begun
//! holds memory until its peer goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::server::network;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of all handshakes that one peer may take: a peer that begins many and ends none leaves the others room.
const PEER_SHARE: usize = 4;

/// Handshakes that may be under way at a time. Those beyond wait for a place; their wait counts as their own time.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    all: Arc<Semaphore>,
    of_one_peer: usize,
    peers: Arc<Mutex<Peers>>,
}

/// The places of those peers that have one or wait for one, and how many handshakes hold on to them.
type Peers = HashMap<IpAddr, (Arc<Semaphore>, usize)>;

/// A place; free again when dropped.
pub(super) struct Place {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_peer: Option<OwnedSemaphorePermit>,
    _own: Own,
}

/// One peer's places, as one of its handshakes holds on to them. The last that lets go leaves nothing behind.
struct Own {
    peer: IpAddr,
    places: Arc<Semaphore>,
    peers: Arc<Mutex<Peers>>,
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
        let of_peer = own.places.clone().acquire_owned().await.ok();
        let of_all = self.all.clone().acquire_owned().await.ok();
        Place { _of_all: of_all, _of_peer: of_peer, _own: own }
    }

    fn of_peer(&self, peer: IpAddr) -> Own {
        let mut peers = lock(&self.peers);
        let (places, holders) = peers.entry(peer).or_insert_with(|| (Arc::new(Semaphore::new(self.of_one_peer)), 0));
        *holders += 1;
        Own { peer, places: places.clone(), peers: self.peers.clone() }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = lock(&self.peers).entry(self.peer) {
            let (_, holders) = own.get_mut();
            *holders -= 1;
            if *holders == 0 {
                own.remove();
            }
        }
    }
}

fn lock(peers: &Mutex<Peers>) -> MutexGuard<'_, Peers> {
    // Each entry is whole whatever panicked beside it.
    peers.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn peers_that_have_gone_are_forgotten() {
        let handshakes = Handshakes::new(8);
        let known = || lock(&handshakes.peers).len();
        let mut places = [is_free(&handshakes, peer(1)).await, is_free(&handshakes, peer(1)).await];
        assert!(is_free(&handshakes, peer(1)).await.is_none(), "one that waited and gave up");
        let other = is_free(&handshakes, peer(2)).await;
        assert_eq!(known(), 2);
        places[0] = None;
        assert_eq!(known(), 2, "the other handshake of the same peer goes on");
        assert!(is_free(&handshakes, peer(1)).await.is_some(), "and this one comes and goes");
        assert_eq!(known(), 2);
        places[1] = None;
        assert_eq!(known(), 1);
        drop(other);
        assert_eq!(known(), 0);
    }
}
