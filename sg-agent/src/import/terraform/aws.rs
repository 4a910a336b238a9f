//! Resources of the AWS provider.

use super::{
    super::{
        aws::permitted,
        neutral::{Effect, Group, Neutral, Place, Rule},
        parts,
        value::Value,
    },
    Resource, without_index,
};
use crate::policy::model::{Direction, Match, Remote};

/// `aws_security_group` and `aws_default_security_group`, with the rules written in them.
pub fn group(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let local = into.scoped(resource.address);
    let key = values.text_of("id").map_or_else(|| local.clone(), str::to_owned);
    let name = values.text_of("name").unwrap_or_else(|| match resource.kind {
        "aws_default_security_group" => "default",
        _ => resource.address,
    });
    let mut group = Group::new(&key, name);
    group.qualifier = values.text_of("vpc_id").unwrap_or(resource.address).to_owned();
    group.description = values.text_of("description").unwrap_or_default().to_owned();
    group.origin = resource.address.to_owned();
    into.define(group);
    into.alias(&key, &local);
    into.alias(&key, &into.scoped(without_index(resource.address)));
    for (list, direction) in [("ingress", Direction::Ingress), ("egress", Direction::Egress)] {
        if values.get(list).is_none() && resource.expressions.is_some_and(|all| all.get(list).is_some()) {
            let message = "its rules are known only after the plan is applied; import the state then";
            into.note(Effect::Dropped, &resource.place(list), message);
        }
        for (index, block) in values.items_of(list).enumerate() {
            let place = Place { span: block.span(), ..resource.place(&format!("{list}[{index}]")) };
            Written { value: block, direction, group: &key, place: &place }.add(
                None,
                "security_groups",
                into,
            );
        }
    }
}

/// `aws_security_group_rule`.
pub fn rule(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let direction = match values.text_of("type") {
        Some("ingress") => Direction::Ingress,
        Some("egress") => Direction::Egress,
        _ => return into.note(Effect::Dropped, &resource.place(""), "no `type`: ingress or egress"),
    };
    let Some(key) = resource.group("security_group_id", into) else {
        return into.note(Effect::Dropped, &resource.place(""), "its group cannot be told");
    };
    let source = resource.group("source_security_group_id", into);
    let place = resource.place("");
    Written { value: values, direction, group: &key, place: &place }.add(source, "", into);
}

/// `aws_vpc_security_group_ingress_rule` and `..._egress_rule`: one rule with one source.
pub fn single(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let direction = match resource.kind {
        "aws_vpc_security_group_ingress_rule" => Direction::Ingress,
        _ => Direction::Egress,
    };
    let place = resource.place("");
    let Some(key) = resource.group("security_group_id", into) else {
        return into.note(Effect::Dropped, &place, "its group cannot be told");
    };
    let written = Written { value: values, direction, group: &key, place: &place };
    let matches = match written.matches("ip_protocol") {
        Ok(matches) => matches,
        Err(why) => return into.note(Effect::Dropped, &place, why),
    };
    let remote = match resource.group("referenced_security_group_id", into) {
        Some(group) => Ok(Remote::Group(bare(&group))),
        None => match (
            values.text_of("cidr_ipv4").or(values.text_of("cidr_ipv6")),
            values.text_of("prefix_list_id"),
        ) {
            (Some(text), _) => parts::prefix(text).map(|(net, _)| Remote::Prefix(net)),
            (None, Some(id)) => Ok(into.unknown_addresses(id, &format!("AWS prefix list {id}"), &place)),
            (None, None) => Err("its source is not known, so it would match nothing".to_owned()),
        },
    };
    match remote {
        Ok(remote) => written.push(&matches, remote, into),
        Err(why) => into.note(Effect::Dropped, &place, why),
    }
}

/// A reference to another account's group is `ACCOUNT/ID`.
fn bare(key: &str) -> String {
    key.rsplit('/').next().unwrap_or(key).to_owned()
}

/// A rule as it is written, with lists of sources.
struct Written<'a, 'n> {
    value: Value<'n>,
    direction: Direction,
    group: &'a str,
    place: &'a Place,
}

impl Written<'_, '_> {
    fn matches(&self, protocol: &str) -> Result<Match, String> {
        let text = self.value.text_of(protocol).ok_or_else(|| format!("no `{protocol}`"))?;
        let number = |key| parts::number(self.value.text_of(key));
        permitted(text, number("from_port")?, number("to_port")?)
    }

    fn push(&self, matches: &Match, remote: Remote, into: &mut Neutral) {
        let description = self.value.text_of("description").unwrap_or_default().to_owned();
        let (direction, place) = (self.direction, self.place.clone());
        into.rule(
            self.group,
            Rule { direction, matches: matches.clone(), remote, family: None, description, place },
        );
    }

    /// Adds a rule for each source: `source`, those in the lists, and the own group.
    fn add(&self, source: Option<String>, groups: &str, into: &mut Neutral) {
        let matches = match self.matches("protocol") {
            Ok(matches) => matches,
            Err(why) => return into.note(Effect::Dropped, self.place, why),
        };
        let mut remotes: Vec<Remote> = Vec::new();
        let mut faults = Vec::new();
        for cidr in ["cidr_blocks", "ipv6_cidr_blocks"].iter().flat_map(|key| self.value.items_of(key)) {
            match parts::prefix(cidr.text().unwrap_or_default()) {
                Ok((net, _)) => remotes.push(Remote::Prefix(net)),
                Err(why) => faults.push(why),
            }
        }
        for id in self.value.items_of("prefix_list_ids").filter_map(Value::text) {
            remotes.push(into.unknown_addresses(id, &format!("AWS prefix list {id}"), self.place));
        }
        let listed = self.value.items_of(groups).filter_map(Value::text).map(bare);
        remotes.extend(source.into_iter().map(|key| bare(&key)).chain(listed).map(Remote::Group));
        if self.value.text_of("self") == Some("true") {
            remotes.push(Remote::Group(self.group.to_owned()));
        }
        if remotes.is_empty() && faults.is_empty() {
            faults.push("its sources are not known, so it would match nothing".to_owned());
        }
        for why in faults {
            into.note(Effect::Dropped, self.place, why);
        }
        for remote in remotes {
            self.push(&matches, remote, into);
        }
    }
}
