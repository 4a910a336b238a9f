//! Groups and address groups that nothing uses, and address groups without addresses.

use std::collections::BTreeSet;

use super::super::{
    code::Code,
    diagnostic::Report,
    model::{Policy, Remote},
    validate::Positions,
};

/// Reports what is not used. A file without interfaces binds its groups by `attach`, so none is unused there.
pub fn lint(policy: &Policy, positions: &Positions, report: &mut Report) {
    let used = used_groups(policy);
    let unused = policy.groups.keys().filter(|name| !used.contains(name.as_str()));
    for name in unused.filter(|_| !policy.interfaces.is_empty()) {
        let span = positions.groups.get(name).map(|group| group.name).unwrap_or_default();
        report
            .push(Code::UnusedGroup, span, format!("no interface and no rule uses group `{name}`"))
            .help("bind it to an interface, or remove it");
    }
    address_groups(policy, positions, report);
}

fn used_groups(policy: &Policy) -> BTreeSet<&str> {
    let bound = policy.interfaces.iter().flat_map(|interface| &interface.groups).map(String::as_str);
    let others = policy.groups.values().flat_map(|group| {
        group.rules.iter().filter_map(|rule| match &rule.remote {
            Remote::Group(name) if *name != group.name => Some(name.as_str()),
            _ => None,
        })
    });
    bound.chain(others).chain([policy.settings.default_group.as_str()]).collect()
}

fn address_groups(policy: &Policy, positions: &Positions, report: &mut Report) {
    let rules = policy.groups.values().flat_map(|group| &group.rules);
    let used: BTreeSet<&str> = rules
        .filter_map(|rule| match &rule.remote {
            Remote::AddressGroup(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    for (name, group) in &policy.address_groups {
        let span = positions.address_groups.get(name).copied().unwrap_or_default();
        if !used.contains(name.as_str()) {
            report
                .push(Code::UnusedAddressGroup, span, format!("no rule uses address group `{name}`"))
                .help(format!("use it with `remote: \"address-group:{name}\"`, or remove it"));
        }
        if group.prefixes.is_empty() {
            report
                .push(
                    Code::EmptyAddressGroup,
                    span,
                    format!("address group `{name}` is empty and matches nobody"),
                )
                .help("give it addresses; an empty group never means any address");
        }
    }
}
