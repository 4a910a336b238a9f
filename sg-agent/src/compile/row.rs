//! Rows: from service key to the first rule that matches it.

use std::{cmp::Reverse, collections::BinaryHeap};

use sg_common::heap::{Decision, SERVICE_END, TreeRef, fragment_service, icmp_service, service};

use super::{error::DoesNotFit, heap::Heap, tree};
use crate::policy::model::{Action, Match, Rule};

/// Service keys `first .. end`.
pub type Services = (u32, u32);

/// The service keys that `rule` matches, the keys of later fragments included: there a rule without ports or types
/// matches, and so does one that denies, for the port might have been its own.
pub fn services(rule: &Rule, into: &mut Vec<Services>) {
    let protocol = match &rule.matches {
        Match::All => return into.push((0, SERVICE_END)),
        Match::Protocol(protocol) => {
            into.push((service(*protocol, 0), service(*protocol, u16::MAX) + 1));
            return into.push(fragments(*protocol));
        }
        Match::Ports(protocol, ranges) => {
            let keys = |port| service(*protocol, port);
            into.extend(ranges.iter().map(|range| (keys(range.first), keys(range.last) + 1)));
            *protocol
        }
        Match::Icmp { protocol, kind, code } => {
            let (first, last) = code.map_or((0, u8::MAX), |code| (code, code));
            let key = |code| icmp_service(*protocol, *kind, code);
            into.push((key(first), key(last) + 1));
            *protocol
        }
    };
    if rule.action == Action::Deny {
        into.push(fragments(protocol));
    }
}

fn fragments(protocol: u8) -> Services {
    let key = fragment_service(protocol);
    (key, key + (1 << 16))
}

/// First key of a segment and the decision on its keys, up to the next segment.
pub type Segment = (u32, Decision);

/// Ascending segments of service keys, each with its decision; the first begins at 0, neighbours differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Segment>);

impl Row {
    /// The row in which each key has the smallest decision of the intervals that hold it.
    pub fn new(intervals: &mut [(Services, Decision)]) -> Self {
        intervals.sort_unstable_by_key(|&((first, _), _)| first);
        let mut coming = intervals.iter().peekable();
        let mut active = BinaryHeap::new();
        let mut row = Self(Vec::with_capacity(2 * intervals.len() + 1));
        let mut at = 0;
        while at < SERVICE_END {
            while let Some((interval, decision)) = coming.next_if(|&&((first, _), _)| first <= at) {
                active.push(Reverse((*decision, interval.1)));
            }
            while active.peek().is_some_and(|&Reverse((_, end))| end <= at) {
                active.pop();
            }
            let begins = coming.peek().map_or(SERVICE_END, |&&((first, _), _)| first);
            let (decision, ends) =
                active.peek().map_or((Decision::NONE, SERVICE_END), |&Reverse(winner)| winner);
            row.push(at, decision);
            at = begins.min(ends);
        }
        row
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Stores the row; a row without a decision is the empty tree.
    pub fn store(&self, heap: &mut Heap) -> Result<TreeRef, DoesNotFit> {
        let segments: Vec<(u32, u32)> = self.0.iter().map(|&(key, decision)| (key, decision.0)).collect();
        tree::build(heap, &segments, Decision::NONE.0)
    }

    fn push(&mut self, key: u32, decision: Decision) {
        if self.0.last().is_none_or(|last| last.1 != decision) {
            self.0.push((key, decision));
        }
    }
}

#[cfg(test)]
mod tests {
    use sg_common::heap::search;

    use super::*;
    use crate::compile::random::Random;

    fn naive(intervals: &[(Services, Decision)], key: u32) -> Decision {
        let holds = |&&((first, end), _): &&(Services, Decision)| first <= key && key < end;
        intervals.iter().filter(holds).map(|&(_, decision)| decision).min().unwrap_or(Decision::NONE)
    }

    fn intervals(random: &mut Random, count: u64) -> Vec<(Services, Decision)> {
        (0..count)
            .map(|_| {
                let first = random.below(1 << 25) as u32;
                let end = first + 1 + random.below(u64::from(SERVICE_END - first)) as u32;
                ((first, end), Decision::new(random.below(1000) as u32, 1))
            })
            .collect()
    }

    #[test]
    fn a_row_answers_with_the_smallest_decision() {
        let mut random = Random::new(3);
        for count in 0..60 {
            let mut a = intervals(&mut random, count);
            let mut heap = Heap::new(1 << 20, 0);
            let tree = Row::new(&mut a).store(&mut heap).unwrap();
            assert_eq!(tree.is_empty(), count == 0);
            let edges =
                a.iter().flat_map(|&((first, end), _)| [first.saturating_sub(1), first, end - 1, end]);
            for key in edges.filter(|&key| key < SERVICE_END) {
                assert_eq!(Decision(search(&heap, tree, key)), naive(&a, key), "key {key:x}");
            }
        }
    }
}
