//! Rules that differ.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Change, Kind, What};
use crate::policy::{
    Positions,
    model::{Group, Rule},
    words,
};

/// A rule as the file has it: several in force if its service has several protocols.
#[derive(Clone, Debug)]
struct Written<'a> {
    index: u32,
    rules: Vec<&'a Rule>,
}

/// What tells a rule that has become another, the surest first.
const LIKENESSES: [fn(&Written) -> Option<String>; 2] = [
    |rule| rule.key(|one| format!("{:?}", (one.direction, &one.matches, &one.remote))),
    |rule| rule.rules.first().map(|one| one.description.clone()).filter(|text| !text.is_empty()),
];

/// What happens to the rules of a group.
pub fn changes(name: &str, old: Option<&Group>, new: Option<&Group>, positions: &Positions) -> Vec<Change> {
    let (mut old, mut new) = (written(old), written(new));
    pairs(&mut old, &mut new, |rule| rule.key(|one| format!("{:?}", Rule { index: 0, ..one.clone() })));
    let line = |index: u32| Some(positions.rule(name, index).line);
    let mut found = Vec::new();
    for likeness in LIKENESSES {
        found.extend(pairs(&mut old, &mut new, likeness).into_iter().map(|(old, new)| Change {
            before: Some(words::rule(&old.rules)),
            index: Some(new.index),
            line: line(new.index),
            ..Change::new(What::Changed, Kind::Rule, name, words::rule(&new.rules))
        }));
    }
    found.extend(new.iter().map(|rule| Change {
        index: Some(rule.index),
        line: line(rule.index),
        ..Change::new(What::Added, Kind::Rule, name, words::rule(&rule.rules))
    }));
    found.sort_by_key(|change| change.index);
    let removed = old.iter().map(|rule| Change {
        index: Some(rule.index),
        ..Change::new(What::Removed, Kind::Rule, name, words::rule(&rule.rules))
    });
    removed.chain(found).collect()
}

fn written(group: Option<&Group>) -> Vec<Written<'_>> {
    let mut by_index: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in group.map_or(&[][..], |group| &group.rules) {
        by_index.entry(rule.index).or_default().push(rule);
    }
    by_index.into_iter().map(|(index, rules)| Written { index, rules }).collect()
}

/// Takes out of both lists the rules that have the same key, the first with the first.
fn pairs<'a>(
    old: &mut Vec<Written<'a>>,
    new: &mut Vec<Written<'a>>,
    key: impl Fn(&Written) -> Option<String>,
) -> Vec<(Written<'a>, Written<'a>)> {
    let mut waiting: BTreeMap<String, VecDeque<usize>> = BTreeMap::new();
    for (at, rule) in new.iter().enumerate() {
        if let Some(key) = key(rule) {
            waiting.entry(key).or_default().push_back(at);
        }
    }
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    old.retain(|rule| {
        let at = key(rule).and_then(|key| waiting.get_mut(&key)?.pop_front());
        found.extend(at.map(|at| (rule.clone(), new[at].clone())));
        taken.extend(at);
        at.is_none()
    });
    let mut places = 0..;
    new.retain(|_| places.next().is_none_or(|at| !taken.contains(&at)));
    found
}

impl Written<'_> {
    fn key(&self, text: impl Fn(&Rule) -> String) -> Option<String> {
        Some(self.rules.iter().map(|rule| text(rule)).collect())
    }
}
