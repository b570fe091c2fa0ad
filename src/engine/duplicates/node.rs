//! Spans of hours, each either its events or its parts.

use std::sync::Arc;

use super::hour::Hour;

/// Hours in the spans of each level; each divides the one before, and the first is what a root covers.
pub(super) const HOURS: [u8; 4] = [192, 24, 6, 1];

/// A span with more events than this is cut into the spans of the next level.
pub(super) const LEAF_MAX: usize = 512;

/// One span. Clones share everything until one of them changes it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
    Hour(Arc<Hour>),
}

/// Few events: parallel columns, ascending by fingerprint, then hour.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaf {
    pub fingerprints: Vec<u64>,
    /// Within the root.
    pub hours: Vec<u8>,
}

/// The parts of a span that has any, ascending by start.
#[derive(Clone, Debug, Default)]
pub(super) struct Branch {
    pub children: Vec<Child>,
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    /// The first hour of the part, within the root.
    pub start: u8,
    pub node: Node,
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Arc::default())
    }
}

impl Node {
    #[inline]
    pub fn contains(&self, mut level: usize, hour: u8, fingerprint: u64) -> bool {
        let mut node = self;
        loop {
            let branch = match node {
                Node::Leaf(leaf) => return leaf.search(hour, fingerprint).is_ok(),
                Node::Hour(fingerprints) => return fingerprints.contains(fingerprint),
                Node::Branch(branch) => branch,
            };
            level += 1;
            let start = hour - hour % HOURS[level];
            match branch.children.iter().rev().find(|child| child.start <= start) {
                Some(child) if child.start == start => node = &child.node,
                Some(_) | None => return false,
            }
        }
    }

    /// False if it was there.
    pub fn insert(&mut self, mut level: usize, hour: u8, fingerprint: u64) -> bool {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let Err(at) = leaf.search(hour, fingerprint) else { return false };
                    if leaf.len() < LEAF_MAX {
                        let leaf = Arc::make_mut(leaf);
                        super::insert(&mut leaf.fingerprints, at, fingerprint);
                        super::insert(&mut leaf.hours, at, hour);
                        return true;
                    }
                    *node = leaf.opened(level);
                }
                Node::Hour(fingerprints) => return Arc::make_mut(fingerprints).insert(fingerprint),
                Node::Branch(branch) => {
                    node = Arc::make_mut(branch).child(level, hour);
                    level += 1;
                }
            }
        }
    }

    /// Forgets the hours before this one; returns how many events that were.
    pub fn forget_before(&mut self, level: usize, hour: u8) -> u64 {
        match self {
            Node::Leaf(leaf) if leaf.hours.iter().any(|&other| other < hour) => {
                let before = leaf.len();
                let events = leaf.events().filter(|event| event.1 >= hour);
                *leaf = Arc::new(events.collect());
                (before - leaf.len()) as u64
            }
            Node::Branch(branch) if branch.children.first().is_some_and(|child| child.start < hour) => {
                Arc::make_mut(branch).forget_before(level, hour)
            }
            // An hour is forgotten whole, by its parent.
            _ => 0,
        }
    }

    pub fn len(&self) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.len() as u64,
            Node::Hour(fingerprints) => fingerprints.len(),
            Node::Branch(branch) => branch.children.iter().map(|child| child.node.len()).sum(),
        }
    }

    /// Whether no event is left.
    pub fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.len() == 0,
            Node::Hour(fingerprints) => fingerprints.len() == 0,
            Node::Branch(branch) => branch.children.is_empty(),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        /// The two counters in front of a shared value.
        const SHARED: usize = 16;
        match self {
            Node::Leaf(leaf) => SHARED + size_of::<Leaf>() + leaf.fingerprints.capacity() * 8 + leaf.hours.capacity(),
            Node::Hour(fingerprints) => SHARED + size_of::<Hour>() + fingerprints.heap_bytes(),
            Node::Branch(branch) => {
                let children = branch.children.iter().map(|child| child.node.heap_bytes()).sum::<usize>();
                SHARED + size_of::<Branch>() + branch.children.capacity() * size_of::<Child>() + children
            }
        }
    }
}

impl Leaf {
    pub fn len(&self) -> usize {
        self.hours.len()
    }

    pub fn events(&self) -> impl Iterator<Item = (u64, u8)> {
        self.fingerprints.iter().copied().zip(self.hours.iter().copied())
    }

    fn search(&self, hour: u8, fingerprint: u64) -> Result<usize, usize> {
        let mut at = self.fingerprints.partition_point(|&other| other < fingerprint);
        while at < self.len() && self.fingerprints[at] == fingerprint {
            if self.hours[at] >= hour {
                return if self.hours[at] == hour { Ok(at) } else { Err(at) };
            }
            at += 1;
        }
        Err(at)
    }

    /// The same events in what can hold more.
    fn opened(&self, level: usize) -> Node {
        if level + 1 == HOURS.len() {
            return Node::Hour(Arc::new(Hour::new(self.fingerprints.clone())));
        }
        let mut branch = Branch::default();
        for (fingerprint, hour) in self.events() {
            branch.child(level, hour).insert(level + 1, hour, fingerprint);
        }
        Node::Branch(Arc::new(branch))
    }
}

impl FromIterator<(u64, u8)> for Leaf {
    /// The events must ascend.
    fn from_iter<I: IntoIterator<Item = (u64, u8)>>(events: I) -> Self {
        let (fingerprints, hours) = events.into_iter().unzip();
        Leaf { fingerprints, hours }
    }
}

impl Branch {
    fn child(&mut self, level: usize, hour: u8) -> &mut Node {
        let start = hour - hour % HOURS[level + 1];
        let at = match self.children.last() {
            Some(last) if last.start == start => Ok(self.children.len() - 1),
            _ => self.children.binary_search_by_key(&start, |child| child.start),
        };
        let at = at.unwrap_or_else(|at| {
            self.children.insert(at, Child { start, node: Node::default() });
            at
        });
        &mut self.children[at].node
    }

    fn forget_before(&mut self, level: usize, hour: u8) -> u64 {
        let span = HOURS[level + 1];
        let gone = self.children.partition_point(|child| child.start + span <= hour);
        let mut dropped: u64 = self.children.drain(..gone).map(|child| child.node.len()).sum();
        if let Some(child) = self.children.first_mut()
            && child.start < hour
        {
            dropped += child.node.forget_before(level + 1, hour);
            if child.node.is_empty() {
                self.children.remove(0);
            }
        }
        dropped
    }
}
