//! From what is in force to what shall be: everything that has to be written, before anything is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sg_common::{
    control,
    heap::{Line, LineIndex},
    interface::Interface,
    members::{MemberKey, Membership},
};

use super::{
    changes::changed_groups,
    clock::Clock,
    counters::{CounterRange, Run},
    error::DoesNotFit,
    heap::Heap,
    interfaces::Binding,
    members::{Change, Members},
    planner::{Inputs, Planner},
    state::{Bound, State},
    zones::Zones,
};
use crate::policy::{
    Policy,
    model::{self, OnIngressChange},
};

/// Everything that has to be written, in this order: lines, zeroed and moved counters, members, the directory and
/// settings of the half that is not in force, then the control word. After a grace period the members to remove go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The generation that comes into force.
    pub generation: u32,
    /// Lines to write, from the given line on.
    pub lines: Vec<(LineIndex, Vec<Line>)>,
    /// Whether everything in force was compiled anew into the other half of the heap. That half must have been out of
    /// use for a grace period.
    pub switches_heap_half: bool,
    /// Settings.
    pub settings: control::Settings,
    /// Every slot in use with its entry.
    pub interfaces: Vec<(u32, Interface)>,
    /// Slots that were in use and are no longer.
    pub unbound: Vec<u32>,
    /// Memberships to write.
    pub members: Vec<(MemberKey, Membership)>,
    /// Members that nobody sees once the generation before is out of use.
    pub members_to_remove: Vec<MemberKey>,
    /// Rule counters that are new.
    pub counters_to_zero: Vec<CounterRange>,
    /// Counters of rules that are the same but have another one.
    pub counter_moves: Vec<Run>,
    pub(super) is_empty: bool,
}

impl Plan {
    /// Whether everything is already as it shall be.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }
}

/// What has to be written to bring `policy` into force on `bindings`, and the state that is then in force.
pub fn plan(
    state: &State,
    policy: &Arc<Policy>,
    bindings: &[Binding],
    clock: &Clock,
) -> Result<(Plan, State), DoesNotFit> {
    check_slots(state, bindings)?;
    let zones = state.zones.next(bindings.iter().map(|binding| &binding.spec.zone));
    let members = members(state, policy, bindings, &zones)?;
    let same_policy = Arc::ptr_eq(&state.policy, policy);
    let changed = if same_policy { BTreeSet::new() } else { changed_groups(&state.policy, policy) };
    let inputs =
        Inputs { state, policy, bindings, clock, zones: &zones, members: &members, changed: &changed };
    match Planner::new(&inputs, state.heap.clone(), true).run() {
        Err(DoesNotFit::PolicyBytes { .. }) if state.heap.high_water() > state.heap.base() => {
            let other = Heap::new(state.limits.policy_bytes, 1 - state.heap.half());
            Planner::new(&inputs, other, false).run()
        }
        done => done,
    }
}

/// The generation after one in which chains of roots ran up to `longest_chain` expiries on.
pub(super) fn next_generation(state: &State) -> u32 {
    state.generation.wrapping_add(1).wrapping_add(state.longest_chain())
}

/// The memberships that `changes` make, seen from `generation` on, and the members that then are none.
pub(super) fn memberships(
    changes: &[Change],
    generation: u32,
) -> (Vec<(MemberKey, Membership)>, Vec<MemberKey>) {
    let membership =
        |change: &Change| Membership { since: generation, now: change.now, before: change.before };
    let gone = changes.iter().filter(|change| change.now == 0).map(|change| change.key);
    (changes.iter().map(|change| (change.key, membership(change))).collect(), gone.collect())
}

/// The groups whose members changed, each with its zone.
pub(super) fn changed_members(changes: &[Change], old: &Members, new: &Members) -> BTreeSet<(u32, String)> {
    let mut seen = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for change in changes {
        if seen.insert((change.key.zone, change.before, change.now)) {
            let before: BTreeSet<&String> = old.sets().groups(change.before).iter().collect();
            let now: BTreeSet<&String> = new.sets().groups(change.now).iter().collect();
            let differing = before.symmetric_difference(&now);
            groups.extend(differing.map(|name| (change.key.zone, (*name).clone())));
        }
    }
    groups
}

/// Sets the generations of an entry that is judged anew from `generation` on.
pub(super) fn renew(row: &mut Interface, generation: u32, on_change: OnIngressChange) {
    row.generation = generation;
    if on_change == OnIngressChange::Clear {
        row.cleared = generation;
    }
}

fn check_slots(state: &State, bindings: &[Binding]) -> Result<(), DoesNotFit> {
    let limit = state.limits.interfaces;
    match bindings.iter().find(|binding| binding.slot > limit) {
        Some(&Binding { name, slot, .. }) => {
            Err(DoesNotFit::Interfaces { interface: name.to_owned(), slot, limit })
        }
        None => Ok(()),
    }
}

fn members(
    state: &State,
    policy: &Policy,
    bindings: &[Binding],
    zones: &Zones,
) -> Result<Arc<Members>, DoesNotFit> {
    let specs = bindings.iter().map(|binding| binding.spec);
    let is_same = !state.members_changed
        && *zones == state.zones
        && same_members(&state.policy, policy)
        && same_interfaces(&state.interfaces, bindings);
    if is_same {
        return Ok(Arc::clone(&state.members));
    }
    let members = Members::of_policy(policy, specs, zones, state.members.sets());
    let gone = state.members.diff(&members).iter().filter(|change| change.now == 0).count();
    let (needed, limit) = ((members.len() + gone) as u64, state.limits.members);
    if needed > u64::from(limit) {
        return Err(DoesNotFit::Members { needed, limit });
    }
    Ok(Arc::new(members))
}

fn same_members(old: &Policy, new: &Policy) -> bool {
    let same = |((a, old), (b, new)): ((&String, &model::Group), (&String, &model::Group))| {
        a == b && old.members == new.members
    };
    old.settings.default_group == new.settings.default_group
        && old.groups.len() == new.groups.len()
        && old.groups.iter().zip(&new.groups).all(same)
}

/// Whether the interfaces give the same members.
fn same_interfaces(old: &BTreeMap<String, Bound>, new: &[Binding]) -> bool {
    let same = |binding: &Binding| {
        old.get(binding.name).map(|bound| &bound.spec).is_some_and(|old| {
            let new = binding.spec;
            old.groups == new.groups
                && old.zone == new.zone
                && old.addresses == new.addresses
                && old.allowed_address_pairs == new.allowed_address_pairs
        })
    };
    old.len() == new.len() && new.iter().all(same)
}
