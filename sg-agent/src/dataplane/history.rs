//! What rules have behind them: counts in counters that they no longer have, and since when they are in force.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use sg_common::stats::RuleCounter;

use crate::compile::counters::{CounterRange, Run};

/// What is remembered of rules, by the counter that they have now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What was counted elsewhere: packets, bytes, last hit.
    counts: BTreeMap<u32, [u64; 3]>,
    /// When their counter was taken for them or an equal rule before.
    since: Ages,
}

/// What a change does to counters.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// Those that count anew.
    pub zeroed: &'a [CounterRange],
    /// Old and new counters of rules that are the same.
    pub moved: &'a [Run],
    /// When.
    pub tick: u64,
}

impl History {
    /// Adds what was carried over to a counter.
    pub fn add_to(&self, at: u32, counter: &mut RuleCounter) {
        if let Some([packets, bytes, last_hit]) = self.counts.get(&at) {
            counter.packets += packets;
            counter.bytes += bytes;
            counter.last_hit = counter.last_hit.max(*last_hit);
        }
    }

    /// The tick from which on the rule of a counter, or one that is the same, has been in force.
    pub fn since(&self, at: u32) -> Option<u64> {
        self.since.within(at..at + 1).next().map(|(_, tick)| tick)
    }

    /// What is remembered after a change. `counted` gives what the kernel has counted in a counter.
    #[must_use]
    pub fn after(&self, renewal: Renewal, mut counted: impl FnMut(u32) -> RuleCounter) -> Self {
        let Renewal { zeroed, moved, tick } = renewal;
        let mut next = self.clone();
        for range in zeroed.iter().map(|range| range.base..range.base + range.len) {
            let anew: Vec<u32> = next.counts.range(range.clone()).map(|(at, _)| *at).collect();
            for at in anew {
                next.counts.remove(&at);
            }
            next.since.set(range, tick);
        }
        for run in moved {
            for (from, to) in run.pairs() {
                next.keep(to, self.whole(from, counted(from)));
            }
            for (range, tick) in self.since.within(run.from..run.from + run.len) {
                let to = |at: u32| at - run.from + run.to;
                next.since.set(to(range.start)..to(range.end), tick);
            }
        }
        next
    }

    /// What is remembered when the change that moved rules is taken back: what the new counters have counted meanwhile
    /// belongs to the old ones.
    #[must_use]
    pub fn returned(mut self, moved: &[Run], mut counted: impl FnMut(u32) -> RuleCounter) -> Self {
        for (from, to) in moved.iter().flat_map(Run::pairs) {
            let sum = counted(to);
            if sum.packets > 0 {
                self.keep(from, self.whole(from, sum));
            }
        }
        self
    }

    /// What was counted, with what was carried over.
    fn whole(&self, at: u32, mut counter: RuleCounter) -> RuleCounter {
        self.add_to(at, &mut counter);
        counter
    }

    fn keep(&mut self, at: u32, RuleCounter { packets, bytes, last_hit, .. }: RuleCounter) {
        if packets > 0 {
            self.counts.insert(at, [packets, bytes, last_hit]);
        }
    }
}

/// A tick for each counter that has one: runs of counters, by the first, with their length and tick. They never overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ages(BTreeMap<u32, (u32, u64)>);

impl Ages {
    /// The parts of `range` that have a tick.
    fn within(&self, range: Range<u32>) -> impl Iterator<Item = (Range<u32>, u64)> {
        let before = self.0.range(..range.start).next_back();
        let Range { start, end } = range;
        let runs = before.into_iter().chain(self.0.range(start..end.max(start)));
        let part = move |(&first, &(len, tick)): (&u32, &(u32, u64))| {
            (first.max(start)..(first + len).min(end), tick)
        };
        runs.map(part).filter(|(part, _)| !part.is_empty())
    }

    /// Gives `range` a tick.
    fn set(&mut self, range: Range<u32>, tick: u64) {
        if range.is_empty() {
            return;
        }
        self.cut(range.start);
        self.cut(range.end);
        let inside: Vec<u32> = self.0.range(range.clone()).map(|(first, _)| *first).collect();
        for first in inside {
            self.0.remove(&first);
        }
        let Range { mut start, mut end } = range;
        let before = self.0.range(..start).next_back();
        if let Some((&first, _)) = before.filter(|(first, run)| *first + run.0 == start && run.1 == tick) {
            start = first;
        }
        if let Some((len, _)) = self.0.get(&end).copied().filter(|run| run.1 == tick) {
            self.0.remove(&end);
            end += len;
        }
        self.0.insert(start, (end - start, tick));
    }

    /// Makes a run begin at `at`, if one goes across.
    fn cut(&mut self, at: u32) {
        if let Some((&first, run)) = self.0.range_mut(..at).next_back()
            && first + run.0 > at
        {
            let rest = (first + run.0 - at, run.1);
            run.0 = at - first;
            self.0.insert(at, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(packets: u64) -> RuleCounter {
        RuleCounter { packets, bytes: packets * 100, last_hit: packets, reserved: 0 }
    }

    fn ages(runs: &[(Range<u32>, u64)]) -> Ages {
        let mut ages = Ages::default();
        runs.iter().for_each(|(range, tick)| ages.set(range.clone(), *tick));
        ages
    }

    fn history() -> History {
        let counts = BTreeMap::from([(5, [1, 1, 1]), (10, [9, 9, 9])]);
        History { counts, since: ages(&[(0..6, 40)]) }
    }

    fn run(from: u32, to: u32, len: u32) -> Run {
        Run { from, to, len }
    }

    #[test]
    fn counts_go_with_their_rules() {
        let zeroed = [CounterRange { base: 10, len: 3 }];
        let renewal = Renewal { zeroed: &zeroed, moved: &[run(0, 11, 2)], tick: 70 };
        let after = history().after(renewal, |at| counter(if at == 0 { 7 } else { 0 }));
        assert_eq!(after.counts, BTreeMap::from([(5, [1, 1, 1]), (11, [7, 700, 7])]));
        let mut now = counter(2);
        after.add_to(11, &mut now);
        assert_eq!((now.packets, now.bytes, now.last_hit), (9, 900, 7));
        let again =
            Renewal { zeroed: &[CounterRange { base: 20, len: 1 }], moved: &[run(11, 20, 1)], tick: 80 };
        assert_eq!(after.after(again, |_| counter(2)).counts[&20], [9, 900, 7]);
    }

    #[test]
    fn a_rule_that_moves_keeps_its_age() {
        let zeroed = [CounterRange { base: 10, len: 3 }];
        let renewal = Renewal { zeroed: &zeroed, moved: &[run(0, 11, 1)], tick: 70 };
        let after = history().after(renewal, |_| counter(0));
        let since = [0, 5, 6, 10, 11, 12, 13].map(|at| after.since(at));
        assert_eq!(since, [Some(40), Some(40), None, Some(70), Some(40), Some(70), None]);
    }

    #[test]
    fn what_was_counted_until_a_change_was_taken_back_is_kept() {
        let back = history().returned(&[run(5, 20, 1), run(4, 21, 1)], |at| counter(u64::from(at == 20) * 3));
        assert_eq!(back.counts, BTreeMap::from([(5, [4, 301, 3]), (10, [9, 9, 9])]));
    }

    #[test]
    fn ages_are_runs_that_never_overlap() {
        let mut all = ages(&[(0..10, 1), (20..30, 1), (10..20, 1)]);
        assert_eq!(all.0, BTreeMap::from([(0, (30, 1))]));
        all.set(5..8, 2);
        all.set(28..40, 2);
        let parts: Vec<_> = all.within(4..29).collect();
        assert_eq!(parts, [(4..5, 1), (5..8, 2), (8..28, 1), (28..29, 2)]);
        assert_eq!(all.within(40..50).count(), 0);
    }
}
