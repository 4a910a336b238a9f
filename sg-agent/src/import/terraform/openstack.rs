//! Resources of the OpenStack provider and of those made from it.

use super::{
    super::{
        neutral::{Effect, Neutral, Rule},
        openstack::{Raw, default_egress},
        parts,
    },
    Resource,
};

/// `openstack_networking_secgroup_v2`.
pub fn group(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let name = values.text_of("name").unwrap_or(resource.address);
    let key = resource.define(name, resource.address, values.text_of("stateful") != Some("false"), into);
    // Neutron makes them; Terraform does not show them.
    if values.text_of("delete_default_rules") != Some("true") {
        for rule in default_egress(&resource.place("")) {
            into.rule(&key, rule);
        }
    }
}

/// Arguments without which a rule would say more than it does.
const DECISIVE: &[&str] = &[
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_address_group_id",
];

/// `openstack_networking_secgroup_rule_v2`.
pub fn rule(resource: &Resource<'_>, into: &mut Neutral) {
    let place = resource.place("");
    let Some(key) = resource.owner(into) else { return };
    if let Some(key) = DECISIVE.iter().find(|key| resource.is_unknown(key)) {
        return into.note(Effect::Dropped, &place, format!("`{key}` is not known yet"));
    }
    let group = resource.group("remote_group_id", into);
    let mut raw = Raw { group: group.as_deref(), ..Raw::of_api(resource.values) };
    // The provider shows 0 where nothing was set.
    if let (Some("0"), Some("0")) = (raw.first, raw.last) {
        if matches!(parts::protocol(raw.protocol), Ok(Some(1 | 58))) {
            let message = "the provider does not tell ICMP type 0, code 0 from none; taken as every type";
            into.note(Effect::Widened, &place, message);
        }
        (raw.first, raw.last) = (None, None);
    }
    if let Some(rule) = raw.rule(&place, into) {
        into.rule(&key, Rule { alone: true, ..rule });
    }
}
