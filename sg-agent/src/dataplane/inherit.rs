//! What a policy file takes over from what is in force: the bindings made by `attach`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{bind, error::Error, interfaces::Device};
use crate::{
    compile::{State, order::bound_groups},
    policy::{Policy, model::Interface},
};

/// Whether an entry of the policy in force has a device: one of its name, or one that had it when it was bound.
pub fn has_device(entry: &str, state: &State, devices: &[Device]) -> bool {
    let is_bound = |ifindex: u32| {
        let mut bound = state.interfaces().values();
        bound.any(|bound| bound.spec.name == entry && bound.row.ifindex == ifindex)
    };
    devices.iter().any(|device| device.name == entry || is_bound(device.ifindex))
}

/// Adds to a policy file the bindings that `attach` has made in `running`, but for interfaces that the file names itself.
/// Returns the names of those that are forgotten, because there is no such device any more.
pub fn inherit(policy: &mut Policy, state: &State, devices: &[Device]) -> Vec<String> {
    let mut forgotten = Vec::new();
    for entry in state.policy().interfaces.iter().filter(|entry| entry.attached) {
        if policy.interfaces.iter().any(|own| own.name == entry.name) {
            continue;
        }
        if has_device(&entry.name, state, devices) {
            policy.interfaces.push(entry.clone());
        } else {
            forgotten.push(entry.name.clone());
        }
    }
    forgotten
}

/// Whether two policies come from files that say the same.
pub fn same_file(a: &Policy, b: &Policy) -> bool {
    let of_file = |policy: &'_ Policy| -> Vec<Interface> {
        policy.interfaces.iter().filter(|entry| !entry.attached).cloned().collect()
    };
    a.settings == b.settings
        && a.address_groups == b.address_groups
        && a.groups == b.groups
        && of_file(a) == of_file(b)
}

/// Fails if `policy` takes a group away that an interface uses which it does not bind otherwise.
pub fn check_in_use(policy: &Policy, state: &State, devices: &[Device]) -> Result<(), Error> {
    let mut users: Users = BTreeMap::new();
    let running = state.interfaces().iter();
    for (name, bound) in running.filter(|(name, _)| devices.iter().any(|device| device.name == **name)) {
        let kept = || policy.interfaces.iter().find(|entry| entry.name == bound.spec.name);
        let entry = bind::entry(policy, name).or_else(kept);
        let gone = |group: &&String| !policy.groups.contains_key(*group);
        let is_bound_otherwise = match entry {
            Some(entry) if entry.attached => {
                entry.groups.is_empty() && !bound_groups(policy, entry).is_empty()
            }
            Some(_) => true,
            None => false,
        };
        if is_bound_otherwise {
            continue;
        }
        for group in bound.groups.iter().filter(gone) {
            users.entry((group, entry.is_some())).or_default().insert(name);
        }
    }
    match users.is_empty() {
        true => Ok(()),
        false => Err(in_use(&users)),
    }
}

/// Interfaces by the group that they use, and whether `attach` has bound them; if not, the file drops them.
type Users<'a> = BTreeMap<(&'a str, bool), BTreeSet<&'a str>>;

fn in_use(users: &Users) -> Error {
    const SHOWN: usize = 8;
    let line = |((group, is_attached), interfaces): (&(&str, bool), &BTreeSet<&str>)| {
        let shown: Vec<&str> = interfaces.iter().take(SHOWN).copied().collect();
        let more = interfaces.len().saturating_sub(SHOWN);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what_to_do = match *is_attached {
            true => "bound by `attach`: bind other groups there first",
            false => "which the file does not bind: remove the interface first",
        };
        let names = shown.join(", ");
        let only = if interfaces.len() == 1 { format!(" {names}`") } else { "` each".to_owned() };
        format!("group `{group}` is in use by {names}{rest}, {what_to_do}, or `sg-agent detach{only}")
    };
    let lines: Vec<String> = users.iter().map(line).collect();
    Error::InUse(format!("{}; the policy in force stays", lines.join("; ")))
}
