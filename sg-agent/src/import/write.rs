//! The policy file, as text.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    names::{self, Wanted},
    neutral::{Group, Neutral, Rule},
};
use crate::policy::{
    language::{DIRECTIONS, ETHERTYPES, word},
    model::{Match, PortRange, Quotas, Remote},
    render::printable,
    validate::{is_unprintable, protocol_name},
};

/// The policy file that says what `read` does; `head` is put above it as a comment.
pub fn policy(read: &Neutral, head: &[String]) -> String {
    let names = Names::new(read);
    let mut out = String::new();
    for line in head {
        let _ = writeln!(out, "{}", format!("# {}", printable(line)).trim_end());
    }
    out.push_str("version: 1\n");
    settings(read, &mut out);
    if !read.lists.is_empty() {
        out.push_str("\naddress_groups:\n");
    }
    for (list, name) in read.lists.iter().zip(&names.lists) {
        let _ = writeln!(out, "  {}:", quoted(name));
        let _ = writeln!(out, "    description: {}", quoted(&list.description));
        out.push_str("    addresses: []\n");
    }
    out.push_str("\nsecurity_groups:\n");
    for (group, name) in read.groups.iter().zip(&names.groups) {
        self::group(group, name, read, &names, &mut out);
    }
    out
}

/// Raises the quotas where the defaults are too small.
fn settings(read: &Neutral, out: &mut String) {
    let usual = Quotas::default();
    let rules = read.groups.iter().map(|group| group.rules.len()).max().unwrap_or(0);
    let needed = [
        ("groups", read.groups.len(), usual.groups as usize),
        ("rules_per_group", rules, usual.rules_per_group as usize),
    ];
    let raised: Vec<String> = needed
        .iter()
        .filter(|(_, needed, usual)| needed > usual)
        .map(|(key, needed, _)| format!("{key}: {needed}"))
        .collect();
    if !raised.is_empty() {
        let _ = writeln!(out, "\nsettings:\n  quotas: {{{}}}", raised.join(", "));
    }
}

/// The names in the file of what the source names by keys.
struct Names<'a> {
    groups: Vec<String>,
    lists: Vec<String>,
    by_list: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn new(read: &'a Neutral) -> Self {
        let groups: Vec<Wanted<'_>> =
            read.groups.iter().map(|one| Wanted { name: &one.name, qualifier: &one.qualifier }).collect();
        let lists: Vec<Wanted<'_>> =
            read.lists.iter().map(|one| Wanted { name: &one.name, qualifier: "" }).collect();
        Self {
            groups: names::unique(&groups, "group"),
            lists: names::unique(&lists, "addresses"),
            by_list: read.lists.iter().enumerate().map(|(at, one)| (one.key.as_str(), at)).collect(),
        }
    }

    fn remote(&self, remote: &Remote, read: &Neutral) -> Option<String> {
        match remote {
            Remote::Any => None,
            Remote::Prefix(net) => Some(net.to_string()),
            Remote::Group(key) => {
                let name = read.resolve(key).and_then(|at| self.groups.get(at));
                name.map(|name| format!("group:{name}"))
            }
            Remote::AddressGroup(key) => {
                let name = self.by_list.get(key.as_str()).and_then(|at| self.lists.get(*at));
                name.map(|name| format!("address-group:{name}"))
            }
        }
    }
}

fn group(group: &Group, name: &str, read: &Neutral, names: &Names<'_>, out: &mut String) {
    if !group.origin.is_empty() {
        let _ = writeln!(out, "  # {}", printable(&group.origin));
    }
    let _ = writeln!(out, "  {}:", quoted(name));
    if !group.description.is_empty() {
        let _ = writeln!(out, "    description: {}", quoted(&group.description));
    }
    if !group.stateful {
        out.push_str("    stateful: false\n");
    }
    // What no rule allows is denied, and no port is treated in another way: the rules alone decide, as in the source.
    out.push_str("    default_policy: {ingress: deny, egress: deny}\n    allow_smtp: true\n");
    if group.rules.is_empty() {
        out.push_str("    rules: []\n");
        return;
    }
    out.push_str("    rules:\n");
    for rule in &group.rules {
        let origin = if rule.alone { format!(" # {}", printable(&rule.place.what)) } else { String::new() };
        let _ = writeln!(out, "      - {}{origin}", self::rule(rule, names.remote(&rule.remote, read)));
    }
}

fn rule(rule: &Rule, remote: Option<String>) -> String {
    let mut keys = Vec::new();
    if !rule.description.is_empty() {
        keys.push(format!("description: {}", quoted(&rule.description)));
    }
    keys.push(format!("direction: {}", word(DIRECTIONS, &rule.direction)));
    keys.extend(matches(&rule.matches));
    let implied = matches!(rule.remote, Remote::Prefix(_));
    keys.extend(remote.map(|remote| format!("remote: {}", quoted(&remote))));
    if let Some(family) = rule.family.filter(|_| !implied && !is_icmp(&rule.matches)) {
        keys.push(format!("ethertype: {}", word(ETHERTYPES, &family)));
    }
    format!("{{{}}}", keys.join(", "))
}

/// ICMP belongs to one family by itself.
fn is_icmp(matches: &Match) -> bool {
    matches!(matches, Match::Protocol(1 | 58) | Match::Icmp { .. })
}

fn matches(matches: &Match) -> Vec<String> {
    let protocol = |number: Option<u8>| format!("protocol: {}", protocol_name(number));
    match matches {
        Match::All => vec![protocol(None)],
        Match::Protocol(number) => vec![protocol(Some(*number))],
        Match::Ports(number, ranges) => {
            let ranges: Vec<String> = ranges.iter().map(range).collect();
            let ports = match ranges.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            vec![protocol(Some(*number)), format!("ports: {ports}")]
        }
        Match::Icmp { protocol: number, kind, code } => {
            let code = code.map(|code| format!(", code: {code}")).unwrap_or_default();
            vec![protocol(Some(*number)), format!("icmp: {{type: {kind}{code}}}")]
        }
    }
}

fn range(range: &PortRange) -> String {
    match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    }
}

/// `text` as YAML that every reader takes for this text.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_word =
        starts && text.chars().all(plain) && !reserved.contains(&text.to_ascii_lowercase().as_str());
    // A prefix of IPv4 looks like nothing else.
    let is_prefix = text.parse::<ipnet::Ipv4Net>().is_ok();
    if is_word || is_prefix {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_unprintable(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
