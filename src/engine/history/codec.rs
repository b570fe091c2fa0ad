//! A history as bytes: events as differences, sums rebuilt on the way back, so that they cannot disagree with them.
//!
//! Format: version; recent additions (key, wait where the figure has one); roots (number; events as difference of
//! place and wait; moments as place, counts and, of either figure with waits if there are any, total, minimum, maximum and histogram).

use super::aggregate::{ACCEPTED, Aggregate, CANCELED, WaitSum};
use super::histogram::{Histogram, LONGEST};
use super::leaf::Leaf;
use super::node::Content;
use super::{History, LEN_MAX, RECENT_MAX, ROOT_KEYS, ROOT_SECONDS, Recent, Root, Row};
use crate::engine::totals::{Figure, Waits};
use crate::engine::varint::{Damaged, Spill, put, put_signed, take, take_count, take_signed, take_up_to};
use crate::event::{Millis, Second};

const VERSION: u64 = 1;

impl History {
    /// Appends everything held, in a form that [`History::decode`] reads back: some two bytes an event.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_in_parts(out, &mut |_| ());
    }

    /// The same, calling `spill` again and again with what there is so far, which it may take.
    pub fn encode_in_parts(&self, out: &mut Vec<u8>, spill: &mut Spill<'_>) {
        put(out, VERSION);
        put(out, self.recent.len() as u64);
        for recent in &self.recent {
            put_signed(out, recent.key);
            put_wait(out, recent.key.rem_euclid(16) as usize, recent.wait_ms);
        }
        put(out, self.roots.len() as u64);
        for root in &self.roots {
            put_root(out, root);
            spill(out);
        }
    }

    /// Reads what [`History::encode`] wrote, from the front of `bytes`. Any other bytes give an error or some history,
    /// never a panic, and take memory in proportion to their own length at most.
    pub fn decode(bytes: &mut &[u8]) -> Result<History, Damaged> {
        if take(bytes)? != VERSION {
            return Err(Damaged("a history of an unknown version"));
        }
        let mut history = History::default();
        // A key near 1970 takes one byte.
        let recent = take_count(bytes, 1)?;
        if recent >= RECENT_MAX {
            return Err(Damaged("too many recent additions"));
        }
        history.recent.reserve_exact(recent);
        for _ in 0..recent {
            let key = take_signed(bytes)?;
            let figure = checked_figure(key)?;
            let wait_ms = take_wait(bytes, figure)?;
            history.recent.push(Recent { key, wait_ms });
        }
        let roots = take_count(bytes, 3)?;
        for _ in 0..roots {
            let root = take_root(bytes)?;
            if history.roots.last().is_some_and(|last| last.number >= root.number) {
                return Err(Damaged("spans out of order"));
            }
            history.roots.push(root);
        }
        history.len = recent as u64 + history.roots.iter().map(|root| root.node.len()).sum::<u64>();
        if history.len > LEN_MAX { Err(Damaged("more events than a history holds")) } else { Ok(history) }
    }
}

/// The figure of a key, whose second must be one that an event can have.
fn checked_figure(key: i64) -> Result<usize, Damaged> {
    let second = Second(key.div_euclid(16));
    let figure = key.rem_euclid(16) as usize;
    if second < Millis::MIN.second() || second > Millis::MAX.second() || figure >= Figure::COUNT {
        return Err(Damaged("no such second or figure"));
    }
    Ok(figure)
}

fn put_wait(out: &mut Vec<u8>, figure: usize, wait_ms: u64) {
    if figure == ACCEPTED || figure == CANCELED {
        put(out, wait_ms);
    }
}

fn take_wait(bytes: &mut &[u8], figure: usize) -> Result<u64, Damaged> {
    if figure == ACCEPTED || figure == CANCELED { take(bytes) } else { Ok(0) }
}

fn put_root(out: &mut Vec<u8>, root: &Root) {
    let (mut rows, mut moments) = (0, 0);
    root.node.visit(0, &mut |_, content| match content {
        Content::Rows(leaf) => rows += leaf.len() as u64,
        Content::Moment(_) => moments += 1,
    });
    put_signed(out, root.number);
    put(out, rows);
    let mut before = 0;
    root.node.visit(0, &mut |_, content| {
        if let Content::Rows(leaf) = content {
            put_rows(out, leaf, &mut before);
        }
    });
    put(out, moments);
    root.node.visit(0, &mut |start, content| {
        if let Content::Moment(sum) = content {
            put(out, u64::from(start));
            put_moment(out, sum);
        }
    });
}

fn put_rows(out: &mut Vec<u8>, leaf: &Leaf, before: &mut u32) {
    for row in leaf.rows() {
        put(out, u64::from(row.place - *before));
        put_wait(out, row.figure(), row.wait_ms);
        *before = row.place;
    }
}

fn take_root(bytes: &mut &[u8]) -> Result<Root, Damaged> {
    let number = take_signed(bytes)?;
    let numbers = Millis::MIN.second().0.div_euclid(ROOT_SECONDS)..=Millis::MAX.second().0.div_euclid(ROOT_SECONDS);
    if !numbers.contains(&number) {
        return Err(Damaged("no such span"));
    }
    let mut root = Root { number, node: Default::default() };
    let count = take_count(bytes, 1)?;
    // A share at a time, so that a damaged count costs little and the rows stay in cache.
    let mut rows = Vec::with_capacity(count.min(ROWS_AT_ONCE));
    let mut place = 0;
    for _ in 0..count {
        place += take_up_to(bytes, ROOT_KEYS as u64 - 1)?;
        let row = Row { place: checked_place(place)?, wait_ms: 0 };
        rows.push(Row { wait_ms: take_wait(bytes, row.figure())?, ..row });
        if rows.len() == ROWS_AT_ONCE {
            root.node.add(0, &rows);
            rows.clear();
        }
    }
    root.node.add(0, &rows);
    for _ in 0..take_count(bytes, 2)? {
        let place = checked_place(take_up_to(bytes, ROOT_KEYS as u64 - 1)?)?;
        let sum = take_moment(bytes)?;
        if sum.len() + root.node.len() > LEN_MAX {
            return Err(Damaged("more events than a history holds"));
        }
        root.node.absorb(0, place - place % 16, &sum);
    }
    if root.node.is_empty() { Err(Damaged("an empty span")) } else { Ok(root) }
}

const ROWS_AT_ONCE: usize = 1 << 14;

fn checked_place(place: u64) -> Result<u32, Damaged> {
    if place >= ROOT_KEYS as u64 || place % 16 >= Figure::COUNT as u64 {
        return Err(Damaged("no such place in its span"));
    }
    Ok(place as u32)
}

fn put_moment(out: &mut Vec<u8>, sum: &Aggregate) {
    for count in sum.counts {
        put(out, u64::from(count));
    }
    put_wait_sum(out, &sum.accepted);
    put_wait_sum(out, &sum.canceled);
}

fn put_wait_sum(out: &mut Vec<u8>, sum: &WaitSum) {
    if sum.waits.count == 0 {
        return;
    }
    put(out, sum.waits.total_ms as u64);
    put(out, (sum.waits.total_ms >> 64) as u64);
    put(out, sum.waits.min_ms);
    put(out, sum.waits.max_ms);
    let pairs = sum.seconds.pairs();
    put(out, pairs.len() as u64);
    let mut before = 0;
    for (second, count) in pairs {
        put(out, u64::from(second - before));
        put(out, u64::from(count));
        before = second;
    }
}

fn take_moment(bytes: &mut &[u8]) -> Result<Aggregate, Damaged> {
    let mut sum = Aggregate::default();
    for count in &mut sum.counts {
        *count = take_up_to(bytes, LEN_MAX)? as u32;
    }
    if sum.len() == 0 || sum.len() > LEN_MAX {
        return Err(Damaged("a second without events, or with too many"));
    }
    sum.accepted = take_wait_sum(bytes, sum.counts[ACCEPTED])?;
    sum.canceled = take_wait_sum(bytes, sum.counts[CANCELED])?;
    Ok(sum)
}

/// The waits of one figure, which must be as many as its count.
fn take_wait_sum(bytes: &mut &[u8], count: u32) -> Result<WaitSum, Damaged> {
    if count == 0 {
        return Ok(WaitSum::default());
    }
    let total_ms = u128::from(take(bytes)?) | u128::from(take(bytes)?) << 64;
    let waits = Waits { count: u64::from(count), total_ms, min_ms: take(bytes)?, max_ms: take(bytes)? };
    let runs = take_count(bytes, 2)?;
    let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(runs);
    let (mut second, mut left) = (0, u64::from(count));
    for index in 0..runs {
        let step = take_up_to(bytes, u64::from(LONGEST))?;
        let count = take_up_to(bytes, left)?;
        second += step;
        left -= count;
        if second > u64::from(LONGEST) || count == 0 || (index > 0 && step == 0) {
            return Err(Damaged("waits out of order"));
        }
        pairs.push((second as u32, count as u32));
    }
    // What a sum of that many waits cannot exceed, so that adding two of them cannot overflow.
    if left > 0 || total_ms > u128::from(waits.max_ms) * u128::from(count) {
        return Err(Damaged("waits that do not add up"));
    }
    let mut seconds = Histogram::default();
    seconds.add_sorted(&pairs);
    Ok(WaitSum { waits, seconds })
}
