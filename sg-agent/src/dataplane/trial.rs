//! A change on trial: it is taken back unless it is confirmed in time. And the policy before, which a rollback brings back.
//!
//! The kernel side itself takes a change back, by the clock: the control line names a deadline and the control word
//! before the change, and what that word leads to (a half of the directory, lines, memberships, rule counters) is left
//! alone while the change is on trial. Nothing in userspace has to be alive. The next writer makes it lasting.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sg_common::{control::Control, limits::MAX_ROOT_CHAIN};

use super::{
    Loaded,
    error::Error,
    inherit,
    interfaces::{self, Device},
    kernel::Kernel,
    read_state, store,
    store::Store,
    write::{Site, grace_period},
    writer::{Outcome, Writer, clear},
};
use crate::{
    compile::{Clock, State},
    policy::Policy,
};

/// What waits for its confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Idle,
    /// A change.
    OnTrial(Trial),
    /// The time to confirm a change was over when the tables were opened, or it was given up: what was in force before
    /// it is in force again.
    Returned,
}

/// A change that is taken back unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Tick at which it is taken back.
    deadline: u64,
    /// The control word before it.
    fallback: u64,
    /// Devices that only the policy before binds, and those that only the policy after does.
    only: [Vec<Site>; 2],
}

/// A pending confirmation, as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pending {
    /// Seconds until the change is taken back.
    pub seconds_left: u64,
    /// The generation that is then in force again.
    pub returns_to: u32,
}

impl Pending {
    /// What waits for its confirmation in `control`.
    pub fn of(control: &Control, clock: &Clock) -> Option<Self> {
        let Control { word, deadline, fallback, .. } = *control;
        let waits = deadline != 0 && word != fallback && !control.is_taken_back(clock.now_tick);
        let seconds_left = (deadline - clock.now_tick.min(deadline)).div_ceil(u64::from(clock.hz.max(1)));
        waits.then(|| Self { seconds_left, returns_to: Control::generation(fallback) })
    }
}

impl Pending {
    /// The error of who wants another change.
    pub(super) fn refusal(&self) -> Error {
        Error::InUse(format!("the change before {self}: `sg-agent confirm` or `sg-agent rollback` first"))
    }
}

impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waits for `sg-agent confirm`, {} s left", self.seconds_left)
    }
}

impl Standing {
    /// Slots whose devices keep their programs although nothing binds them now.
    pub(super) fn spared(&self) -> impl Iterator<Item = u32> {
        let sites = match self {
            Self::OnTrial(trial) => &trial.only[0][..],
            Self::Idle | Self::Returned => &[],
        };
        sites.iter().map(|site| site.slot)
    }

    /// The error of who needs tables and finds none.
    pub(super) fn nothing_loaded(&self) -> Error {
        if *self == Self::Returned { too_late() } else { Error::NotLoaded }
    }
}

impl Trial {
    /// That of `next`, until tick `deadline`.
    pub(super) fn new(
        loaded: &Loaded,
        next: &State,
        devices: &[Device],
        deadline: u64,
    ) -> Result<Self, Error> {
        let alive: BTreeSet<u32> = devices.iter().map(|device| device.ifindex).collect();
        let (before, after) = (sites(&loaded.state, &alive), sites(next, &alive));
        let only = [one_sided(&before, &after)?, one_sided(&after, &before)?];
        Ok(Self { deadline, fallback: loaded.kernel.control().word, only })
    }

    /// Readies the tables, and the kernel side, for the return. `moved` are the counters of rules that are the same.
    pub(super) fn arm(&self, kernel: &mut Kernel, store: &Store, moved: &[(u32, u32)]) -> Result<(), Error> {
        store.save_trial(&store::Trial { moved: moved.to_vec() })?;
        let other = kernel.other_half();
        kernel.leave_unfiltered(other, &self.only[0])?;
        kernel.leave_unfiltered(1 - other, &self.only[1])?;
        kernel.arm(self.deadline, self.fallback);
        Ok(())
    }
}

fn sites(state: &State, alive: &BTreeSet<u32>) -> BTreeSet<Site> {
    let bound =
        state.interfaces().values().map(|bound| Site { slot: bound.slot, ifindex: bound.row.ifindex });
    bound.filter(|site| alive.contains(&site.ifindex)).collect()
}

/// The sites that are `here` but not `there`.
fn one_sided(here: &BTreeSet<Site>, there: &BTreeSet<Site>) -> Result<Vec<Site>, Error> {
    let only: Vec<Site> = here.difference(there).copied().collect();
    if only.iter().any(|site| there.iter().any(|other| other.slot == site.slot)) {
        return Err(Error::InUse(
            "settings.limits.interfaces leaves no room for the interfaces of both policies: apply without \
             --confirm-within"
                .to_owned(),
        ));
    }
    Ok(only)
}

/// What waits for its confirmation. A change whose time is over is taken back for good.
pub(super) fn standing(kernel: &mut Kernel, store: &Store) -> Result<Standing, Error> {
    let Control { word, deadline, fallback, .. } = kernel.control();
    if deadline == 0 || word == fallback {
        kernel.disarm();
        store.remove_trial();
        return Ok(Standing::Idle);
    }
    if kernel.now()?.0 < deadline {
        return Ok(Standing::OnTrial(Trial { deadline, fallback, only: Default::default() }));
    }
    if Control::generation(fallback) != 0 {
        settle(kernel, store)?;
    }
    Ok(Standing::Returned)
}

/// Makes lasting what the kernel side did at the deadline. The state before the change goes on under a generation that
/// no connection has yet, so that those admitted meanwhile are judged again.
fn settle(kernel: &mut Kernel, store: &Store) -> Result<(), Error> {
    let Control { word, fallback, .. } = kernel.control();
    let kept = Control::generation(fallback);
    grace_period();
    kernel.repair_members(kept)?;
    // A chain of roots may have run ahead of the generation.
    let generation = Control::generation(word).wrapping_add(1 + MAX_ROOT_CHAIN as u32);
    let moved = store.trial().moved;
    let history = store.history(kept).returned(&moved, |at| kernel.rule_counter(at))?;
    store.save_history(generation, &history)?;
    if let Some(saved) = store.state(kept) {
        store.save_state(generation, &saved.in_generation(generation))?;
    }
    kernel.switch(generation, Control::half(fallback));
    // Who has read the word before must not find the deadline gone.
    grace_period();
    kernel.disarm();
    store.remove_trial();
    store.remove_others(generation);
    Ok(())
}

fn too_late() -> Error {
    Error::InUse("not confirmed in time: what was in force before has come back".to_owned())
}

impl Writer {
    /// Fails while a change waits for its confirmation.
    pub(super) fn check_idle(&self) -> Result<(), Error> {
        let Standing::OnTrial(_) = self.standing else { return Ok(()) };
        let kernel = &self.loaded.kernel;
        let pending = Pending::of(&kernel.control(), &kernel.clock()?);
        Err(pending.map_or_else(too_late, |pending| pending.refusal()))
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
        self.sync_hooks(&interfaces::list()?)?;
        self.forget_before(Control::generation(fallback))?;
        self.store.remove_trial();
        self.store.remove_others(generation);
        Ok(generation)
    }

    /// What `generation`, in force before, leaves behind: devices that are not bound any more, and its policy.
    fn forget_before(&mut self, generation: u32) -> Result<(), Error> {
        let Some(before) = self.store.state(generation) else { return Ok(()) };
        let bound = self.loaded.state.save().devices();
        let unused: Vec<u32> = before.devices().difference(&bound).copied().collect();
        self.loaded.kernel.forget_devices(&unused)?;
        if !inherit::same_file(before.policy(), self.loaded.state.policy()) {
            self.store.keep_as_previous(generation)?;
        }
        Ok(())
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
            return clear(&self.place, &self.store);
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
                Ok((!is_first).then(|| self.outcome()))
            }
            Standing::Returned => Ok(Some(self.outcome())),
            Standing::Idle => self.apply_previous().map(Some),
        }
    }

    fn outcome(&self) -> Outcome {
        let state = &self.loaded.state;
        Outcome {
            generation: state.generation(),
            is_changed: true,
            interfaces: state.interfaces().keys().cloned().collect(),
            ..Outcome::default()
        }
    }

    fn apply_previous(&mut self) -> Result<Outcome, Error> {
        let Some(previous) = self.store.previous() else {
            return Err(Error::InUse("there is no policy before to return to".to_owned()));
        };
        let mut policy = Policy::clone(previous.policy());
        policy.interfaces.retain(|entry| !entry.attached);
        inherit::inherit(&mut policy, self.loaded.state.policy(), &interfaces::list()?);
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
