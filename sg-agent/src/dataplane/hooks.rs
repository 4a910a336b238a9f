//! Which programs are where, and making it so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use super::{
    Loaded,
    attach::{self, Receive, Transmit, Wish},
    bind::{self, Linked},
    error::{Attempt as _, Error},
    interfaces::{self, Device},
    links::{self, Link, Side},
    place::Place,
    programs::Programs,
    store::{Hook, Hooks, Store},
    upgrade,
    writer::Writer,
};
use crate::{
    compile::order::bound_groups,
    policy::{Policy, model::Role},
};

pub(super) type Links = BTreeMap<(u32, Side), Link>;

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
            let reason = match (rx, named) {
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
                enforced: rx.is_some() && tx.is_some(),
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

fn receive(links: &Links, slot: u32, device: &Device) -> Option<Receive> {
    let link = links.get(&(slot, Side::Rx)).filter(|link| link.ifindex == device.ifindex)?;
    match (link.is_tcx, device.xdp) {
        (true, _) => Some(Receive::Tcx),
        (false, Some(xdp)) if xdp.is_native => Some(Receive::XdpNative),
        (false, _) => Some(Receive::XdpGeneric),
    }
}

fn transmit(links: &Links, hooks: &Hooks, slot: u32, device: &Device) -> Option<Transmit> {
    if links.get(&(slot, Side::Tx)).is_some_and(|link| link.ifindex == device.ifindex) {
        return Some(Transmit::Tcx);
    }
    let hook = hooks.get(&slot).filter(|hook| hook.ifindex == device.ifindex)?;
    hook.has_clsact.then_some(Transmit::Clsact)
}

/// Fails if `policy` needs a hook that is another program's.
pub(super) fn check_hooks(
    place: &Place,
    links: &Links,
    policy: &Policy,
    devices: &[Device],
) -> Result<(), Error> {
    let of_others = upgrade::links_of_others(place)?;
    let is_ours = |device: &Device| {
        links.values().chain(&of_others).any(|link| link.ifindex == device.ifindex && !link.is_tcx)
    };
    for device in devices.iter().filter(|device| !is_ours(device)) {
        if let Some(entry) = bind::entry(policy, &device.name) {
            Wish::of(entry, device).check_free()?;
        }
    }
    Ok(())
}

/// The slots of the devices that have our programs on them.
pub(super) fn linked(links: &Links) -> Linked {
    let on_device = links.iter().filter(|(_, link)| link.ifindex != 0);
    on_device.map(|((slot, _), link)| (link.ifindex, *slot)).collect()
}

impl Writer {
    /// Puts programs where they are missing and takes them off where nothing is bound; tells how many. On an error those
    /// that it put on are off again.
    pub(super) fn sync_hooks(&mut self, devices: &[Device]) -> Result<usize, Error> {
        self.take_links_of_others(devices)?;
        let links = links::links(&self.place.links())?;
        let hooks_before = self.hooks.clone();
        let mut added = Vec::new();
        let attached = self.attach_missing(devices, &links, &mut added);
        if self.hooks != hooks_before {
            self.store.save_hooks(&self.hooks)?;
        }
        let detached = attached.and_then(|()| match added.is_empty() {
            true => self.detach_stale(&links, devices),
            false => self.detach_stale(&links::links(&self.place.links())?, devices),
        });
        match detached {
            Ok(removed) => {
                upgrade::remove_others(&self.place)?;
                Ok(added.len() + removed)
            }
            Err(error) => {
                let put_on = links::links(&self.place.links())?;
                links::detach(added.iter().filter_map(|key| put_on.get(key)))?;
                Err(error)
            }
        }
    }

    fn take_links_of_others(&mut self, devices: &[Device]) -> Result<(), Error> {
        let bound = self.loaded.state.interfaces();
        let slot = |device: &Device| Some((device.ifindex, bound.get(&device.name)?.slot));
        let slots = devices.iter().filter_map(slot).collect();
        upgrade::take_links(&self.place, &mut self.loaded.kernel.programs, &slots)
    }

    fn attach_missing(
        &mut self,
        devices: &[Device],
        links: &Links,
        added: &mut Vec<(u32, Side)>,
    ) -> Result<(), Error> {
        let directory = self.place.links();
        let Self { loaded, hooks, .. } = self;
        for (name, bound) in loaded.state.interfaces() {
            let Some(device) = devices.iter().find(|device| device.name == *name) else { continue };
            let at = Site { device, slot: bound.slot, directory: &directory, links };
            let programs = &mut loaded.kernel.programs;
            if at.attach_receive(programs, &Wish::of(&bound.spec, device), hooks)? {
                added.push((bound.slot, Side::Rx));
            }
            if at.attach_transmit(programs, hooks)? {
                added.push((bound.slot, Side::Tx));
            }
        }
        Ok(())
    }

    fn detach_stale(&mut self, links: &Links, devices: &[Device]) -> Result<usize, Error> {
        let bound = self.loaded.state.interfaces().values().map(|bound| bound.slot);
        let bound: BTreeSet<u32> = bound.chain(self.standing.spared()).collect();
        let is_stale = |(slot, side): &(u32, Side)| *side == Side::Cover || !bound.contains(slot);
        let stale: Vec<&Link> = links.iter().filter(|(key, _)| is_stale(key)).map(|found| found.1).collect();
        let mut removed = stale.len();
        links::detach(stale)?;
        let unbound = self.hooks.iter().filter(|(slot, _)| !bound.contains(slot));
        removed += remove_clsact(unbound.map(|(_, hook)| hook), devices)?;
        let count = self.hooks.len();
        self.hooks.retain(|slot, _| bound.contains(slot));
        if self.hooks.len() < count {
            self.store.save_hooks(&self.hooks)?;
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

/// A device and what is on it.
struct Site<'a> {
    device: &'a Device,
    slot: u32,
    directory: &'a Path,
    links: &'a Links,
}

impl Site<'_> {
    /// Puts a program on the receive hook, unless the right one is there; tells whether it did.
    fn attach_receive(&self, programs: &mut Programs, wish: &Wish, hooks: &mut Hooks) -> Result<bool, Error> {
        let Self { device, slot, directory, links } = *self;
        let has = receive(links, slot, device);
        let chosen_for = hooks.get(&slot).and_then(|hook| Some((hook.wanted, hook.role?)));
        if has.is_some_and(|has| wish.suits(has, chosen_for)) {
            return Ok(false);
        }
        let cover = links::pin(directory, slot, Side::Cover);
        match links.get(&(slot, Side::Rx)) {
            Some(old) if has.is_some() => attach::cover(programs, device, old, &cover)?,
            husk => links::detach(husk)?,
        }
        let pin = links::pin(directory, slot, Side::Rx);
        let rx_reason = wish.attach(programs, &pin, &cover)?;
        let hook = hooks.entry(slot).or_default();
        let has_clsact = hook.has_clsact && hook.ifindex == device.ifindex;
        *hook =
            Hook { ifindex: device.ifindex, wanted: wish.hook, role: Some(wish.role), rx_reason, has_clsact };
        Ok(true)
    }

    /// Puts a program on the transmit hook, unless one is there; tells whether it did.
    fn attach_transmit(&self, programs: &mut Programs, hooks: &mut Hooks) -> Result<bool, Error> {
        let Self { device, slot, directory, links } = *self;
        if transmit(links, hooks, slot, device).is_some() {
            return Ok(false);
        }
        links::detach(links.get(&(slot, Side::Tx)))?;
        let how = attach::transmit(programs, device, &links::pin(directory, slot, Side::Tx))?;
        let hook = hooks.entry(slot).or_default();
        hook.ifindex = device.ifindex;
        hook.has_clsact = how == Transmit::Clsact;
        Ok(true)
    }
}
