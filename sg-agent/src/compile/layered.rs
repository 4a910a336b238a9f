//! Rows laid over rows: the row of a prefix shares with the row around it whatever lines its own rules do not touch.
//!
//! Without that, ten thousand narrow prefixes inside one with ten thousand rules would each copy all of them.

use std::{cell::Cell, rc::Rc};

use sg_common::heap::{Decision, FANOUT, LineIndex, SERVICE_END, TreeRef};

use super::{
    error::DoesNotFit,
    heap::Heap,
    row::{Row, Segment},
    tree,
};

/// Stores `row` as [`LayeredRow::store`] would, line for line, without making one: most prefixes have none inside.
pub fn store_flat(heap: &mut Heap, row: &Row) -> Result<TreeRef, DoesNotFit> {
    let segments = row.segments();
    if segments.iter().all(|segment| segment.1 == Decision::NONE) {
        return Ok(TreeRef(0));
    }
    let mut level: Vec<(u32, u32)> = segments.iter().map(|&(key, decision)| (key, decision.0)).collect();
    for depth in 0.. {
        let size = even(level.len());
        let parts = level.len().div_ceil(size);
        for part in 0..parts {
            let places = &level[part * size..level.len().min((part + 1) * size)];
            // What it overwrites belongs to this part or to one before.
            level[part] = (places[0].0, heap.store(tree::node(places))?);
        }
        level.truncate(parts);
        if let [(_, root)] = level[..] {
            return Ok(TreeRef::new(root, depth));
        }
    }
    Ok(TreeRef(0))
}

/// A row as a tree of the shape it has in the heap.
#[derive(Clone, Debug)]
pub struct LayeredRow {
    root: Rc<Node>,
    depth: u32,
}

#[derive(Debug)]
struct Node {
    places: Places,
    /// Where it is stored; 0 = not yet.
    line: Cell<LineIndex>,
}

#[derive(Debug)]
enum Places {
    Leaf(Vec<Segment>),
    Inner(Vec<Child>),
}

/// A node and the first key it covers.
type Child = (u32, Rc<Node>);

impl LayeredRow {
    /// The row as it is.
    pub fn new(row: &Row) -> Self {
        Self::from_nodes(leaves(row.segments()), 0)
    }

    /// This row with `row` laid over it: the smaller decision of each key.
    pub fn overlay(&self, row: &Row) -> Self {
        Self::from_nodes(overlay(&self.root, 0, SERVICE_END, row.segments()), self.depth)
    }

    /// Stores what is not stored yet. A row always goes to the same heap.
    pub fn store(&self, heap: &mut Heap) -> Result<TreeRef, DoesNotFit> {
        match &self.root.places {
            Places::Leaf(segments) if segments.iter().all(|segment| segment.1 == Decision::NONE) => {
                Ok(TreeRef(0))
            }
            _ => Ok(TreeRef::new(self.root.store(heap)?, self.depth)),
        }
    }

    fn from_nodes(mut nodes: Vec<Child>, mut depth: u32) -> Self {
        loop {
            match &nodes[..] {
                [(_, root)] => return Self { root: Rc::clone(root), depth },
                _ => nodes = inner(nodes),
            }
            depth += 1;
        }
    }
}

impl Node {
    fn child(key: u32, places: Places) -> Child {
        (key, Rc::new(Self { places, line: Cell::new(0) }))
    }

    fn store(&self, heap: &mut Heap) -> Result<LineIndex, DoesNotFit> {
        if self.line.get() != 0 {
            return Ok(self.line.get());
        }
        let mut places = [(0, 0); FANOUT];
        let mut used = 0;
        match &self.places {
            Places::Leaf(segments) => {
                for (place, &(key, decision)) in places.iter_mut().zip(segments) {
                    (*place, used) = ((key, decision.0), used + 1);
                }
            }
            Places::Inner(children) => {
                for (place, (key, child)) in places.iter_mut().zip(children) {
                    (*place, used) = ((*key, child.store(heap)?), used + 1);
                }
            }
        }
        let line = heap.store(tree::node(&places[..used]))?;
        self.line.set(line);
        Ok(line)
    }
}

/// The nodes, one or more of the same depth, that replace `node`, which covers `first .. end`.
fn overlay(node: &Rc<Node>, first: u32, end: u32, over: &[Segment]) -> Vec<Child> {
    let over = within(over, first, end);
    let same = || vec![(first, Rc::clone(node))];
    if over.iter().all(|segment| segment.1 == Decision::NONE) {
        return same();
    }
    match &node.places {
        Places::Leaf(segments) => {
            let new = merge(segments, over, first, end);
            if new == *segments { same() } else { leaves(&new) }
        }
        Places::Inner(children) => {
            let mut new = Vec::with_capacity(children.len() + 1);
            for (place, (key, child)) in children.iter().enumerate() {
                let next = children.get(place + 1).map_or(end, |next| next.0);
                new.append(&mut overlay(child, *key, next, over));
            }
            let is_same = |(a, b): (&Child, &Child)| Rc::ptr_eq(&a.1, &b.1);
            if new.len() == children.len() && new.iter().zip(children).all(is_same) {
                same()
            } else {
                inner(new)
            }
        }
    }
}

/// The segments that reach into `first .. end`.
fn within(segments: &[Segment], first: u32, end: u32) -> &[Segment] {
    let from = segments.partition_point(|segment| segment.0 <= first).saturating_sub(1);
    let to = from + segments[from..].partition_point(|segment| segment.0 < end);
    &segments[from..to]
}

/// The smaller decisions of two lists of segments on `first .. end`.
fn merge(a: &[Segment], b: &[Segment], first: u32, end: u32) -> Vec<Segment> {
    let mut merged: Vec<Segment> = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let (mut of_a, mut of_b) = (Decision::NONE, Decision::NONE);
    let mut at = first;
    while at < end {
        while let Some(segment) = a.next_if(|segment| segment.0 <= at) {
            of_a = segment.1;
        }
        while let Some(segment) = b.next_if(|segment| segment.0 <= at) {
            of_b = segment.1;
        }
        let decision = of_a.min(of_b);
        if merged.last().is_none_or(|last| last.1 != decision) {
            merged.push((at, decision));
        }
        let next = |next: Option<&&Segment>| next.map_or(end, |segment| segment.0);
        at = next(a.peek()).min(next(b.peek()));
    }
    merged
}

fn leaves(segments: &[Segment]) -> Vec<Child> {
    let leaf = |part: &[Segment]| Node::child(part[0].0, Places::Leaf(part.to_vec()));
    segments.chunks(even(segments.len())).map(leaf).collect()
}

fn inner(nodes: Vec<Child>) -> Vec<Child> {
    let node = |part: &[Child]| Node::child(part[0].0, Places::Inner(part.to_vec()));
    nodes.chunks(even(nodes.len())).map(node).collect()
}

/// Size of the fewest parts of about the same size that hold `count`.
fn even(count: usize) -> usize {
    count.div_ceil(count.div_ceil(FANOUT).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use sg_common::heap::search;

    use super::*;
    use crate::compile::{random::Random, row::Services};

    fn intervals(random: &mut Random, count: u64) -> Vec<(Services, Decision)> {
        let interval = |random: &mut Random| {
            let first = random.below(1 << 25) as u32;
            let size = 1 << random.below(25);
            let end = (first + 1 + random.below(size) as u32).min(SERVICE_END);
            ((first, end), Decision::new(random.below(1000) as u32, 1))
        };
        (0..count).map(|_| interval(random)).collect()
    }

    #[test]
    fn layers_answer_as_one_row_of_all_intervals() {
        let mut random = Random::new(5);
        for count in [0, 1, 2, 5, 20, 100, 1000] {
            let mut heap = Heap::new(8 << 20, 0);
            let mut all = intervals(&mut random, count);
            let mut layered = LayeredRow::new(&Row::new(&mut all));
            for own in [1, 2, 0, 1, 30, 1, 500, 1] {
                let mut own = intervals(&mut random, own);
                layered = layered.overlay(&Row::new(&mut own));
                all.append(&mut own);
                let (flat, tree) = (Row::new(&mut all), layered.store(&mut heap).unwrap());
                let flat = flat.store(&mut heap).unwrap();
                assert_eq!(flat.is_empty(), tree.is_empty());
                let row = Row::new(&mut all);
                assert_eq!(
                    store_flat(&mut heap, &row).unwrap(),
                    LayeredRow::new(&row).store(&mut heap).unwrap()
                );
                let edges =
                    all.iter().flat_map(|&((first, end), _)| [first.saturating_sub(1), first, end - 1]);
                for key in edges.chain([0, SERVICE_END - 1]) {
                    assert_eq!(search(&heap, tree, key), search(&heap, flat, key), "{count}: key {key:x}");
                }
            }
        }
    }

    #[test]
    fn a_small_change_of_a_large_row_is_a_few_lines() {
        let mut random = Random::new(6);
        let mut heap = Heap::new(8 << 20, 0);
        let row = LayeredRow::new(&Row::new(&mut intervals(&mut random, 5000)));
        row.store(&mut heap).unwrap();
        let mark = heap.high_water();
        row.overlay(&Row::new(&mut [((1000, 1001), Decision::new(0, 0))])).store(&mut heap).unwrap();
        assert!(heap.high_water() - mark < 10);
    }
}
