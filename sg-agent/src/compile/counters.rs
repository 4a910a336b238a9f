//! Rule counters: each direction of each interface has a range of them, one for each rule and one for the default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::order::{PolicyKey, RuleRef};
use crate::policy::{
    Policy,
    model::{Group, Rule},
};

/// Counters `base .. base + len`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CounterRange {
    /// First counter.
    pub base: u32,
    /// How many.
    pub len: u32,
}

/// Ranges that are taken.
#[derive(Debug)]
pub struct Counters {
    limit: u32,
    taken: BTreeMap<u32, u32>,
}

impl Counters {
    /// `limit` counters, of which `taken` are.
    pub fn new(limit: u32, taken: impl Iterator<Item = CounterRange>) -> Self {
        let taken = taken.filter(|range| range.len > 0).map(|range| (range.base, range.len)).collect();
        Self { limit, taken }
    }

    /// Takes the first gap of `len` counters.
    pub fn take(&mut self, len: u32) -> Option<CounterRange> {
        let mut base = 0u32;
        for (&first, &taken) in &self.taken {
            if first - base >= len {
                break;
            }
            base = first + taken;
        }
        if base.checked_add(len)? > self.limit {
            return None;
        }
        self.taken.insert(base, len);
        Some(CounterRange { base, len })
    }
}

/// The rules of a compiled policy, for comparing.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    /// Where the rules are.
    pub policy: &'a Policy,
    /// Whose they are.
    pub key: &'a PolicyKey,
    /// The rules by rank.
    pub rules: &'a [RuleRef],
}

/// Consecutive rules that go on as consecutive rules: ranks `from .. from + len` or counters become `to .. to + len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// First number before.
    pub from: u32,
    /// First number now.
    pub to: u32,
    /// How many.
    pub len: u32,
}

impl Run {
    /// Each number before and now.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        (self.from..self.from + self.len).zip(self.to..)
    }

    /// The same run from other numbers on.
    #[must_use]
    pub fn after(self, from: u32, to: u32) -> Self {
        Self { from: self.from + from, to: self.to + to, ..self }
    }
}

/// Adds a run, to the last one if it goes on there.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.from + last.len == run.from && last.to + last.len == run.to => last.len += run.len,
        _ if run.len == 0 => {}
        _ => runs.push(run),
    }
}

/// How rules moved from one listing to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Every rule has the rank that it had.
    Nothing,
    /// The ranks of the rules that are in both (the default, of the last rank, included).
    Ranks(Vec<Run>),
}

/// Compares two listings of one direction. A rule is the same if its group and everything but its description and index is.
pub fn moved(old: Listing, new: Listing) -> Moved {
    let (old_rules, new_rules) = (old.resolved(), new.resolved());
    let equal = old_rules.iter().zip(&new_rules).take_while(|(old, new)| is_same(old, new)).count();
    if equal == old_rules.len() && equal == new_rules.len() {
        return Moved::Nothing;
    }
    let (old_tail, new_tail) = (&old_rules[equal..], &new_rules[equal..]);
    let both = old_tail.iter().rev().zip(new_tail.iter().rev());
    let equal_at_end = both.take_while(|(old, new)| is_same(old, new)).count();
    let (old_end, new_end) = (old_rules.len() - equal_at_end, new_rules.len() - equal_at_end);
    let mut runs = Vec::new();
    push(&mut runs, Run { from: 0, to: 0, len: equal as u32 });
    for (from, to) in matched(&old_rules[..old_end], &new_rules[..new_end], equal) {
        push(&mut runs, Run { from, to, len: 1 });
    }
    // The default comes after the last rule.
    let len = (old_rules.len() - old_end) as u32 + 1;
    push(&mut runs, Run { from: old_end as u32, to: new_end as u32, len });
    Moved::Ranks(runs)
}

type Resolved<'a> = (&'a Group, &'a Rule);

/// Pairs the rules from rank `from` on; of several equal ones the first goes with the first.
fn matched(old: &[Resolved], new: &[Resolved], from: usize) -> Vec<(u32, u32)> {
    let sorted = |rules: &[Resolved]| {
        let mut ranks: Vec<usize> = (from..rules.len()).collect();
        ranks.sort_by(|&a, &b| identity(rules[a]).cmp(&identity(rules[b])));
        ranks
    };
    let (old_ranks, new_ranks) = (sorted(old), sorted(new));
    let (mut a, mut b) = (0, 0);
    let mut pairs = Vec::new();
    while let (Some(&x), Some(&y)) = (old_ranks.get(a), new_ranks.get(b)) {
        match identity(old[x]).cmp(&identity(new[y])) {
            std::cmp::Ordering::Less => a += 1,
            std::cmp::Ordering::Greater => b += 1,
            std::cmp::Ordering::Equal => {
                pairs.push((x as u32, y as u32));
                a += 1;
                b += 1;
            }
        }
    }
    pairs
}

fn identity<'a>((group, rule): Resolved<'a>) -> impl Ord + 'a {
    (rule.priority, rule.action, &group.name, &rule.remote, &rule.matches, rule.families, rule.expires)
}

fn is_same(old: &Resolved, new: &Resolved) -> bool {
    old.0.name == new.0.name && means_the_same(old.1, new.1)
}

/// Whether two rules match the same packets and decide alike; description and index do not matter.
pub fn means_the_same(a: &Rule, b: &Rule) -> bool {
    a.priority == b.priority
        && a.action == b.action
        && a.direction == b.direction
        && a.families == b.families
        && a.expires == b.expires
        && a.matches == b.matches
        && a.remote == b.remote
}

impl<'a> Listing<'a> {
    fn resolved(&self) -> Vec<Resolved<'a>> {
        self.rules.iter().filter_map(|&rule| self.key.rule(self.policy, rule)).collect()
    }
}
