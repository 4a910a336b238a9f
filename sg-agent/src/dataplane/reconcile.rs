//! Follows devices that appear, vanish, are made anew, renamed or moved.
//!
//! A device gets its programs first and is bound then: programs that do not know a device let nothing pass on it, so from
//! the moment they are on it until its policy is in force it is closed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    bind::{self, Linked},
    error::Error,
    hooks::linked,
    inherit,
    interfaces::{self, Device},
    links,
    site::{OnFault, Site},
    trial::Standing,
    writer::Writer,
};
use crate::{
    compile::{Binding, State},
    policy::Policy,
};

/// How long a binding by `attach` waits for its device to be made anew. Then it is forgotten: names of devices that never
/// come back must not add up.
const LINGER: Duration = Duration::from_secs(600);

/// What a look at the host has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The generation in force.
    pub generation: u32,
    /// Interfaces that are bound now and were not, or that have another device than before.
    pub bound: Vec<String>,
    /// Interfaces that were bound and are not: there is no such device any more, or it has another name.
    pub released: Vec<String>,
    /// Programs that were put on hooks or taken off.
    pub hooks_changed: usize,
    /// Repairs of what somebody else has changed, one sentence each; see [`Writer::verify`].
    pub repairs: Vec<String>,
}

impl Reconciled {
    /// Whether everything was as it should be.
    pub fn is_empty(&self) -> bool {
        self.bound.is_empty()
            && self.released.is_empty()
            && self.hooks_changed == 0
            && self.repairs.is_empty()
    }
}

impl Writer {
    /// From now on a device that cannot be enforced is reported by `status` and stands in nobody's way: policies come into
    /// force on the others, and each [`Self::reconcile`] tries it again. Without this, a policy is refused if there is one.
    pub fn report_faults(&mut self) {
        self.on_fault = OnFault::Report;
    }

    /// Why the interface named `name` is bound and not enforced; `None` if it is enforced, or not bound.
    pub fn fault(&self, name: &str) -> Option<&str> {
        let bound = self.loaded.state.interfaces().get(name)?;
        self.book.hooks.get(&bound.slot)?.fault.as_deref()
    }

    /// Brings the policy in force onto the devices that there are now, after one has appeared, vanished, or got another
    /// name. Cheap where nothing has changed: one list of the devices.
    ///
    /// While a change waits for its confirmation, a device that was made anew under its name is bound as the one before
    /// was, by both policies; any other that an entry names is closed until the trial has ended.
    ///
    /// # Errors
    /// If the policy does not fit the devices, or the kernel refuses. What is not bound yet is closed then; the next call
    /// tries again.
    pub fn reconcile(&mut self) -> Result<Reconciled, Error> {
        self.reconcile_without(&BTreeSet::new())
    }

    /// The same, knowing that the devices that had these indexes are `gone`: what has such an index now is another, even if
    /// its name is that of the one before. (Without being told, the next [`Self::verify`] finds out.)
    ///
    /// # Errors
    /// As [`Self::reconcile`].
    pub fn reconcile_without(&mut self, gone: &BTreeSet<u32>) -> Result<Reconciled, Error> {
        let devices = interfaces::list()?;
        self.reread_links(&devices, gone)?;
        self.follow_devices(&devices)
    }

    /// Binds `devices`, after the book has been made right.
    pub(super) fn follow_devices(&mut self, devices: &[Device]) -> Result<Reconciled, Error> {
        if self.is_overdue()? {
            self.give_up()?;
        }
        if let Standing::OnTrial(_) = self.standing {
            return self.follow_on_trial(devices);
        }
        self.forget_replaced(devices);
        let running = Arc::clone(self.loaded.state.policy());
        let policy = self.without_absent(&running, devices);
        let before = self.names();
        let (added, is_same) = self.close_newcomers(&policy, devices)?;
        if !is_same || !Arc::ptr_eq(&policy, &running) {
            self.bring(&policy, devices, None)?;
            self.store.remove_others(self.loaded.state.generation());
        }
        let hooks_changed = added + self.sync_hooks(devices, OnFault::Report)?;
        let after = self.names();
        let names = |these: &BTreeSet<(String, u32)>, those: &BTreeSet<(String, u32)>| {
            these.difference(those).map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let bound = names(&after, &before);
        let is_released = |name: &String| !self.loaded.state.interfaces().contains_key(name);
        let released = names(&before, &after).into_iter().filter(is_released).collect();
        let generation = self.loaded.state.generation();
        Ok(Reconciled { generation, bound, released, hooks_changed, repairs: Vec::new() })
    }

    /// The policy without the bindings by `attach` whose devices have been gone for [`LINGER`].
    fn without_absent(&mut self, policy: &Arc<Policy>, devices: &[Device]) -> Arc<Policy> {
        let Self { loaded, absent, .. } = self;
        let attached = policy.interfaces.iter().filter(|entry| entry.attached);
        let gone: BTreeSet<&String> = attached
            .map(|entry| &entry.name)
            .filter(|name| !inherit::has_device(name, &loaded.state, devices))
            .collect();
        absent.retain(|name, _| gone.contains(name));
        for name in gone {
            absent.entry(name.clone()).or_insert_with(Instant::now);
        }
        let is_over = |name: &String| absent.get(name).is_some_and(|since| since.elapsed() >= LINGER);
        if !absent.keys().any(is_over) {
            return Arc::clone(policy);
        }
        let mut without = Policy::clone(policy);
        without.interfaces.retain(|entry| !(entry.attached && is_over(&entry.name)));
        Arc::new(without)
    }

    /// Interfaces in force, each with the index of its device.
    fn names(&self) -> BTreeSet<(String, u32)> {
        let all = self.loaded.state.interfaces().iter();
        all.map(|(name, bound)| (name.clone(), bound.row.ifindex)).collect()
    }

    /// Puts programs on the devices that are to be bound and have none, which closes them. Tells how many, and whether
    /// everything is bound as it should be.
    pub(super) fn close_newcomers(
        &mut self,
        policy: &Policy,
        devices: &[Device],
    ) -> Result<(usize, bool), Error> {
        let Self { loaded, book, store, .. } = self;
        let linked = linked(&book.links, devices);
        let bindings = bind::bindings(policy, devices, &loaded.state, &linked);
        if are_bound(&loaded.state, &bindings) {
            return Ok((0, true));
        }
        let newcomers = newcomers(&bindings, devices, &linked);
        let added = book.close(&mut loaded.kernel, &newcomers, OnFault::Report)?.len();
        if !newcomers.is_empty() {
            store.save_hooks(&book.hooks)?;
        }
        Ok((added, false))
    }

    /// Looks again at the links whose devices are not among `devices`, have other names than they had, or are said to be
    /// `gone`: what is gone has left a link to nothing.
    pub(super) fn reread_links(&mut self, devices: &[Device], gone: &BTreeSet<u32>) -> Result<(), Error> {
        let here: BTreeMap<u32, &str> =
            devices.iter().map(|device| (device.ifindex, device.name.as_str())).collect();
        let bound = self.loaded.state.interfaces().iter();
        let names: BTreeMap<u32, &str> = bound.map(|(name, bound)| (bound.slot, name.as_str())).collect();
        let is_as_before = |slot: u32, ifindex: u32| {
            let name = here.get(&ifindex);
            name.is_some() && name == names.get(&slot) && !gone.contains(&ifindex)
        };
        let links = &mut self.book.links;
        let doubtful: Vec<_> = links
            .iter()
            .filter(|((slot, _), link)| link.ifindex != 0 && !is_as_before(*slot, link.ifindex))
            .map(|(key, _)| *key)
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let paths = doubtful.iter().filter_map(|key| links.remove(key)).map(|link| link.path).collect();
        links.extend(links::read(paths)?);
        Ok(())
    }

    /// Forgets the interfaces whose device was replaced by another with the same index: every link that they had leads
    /// nowhere. The connections of the one are none of the other's.
    pub(super) fn forget_replaced(&mut self, devices: &[Device]) {
        let is_there = |ifindex: u32| devices.iter().any(|device| device.ifindex == ifindex);
        let mut dead: BTreeSet<u32> = BTreeSet::new();
        let mut alive: BTreeSet<u32> = BTreeSet::new();
        for ((slot, _), link) in &self.book.links {
            if link.ifindex == 0 {
                dead.insert(*slot)
            } else {
                alive.insert(*slot)
            };
        }
        let is_replaced = |slot: u32| dead.contains(&slot) && !alive.contains(&slot);
        let all = self.loaded.state.interfaces().iter();
        let replaced: Vec<String> = all
            .filter(|(_, bound)| is_replaced(bound.slot) && is_there(bound.row.ifindex))
            .map(|(name, _)| name.clone())
            .collect();
        replaced.iter().for_each(|name| self.loaded.state.forget(name));
    }
}

/// The devices that are to be bound and have no program of ours.
pub(super) fn newcomers<'a>(
    bindings: &[Binding<'a>],
    devices: &'a [Device],
    linked: &Linked,
) -> Vec<Site<'a>> {
    let is_new = |binding: &&Binding| !linked.here.contains_key(&binding.ifindex);
    bindings.iter().filter(is_new).filter_map(|binding| site(binding, devices)).collect()
}

fn site<'a>(binding: &Binding<'a>, devices: &'a [Device]) -> Option<Site<'a>> {
    let device = devices.iter().find(|device| device.name == binding.name)?;
    Some(Site { slot: binding.slot, spec: binding.spec, device })
}

/// Whether these bindings are in force.
fn are_bound(state: &State, bindings: &[Binding]) -> bool {
    let is_bound = |binding: &Binding| {
        state.interfaces().get(binding.name).is_some_and(|bound| {
            (bound.slot, bound.row.ifindex) == (binding.slot, binding.ifindex) && bound.spec == *binding.spec
        })
    };
    state.interfaces().len() == bindings.len() && bindings.iter().all(is_bound)
}
