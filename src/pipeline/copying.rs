//! A copy of the journal for a backup, handed out in pieces between group commits.
//!
//! - At most one at a time. While it is held the journal is neither compressed nor pruned; both wait.
//! - Whoever takes it decides its pace and holds up nobody: a piece is made when it is asked for. A copy that nobody
//!   asks for any more, or that goes on for too long, is let go, so that it never holds the journal's chores for ever.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::oneshot;

use crate::journal::{CopyOut, Journal};
use crate::limits;

/// Bytes of a piece: some milliseconds of reading.
const PIECE_BYTES: usize = 256 << 10;

/// Why there is no copy, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyRefusal {
    #[error("nothing is on disk")]
    NotKept,
    #[error("another backup is under way")]
    UnderWay,
    /// Its time was over, or it was let go.
    #[error("the copy was given up, because it took too long")]
    TooSlow,
    /// What was to come of it went.
    #[error("a workspace was forgotten meanwhile")]
    Forgotten,
    #[error("{0}")]
    Unreadable(Arc<str>),
    #[error("starting")]
    Starting,
    #[error("shutting down")]
    Stopping,
}

/// What is asked of the journal's writer.
pub enum CopyMessage {
    Begin(oneshot::Sender<Result<Begun, CopyRefusal>>),
    Next(u64, oneshot::Sender<Result<Option<Vec<u8>>, CopyRefusal>>),
    End(u64),
}

/// A copy that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    ticket: u64,
    /// The position that it is of.
    pub position: u64,
    /// About how many bytes it will have.
    pub bytes: u64,
}

/// A copy under way. Dropping it lets the journal go.
pub struct Copying {
    pub begun: Begun,
    messages: Sender<CopyMessage>,
}

impl Copying {
    pub(super) async fn begin(messages: &Sender<CopyMessage>) -> Result<Copying, CopyRefusal> {
        let (reply, answer) = oneshot::channel();
        send(messages, CopyMessage::Begin(reply))?;
        let begun = answer.await.unwrap_or(Err(CopyRefusal::Stopping))?;
        Ok(Copying { begun, messages: messages.clone() })
    }

    /// The next piece; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CopyRefusal> {
        let (reply, answer) = oneshot::channel();
        send(&self.messages, CopyMessage::Next(self.begun.ticket, reply))?;
        answer.await.unwrap_or(Err(CopyRefusal::Stopping))
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        // If it does not arrive, nobody asks any more, which does the same a little later.
        let _ = send(&self.messages, CopyMessage::End(self.begun.ticket));
    }
}

fn send(messages: &Sender<CopyMessage>, message: CopyMessage) -> Result<(), CopyRefusal> {
    messages.try_send(message).map_err(|error| match error {
        TrySendError::Full(_) => CopyRefusal::UnderWay,
        TrySendError::Disconnected(_) => CopyRefusal::Stopping,
    })
}

/// The copies of one journal, as its writer sees them.
#[derive(Default)]
pub struct Copies {
    held: Option<Held>,
    tickets: u64,
}

struct Held {
    ticket: u64,
    out: CopyOut,
    // In the clock's uptime.
    began_at: Duration,
    asked_at: Duration,
    /// Why there is no more of it.
    broken: Option<CopyRefusal>,
}

impl Copies {
    /// Whether the journal must stay as it is. Lets go of a copy whose time is over.
    pub fn hold(&mut self, uptime: Duration) -> bool {
        let is_over = |held: &mut Held| {
            uptime.saturating_sub(held.asked_at) >= limits::BACKUP_IDLE
                || uptime.saturating_sub(held.began_at) >= limits::BACKUP_TOTAL
        };
        if let Some(held) = self.held.take_if(is_over) {
            tracing::warn!(position = held.out.position(), "gave up a backup that took too long");
        }
        self.held.is_some()
    }

    /// A workspace was forgotten, and its carry-overs with it.
    pub fn forgotten(&mut self) {
        if let Some(held) = self.held.as_mut().filter(|held| held.out.needs_carries()) {
            held.broken = Some(CopyRefusal::Forgotten);
        }
    }

    pub fn serve(&mut self, message: CopyMessage, journal: Option<&mut Journal>, uptime: Duration) {
        match message {
            CopyMessage::Begin(reply) => {
                // Who has gone meanwhile would never let go of it.
                if !reply.is_closed() {
                    let _ = reply.send(self.begin(journal, uptime));
                }
            }
            CopyMessage::Next(ticket, reply) => {
                let _ = reply.send(self.next(ticket, journal, uptime));
            }
            CopyMessage::End(ticket) => drop(self.held.take_if(|held| held.ticket == ticket)),
        }
    }

    fn begin(&mut self, journal: Option<&mut Journal>, uptime: Duration) -> Result<Begun, CopyRefusal> {
        let journal = journal.ok_or(CopyRefusal::NotKept)?;
        if self.hold(uptime) {
            return Err(CopyRefusal::UnderWay);
        }
        self.tickets += 1;
        let (ticket, out) = (self.tickets, journal.begin_copy());
        let begun = Begun { ticket, position: out.position(), bytes: journal.stats().body_bytes };
        self.held = Some(Held { ticket, out, began_at: uptime, asked_at: uptime, broken: None });
        Ok(begun)
    }

    fn next(
        &mut self,
        ticket: u64,
        journal: Option<&mut Journal>,
        uptime: Duration,
    ) -> Result<Option<Vec<u8>>, CopyRefusal> {
        let journal = journal.ok_or(CopyRefusal::NotKept)?;
        let held = self.held.as_mut().filter(|held| held.ticket == ticket).ok_or(CopyRefusal::TooSlow)?;
        if let Some(broken) = &held.broken {
            return Err(broken.clone());
        }
        held.asked_at = uptime;
        let piece = journal.copy_piece(&mut held.out, PIECE_BYTES);
        piece.map_err(|error| CopyRefusal::Unreadable(error.to_string().into()))
    }
}
