//! A reading of the policy that goes through the rules one by one.

use std::{net::IpAddr, time::SystemTime};

use ipnet::IpNet;
use sg_common::heap::{fragment_service, icmp_service, service};

use crate::policy::{
    Policy,
    model::{Action, Direction, Interface, Match, Remote, Rule},
};

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub direction: Direction,
    pub remote: IpAddr,
    pub protocol: u8,
    /// Destination port; ICMP type and code; `None` = a later fragment.
    pub detail: Option<u16>,
}

impl Packet {
    pub fn service(&self) -> u32 {
        match self.detail {
            None => fragment_service(self.protocol),
            Some(detail) if matches!(self.protocol, 1 | 58) => {
                icmp_service(self.protocol, (detail >> 8) as u8, detail as u8)
            }
            Some(port) => service(self.protocol, port),
        }
    }
}

/// What is decided: passes, tracked, and which rule (`None` = the default): group and position.
pub type Verdict = (bool, bool, Option<(String, usize)>);

/// Priority, action, group, position.
type Order = (u8, Action, usize, usize);

/// The verdict of the groups bound to `interfaces[which]`; all audit groups count if `audited`, else none.
pub fn verdict(
    policy: &Policy,
    interfaces: &[Interface],
    which: usize,
    packet: &Packet,
    now: SystemTime,
    audited: bool,
) -> Verdict {
    let own = &interfaces[which];
    let groups = own.groups.iter().map(|name| &policy.groups[name]).filter(|group| audited || !group.audit);
    let mut best: Option<(Order, &str, bool)> = None;
    for (place, group) in groups.clone().enumerate() {
        for (position, rule) in group.rules.iter().enumerate() {
            if !matches(policy, interfaces, &own.zone, rule, packet, now) {
                continue;
            }
            let order = (rule.priority, rule.action, place, position);
            if best.is_none_or(|(best, ..)| order < best) {
                best = Some((order, &group.name, group.stateful));
            }
        }
    }
    if let Some(((_, action, _, position), name, stateful)) = best {
        return (action == Action::Allow, stateful, Some((name.to_owned(), position)));
    }
    let default = |group: &crate::policy::model::Group| match packet.direction {
        Direction::Ingress => group.default_ingress,
        Direction::Egress => group.default_egress,
    };
    let stateless = groups.clone().count() > 0 && groups.clone().all(|group| !group.stateful);
    (groups.clone().all(|group| default(group) == Action::Allow), !stateless, None)
}

fn matches(
    policy: &Policy,
    interfaces: &[Interface],
    zone: &str,
    rule: &Rule,
    packet: &Packet,
    now: SystemTime,
) -> bool {
    rule.direction == packet.direction
        && rule.families[usize::from(packet.remote.is_ipv6())]
        && rule.expires.is_none_or(|time| now < time)
        && matches_service(rule, packet)
        && matches_remote(policy, interfaces, zone, &rule.remote, packet.remote)
}

fn matches_service(rule: &Rule, packet: &Packet) -> bool {
    let Packet { protocol, detail, .. } = *packet;
    let denies = rule.action == Action::Deny;
    match &rule.matches {
        Match::All => true,
        Match::Protocol(of) => *of == protocol,
        Match::Ports(of, ranges) => {
            let among = |port| ranges.iter().any(|range| range.first <= port && port <= range.last);
            *of == protocol && detail.map_or(denies, among)
        }
        Match::Icmp { protocol: of, kind, code } => {
            let is_it = |detail: u16| {
                detail >> 8 == u16::from(*kind) && code.is_none_or(|code| u16::from(code) == detail & 0xff)
            };
            *of == protocol && detail.map_or(denies, is_it)
        }
    }
}

fn matches_remote(
    policy: &Policy,
    interfaces: &[Interface],
    zone: &str,
    remote: &Remote,
    addr: IpAddr,
) -> bool {
    let among = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&addr));
    match remote {
        Remote::Any => true,
        Remote::Prefix(net) => net.contains(&addr),
        Remote::AddressGroup(name) => {
            policy.address_groups.get(name).is_some_and(|group| among(&group.prefixes))
        }
        Remote::Group(name) => {
            let is_member = |interface: &Interface| {
                let pairs = interface.allowed_address_pairs.iter().map(|pair| pair.prefix);
                let mut hosts = pairs.filter(|net| net.prefix_len() == net.max_prefix_len());
                interface.zone == zone
                    && interface.groups.contains(name)
                    && (interface.addresses.contains(&addr) || hosts.any(|net| net.addr() == addr))
            };
            interfaces.iter().any(is_member) || among(&policy.groups[name].members)
        }
    }
}
