//! What an HTTP/2 peer may send without asking for anything.
//!
//! h2 bounds what its own counters can: headers, CONTINUATION frames, small and empty DATA frames, streams reset before
//! they were accepted. It answers each PING and each SETTINGS, and reads each PRIORITY, WINDOW_UPDATE and RST_STREAM, in
//! bounded memory and for ever: a peer that sends nothing else keeps a core busy with nine bytes a frame. So the headers
//! of frames are counted here as they pass, and a peer that lives on such frames is sent away.
use tokio::time::Instant;

/// The bytes that all frames begin with: three of length, the type, flags, four of stream.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// Bytes sent to the peer that pay for one frame of its: a window update or a ping for so much data is usual, while the
/// answers to pings and settings, of 17 and 9 bytes, must not pay for the next ones.
const BYTES_A_FRAME: usize = 64;

/// What a call pays for: a client library may send a ping and two window updates for the smallest answer.
const FRAMES_A_CALL: u32 = 3;

/// What a reset costs: more than its call gained, so that calls that are only begun and reset use the allowance up, too.
pub(super) const RESET_PRICE: u32 = FRAMES_A_CALL + 1;

/// In how many seconds the whole allowance comes back.
const REFILL_S: u32 = 10;

/// How many frames that ask for nothing are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// At once.
    burst: u32,
    /// For each second, besides.
    a_second: u32,
}

impl Allowance {
    /// So many at once, and again in ten seconds, beside those that calls and answers pay for.
    pub fn of(frames: u32) -> Self {
        Self { burst: frames, a_second: frames.div_ceil(REFILL_S) }
    }
}

/// Follows the frames of one connection, from the first after the preface on.
pub(super) struct Frames {
    allowance: Allowance,
    left: u32,
    filled: Instant,
    /// Bytes sent that have not paid for a frame yet.
    sent: usize,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the payload that are still to come.
    skip: usize,
}

impl Frames {
    pub fn new(allowance: Allowance) -> Self {
        let filled = Instant::now();
        Self { allowance, left: allowance.burst, filled, sent: 0, head: [0; HEAD], have: 0, skip: 0 }
    }

    /// Follows what the peer sent. Answers whether the peer is within its allowance.
    #[must_use]
    pub fn receive(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < HEAD {
                return true;
            }
            self.have = 0;
            let [high, mid, low, kind, ..] = self.head;
            self.skip = usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
            if !self.pay(kind) {
                return false;
            }
        }
    }

    /// What is sent to the peer it may react to.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        let paid = self.sent / BYTES_A_FRAME;
        self.sent %= BYTES_A_FRAME;
        self.gain(u32::try_from(paid).unwrap_or(u32::MAX));
    }

    fn pay(&mut self, kind: u8) -> bool {
        let price = match kind {
            // h2 has its own bound on small ones.
            DATA => return true,
            // A call asks for something; what it leads to is bounded elsewhere.
            HEADERS => {
                self.gain(FRAMES_A_CALL);
                return true;
            }
            RST_STREAM => RESET_PRICE,
            _ => 1,
        };
        if self.left < price {
            self.refill();
        }
        match self.left.checked_sub(price) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }

    fn gain(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.allowance.burst);
    }

    /// Only asked for when nothing is left, so that an honest peer costs no look at the clock.
    fn refill(&mut self) {
        let now = Instant::now();
        let due = (now - self.filled).as_millis() * u128::from(self.allowance.a_second) / 1000;
        if due > 0 {
            self.filled = now;
            self.gain(u32::try_from(due).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PING: u8 = 6;
    const ALLOWANCE: Allowance = Allowance { burst: 10, a_second: 2 };

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![(payload >> 16) as u8, (payload >> 8) as u8, payload as u8, kind, 0, 0, 0, 0, 0];
        bytes.resize(HEAD + payload, PING);
        bytes
    }

    /// How many of these frames are accepted, at most a thousand.
    fn accepted(frames: &mut Frames, frame: &[u8]) -> usize {
        (0..1000).take_while(|_| frames.receive(frame)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn the_allowance_is_used_up_by_each_kind_of_control_frame_and_comes_back_with_time() {
        for kind in (2..=255).filter(|kind| *kind != RST_STREAM) {
            let mut frames = Frames::new(ALLOWANCE);
            assert_eq!(accepted(&mut frames, &frame(kind, 0)), 10, "{kind}");
            tokio::time::advance(Duration::from_millis(1500)).await;
            assert_eq!(accepted(&mut frames, &frame(kind, 0)), 3, "{kind}");
            tokio::time::advance(Duration::from_secs(3600)).await;
            assert_eq!(accepted(&mut frames, &frame(kind, 0)), 10, "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_bytes_are_cut_makes_no_difference() {
        let stream = [frame(DATA, 700), frame(PING, 8), frame(4, 0), frame(HEADERS, 70_000), frame(PING, 8)].concat();
        for piece in [1, 2, 3, 7, 9, 10, 64, 4096] {
            let mut frames = Frames::new(ALLOWANCE);
            assert!(stream.chunks(piece).all(|piece| frames.receive(piece)));
            // Two, which the call makes good, and one more.
            assert_eq!(frames.left, 9, "pieces of {piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_the_peer_is_sent_pay_for_its_frames_and_pongs_do_not() {
        let mut frames = Frames::new(ALLOWANCE);
        for _ in 0..1000 {
            frames.sent(BYTES_A_FRAME);
            assert!(frames.receive(&frame(8, 4)));
        }
        let pongs = (0..1000).take_while(|_| {
            frames.sent(17);
            frames.receive(&frame(PING, 8))
        });
        assert!(pongs.count() < 20);
    }

    #[tokio::test(start_paused = true)]
    async fn the_chattiest_client_is_never_hit_by_what_it_does_for_each_call() {
        let mut frames = Frames::new(ALLOWANCE);
        for _ in 0..100_000 {
            assert!(frames.receive(&[frame(HEADERS, 40), frame(DATA, 30)].concat()));
            // The smallest answer: a head, a message, trailers.
            frames.sent(BYTES_A_FRAME);
            // A ping that measures the line, an answer to ours, and a window update each for the call and the connection.
            for kind in [PING, PING, 8, 8] {
                assert!(frames.receive(&frame(kind, 8)));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_free_and_calls_that_are_reset_are_not() {
        let mut frames = Frames::new(ALLOWANCE);
        assert_eq!(accepted(&mut frames, &frame(HEADERS, 40)), 1000);
        let rapid = [frame(HEADERS, 40), frame(RST_STREAM, 4)].concat();
        assert!(accepted(&mut frames, &rapid) <= 10);
    }
}
