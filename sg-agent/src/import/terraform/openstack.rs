//! Resources of the OpenStack provider and of those made from it.

use super::{
    super::{
        neutral::{Effect, Neutral, Rule},
        openstack::{FIELDS, Raw, default_egress},
        parts,
    },
    Resource,
};

/// Whether Neutron's default rules go.
const DELETES: &str = "delete_default_rules";

/// `openstack_networking_secgroup_v2`.
pub fn group(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let name = values.text_of("name").unwrap_or(resource.address);
    let key = resource.define(name, resource.address, values.text_of("stateful") != Some("false"), into);
    // Neutron makes them; Terraform does not show them.
    if resource.is_unknown(DELETES) || values.single(&[DELETES]).is_err() {
        let message = format!("`{DELETES}` is not known; Neutron's default rules are left out");
        into.note(Effect::Dropped, &resource.place(""), message);
    } else if values.text_of(DELETES) != Some("true") {
        for rule in default_egress(&resource.place("")) {
            into.rule(&key, rule);
        }
    }
}

/// `openstack_networking_secgroup_rule_v2`.
pub fn rule(resource: &Resource<'_>, into: &mut Neutral) {
    let place = resource.place("");
    let Some(key) = resource.owner(into) else { return };
    // A group that is still to be made is told from the configuration.
    let mut decisive = FIELDS.iter().filter(|key| **key != "remote_group_id");
    if let Some(key) = decisive.find(|key| resource.is_unknown(key)) {
        return into.note(Effect::Dropped, &place, format!("`{key}` is not known yet"));
    }
    let group = resource.group("remote_group_id", into);
    let Some(raw) = Raw::of_api(resource.values, &place, into) else { return };
    let mut raw = Raw { group: group.as_deref(), ..raw };
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
