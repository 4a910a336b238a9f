//! One device and the programs on its hooks.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    attach::{self, Receive, Transmit, Wish},
    error::Error,
    interfaces::Device,
    kernel::Kernel,
    links::{self, Links, Side},
    programs::Programs,
    store::{Hook, Hooks},
};
use crate::{compile::State, policy::model};

/// A device that programs belong on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    /// Its place in the directory.
    pub slot: u32,
    /// What the policy says of it.
    pub spec: &'a model::Interface,
    /// The device.
    pub device: &'a Device,
}

/// What is to be done where a program cannot be put on its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFault {
    /// The change is refused.
    Refuse,
    /// It is remembered with the interface, and the others go on.
    Report,
}

/// Where our programs are, as far as it is remembered.
#[derive(Debug)]
pub(super) struct Book {
    /// Directory of the pins.
    pub directory: PathBuf,
    /// What is pinned there.
    pub links: Links,
    /// How it came there, and what did not.
    pub hooks: Hooks,
}

/// The devices that `state` binds.
pub(super) fn sites<'a>(state: &'a State, devices: &'a [Device]) -> Vec<Site<'a>> {
    let by_name: BTreeMap<&str, &Device> =
        devices.iter().map(|device| (device.name.as_str(), device)).collect();
    let bound = state.interfaces().iter();
    bound
        .filter_map(|(name, bound)| {
            let device = *by_name.get(name.as_str())?;
            Some(Site { slot: bound.slot, spec: &bound.spec, device })
        })
        .collect()
}

impl Book {
    /// Puts programs where they are missing; those that it put are then in `added`.
    pub fn attach(
        &mut self,
        programs: &mut Programs,
        sites: &[Site],
        on_fault: OnFault,
        added: &mut Vec<(u32, Side)>,
    ) -> Result<(), Error> {
        for site in sites {
            let on_fault = if self.has_fault(site) { OnFault::Report } else { on_fault };
            let received = self.attach_receive(programs, site, added);
            if received.is_err() && on_fault == OnFault::Report {
                self.stand_in(programs, site);
            }
            let transmitted = match (&received, on_fault) {
                (Err(_), OnFault::Refuse) => return received,
                _ => self.attach_transmit(programs, site, added),
            };
            match (received.and(transmitted), on_fault) {
                (Err(error), OnFault::Refuse) => return Err(error),
                (done, _) => self.note(site, done.err()),
            }
        }
        Ok(())
    }

    /// Puts programs on devices that are not bound yet, which closes them: the programs do not know them, and let nothing
    /// pass. On an error those that it put on are off again.
    pub fn close(
        &mut self,
        kernel: &mut Kernel,
        newcomers: &[Site],
        on_fault: OnFault,
    ) -> Result<Vec<(u32, Side)>, Error> {
        let indexes: Vec<u32> = newcomers.iter().map(|site| site.device.ifindex).collect();
        // What a predecessor with the same index may have left.
        kernel.forget_devices(&indexes)?;
        let mut added = Vec::new();
        match self.attach(&mut kernel.programs, newcomers, on_fault, &mut added) {
            Ok(()) => Ok(added),
            Err(error) => {
                self.detach(&added)?;
                Err(error)
            }
        }
    }

    /// Whether it is known that the device cannot be enforced.
    fn has_fault(&self, site: &Site) -> bool {
        let hook = self.hooks.get(&site.slot);
        hook.is_some_and(|hook| hook.fault.is_some() && hook.ifindex == site.device.ifindex)
    }

    /// Remembers whether a device is enforced, and since when it is or is not.
    fn note(&mut self, site: &Site, error: Option<Error>) {
        let hook = self.hooks.entry(site.slot).or_default();
        let fault = error.map(|error| chain(&error));
        if let Some(fault) = fault.as_ref().filter(|fault| hook.fault.as_ref() != Some(fault)) {
            log::error!("{} is NOT enforced: {fault}", site.device.name);
        }
        if fault.is_some() != hook.fault.is_some() || hook.since == 0 || hook.ifindex != site.device.ifindex {
            hook.since = now();
        }
        hook.ifindex = site.device.ifindex;
        hook.fault = fault;
    }

    /// Puts a program on the receive hook, unless the right one is there.
    fn attach_receive(
        &mut self,
        programs: &mut Programs,
        site: &Site,
        added: &mut Vec<(u32, Side)>,
    ) -> Result<(), Error> {
        let Site { slot, spec, device } = *site;
        let wish = Wish::of(spec, device);
        let has = receive(&self.links, slot, device);
        let chosen_for = self.hooks.get(&slot).and_then(|hook| Some((hook.wanted, hook.role?)));
        if let Some(has) = has.filter(|has| wish.suits(*has, chosen_for)) {
            if chosen_for != Some((wish.hook, wish.role)) {
                let hook = self.hooks.entry(slot).or_default();
                (hook.wanted, hook.role) = (wish.hook, Some(wish.role));
                hook.rx_reason = wish.reason(has, &[]);
            }
            return Ok(());
        }
        let cover = links::pin(&self.directory, slot, Side::Cover);
        match self.links.remove(&(slot, Side::Rx)) {
            Some(old) if has.is_some() => {
                let cover = attach::cover(programs, device, &old, &cover)?;
                self.links.insert((slot, Side::Cover), cover);
            }
            husk => links::detach(husk.as_ref())?,
        }
        if has.is_none() {
            wish.check_free()?;
        }
        let pin = links::pin(&self.directory, slot, Side::Rx);
        let cover = self.links.get(&(slot, Side::Cover));
        let (link, rx_reason) = wish.attach(programs, &pin, cover)?;
        self.links.retain(|key, cover| *key != (slot, Side::Cover) || cover.id != link.id);
        self.links.insert((slot, Side::Rx), link);
        added.push((slot, Side::Rx));
        let hook = self.hooks.entry(slot).or_default();
        let has_clsact = hook.has_clsact && hook.ifindex == device.ifindex;
        let (wanted, role) = (wish.hook, Some(wish.role));
        *hook = Hook { ifindex: device.ifindex, wanted, role, rx_reason, has_clsact, ..hook.clone() };
        Ok(())
    }

    /// Puts a program on TCX while another has the XDP hook where ours belongs: what that one lets pass is judged.
    fn stand_in(&mut self, programs: &mut Programs, site: &Site) {
        let Site { slot, device, .. } = *site;
        let key = (slot, Side::Cover);
        if device.xdp.is_none() || self.links.contains_key(&key) {
            return;
        }
        match attach::first(programs, device, false, &links::pin(&self.directory, slot, Side::Cover)) {
            Ok(link) => drop(self.links.insert(key, link)),
            Err(error) => log::error!("{}: nothing stands in on receive: {}", device.name, chain(&error)),
        }
    }

    /// Puts a program on the transmit hook, unless one is there.
    fn attach_transmit(
        &mut self,
        programs: &mut Programs,
        site: &Site,
        added: &mut Vec<(u32, Side)>,
    ) -> Result<(), Error> {
        let Site { slot, device, .. } = *site;
        if transmit(&self.links, &self.hooks, slot, device).is_some() {
            return Ok(());
        }
        links::detach(self.links.remove(&(slot, Side::Tx)).as_ref())?;
        let link = attach::transmit(programs, device, &links::pin(&self.directory, slot, Side::Tx))?;
        let hook = self.hooks.entry(slot).or_default();
        hook.ifindex = device.ifindex;
        hook.has_clsact = link.is_none();
        self.links.extend(link.map(|link| ((slot, Side::Tx), link)));
        added.push((slot, Side::Tx));
        Ok(())
    }

    /// Takes these programs off their hooks.
    pub fn detach(&mut self, keys: &[(u32, Side)]) -> Result<(), Error> {
        let links: Vec<_> = keys.iter().filter_map(|key| self.links.remove(key)).collect();
        links::detach(&links)
    }
}

/// Where received frames of `device` are judged.
pub(super) fn receive(links: &Links, slot: u32, device: &Device) -> Option<Receive> {
    let link = links.get(&(slot, Side::Rx)).filter(|link| link.ifindex == device.ifindex)?;
    match (link.is_tcx, device.xdp) {
        (true, _) => Some(Receive::Tcx),
        (false, Some(xdp)) if xdp.is_native => Some(Receive::XdpNative),
        (false, _) => Some(Receive::XdpGeneric),
    }
}

/// Where frames that `device` is to transmit are judged.
pub(super) fn transmit(links: &Links, hooks: &Hooks, slot: u32, device: &Device) -> Option<Transmit> {
    if links.get(&(slot, Side::Tx)).is_some_and(|link| link.ifindex == device.ifindex) {
        return Some(Transmit::Tcx);
    }
    let hook = hooks.get(&slot).filter(|hook| hook.ifindex == device.ifindex)?;
    hook.has_clsact.then_some(Transmit::Clsact)
}

/// An error with what caused it.
fn chain(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
