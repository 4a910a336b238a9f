//! Heat: `OS::Neutron::SecurityGroup` and `OS::Neutron::SecurityGroupRule`.

use super::{
    neutral::{Effect, Neutral, Rule},
    openstack::{Raw, default_egress},
    template::{Resolved, Resource, Site, Template, reference},
};
use crate::policy::model::Remote;

const GROUP: &str = "OS::Neutron::SecurityGroup";
const RULE: &str = "OS::Neutron::SecurityGroupRule";
/// Types of resources that are read.
pub const KINDS: &[&str] = &[GROUP, RULE];

/// Properties of rules that are read.
const PROPERTIES: &[&str] = &[
    "description",
    "direction",
    "ethertype",
    "port_range_max",
    "port_range_min",
    "protocol",
    "remote_group",
    "remote_group_id",
    "remote_ip_prefix",
    "remote_mode",
    "security_group",
];

/// Reads the groups of `template`.
pub fn read(template: &Template<'_>, into: &mut Neutral) {
    let resources = template.resources(|kind| KINDS.contains(&kind), into);
    for resource in resources.iter().filter(|resource| resource.kind == GROUP) {
        group(resource, template, into);
    }
    for resource in resources.iter().filter(|resource| resource.kind == RULE) {
        alone(resource, template, into);
    }
}

fn group<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &mut Neutral) {
    let key = template.group(resource, ["name", "description"], into);
    // Heat takes Neutron's default rules away when the list has an egress rule of its own.
    match inline(resource, &key, template, into) {
        Some(true) => {}
        Some(false) => {
            for rule in default_egress(&resource.place(resource.value, "")) {
                into.rule(&key, rule);
            }
        }
        None => {
            let message =
                "whether it has egress rules depends on the deployment; Neutron's default rules are left out";
            into.note(Effect::Dropped, &resource.place(resource.value, ""), message);
        }
    }
}

/// Adds the rules in a group; tells whether one is for egress, if the template does.
fn inline<'n>(
    resource: &Resource<'n>,
    group: &str,
    template: &Template<'n>,
    into: &mut Neutral,
) -> Option<bool> {
    let items = match template.items(resource.properties, "rules") {
        Ok(items) => items,
        Err(why) => {
            into.note(Effect::Dropped, &resource.place(resource.value, "rules"), why);
            return None;
        }
    };
    let mut egress = Some(false);
    for (index, item) in items.into_iter().enumerate() {
        let place = resource.place(item, &format!("rules[{index}]"));
        let own = match template.resolve(item) {
            Resolved::Absent => Some(false),
            Resolved::Node(properties) => {
                let site = Site { properties, group, place, alone: false, template };
                rule(&site, into);
                direction(&site)
                    .ok()
                    .filter(|_| site.foreign(PROPERTIES).is_none())
                    .map(|direction| direction.eq_ignore_ascii_case("egress"))
            }
            _ => {
                into.note(Effect::Dropped, &place, "the rule depends on the deployment");
                None
            }
        };
        egress = match (egress, own) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (before, own) => before.and(own),
        };
    }
    egress
}

fn direction(site: &Site<'_, '_>) -> Result<String, String> {
    Ok(site.known("direction")?.unwrap_or_else(|| "ingress".to_owned()))
}

/// A rule of its own.
fn alone<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &mut Neutral) {
    let place = resource.place(resource.value, "");
    let named = template.get(resource.properties, "security_group");
    let group = reference(&named, &format!("group of {}", resource.name), into);
    let (Some(properties), Some(group)) = (resource.properties, group) else {
        return into.note(Effect::Dropped, &place, "it names no group that it belongs to");
    };
    into.adopt(&group, &place);
    rule(&Site { properties, group: &group, place, alone: true, template }, into);
}

fn rule(site: &Site<'_, '_>, into: &mut Neutral) {
    match judge(site, into) {
        Ok(Some(rule)) => into.rule(site.group, rule),
        Ok(None) => {}
        Err(why) => into.note(Effect::Dropped, &site.place, why),
    }
}

/// The rule; `None` if what is wrong with it is noted already.
fn judge(site: &Site<'_, '_>, into: &mut Neutral) -> Result<Option<Rule>, String> {
    site.only(PROPERTIES)?;
    let direction = direction(site)?;
    let text = |key| site.known(key).map(Option::unwrap_or_default);
    let (ethertype, protocol) = (text("ethertype")?, text("protocol")?);
    let (first, last) = (site.known("port_range_min")?, site.known("port_range_max")?);
    let description = site.description("description");
    let remote = remote(site, into)?;
    let prefix = match &remote {
        Some(Remote::Prefix(net)) => Some(net.to_string()),
        _ => None,
    };
    let raw = Raw {
        direction: &direction,
        ethertype: &ethertype,
        protocol: &protocol,
        first: first.as_deref(),
        last: last.as_deref(),
        prefix: prefix.as_deref(),
        description: &description,
        ..Raw::default()
    };
    let Some(rule) = raw.rule(&site.place, into) else { return Ok(None) };
    Ok(Some(Rule { remote: remote.unwrap_or(Remote::Any), alone: site.alone, ..rule }))
}

/// The other end; `None` is any address.
fn remote(site: &Site<'_, '_>, into: &mut Neutral) -> Result<Option<Remote>, String> {
    for key in ["remote_group_id", "remote_group"] {
        if let Some(remote) = site.group(key, into) {
            return Ok(Some(remote));
        }
    }
    if site.known("remote_mode")?.is_some_and(|mode| mode == "remote_group_id") {
        // Without a group it is the own one.
        return Ok(Some(Remote::Group(site.group.to_owned())));
    }
    site.prefix("remote_ip_prefix", into)
}
