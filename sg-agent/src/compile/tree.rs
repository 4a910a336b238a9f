//! The search tree of [`sg_common::heap`]: from sorted segments to lines.

use sg_common::{
    heap::{FANOUT, LINK, Line, TreeRef},
    limits::ADDRESS_STAGES,
};

use super::{error::DoesNotFit, heap::Heap};

/// Stores the tree that answers `value` from `key` up to the next segment's key. Keys ascend; what lies below the
/// first key gets the first value. No segments, or nothing but `nothing` in them, is the empty tree.
pub fn build(heap: &mut Heap, segments: &[(u32, u32)], nothing: u32) -> Result<TreeRef, DoesNotFit> {
    let mut level = merged(segments);
    if level.iter().all(|&(_, value)| value == nothing) {
        return Ok(TreeRef(0));
    }
    let mut depth = 0;
    loop {
        let mut above = Vec::with_capacity(level.len().div_ceil(FANOUT));
        for places in level.chunks(FANOUT) {
            above.push((places[0].0, heap.store(node(places))?));
        }
        match above[..] {
            [(_, root)] => return Ok(TreeRef::new(root, depth)),
            _ => level = above,
        }
        depth += 1;
    }
}

fn merged(segments: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut merged = Vec::with_capacity(segments.len());
    let mut last = None;
    for &(key, value) in segments {
        if last != Some(value) {
            merged.push((key, value));
        }
        last = Some(value);
    }
    merged
}

/// One line of one to eight places. The first key is not looked at: 0 there makes more lines equal.
pub fn node(places: &[(u32, u32)]) -> Line {
    let mut words = [u32::MAX; 2 * FANOUT];
    words[0] = 0;
    for (i, &(key, _)) in places.iter().enumerate().skip(1) {
        words[i] = key;
    }
    for i in 0..FANOUT {
        words[FANOUT + i] = places[i.min(places.len() - 1)].1;
    }
    Line(words)
}

/// Stores an IPv4 address tree. Keys are addresses in host order; 0 is the answer for none.
pub fn build_v4(heap: &mut Heap, segments: &[(u128, u32)]) -> Result<TreeRef, DoesNotFit> {
    let keys: Vec<(u32, u32)> = segments.iter().map(|&(key, value)| (key as u32, value)).collect();
    build(heap, &keys, 0)
}

/// Stores an IPv6 address tree: stages of 32 bits, joined by answers with [`LINK`].
pub fn build_v6(heap: &mut Heap, segments: &[(u128, u32)]) -> Result<TreeRef, DoesNotFit> {
    stage(heap, segments, 0, 0)
}

/// The tree of stage `number` for the segments of one block; `before` is the answer where the block begins.
fn stage(
    heap: &mut Heap,
    segments: &[(u128, u32)],
    number: usize,
    before: u32,
) -> Result<TreeRef, DoesNotFit> {
    let shift = 32 * (ADDRESS_STAGES - 1 - number);
    let piece = |key: u128| (key >> shift) as u32;
    let is_aligned = |key: u128| key & ((1u128 << shift) - 1) == 0;
    let mut out = vec![(0, before)];
    let mut carried = before;
    for block in segments.chunk_by(|a, b| piece(a.0) == piece(b.0)) {
        let (at, last) = (piece(block[0].0), block[block.len() - 1].1);
        if block.len() == 1 && is_aligned(block[0].0) {
            out.push((at, last));
        } else {
            let tree = stage(heap, block, number + 1, carried)?;
            out.push((at, if tree.is_empty() { 0 } else { LINK | tree.0 }));
            if let Some(after) = at.checked_add(1) {
                out.push((after, last));
            }
        }
        carried = last;
    }
    build(heap, &last_of_each_key(out), 0)
}

/// Of segments with the same key only the last counts.
fn last_of_each_key(segments: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::with_capacity(segments.len());
    for (key, value) in segments {
        match out.last_mut() {
            Some(last) if last.0 == key => last.1 = value,
            _ => out.push((key, value)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use sg_common::{
        addr::Addr,
        heap::{search, search_v6},
    };

    use super::*;
    use crate::compile::random::Random;

    fn answer<K: Ord + Copy>(segments: &[(K, u32)], key: K) -> u32 {
        segments.iter().rev().find(|segment| segment.0 <= key).map_or(segments[0].1, |segment| segment.1)
    }

    #[test]
    fn a_tree_answers_as_its_segments_do() {
        let mut random = Random::new(1);
        for size in (1..70).chain([500, 513, 4095, 5000]) {
            let mut heap = Heap::new(16 << 20, 0);
            let mut keys: Vec<u32> = (0..size).map(|_| random.next() as u32).collect();
            keys.extend([0, u32::MAX]);
            keys.sort_unstable();
            keys.dedup();
            let segments: Vec<_> = keys.iter().map(|&key| (key, random.below(5) as u32)).collect();
            let tree = build(&mut heap, &segments, 9).unwrap();
            for &key in &keys {
                for key in [key.wrapping_sub(1), key, key.wrapping_add(1), random.next() as u32] {
                    assert_eq!(search(&heap, tree, key), answer(&segments, key), "{size} keys, key {key}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_the_empty_tree() {
        let mut heap = Heap::new(1 << 20, 0);
        assert_eq!(build(&mut heap, &[], 0), Ok(TreeRef(0)));
        assert_eq!(build(&mut heap, &[(0, 7), (8, 7)], 7), Ok(TreeRef(0)));
        assert_eq!(heap.high_water(), heap.base());
    }

    #[test]
    fn an_ipv6_tree_answers_as_its_segments_do() {
        let mut random = Random::new(2);
        for size in [1, 2, 3, 10, 100, 1000] {
            let mut heap = Heap::new(16 << 20, 0);
            let mut keys: Vec<u128> = (0..size).map(|_| random.address(size < 100)).collect();
            keys.extend([0, u128::MAX]);
            keys.sort_unstable();
            keys.dedup();
            let segments: Vec<_> = keys.iter().map(|&key| (key, random.below(3) as u32)).collect();
            let tree = build_v6(&mut heap, &segments).unwrap();
            for &key in &keys {
                for key in [key.wrapping_sub(1), key, key.wrapping_add(1), random.address(true)] {
                    let found = search_v6(&heap, tree, &Addr(key.to_be_bytes()));
                    assert_eq!(found, answer(&segments, key), "{size} keys, key {key:x}");
                }
            }
        }
    }
}
