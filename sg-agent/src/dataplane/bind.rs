//! Which device goes with which entry of the policy, in which slot. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::interfaces::Device;
use crate::{
    compile::{Binding, State},
    policy::{Policy, model},
};

/// Bound only by name: a pattern never means it.
const LOOPBACK: &str = "lo";

/// The slots of devices that have programs on them, by index.
pub type Linked = BTreeMap<u32, u32>;

/// The devices that `policy` binds, by name. A device keeps the slot that its programs have, else the one that its name
/// had; who is new gets one that nobody had, if there is one.
pub fn bindings<'a>(
    policy: &'a Policy,
    devices: &'a [Device],
    state: &State,
    linked: &Linked,
) -> Vec<Binding<'a>> {
    let mut named: Vec<(&Device, &model::Interface)> =
        devices.iter().filter_map(|device| Some((device, entry(policy, &device.name)?))).collect();
    named.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let slots = slots(named.iter().map(|(device, _)| *device), state, linked);
    let binding = |((device, spec), slot): ((&'a Device, &'a model::Interface), u32)| Binding {
        name: &device.name,
        ifindex: device.ifindex,
        slot,
        spec,
    };
    named.into_iter().zip(slots).map(binding).collect()
}

fn slots<'a>(devices: impl Iterator<Item = &'a Device> + Clone, state: &State, linked: &Linked) -> Vec<u32> {
    let by_link: Vec<Option<u32>> =
        devices.clone().map(|device| linked.get(&device.ifindex).copied()).collect();
    let mut taken: BTreeSet<u32> = by_link.iter().flatten().copied().collect();
    let mut by_name = |name: &str| {
        let slot = state.interfaces().get(name)?.slot;
        taken.insert(slot).then_some(slot)
    };
    let kept: Vec<Option<u32>> =
        devices.zip(by_link).map(|(device, by_link)| by_link.or_else(|| by_name(&device.name))).collect();
    let before: BTreeSet<u32> = state.interfaces().values().map(|bound| bound.slot).collect();
    let mut fresh = || {
        let unused = (1..).find(|slot| !taken.contains(slot) && !before.contains(slot));
        let fits = unused.filter(|slot| *slot <= state.limits().interfaces);
        let slot = fits.or_else(|| (1..).find(|slot| !taken.contains(slot))).unwrap_or(u32::MAX);
        taken.insert(slot);
        slot
    };
    kept.into_iter().map(|kept| kept.unwrap_or_else(&mut fresh)).collect()
}

/// The entry that speaks of the device named `name`: its own, else the first whose pattern it matches.
pub fn entry<'a>(policy: &'a Policy, name: &str) -> Option<&'a model::Interface> {
    let own = policy.interfaces.iter().find(|entry| entry.name == name);
    let by_pattern = || policy.interfaces.iter().find(|entry| matches(&entry.name, name));
    own.or_else(|| if name == LOOPBACK { None } else { by_pattern() })
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

    fn device(name: &str, ifindex: u32) -> Device {
        Device { name: name.to_owned(), ifindex, is_ethernet: true, is_veth: false, xdp: None }
    }

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
        let devices = [device("lo", 1), device("tap1", 8), device("tap0", 7), device("eth0", 2)];
        let state = State::new(policy.settings.limits);
        let bound = |linked: &[(u32, u32)]| -> Vec<(String, u32)> {
            let linked = linked.iter().copied().collect();
            let bindings = bindings(&policy, &devices, &state, &linked);
            bindings.iter().map(|one| (one.name.to_owned(), one.slot)).collect()
        };
        assert_eq!(bound(&[]), [("tap0".to_owned(), 1), ("tap1".to_owned(), 2)]);
        assert_eq!(bound(&[(8, 1)]), [("tap0".to_owned(), 2), ("tap1".to_owned(), 1)]);
        assert_eq!(missing(&policy, &devices), [2]);
    }
}
