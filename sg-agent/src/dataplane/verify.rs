//! Notices what somebody else has changed, and repairs it: pins, links, the order of programs, tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use aya::programs::{SchedClassifier, TcAttachType};
use sg_common::{
    control::Control,
    heap::{Line, LineIndex},
    members::Membership,
};

use super::{
    Loaded,
    error::Error,
    interfaces::{self, Device},
    links::{self, Link, Links, Side},
    pins, private,
    reconcile::Reconciled,
    trial::Standing,
    writer::{Origin, Writer},
};
use crate::compile::{Plan, settings};

/// Lines of the heap that are compared at once: 4 MiB.
const LINES: u32 = 1 << 16;
/// Members that are compared at once.
const MEMBERS: usize = 4096;
/// Hooks that are looked at at once: those of 256 interfaces. On a thousand, all of them would take 5 % of a processor.
const HOOKS: usize = 512;

/// How far comparing has come, in what is too large to be compared whole each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    line: LineIndex,
    member: usize,
    /// The hook that was looked at last.
    hook: Option<(u32, Side)>,
}

impl Writer {
    /// What [`Self::reconcile`] does, and beside it compares what is in force with what should be, and repairs it: pins
    /// and state files that are gone, programs that were taken off their hooks, other programs in front of ours, and
    /// entries of the tables. For a timer: every second is often enough, and cheap enough. Of the compiled policy, of the
    /// members and of more hooks than those of 256 interfaces a part is compared each time.
    ///
    /// # Errors
    /// If something cannot be repaired.
    pub fn verify(&mut self) -> Result<Reconciled, Error> {
        let mut repairs = self.repair_pins()?;
        let devices = interfaces::list()?;
        self.reread_links(&devices, &BTreeSet::new())?;
        repairs.extend(self.look_at_hooks(&devices)?);
        if self.origin == Origin::Known && self.standing == Standing::Idle {
            repairs.extend(self.repair_tables()?);
        }
        repairs.iter().for_each(|repair| log::warn!("{repair}"));
        let done = self.follow_devices(&devices)?;
        Ok(Reconciled { repairs, ..done })
    }

    /// Pins again what is not pinned any more, and writes down again what is not written any more.
    fn repair_pins(&mut self) -> Result<Vec<String>, Error> {
        let mut repairs = Vec::new();
        if !self.lock.is_held() {
            private::create_dir_all(&self.place.root()).ok();
            self.lock = super::lock::Lock::take(&self.place.root())?;
        }
        let missing = pins::repair(&self.place, &mut self.loaded.kernel)?;
        if !missing.is_empty() {
            repairs.push(format!("the pins of {} were gone: pinned again", missing.join(", ")));
        }
        let generation = self.loaded.state.generation();
        if !self.store.state_path(generation).exists() && self.origin == Origin::Known {
            private::create_dir_all(self.place.state()).ok();
            self.loaded.state.forget_edits();
            let state = &self.loaded.state;
            self.store.save_policy(state.policy_number(), state.policy())?;
            self.store.save_state(generation, &state.save())?;
            self.store.save_history(generation, &self.loaded.history)?;
            self.store.save_hooks(&self.book.hooks)?;
            repairs.push(format!("{} was gone: written again", self.store.state_path(generation).display()));
        }
        Ok(repairs)
    }

    /// Looks at the hooks themselves, and corrects the book where it says otherwise.
    fn look_at_hooks(&mut self, devices: &[Device]) -> Result<Vec<String>, Error> {
        let by_index: BTreeMap<u32, &Device> =
            devices.iter().map(|device| (device.ifindex, device)).collect();
        let mut lost = Vec::new();
        let mut behind = Vec::new();
        let part = next_part(&self.book.links, self.progress.hook);
        self.progress.hook = part.last().map(|(key, _)| **key);
        for (key, link) in part {
            let Some(device) = by_index.get(&link.ifindex) else { continue };
            if !link.path.exists() {
                lost.push(*key);
                continue;
            }
            match place_of(link, key.1, device) {
                Place::First => {}
                Place::Nowhere => lost.push(*key),
                Place::Behind => behind.push((*key, (*device).clone())),
            }
        }
        let mut repairs = self.forget_links(&lost, devices)?;
        for (key, device) in behind {
            repairs.push(self.go_first(key, &device)?);
        }
        Ok(repairs)
    }

    /// Reads the links anew whose programs are not where the book has them.
    fn forget_links(&mut self, lost: &[(u32, Side)], devices: &[Device]) -> Result<Vec<String>, Error> {
        let mut repairs = Vec::new();
        for key in lost {
            let Some(before) = self.book.links.remove(key) else { continue };
            if !before.path.exists() {
                // On its way off the hook; another of ours finds no place until then.
                links::detach([&before])?;
            }
            let mut now: Links = links::read(vec![before.path.clone()])?;
            // A device of that index in another network namespace: none here has it.
            now.values_mut()
                .filter(|link| link.ifindex == before.ifindex)
                .for_each(|link| link.ifindex = AWAY);
            if !now.values().any(|link| link.ifindex == AWAY) {
                repairs.push(detached(&before, devices));
            }
            self.book.links.extend(now);
        }
        Ok(repairs)
    }

    /// Compares the tables with what they should hold, and writes anew what differs.
    fn repair_tables(&mut self) -> Result<Vec<String>, Error> {
        let mut repairs: Vec<String> = self.repair_word().into_iter().collect();
        repairs.extend(self.repair_rows()?);
        repairs.extend(self.repair_settings()?);
        repairs.extend(self.repair_lines());
        repairs.extend(self.repair_members()?);
        Ok(repairs)
    }

    fn repair_word(&self) -> Option<String> {
        let Loaded { kernel, state, .. } = &self.loaded;
        let (word, generation) = (kernel.control().word, state.generation());
        (Control::generation(word) != generation).then(|| {
            kernel.switch(generation, Control::half(word));
            "the generation in force had been changed: set again".to_owned()
        })
    }

    fn repair_rows(&mut self) -> Result<Vec<String>, Error> {
        let mut repairs = Vec::new();
        let Loaded { kernel, state, .. } = &mut self.loaded;
        let half = Control::half(kernel.control().word);
        for (name, bound) in state.interfaces() {
            if kernel.row(half, bound.slot) != bound.row {
                kernel.set_rows(half, [bound].into_iter());
                repairs.push(format!("the directory entry of {name} had been changed: written again"));
            }
            if kernel.slot_of(bound.row.ifindex)? != bound.slot {
                kernel.set_slot(bound.row.ifindex, bound.slot)?;
                repairs.push(format!("the slot of {name} had been changed: written again"));
            }
        }
        Ok(repairs)
    }

    fn repair_settings(&mut self) -> Result<Option<String>, Error> {
        let Loaded { kernel, state, .. } = &mut self.loaded;
        let wanted = settings::settings(state.policy(), &kernel.clock()?);
        if kernel.settings()? == wanted {
            return Ok(None);
        }
        kernel.set_settings(Control::half(kernel.control().word), &wanted);
        Ok(Some("the settings had been changed: written again".to_owned()))
    }

    fn repair_lines(&mut self) -> Option<String> {
        let Loaded { kernel, state, .. } = &mut self.loaded;
        let heap = state.heap();
        let (base, end) = (heap.base(), heap.high_water());
        let first = self.progress.line.clamp(base, end);
        let last = end.min(first.saturating_add(LINES));
        self.progress.line = if last == end { base } else { last };
        let should = heap.new_lines_since(first);
        let is = kernel.lines(first..last);
        let differs = |(_, (is, should)): &(u32, (&Line, &Line))| is != should;
        let wrong: Vec<(LineIndex, Vec<Line>)> = (first..last)
            .zip(is.iter().zip(&should))
            .filter(differs)
            .map(|(at, (_, line))| (at, vec![*line]))
            .collect();
        if wrong.is_empty() {
            return None;
        }
        let count = wrong.len();
        let mut plan = Plan::default();
        plan.lines = wrong;
        kernel.write_lines(&plan);
        Some(format!("{count} lines of the compiled policy had been changed: written again"))
    }

    fn repair_members(&mut self) -> Result<Option<String>, Error> {
        let Loaded { kernel, state, .. } = &mut self.loaded;
        let (members, generation) = (state.members(), state.generation());
        let first = if self.progress.member < members.len() { self.progress.member } else { 0 };
        self.progress.member = first + MEMBERS;
        let mut wrong: Vec<_> = Vec::new();
        for (key, set) in members.all().skip(first).take(MEMBERS) {
            if kernel.membership(&key)?.is_none_or(|one| one.at(generation) != set) {
                wrong.push((key, set));
            }
        }
        for (key, set) in &wrong {
            kernel.set_member(key, Membership { since: generation, now: *set, before: *set })?;
        }
        let strangers =
            if members.len() <= MEMBERS { kernel.remove_strangers(members, generation)? } else { 0 };
        let count = wrong.len() + strangers;
        Ok((count > 0).then(|| format!("{count} members of groups had been changed: written again")))
    }
}

/// The links that come after `last`, and those from the beginning on, as many as are looked at at once.
fn next_part(links: &Links, last: Option<(u32, Side)>) -> Vec<(&(u32, Side), &Link)> {
    let after = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    let until = (Bound::Unbounded, last.map_or(Bound::Unbounded, Bound::Included));
    links.range(after).chain(links.range(until)).take(HOOKS.min(links.len())).collect()
}

/// The index of no device: what a link says whose device is in another network namespace.
const AWAY: u32 = u32::MAX;

/// Where a program is on its hook.
enum Place {
    First,
    Behind,
    Nowhere,
}

/// Where the program of `link` is on `device`, as the device itself has it.
fn place_of(link: &Link, side: Side, device: &Device) -> Place {
    if !link.is_tcx {
        let is_there = device.xdp.is_some_and(|xdp| xdp.program == link.program);
        return if is_there { Place::First } else { Place::Nowhere };
    }
    let hook = if side == Side::Tx { TcAttachType::Egress } else { TcAttachType::Ingress };
    // A device that goes while it is looked at is the next look's.
    let Ok((_, programs)) = SchedClassifier::query_tcx(&device.name, hook) else { return Place::First };
    match programs.iter().position(|program| program.id() == link.program) {
        Some(0) => Place::First,
        Some(_) => Place::Behind,
        None => Place::Nowhere,
    }
}

fn detached(link: &Link, devices: &[Device]) -> String {
    let device = devices.iter().find(|device| device.ifindex == link.ifindex);
    let name = device.map_or("?", |device| device.name.as_str());
    format!("{name}: our program had been taken off {}: put back", hook_name(link))
}

fn hook_name(link: &Link) -> &str {
    let side = link.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if side.ends_with("-tx") { "the transmit hook" } else { "the receive hook" }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn links(slots: u32) -> Links {
        let link = Link { id: 0, program: 0, path: PathBuf::new(), ifindex: 1, is_tcx: true };
        let keys = (1..=slots).flat_map(|slot| [(slot, Side::Rx), (slot, Side::Tx)]);
        keys.map(|key| (key, link.clone())).collect()
    }

    /// The hooks of `looks` looks, one after the other.
    fn seen(links: &Links, looks: usize) -> Vec<(u32, Side)> {
        let mut seen: Vec<(u32, Side)> = Vec::new();
        for _ in 0..looks {
            let last = seen.last().copied();
            seen.extend(next_part(links, last).into_iter().map(|(key, _)| *key));
        }
        seen
    }

    #[test]
    fn few_hooks_are_all_looked_at_each_time() {
        assert_eq!(seen(&links(256), 1).len(), HOOKS);
        assert_eq!(seen(&links(3), 2).len(), 12);
        assert_eq!(seen(&links(0), 2), []);
    }

    #[test]
    fn of_many_hooks_each_has_its_turn() {
        let links = links(1000);
        let seen = seen(&links, 4);
        assert_eq!(seen.len(), 4 * HOOKS);
        assert!(links.keys().all(|key| seen.contains(key)));
        assert_eq!(seen[2000], seen[0]);
    }
}
