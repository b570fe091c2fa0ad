//! Bounds on dead letters: the defaults of `config/bounds.rs`.

/// Dead letters in all: some weeks of mistakes, or a day of a sender that does nothing but.
pub const DEAD_LETTERS: usize = 100_000;

/// Dead letters of one account: half of all, so that one account never takes the room of the others.
pub const DEAD_LETTERS_PER_ACCOUNT: usize = 50_000;

/// Bytes of all dead letters: an event as it comes has one to two KiB.
pub const DEAD_LETTER_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of the dead letters of one account, likewise half.
pub const DEAD_LETTER_BYTES_PER_ACCOUNT: usize = 128 * 1024 * 1024;

/// What a letter counts for beside its raw text: its row, its reason, and their places in the indexes.
pub const DEAD_LETTER_OVERHEAD_BYTES: usize = 512;

/// Bytes of a single text in a letter's row beside the raw one: those that the server writes are shorter, those that an
/// event says need not be kept twice.
pub const DEAD_LETTER_TEXT_BYTES: usize = 1_024;

/// Calls that wait for the thread of the dead letters. Each is a request that holds its own room already.
pub const DEAD_LETTER_CALLS: usize = 1_024;

/// Letters of several requests that are written together: one sync for all of them.
pub const DEAD_LETTER_GROUP: usize = 10_000;

/// Bytes of raw events in one page of a list: with the one that passes it, a message that clients take by default.
pub const DEAD_LETTER_PAGE_BYTES: usize = 3 * 1024 * 1024;

/// Bytes of the letters that one call sends again: what is read at a time.
pub const DEAD_LETTER_RESEND_BYTES: usize = 16 * 1024 * 1024;

/// Letters that one call drops: some 0.1 s.
pub const DEAD_LETTER_DROPS: usize = 10_000;

/// Of them, those that go in one transaction, so that a letter to be kept need not wait for all.
pub const DEAD_LETTER_DROPS_AT_ONCE: usize = 1_000;

/// Ids that one call may name.
pub const DEAD_LETTER_IDS: usize = 1_000;

const _: () = assert!(DEAD_LETTERS_PER_ACCOUNT <= DEAD_LETTERS);
const _: () = assert!(DEAD_LETTER_BYTES_PER_ACCOUNT <= DEAD_LETTER_BYTES);
