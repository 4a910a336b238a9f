//! Interfaces that `attach` bound, across `apply`.

use std::collections::BTreeMap;

use crate::{
    dataplane::{Error, interfaces::Device},
    policy::{Policy, model::Interface},
};

/// Gives `policy` the interfaces that `attach` bound under the policy `before`: a file that says nothing of a guest must
/// not take its filter away. An entry of the file for the same name wins, and who is gone from the host is forgotten.
///
/// # Errors
/// A group of theirs that `policy` does not have is in use.
pub fn keep(policy: &mut Policy, before: &Policy, devices: &[Device]) -> Result<(), Error> {
    let is_there = |name: &str| devices.iter().any(|device| device.name == name);
    let is_named = |name: &str| policy.interfaces.iter().any(|entry| entry.name == name);
    let attached = before.interfaces.iter().filter(|entry| entry.is_attached);
    let kept: Vec<Interface> =
        attached.filter(|entry| is_there(&entry.name) && !is_named(&entry.name)).cloned().collect();
    let mut used: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in &kept {
        for group in entry.groups.iter().filter(|group| !policy.groups.contains_key(*group)) {
            used.entry(group).or_default().push(&entry.name);
        }
    }
    if !used.is_empty() {
        return Err(Error::InUse(in_use(&used)));
    }
    policy.interfaces.extend(kept);
    Ok(())
}

fn in_use(used: &BTreeMap<&str, Vec<&str>>) -> String {
    let each: Vec<String> = used
        .iter()
        .map(|(group, names)| format!("group {group} is in use by {}", names.join(", ")))
        .collect();
    format!(
        "{}: bound with `sg-agent attach` and not named in the file; keep the group, or detach them first",
        each.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(groups: &str, interfaces: &str) -> Policy {
        let text = format!("version: 1\nsecurity_groups: {groups}\ninterfaces: {interfaces}\n");
        crate::policy::parse_str(&text, "test.yaml").policy.unwrap()
    }

    fn before() -> Policy {
        let mut before = policy("{web: {}}", "[{name: tap0, groups: [web]}, {name: tap1, groups: [web]}]");
        before.interfaces[1].is_attached = true;
        before
    }

    fn names_kept(mut next: Policy, devices: &[&str]) -> Result<Vec<String>, String> {
        let device =
            |name: &&str| Device { name: (*name).to_owned(), ifindex: 1, is_ethernet: true, xdp: None };
        let devices: Vec<Device> = devices.iter().map(device).collect();
        keep(&mut next, &before(), &devices).map_err(|error| format!("{} {error}", error.exit_code()))?;
        Ok(next.interfaces.into_iter().filter(|entry| entry.is_attached).map(|entry| entry.name).collect())
    }

    #[test]
    fn only_attached_interfaces_that_are_there_are_kept() {
        assert_eq!(names_kept(policy("{web: {}}", "[]"), &["tap0", "tap1"]), Ok(vec!["tap1".to_owned()]));
        assert_eq!(names_kept(policy("{web: {}}", "[]"), &["tap0"]), Ok(vec![]));
        assert_eq!(names_kept(policy("{web: {}}", "[{name: tap1, groups: [web]}]"), &["tap1"]), Ok(vec![]));
    }

    #[test]
    fn a_group_in_use_is_not_taken_away() {
        let refused = names_kept(policy("{db: {}}", "[]"), &["tap1"]).unwrap_err();
        assert!(refused.starts_with("4 group web is in use by tap1: "), "{refused}");
    }
}
