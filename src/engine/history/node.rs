//! The spans of time, each either its events or the sum of its parts.

use std::ops::Range;
use std::sync::Arc;

use super::Row;
use super::aggregate::Aggregate;
use super::leaf::Leaf;
use crate::engine::totals::Totals;

/// Seconds in the spans of each level; each divides the one before, and the first is what a root covers.
pub(super) const SPANS: [u32; 8] = [691_200, 86_400, 21_600, 3_600, 600, 60, 10, 1];

/// A span with more events than this is cut into the spans of the next level.
pub(super) const LEAF_MAX: usize = 512;

/// One span. Clones share everything until one of them changes it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Few events: as they are.
    Leaf(Arc<Leaf>),
    /// Many: their sum, and the spans of the next level.
    Branch(Arc<Branch>),
    /// Many in one second, the smallest span that a question can ask for: their sum is all there is to know.
    Moment(Arc<Aggregate>),
}

/// - The sum, where there is one, is that of the children.
/// - Children ascend by start, and none is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Branch {
    /// None since a part was forgotten: questions then go to the children. They would anyway, as no question begins
    /// before what is forgotten, so that none covers this span whole.
    sum: Option<Aggregate>,
    children: Vec<Child>,
}

#[derive(Clone, Debug)]
struct Child {
    /// The first place of the span.
    start: u32,
    node: Node,
}

/// The places of a span of this level; a place is a second within the root's span and a figure, in 16ths of a second.
fn width(level: usize) -> u32 {
    SPANS[level] * 16
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Arc::default())
    }
}

impl Node {
    /// Adds rows that ascend by place.
    pub fn add(&mut self, level: usize, rows: &[Row]) {
        match self {
            Node::Leaf(leaf) if leaf.len() + rows.len() <= LEAF_MAX => Arc::make_mut(leaf).add(rows),
            Node::Leaf(_) => {
                self.open(level);
                self.add(level, rows);
            }
            Node::Branch(branch) => Arc::make_mut(branch).add(level, rows),
            Node::Moment(sum) => Arc::make_mut(sum).add(rows),
        }
    }

    /// Adds the sum of a second whose first place is `place`.
    pub fn absorb(&mut self, level: usize, place: u32, more: &Aggregate) {
        match self {
            Node::Leaf(_) => {
                self.open(level);
                self.absorb(level, place, more);
            }
            Node::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                if let Some(sum) = &mut branch.sum {
                    sum.merge(more);
                }
                branch.child(level, place).absorb(level + 1, place, more);
            }
            Node::Moment(sum) => Arc::make_mut(sum).merge(more),
        }
    }

    /// Turns a leaf into what can hold more than a leaf.
    fn open(&mut self, level: usize) {
        let Node::Leaf(leaf) = self else { return };
        let rows = leaf.rows();
        if level + 1 == SPANS.len() {
            let mut sum = Aggregate::default();
            sum.add(&rows);
            *self = Node::Moment(Arc::new(sum));
        } else {
            let mut branch = Branch { sum: Some(Aggregate::default()), children: Vec::new() };
            branch.add(level, &rows);
            *self = Node::Branch(Arc::new(branch));
        }
    }

    /// Adds what lies at the given places. `start` is this span's first place, and the two overlap.
    pub fn sum_into(&self, level: usize, start: u32, places: &Range<u32>, totals: &mut Totals) {
        let whole = places.start <= start && start + width(level) <= places.end;
        match self {
            Node::Leaf(leaf) if whole => leaf.sum_into(totals),
            Node::Leaf(leaf) => leaf.sum_part_into(places.clone(), totals),
            Node::Moment(sum) => sum.sum_into(totals),
            Node::Branch(branch) => match &branch.sum {
                Some(sum) if whole => sum.sum_into(totals),
                _ => {
                    let width = width(level + 1);
                    for child in &branch.children {
                        if child.start < places.end && places.start < child.start + width {
                            child.node.sum_into(level + 1, child.start, places, totals);
                        }
                    }
                }
            },
        }
    }

    /// Drops what lies before a place inside this span; returns how many events that were.
    pub fn forget_before(&mut self, level: usize, place: u32) -> u64 {
        match self {
            Node::Leaf(leaf) if leaf.starts_before(place) => {
                let before = leaf.len();
                Arc::make_mut(leaf).forget_before(place);
                (before - leaf.len()) as u64
            }
            Node::Branch(branch) if branch.children.first().is_some_and(|child| child.start < place) => {
                Arc::make_mut(branch).forget_before(level, place)
            }
            _ => 0,
        }
    }

    /// How many events.
    pub fn len(&self) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.len() as u64,
            Node::Moment(sum) => sum.len(),
            Node::Branch(branch) => match &branch.sum {
                Some(sum) => sum.len(),
                None => branch.children.iter().map(|child| child.node.len()).sum(),
            },
        }
    }

    /// Visits all leaves and moments in order of time.
    pub fn visit(&self, start: u32, visitor: &mut impl FnMut(u32, Content<'_>)) {
        match self {
            Node::Leaf(leaf) => visitor(start, Content::Rows(leaf)),
            Node::Moment(sum) => visitor(start, Content::Moment(sum)),
            Node::Branch(branch) => {
                for child in &branch.children {
                    child.node.visit(child.start, visitor);
                }
            }
        }
    }

    pub fn heap_bytes(&self) -> usize {
        /// The two counters in front of a shared value.
        const SHARED: usize = 16;
        match self {
            Node::Leaf(leaf) => SHARED + size_of::<Leaf>() + leaf.heap_bytes(),
            Node::Moment(sum) => SHARED + size_of::<Aggregate>() + sum.heap_bytes(),
            Node::Branch(branch) => {
                let children = branch.children.iter().map(|child| child.node.heap_bytes()).sum::<usize>();
                let sum = branch.sum.as_ref().map_or(0, Aggregate::heap_bytes);
                SHARED + size_of::<Branch>() + sum + branch.children.capacity() * size_of::<Child>() + children
            }
        }
    }
}

/// What a visit meets.
pub(super) enum Content<'a> {
    Rows(&'a Leaf),
    Moment(&'a Aggregate),
}

impl Branch {
    fn add(&mut self, level: usize, rows: &[Row]) {
        if let Some(sum) = &mut self.sum {
            sum.add(rows);
        }
        let width = width(level + 1);
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let end = first.place - first.place % width + width;
            // Mostly all rows of a batch go to one child.
            let cut = match rest.last() {
                Some(last) if last.place < end => rest.len(),
                _ => rest.partition_point(|row| row.place < end),
            };
            self.child(level, first.place).add(level + 1, &rest[..cut]);
            rest = &rest[cut..];
        }
    }

    fn child(&mut self, level: usize, place: u32) -> &mut Node {
        let start = place - place % width(level + 1);
        let at = match self.children.last() {
            Some(last) if last.start == start => Ok(self.children.len() - 1),
            Some(last) if last.start > start => self.children.binary_search_by_key(&start, |child| child.start),
            _ => Err(self.children.len()),
        };
        let at = at.unwrap_or_else(|at| {
            self.children.insert(at, Child { start, node: Node::default() });
            at
        });
        &mut self.children[at].node
    }

    fn forget_before(&mut self, level: usize, place: u32) -> u64 {
        let width = width(level + 1);
        let gone = self.children.partition_point(|child| child.start + width <= place);
        let mut dropped: u64 = self.children.drain(..gone).map(|child| child.node.len()).sum();
        if let Some(child) = self.children.first_mut()
            && child.start < place
        {
            dropped += child.node.forget_before(level + 1, place);
            if child.node.is_empty() {
                self.children.remove(0);
            }
        }
        if dropped > 0 {
            self.sum = None;
        }
        dropped
    }
}

impl Node {
    /// Whether no event is left.
    pub fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.len() == 0,
            Node::Moment(_) => false,
            Node::Branch(branch) => branch.children.is_empty(),
        }
    }
}
