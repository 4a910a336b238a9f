//! One half of the kernel's policy heap while it is filled: append-only, equal lines stored once.
//!
//! Trees are made from the leaves up and their inner lines hold line numbers, so storing equal lines once also stores
//! equal trees, and the equal parts of trees that differ, once.

use std::sync::Arc;

use sg_common::heap::{Line, LineIndex};
use zerocopy::transmute;

use super::error::DoesNotFit;

const LINE_BYTES: u64 = size_of::<Line>() as u64;

/// Lines of one half, from its base line up.
///
/// A plan fills a copy of the heap in force. The lines up to [`Self::settle`] are shared by copies, so that a copy costs what
/// was added since.
#[derive(Clone, Debug)]
pub struct Heap {
    policy_bytes: u64,
    half: u32,
    base: LineIndex,
    end: LineIndex,
    settled: Arc<Lines>,
    added: Lines,
}

/// Lines and where each is.
#[derive(Clone, Debug, Default)]
struct Lines {
    lines: Vec<Line>,
    index: Index,
}

impl Lines {
    fn find(&self, hash: u64, line: &Line) -> Option<u32> {
        self.index.find(hash, |at| self.lines[at as usize] == *line)
    }

    fn push(&mut self, hash_of: u64, line: Line) {
        let Self { lines, index } = self;
        index.insert(hash_of, lines.len() as u32, |at| hash(&lines[at as usize]));
        lines.push(line);
    }

    fn of(lines: Vec<Line>) -> Self {
        let mut index = Index::default();
        for (offset, line) in (0..).zip(&lines) {
            index.insert(hash(line), offset, |at| hash(&lines[at as usize]));
        }
        Self { lines, index }
    }
}

impl Heap {
    /// The empty `half` (0 or 1) of a heap of `policy_bytes`. Line 0 belongs to nobody.
    pub fn new(policy_bytes: u64, half: u32) -> Self {
        let total = LineIndex::try_from(policy_bytes / LINE_BYTES).unwrap_or(LineIndex::MAX);
        let middle = total / 2;
        let (base, end) = if half == 0 { (1, middle.max(1)) } else { (middle.max(1), total.max(1)) };
        Self { policy_bytes, half, base, end, settled: Arc::default(), added: Lines::default() }
    }

    /// A half that already holds `lines`, read back from the kernel.
    pub fn restore(policy_bytes: u64, half: u32, lines: Vec<Line>) -> Self {
        Self { settled: Arc::new(Lines::of(lines)), ..Self::new(policy_bytes, half) }
    }

    /// Makes what was added part of what copies share. Cheap where there is no other copy.
    pub fn settle(&mut self) {
        if self.added.lines.is_empty() {
            return;
        }
        let settled = Arc::make_mut(&mut self.settled);
        for line in std::mem::take(&mut self.added).lines {
            settled.push(hash(&line), line);
        }
    }

    /// Which half it is.
    pub fn half(&self) -> u32 {
        self.half
    }

    /// Size of both halves together, in bytes.
    pub fn policy_bytes(&self) -> u64 {
        self.policy_bytes
    }

    /// First line of the half.
    pub fn base(&self) -> LineIndex {
        self.base
    }

    /// First line after the half.
    pub fn end(&self) -> LineIndex {
        self.end
    }

    /// First line not in use.
    pub fn high_water(&self) -> LineIndex {
        self.border() + self.added.lines.len() as u32
    }

    /// First line that is not shared.
    fn border(&self) -> LineIndex {
        self.base + self.settled.lines.len() as u32
    }

    /// The line number of `line`'s content, stored now unless it is there already.
    pub fn store(&mut self, line: Line) -> Result<LineIndex, DoesNotFit> {
        let hash_of = hash(&line);
        if let Some(offset) = self.settled.find(hash_of, &line) {
            return Ok(self.base + offset);
        }
        if let Some(offset) = self.added.find(hash_of, &line) {
            return Ok(self.border() + offset);
        }
        let at = self.high_water();
        if at >= self.end {
            let available = u64::from(self.end - self.base) * LINE_BYTES;
            return Err(DoesNotFit::PolicyBytes { available, policy_bytes: self.policy_bytes });
        }
        self.added.push(hash_of, line);
        Ok(at)
    }

    /// What was stored at and above line `mark`, an earlier [`Self::high_water`].
    pub fn new_lines_since(&self, mark: LineIndex) -> Vec<Line> {
        let settled = self.settled.lines.get(mark.saturating_sub(self.base) as usize..).unwrap_or_default();
        let added = self.added.lines.get(mark.saturating_sub(self.border()) as usize..).unwrap_or_default();
        [settled, added].concat()
    }

    /// Forgets what was stored at and above line `mark`.
    pub fn roll_back(&mut self, mark: LineIndex) {
        if mark >= self.high_water() {
            return;
        }
        let mut lines = std::mem::take(&mut self.added).lines;
        if mark < self.border() {
            let kept = &self.settled.lines[..mark.saturating_sub(self.base) as usize];
            self.settled = Arc::new(Lines::of(kept.to_vec()));
            lines.clear();
        }
        lines.truncate((mark - self.border()) as usize);
        self.added = Lines::of(lines);
    }

    /// The line with number `index`, if it is in use.
    pub fn line(&self, index: LineIndex) -> Option<&Line> {
        match index.checked_sub(self.border()) {
            Some(offset) => self.added.lines.get(offset as usize),
            None => self.settled.lines.get(index.checked_sub(self.base)? as usize),
        }
    }
}

impl sg_common::heap::Lines for Heap {
    fn line(&self, index: LineIndex) -> Option<&[u32; 16]> {
        Heap::line(self, index).map(|line| &line.0)
    }
}

/// Hash of a line: multiply and fold (constants as in `sg_common::conntrack::place`).
fn hash(line: &Line) -> u64 {
    let words: [u64; 8] = transmute!(line.0);
    let mut hash = 0x9e37_79b1_85eb_ca87u64;
    for word in words {
        hash = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
    }
    hash.wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// From hash to offset: open addressing, at most half full. A slot holds offset + 1, or 0.
#[derive(Clone, Debug, Default)]
struct Index {
    slots: Vec<u32>,
    used: usize,
}

impl Index {
    fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = (hash >> 32) as usize & mask;
        while let Some(offset) = self.slots[at].checked_sub(1) {
            if is_it(offset) {
                return Some(offset);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Adds `offset`, which is not there yet. `hash_of` tells the hash of an offset that is.
    fn insert(&mut self, hash: u64, offset: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 2 > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; (old.len() * 2).max(64)];
            for offset in old.into_iter().filter_map(|slot| slot.checked_sub(1)) {
                self.put(hash_of(offset), offset);
            }
        }
        self.put(hash, offset);
        self.used += 1;
    }

    fn put(&mut self, hash: u64, offset: u32) {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = offset + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_stored_once_and_restored() {
        let mut heap = Heap::new(1 << 20, 1);
        assert_eq!(heap.base(), (1 << 20) / 64 / 2);
        let lines: Vec<Line> = (0..1000).map(|n| Line([n % 300; 16])).collect();
        let numbers: Vec<_> = lines.iter().map(|&line| heap.store(line).unwrap()).collect();
        assert_eq!(heap.high_water() - heap.base(), 300);
        assert_eq!(numbers[5], numbers[305]);
        assert_eq!(heap.line(numbers[999]), Some(&lines[999]));
        heap.settle();
        let mut again = Heap::restore(1 << 20, 1, heap.new_lines_since(0));
        assert_eq!(again.store(Line([7; 16])), Ok(numbers[7]));
        assert_eq!(again.store(Line([300; 16])), Ok(heap.high_water()));
        assert_eq!(again.new_lines_since(heap.high_water()), [Line([300; 16])]);
    }

    #[test]
    fn copies_share_what_is_settled_and_nothing_else() {
        let mut heap = Heap::new(1 << 20, 0);
        let settled: Vec<_> = (0..100).map(|n| heap.store(Line([n; 16])).unwrap()).collect();
        heap.settle();
        let mut copy = heap.clone();
        assert!(Arc::ptr_eq(&copy.settled, &heap.settled));
        let mark = copy.high_water();
        assert_eq!(copy.store(Line([7; 16])), Ok(settled[7]));
        assert_eq!(copy.store(Line([200; 16])), Ok(mark));
        assert_eq!((copy.line(mark), heap.line(mark)), (Some(&Line([200; 16])), None));
        assert_eq!(heap.store(Line([300; 16])), Ok(mark));
        copy.roll_back(mark);
        assert_eq!((copy.high_water(), copy.store(Line([400; 16]))), (mark, Ok(mark)));
        copy.settle();
        assert_eq!(copy.store(Line([400; 16])), Ok(mark));
        copy.roll_back(settled[50]);
        assert_eq!((copy.high_water(), copy.line(settled[50])), (settled[50], None));
        assert_eq!(heap.line(mark), Some(&Line([300; 16])));
    }

    #[test]
    fn a_full_half_names_the_setting() {
        let mut heap = Heap::new(64 * 8, 0);
        assert_eq!((0..3).map(|n| heap.store(Line([n; 16])).unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        let error = heap.store(Line([9; 16])).unwrap_err();
        assert!(error.to_string().contains("settings.limits.policy_bytes (512)"), "{error}");
        assert_eq!(heap.store(Line([2; 16])), Ok(3));
        assert_eq!(Heap::new(64 * 8, 1).base(), 4);
    }
}
