//! Prefixes: a forest (two prefixes are apart, or one holds the other) folded into the segments of an address tree.

use ipnet::IpNet;
use sg_common::{
    addr::{V4, V6},
    heap::TreeRef,
};

use super::{error::DoesNotFit, heap::Heap, tree};

/// A prefix as the addresses it holds, of whichever family. Sorting puts a prefix before those that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// First address.
    pub first: u128,
    /// Last address.
    pub last: u128,
}

impl Net {
    /// The prefix and its family, [`V4`] or [`V6`].
    pub fn of(net: &IpNet) -> (usize, Self) {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                (V4, Self { first: first.into(), last: last.into() })
            }
            IpNet::V6(net) => (V6, Self { first: net.network().into(), last: net.broadcast().into() }),
        }
    }

    fn place(&self) -> (u128, u128) {
        (self.first, !self.last)
    }
}

/// What a fold gives for one prefix: what its own inner prefixes are folded with, and the answer for its addresses.
pub struct Folded<V> {
    /// Handed to the fold of each prefix inside.
    pub inner: V,
    /// Answer of the address tree.
    pub answer: u32,
}

/// Stores the address tree of `family` for `items`: each distinct prefix answers what `fold` makes of the value of the
/// prefix around it and of its own items. Addresses in no prefix answer 0.
pub fn fold<T, V>(
    heap: &mut Heap,
    family: usize,
    items: &mut [(Net, T)],
    mut fold: impl FnMut(&mut Heap, Option<&V>, &[(Net, T)]) -> Result<Folded<V>, DoesNotFit>,
) -> Result<TreeRef, DoesNotFit> {
    items.sort_by_key(|(net, _)| net.place());
    let mut sweep = Sweep { segments: vec![(0, 0)], open: Vec::new() };
    for own in items.chunk_by(|a, b| a.0 == b.0) {
        let net = own[0].0;
        sweep.close_before(net.first);
        let around = sweep.open.last().map(|(_, folded)| &folded.inner);
        let folded = fold(heap, around, own)?;
        sweep.emit(net.first, folded.answer);
        sweep.open.push((net.last, folded));
    }
    sweep.close_before(u128::MAX);
    if family == V4 {
        sweep.segments.retain(|&(first, _)| first <= u128::from(u32::MAX));
        tree::build_v4(heap, &sweep.segments)
    } else {
        tree::build_v6(heap, &sweep.segments)
    }
}

/// The walk over the forest: segments so far, and the prefixes around the place reached, outermost first.
struct Sweep<V> {
    segments: Vec<(u128, u32)>,
    open: Vec<(u128, Folded<V>)>,
}

impl<V> Sweep<V> {
    fn close_before(&mut self, first: u128) {
        while let Some((last, _)) = self.open.pop_if(|(last, _)| *last < first) {
            let outside = self.open.last().map_or(0, |(_, folded)| folded.answer);
            self.emit(last + 1, outside);
        }
    }

    fn emit(&mut self, first: u128, answer: u32) {
        if self.segments.last().is_some_and(|segment| segment.0 == first) {
            self.segments.pop();
        }
        if self.segments.last().is_none_or(|segment| segment.1 != answer) {
            self.segments.push((first, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use sg_common::{
        addr::Addr,
        heap::{search_v4, search_v6},
    };

    use super::*;
    use crate::compile::random::Random;

    /// The answer of a prefix is its number times two, plus one if it is inside another.
    fn table(heap: &mut Heap, family: usize, items: &mut [(Net, u32)]) -> TreeRef {
        fold(heap, family, items, |_, around: Option<&()>, own| {
            let answer = own[0].1 * 2 + u32::from(around.is_some());
            Ok(Folded { inner: (), answer })
        })
        .unwrap()
    }

    fn naive(items: &[(Net, u32)], addr: u128) -> u32 {
        let holds = |net: &Net| net.first <= addr && addr <= net.last;
        let holding = || items.iter().filter(|(net, _)| holds(net));
        let Some(size) = holding().map(|(net, _)| net.last - net.first).min() else { return 0 };
        let (_, number) = holding().find(|(net, _)| net.last - net.first == size).unwrap();
        number * 2 + u32::from(holding().any(|(net, _)| net.last - net.first > size))
    }

    #[test]
    fn the_narrowest_prefix_answers() {
        let mut random = Random::new(4);
        for family in [V4, V6] {
            for count in [0, 1, 2, 5, 30, 300] {
                let mut items: Vec<_> =
                    (1..=count).map(|number| (Net::of(&random.prefix(family)).1, number)).collect();
                let mut heap = Heap::new(8 << 20, 0);
                let tree = table(&mut heap, family, &mut items);
                assert_eq!(tree.is_empty(), count == 0);
                let inside = |net: &Net| [net.first, net.last, net.last.wrapping_add(1)];
                let mut addrs: Vec<u128> = items.iter().flat_map(|(net, _)| inside(net)).collect();
                addrs.push(0);
                for addr in addrs {
                    let (found, addr) = if family == V4 {
                        (search_v4(&heap, tree, (addr as u32).to_be_bytes()), u128::from(addr as u32))
                    } else {
                        (search_v6(&heap, tree, &Addr(addr.to_be_bytes())), addr)
                    };
                    assert_eq!(found, naive(&items, addr), "{addr:x} of {count}");
                }
            }
        }
    }
}
