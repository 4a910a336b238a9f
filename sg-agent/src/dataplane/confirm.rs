//! The end of a change on trial, and the way back.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sg_common::control::Control;

use super::{
    Loaded,
    error::Error,
    grace::grace_period,
    inherit, interfaces, read_state,
    trial::{Pending, Standing, Trial, settle, too_late},
    writer::{Outcome, Writer},
};

impl Writer {
    /// Fails while a change waits for its confirmation.
    pub(super) fn check_idle(&self) -> Result<(), Error> {
        let Standing::OnTrial(_) = self.standing else { return Ok(()) };
        let kernel = &self.loaded.kernel;
        let pending = Pending::of(&kernel.control(), &kernel.clock()?);
        Err(pending.map_or_else(too_late, |pending| pending.refusal()))
    }

    /// Takes back for good a change whose time to be confirmed went by while this was open. Where nothing was in force
    /// before it, nothing is loaded any more.
    pub fn catch_up(&mut self) -> Result<(), Error> {
        match &self.standing {
            Standing::OnTrial(trial) if self.loaded.kernel.now()?.0 >= trial.deadline => self.give_up(),
            _ => Ok(()),
        }
    }

    /// Makes the change that waits for its confirmation lasting; tells its generation.
    pub fn confirm(&mut self) -> Result<u32, Error> {
        let Trial { deadline, fallback, .. } = match &self.standing {
            Standing::OnTrial(trial) => trial.clone(),
            Standing::Returned => return Err(too_late()),
            Standing::Idle => return Err(Error::InUse("nothing waits for a confirmation".to_owned())),
        };
        self.loaded.kernel.disarm();
        if self.loaded.kernel.now()?.0 >= deadline {
            self.loaded.kernel.arm(deadline, fallback);
            self.give_up()?;
            return Err(too_late());
        }
        self.standing = Standing::Idle;
        grace_period();
        let generation = self.loaded.state.generation();
        self.loaded.kernel.repair_members(generation)?;
        let unused = self.keep_before(Control::generation(fallback))?;
        self.store.remove_trial();
        let devices = interfaces::list()?;
        self.reread_links(&devices, &BTreeSet::new())?;
        self.follow_devices(&devices)?;
        let bound = self.loaded.state.save().devices();
        let unused: Vec<u32> = unused.difference(&bound).copied().collect();
        self.loaded.kernel.forget_devices(&unused)?;
        let generation = self.loaded.state.generation();
        self.store.remove_others(generation);
        Ok(generation)
    }

    /// Keeps the policy of `generation`, in force before, as what a rollback returns to; tells which devices it bound.
    fn keep_before(&mut self, generation: u32) -> Result<BTreeSet<u32>, Error> {
        let Some(before) = self.store.state(generation) else { return Ok(BTreeSet::new()) };
        if !inherit::same_file(before.policy(), self.loaded.state.policy()) {
            self.store.keep_as_previous(before.policy())?;
        }
        Ok(before.devices())
    }

    /// Returns to what was in force before the change on trial.
    pub(super) fn give_up(&mut self) -> Result<(), Error> {
        let Standing::OnTrial(Trial { fallback, .. }) =
            std::mem::replace(&mut self.standing, Standing::Returned)
        else {
            return Ok(());
        };
        // The first tick there is.
        self.loaded.kernel.arm(1, fallback);
        if Control::generation(fallback) == 0 {
            return self.clear();
        }
        settle(&mut self.loaded.kernel, &self.store)?;
        let generation = self.loaded.kernel.generation()?;
        if let Some(state) = read_state(&self.loaded.kernel, &self.store, generation)? {
            self.loaded.state = state;
        }
        self.loaded.history = self.store.history(generation);
        self.complete_return();
        Ok(())
    }

    /// After a return: binds the devices that there are now and takes programs off those that are not bound.
    pub(super) fn complete_return(&mut self) {
        let policy = Arc::clone(self.loaded.state.policy());
        let changed = interfaces::list().and_then(|devices| self.change(&policy, &devices, None));
        match changed {
            Ok(outcome) => self.store.remove_others(outcome.generation),
            Err(error) => log::warn!("the policy in force could not be completed: {error}"),
        }
    }

    /// Returns to the policy before: that before the change on trial, else that before the last change of the policy
    /// file. `None`: nothing is loaded any more.
    pub fn rollback(&mut self) -> Result<Option<Outcome>, Error> {
        match self.standing {
            Standing::OnTrial(_) => {
                let is_first = Control::generation(self.loaded.kernel.control().fallback) == 0;
                self.give_up()?;
                Ok((!is_first).then(|| self.in_force()))
            }
            Standing::Returned => {
                self.standing = Standing::Idle;
                Ok(Some(self.in_force()))
            }
            Standing::Idle => self.apply_previous().map(Some),
        }
    }

    /// What is in force, as the outcome of a change.
    pub(super) fn in_force(&self) -> Outcome {
        let state = &self.loaded.state;
        Outcome {
            generation: state.generation(),
            is_changed: true,
            interfaces: state.interfaces().keys().cloned().collect(),
            ..Outcome::default()
        }
    }

    fn apply_previous(&mut self) -> Result<Outcome, Error> {
        let Some(mut policy) = self.store.previous() else {
            return Err(Error::InUse("there is no policy before to return to".to_owned()));
        };
        policy.interfaces.retain(|entry| !entry.attached);
        inherit::inherit(&mut policy, &self.loaded.state, &interfaces::list()?);
        let outcome = self.apply(&Arc::new(policy))?;
        self.store.forget_previous()?;
        Ok(outcome)
    }

    /// Waits until the change on trial is confirmed, or taken back: then false.
    pub fn wait_for_confirmation(options: &super::Options, generation: u32) -> Result<bool, Error> {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match Loaded::open(options) {
                Ok(loaded) if loaded.state.generation() != generation => return Ok(false),
                Ok(loaded) if loaded.kernel.control().deadline == 0 => return Ok(true),
                Ok(_) => std::thread::sleep(PAUSE),
                Err(Error::NotLoaded) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}
