//! CloudFormation: `AWS::EC2::SecurityGroup` and its rules.

use super::{
    aws,
    neutral::{Effect, Group, Neutral, Place, Rule},
    parts,
    template::{Resolved, Resource, Template},
    value::Value,
};
use crate::policy::{
    document::clip,
    model::{Direction, Match, Remote},
};

const GROUP: &str = "AWS::EC2::SecurityGroup";
const INGRESS: &str = "AWS::EC2::SecurityGroupIngress";
const EGRESS: &str = "AWS::EC2::SecurityGroupEgress";
/// Types of resources that are read.
pub const KINDS: &[&str] = &[GROUP, INGRESS, EGRESS];

/// Reads the groups of `template`.
pub fn read(template: &Template<'_>, into: &mut Neutral) {
    for resource in template.resources(|kind| KINDS.contains(&kind), into) {
        match resource.kind {
            GROUP => group(&resource, template, into),
            INGRESS => alone(&resource, Direction::Ingress, template, into),
            _ => alone(&resource, Direction::Egress, template, into),
        }
    }
}

fn group<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &mut Neutral) {
    let properties = resource.properties;
    let text = |key| template.get(properties, key).text().ok().flatten().map(str::to_owned);
    let key = into.scoped(resource.name);
    let name = text("GroupName");
    let mut group = Group::new(&key, name.as_deref().unwrap_or(resource.name));
    group.qualifier = resource.name.to_owned();
    group.description = text("GroupDescription").unwrap_or_default();
    group.origin = format!("resource {} ({GROUP})", resource.name);
    into.define(group);
    if let Some(name) = name {
        into.alias(&key, &name);
    }
    let lists = [("SecurityGroupIngress", Direction::Ingress), ("SecurityGroupEgress", Direction::Egress)];
    for (list, direction) in lists {
        match template.items(properties, list) {
            Ok(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    let place = resource.place(item, &format!("{list}[{index}]"));
                    inline(item, direction, &key, &place, template, into);
                }
            }
            Err(why) => into.note(Effect::Dropped, &resource.place(resource.value, list), why),
        }
    }
    if properties.is_none_or(|properties| properties.get("SecurityGroupEgress").is_none()) {
        let place = resource.place(resource.value, "");
        into.rule(&key, default_egress(&place));
    }
}

/// EC2 lets everything out of a group whose template says nothing about it.
fn default_egress(place: &Place) -> Rule {
    Rule {
        direction: Direction::Egress,
        matches: Match::All,
        remote: Remote::Any,
        family: None,
        description: "EC2's default rule".to_owned(),
        place: place.clone(),
    }
}

/// A rule inside of its group, which may be a choice.
fn inline<'n>(
    item: Value<'n>,
    direction: Direction,
    group: &str,
    place: &Place,
    template: &Template<'n>,
    into: &mut Neutral,
) {
    match template.resolve(item) {
        Resolved::Absent => {}
        Resolved::Node(properties) => rule(properties, direction, group, place, template, into),
        other => into.note(Effect::Dropped, place, format!("the rule is {}", said(&other))),
    }
}

/// A rule of its own.
fn alone<'n>(resource: &Resource<'n>, direction: Direction, template: &Template<'n>, into: &mut Neutral) {
    let place = resource.place(resource.value, "");
    let Some(properties) = resource.properties else {
        return into.note(Effect::Dropped, &place, "it has no properties");
    };
    let named = ["GroupId", "GroupName"].map(|key| template.get(Some(properties), key));
    let Some(group) = named.iter().find_map(|found| reference(found, into)) else {
        return into.note(Effect::Dropped, &place, "its group cannot be told");
    };
    if !into.has(&group) {
        let message =
            format!("group `{}` itself is not in the template; its other rules are missing", clip(&group));
        into.note(Effect::Incomplete, &place, message);
        into.group(&group).origin = "not in the template, which only adds rules to it".to_owned();
    }
    rule(properties, direction, &group, &place, template, into);
}

fn rule<'n>(
    properties: Value<'n>,
    direction: Direction,
    group: &str,
    place: &Place,
    template: &Template<'n>,
    into: &mut Neutral,
) {
    let made = matches(properties, template)
        .and_then(|matches| Ok((matches, remote(properties, direction, place, template, into)?)));
    match made {
        Ok((matches, remote)) => {
            let description = template.get(Some(properties), "Description");
            let description = description.text().ok().flatten().unwrap_or_default().to_owned();
            into.rule(
                group,
                Rule { direction, matches, remote, family: None, description, place: place.clone() },
            );
        }
        Err(why) => into.note(Effect::Dropped, place, why),
    }
}

fn matches<'n>(properties: Value<'n>, template: &Template<'n>) -> Result<Match, String> {
    let get = |key: &str| template.get(Some(properties), key);
    let known = |key: &str, found: Resolved<'_>| {
        found.text().map(|text| text.map(str::to_owned)).map_err(|why| format!("`{key}` is {why}"))
    };
    let protocol = known("IpProtocol", get("IpProtocol"))?.ok_or("no `IpProtocol`")?;
    let number = |key| parts::number(known(key, get(key))?.as_deref());
    aws::permitted(&protocol, number("FromPort")?, number("ToPort")?)
}

fn remote<'n>(
    properties: Value<'n>,
    direction: Direction,
    place: &Place,
    template: &Template<'n>,
    into: &mut Neutral,
) -> Result<Remote, String> {
    let side = if direction == Direction::Ingress { "Source" } else { "Destination" };
    let get = |key: &str| template.get(Some(properties), key);
    for key in ["CidrIp", "CidrIpv6"] {
        match get(key) {
            Resolved::Absent => {}
            Resolved::Text(text) => return Ok(Remote::Prefix(parts::prefix(&text)?.0)),
            Resolved::Unknown(what, name) => {
                let name = if name.is_empty() { format!("{} {key}", place.what) } else { name.to_owned() };
                return Ok(into.unknown_addresses(&name, &what, place));
            }
            other => return Err(format!("`{key}` is {}", said(&other))),
        }
    }
    for key in ["SecurityGroupId", "SecurityGroupName"].map(|key| format!("{side}{key}")) {
        let found = get(&key);
        match (&found, reference(&found, into)) {
            (Resolved::Absent, _) => {}
            (_, Some(group)) => return Ok(Remote::Group(group)),
            (other, None) => return Err(format!("`{key}` is {}", said(other))),
        }
    }
    match get(&format!("{side}PrefixListId")) {
        Resolved::Absent => Err("it names no addresses and no group, so it matches nothing".to_owned()),
        Resolved::Text(id) => Ok(into.unknown_addresses(&id, &format!("AWS prefix list {id}"), place)),
        Resolved::Resource(name) => Ok(into.unknown_addresses(name, &format!("prefix list {name}"), place)),
        Resolved::Unknown(what, name) if !name.is_empty() => Ok(into.unknown_addresses(name, &what, place)),
        other => Err(format!("`{side}PrefixListId` is {}", said(&other))),
    }
}

/// The key of a group that a value names.
pub fn reference(found: &Resolved<'_>, into: &Neutral) -> Option<String> {
    match found {
        Resolved::Text(text) if !text.is_empty() => Some(text.to_string()),
        Resolved::Resource(name) => Some(into.scoped(name)),
        Resolved::Unknown(_, name) if !name.is_empty() => Some((*name).to_owned()),
        _ => None,
    }
}

fn said(found: &Resolved<'_>) -> String {
    found.text().err().unwrap_or_else(|| "a single value".to_owned())
}
