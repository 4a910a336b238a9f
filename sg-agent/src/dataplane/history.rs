//! What rules have behind them: counts in counters that they no longer have, and since when they are in force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sg_common::stats::RuleCounter;

use crate::compile::counters::CounterRange;

/// What is remembered of rules, by the counter that they have now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What was counted elsewhere: packets, bytes, last hit.
    counts: BTreeMap<u32, [u64; 3]>,
    /// When their counter was taken for them or an equal rule before: runs of counters, by the first.
    since: BTreeMap<u32, Run>,
}

/// Counters that were taken at one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    len: u32,
    tick: u64,
}

/// What a change does to counters.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// Those that count anew.
    pub zeroed: &'a [CounterRange],
    /// Old and new counter of rules that are the same.
    pub moved: &'a [(u32, u32)],
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
        let (first, run) = self.since.range(..=at).next_back()?;
        (at - first < run.len).then_some(run.tick)
    }

    /// What is remembered after a change. `counts` gives what a counter has, carried or not.
    pub fn after<E>(
        &self,
        renewal: Renewal,
        mut counts: impl FnMut(u32) -> Result<RuleCounter, E>,
    ) -> Result<Self, E> {
        let Renewal { zeroed, moved, tick } = renewal;
        let is_new = |at: u32| zeroed.iter().any(|range| (range.base..range.base + range.len).contains(&at));
        let mut next: BTreeMap<_, _> =
            self.counts.iter().filter(|(at, _)| !is_new(**at)).map(|(at, counts)| (*at, *counts)).collect();
        let mut since = self.ticks();
        since.extend(zeroed.iter().flat_map(|range| range.base..range.base + range.len).map(|at| (at, tick)));
        for &(from, to) in moved {
            let RuleCounter { packets, bytes, last_hit, .. } = counts(from)?;
            if packets > 0 {
                next.insert(to, [packets, bytes, last_hit]);
            }
            since.insert(to, self.since(from).unwrap_or(tick));
        }
        Ok(Self { counts: next, since: runs(since) })
    }

    /// What is remembered when the change that moved rules is taken back: what the new counters have counted meanwhile
    /// belongs to the old ones.
    pub fn returned<E>(
        mut self,
        moved: &[(u32, u32)],
        mut counted: impl FnMut(u32) -> Result<RuleCounter, E>,
    ) -> Result<Self, E> {
        for &(from, to) in moved {
            let mut sum = counted(to)?;
            if sum.packets > 0 {
                self.add_to(from, &mut sum);
                self.counts.insert(from, [sum.packets, sum.bytes, sum.last_hit]);
            }
        }
        Ok(self)
    }

    fn ticks(&self) -> BTreeMap<u32, u64> {
        let runs = self.since.iter();
        runs.flat_map(|(&first, run)| (first..first + run.len).map(|at| (at, run.tick))).collect()
    }
}

fn runs(ticks: BTreeMap<u32, u64>) -> BTreeMap<u32, Run> {
    let mut runs: Vec<(u32, Run)> = Vec::new();
    for (at, tick) in ticks {
        match runs.last_mut() {
            Some((first, run)) if *first + run.len == at && run.tick == tick => run.len += 1,
            _ => runs.push((at, Run { len: 1, tick })),
        }
    }
    runs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(packets: u64) -> RuleCounter {
        RuleCounter { packets, bytes: packets * 100, last_hit: packets, reserved: 0 }
    }

    fn history() -> History {
        let counts = BTreeMap::from([(5, [1, 1, 1]), (10, [9, 9, 9])]);
        History { counts, since: runs((0..6).map(|at| (at, 40)).collect()) }
    }

    #[test]
    fn counts_go_with_their_rules() {
        let zeroed = [CounterRange { base: 10, len: 3 }];
        let renewal = Renewal { zeroed: &zeroed, moved: &[(0, 11), (1, 12)], tick: 70 };
        let counts = |at| Ok::<_, ()>(counter(if at == 0 { 7 } else { 0 }));
        let after = history().after(renewal, counts).unwrap();
        assert_eq!(after.counts, BTreeMap::from([(5, [1, 1, 1]), (11, [7, 700, 7])]));
        let mut now = counter(2);
        after.add_to(11, &mut now);
        assert_eq!((now.packets, now.bytes, now.last_hit), (9, 900, 7));
    }

    #[test]
    fn a_rule_that_moves_keeps_its_age() {
        let zeroed = [CounterRange { base: 10, len: 3 }];
        let renewal = Renewal { zeroed: &zeroed, moved: &[(0, 11)], tick: 70 };
        let after = history().after(renewal, |_| Ok::<_, ()>(counter(0))).unwrap();
        let since = [0, 5, 6, 10, 11, 12, 13].map(|at| after.since(at));
        assert_eq!(since, [Some(40), Some(40), None, Some(70), Some(40), Some(70), None]);
    }

    #[test]
    fn what_was_counted_until_a_change_was_taken_back_is_kept() {
        let back =
            history().returned(&[(5, 20), (4, 21)], |at| Ok::<_, ()>(counter(u64::from(at == 20) * 3)));
        assert_eq!(back.unwrap().counts, BTreeMap::from([(5, [4, 301, 3]), (10, [9, 9, 9])]));
    }
}
