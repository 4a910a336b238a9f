//! What rules counted, added up over the interfaces that they are in force on.
//!
//! A counter may not go down while interfaces leave: what they had counted is kept. It may not jump when rules change
//! places: a rule is named by what it means, not by its index.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::policy::{
    Policy,
    model::{Action, Direction, Group, Rule},
};

/// A rule of the policy file: one line of it, whatever number of rules that came to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleKey {
    /// Name of its group.
    pub group: String,
    /// Its direction.
    pub direction: Direction,
    /// What it means as a number: stays when it moves or is described anew.
    pub meaning: u32,
}

/// What a rule looks like in the policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Position in its group; of several that mean the same, the first.
    pub index: u32,
    /// Free text.
    pub description: String,
    /// What it does.
    pub action: Action,
    /// Its group is an audit group: it decides nothing.
    pub audit: bool,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What counts for one rule on one interface: the interface's name and slot, and the rule.
pub type Place = (String, u32, RuleKey);

/// Counts that outlive interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    departed: BTreeMap<RuleKey, Counted>,
    seen: BTreeMap<Place, Counted>,
}

/// Counts of interfaces that are gone, as they are kept on disk.
pub type Departed = Vec<(RuleKey, Counted)>;

impl Totals {
    /// Goes on from what [`Totals::departed`] gave.
    pub fn new(departed: Departed) -> Self {
        Self { departed: departed.into_iter().collect(), seen: BTreeMap::new() }
    }

    /// Counts of interfaces that are gone.
    pub fn departed(&self) -> Departed {
        self.departed.iter().map(|(rule, counted)| (rule.clone(), *counted)).collect()
    }

    /// Takes note of what is counted now; tells whether an interface left counts behind. Rules that are not among
    /// `known` any more are forgotten.
    pub fn update(&mut self, now: BTreeMap<Place, Counted>, known: &BTreeSet<RuleKey>) -> bool {
        let before = self.departed.clone();
        for (place, last) in std::mem::take(&mut self.seen) {
            if now.get(&place).is_none_or(|counted| counted.packets < last.packets) {
                self.departed.entry(place.2).or_default().add(last);
            }
        }
        self.departed.retain(|rule, _| known.contains(rule));
        self.seen = now;
        self.departed != before
    }

    /// Every rule that an interface has or had, with everything it counted.
    pub fn totals(&self) -> BTreeMap<RuleKey, Counted> {
        let mut totals = self.departed.clone();
        for ((_, _, rule), counted) in &self.seen {
            totals.entry(rule.clone()).or_default().add(*counted);
        }
        totals
    }
}

impl Counted {
    /// Adds `other`.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Every rule of `policy` by what it means.
pub fn described(policy: &Policy) -> BTreeMap<RuleKey, Described> {
    let mut all = BTreeMap::new();
    for group in policy.groups.values() {
        for ((direction, index), meaning) in meanings(group) {
            let Some(rule) = group.rules.iter().find(|rule| rule.index == index) else { continue };
            let key = RuleKey { group: group.name.clone(), direction, meaning };
            all.entry(key).or_insert_with(|| Described {
                index,
                description: rule.description.clone(),
                action: rule.action,
                audit: group.audit,
            });
        }
    }
    all
}

/// What the rules of a group mean, by direction and index. Rules with the same index are one.
pub fn meanings(group: &Group) -> BTreeMap<(Direction, u32), u32> {
    const OFFSET_BASIS: u32 = 0x811c_9dc5;
    let mut hashes = BTreeMap::new();
    for rule in &group.rules {
        let hash = hashes.entry((rule.direction, rule.index)).or_insert(OFFSET_BASIS);
        *hash = fnv(*hash, &meaning(rule));
    }
    hashes
}

/// Everything that a rule says but where it stands and how it is described.
fn meaning(rule: &Rule) -> Vec<u8> {
    let bare = Rule { index: 0, description: String::new(), ..rule.clone() };
    serde_json::to_vec(&bare).unwrap_or_default()
}

/// FNV-1a over `bytes`: the same in every build, unlike the standard library's hash.
fn fnv(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile::tests::make, policy::model::Remote};

    fn key(meaning: u32) -> RuleKey {
        RuleKey { group: "web".to_owned(), direction: Direction::Ingress, meaning }
    }

    fn counts(all: &[(&str, u32, u32, u64)]) -> BTreeMap<Place, Counted> {
        let place = |&(name, slot, meaning, packets): &(&str, u32, u32, u64)| {
            ((name.to_owned(), slot, key(meaning)), Counted { packets, bytes: packets * 100 })
        };
        all.iter().map(place).collect()
    }

    fn packets(totals: &Totals) -> Vec<(u32, u64)> {
        totals.totals().iter().map(|(rule, counted)| (rule.meaning, counted.packets)).collect()
    }

    #[test]
    fn totals_never_go_down_when_interfaces_leave_or_come_anew() {
        let known = BTreeSet::from([key(1), key(2)]);
        let mut totals = Totals::default();
        assert!(!totals.update(counts(&[("tap0", 1, 1, 10), ("tap1", 2, 1, 5)]), &known));
        assert_eq!(packets(&totals), [(1, 15)]);
        assert!(totals.update(counts(&[("tap0", 1, 1, 11)]), &known), "tap1 left");
        assert_eq!(packets(&totals), [(1, 16)]);
        assert!(totals.update(counts(&[("tap0", 3, 1, 2)]), &known), "tap0 came anew");
        assert_eq!(packets(&totals), [(1, 18)]);
        assert!(totals.update(counts(&[("tap0", 3, 1, 1)]), &known), "its counter began anew");
        assert_eq!(packets(&totals), [(1, 19)]);
        assert!(totals.update(BTreeMap::new(), &known));
        assert_eq!(packets(&totals), [(1, 19)]);
        let restarted = Totals::new(totals.departed());
        assert_eq!(restarted.totals(), totals.totals());
    }

    #[test]
    fn a_rule_that_is_gone_is_forgotten() {
        let mut totals = Totals::default();
        totals.update(counts(&[("tap0", 1, 1, 10), ("tap0", 1, 2, 3)]), &BTreeSet::from([key(1), key(2)]));
        totals.update(counts(&[("tap0", 1, 1, 10)]), &BTreeSet::from([key(1)]));
        assert_eq!(packets(&totals), [(1, 10)]);
        assert!(totals.departed().is_empty());
    }

    #[test]
    fn a_rule_is_known_by_what_it_means() {
        let [dns, mut web] = [make::allow(53, Remote::Any), make::allow(443, Remote::Any)];
        web.index = 1;
        let before = meanings(&make::group("web", vec![dns.clone(), web.clone()]));
        let moved = Rule { index: 0, description: "HTTPS".to_owned(), ..web };
        let after = meanings(&make::group("web", vec![moved, Rule { index: 1, ..dns.clone() }]));
        let at = |index| (Direction::Ingress, index);
        assert_eq!((before[&at(0)], before[&at(1)]), (after[&at(1)], after[&at(0)]));
        let other = Rule { priority: 7, ..dns };
        assert_ne!(meanings(&make::group("web", vec![other]))[&at(0)], before[&at(0)]);
    }

    #[test]
    fn the_number_of_a_meaning_is_the_same_in_every_build() {
        assert_eq!(fnv(0x811c_9dc5, b"foobar"), 0xbf9c_f968, "FNV-1a, draft-eastlake-fnv, appendix C");
    }
}
