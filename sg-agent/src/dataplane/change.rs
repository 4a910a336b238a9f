//! One change of policy: from the plan to the last hook.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    Loaded, bind,
    error::Error,
    history::Renewal,
    hooks::linked,
    inherit,
    interfaces::Device,
    reconcile::newcomers,
    trial::{Standing, Trial},
    writer::{Origin, Outcome, Writer},
};
use crate::{
    compile::{self, Plan, State},
    policy::Policy,
};

impl Writer {
    /// Brings `policy` into force and its programs onto their hooks. On an error what was in force may be so in part.
    pub(super) fn change(
        &mut self,
        policy: &Arc<Policy>,
        devices: &[Device],
        within: Option<Duration>,
    ) -> Result<Outcome, Error> {
        let (is_changed, added) = self.bring(policy, devices, within)?;
        let hooks_changed = added + self.sync_hooks(devices, self.on_fault)?;
        Ok(Outcome {
            generation: self.loaded.state.generation(),
            is_changed,
            interfaces: self.loaded.state.interfaces().keys().cloned().collect(),
            missing: bind::missing(policy, devices),
            hooks_changed,
            forgotten: Vec::new(),
            confirm_within: within,
        })
    }

    /// Makes `policy` the one that packets are judged by; false if it was. Tells also how many programs it has put on
    /// devices that had none.
    pub(super) fn bring(
        &mut self,
        policy: &Arc<Policy>,
        devices: &[Device],
        within: Option<Duration>,
    ) -> Result<(bool, usize), Error> {
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
            return Ok((false, 0));
        }
        // Who cannot be enforced is found out before anything is switched.
        let newcomers = newcomers(&bindings, devices, &linked);
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
        self.follow(&plan, next, clock.now_tick)?;
        Ok((true, added.len()))
    }

    /// Puts everything in its place that is not seen before the switch.
    fn write(&mut self, plan: &Plan, next: &State, trial: Option<&Trial>) -> Result<(), Error> {
        let Self { loaded: Loaded { kernel, state, .. }, store, .. } = self;
        for slot in new_slots(state, next) {
            kernel.zero_stats(slot)?;
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
            Standing::OnTrial(trial) => trial.prepare_return(&mut loaded.kernel, &before, &loaded.state)?,
            Standing::Idle | Standing::Returned => {
                loaded.kernel.retire(plan, &unused(&before, &loaded.state))?;
            }
        }
        let renewal = Renewal { zeroed: &plan.counters_to_zero, moved: &plan.counter_moves, tick };
        let history = loaded.history.after(renewal, |at| loaded.rule_counter(at))?;
        store.save_history(plan.generation, &history)?;
        loaded.history = history;
        Ok(())
    }

    /// After a change that lasts: the policy file in force before it is what a rollback returns to.
    pub(super) fn conclude(&self, before: &State) -> Result<(), Error> {
        let (was, is) = (before.generation(), self.loaded.state.generation());
        if self.origin == Origin::Known
            && was != is
            && !inherit::same_file(before.policy(), self.loaded.state.policy())
        {
            self.store.keep_as_previous(was)?;
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
            self.store.keep_as_previous(next.generation())?;
        }
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
