//! One member more or less, without compiling anything: at most the membership trees of the policies that name its
//! group are made again, and only if the address is the first with just that set of groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use sg_common::members::MemberKey;

use super::{
    clock::Clock,
    error::DoesNotFit,
    interfaces,
    members::{Change, address},
    plan::{Plan, memberships, next_generation, renew},
    policy,
    settings::settings,
    state::State,
};

/// An address that becomes, or ceases to be, a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// Zone of the address; a zone without an interface is not looked at.
    pub zone: String,
    /// The address.
    pub addr: IpAddr,
    /// The group.
    pub group: String,
    /// Whether it becomes a member.
    pub is_added: bool,
}

impl State {
    /// Changes single members in place and tells what has to be written. If that does not fit, nothing has changed and
    /// a whole [`plan`](super::plan()) has to be made. The caller also changes its policy, or the next plan takes the
    /// change back.
    pub fn change_members(&mut self, changes: &[MemberChange], clock: &Clock) -> Result<Plan, DoesNotFit> {
        let generation = next_generation(self);
        let mark = self.heap.high_water();
        let (done, touched) = self.apply_changes(changes);
        let by_key = self.merged(&done);
        let fits = self.check_members(&by_key);
        if let Err(error) = fits.and_then(|()| self.update_policies(&done)) {
            self.take_back(changes, &done);
            self.heap.roll_back(mark);
            return Err(error);
        }
        let (members, members_to_remove) = memberships(&by_key, generation);
        let new = self.heap.new_lines_since(mark);
        let lines = if new.is_empty() { Vec::new() } else { vec![(mark, new)] };
        let is_empty = members.is_empty() && lines.is_empty();
        if !is_empty {
            self.generation = generation;
            self.members_changed = true;
            self.renew_interfaces(&touched, generation);
        }
        Ok(Plan {
            generation,
            lines,
            settings: settings(&self.policy, clock),
            interfaces: self.interfaces.values().map(|bound| (bound.slot, bound.row)).collect(),
            members,
            members_to_remove,
            is_empty,
            ..Plan::default()
        })
    }

    /// Each change with what it did, and the groups that were touched, by zone.
    fn apply_changes(&mut self, changes: &[MemberChange]) -> (Vec<Option<Change>>, Touched) {
        let members = Arc::make_mut(&mut self.members);
        let mut touched = Touched::new();
        let mut done = Vec::with_capacity(changes.len());
        for MemberChange { zone, addr, group, is_added } in changes {
            let key = self.zones.number(zone).map(|zone| MemberKey { addr: address(*addr), zone });
            let change = key.and_then(|key| {
                if *is_added { Some(members.add(key, group)) } else { members.remove(key, group) }
            });
            if let Some(change) = change.filter(|change| change.before != change.now) {
                touched.insert((change.key.zone, group.clone()));
            }
            done.push(change);
        }
        (done, touched)
    }

    fn take_back(&mut self, changes: &[MemberChange], done: &[Option<Change>]) {
        let members = Arc::make_mut(&mut self.members);
        for (change, done) in changes.iter().zip(done).rev() {
            match done {
                Some(done) if change.is_added => {
                    members.remove(done.key, &change.group);
                }
                Some(done) => {
                    members.add(done.key, &change.group);
                }
                None => {}
            }
        }
    }

    /// One change for each address that ends in another set than it began in.
    fn merged(&self, done: &[Option<Change>]) -> Vec<Change> {
        let mut by_key: BTreeMap<MemberKey, Change> = BTreeMap::new();
        for change in done.iter().flatten() {
            by_key.entry(change.key).and_modify(|merged| merged.now = change.now).or_insert(*change);
        }
        by_key.into_values().filter(|change| change.before != change.now).collect()
    }

    fn check_members(&self, changes: &[Change]) -> Result<(), DoesNotFit> {
        let gone = changes.iter().filter(|change| change.now == 0).count();
        let (needed, limit) = ((self.members.len() + gone) as u64, self.limits.members);
        if needed > u64::from(limit) { Err(DoesNotFit::Members { needed, limit }) } else { Ok(()) }
    }

    /// Makes the new sets known to the policies that name one of their groups.
    fn update_policies(&mut self, done: &[Option<Change>]) -> Result<(), DoesNotFit> {
        let sets = self.members.sets();
        let new = done.iter().flatten().filter(|change| change.is_new_set);
        let names: BTreeSet<&String> = new.flat_map(|change| sets.groups(change.now)).collect();
        let mut updated = Vec::new();
        for (key, compiled) in &self.policies {
            if !names.iter().any(|name| compiled.remotes.contains(*name)) {
                continue;
            }
            if let Some(new) = policy::with_sets(&mut self.heap, &self.policy, key, compiled, sets)? {
                updated.push((key.clone(), Arc::new(new)));
            }
        }
        self.policies.extend(updated);
        Ok(())
    }

    fn renew_interfaces(&mut self, touched: &Touched, generation: u32) {
        let mut interfaces = std::mem::take(&mut self.interfaces);
        for bound in interfaces.values_mut() {
            let compiled = self.compiled_each(&bound.keys);
            let names = |(zone, name): &(u32, String)| {
                let mut policies = compiled.iter().flatten().flatten();
                *zone == bound.row.zone && policies.any(|compiled| compiled.remotes.contains(name))
            };
            let is_judged_anew = touched.iter().any(names);
            interfaces::set_policies(&mut bound.row, &compiled);
            if is_judged_anew {
                renew(&mut bound.row, generation, interfaces::on_change(&self.policy, &bound.groups));
            }
        }
        self.interfaces = interfaces;
    }
}

/// Groups whose members changed, by zone.
type Touched = BTreeSet<(u32, String)>;
