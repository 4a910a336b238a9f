//! One change of policy: from the plan to the last hook.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Loaded, bind,
    error::Error,
    history::Renewal,
    hooks::linked,
    inherit,
    interfaces::Device,
    reconcile::newcomers,
    trial::{Standing, Trial},
    upgrade,
    writer::{Origin, Outcome, Writer},
};
use crate::{
    compile::{self, Plan, State},
    policy::Policy,
};

/// What a change replaces, as far as the way back needs it.
#[derive(Debug)]
pub(super) struct Before {
    generation: u32,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The interfaces that it binds.
    pub interfaces: BTreeSet<String>,
}

impl Before {
    pub(super) fn of(state: &State) -> Self {
        let interfaces = state.interfaces().keys().cloned().collect();
        Self { generation: state.generation(), policy: Arc::clone(state.policy()), interfaces }
    }
}

/// What came of bringing a policy into force.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    /// How long it took until it was; `None` if it was in force before.
    pub in_force_after: Option<Duration>,
    /// Programs that were put on devices that had none.
    pub added: usize,
}

impl Writer {
    /// Brings `policy` into force and its programs onto their hooks. On an error what was in force may be so in part.
    pub(super) fn change(
        &mut self,
        policy: &Arc<Policy>,
        devices: &[Device],
        within: Option<Duration>,
    ) -> Result<Outcome, Error> {
        let Brought { in_force_after, added } = self.bring(policy, devices, within)?;
        let hooks_changed = added + self.sync_hooks(devices, self.on_fault)?;
        Ok(Outcome {
            generation: self.loaded.state.generation(),
            is_changed: in_force_after.is_some(),
            in_force_after: in_force_after.unwrap_or_default(),
            interfaces: self.loaded.state.interfaces().keys().cloned().collect(),
            missing: bind::missing(policy, devices),
            hooks_changed,
            forgotten: Vec::new(),
            confirm_within: within,
        })
    }

    /// Makes `policy` the one that packets are judged by.
    pub(super) fn bring(
        &mut self,
        policy: &Arc<Policy>,
        devices: &[Device],
        within: Option<Duration>,
    ) -> Result<Brought, Error> {
        let start = Instant::now();
        self.forget_replaced(devices);
        let linked = linked(&self.book.links, devices);
        let bindings = bind::bindings(policy, devices, &self.loaded.state, &linked);
        let clock = self.loaded.kernel.clock()?;
        let (mut plan, mut next) = compile::plan(&self.loaded.state, policy, &bindings, &clock)?;
        if self.origin == Origin::Lost {
            self.loaded.kernel.inherit_members(&mut plan)?;
        }
        if plan.is_empty() && within.is_none() {
            self.rename(next)?;
            return Ok(Brought::default());
        }
        // Who cannot be enforced is found out before anything is switched.
        let newcomers = match upgrade::others(&self.place).is_empty() {
            true => newcomers(&bindings, devices, &linked),
            // Programs of another version are on their devices still, and their links are taken over after the switch.
            false => Vec::new(),
        };
        let added = self.book.close(&mut self.loaded.kernel, &newcomers, self.on_fault)?;
        if !added.is_empty() {
            self.store.save_hooks(&self.book.hooks)?;
        }
        // A change that is on trial has a generation of its own to be told by, even if nothing but words change.
        next.enter(plan.generation);
        let deadline = within.map(|within| clock.now_tick + clock.ticks(within));
        let trial =
            deadline.map(|deadline| Trial::new(&self.loaded, &next, devices, deadline)).transpose()?;
        self.write(&plan, &next, trial.as_ref())?;
        // From the switch on the deadline counts: whoever fails then has to give the trial up.
        if let Some(trial) = trial {
            self.standing = Standing::OnTrial(trial);
        }
        self.loaded.kernel.switch_to(&plan);
        let in_force_after = start.elapsed();
        self.follow(&plan, next, clock.now_tick)?;
        Ok(Brought { in_force_after: Some(in_force_after), added: added.len() })
    }

    /// Puts everything in its place that is not seen before the switch.
    fn write(&mut self, plan: &Plan, next: &State, trial: Option<&Trial>) -> Result<(), Error> {
        let Self { loaded: Loaded { kernel, state, .. }, store, .. } = self;
        for slot in new_slots(state, next) {
            kernel.zero_stats(slot)?;
        }
        if next.policy_number() != state.policy_number() {
            store.save_policy(next.policy_number(), next.policy())?;
        }
        store.save_state(plan.generation, &next.save())?;
        let written = kernel.prepare(plan).and_then(|()| match trial {
            Some(trial) => trial.arm(kernel, store, plan),
            None => Ok(()),
        });
        written.inspect_err(|_| store.remove_others(state.generation()))
    }

    /// What is to be done once `next` is in force.
    fn follow(&mut self, plan: &Plan, next: State, tick: u64) -> Result<(), Error> {
        let Self { loaded, store, standing, .. } = self;
        let before = std::mem::replace(&mut loaded.state, next);
        match standing {
            Standing::OnTrial(trial) => trial.prepare_return(&loaded.kernel, &before, &loaded.state),
            Standing::Idle | Standing::Returned => {
                loaded.kernel.retire(plan, &unused(&before, &loaded.state))?;
            }
        }
        let renewal = Renewal { zeroed: &plan.counters_to_zero, moved: &plan.counter_moves, tick };
        let history = loaded.history.after(renewal, |at| loaded.kernel.rule_counter(at));
        store.save_history(plan.generation, &history)?;
        loaded.history = history;
        drop(before);
        loaded.state.settle();
        Ok(())
    }

    /// After a change that lasts: the policy file in force before it is what a rollback returns to.
    pub(super) fn conclude(&self, before: &Before) -> Result<(), Error> {
        let (was, is) = (before.generation, self.loaded.state.generation());
        if self.origin == Origin::Known
            && was != is
            && !inherit::same_file(&before.policy, self.loaded.state.policy())
        {
            self.store.keep_as_previous(&before.policy)?;
        }
        self.store.remove_others(is);
        Ok(())
    }

    /// Descriptions change, names of devices, and groups that nobody is bound to: nothing that the kernel is told.
    fn rename(&mut self, next: State) -> Result<(), Error> {
        let (before, policy) = (self.loaded.state.policy(), next.policy());
        let has_same_names = self.loaded.state.interfaces().keys().eq(next.interfaces().keys());
        if before == policy && has_same_names {
            return Ok(());
        }
        if !inherit::same_file(before, policy) {
            self.store.keep_as_previous(before)?;
        }
        self.store.save_policy(next.policy_number(), policy)?;
        self.store.save_state(next.generation(), &next.save())?;
        self.loaded.state = next;
        Ok(())
    }
}

/// Slots whose interface is another than before.
fn new_slots(before: &State, next: &State) -> Vec<u32> {
    let had = |name: &str, slot| before.interfaces().get(name).is_some_and(|bound| bound.slot == slot);
    let bound = next.interfaces().iter();
    bound.filter(|(name, bound)| !had(name, bound.slot)).map(|(_, bound)| bound.slot).collect()
}

/// Device indexes that were bound and are not.
fn unused(before: &State, next: &State) -> Vec<u32> {
    let indexes = |state: &State| -> BTreeSet<u32> {
        state.interfaces().values().map(|bound| bound.row.ifindex).collect()
    };
    indexes(before).difference(&indexes(next)).copied().collect()
}
