//! Heat: `OS::Neutron::SecurityGroup` and `OS::Neutron::SecurityGroupRule`.

use super::{
    cloudformation::reference,
    neutral::{Effect, Group, Neutral, Place},
    openstack::{Raw, default_egress},
    template::{Resolved, Resource, Template},
    value::Value,
};
use crate::policy::{document::clip, model::Remote};

const GROUP: &str = "OS::Neutron::SecurityGroup";
const RULE: &str = "OS::Neutron::SecurityGroupRule";
/// Types of resources that are read.
pub const KINDS: &[&str] = &[GROUP, RULE];

/// Reads the groups of `template`.
pub fn read(template: &Template<'_>, into: &mut Neutral) {
    for resource in template.resources(|kind| KINDS.contains(&kind), into) {
        if resource.kind == GROUP {
            group(&resource, template, into);
        } else {
            alone(&resource, template, into);
        }
    }
}

fn group<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &mut Neutral) {
    let text = |key| template.get(resource.properties, key).text().ok().flatten().map(str::to_owned);
    let key = into.scoped(resource.name);
    let name = text("name");
    let mut group = Group::new(&key, name.as_deref().unwrap_or(resource.name));
    group.qualifier = resource.name.to_owned();
    group.description = text("description").unwrap_or_default();
    group.origin = format!("resource {} ({GROUP})", resource.name);
    into.define(group);
    if let Some(name) = name {
        into.alias(&key, &name);
    }
    let mut egress = false;
    match template.items(resource.properties, "rules") {
        Ok(items) => {
            for (index, item) in items.into_iter().enumerate() {
                let place = resource.place(item, &format!("rules[{index}]"));
                match template.resolve(item) {
                    Resolved::Absent => {}
                    Resolved::Node(properties) => {
                        egress |= rule(properties, &key, &place, template, into);
                    }
                    _ => into.note(Effect::Dropped, &place, "the rule depends on the deployment"),
                }
            }
        }
        Err(why) => into.note(Effect::Dropped, &resource.place(resource.value, "rules"), why),
    }
    // Heat takes Neutron's default rules away when the list has an egress rule of its own.
    if !egress {
        for rule in default_egress(&resource.place(resource.value, "")) {
            into.rule(&key, rule);
        }
    }
}

fn alone<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &mut Neutral) {
    let place = resource.place(resource.value, "");
    let named = template.get(resource.properties, "security_group");
    let (Some(properties), Some(group)) = (resource.properties, reference(&named, into)) else {
        return into.note(Effect::Dropped, &place, "its group cannot be told");
    };
    if !into.has(&group) {
        let message =
            format!("group `{}` itself is not in the template; its other rules are missing", clip(&group));
        into.note(Effect::Incomplete, &place, message);
        into.group(&group).origin = "not in the template, which only adds rules to it".to_owned();
    }
    rule(properties, &group, &place, template, into);
}

/// Adds a rule; tells whether it is for egress.
fn rule<'n>(
    properties: Value<'n>,
    group: &str,
    place: &Place,
    template: &Template<'n>,
    into: &mut Neutral,
) -> bool {
    match Texts::of(properties, template) {
        Ok(texts) => texts.add(properties, group, place, template, into),
        Err(why) => {
            into.note(Effect::Dropped, place, why);
            false
        }
    }
}

/// The plain values of a rule.
struct Texts {
    direction: String,
    ethertype: String,
    protocol: String,
    first: Option<String>,
    last: Option<String>,
    prefix: Option<String>,
    description: String,
}

impl Texts {
    fn of<'n>(properties: Value<'n>, template: &Template<'n>) -> Result<Self, String> {
        let get = |key: &str| match template.get(Some(properties), key).text() {
            Ok(text) => Ok(text.map(str::to_owned)),
            Err(why) => Err(format!("`{key}` is {why}")),
        };
        Ok(Self {
            direction: get("direction")?.unwrap_or_else(|| "ingress".to_owned()),
            ethertype: get("ethertype")?.unwrap_or_default(),
            protocol: get("protocol")?.unwrap_or_default(),
            first: get("port_range_min")?,
            last: get("port_range_max")?,
            prefix: get("remote_ip_prefix").ok().flatten(),
            description: get("description").ok().flatten().unwrap_or_default(),
        })
    }

    fn add<'n>(
        &self,
        properties: Value<'n>,
        group: &str,
        place: &Place,
        template: &Template<'n>,
        into: &mut Neutral,
    ) -> bool {
        let raw = Raw {
            direction: &self.direction,
            ethertype: &self.ethertype,
            protocol: &self.protocol,
            first: self.first.as_deref(),
            last: self.last.as_deref(),
            prefix: self.prefix.as_deref(),
            description: &self.description,
            ..Raw::default()
        };
        let Some(mut rule) = raw.rule(place, into) else { return self.is_egress() };
        match remote(properties, group, place, template, into) {
            Ok(remote) => {
                rule.remote = remote.unwrap_or(rule.remote);
                into.rule(group, rule);
            }
            Err(why) => into.note(Effect::Dropped, place, why),
        }
        self.is_egress()
    }

    fn is_egress(&self) -> bool {
        self.direction.eq_ignore_ascii_case("egress")
    }
}

/// The other end, where it is not a prefix that the template tells.
fn remote<'n>(
    properties: Value<'n>,
    group: &str,
    place: &Place,
    template: &Template<'n>,
    into: &mut Neutral,
) -> Result<Option<Remote>, String> {
    let get = |key: &str| template.get(Some(properties), key);
    for key in ["remote_group_id", "remote_group"] {
        let found = get(key);
        match (&found, reference(&found, into)) {
            (Resolved::Absent, _) => {}
            (_, Some(key)) => return Ok(Some(Remote::Group(key))),
            (other, None) => return Err(format!("`{key}` is {}", other.text().err().unwrap_or_default())),
        }
    }
    if get("remote_mode").text()?.is_some_and(|mode| mode == "remote_group_id") {
        // Without a group it is the own one.
        return Ok(Some(Remote::Group(group.to_owned())));
    }
    match get("remote_ip_prefix") {
        Resolved::Absent | Resolved::Text(_) => Ok(None),
        Resolved::Unknown(what, name) => {
            let name = if name.is_empty() { format!("{} remote", place.what) } else { name.to_owned() };
            Ok(Some(into.unknown_addresses(&name, &what, place)))
        }
        other => Err(format!("`remote_ip_prefix` is {}", other.text().err().unwrap_or_default())),
    }
}
