//! One direction of one set of groups: a chain of policy roots, one for each expiry and the last.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use sg_common::heap::{Decision, Line, LineIndex, PolicyRoot};
use zerocopy::transmute;

use super::{
    clock::Clock,
    error::DoesNotFit,
    fold::{self, Judge, Tables},
    heap::Heap,
    order::{PolicyKey, RuleRef},
    sets::{NamedSet, Sets},
};
use crate::policy::{
    Policy,
    model::{Action, Remote},
};

/// When a root gives way to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Wall time, as the policy file says it.
    pub time: SystemTime,
    /// The same in kernel ticks.
    pub tick: u64,
}

/// Ticks that were said of wall times before: they are kept unless the clock was set.
pub type KnownTicks = BTreeMap<SystemTime, u64>;

/// A compiled policy. Its rules' counters follow each other in evaluation order; the default's is after the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledPolicy {
    /// Line of the first root.
    pub root: LineIndex,
    /// The rules, by rank.
    #[serde(skip)]
    pub rules: Vec<RuleRef>,
    /// Where the roots of the chain end; the last never does.
    pub expiries: Vec<Expiry>,
    /// Groups that a rule names as remote.
    pub remotes: BTreeSet<String>,
    /// The sets that the membership trees know.
    pub sets: Vec<NamedSet>,
    /// Whether membership has to be looked up.
    pub has_members: bool,
}

impl CompiledPolicy {
    /// Whether its rules expire when they should by `clock`: not if the wall clock was set since it was compiled, nor if
    /// the machine slept, which stops the ticks.
    pub fn agrees_with(&self, clock: &Clock) -> bool {
        self.expiries.iter().all(|one| clock.steady(clock.tick(one.time), Some(one.tick)) == one.tick)
    }
}

/// Compiles the policy that `key` names.
pub fn compile_direction(
    heap: &mut Heap,
    policy: &Policy,
    key: &PolicyKey,
    sets: &Sets,
    clock: &Clock,
    known_ticks: &KnownTicks,
) -> Result<CompiledPolicy, DoesNotFit> {
    let rules = key.ranked(policy)?;
    let judges = judges(policy, key, &rules);
    let remotes = remotes(&judges);
    let expiries = expiries(policy, key, clock, known_ticks)?;
    let sets = sets.naming(&remotes);
    let mut roots: Vec<PolicyRoot> = Vec::new();
    for version in 0..=expiries.len() {
        let since = version.checked_sub(1).map_or(clock.now_wall, |last| expiries[last].time);
        let ended = |judge: &Judge| judge.rule.expires.is_some_and(|time| time <= since);
        let ends_now = |judge: &Judge| judge.rule.expires == Some(since);
        let mut root = match roots.last() {
            Some(&before) if !judges.iter().any(ends_now) => before,
            _ => {
                let live: Vec<Judge> = judges.iter().filter(|judge| !ended(judge)).copied().collect();
                let Tables { base, prefixes } = fold::tables(heap, policy, &live)?;
                let members = fold::members(heap, &live, &sets)?;
                let default = key.default(policy, rules.len()).0;
                PolicyRoot { base, prefixes, members, default, ..PolicyRoot::default() }
            }
        };
        root.version = version as u32;
        root.until = expiries.get(version).map_or(u64::MAX, |expiry| expiry.tick);
        roots.push(root);
    }
    let has_members = has_members(&roots);
    Ok(CompiledPolicy { root: store(heap, roots)?, rules, expiries, remotes, sets, has_members })
}

/// `compiled` with its membership trees made again, if the sets it is about have changed. Nothing else is compiled.
pub fn with_sets(
    heap: &mut Heap,
    policy: &Policy,
    key: &PolicyKey,
    compiled: &CompiledPolicy,
    sets: &Sets,
) -> Result<Option<CompiledPolicy>, DoesNotFit> {
    let sets = sets.naming(&compiled.remotes);
    if sets == compiled.sets {
        return Ok(None);
    }
    let judges = judges(policy, key, &compiled.rules);
    let naming: Vec<Judge> =
        judges.into_iter().filter(|judge| matches!(judge.rule.remote, Remote::Group(_))).collect();
    let mut roots = chain(heap, compiled.root);
    let ends: Vec<u64> = roots.iter().map(|root| root.until).collect();
    for (place, root) in roots.iter_mut().enumerate() {
        let ended = |judge: &Judge| match (judge.rule.expires, place.checked_sub(1)) {
            (None, _) => false,
            (Some(time), before) => match compiled.expiries.iter().find(|expiry| expiry.time == time) {
                Some(expiry) => before.is_some_and(|before| expiry.tick <= ends[before]),
                None => true,
            },
        };
        let live: Vec<Judge> = naming.iter().filter(|judge| !ended(judge)).copied().collect();
        root.members = fold::members(heap, &live, &sets)?;
    }
    let has_members = has_members(&roots);
    Ok(Some(CompiledPolicy { root: store(heap, roots)?, sets, has_members, ..compiled.clone() }))
}

/// The roots from `line` on, in order.
pub fn chain(heap: &Heap, line: LineIndex) -> Vec<PolicyRoot> {
    let root = |line| heap.line(line).map(|line| -> PolicyRoot { transmute!(*line) });
    std::iter::successors(root(line), |before| root(before.next)).collect()
}

fn judges<'a>(policy: &'a Policy, key: &PolicyKey, rules: &[RuleRef]) -> Vec<Judge<'a>> {
    let judge = |(rank, &rule)| {
        let (group, rule) = key.rule(policy, rule)?;
        let allow = if rule.action == Action::Allow { Decision::ALLOW } else { 0 };
        let stateless = if group.stateful { 0 } else { Decision::STATELESS };
        Some(Judge { rule, decision: Decision::new(rank, allow | stateless) })
    };
    (0..).zip(rules).filter_map(judge).collect()
}

fn remotes(judges: &[Judge]) -> BTreeSet<String> {
    let mut remotes = BTreeSet::new();
    for judge in judges {
        if let Remote::Group(name) = &judge.rule.remote
            && !remotes.contains(name)
        {
            remotes.insert(name.clone());
        }
    }
    remotes
}

fn expiries(
    policy: &Policy,
    key: &PolicyKey,
    clock: &Clock,
    known: &KnownTicks,
) -> Result<Vec<Expiry>, DoesNotFit> {
    let tick = |time| clock.steady(clock.tick(time), known.get(&time).copied());
    let expiry = |time| Expiry { time, tick: tick(time) };
    Ok(key.expiry_times(policy, clock.now_wall)?.into_iter().map(expiry).collect())
}

fn has_members(roots: &[PolicyRoot]) -> bool {
    roots.iter().any(|root| root.members != [0; 2])
}

/// Stores a chain from its end, each root with the line of the next.
fn store(heap: &mut Heap, roots: Vec<PolicyRoot>) -> Result<LineIndex, DoesNotFit> {
    roots.into_iter().rev().try_fold(0, |next, root| {
        let line: Line = transmute!(PolicyRoot { next, ..root });
        heap.store(line)
    })
}
