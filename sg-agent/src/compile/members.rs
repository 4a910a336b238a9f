//! Who is a member of which groups: from address to the number of a set of groups, one address changed at a time.
//!
//! An address may be a member of a group for several reasons (two interfaces, or an interface and the group's
//! `members:`), so a *class* remembers how many there are; classes without the repetitions are the sets.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use sg_common::{addr::Addr, members::MemberKey};

use super::{fold::is_host, order::bound_groups, sets::Sets, zones::Zones};
use crate::policy::{Policy, model::Interface};

/// Sorted names of groups, once for each reason.
type Reasons = Vec<String>;

#[derive(Clone, Debug)]
struct Class {
    reasons: Reasons,
    set: u32,
    users: u64,
}

/// All members by address.
#[derive(Clone, Debug, Default)]
pub struct Members {
    sets: Sets,
    classes: Vec<Class>,
    numbers: BTreeMap<Reasons, u32>,
    of: BTreeMap<MemberKey, u32>,
}

/// A change of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The address and its zone.
    pub key: MemberKey,
    /// Number of its set before.
    pub before: u32,
    /// Number of its set now.
    pub now: u32,
    /// Whether nobody was in that set: policies that name one of its groups do not know it yet.
    pub is_new_set: bool,
}

impl Members {
    /// The members that `policy` and the interfaces make. Sets that `before` knows keep their number.
    pub fn of_policy<'a>(
        policy: &Policy,
        interfaces: impl Iterator<Item = &'a Interface> + Clone,
        zones: &Zones,
        before: &Sets,
    ) -> Self {
        let names: Vec<&String> = policy.groups.keys().collect();
        let mut reasons = Vec::new();
        for spec in interfaces.clone() {
            let zone = zones.number(&spec.zone).unwrap_or_default();
            for name in bound_groups(policy, spec) {
                let Ok(group) = names.binary_search(&&name) else { continue };
                reasons.extend(own_addresses(spec).map(|addr| (MemberKey { addr, zone }, group)));
            }
        }
        let used: BTreeSet<u32> = interfaces.filter_map(|spec| zones.number(&spec.zone)).collect();
        for (place, group) in policy.groups.values().enumerate() {
            for net in group.members.iter().filter(|net| is_host(net)) {
                let addr = address(net.addr());
                reasons.extend(used.iter().map(|&zone| (MemberKey { addr, zone }, place)));
            }
        }
        Self::build(reasons, &names, before)
    }

    fn build(mut reasons: Vec<(MemberKey, usize)>, names: &[&String], before: &Sets) -> Self {
        reasons.sort();
        let mut members = Self { sets: before.successor(), ..Self::default() };
        let mut known: HashMap<Vec<usize>, u32> = HashMap::new();
        let mut groups = Vec::new();
        let mut of = Vec::new();
        for same in reasons.chunk_by(|a, b| a.0 == b.0) {
            groups.clear();
            groups.extend(same.iter().map(|&(_, group)| group));
            let class = known.get(&groups).copied().unwrap_or_else(|| {
                let class = members.class(groups.iter().map(|&group| names[group].clone()).collect());
                known.insert(groups.clone(), class);
                class
            });
            members.enter(class, Some(before));
            of.push((same[0].0, class));
        }
        members.of = of.into_iter().collect();
        members
    }

    /// The sets in use.
    pub fn sets(&self) -> &Sets {
        &self.sets
    }

    /// Number of addresses.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Number of the set of `key`.
    pub fn set_of(&self, key: &MemberKey) -> u32 {
        self.of.get(key).map_or(0, |&class| self.classes[class as usize].set)
    }

    /// Every address with the number of its set, in order.
    pub fn all(&self) -> impl Iterator<Item = (MemberKey, u32)> {
        self.of.iter().map(|(&key, &class)| (key, self.classes[class as usize].set))
    }

    /// One more reason why `key` is a member of `group`.
    pub fn add(&mut self, key: MemberKey, group: &str) -> Change {
        let mut reasons = self.reasons(&key);
        let at = reasons.partition_point(|name| name.as_str() < group);
        reasons.insert(at, group.to_owned());
        self.change(key, reasons)
    }

    /// One reason less; `None` if there was none.
    pub fn remove(&mut self, key: MemberKey, group: &str) -> Option<Change> {
        let mut reasons = self.reasons(&key);
        let at = reasons.iter().position(|name| name == group)?;
        reasons.remove(at);
        Some(self.change(key, reasons))
    }

    /// What differs from `self` to `next`, in order.
    pub fn diff(&self, next: &Self) -> Vec<Change> {
        let (mut old, mut new) = (self.all().peekable(), next.all().peekable());
        let mut changes = Vec::new();
        loop {
            let key = match (old.peek(), new.peek()) {
                (None, None) => return changes,
                (Some(old), None) => old.0,
                (None, Some(new)) => new.0,
                (Some(old), Some(new)) => old.0.min(new.0),
            };
            let before = old.next_if(|member| member.0 == key).map_or(0, |member| member.1);
            let now = new.next_if(|member| member.0 == key).map_or(0, |member| member.1);
            if before != now {
                let is_new_set = now != 0 && self.sets.groups(now).is_empty();
                changes.push(Change { key, before, now, is_new_set });
            }
        }
    }

    fn reasons(&self, key: &MemberKey) -> Reasons {
        self.of.get(key).map_or_else(Vec::new, |&class| self.classes[class as usize].reasons.clone())
    }

    fn change(&mut self, key: MemberKey, reasons: Reasons) -> Change {
        let before = self.set_of(&key);
        let (mut now, mut is_new_set) = (0, false);
        let left = if reasons.is_empty() {
            self.of.remove(&key)
        } else {
            let class = self.class(reasons);
            (now, is_new_set) = self.enter(class, None);
            self.of.insert(key, class)
        };
        if let Some(class) = left {
            self.leave(class);
        }
        Change { key, before, now, is_new_set }
    }

    fn class(&mut self, reasons: Reasons) -> u32 {
        if let Some(&class) = self.numbers.get(&reasons) {
            return class;
        }
        let class = self.classes.len() as u32;
        self.numbers.insert(reasons.clone(), class);
        self.classes.push(Class { reasons, set: 0, users: 0 });
        class
    }

    fn enter(&mut self, class: u32, before: Option<&Sets>) -> (u32, bool) {
        let class = &mut self.classes[class as usize];
        class.users += 1;
        if class.users > 1 {
            return (class.set, false);
        }
        let mut groups = class.reasons.clone();
        groups.dedup();
        let (set, is_new) = self.sets.enter(&groups, before);
        class.set = set;
        (set, is_new)
    }

    fn leave(&mut self, class: u32) {
        let class = &mut self.classes[class as usize];
        class.users -= 1;
        if class.users == 0 {
            self.sets.leave(class.set);
        }
    }
}

/// The instance's own addresses: `addresses`, and allowed pairs of one address.
fn own_addresses(spec: &Interface) -> impl Iterator<Item = Addr> {
    let pairs = spec.allowed_address_pairs.iter().map(|pair| pair.prefix).filter(is_host);
    let addrs: BTreeSet<IpAddr> = spec.addresses.iter().copied().chain(pairs.map(|net| net.addr())).collect();
    addrs.into_iter().map(address)
}

/// An address as the tables hold it.
pub fn address(addr: IpAddr) -> Addr {
    match addr {
        IpAddr::V4(addr) => Addr::v4(addr.octets()),
        IpAddr::V6(addr) => Addr(addr.octets()),
    }
}
