//! What differs between two policies, item by item. Rules are matched by what they say, not by their place: a rule that
//! only moves is no difference.

mod fields;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;

use crate::policy::{Policy, Positions, model::Interface, render::printable};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens to it.
    pub what: What,
    /// What it is.
    pub kind: Kind,
    /// Group, address group or interface that it is or belongs to; empty for settings.
    pub name: String,
    /// Its words: of a rule, a field with its value, an address. Empty if it is a group or an interface itself.
    pub text: String,
    /// Of what changes: its words before.
    pub before: Option<String>,
    /// Of a rule: its index in the new file; of one that is removed, in the old.
    pub index: Option<u32>,
    /// Line of the new file.
    pub line: Option<u32>,
}

/// What happens to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// It becomes another.
    Changed,
}

/// Kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A key of `settings`.
    Setting,
    /// An address group.
    AddressGroup,
    /// A prefix of an address group.
    Address,
    /// A security group.
    Group,
    /// A key of a security group.
    GroupField,
    /// A member of a security group.
    Member,
    /// A rule of a security group.
    Rule,
    /// An interface.
    Interface,
    /// A key of an interface.
    InterfaceField,
}

impl Change {
    fn new(what: What, kind: Kind, name: &str, text: impl Into<String>) -> Self {
        let (name, text) = (name.to_owned(), text.into());
        Self { what, kind, name, text, before: None, index: None, line: None }
    }

    /// Heading of what it belongs to.
    fn heading(&self) -> String {
        match self.kind {
            Kind::Setting => "settings".to_owned(),
            Kind::AddressGroup | Kind::Address => format!("address group {}", self.name),
            Kind::Group | Kind::GroupField | Kind::Member | Kind::Rule => format!("group {}", self.name),
            Kind::Interface | Kind::InterfaceField => format!("interface {}", self.name),
        }
    }

    /// Whether it is a group or an interface itself.
    fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::AddressGroup | Kind::Group | Kind::Interface)
    }

    fn sign(&self) -> char {
        match self.what {
            What::Added => '+',
            What::Removed => '-',
            What::Changed => '~',
        }
    }

    fn words(&self, file: &str) -> String {
        let place = self.line.filter(|line| *line > 0).map(|line| format!("  ({file}:{line})"));
        let index = self.index.map(|index| format!("rule {index}: ")).unwrap_or_default();
        let member = if self.kind == Kind::Member { "member " } else { "" };
        let text = match &self.before {
            Some(before) if self.kind == Kind::Rule => format!("{before}\n    -> {}", self.text),
            Some(before) => format!("{} -> {}", before, self.text),
            None => self.text.clone(),
        };
        format!("{index}{member}{text}{}", place.unwrap_or_default())
    }
}

/// For people: a heading for each group, interface and so on, and its changes below. `file` is the new file's name.
pub fn human(changes: &[Change], file: &str) -> String {
    let mut out = String::new();
    let mut heading = String::new();
    for change in changes {
        let own = change.heading();
        if own != heading {
            let sign = if change.is_whole() { format!("{} ", change.sign()) } else { String::new() };
            let _ = writeln!(out, "{sign}{}", printable(&own));
            heading = own;
        }
        if !change.is_whole() {
            for (line, sign) in
                change.words(file).lines().zip([format!("  {} ", change.sign()), String::new()])
            {
                let _ = writeln!(out, "{sign}{}", printable(line));
            }
        }
    }
    out
}

/// What makes `after`, whose items stand at `positions`, of `before`.
pub fn changes(before: &Policy, after: &Policy, positions: &Positions) -> Vec<Change> {
    let mut all = fields::settings(&before.settings, &after.settings);
    each(&before.address_groups, &after.address_groups, |name, old, new| {
        all.extend(whole(Kind::AddressGroup, name, old.is_some(), new.is_some()));
        all.extend(fields::address_group(name, old, new));
    });
    each(&before.groups, &after.groups, |name, old, new| {
        all.extend(whole(Kind::Group, name, old.is_some(), new.is_some()));
        all.extend(fields::group(name, old, new));
        all.extend(rules::changes(name, old, new, positions));
    });
    each(&by_name(before), &by_name(after), |name, old, new| {
        all.extend(whole(Kind::Interface, name, old.is_some(), new.is_some()));
        all.extend(fields::interface(name, old.copied(), new.copied()));
    });
    all
}

fn by_name(policy: &Policy) -> BTreeMap<String, &Interface> {
    policy.interfaces.iter().map(|entry| (entry.name.clone(), entry)).collect()
}

fn each<T>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    mut compare: impl FnMut(&str, Option<&T>, Option<&T>),
) {
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        compare(name, before.get(name), after.get(name));
    }
}

fn whole(kind: Kind, name: &str, was: bool, is: bool) -> Option<Change> {
    let what = match (was, is) {
        (false, true) => What::Added,
        (true, false) => What::Removed,
        _ => return None,
    };
    Some(Change::new(what, kind, name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> String {
        let load = |text: &str| crate::policy::parse_str(&format!("version: 1\n{text}"), "test.yaml");
        let (before, after) = (load(before), load(after));
        let policies = (before.policy.expect("a sound file"), after.policy.expect("a sound file"));
        human(&changes(&policies.0, &policies.1, &after.positions), "test.yaml")
    }

    const HTTP: &str = "{direction: ingress, protocol: tcp, ports: 80}";
    const SSH: &str = "{direction: ingress, service: ssh, remote: 10.0.0.0/8, description: admins}";

    fn group(rules: &[&str]) -> String {
        let lines: String = rules.iter().map(|rule| format!("      - {rule}\n")).collect();
        format!("security_groups:\n  web:\n    rules:\n{lines}")
    }

    #[test]
    fn a_rule_put_first_is_one_addition() {
        let more = "{direction: ingress, protocol: udp, ports: 53}";
        assert_eq!(
            told(&group(&[HTTP, SSH]), &group(&[more, HTTP, SSH])),
            "group web\n  + rule 0: allow ingress udp/53 from any  (test.yaml:5)\n"
        );
        assert_eq!(
            told(&group(&[more, HTTP, SSH]), &group(&[SSH, HTTP])),
            "group web\n  - rule 0: allow ingress udp/53 from any\n"
        );
        assert_eq!(told(&group(&[HTTP, SSH]), &group(&[SSH, HTTP])), "");
    }

    #[test]
    fn one_of_two_equal_rules_is_one_removal() {
        assert_eq!(
            told(&group(&[HTTP, HTTP]), &group(&[HTTP])),
            "group web\n  - rule 1: allow ingress tcp/80 from any\n"
        );
    }

    #[test]
    fn a_rule_that_becomes_another_shows_both() {
        let deny = "{direction: ingress, protocol: tcp, ports: 80, action: deny}";
        let narrow = SSH.replace("10.0.0.0/8", "10.1.0.0/16");
        assert_eq!(
            told(&group(&[HTTP, SSH]), &group(&[deny, &narrow])),
            "group web\n  ~ rule 0: allow ingress tcp/80 from any\n    -> deny ingress tcp/80 from any  (test.yaml:5)\n  \
             ~ rule 1: allow ingress tcp/22 from 10.0.0.0/8 \"admins\"\n    \
             -> allow ingress tcp/22 from 10.1.0.0/16 \"admins\"  (test.yaml:6)\n"
        );
    }

    #[test]
    fn everything_else_that_can_differ_is_told() {
        let before = "settings: {timeouts: {icmp: 10s}}\n\
            address_groups: {office: {addresses: [10.0.0.0/8, 10.1.1.1]}}\n\
            security_groups: {a: {members: [10.9.0.1]}, b: {rules: [{direction: egress}]}}\n\
            interfaces: [{name: tap0, role: guest, groups: [a]}, {name: tap1, role: guest}]\n";
        let after = "settings: {conntrack: {tcp_pickup: loose}}\n\
            address_groups: {office: {addresses: [10.0.0.0/8, 10.1.1.2]}}\n\
            security_groups:\n  a: {members: [10.9.0.2], default_policy: {egress: deny}, description: A}\n  \
            c: {rules: [{direction: ingress}]}\n\
            interfaces: [{name: tap0, role: guest, groups: [a, c], addresses: [10.0.0.5]}]\n";
        let expected = "settings\n  ~ timeouts.icmp: 10s -> 30s\n  ~ conntrack.tcp_pickup: strict -> loose\n\
            address group office\n  - 10.1.1.1/32\n  + 10.1.1.2/32\n\
            group a\n  ~ description: none -> A\n  ~ default_policy.egress: allow -> deny\n  \
            - member 10.9.0.1/32\n  + member 10.9.0.2/32\n\
            - group b\n  - rule 0: allow egress all to any\n\
            + group c\n  + rule 0: allow ingress all from any  (test.yaml:6)\n\
            interface tap0\n  ~ groups: a -> a, c\n  ~ addresses: none -> 10.0.0.5\n  ~ anti_spoof: no -> yes\n\
            - interface tap1\n";
        assert_eq!(told(before, after), expected);
        assert_eq!(told(after, after), "");
    }

    #[test]
    fn a_change_in_json() {
        let change =
            Change { index: Some(2), line: Some(7), ..Change::new(What::Added, Kind::Rule, "web", "allow") };
        assert_eq!(
            serde_json::to_string(&change).unwrap(),
            r#"{"what":"added","kind":"rule","name":"web","text":"allow","before":null,"index":2,"line":7}"#
        );
    }
}
