//! `aws ec2 describe-security-groups`.

use super::{
    neutral::{Effect, Group, Neutral, Place, Rule},
    parts,
    value::Value,
};
use crate::policy::model::{Direction, Match, Remote};

const PERMISSIONS: [(&str, Direction); 2] =
    [("IpPermissions", Direction::Ingress), ("IpPermissionsEgress", Direction::Egress)];

/// Lists of sources in a permission, and what names the source in each.
const SOURCES: [(&str, &str); 4] = [
    ("IpRanges", "CidrIp"),
    ("Ipv6Ranges", "CidrIpv6"),
    ("UserIdGroupPairs", "GroupId"),
    ("PrefixListIds", "PrefixListId"),
];

/// Whether `root` is such an output.
pub fn recognises(root: Value<'_>) -> bool {
    root.get("SecurityGroups").is_some_and(Value::is_list)
}

/// Reads the groups of `root`.
pub fn read(root: Value<'_>, into: &mut Neutral) {
    for value in root.items_of("SecurityGroups") {
        group(value, into);
    }
}

fn group(value: Value<'_>, into: &mut Neutral) {
    let name = value.text_of("GroupName").unwrap_or_default();
    let id = value.text_of("GroupId").unwrap_or(name);
    let network = value.text_of("VpcId").unwrap_or_default();
    let mut group = Group::new(id, name);
    group.qualifier = if network.is_empty() { id } else { network }.to_owned();
    group.description = value.text_of("Description").unwrap_or_default().to_owned();
    group.origin = [
        Some(id.to_owned()),
        (!network.is_empty()).then(|| format!("in {network}")),
        value.text_of("OwnerId").map(|owner| format!("account {owner}")),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ");
    into.define(group);
    for (key, direction) in PERMISSIONS {
        for (index, permission) in value.items_of(key).enumerate() {
            let place = Place { span: permission.span(), what: format!("{id} ({name}) {key}[{index}]") };
            permissions(permission, direction, id, &place, into);
        }
    }
}

/// One entry stands for a rule with each of its sources.
fn permissions(value: Value<'_>, direction: Direction, group: &str, place: &Place, into: &mut Neutral) {
    let matches = match traffic(value) {
        Ok(matches) => matches,
        Err(why) => return into.note(Effect::Dropped, place, why),
    };
    let mut sources = 0;
    for (key, item) in SOURCES {
        for source in value.items_of(key) {
            sources += 1;
            let place = Place { span: source.span(), what: format!("{} {key}", place.what) };
            let remote = match source.text_of(item) {
                Some(text) => remote(item, text, &place, into),
                None => Err(format!("no `{item}`")),
            };
            let description = source.text_of("Description").unwrap_or_default().to_owned();
            match remote {
                Ok(remote) => into.rule(
                    group,
                    Rule {
                        direction,
                        matches: matches.clone(),
                        remote,
                        family: None,
                        description,
                        place,
                        alone: false,
                    },
                ),
                Err(why) => into.note(Effect::Dropped, &place, why),
            }
        }
    }
    if sources == 0 {
        into.note(Effect::Dropped, place, "it names no addresses and no group, so it matches nothing");
    }
}

fn remote(item: &str, text: &str, place: &Place, into: &mut Neutral) -> Result<Remote, String> {
    Ok(match item {
        "GroupId" => Remote::Group(text.to_owned()),
        "PrefixListId" => into.unknown_addresses(text, &format!("AWS prefix list {text}"), place),
        _ => Remote::Prefix(parts::prefix(text)?.0),
    })
}

fn traffic(value: Value<'_>) -> Result<Match, String> {
    let protocol = value.text_of("IpProtocol").ok_or("no `IpProtocol`")?;
    permitted(protocol, value.text_of("FromPort"), value.text_of("ToPort"))
}

/// What AWS means by a protocol and two numbers: only TCP, UDP and ICMP have any, and they must have them.
pub fn permitted(protocol: &str, first: Option<&str>, last: Option<&str>) -> Result<Match, String> {
    let protocol = parts::protocol(protocol)?;
    let (first, last) = match protocol {
        Some(1 | 6 | 17 | 58) if first.is_none() || last.is_none() => {
            return Err("it has no ports, or no ICMP type".to_owned());
        }
        Some(1 | 6 | 17 | 58) => (parts::number(first)?, parts::number(last)?),
        _ => (None, None),
    };
    match (protocol, first, last) {
        (Some(6 | 17), None, _) => Err("-1 is not a port".to_owned()),
        _ => parts::traffic(protocol, first, last),
    }
}
