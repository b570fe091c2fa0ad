//! The events of a span that holds few, as columns ordered by second.

use std::ops::Range;

use super::Row;
use super::aggregate::{ACCEPTED, CANCELED};
use super::node::LEAF_MAX;
use crate::engine::totals::{Figure, Totals, Waits};

/// Three series of columns, so that the waits of any stretch of time are one slice of numbers to compare.
///
/// - `counts` and the sums of the waits are those of the columns: a question that covers the leaf whole, as it does
///   most leaves, need not fetch the columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaf {
    counts: [u16; Figure::COUNT],
    /// Places of events without waits, ascending.
    plain: Vec<u32>,
    accepted: Timed,
    canceled: Timed,
}

/// Events with waits: parallel columns.
#[derive(Clone, Debug, Default)]
struct Timed {
    /// Places, ascending.
    places: Vec<u32>,
    waits: Column,
    sum: Waits,
}

/// Milliseconds: four bytes each until one needs more (49 days).
#[derive(Clone, Debug)]
enum Column {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Leaf {
    pub fn len(&self) -> usize {
        self.plain.len() + self.accepted.places.len() + self.canceled.places.len()
    }

    pub fn add(&mut self, rows: &[Row]) {
        self.reserve(rows);
        for row in rows {
            self.counts[row.figure()] += 1;
            match row.figure() {
                ACCEPTED => self.accepted.add(row),
                CANCELED => self.canceled.add(row),
                _ => {
                    let at = place_for(&self.plain, row.place);
                    self.plain.insert(at, row.place);
                }
            }
        }
    }

    /// A batch mostly fills a leaf, or a good part of it; then one growth is enough.
    fn reserve(&mut self, rows: &[Row]) {
        let mut counts = [0; 16];
        rows.iter().for_each(|row| counts[row.figure()] += 1);
        make_room(&mut self.plain, rows.len() - counts[ACCEPTED] - counts[CANCELED]);
        self.accepted.reserve(counts[ACCEPTED]);
        self.canceled.reserve(counts[CANCELED]);
    }

    pub fn sum_into(&self, totals: &mut Totals) {
        for (total, count) in totals.counts.iter_mut().zip(self.counts) {
            *total += u64::from(count);
        }
        totals.accepted.merge(&self.accepted.sum);
        totals.canceled.merge(&self.canceled.sum);
        self.split(0..self.accepted.places.len(), 0..self.canceled.places.len(), totals);
    }

    /// Adds the events whose places lie in the range.
    pub fn sum_part_into(&self, places: Range<u32>, totals: &mut Totals) {
        let counts = counted(&self.plain[within(&self.plain, &places)]);
        for (total, count) in totals.counts.iter_mut().zip(counts) {
            *total += u64::from(count);
        }
        let accepted = within(&self.accepted.places, &places);
        let canceled = within(&self.canceled.places, &places);
        totals.counts[ACCEPTED] += accepted.len() as u64;
        totals.counts[CANCELED] += canceled.len() as u64;
        totals.accepted.merge(&self.accepted.waits.sum(accepted.clone()));
        totals.canceled.merge(&self.canceled.waits.sum(canceled.clone()));
        self.split(accepted, canceled, totals);
    }

    fn split(&self, accepted: Range<usize>, canceled: Range<usize>, totals: &mut Totals) {
        for split in &mut totals.splits {
            split.accepted_below += self.accepted.waits.below(accepted.clone(), split.threshold);
            split.canceled_below += self.canceled.waits.below(canceled.clone(), split.threshold);
        }
    }

    /// Whether any event lies before this place.
    pub fn starts_before(&self, place: u32) -> bool {
        [&self.plain, &self.accepted.places, &self.canceled.places]
            .into_iter()
            .any(|places| places.first().is_some_and(|&first| first < place))
    }

    /// Drops all events before this place.
    pub fn forget_before(&mut self, place: u32) {
        let end = within(&self.plain, &(0..place)).end;
        self.plain.drain(..end);
        self.accepted.forget_before(place);
        self.canceled.forget_before(place);
        self.counts = counted(&self.plain);
        self.counts[ACCEPTED] = self.accepted.places.len() as u16;
        self.counts[CANCELED] = self.canceled.places.len() as u16;
    }

    /// All events, ascending by place.
    pub fn rows(&self) -> Vec<Row> {
        let plain = self.plain.iter().map(|&place| Row { place, wait_ms: 0 });
        let mut rows: Vec<Row> = plain.chain(self.accepted.rows()).chain(self.canceled.rows()).collect();
        rows.sort_unstable_by_key(|row| row.place);
        rows
    }

    pub fn heap_bytes(&self) -> usize {
        self.plain.capacity() * 4 + self.accepted.heap_bytes() + self.canceled.heap_bytes()
    }
}

/// Counts events without waits.
fn counted(places: &[u32]) -> [u16; Figure::COUNT] {
    let mut counts = [0; 16];
    places.iter().for_each(|place| counts[(place & 15) as usize] += 1);
    std::array::from_fn(|figure| counts[figure])
}

// A count cannot overflow.
const _: () = assert!(LEAF_MAX <= u16::MAX as usize);

/// The indices of the places in the range.
fn within(places: &[u32], range: &Range<u32>) -> Range<usize> {
    let start = places.partition_point(|&place| place < range.start);
    let end = start + places[start..].partition_point(|&place| place < range.end);
    start..end
}

/// Where a place goes. Most events come in order, at the end.
fn place_for(places: &[u32], place: u32) -> usize {
    match places.last() {
        Some(&last) if last > place => places.partition_point(|&other| other <= place),
        _ => places.len(),
    }
}

/// Grows by a quarter, or by what is needed: most leaves stay as they are for 30 days, so that slack is memory lost.
fn make_room<T>(column: &mut Vec<T>, more: usize) {
    if column.capacity() - column.len() < more {
        column.reserve_exact((column.len() / 4).max(more));
    }
}

impl Timed {
    fn add(&mut self, row: &Row) {
        let at = place_for(&self.places, row.place);
        self.places.insert(at, row.place);
        self.waits.insert(at, row.wait_ms);
        self.sum.add(row.wait_ms);
    }

    fn reserve(&mut self, more: usize) {
        make_room(&mut self.places, more);
        match &mut self.waits {
            Column::Narrow(waits) => make_room(waits, more),
            Column::Wide(waits) => make_room(waits, more),
        }
    }

    fn forget_before(&mut self, place: u32) {
        let end = within(&self.places, &(0..place)).end;
        self.places.drain(..end);
        match &mut self.waits {
            Column::Narrow(waits) => drop(waits.drain(..end)),
            Column::Wide(waits) => drop(waits.drain(..end)),
        }
        self.sum = self.waits.sum(0..self.places.len());
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.places.iter().enumerate().map(|(at, &place)| Row { place, wait_ms: self.waits.get(at) })
    }

    fn heap_bytes(&self) -> usize {
        let waits = match &self.waits {
            Column::Narrow(waits) => waits.capacity() * 4,
            Column::Wide(waits) => waits.capacity() * 8,
        };
        self.places.capacity() * 4 + waits
    }
}

impl Default for Column {
    fn default() -> Self {
        Column::Narrow(Vec::new())
    }
}

impl Column {
    fn get(&self, at: usize) -> u64 {
        match self {
            Column::Narrow(waits) => u64::from(waits[at]),
            Column::Wide(waits) => waits[at],
        }
    }

    fn insert(&mut self, at: usize, wait_ms: u64) {
        match (&mut *self, u32::try_from(wait_ms)) {
            (Column::Narrow(waits), Ok(wait_ms)) => waits.insert(at, wait_ms),
            (Column::Narrow(waits), Err(_)) => {
                let mut wide = Vec::with_capacity(waits.capacity());
                wide.extend(waits.iter().map(|&wait_ms| u64::from(wait_ms)));
                wide.insert(at, wait_ms);
                *self = Column::Wide(wide);
            }
            (Column::Wide(waits), _) => waits.insert(at, wait_ms),
        }
    }

    fn sum(&self, range: Range<usize>) -> Waits {
        let mut sum = Waits::default();
        match self {
            Column::Narrow(waits) => waits[range].iter().for_each(|&wait_ms| sum.add(u64::from(wait_ms))),
            Column::Wide(waits) => waits[range].iter().for_each(|&wait_ms| sum.add(wait_ms)),
        }
        sum
    }

    fn below(&self, range: Range<usize>, threshold: u32) -> u64 {
        let limit_ms = u64::from(threshold) * 1000;
        match (self, u32::try_from(limit_ms)) {
            (Column::Narrow(waits), Ok(limit_ms)) => {
                u64::from(waits[range].iter().map(|&wait_ms| u32::from(wait_ms < limit_ms)).sum::<u32>())
            }
            (Column::Narrow(_), Err(_)) => range.len() as u64,
            (Column::Wide(waits), _) => waits[range].iter().filter(|&&wait_ms| wait_ms < limit_ms).count() as u64,
        }
    }
}
