//! Resources of the OpenStack provider and of those made from it.

use super::{
    super::{
        neutral::{Effect, Group, Neutral},
        openstack::{Raw, default_egress},
    },
    Resource, without_index,
};

/// `openstack_networking_secgroup_v2`.
pub fn group(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let local = into.scoped(resource.address);
    let key = values.text_of("id").map_or_else(|| local.clone(), str::to_owned);
    let mut group = Group::new(&key, values.text_of("name").unwrap_or(resource.address));
    group.qualifier = resource.address.to_owned();
    group.description = values.text_of("description").unwrap_or_default().to_owned();
    group.stateful = values.text_of("stateful") != Some("false");
    group.origin = resource.address.to_owned();
    into.define(group);
    into.alias(&key, &local);
    into.alias(&key, &into.scoped(without_index(resource.address)));
    // Neutron makes them; Terraform does not show them.
    if values.text_of("delete_default_rules") != Some("true") {
        for rule in default_egress(&resource.place("")) {
            into.rule(&key, rule);
        }
    }
}

/// `openstack_networking_secgroup_rule_v2`.
pub fn rule(resource: &Resource<'_>, into: &mut Neutral) {
    let place = resource.place("");
    let Some(key) = resource.group("security_group_id", into) else {
        return into.note(Effect::Dropped, &place, "its group cannot be told");
    };
    let group = resource.group("remote_group_id", into);
    let mut raw = Raw { group: group.as_deref(), ..Raw::of_api(resource.values) };
    // The provider shows 0 where nothing was set.
    if let (Some("0"), Some("0")) = (raw.first, raw.last) {
        if matches!(raw.protocol, "icmp" | "icmpv6" | "ipv6-icmp") {
            let message = "the provider does not tell ICMP type 0, code 0 from none; taken as every type";
            into.note(Effect::Changed, &place, message);
        }
        (raw.first, raw.last) = (None, None);
    }
    if let Some(rule) = raw.rule(&place, into) {
        into.rule(&key, rule);
    }
}
