//! Resources of the AWS provider.

use super::{
    super::{
        aws::permitted,
        neutral::{Effect, Neutral, Place, Rule},
        parts,
        value::Value,
    },
    Resource,
};
use crate::policy::model::{Direction, Match, Remote};

/// Lists of sources.
const LISTS: [&str; 4] = ["cidr_blocks", "ipv6_cidr_blocks", "security_groups", "prefix_list_ids"];

/// What a rule is for beside its sources.
const NUMBERS: [&str; 4] = ["protocol", "ip_protocol", "from_port", "to_port"];

/// `aws_security_group` and `aws_default_security_group`, with the rules written in them.
pub fn group(resource: &Resource<'_>, into: &mut Neutral) {
    let values = resource.values;
    let name = values.text_of("name").unwrap_or(match resource.kind {
        "aws_default_security_group" => "default",
        _ => resource.address,
    });
    let key = resource.define(name, values.text_of("vpc_id").unwrap_or(resource.address), true, into);
    for (list, direction) in [("ingress", Direction::Ingress), ("egress", Direction::Egress)] {
        if values.get(list).is_none() && resource.expressions.is_some_and(|all| all.get(list).is_some()) {
            let message = "its rules are known only after the plan is applied; import the state then";
            into.note(Effect::Dropped, &resource.place(list), message);
        }
        for (index, value) in values.items_of(list).enumerate() {
            let place = Place { span: value.span(), ..resource.place(&format!("{list}[{index}]")) };
            Written { value, direction, group: &key, place, alone: false }.listed(None, into);
        }
    }
}

/// `aws_security_group_rule`: lists of sources.
pub fn rule(resource: &Resource<'_>, into: &mut Neutral) {
    let place = resource.place("");
    let direction = match resource.values.text_of("type") {
        Some("ingress") => Direction::Ingress,
        Some("egress") => Direction::Egress,
        _ => return into.note(Effect::Dropped, &place, "no `type`: ingress or egress"),
    };
    let Some(key) = resource.owner(into) else { return };
    let source = resource.group("source_security_group_id", into);
    if let Some(key) = NUMBERS.iter().find(|key| resource.is_unknown(key)) {
        return into.note(Effect::Dropped, &place, format!("`{key}` is not known yet"));
    }
    for list in LISTS.iter().filter(|list| resource.is_unknown(list)) {
        into.note(Effect::Dropped, &place, format!("`{list}` is not known yet"));
    }
    Written { value: resource.values, direction, group: &key, place, alone: true }.listed(source, into);
}

/// `aws_vpc_security_group_ingress_rule` and `..._egress_rule`: one source.
pub fn single(resource: &Resource<'_>, into: &mut Neutral) {
    let direction = match resource.kind {
        "aws_vpc_security_group_ingress_rule" => Direction::Ingress,
        _ => Direction::Egress,
    };
    let Some(key) = resource.owner(into) else { return };
    let (value, place) = (resource.values, resource.place(""));
    if let Some(key) = NUMBERS.iter().find(|key| resource.is_unknown(key)) {
        return into.note(Effect::Dropped, &place, format!("`{key}` is not known yet"));
    }
    let written = Written { value, direction, group: &key, place, alone: true };
    let made = written
        .matches("ip_protocol")
        .and_then(|matches| Ok((matches, only_source(resource, &written.place, into)?)));
    match made {
        Ok((matches, remote)) => written.push(&matches, remote, into),
        Err(why) => into.note(Effect::Dropped, &written.place, why),
    }
}

fn only_source(resource: &Resource<'_>, place: &Place, into: &mut Neutral) -> Result<Remote, String> {
    if let Some(group) = resource.group("referenced_security_group_id", into) {
        return Ok(Remote::Group(bare(&group)));
    }
    let text = |key| resource.values.text_of(key);
    match (text("cidr_ipv4").or(text("cidr_ipv6")), text("prefix_list_id")) {
        (Some(cidr), _) => Ok(Remote::Prefix(parts::prefix(cidr)?.0)),
        (None, Some(id)) => Ok(into.unknown_addresses(id, &format!("AWS prefix list {id}"), place)),
        (None, None) => Err("its source is not known".to_owned()),
    }
}

/// A reference to another account's group is `ACCOUNT/ID`.
fn bare(key: &str) -> String {
    key.rsplit('/').next().unwrap_or(key).to_owned()
}

/// A rule as it is written.
struct Written<'a, 'n> {
    value: Value<'n>,
    direction: Direction,
    group: &'a str,
    place: Place,
    /// Whether it is a resource of its own.
    alone: bool,
}

impl Written<'_, '_> {
    fn matches(&self, protocol: &str) -> Result<Match, String> {
        let text = self.value.text_of(protocol).ok_or_else(|| format!("no `{protocol}`"))?;
        permitted(text, self.value.text_of("from_port"), self.value.text_of("to_port"))
    }

    fn push(&self, matches: &Match, remote: Remote, into: &mut Neutral) {
        let rule = Rule {
            direction: self.direction,
            matches: matches.clone(),
            remote,
            family: None,
            description: self.value.text_of("description").unwrap_or_default().to_owned(),
            place: self.place.clone(),
            alone: self.alone,
        };
        into.rule(self.group, rule);
    }

    /// Adds a rule for each source: `source`, those in the lists, and the own group.
    fn listed(&self, source: Option<String>, into: &mut Neutral) {
        let matches = match self.matches("protocol") {
            Ok(matches) => matches,
            Err(why) => return into.note(Effect::Dropped, &self.place, why),
        };
        let mut sources: Vec<Result<Remote, String>> = Vec::new();
        for key in LISTS {
            for item in self.value.items_of(key) {
                sources.push(self.listed_source(key, item, into));
            }
        }
        sources.extend(source.map(|key| Ok(Remote::Group(bare(&key)))));
        if self.value.text_of("self") == Some("true") {
            sources.push(Ok(Remote::Group(self.group.to_owned())));
        }
        if sources.is_empty() {
            sources.push(Err("its sources are not known".to_owned()));
        }
        for source in sources {
            match source {
                Ok(remote) => self.push(&matches, remote, into),
                Err(why) => into.note(Effect::Dropped, &self.place, why),
            }
        }
    }

    fn listed_source(&self, key: &str, item: Value<'_>, into: &mut Neutral) -> Result<Remote, String> {
        // A plan shows null for what it does not know yet.
        let text = item.text().ok_or_else(|| format!("an item of `{key}` is not known yet"))?;
        Ok(match key {
            "security_groups" => Remote::Group(bare(text)),
            "prefix_list_ids" => {
                into.unknown_addresses(text, &format!("AWS prefix list {text}"), &self.place)
            }
            _ => Remote::Prefix(parts::prefix(text)?.0),
        })
    }
}
