//! One attempt to compile everything into one half of the heap.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sg_common::{heap::LineIndex, interface::Interface};

use super::{
    clock::Clock,
    counters::{CounterRange, Counters, Listing, Moved, moved},
    error::DoesNotFit,
    heap::Heap,
    interfaces::{self, Binding, Each},
    members::Members,
    order::{PolicyKey, bound_groups},
    plan::{Plan, changed_members, memberships, next_generation, renew},
    policy::{self, CompiledPolicy, KnownTicks},
    settings::settings,
    state::{Bound, Origin, State},
    zones::Zones,
};
use crate::policy::Policy;

/// What a planner reads.
pub struct Inputs<'a> {
    /// What is in force.
    pub state: &'a State,
    /// What shall be.
    pub policy: &'a Arc<Policy>,
    /// The devices.
    pub bindings: &'a [Binding<'a>],
    /// The time.
    pub clock: &'a Clock,
    /// Zones of the bindings.
    pub zones: &'a Zones,
    /// Members of the policy.
    pub members: &'a Arc<Members>,
    /// Groups that mean something else than before.
    pub changed: &'a BTreeSet<String>,
}

/// The attempt.
pub struct Planner<'a> {
    inputs: &'a Inputs<'a>,
    heap: Heap,
    mark: LineIndex,
    may_reuse: bool,
    generation: u32,
    known_ticks: KnownTicks,
    changed_members: BTreeSet<(u32, String)>,
    /// The interfaces by slot and index of their device.
    sites: BTreeMap<(u32, u32), &'a Bound>,
    /// Slots and devices that stay what they are.
    kept: BTreeSet<(u32, u32)>,
    policies: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    counters: Counters,
    moves: BTreeMap<(PolicyKey, PolicyKey), Moved>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// Compiles into `heap`; if `may_reuse`, what is in force lies in it too.
    pub fn new(inputs: &'a Inputs<'a>, heap: Heap, may_reuse: bool) -> Self {
        let state = inputs.state;
        let expiries = state.policies.values().flat_map(|compiled| &compiled.expiries);
        let ranges = state.interfaces.values().flat_map(|bound| bound.counters.iter().flatten().copied());
        let sites = state.interfaces.values().map(|bound| ((bound.slot, bound.row.ifindex), bound));
        Self {
            sites: sites.collect(),
            kept: inputs.bindings.iter().map(|binding| (binding.slot, binding.ifindex)).collect(),
            mark: heap.high_water(),
            heap,
            may_reuse,
            generation: next_generation(state),
            known_ticks: expiries.map(|expiry| (expiry.time, expiry.tick)).collect(),
            changed_members: BTreeSet::new(),
            policies: BTreeMap::new(),
            counters: Counters::new(state.limits.rule_counters, ranges),
            moves: BTreeMap::new(),
            plan: Plan::default(),
            inputs,
        }
    }

    /// What has to be written, and what is then in force.
    pub fn run(mut self) -> Result<(Plan, State), DoesNotFit> {
        let Inputs { state, policy, bindings, members, .. } = *self.inputs;
        self.plan.generation = self.generation;
        self.plan.settings = settings(policy, self.inputs.clock);
        self.plan_members();
        let mut interfaces = BTreeMap::new();
        for binding in bindings {
            interfaces.insert(binding.name.to_owned(), self.bind(binding)?);
        }
        self.plan.interfaces = interfaces.values().map(|bound: &Bound| (bound.slot, bound.row)).collect();
        let used: BTreeSet<u32> = interfaces.values().map(|bound| bound.slot).collect();
        let was_used = state.interfaces.values().map(|bound| bound.slot);
        self.plan.unbound = was_used.filter(|slot| !used.contains(slot)).collect();
        self.plan_lines();
        self.plan.is_empty = self.is_empty(&interfaces);
        let generation = if self.plan.is_empty { state.generation } else { self.generation };
        let origin = match Arc::ptr_eq(&state.policy, policy) {
            true => state.origin.clone(),
            false => Origin { number: state.origin.number.wrapping_add(1), edits: Vec::new() },
        };
        let next = State {
            is_known: true,
            generation,
            limits: state.limits,
            heap: self.heap,
            policy: Arc::clone(policy),
            origin,
            zones: self.inputs.zones.clone(),
            members: Arc::clone(members),
            members_changed: false,
            policies: self.policies,
            interfaces,
        };
        Ok((self.plan, next))
    }

    fn plan_members(&mut self) {
        let Inputs { state, members, .. } = *self.inputs;
        if Arc::ptr_eq(&state.members, members) {
            return;
        }
        let changes = state.members.diff(members);
        (self.plan.members, self.plan.members_to_remove) = memberships(&changes, self.generation);
        self.changed_members = changed_members(&changes, &state.members, members);
    }

    fn plan_lines(&mut self) {
        let lines = self.heap.new_lines_since(self.mark);
        if !lines.is_empty() {
            self.plan.lines.push((self.mark, lines));
        }
        self.plan.switches_heap_half = !self.may_reuse;
    }

    fn is_empty(&self, interfaces: &BTreeMap<String, Bound>) -> bool {
        let Inputs { state, clock, .. } = *self.inputs;
        let rows = |interfaces: &BTreeMap<String, Bound>| -> Vec<(u32, Interface)> {
            interfaces.values().map(|bound| (bound.slot, bound.row)).collect()
        };
        state.is_known
            && !self.plan.switches_heap_half
            && self.plan.lines.is_empty()
            && self.plan.members.is_empty()
            && self.plan.settings == settings(&state.policy, clock)
            && rows(&state.interfaces) == rows(interfaces)
    }

    fn bind(&mut self, binding: &Binding) -> Result<Bound, DoesNotFit> {
        let Inputs { policy, zones, .. } = *self.inputs;
        let groups = bound_groups(policy, binding.spec);
        let keys = interfaces::keys(policy, &groups);
        let compiled = self.compile_each(&keys)?;
        let zone = zones.number(&binding.spec.zone).unwrap_or_default();
        let mut row = interfaces::row(&mut self.heap, policy, binding, zone, &groups, &compiled)?;
        let known = self.known(binding);
        let counters = self.counters(binding.name, known, &keys, &compiled)?;
        interfaces::set_counters(&mut row, &counters);
        let same_device =
            known.filter(|bound| bound.slot == binding.slot && bound.row.ifindex == binding.ifindex);
        match same_device {
            Some(old) => {
                let Interface { generation, born, cleared, .. } = old.row;
                row = Interface { generation, born, cleared, ..row };
                if self.is_judged_anew(old, &row, &groups, &compiled) {
                    renew(&mut row, self.generation, interfaces::on_change(policy, &groups));
                }
            }
            None => {
                let generation = self.generation;
                row = Interface { generation, born: generation, cleared: generation, ..row };
            }
        }
        Ok(Bound { slot: binding.slot, spec: binding.spec.clone(), groups, keys, counters, row })
    }

    /// The interface as it was: that of the same device, whatever its name was, else the one of that name, if its device
    /// has not got another name.
    fn known(&self, binding: &Binding) -> Option<&'a Bound> {
        let by_name = self.inputs.state.interfaces.get(binding.name);
        let site = |bound: &Bound| (bound.slot, bound.row.ifindex);
        if by_name.is_some_and(|bound| site(bound) == (binding.slot, binding.ifindex)) {
            return by_name;
        }
        let by_device = self.sites.get(&(binding.slot, binding.ifindex)).copied();
        by_device.or_else(|| by_name.filter(|bound| !self.kept.contains(&site(bound))))
    }

    /// Whether anything that judges the interface's packets is not what it was.
    fn is_judged_anew(
        &self,
        old: &Bound,
        row: &Interface,
        groups: &[String],
        compiled: &Each<Option<Arc<CompiledPolicy>>>,
    ) -> bool {
        let changed = self.inputs.changed;
        let before = self.inputs.state.compiled_each(&old.keys);
        let expiries = |each: &Each<Option<Arc<CompiledPolicy>>>| {
            each[0][0].as_ref().map(|compiled| compiled.expiries.clone())
        };
        let names = interfaces::remotes(compiled);
        let has_changed = |(zone, name): &(u32, String)| *zone == row.zone && names.contains(name.as_str());
        old.groups != groups
            || old.row.zone != row.zone
            || !interfaces::flags_judge_alike(old.row.flags, row.flags)
            || groups.iter().any(|name| changed.contains(name))
            || expiries(&before) != expiries(compiled)
            || self.changed_members.iter().any(has_changed)
    }

    fn compile_each(
        &mut self,
        keys: &Each<Option<PolicyKey>>,
    ) -> Result<Each<Option<Arc<CompiledPolicy>>>, DoesNotFit> {
        let mut each = Each::default();
        for view in 0..2 {
            for direction in 0..2 {
                if let Some(key) = &keys[view][direction] {
                    each[view][direction] = Some(self.compile(key)?);
                }
            }
        }
        Ok(each)
    }

    fn compile(&mut self, key: &PolicyKey) -> Result<Arc<CompiledPolicy>, DoesNotFit> {
        if let Some(compiled) = self.policies.get(key) {
            return Ok(Arc::clone(compiled));
        }
        let Inputs { state, policy, clock, members, .. } = *self.inputs;
        let is_reusable =
            |old: &&Arc<CompiledPolicy>| self.may_reuse && self.is_unchanged(key) && old.agrees_with(clock);
        let reusable = state.policies.get(key).filter(is_reusable);
        let compiled = match reusable {
            Some(old) => policy::with_sets(&mut self.heap, policy, key, old, members.sets())?
                .map_or_else(|| Arc::clone(old), Arc::new),
            None => {
                let heap = &mut self.heap;
                let known = &self.known_ticks;
                Arc::new(policy::compile_direction(heap, policy, key, members.sets(), clock, known)?)
            }
        };
        self.policies.insert(key.clone(), Arc::clone(&compiled));
        Ok(compiled)
    }

    fn is_unchanged(&self, key: &PolicyKey) -> bool {
        !key.bound.iter().any(|name| self.inputs.changed.contains(name))
    }

    fn counters(
        &mut self,
        interface: &str,
        old: Option<&Bound>,
        keys: &Each<Option<PolicyKey>>,
        compiled: &Each<Option<Arc<CompiledPolicy>>>,
    ) -> Result<Each<CounterRange>, DoesNotFit> {
        let mut ranges = Each::default();
        for (view, direction) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (Some(key), Some(compiled)) = (&keys[view][direction], &compiled[view][direction]) else {
                continue;
            };
            let old = old
                .and_then(|old| Some((old.keys[view][direction].as_ref()?, old.counters[view][direction])));
            ranges[view][direction] = self.range(interface, old, key, compiled)?;
        }
        Ok(ranges)
    }

    /// The old range if every rule has its place in it, else a new one, with what its rules counted so far.
    fn range(
        &mut self,
        interface: &str,
        old: Option<(&PolicyKey, CounterRange)>,
        key: &PolicyKey,
        compiled: &CompiledPolicy,
    ) -> Result<CounterRange, DoesNotFit> {
        let moved = old.map(|(old_key, range)| (range, self.moved(old_key, key, compiled)));
        if let Some((range, Moved::Nothing)) = moved {
            return Ok(range);
        }
        let (needed, limit) = (compiled.rules.len() as u32 + 1, self.inputs.state.limits.rule_counters);
        let range = self.counters.take(needed).ok_or_else(|| DoesNotFit::RuleCounters {
            interface: interface.to_owned(),
            needed,
            limit,
        })?;
        self.plan.counters_to_zero.push(range);
        if let Some((old, Moved::Ranks(ranks))) = moved {
            self.plan.counter_moves.extend(ranks.iter().map(|run| run.after(old.base, range.base)));
        }
        Ok(range)
    }

    fn moved(&mut self, old_key: &PolicyKey, key: &PolicyKey, compiled: &CompiledPolicy) -> Moved {
        if old_key == key && self.is_unchanged(key) {
            return Moved::Nothing;
        }
        let Inputs { state, policy, .. } = *self.inputs;
        let old_rules = state.compiled(old_key).map_or(&[][..], |compiled| &compiled.rules);
        let old = Listing { policy: &state.policy, key: old_key, rules: old_rules };
        let new = Listing { policy, key, rules: &compiled.rules };
        self.moves.entry((old_key.clone(), key.clone())).or_insert_with(|| moved(old, new)).clone()
    }
}
