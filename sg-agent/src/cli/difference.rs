//! What differs between two policies, in words.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::policy::{
    Policy,
    model::{Group, Interface},
};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    what: What,
    kind: Kind,
    name: String,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Added,
    Removed,
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Settings,
    AddressGroup,
    Group,
    Interface,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.what {
            What::Added => '+',
            What::Removed => '-',
            What::Changed => '~',
        };
        let kind = match self.kind {
            Kind::Settings => "settings",
            Kind::AddressGroup => "address group",
            Kind::Group => "group",
            Kind::Interface => "interface",
        };
        write!(out, "{sign} {kind}")?;
        if !self.name.is_empty() {
            write!(out, " {}", self.name)?;
        }
        if !self.detail.is_empty() {
            write!(out, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// What makes `after` of `before`.
pub fn changes(before: &Policy, after: &Policy) -> Vec<Change> {
    let mut all = Vec::new();
    if before.settings != after.settings {
        all.push(Change {
            what: What::Changed,
            kind: Kind::Settings,
            name: String::new(),
            detail: String::new(),
        });
    }
    compare(
        &mut all,
        Kind::AddressGroup,
        |name| before.address_groups.get(name),
        |name| after.address_groups.get(name),
        before.address_groups.keys().chain(after.address_groups.keys()),
        |_, _| String::new(),
    );
    compare(
        &mut all,
        Kind::Group,
        |name| before.groups.get(name),
        |name| after.groups.get(name),
        before.groups.keys().chain(after.groups.keys()),
        rules,
    );
    let names = |policy: &'_ Policy| policy.interfaces.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    let (old, new) = (names(before), names(after));
    compare(
        &mut all,
        Kind::Interface,
        |name| find(before, name),
        |name| find(after, name),
        old.iter().chain(&new),
        groups,
    );
    all
}

fn find<'a>(policy: &'a Policy, name: &str) -> Option<&'a Interface> {
    policy.interfaces.iter().find(|interface| interface.name == name)
}

fn compare<'a, 'n, T: PartialEq + 'a>(
    all: &mut Vec<Change>,
    kind: Kind,
    before: impl Fn(&str) -> Option<&'a T>,
    after: impl Fn(&str) -> Option<&'a T>,
    names: impl Iterator<Item = &'n String>,
    detail: impl Fn(&T, &T) -> String,
) {
    for name in names.collect::<BTreeSet<_>>() {
        let (what, detail) = match (before(name), after(name)) {
            (None, Some(_)) => (What::Added, String::new()),
            (Some(_), None) => (What::Removed, String::new()),
            (Some(old), Some(new)) if old != new => (What::Changed, detail(old, new)),
            _ => continue,
        };
        all.push(Change { what, kind, name: name.clone(), detail });
    }
}

fn rules(old: &Group, new: &Group) -> String {
    let count =
        |all: &Group, other: &Group| all.rules.iter().filter(|rule| !other.rules.contains(rule)).count();
    format!("rules added or changed: {}, removed or changed: {}", count(new, old), count(old, new))
}

fn groups(old: &Interface, new: &Interface) -> String {
    if old.groups == new.groups {
        return String::new();
    }
    format!("groups {} -> {}", old.groups.join(", "), new.groups.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(groups: &str, bound: &str) -> Policy {
        let text = format!(
            "version: 1\nsecurity_groups:\n{groups}\ninterfaces: [{{name: tap0, role: guest, groups: [{bound}]}}]\n"
        );
        crate::policy::parse_str(&text, "test.yaml").policy.unwrap()
    }

    #[test]
    fn differences_are_told_by_name() {
        let old =
            policy("  a: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}\n  b: {rules: []}", "a");
        let new =
            policy("  a: {rules: [{direction: ingress, protocol: tcp, ports: 81}]}\n  c: {rules: []}", "c");
        let lines: Vec<String> = changes(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "~ group a: rules added or changed: 1, removed or changed: 1",
                "- group b",
                "+ group c",
                "~ interface tap0: groups a -> c",
            ]
        );
        assert!(changes(&old, &old).is_empty());
    }
}
