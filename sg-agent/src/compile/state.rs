//! What is in force, as far as the next plan has to know it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sg_common::{
    heap::{Line, LineIndex},
    interface::Interface,
    limits::MAX_ROOT_CHAIN,
};

use super::{
    counters::CounterRange,
    group_change::Edit,
    heap::Heap,
    interfaces::{Each, on_change},
    members::Members,
    order::{PolicyKey, View},
    plan::renew,
    policy::CompiledPolicy,
    sets::{NamedSet, Sets},
    zones::Zones,
};
use crate::policy::{
    Policy,
    model::{self, Direction, Group, Limits, Rule},
};

/// What is in force. Nothing in it is shared with the kernel; a plan makes the next one.
#[derive(Clone, Debug)]
pub struct State {
    /// Whether this is what the kernel has: not where nothing is in force, or nobody knows what is.
    pub(super) is_known: bool,
    pub(super) generation: u32,
    pub(super) limits: Limits,
    pub(super) heap: Heap,
    pub(super) policy: Arc<Policy>,
    pub(super) origin: Origin,
    pub(super) zones: Zones,
    pub(super) members: Arc<Members>,
    /// Whether members were changed one by one since the policy was applied.
    pub(super) members_changed: bool,
    pub(super) policies: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    pub(super) interfaces: BTreeMap<String, Bound>,
}

/// How the policy in force came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Number of the policy that was applied: another policy has another number.
    pub number: u32,
    /// What has become of its members one by one since.
    pub edits: Vec<Edit>,
}

/// An interface in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Place in the directory.
    pub slot: u32,
    /// Its entry of the policy file.
    pub spec: model::Interface,
    /// The groups bound to it.
    pub groups: Vec<String>,
    /// Names of its policies.
    pub keys: Each<Option<PolicyKey>>,
    /// Its rule counters.
    pub counters: Each<CounterRange>,
    /// Its directory entry.
    #[serde(with = "row_bytes")]
    pub row: Interface,
}

/// A rule in force on an interface; the default policy is not one.
#[derive(Clone, Debug)]
pub struct ListedRule<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// Enforced or only counted.
    pub view: View,
    /// Direction.
    pub direction: Direction,
    /// Its counter.
    pub counter: u32,
    /// Its group.
    pub group: &'a Group,
    /// The rule itself: index, description, action, priority.
    pub rule: &'a Rule,
}

/// A state that outlives the process. The heap's lines are not in it: they are read back from the kernel. Nor is the policy
/// among what is written of it: it is large, and stays while other things change; see [`Saved::with_policy`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    generation: u32,
    limits: Limits,
    heap_half: u32,
    heap_base: LineIndex,
    heap_high_water: LineIndex,
    #[serde(skip)]
    policy: Arc<Policy>,
    origin: Origin,
    zones: Zones,
    last_set: u32,
    sets: Vec<NamedSet>,
    policies: Vec<(PolicyKey, Arc<CompiledPolicy>)>,
    interfaces: BTreeMap<String, Bound>,
}

impl Saved {
    /// The generation.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Number of the policy that goes with it.
    pub fn policy_number(&self) -> u32 {
        self.origin.number
    }

    /// The whole, with the policy of its number as it was applied.
    #[must_use]
    pub fn with_policy(mut self, mut policy: Policy) -> Self {
        self.origin.edits.iter().for_each(|edit| edit.make(&mut policy));
        self.policy = Arc::new(policy);
        self
    }

    /// First line of the heap that belongs to the state, and the first that does not.
    pub fn heap_lines(&self) -> std::ops::Range<LineIndex> {
        self.heap_base..self.heap_high_water
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Indexes of the devices that were bound.
    pub fn devices(&self) -> BTreeSet<u32> {
        self.interfaces.values().map(|bound| bound.row.ifindex).collect()
    }

    /// See [`State::rehome`].
    pub fn rehome(&mut self, name: &str, ifindex: u32) -> bool {
        rehome(&mut self.interfaces, name, ifindex)
    }

    /// The interfaces by name.
    pub fn interfaces(&self) -> &BTreeMap<String, Bound> {
        &self.interfaces
    }

    /// The interfaces whose connections are judged anew since the generation of the state.
    pub fn renewed(&self) -> impl Iterator<Item = &Bound> {
        self.interfaces.values().filter(|bound| bound.row.generation == self.generation)
    }

    /// The same in `generation`, when it comes back after `rejected`, which had followed it.
    #[must_use]
    pub fn returned_from(mut self, rejected: &Self, generation: u32) -> Self {
        let after = (&rejected.interfaces, rejected.generation);
        returned(&mut self.interfaces, &self.policy, after, generation);
        Self { generation, ..self }
    }
}

fn rehome(interfaces: &mut BTreeMap<String, Bound>, name: &str, ifindex: u32) -> bool {
    let bound = interfaces.get_mut(name);
    bound.map(|bound| bound.row.ifindex = ifindex).is_some()
}

/// The interfaces of `policy`, `before` a change, when they come back `after` it (its interfaces and generation): what was
/// judged anew then is judged anew, from `generation` on. Returns the names of those.
pub fn returned(
    before: &mut BTreeMap<String, Bound>,
    policy: &Policy,
    after: (&BTreeMap<String, Bound>, u32),
    generation: u32,
) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, bound) in before {
        let same_device = |there: &&Bound| there.row.ifindex == bound.row.ifindex && there.slot == bound.slot;
        if after.0.get(name).filter(same_device).is_some_and(|there| there.row.generation == after.1) {
            renew(&mut bound.row, generation, on_change(policy, &bound.groups));
            changed.push(name.clone());
        }
    }
    changed
}

impl State {
    /// Nothing in force in tables of the given capacities.
    pub fn new(limits: Limits) -> Self {
        Self {
            is_known: false,
            generation: 0,
            limits,
            heap: Heap::new(limits.policy_bytes, 0),
            policy: Arc::default(),
            origin: Origin::default(),
            zones: Zones::default(),
            members: Arc::default(),
            members_changed: false,
            policies: BTreeMap::new(),
            interfaces: BTreeMap::new(),
        }
    }

    /// Something in force of which nothing is known but the tables' capacities, the generation and the heap half that
    /// it lies in. The next plan makes everything anew, in the other half, and all connections end.
    pub fn lost(limits: Limits, generation: u32, heap_half: u32) -> Self {
        // A chain of roots may have run ahead of the generation.
        let generation = generation.wrapping_add(MAX_ROOT_CHAIN as u32);
        Self { generation, heap: Heap::new(limits.policy_bytes, 1 - heap_half), ..Self::new(limits) }
    }

    /// The generation in force.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Makes the next plan cheap: it shares the lines that there are. Best called where there is no other copy.
    pub fn settle(&mut self) {
        self.heap.settle();
    }

    /// Moves on to `generation`, in which packets are judged as before.
    pub fn enter(&mut self, generation: u32) {
        self.generation = generation;
    }

    /// Forgets an interface whose device is another than it was although nothing tells them apart: the next plan binds
    /// it as one that was never there.
    pub fn forget(&mut self, name: &str) {
        self.interfaces.remove(name);
    }

    /// The device of an interface is another, which is judged as the one before was. False if it is not known.
    pub fn rehome(&mut self, name: &str, ifindex: u32) -> bool {
        rehome(&mut self.interfaces, name, ifindex)
    }

    /// Capacities of the kernel tables.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The policy in force.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Number of the policy in force: another policy has another number.
    pub fn policy_number(&self) -> u32 {
        self.origin.number
    }

    /// The policy is as it was applied: it is written down whole, with what has become of its members.
    pub fn forget_edits(&mut self) {
        self.origin.edits.clear();
    }

    /// The lines in force and those that were, until the other half is used.
    pub fn heap(&self) -> &Heap {
        &self.heap
    }

    /// Who is a member of what.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The number of a zone in which there is an interface.
    pub fn zone(&self, name: &str) -> Option<u32> {
        self.zones.number(name)
    }

    /// The interfaces by name.
    pub fn interfaces(&self) -> &BTreeMap<String, Bound> {
        &self.interfaces
    }

    /// Rule counters in use.
    pub fn counters(&self) -> u64 {
        let ranges = self.interfaces.values().flat_map(|bound| bound.counters.iter().flatten());
        ranges.map(|range| u64::from(range.len)).sum()
    }

    /// The compiled policy with this name.
    pub fn compiled(&self, key: &PolicyKey) -> Option<&CompiledPolicy> {
        self.policies.get(key).map(AsRef::as_ref)
    }

    /// The rule of `rank`; `None` if that is the default policy.
    pub fn rule(&self, key: &PolicyKey, rank: u32) -> Option<(&Group, &Rule)> {
        key.rule(&self.policy, *self.compiled(key)?.rules.get(rank as usize)?)
    }

    /// The rule of the interface `bound`, enforced or audited, that has this counter; `None` if none has, or that is a
    /// default's.
    pub fn rule_with_counter(&self, bound: &Bound, counter: u32) -> Option<(&Group, &Rule)> {
        let mut policies = bound.counters.iter().flatten().zip(bound.keys.iter().flatten());
        policies.find_map(|(range, key)| {
            let rank = counter.checked_sub(range.base).filter(|rank| *rank < range.len)?;
            self.rule(key.as_ref()?, rank)
        })
    }

    /// Every rule in force, by interface, enforced before audited, ingress before egress, in evaluation order.
    pub fn rules(&self) -> impl Iterator<Item = ListedRule<'_>> {
        let keys = |bound: &'_ Bound| {
            let counters = bound.counters.iter().flatten().map(|range| range.base).collect::<Vec<_>>();
            counters.into_iter().zip(bound.keys.iter().flatten().cloned().collect::<Vec<_>>())
        };
        self.interfaces.iter().flat_map(move |(interface, bound)| {
            keys(bound).filter_map(|(base, key)| Some((base, key?))).flat_map(move |(base, key)| {
                let rules = self.compiled(&key).map_or(&[][..], |compiled| &compiled.rules);
                (base..).zip(rules).filter_map(move |(counter, &rule)| {
                    let (group, rule) = key.rule(&self.policy, rule)?;
                    let (view, direction) = (key.view, key.direction);
                    Some(ListedRule { interface, view, direction, counter, group, rule })
                })
            })
        })
    }

    /// What has to be kept for a later process.
    pub fn save(&self) -> Saved {
        Saved {
            generation: self.generation,
            limits: self.limits,
            heap_half: self.heap.half(),
            heap_base: self.heap.base(),
            heap_high_water: self.heap.high_water(),
            policy: Arc::clone(&self.policy),
            origin: self.origin.clone(),
            zones: self.zones.clone(),
            last_set: self.members.sets().last(),
            sets: self.members.sets().all().collect(),
            policies: self.policies.iter().map(|(key, it)| (key.clone(), Arc::clone(it))).collect(),
            interfaces: self.interfaces.clone(),
        }
    }

    /// The state that was saved. `lines` are what the kernel's heap holds at [`Saved::heap_lines`].
    pub fn restore(saved: Saved, lines: Vec<Line>) -> Self {
        let sets = Sets::restore(saved.last_set, saved.sets);
        let specs = saved.interfaces.values().map(|bound| &bound.spec);
        let members = Members::of_policy(&saved.policy, specs, &saved.zones, &sets);
        let policies = saved.policies.into_iter().map(|(key, mut compiled)| {
            Arc::make_mut(&mut compiled).rules = key.ranked(&saved.policy).unwrap_or_default();
            (key, compiled)
        });
        Self {
            is_known: true,
            generation: saved.generation,
            limits: saved.limits,
            heap: Heap::restore(saved.limits.policy_bytes, saved.heap_half, lines),
            origin: saved.origin,
            zones: saved.zones,
            members: Arc::new(members),
            members_changed: false,
            policies: policies.collect(),
            interfaces: saved.interfaces,
            policy: saved.policy,
        }
    }

    /// The compiled policies that `keys` name.
    pub(super) fn compiled_each(&self, keys: &Each<Option<PolicyKey>>) -> Each<Option<Arc<CompiledPolicy>>> {
        [0, 1].map(|view: usize| {
            [0, 1].map(|direction: usize| self.policies.get(keys[view][direction].as_ref()?).cloned())
        })
    }

    /// The longest chain of roots in force, in expiries.
    pub(super) fn longest_chain(&self) -> u32 {
        self.policies.values().map(|compiled| compiled.expiries.len() as u32).max().unwrap_or(0)
    }
}

/// A directory entry as bytes.
mod row_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use sg_common::interface::Interface;
    use zerocopy::{FromBytes, IntoBytes};

    pub fn serialize<S: Serializer>(row: &Interface, to: S) -> Result<S::Ok, S::Error> {
        row.as_bytes().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Interface, D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        Interface::read_from_bytes(&bytes).map_err(|_| D::Error::custom("not a directory entry"))
    }
}
