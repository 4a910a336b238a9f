//! Devices that are made anew while a change waits for its confirmation.
//!
//! Both policies are in force, the one now and the other from the deadline on, and nothing is compiled. A device that is
//! made anew under its name takes the place of the one before in both, which is two words for each; it gets none of the
//! connections.

use sg_common::{
    conntrack::Life,
    control::{Control, table},
    events::End,
};

use super::{
    error::Error,
    interfaces::Device,
    reconcile::Reconciled,
    site::{OnFault, Site},
    trial::{Standing, Trial},
    writer::Writer,
};
use crate::compile::{Saved, state::Bound};

impl Writer {
    /// Whether the time to confirm a change is over, and what was in force before is in force again.
    pub(super) fn is_overdue(&self) -> Result<bool, Error> {
        match &self.standing {
            Standing::OnTrial(trial) => Ok(self.loaded.kernel.now()?.0 >= trial.deadline),
            Standing::Idle | Standing::Returned => Ok(false),
        }
    }

    /// Puts the devices that were made anew in the place of those before, and closes what nothing else binds yet.
    pub(super) fn follow_on_trial(&mut self, devices: &[Device]) -> Result<Reconciled, Error> {
        let mut done = Reconciled { generation: self.loaded.state.generation(), ..Reconciled::default() };
        for device in devices {
            let Some(bound) = self.loaded.state.interfaces().get(&device.name).cloned() else { continue };
            if bound.row.ifindex == device.ifindex || self.is_alive(&bound, devices) {
                continue;
            }
            done.hooks_changed += self.rehome(&bound, device)?;
            done.bound.push(device.name.clone());
        }
        let policy = std::sync::Arc::clone(self.loaded.state.policy());
        done.hooks_changed += self.close_newcomers(&policy, devices)?.0;
        Ok(done)
    }

    /// Whether the device of an interface is here or in another network namespace.
    fn is_alive(&self, bound: &Bound, devices: &[Device]) -> bool {
        devices.iter().any(|device| device.ifindex == bound.row.ifindex)
            || self.book.links.iter().any(|((slot, _), link)| *slot == bound.slot && link.ifindex != 0)
    }

    fn rehome(&mut self, bound: &Bound, device: &Device) -> Result<usize, Error> {
        let (slot, before) = (bound.slot, bound.row.ifindex);
        self.loaded.kernel.forget_devices(&[before, device.ifindex])?;
        let mut added = Vec::new();
        let site = Site { slot, spec: &bound.spec, device };
        self.book.attach(&mut self.loaded.kernel.programs, &[site], OnFault::Report, &mut added)?;
        self.store.save_hooks(&self.book.hooks)?;
        // Nobody is judged in this slot until its device is known.
        self.evict(slot)?;
        self.loaded.state.rehome(&device.name, device.ifindex);
        let generation = self.loaded.state.generation();
        let saved = self.loaded.state.save();
        self.store.save_state(generation, &saved)?;
        let word = self.loaded.kernel.control().word;
        let row = self.loaded.state.interfaces().get(&device.name);
        self.loaded.kernel.set_rows(Control::half(word), row.into_iter());
        if let Standing::OnTrial(trial) = &mut self.standing {
            trial.rehome(slot, device.ifindex);
        }
        self.rehome_fallback(&saved, device)?;
        self.loaded.kernel.set_slot(device.ifindex, slot)?;
        Ok(added.len())
    }

    /// The same in what the change comes back to.
    fn rehome_fallback(&mut self, rejected: &Saved, device: &Device) -> Result<(), Error> {
        let Standing::OnTrial(trial) = &self.standing else { return Ok(()) };
        let Trial { fallback, .. } = *trial;
        let kept = Control::generation(fallback);
        if let Some(mut saved) = self.store.state(kept)
            && saved.rehome(&device.name, device.ifindex)
        {
            self.store.save_state(kept, &saved)?;
            let back = trial.returned(saved, rejected);
            let row = back.interfaces().get(&device.name);
            self.loaded.kernel.set_rows(Control::half(fallback), row.into_iter());
        } else {
            trial.leave_unfiltered(&self.loaded.kernel);
        }
        Ok(())
    }

    /// Ends the connections of a slot.
    fn evict(&mut self, slot: u32) -> Result<(), Error> {
        let kernel = &self.loaded.kernel;
        let now = kernel.now()?.0;
        let of_slot = |one: u16| u32::from(one) == slot;
        for (at, entry) in kernel.connections_v4(now).into_iter().filter(|(_, one)| of_slot(one.key.slot)) {
            kernel.evict(table::V4, at, Life(entry.life), End::Gone)?;
        }
        for (at, entry) in kernel.connections_v6(now).into_iter().filter(|(_, one)| of_slot(one.key.slot)) {
            kernel.evict(table::V6, at, Life(entry.life), End::Gone)?;
        }
        Ok(())
    }
}
