//! A change on trial: it is taken back unless it is confirmed in time. And the policy before, which a rollback brings back.
//!
//! The kernel side itself takes a change back, by the clock: the control line names a deadline and the control word
//! before the change, and what that word leads to (a half of the directory, lines, memberships, rule counters) is left
//! alone while the change is on trial. Nothing in userspace has to be alive. The next writer makes it lasting.

use std::collections::BTreeSet;

use sg_common::{control::Control, limits::MAX_ROOT_CHAIN};

use super::{
    Loaded, error::Error, grace::grace_period, interfaces::Device, kernel::Kernel, not_loaded, place::Place,
    store, store::Store, write::Site,
};
use crate::compile::{Clock, Plan, Saved, State, state::returned};

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
    pub(super) deadline: u64,
    /// The control word before it.
    pub(super) fallback: u64,
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

    /// The error of who wants another change.
    pub(super) fn refusal(&self) -> Error {
        Error::InUse(format!(
            "a change waits for its confirmation, {} s left: `sg-agent confirm` or `sg-agent rollback` first",
            self.seconds_left
        ))
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
    pub(super) fn nothing_loaded(&self, place: &Place) -> Error {
        if *self == Self::Returned { too_late() } else { not_loaded(place) }
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

    /// Readies the tables, where `plan` is prepared, and the kernel side for the return. On an error the plan's members
    /// are taken back: the next plan has the same generation.
    pub(super) fn arm(&self, kernel: &mut Kernel, store: &Store, plan: &Plan) -> Result<(), Error> {
        let moved = plan.counter_moves.clone();
        let ready = store.save_trial(&store::Trial { moved });
        if ready.is_err() {
            kernel.take_back(&plan.members)?;
            return ready;
        }
        let other = kernel.other_half();
        kernel.leave_unfiltered(other, &self.only[0]);
        kernel.leave_unfiltered(1 - other, &self.only[1]);
        kernel.arm(self.deadline, self.fallback);
        Ok(())
    }

    /// The device in `slot` is another.
    pub(super) fn rehome(&mut self, slot: u32, ifindex: u32) {
        let sites = self.only.iter_mut().flatten().filter(|site| site.slot == slot);
        sites.for_each(|site| site.ifindex = ifindex);
    }

    /// What `before` is when the change, to `rejected`, has been taken back.
    pub(super) fn returned(&self, before: Saved, rejected: &Saved) -> Saved {
        before.returned_from(rejected, return_generation(rejected.generation()))
    }

    /// Lets everything pass, where the change comes back to, on the devices that only it binds.
    pub(super) fn leave_unfiltered(&self, kernel: &Kernel) {
        kernel.leave_unfiltered(Control::half(self.fallback), &self.only[1]);
    }

    /// Once the change is in force: what it comes back to judges anew the connections that the change has judged. A
    /// judgement of a later generation stands, so that of the return is later still.
    pub(super) fn prepare_return(&self, kernel: &Kernel, before: &State, next: &State) {
        let mut rows = before.interfaces().clone();
        let generation = return_generation(next.generation());
        let changed =
            returned(&mut rows, before.policy(), (next.interfaces(), next.generation()), generation);
        grace_period();
        kernel.set_rows(Control::half(self.fallback), changed.iter().map(|name| &rows[name]));
    }
}

/// The generation of what comes back when the change of `generation` is taken back. A chain of roots may have run ahead of
/// that one.
fn return_generation(generation: u32) -> u32 {
    generation.wrapping_add(1 + MAX_ROOT_CHAIN as u32)
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

/// Makes lasting what the kernel side did at the deadline: the state before the change goes on under a generation of its
/// own.
pub(super) fn settle(kernel: &mut Kernel, store: &Store) -> Result<(), Error> {
    let Control { word, fallback, .. } = kernel.control();
    let [rejected, kept] = [word, fallback].map(Control::generation);
    grace_period();
    kernel.repair_members(kept)?;
    let generation = return_generation(rejected);
    let moved = store.trial().moved;
    let history = store.history(kept).returned(&moved, |at| kernel.rule_counter(at));
    store.save_history(generation, &history)?;
    if let (Some(saved), Some(rejected)) = (store.state(kept), store.state(rejected)) {
        let back = saved.returned_from(&rejected, generation);
        // Who made the change may have been killed before `prepare_return`.
        kernel.set_rows(Control::half(fallback), back.renewed());
        store.save_state(generation, &back)?;
    }
    kernel.switch(generation, Control::half(fallback));
    // Who has read the word before must not find the deadline gone.
    grace_period();
    kernel.disarm();
    store.remove_trial();
    store.remove_others(generation);
    Ok(())
}

pub(super) fn too_late() -> Error {
    Error::InUse("not confirmed in time: what was in force before has come back".to_owned())
}
