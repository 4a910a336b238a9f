//! Which device goes with which entry of the policy, in which slot. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::interfaces::Device;
use crate::{
    compile::{Binding, State, state::Bound},
    policy::{Policy, model},
};

/// Bound only by name: a pattern never means it.
const LOOPBACK: &str = "lo";

/// Where programs of ours are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Slots by the index of the device in this network namespace.
    pub here: BTreeMap<u32, u32>,
    /// Slots whose device is in another network namespace: its programs are still on it.
    pub away: BTreeSet<u32>,
}

impl Linked {
    fn slots(&self) -> impl Iterator<Item = u32> {
        self.here.values().chain(&self.away).copied()
    }
}

/// The devices that `policy` binds, by name. A device keeps the slot that its programs have, else the one that its name
/// had; who is new gets one that nobody had, if there is one.
///
/// A device that is bound stays so for as long as it lives: one whose new name no entry speaks of keeps the entry that it
/// had, and one that was moved to another network namespace its name, unless another device has taken that or its index.
pub fn bindings<'a>(
    policy: &'a Policy,
    devices: &'a [Device],
    state: &'a State,
    linked: &Linked,
) -> Vec<Binding<'a>> {
    let bound = by_site(state);
    let entries = Entries::of(policy);
    let mut named: Vec<(&Device, &model::Interface)> = devices
        .iter()
        .filter_map(|device| {
            let had = || Some(*bound.get(&(*linked.here.get(&device.ifindex)?, device.ifindex))?);
            Some((device, entries.of_device(&device.name).or_else(|| entries.kept(had()?))?))
        })
        .collect();
    named.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let slots = slots(named.iter().map(|(device, _)| *device), state, linked);
    let binding = |((device, spec), slot): ((&'a Device, &'a model::Interface), u32)| Binding {
        name: &device.name,
        ifindex: device.ifindex,
        slot,
        spec,
    };
    let mut all: Vec<Binding> = named.into_iter().zip(slots).map(binding).collect();
    if !linked.away.is_empty() {
        all.extend(away(&entries, devices, state, linked));
        all.sort_by(|a, b| a.name.cmp(b.name));
    }
    all
}

/// The interfaces by slot and index of their device.
fn by_site(state: &State) -> BTreeMap<(u32, u32), &Bound> {
    let all = state.interfaces().values();
    all.map(|bound| ((bound.slot, bound.row.ifindex), bound)).collect()
}

/// The entries of a policy, ready to be asked about many devices.
struct Entries<'a> {
    by_name: BTreeMap<&'a str, &'a model::Interface>,
    patterns: Vec<&'a model::Interface>,
}

impl<'a> Entries<'a> {
    fn of(policy: &'a Policy) -> Self {
        // The first of a name counts.
        let by_name = policy.interfaces.iter().rev().map(|entry| (entry.name.as_str(), entry)).collect();
        let patterns = policy.interfaces.iter().filter(|entry| is_pattern(&entry.name)).collect();
        Self { by_name, patterns }
    }

    /// The entry that speaks of the device named `name`: its own, else the first whose pattern it matches.
    fn of_device(&self, name: &str) -> Option<&'a model::Interface> {
        let by_pattern = || self.patterns.iter().copied().find(|entry| matches(&entry.name, name));
        let own = self.by_name.get(name).copied();
        own.or_else(|| if name == LOOPBACK { None } else { by_pattern() })
    }

    /// The entry that a device was bound by, as the policy has it now.
    fn kept(&self, bound: &Bound) -> Option<&'a model::Interface> {
        self.by_name.get(bound.spec.name.as_str()).copied()
    }
}

fn away<'a>(
    entries: &Entries<'a>,
    devices: &'a [Device],
    state: &'a State,
    linked: &Linked,
) -> Vec<Binding<'a>> {
    let is_taken = |name: &str, ifindex: u32| {
        devices.iter().any(|device| device.name == name || device.ifindex == ifindex)
    };
    let away = state.interfaces().iter().filter(|(_, bound)| linked.away.contains(&bound.slot));
    let binding = |(name, bound): (&'a String, &Bound)| {
        let spec = entries.of_device(name).or_else(|| entries.kept(bound))?;
        let (slot, ifindex) = (bound.slot, bound.row.ifindex);
        (!is_taken(name, ifindex)).then_some(Binding { name, ifindex, slot, spec })
    };
    away.filter_map(binding).collect()
}

fn slots<'a>(devices: impl Iterator<Item = &'a Device> + Clone, state: &State, linked: &Linked) -> Vec<u32> {
    let by_link: Vec<Option<u32>> =
        devices.clone().map(|device| linked.here.get(&device.ifindex).copied()).collect();
    let mut taken: BTreeSet<u32> = linked.slots().collect();
    let mut by_name = |name: &str| {
        let slot = state.interfaces().get(name)?.slot;
        taken.insert(slot).then_some(slot)
    };
    let kept: Vec<Option<u32>> =
        devices.zip(by_link).map(|(device, by_link)| by_link.or_else(|| by_name(&device.name))).collect();
    let before: BTreeSet<u32> = state.interfaces().values().map(|bound| bound.slot).collect();
    let limit = state.limits().interfaces;
    let mut unused = (1..).filter(|slot| !before.contains(slot));
    let mut next_unused = |taken: &BTreeSet<u32>| {
        unused.by_ref().find(|slot| *slot > limit || !taken.contains(slot)).filter(|slot| *slot <= limit)
    };
    let mut fresh = || {
        let unused = next_unused(&taken);
        let slot = unused.or_else(|| (1..).find(|slot| !taken.contains(slot))).unwrap_or(u32::MAX);
        taken.insert(slot);
        slot
    };
    kept.into_iter().map(|kept| kept.unwrap_or_else(&mut fresh)).collect()
}

/// The entry that speaks of the device named `name`: its own, else the first whose pattern it matches.
pub fn entry<'a>(policy: &'a Policy, name: &str) -> Option<&'a model::Interface> {
    Entries::of(policy).of_device(name)
}

/// Entries that name a device which is not there, as indexes into [`Policy::interfaces`].
pub fn missing(policy: &Policy, devices: &[Device]) -> Vec<usize> {
    let is_there = |name: &str| devices.iter().any(|device| device.name == name);
    let entries = policy.interfaces.iter().enumerate();
    entries
        .filter(|(_, entry)| !is_pattern(&entry.name) && !is_there(&entry.name))
        .map(|(at, _)| at)
        .collect()
}

/// Whether a name of the policy may mean several devices.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => {
            let mut tails = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            tails.any(|at| matches(rest, &name[at..]))
        }
        _ => match name.chars().next() {
            Some(next) => (first == '?' || first == next) && matches(rest, &name[next.len_utf8()..]),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(names: &[&str]) -> Policy {
        let interfaces: Vec<String> =
            names.iter().map(|name| format!("{{name: \"{name}\", role: guest, groups: [g]}}")).collect();
        let text = format!(
            "version: 1\nsecurity_groups: {{g: {{rules: []}}}}\ninterfaces: [{}]\n",
            interfaces.join(", ")
        );
        crate::policy::parse_str(&text, "test.yaml").policy.unwrap()
    }

    #[test]
    fn patterns_match_like_a_shell() {
        for (pattern, name, is) in [
            ("tap*", "tap0", true),
            ("tap*", "tap", true),
            ("tap?", "tap", false),
            ("tap?", "tap0", true),
            ("*0", "tap10", true),
            ("t*p*", "tap10", true),
            ("tap*", "ptap0", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_wins_over_a_pattern_and_no_pattern_means_the_loopback() {
        let policy = policy(&["*", "tap0"]);
        assert_eq!(entry(&policy, "tap0").unwrap().name, "tap0");
        assert_eq!(entry(&policy, "tap1").unwrap().name, "*");
        assert!(entry(&policy, "lo").is_none());
    }

    #[test]
    fn slots_are_dealt_from_1_and_missing_devices_told() {
        let policy = policy(&["tap1", "tap0", "gone", "vm*"]);
        let devices = [
            Device::ethernet("lo", 1),
            Device::ethernet("tap1", 8),
            Device::ethernet("tap0", 7),
            Device::ethernet("eth0", 2),
        ];
        let state = State::new(policy.settings.limits);
        let bound = |linked: &[(u32, u32)]| -> Vec<(String, u32)> {
            let linked = Linked { here: linked.iter().copied().collect(), away: BTreeSet::new() };
            let bindings = bindings(&policy, &devices, &state, &linked);
            bindings.iter().map(|one| (one.name.to_owned(), one.slot)).collect()
        };
        assert_eq!(bound(&[]), [("tap0".to_owned(), 1), ("tap1".to_owned(), 2)]);
        assert_eq!(bound(&[(8, 1)]), [("tap0".to_owned(), 2), ("tap1".to_owned(), 1)]);
        assert_eq!(missing(&policy, &devices), [2]);
    }
}
