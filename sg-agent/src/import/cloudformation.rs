//! CloudFormation: `AWS::EC2::SecurityGroup` and its rules.

use std::collections::BTreeMap;

use super::{
    aws,
    neutral::{Effect, Neutral, Place, Rule},
    template::{Resolved, Resource, Site, Template, reference},
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

/// Properties of rules that are read, or say nothing beside those.
const PROPERTIES: &[&str] = &[
    "CidrIp",
    "CidrIpv6",
    "Description",
    "DestinationPrefixListId",
    "DestinationSecurityGroupId",
    "FromPort",
    "GroupId",
    "GroupName",
    "IpProtocol",
    "SourcePrefixListId",
    "SourceSecurityGroupId",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
    "ToPort",
];

const LISTS: [(&str, Direction); 2] =
    [("SecurityGroupIngress", Direction::Ingress), ("SecurityGroupEgress", Direction::Egress)];

/// Reads the groups of `template`.
pub fn read(template: &Template<'_>, into: &mut Neutral) {
    let resources = template.resources(|kind| KINDS.contains(&kind), into);
    let groups = resources.iter().filter(|resource| resource.kind == GROUP);
    let keys: Vec<(&Resource<'_>, String)> =
        groups.map(|resource| (resource, group(resource, template, into))).collect();
    let egress = resources.iter().filter(|resource| resource.kind == EGRESS);
    let out: BTreeMap<usize, &str> =
        egress.filter_map(|one| Some((into.resolve(&owner(one, template, into)?)?, one.name))).collect();
    for (resource, key) in &keys {
        if matches!(template.get(resource.properties, LISTS[1].0), Resolved::Absent) {
            let named = into.resolve(key).and_then(|at| out.get(&at));
            default_rule(resource.place(resource.value, ""), key, named.copied(), into);
        }
    }
    for resource in &resources {
        match resource.kind {
            INGRESS => alone(resource, Direction::Ingress, template, into),
            EGRESS => alone(resource, Direction::Egress, template, into),
            _ => {}
        }
    }
}

/// Adds the rules written in a group; gives its key.
fn group<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &mut Neutral) -> String {
    let key = template.group(resource, ["GroupName", "GroupDescription"], into);
    for (list, direction) in LISTS {
        let items = match template.items(resource.properties, list) {
            Ok(items) => items,
            Err(why) => {
                into.note(Effect::Dropped, &resource.place(resource.value, list), why);
                continue;
            }
        };
        for (index, item) in items.into_iter().enumerate() {
            let place = resource.place(item, &format!("{list}[{index}]"));
            inline(item, direction, &key, place, template, into);
        }
    }
    key
}

/// Adds EC2's default rule, unless a rule of its own, `named`, means that the group is to let out only that.
fn default_rule(place: Place, group: &str, named: Option<&str>, into: &mut Neutral) {
    match named {
        None => into.rule(group, default_egress(place)),
        Some(name) => {
            let message =
                format!("EC2's default egress rule is left out, as `{}` is for this group", clip(name));
            into.note(Effect::Changed, &place, message);
        }
    }
}

/// The key of the group that a rule of its own belongs to.
fn owner<'n>(resource: &Resource<'n>, template: &Template<'n>, into: &Neutral) -> Option<String> {
    let named = ["GroupId", "GroupName"].map(|key| template.get(resource.properties, key));
    named.iter().find_map(|found| reference(found, &format!("group of {}", resource.name), into))
}

/// EC2 lets everything out of a group whose template says nothing about it.
fn default_egress(place: Place) -> Rule {
    Rule {
        direction: Direction::Egress,
        matches: Match::All,
        remote: Remote::Any,
        family: None,
        description: "EC2's default rule".to_owned(),
        place,
        alone: false,
    }
}

/// A rule inside of its group, which may be a choice.
fn inline<'n>(
    item: Value<'n>,
    direction: Direction,
    group: &str,
    place: Place,
    template: &Template<'n>,
    into: &mut Neutral,
) {
    match template.resolve(item) {
        Resolved::Absent => {}
        Resolved::Node(properties) => {
            rule(&Site { properties, group, place, alone: false, template }, direction, into);
        }
        other => {
            let what = other.text().err().unwrap_or_else(|| "a single value".to_owned());
            into.note(Effect::Dropped, &place, format!("the rule is {what}"));
        }
    }
}

/// A rule of its own.
fn alone<'n>(resource: &Resource<'n>, direction: Direction, template: &Template<'n>, into: &mut Neutral) {
    let place = resource.place(resource.value, "");
    let (Some(properties), Some(group)) = (resource.properties, owner(resource, template, into)) else {
        return into.note(Effect::Dropped, &place, "it names no group that it belongs to");
    };
    into.adopt(&group, &place);
    rule(&Site { properties, group: &group, place, alone: true, template }, direction, into);
}

fn rule(site: &Site<'_, '_>, direction: Direction, into: &mut Neutral) {
    let made = matches(site).and_then(|matches| Ok((matches, remote(site, direction, into)?)));
    match made {
        Ok((matches, remote)) => {
            let (description, place) = (site.description("Description"), site.place.clone());
            let rule =
                Rule { direction, matches, remote, family: None, description, place, alone: site.alone };
            into.rule(site.group, rule);
        }
        Err(why) => into.note(Effect::Dropped, &site.place, why),
    }
}

fn matches(site: &Site<'_, '_>) -> Result<Match, String> {
    site.only(PROPERTIES)?;
    let protocol = site.known("IpProtocol")?.ok_or("no `IpProtocol`")?;
    aws::permitted(&protocol, site.known("FromPort")?.as_deref(), site.known("ToPort")?.as_deref())
}

fn remote(site: &Site<'_, '_>, direction: Direction, into: &mut Neutral) -> Result<Remote, String> {
    let side = if direction == Direction::Ingress { "Source" } else { "Destination" };
    for key in ["CidrIp", "CidrIpv6"] {
        if let Some(remote) = site.prefix(key, into)? {
            return Ok(remote);
        }
    }
    for key in ["SecurityGroupId", "SecurityGroupName"] {
        if let Some(remote) = site.group(&format!("{side}{key}"), into) {
            return Ok(remote);
        }
    }
    let key = format!("{side}PrefixListId");
    match site.get(&key) {
        Resolved::Absent => Err("it names no addresses and no group, so it matches nothing".to_owned()),
        found => site.list(&key, &found, into),
    }
}
