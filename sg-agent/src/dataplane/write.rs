//! Writes a plan, in the order that lets every packet see one whole policy: [`Kernel::prepare`] what nobody reads yet,
//! [`Kernel::switch_to`] it with one store, [`Kernel::retire`] what nobody reads any more.

use std::collections::BTreeMap;

use aya::maps::PerCpuValues;
use sg_common::{
    control::Control,
    interface::{Interface, flag},
    limits::DIRECT_IFINDEX,
    members::{Member, MemberKey, Membership},
    stats::{InterfaceStats, RuleCounter},
};

use super::{
    error::{Attempt as _, Error},
    grace::grace_period,
    kernel::Kernel,
    maps::possible_cpus,
};
use crate::compile::{Plan, counters::CounterRange, state::Bound};

/// A device in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    /// Its slot.
    pub slot: u32,
    /// Its index.
    pub ifindex: u32,
}

/// A slot of the directory that is not in use.
static UNUSED: Interface = zerocopy::transmute!([0u8; size_of::<Interface>()]);

impl Kernel {
    /// Writes everything of `plan` that is not seen before the switch. If that fails, nothing has changed.
    pub(super) fn prepare(&mut self, plan: &Plan) -> Result<(), Error> {
        self.write_lines(plan);
        self.zero_counters(&plan.counters_to_zero);
        for (at, (key, membership)) in plan.members.iter().enumerate() {
            if let Err(error) = self.set_member(key, *membership) {
                self.take_back(&plan.members[..at])?;
                return Err(error);
            }
        }
        self.write_half(plan);
        let written = self.write_ifindexes(plan);
        if written.is_err() {
            self.take_back(&plan.members)?;
        }
        written
    }

    /// Brings `plan` into force.
    pub(super) fn switch_to(&self, plan: &Plan) {
        self.switch(plan.generation, self.other_half());
    }

    /// Lets everything pass on devices that a half of the directory does not bind, each with the slot that it has in the
    /// other half. Packets may be judged by either.
    pub(super) fn leave_unfiltered(&self, half: u32, devices: &[Site]) {
        for &Site { slot, ifindex } in devices {
            let row = Interface { flags: flag::UNFILTERED, ifindex, ..Interface::default() };
            self.set_row(half, slot, &row);
        }
    }

    /// Writes the directory entries of `bound` in `half`. Packets may be judged by it where the entries differ from those
    /// there in nothing but the generations: each is a word, and good with the other's old value and its new one.
    pub(super) fn set_rows<'a>(&self, half: u32, bound: impl Iterator<Item = &'a Bound>) {
        bound.for_each(|bound| self.set_row(half, bound.slot, &bound.row));
    }

    fn set_row(&self, half: u32, slot: u32, row: &Interface) {
        self.maps.directory.set((half * self.control().interfaces + slot) as usize, row);
    }

    /// Waits until nobody is judged by the policy before, then removes what only that used. `unused` are device
    /// indexes that are not bound any more.
    pub(super) fn retire(&mut self, plan: &Plan, unused: &[u32]) -> Result<(), Error> {
        grace_period();
        for key in &plan.members_to_remove {
            self.remove_member(key)?;
        }
        self.forget_devices(unused)
    }

    /// Nothing of these devices, by index, is known any more.
    pub(super) fn forget_devices(&mut self, unused: &[u32]) -> Result<(), Error> {
        unused.iter().try_for_each(|&ifindex| self.set_slot(ifindex, 0))
    }

    /// Makes memberships right that an interrupted writer left: those of later generations than `generation` are
    /// taken back, those of nobody are removed.
    pub(super) fn repair_members(&mut self, generation: u32) -> Result<(), Error> {
        let is_later = |one: &Membership| (one.since.wrapping_sub(generation) as i32) > 0;
        for (key, one) in self.all_members()? {
            if is_later(&one) {
                self.take_back(&[(key, one)])?;
            } else if one.now == 0 {
                self.remove_member(&key)?;
            }
        }
        Ok(())
    }

    /// Adds to `plan` what its state knows nothing of: members of the policy in force stay members until the switch, and
    /// those whom the plan does not name leave with it.
    pub(super) fn inherit_members(&self, plan: &mut Plan) -> Result<(), Error> {
        let in_force = self.generation()?;
        let known: BTreeMap<MemberKey, usize> =
            plan.members.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        for (key, one) in self.all_members()? {
            let before = one.at(in_force);
            match known.get(&key) {
                Some(&at) => plan.members[at].1.before = before,
                None => {
                    plan.members.push((key, Membership { since: plan.generation, now: 0, before }));
                    plan.members_to_remove.push(key);
                }
            }
        }
        Ok(())
    }

    /// Which half of the heap the policy in force lies in, as the directory tells; `None` if nothing is in force.
    pub(super) fn heap_half_in_force(&self) -> Option<u32> {
        let Control { word, interfaces, .. } = self.control();
        let first = Control::half(word) * interfaces;
        let middle = (self.maps.heap.len() / 2) as u32;
        let rows = (first..first + interfaces).map(|at| self.maps.directory.get(at as usize));
        let line = rows.flat_map(|row| row.policy).find(|line| *line != 0)?;
        Some(u32::from(line >= middle))
    }

    /// Starts the interface counters of `slot` anew.
    pub(super) fn zero_stats(&mut self, slot: u32) -> Result<(), Error> {
        let zeros = on_every_cpu(InterfaceStats::default())?;
        self.maps.stats.set(slot, zeros, 0).attempt(|| "zeroing the counters".to_owned())
    }

    /// The half that is not in force. A writer has seen to it that no deadline has passed.
    pub(super) fn other_half(&self) -> u32 {
        1 - Control::half(self.control().word)
    }

    pub(super) fn write_lines(&self, plan: &Plan) {
        for (first, lines) in &plan.lines {
            for (line, at) in lines.iter().zip(*first as usize..) {
                self.maps.heap.set(at, line);
            }
        }
    }

    fn zero_counters(&self, ranges: &[CounterRange]) {
        for at in ranges.iter().flat_map(|range| range.base..range.base + range.len) {
            for counter in self.of_every_cpu(at) {
                self.maps.rule_counters.set(counter, &RuleCounter::default());
            }
        }
    }

    /// The places of a rule counter, one for each CPU.
    pub(super) fn of_every_cpu(&self, at: u32) -> impl Iterator<Item = usize> {
        let each = self.maps.rule_counters.len() / self.maps.cpus;
        (0..self.maps.cpus).map(move |cpu| cpu * each + at as usize)
    }

    fn write_ifindexes(&mut self, plan: &Plan) -> Result<(), Error> {
        plan.interfaces.iter().try_for_each(|(slot, row)| self.set_slot(row.ifindex, *slot))
    }

    pub(super) fn set_slot(&mut self, ifindex: u32, slot: u32) -> Result<(), Error> {
        let what = || format!("writing the slot of interface index {ifindex}");
        let maps = &mut self.maps;
        if ifindex < DIRECT_IFINDEX {
            maps.ifindex.store_first_half(ifindex as usize, slot);
            return Ok(());
        }
        if slot > 0 {
            return maps.ifindex_high.insert(ifindex, slot, 0).attempt(what);
        }
        match maps.ifindex_high.remove(&ifindex) {
            Err(error) if !is_absent(&error) => Err(error).attempt(what),
            _ => Ok(()),
        }
    }

    fn write_half(&self, plan: &Plan) {
        let half = self.other_half();
        let used: BTreeMap<u32, &Interface> =
            plan.interfaces.iter().map(|(slot, row)| (*slot, row)).collect();
        for slot in 0..self.control().interfaces {
            self.set_row(half, slot, used.get(&slot).copied().unwrap_or(&UNUSED));
        }
        self.maps.settings.set(half as usize, &plan.settings);
    }

    pub(super) fn set_member(&mut self, key: &MemberKey, membership: Membership) -> Result<(), Error> {
        let member = Member { key: *key, membership };
        self.maps.members.insert(key, member, 0).attempt(|| "writing a group member".to_owned())
    }

    pub(super) fn remove_member(&mut self, key: &MemberKey) -> Result<(), Error> {
        match self.maps.members.remove(key) {
            Err(error) if !is_absent(&error) => Err(error).attempt(|| "removing a group member".to_owned()),
            _ => Ok(()),
        }
    }

    /// Makes memberships what they were before they were written.
    pub(super) fn take_back(&mut self, members: &[(MemberKey, Membership)]) -> Result<(), Error> {
        for (key, one) in members {
            match one.before {
                0 => self.remove_member(key)?,
                before => self.set_member(key, Membership { now: before, ..*one })?,
            }
        }
        Ok(())
    }

    pub(super) fn all_members(&self) -> Result<Vec<(MemberKey, Membership)>, Error> {
        let all = self.maps.members.iter().map(|found| found.map(|(key, member)| (key, member.membership)));
        all.collect::<Result<_, _>>().attempt(|| "reading the group members".to_owned())
    }
}

fn on_every_cpu<T: aya::Pod>(value: T) -> Result<PerCpuValues<T>, Error> {
    PerCpuValues::try_from(vec![value; possible_cpus()?]).attempt(|| "counting the CPUs".to_owned())
}

/// Whether there is no such element.
pub(super) fn is_absent(error: &aya::maps::MapError) -> bool {
    use aya::maps::MapError;
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}
