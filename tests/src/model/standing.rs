//! Whether a packet belongs to a connection, and whether the policy of today lets that go on.

use sg_agent::policy::{
    Policy,
    model::{Direction, Interface, OnIngressChange, Remote, TcpPickup},
};
use sg_common::verdict::{Reason, Stage};

use super::{Key, Model, Packet, packet::Content};
use crate::{
    model::packet::Query,
    packets::flag::{ACK, RST, SYN},
    progrun::Verdict,
};

/// What has become of the entry that a packet met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none, or it is as if there were none.
    None,
    /// It goes on.
    GoesOn,
    /// The policy has cut it.
    Cut,
}

impl Model {
    /// Puts another policy in force.
    pub fn apply(&mut self, policy: Policy) {
        let before = std::mem::replace(&mut self.policy, policy);
        for name in self.interfaces() {
            let of = |policy: &Policy| judging(policy, &name);
            if of(&before) == of(&self.policy) {
                continue;
            }
            *self.changes.entry(name.clone()).or_default() += 1;
            if self.on_change(&name) != OnIngressChange::Clear {
                continue;
            }
            for (key, entry) in &mut self.entries {
                entry.is_cleared |= key.interface == name && entry.opener == Direction::Ingress;
            }
        }
    }

    /// The strictest of what the bound groups want that have connections.
    fn on_change(&self, interface: &str) -> OnIngressChange {
        let groups =
            groups(&self.policy, interface).into_iter().filter_map(|name| self.policy.groups.get(name));
        let stateful = groups.filter(|group| group.stateful);
        stateful.map(|group| group.on_ingress_change).max().unwrap_or_default()
    }

    /// A packet that is not a later fragment: connection, then rules.
    pub(super) fn track(&mut self, interface: &Interface, packet: &Packet) -> Verdict {
        let verdict = match packet.key() {
            None => self.rules(interface, packet.direction, packet).map(|(stage, _)| stage),
            Some(key) if packet.has(SYN) && !packet.has(ACK) => self.syn(interface, packet, key),
            Some(key) => match self.settle(interface, &key) {
                Standing::Cut => Err(Reason::Cut),
                Standing::GoesOn => {
                    let (timeouts, now) = (self.policy.settings.timeouts, self.now);
                    if let Some(entry) = self.entries.get_mut(&key) {
                        entry.goes_on(packet, &timeouts, now);
                    }
                    Ok(Stage::Established)
                }
                Standing::None => self.unknown(interface, packet, key),
            },
        };
        verdict.map_or_else(Verdict::Drop, Verdict::Pass)
    }

    /// Looks whether the entry goes on; removes it if not.
    fn settle(&mut self, interface: &Interface, key: &Key) -> Standing {
        let standing = self.standing(interface, key);
        let change = self.change(&key.interface);
        match (standing, self.entries.get_mut(key)) {
            (Standing::GoesOn, Some(entry)) => entry.judged = change,
            _ => drop(self.entries.remove(key)),
        }
        standing
    }

    /// Whether the entry goes on.
    pub(super) fn standing(&self, interface: &Interface, key: &Key) -> Standing {
        let Some(entry) = self.entries.get(key) else { return Standing::None };
        let rechecks = self.on_change(&key.interface) != OnIngressChange::Keep;
        if entry.is_cleared {
            return Standing::Cut;
        }
        if entry.opener == Direction::Egress || !rechecks || entry.judged == self.change(&key.interface) {
            return Standing::GoesOn;
        }
        match self.answer(interface, entry.opener, key.remote.0, entry.asked) {
            Err(_) => Standing::Cut,
            Ok((_, false)) => Standing::None,
            Ok((_, true)) => Standing::GoesOn,
        }
    }

    /// A packet other than a SYN that belongs to no connection.
    fn unknown(&mut self, interface: &Interface, packet: &Packet, key: Key) -> Result<Stage, Reason> {
        let (stage, stateful) = self.rules(interface, packet.direction, packet)?;
        if stateful {
            if !self.may_open(packet) {
                return Err(Reason::NoConnection);
            }
            self.open(interface, packet, key)?;
        }
        Ok(stage)
    }

    /// Whether a packet other than a SYN may open a connection.
    fn may_open(&self, packet: &Packet) -> bool {
        let loose = self.policy.settings.conntrack.tcp_pickup == TcpPickup::Loose;
        match packet.content {
            Content::Tcp { .. } => loose && !packet.has(RST) && !packet.has(SYN),
            _ => !matches!(packet.query(), Some(Query::Reply(_))),
        }
    }

    /// A SYN always runs the rules; what only a stateless group would let through now ends at any packet.
    fn syn(&mut self, interface: &Interface, packet: &Packet, key: Key) -> Result<Stage, Reason> {
        if self.standing(interface, &key) == Standing::None {
            self.entries.remove(&key);
        }
        let (stage, stateful) = self.rules(interface, packet.direction, packet)?;
        if !stateful {
            return Ok(stage);
        }
        if self.entries.contains_key(&key) {
            let goes_on = self.settle(interface, &key) == Standing::GoesOn;
            let (timeouts, now) = (self.policy.settings.timeouts, self.now);
            match self.entries.get_mut(&key) {
                Some(entry) if goes_on && !entry.is_over() => entry.syn(packet, &timeouts, now),
                _ => self.begin(packet, key),
            }
        } else {
            self.open(interface, packet, key)?;
        }
        Ok(stage)
    }
}

/// Everything that judges an interface, in a form that can be compared.
fn judging(policy: &Policy, interface: &str) -> Vec<String> {
    let mut all = Vec::new();
    let zone = policy.interfaces.iter().find(|other| other.name == interface).map(|other| &other.zone);
    for name in groups(policy, interface) {
        let Some(group) = policy.groups.get(name) else { continue };
        all.push(format!("{:?}", (name, group.stateful, group.default_ingress, group.default_egress)));
        all.push(format!("{:?}", (group.allow_smtp, group.audit, group.on_ingress_change, &group.rules)));
        for rule in &group.rules {
            match &rule.remote {
                Remote::Group(name) => {
                    all.push(format!("{:?}", policy.groups.get(name).map(|group| &group.members)));
                    let bound = policy.interfaces.iter().filter(|other| {
                        Some(&other.zone) == zone && groups(policy, &other.name).contains(&name.as_str())
                    });
                    all.extend(bound.map(|other| format!("{:?}", other.addresses)));
                }
                Remote::AddressGroup(name) => all.push(format!("{:?}", policy.address_groups.get(name))),
                Remote::Any | Remote::Prefix(_) => {}
            }
        }
    }
    all
}

/// Names of the groups that an interface is bound to.
fn groups<'a>(policy: &'a Policy, interface: &str) -> Vec<&'a str> {
    let bound = policy.interfaces.iter().find(|other| other.name == interface);
    match bound {
        Some(bound) if !bound.groups.is_empty() => bound.groups.iter().map(String::as_str).collect(),
        _ => vec![&policy.settings.default_group],
    }
}
