//! Which programs are where, and making it so.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    Loaded,
    attach::{self, Receive, Transmit, Wish},
    bind::{self, Linked},
    error::{Attempt as _, Error},
    interfaces::{self, Device},
    links::{self, Links, Side},
    place::Place,
    site::{OnFault, receive, sites, transmit},
    store::{Hook, Hooks, Store},
    upgrade,
    writer::Writer,
};
use crate::{
    compile::order::bound_groups,
    policy::{Policy, model::Role},
};

/// How an interface is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Index of the device; 0 if there is none.
    pub ifindex: u32,
    /// Whose it is.
    pub role: Role,
    /// Groups bound to it.
    pub groups: Vec<String>,
    /// Hook on receive: `xdp-native`, `xdp-generic`, `tcx` or `none`.
    pub rx_hook: &'static str,
    /// Hook on transmit: `tcx`, `clsact` or `none`.
    pub tx_hook: &'static str,
    /// Why the receive hook is what it is.
    pub rx_reason: String,
    /// Whether everything it receives and transmits is judged.
    pub enforced: bool,
    /// Since when that is so: seconds since the epoch; 0 if it was never so.
    pub since: u64,
    /// The entry of the policy that it is bound by, where its own name is another: a pattern, or the name that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_as: Option<String>,
    /// What the device is called since it was renamed; its programs are still on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now_called: Option<String>,
}

/// Every interface that the policy in force binds or names, by name.
pub fn status(loaded: &Loaded, place: &Place) -> Result<Vec<InterfaceStatus>, Error> {
    let devices = interfaces::list()?;
    let links = links::links(&place.links())?;
    let hooks = Store::new(place.state()).hooks();
    let state = &loaded.state;
    let mut all: Vec<InterfaceStatus> = state
        .interfaces()
        .iter()
        .map(|(name, bound)| {
            let named = devices.iter().find(|one| one.name == *name);
            let device = named.filter(|one| one.ifindex == bound.row.ifindex);
            let rx = device.and_then(|device| receive(&links, bound.slot, device));
            let tx = device.and_then(|device| transmit(&links, &hooks, bound.slot, device));
            let hook = hooks.get(&bound.slot).filter(|hook| hook.ifindex == bound.row.ifindex);
            let fault = hook.and_then(|hook| hook.fault.clone());
            let reason = match (rx, named) {
                _ if fault.is_some() => fault.clone(),
                (Some(_), _) => hooks.get(&bound.slot).map(|hook| hook.rx_reason.clone()),
                (None, Some(_)) => Some("the device was made anew: apply the policy again".to_owned()),
                (None, None) => None,
            };
            InterfaceStatus {
                name: name.clone(),
                ifindex: named.map_or(0, |device| device.ifindex),
                role: bound.spec.role,
                groups: bound.groups.clone(),
                rx_hook: rx.map_or("none", Receive::name),
                tx_hook: tx.map_or("none", Transmit::name),
                rx_reason: reason.unwrap_or_default(),
                enforced: rx.is_some() && tx.is_some() && fault.is_none(),
                since: hook.map_or(0, |hook| hook.since),
                bound_as: Some(bound.spec.name.clone()).filter(|entry| entry != name),
                now_called: renamed(named, bound.row.ifindex, &devices),
            }
        })
        .collect();
    let unbound = |name: &str| !bind::is_pattern(name) && !state.interfaces().contains_key(name);
    let policy = state.policy();
    all.extend(policy.interfaces.iter().filter(|entry| unbound(&entry.name)).map(|entry| InterfaceStatus {
        name: entry.name.clone(),
        ifindex: devices.iter().find(|device| device.name == entry.name).map_or(0, |device| device.ifindex),
        role: entry.role,
        groups: bound_groups(policy, entry),
        rx_hook: "none",
        tx_hook: "none",
        rx_reason: String::new(),
        enforced: false,
        since: 0,
        bound_as: None,
        now_called: None,
    }));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The name that the device at `ifindex` has, if `named`, the one that should be there, is gone.
fn renamed(named: Option<&Device>, ifindex: u32, devices: &[Device]) -> Option<String> {
    let device = devices.iter().find(|device| named.is_none() && device.ifindex == ifindex)?;
    Some(device.name.clone())
}

/// Fails if `policy` needs a hook that is another program's, unless that is known of the interface already.
pub(super) fn check_hooks(
    place: &Place,
    links: &Links,
    hooks: &Hooks,
    policy: &Policy,
    devices: &[Device],
) -> Result<(), Error> {
    let of_others = upgrade::links_of_others(place)?;
    let ours: BTreeSet<u32> =
        links.values().chain(&of_others).filter(|link| !link.is_tcx).map(|link| link.ifindex).collect();
    let known = hooks.values().filter(|hook| hook.fault.is_some()).map(|hook| hook.ifindex);
    let known: BTreeSet<u32> = known.chain(ours).collect();
    for device in devices.iter().filter(|device| !known.contains(&device.ifindex)) {
        if let Some(entry) = bind::entry(policy, &device.name) {
            Wish::of(entry, device).check_free()?;
        }
    }
    Ok(())
}

/// Where our programs are. A link whose device is not among `devices` is in another network namespace.
pub(super) fn linked(links: &Links, devices: &[Device]) -> Linked {
    let here: BTreeSet<u32> = devices.iter().map(|device| device.ifindex).collect();
    let mut linked = Linked::default();
    for ((slot, _), link) in links.iter().filter(|(_, link)| link.ifindex != 0) {
        if here.contains(&link.ifindex) {
            linked.here.insert(link.ifindex, *slot);
        } else {
            linked.away.insert(*slot);
        }
    }
    linked
}

impl Writer {
    /// Fails if `policy` needs a hook that is another program's, where that is not to be reported instead.
    pub(super) fn check_hooks(&self, policy: &Policy, devices: &[Device]) -> Result<(), Error> {
        match self.on_fault {
            OnFault::Refuse => check_hooks(&self.place, &self.book.links, &self.book.hooks, policy, devices),
            OnFault::Report => Ok(()),
        }
    }

    /// Puts programs where they are missing and takes them off where nothing is bound; tells how many. On an error those
    /// that it put on are off again.
    pub(super) fn sync_hooks(&mut self, devices: &[Device], on_fault: OnFault) -> Result<usize, Error> {
        self.take_links_of_others(devices)?;
        let mut added = Vec::new();
        let attached = self.attach_missing(devices, on_fault, &mut added);
        match attached.and_then(|()| self.detach_stale(devices)) {
            Ok(removed) => {
                upgrade::remove_others(&self.place)?;
                Ok(added.len() + removed)
            }
            Err(error) => {
                self.book.detach(&added)?;
                Err(error)
            }
        }
    }

    fn take_links_of_others(&mut self, devices: &[Device]) -> Result<(), Error> {
        if upgrade::others(&self.place).is_empty() {
            return Ok(());
        }
        let bound = self.loaded.state.interfaces();
        let slot = |device: &Device| Some((device.ifindex, bound.get(&device.name)?.slot));
        let slots = devices.iter().filter_map(slot).collect();
        upgrade::take_links(&self.place, &mut self.loaded.kernel.programs, &slots)?;
        self.book.links = links::links(&self.place.links())?;
        Ok(())
    }

    fn attach_missing(
        &mut self,
        devices: &[Device],
        on_fault: OnFault,
        added: &mut Vec<(u32, Side)>,
    ) -> Result<(), Error> {
        let Self { loaded: Loaded { kernel, state, .. }, book, store, .. } = self;
        let before = book.hooks.clone();
        let done = book.attach(&mut kernel.programs, &sites(state, devices), on_fault, added);
        if book.hooks != before {
            store.save_hooks(&book.hooks)?;
        }
        done
    }

    fn detach_stale(&mut self, devices: &[Device]) -> Result<usize, Error> {
        let bound = self.loaded.state.interfaces().values().map(|bound| bound.slot);
        let bound: BTreeSet<u32> = bound.chain(self.standing.spared()).collect();
        let has_fault = |slot: &u32| self.book.hooks.get(slot).is_some_and(|hook| hook.fault.is_some());
        let is_stale = |(slot, side): &&(u32, Side)| {
            let is_over = *side == Side::Front || *side == Side::Cover && !has_fault(slot);
            is_over || !bound.contains(slot)
        };
        let stale: Vec<(u32, Side)> = self.book.links.keys().filter(is_stale).copied().collect();
        let mut removed = stale.len();
        self.book.detach(&stale)?;
        let hooks = &mut self.book.hooks;
        let unbound = hooks.iter().filter(|(slot, _)| !bound.contains(slot));
        removed += remove_clsact(unbound.map(|(_, hook)| hook), devices)?;
        let count = hooks.len();
        hooks.retain(|slot, _| bound.contains(slot));
        if hooks.len() < count {
            self.store.save_hooks(&self.book.hooks)?;
        }
        Ok(removed)
    }
}

/// Takes our filters off the devices that have one; tells how many.
pub(super) fn remove_clsact<'a>(
    hooks: impl Iterator<Item = &'a Hook>,
    devices: &[Device],
) -> Result<usize, Error> {
    let mut removed = 0;
    for hook in hooks.filter(|hook| hook.has_clsact) {
        if let Some(device) = devices.iter().find(|device| device.ifindex == hook.ifindex) {
            attach::remove_clsact(&device.name).attempt(|| format!("detaching from {}", device.name))?;
            removed += 1;
        }
    }
    Ok(removed)
}
