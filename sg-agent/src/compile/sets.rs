//! Sets of groups, each with a number that it keeps while an address has it and that no other set is ever given.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A set of groups and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSet {
    /// Its number, never 0.
    pub number: u32,
    /// The groups, sorted.
    pub groups: Vec<String>,
}

/// The sets in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    last: u32,
    groups: BTreeMap<u32, (Vec<String>, u64)>,
    numbers: BTreeMap<Vec<String>, u32>,
    with: BTreeMap<String, BTreeSet<u32>>,
}

impl Sets {
    /// The sets that were numbered earlier; `last` is the highest number ever given.
    pub fn restore(last: u32, sets: Vec<NamedSet>) -> Self {
        let mut restored = Self { last, ..Self::default() };
        for set in sets {
            restored.insert(set.number, set.groups);
        }
        restored
    }

    /// No sets, but numbers go on where these end.
    pub fn successor(&self) -> Self {
        Self { last: self.last, ..Self::default() }
    }

    /// The highest number ever given.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Every set, by number.
    pub fn all(&self) -> impl Iterator<Item = NamedSet> {
        self.groups.iter().map(|(&number, (groups, _))| NamedSet { number, groups: groups.clone() })
    }

    /// The number of the set of `groups` (sorted, unique; 0 if none), which gets one more user. A new set takes the
    /// number that `before` knows it by, or a fresh one. Tells also whether it is new here.
    pub fn enter(&mut self, groups: &[String], before: Option<&Self>) -> (u32, bool) {
        if groups.is_empty() {
            return (0, false);
        }
        let known = self.numbers.get(groups).copied();
        let number = known.or_else(|| before?.numbers.get(groups).copied()).unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        if known.is_none() {
            self.insert(number, groups.to_vec());
        }
        if let Some((_, users)) = self.groups.get_mut(&number) {
            *users += 1;
        }
        (number, known.is_none())
    }

    /// One user less; a set without users is forgotten.
    pub fn leave(&mut self, number: u32) {
        let Some((groups, users)) = self.groups.get_mut(&number) else { return };
        *users = users.saturating_sub(1);
        if *users > 0 {
            return;
        }
        let groups = std::mem::take(groups);
        self.groups.remove(&number);
        self.numbers.remove(&groups);
        for name in &groups {
            if let Some(with) = self.with.get_mut(name) {
                with.remove(&number);
            }
        }
    }

    /// The groups of set `number`; none of a set that is not in use.
    pub fn groups(&self, number: u32) -> &[String] {
        self.groups.get(&number).map_or(&[], |(groups, _)| groups)
    }

    /// The sets with a group of `remotes`, reduced to those groups, by number.
    pub fn naming(&self, remotes: &BTreeSet<String>) -> Vec<NamedSet> {
        let numbers: BTreeSet<u32> =
            remotes.iter().filter_map(|name| self.with.get(name)).flatten().copied().collect();
        let named = |number: u32| {
            self.groups(number).iter().filter(|name| remotes.contains(*name)).cloned().collect()
        };
        numbers.into_iter().map(|number| NamedSet { number, groups: named(number) }).collect()
    }

    fn insert(&mut self, number: u32, groups: Vec<String>) {
        for name in &groups {
            self.with.entry(name.clone()).or_default().insert(number);
        }
        self.numbers.insert(groups.clone(), number);
        self.groups.insert(number, (groups, 0));
        self.last = self.last.max(number);
    }
}
