//! Which groups mean something else than before.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{counters::means_the_same, fold::is_host};
use crate::policy::{
    Policy,
    model::{Group, Remote},
};

/// Names of the groups whose rules or defaults judge otherwise in `new` than in `old`: their own rules changed, or an
/// address group or the `members:` prefixes of a group that a rule names did. Members by address are not looked at.
pub fn changed_groups(old: &Policy, new: &Policy) -> BTreeSet<String> {
    let address_groups: BTreeSet<&str> = new
        .address_groups
        .iter()
        .filter(|(name, group)| {
            old.address_groups.get(*name).is_none_or(|old| old.prefixes != group.prefixes)
        })
        .map(|(name, _)| name.as_str())
        .chain(
            old.address_groups
                .keys()
                .map(String::as_str)
                .filter(|name| !new.address_groups.contains_key(*name)),
        )
        .collect();
    let wide: BTreeSet<&str> = new
        .groups
        .iter()
        .filter(|(name, group)| !same_wide_members(old.groups.get(*name), group))
        .map(|(name, _)| name.as_str())
        .collect();
    let names_a_changed = |group: &Group| {
        let any = !address_groups.is_empty() || !wide.is_empty();
        any && group.rules.iter().any(|rule| match &rule.remote {
            Remote::AddressGroup(name) => address_groups.contains(name.as_str()),
            Remote::Group(name) => wide.contains(name.as_str()),
            Remote::Any | Remote::Prefix(_) => false,
        })
    };
    let is_changed = |(name, group): &(&String, &Group)| {
        !old.groups.get(*name).is_some_and(|old| judges_alike(old, group)) || names_a_changed(group)
    };
    new.groups.iter().filter(is_changed).map(|(name, _)| name.clone()).collect()
}

fn judges_alike(old: &Group, new: &Group) -> bool {
    old.stateful == new.stateful
        && old.audit == new.audit
        && old.default_ingress == new.default_ingress
        && old.default_egress == new.default_egress
        && old.rules.len() == new.rules.len()
        && old.rules.iter().zip(&new.rules).all(|(old, new)| means_the_same(old, new))
}

fn same_wide_members(old: Option<&Group>, new: &Group) -> bool {
    let wide =
        |group: &Group| -> Vec<IpNet> { group.members.iter().filter(|net| !is_host(net)).copied().collect() };
    old.map_or_else(|| wide(new).is_empty(), |old| old.members == new.members || wide(old) == wide(new))
}
