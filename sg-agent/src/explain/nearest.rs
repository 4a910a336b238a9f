//! The allow rule that comes closest to a packet that none matches, and what differs.

use std::{collections::BTreeSet, net::IpAddr, time::SystemTime};

use serde::Serialize;
use sg_common::members::MemberKey;

use super::packet::{Packet, family_name};
use crate::{
    compile::{State, members::address, state::Bound},
    observe::time::rfc3339,
    policy::{
        Policy,
        model::{Action, Family, Match, PortRange, Remote, Rule},
        validate::protocol_name,
    },
};

/// A rule that nearly matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// Its group.
    pub group: String,
    /// Its index in the group.
    pub rule: u32,
    /// Its description.
    pub description: String,
    /// What the rule says and the packet has instead: `port: 443, not 80`.
    pub differs: String,
}

/// The nearest allow rule of the packet's direction; of equally near ones the first in evaluation order. A rule that
/// differs in the other end alone is nearest, then one that differs in port or type, then in protocol or family.
pub fn nearest(state: &State, bound: &Bound, packet: &Packet, now: SystemTime) -> Option<Nearest> {
    let key = bound.keys[0][packet.direction as usize].as_ref()?;
    let other = OtherEnd::of(state, bound.row.zone, packet.remote());
    let rules = (0..).map_while(|rank| state.rule(key, rank));
    let measured = rules.filter(|(_, rule)| rule.action == Action::Allow).map(|(group, rule)| {
        let differences = differences(rule, packet, &other, now);
        (
            differences.iter().fold((0, 0), |(a, b), one| (a + one.weight, b + one.distance)),
            differences,
            group,
            rule,
        )
    });
    let (_, differences, group, rule) = measured.min_by_key(|(distance, ..)| *distance)?;
    let texts: Vec<String> = differences.into_iter().map(|one| one.text).collect();
    Some(Nearest {
        group: group.name.clone(),
        rule: rule.index,
        description: rule.description.clone(),
        differs: texts.join("; "),
    })
}

/// What the other end belongs to.
struct OtherEnd<'a> {
    address: IpAddr,
    groups: BTreeSet<&'a str>,
    address_groups: BTreeSet<&'a str>,
}

impl<'a> OtherEnd<'a> {
    fn of(state: &'a State, zone: u32, remote: IpAddr) -> Self {
        let policy: &'a Policy = state.policy();
        let members = state.members();
        let set = members.set_of(&MemberKey { addr: address(remote), zone });
        let by_address = members.sets().groups(set).iter().map(String::as_str);
        let by_prefix =
            policy.groups.values().filter(|group| group.members.iter().any(|net| net.contains(&remote)));
        let lists = policy.address_groups.iter();
        let listed = lists.filter(|(_, group)| group.prefixes.iter().any(|net| net.contains(&remote)));
        Self {
            address: remote,
            groups: by_address.chain(by_prefix.map(|group| group.name.as_str())).collect(),
            address_groups: listed.map(|(name, _)| name.as_str()).collect(),
        }
    }
}

/// One thing in which a rule and a packet differ.
struct Difference {
    /// How much it counts.
    weight: u32,
    /// How far off, among equals.
    distance: u32,
    text: String,
}

mod weight {
    pub const EXPIRED: u32 = 1;
    pub const CODE: u32 = 1;
    pub const REMOTE: u32 = 2;
    pub const PORT: u32 = 3;
    pub const PROTOCOL: u32 = 4;
    pub const FAMILY: u32 = 4;
}

fn differences(rule: &Rule, packet: &Packet, other: &OtherEnd, now: SystemTime) -> Vec<Difference> {
    let family = packet.family();
    let families = (!rule.applies_to(family)).then(|| {
        let [other, own] =
            if family == Family::Ipv4 { [Family::Ipv6, family] } else { [Family::Ipv4, family] };
        difference(weight::FAMILY, format!("family: {}, not {}", family_name(other), family_name(own)))
    });
    let expired = rule.expires.filter(|time| *time <= now).and_then(rfc3339);
    let expired = expired.map(|time| difference(weight::EXPIRED, format!("expired: {time}")));
    // A rule of the other family names no remote of this one.
    let remote = if families.is_none() { remote(rule, other) } else { None };
    let parts = service(&rule.matches, packet).into_iter().chain(families).chain(remote).chain(expired);
    parts.collect()
}

fn difference(weight: u32, text: String) -> Difference {
    Difference { weight, distance: 0, text }
}

fn service(matches: &Match, packet: &Packet) -> Vec<Difference> {
    let protocol = match matches {
        Match::All => return Vec::new(),
        Match::Protocol(protocol) | Match::Ports(protocol, _) | Match::Icmp { protocol, .. } => *protocol,
    };
    let mut found = Vec::new();
    if protocol != packet.protocol {
        let names = [protocol, packet.protocol].map(|number| protocol_name(Some(number)));
        let text = format!("protocol: {}, not {}", names[0], names[1]);
        found.push(difference(weight::PROTOCOL + beyond(matches, packet), text));
    }
    match (matches, packet.ports, packet.icmp) {
        (Match::Ports(_, ranges), Some([_, port]), _) => found.extend(ports(ranges, port)),
        (Match::Icmp { kind, code, .. }, _, Some([own_kind, own_code])) => {
            if *kind != own_kind {
                found.push(difference(weight::PORT, format!("type: {kind}, not {own_kind}")));
            } else if let Some(code) = code.filter(|code| *code != own_code) {
                found.push(difference(weight::CODE, format!("code: {code}, not {own_code}")));
            }
        }
        _ => {}
    }
    found
}

/// What a rule with ports or types counts more, if the packet's protocol has no such thing.
fn beyond(matches: &Match, packet: &Packet) -> u32 {
    let is_comparable = match matches {
        Match::All | Match::Protocol(_) => true,
        Match::Ports(..) => packet.ports.is_some(),
        Match::Icmp { .. } => packet.icmp.is_some(),
    };
    if is_comparable { 0 } else { weight::PORT }
}

fn ports(ranges: &[PortRange], port: u16) -> Option<Difference> {
    let off = |range: &PortRange| match port {
        port if port < range.first => range.first - port,
        port => port.saturating_sub(range.last),
    };
    let distance = ranges.iter().map(off).min().filter(|distance| *distance > 0)?;
    let text = format!("port: {}, not {port}", listed(ranges));
    Some(Difference { weight: weight::PORT, distance: distance.into(), text })
}

/// The ranges, the first few of many.
fn listed(ranges: &[PortRange]) -> String {
    const SHOWN: usize = 5;
    let text = |range: &PortRange| match range {
        PortRange { first, last } if first == last => first.to_string(),
        PortRange { first, last } => format!("{first}-{last}"),
    };
    let mut texts: Vec<String> = ranges.iter().take(SHOWN).map(text).collect();
    if ranges.len() > SHOWN {
        texts.push(format!("{} more", ranges.len() - SHOWN));
    }
    texts.join(", ")
}

fn remote(rule: &Rule, other: &OtherEnd) -> Option<Difference> {
    let address = other.address;
    let (is_in, named) = match &rule.remote {
        Remote::Any => return None,
        Remote::Prefix(net) => (net.contains(&address), net.to_string()),
        Remote::Group(name) => (other.groups.contains(name.as_str()), format!("members of group {name}")),
        Remote::AddressGroup(name) => {
            (other.address_groups.contains(name.as_str()), format!("address group {name}"))
        }
    };
    let host = named.strip_suffix(if address.is_ipv4() { "/32" } else { "/128" });
    let named = host.unwrap_or(&named);
    (!is_in).then(|| difference(weight::REMOTE, format!("remote: {named}, not {address}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compile::tests::make,
        explain::asked::{Asked, tests::asked},
        policy::model::Direction,
    };

    /// The nearest of `rules` (as group `web`; address group `office` is 203.0.113.0/24): index and what differs.
    fn nearest_of(rules: Vec<Rule>, asked: &Asked) -> Option<(u32, String)> {
        let mut policy = make::policy(vec![make::group("web", rules), make::group("app", Vec::new())]);
        policy.address_groups = make::address_groups(&[("office", &["203.0.113.0/24"])]);
        let specs = [make::interface(&["web"], &["10.0.0.5"]), make::interface(&["app"], &["10.0.0.6"])];
        let state = make::first(&policy, &specs);
        let bound = &state.interfaces()["tap1"];
        let packet = asked.packet(&bound.spec).unwrap();
        nearest(&state, bound, &packet, make::at(0)).map(|it| (it.rule, it.differs))
    }

    fn tcp(port: u16, remote: &str) -> Asked {
        asked(Direction::Ingress, 6, remote, Some(port))
    }

    fn some(index: u32, differs: &str) -> Option<(u32, String)> {
        Some((index, differs.to_owned()))
    }

    #[test]
    fn the_port_differs() {
        let rules = vec![make::allow(8000, Remote::Any), make::allow(443, Remote::Any)];
        assert_eq!(nearest_of(rules, &tcp(80, "192.0.2.1")), some(1, "port: 443, not 80"));
    }

    #[test]
    fn the_same_port_from_elsewhere_is_nearer_than_another_port() {
        let office = Remote::AddressGroup("office".to_owned());
        let rules = || vec![make::allow(81, Remote::Any), make::allow(80, office.clone())];
        let differs = "remote: address group office, not 192.0.2.1";
        assert_eq!(nearest_of(rules(), &tcp(80, "192.0.2.1")), some(1, differs));
        assert_eq!(nearest_of(rules(), &tcp(82, "203.0.113.7")), some(0, "port: 81, not 82"));
    }

    #[test]
    fn members_are_known() {
        let rules = || vec![make::allow(80, Remote::Group("app".to_owned()))];
        let differs = "remote: members of group app, not 192.0.2.1";
        assert_eq!(nearest_of(rules(), &tcp(80, "192.0.2.1")), some(0, differs));
        assert_eq!(nearest_of(rules(), &tcp(81, "10.0.0.6")), some(0, "port: 80, not 81"));
    }

    #[test]
    fn several_differences_are_all_named() {
        let rules = vec![make::allow(443, make::net("10.9.0.1/32"))];
        let differs = "port: 443, not 80; remote: 10.9.0.1, not 192.0.2.1";
        assert_eq!(nearest_of(rules, &tcp(80, "192.0.2.1")), some(0, differs));
    }

    #[test]
    fn protocol_family_type_and_time_differ() {
        let of = |matches, families| {
            let mut rule = make::rule(Direction::Ingress, matches, Remote::Any, Action::Allow);
            rule.families = families;
            vec![rule]
        };
        let both = [true, true];
        let udp = Match::Ports(17, vec![PortRange { first: 53, last: 53 }]);
        let question = tcp(53, "192.0.2.1");
        assert_eq!(nearest_of(of(udp, both), &question), some(0, "protocol: udp, not tcp"));
        let v6 = of(make::tcp(53), [false, true]);
        assert_eq!(nearest_of(v6, &question), some(0, "family: IPv6, not IPv4"));
        let echo = Match::Icmp { protocol: 1, kind: 0, code: None };
        let ping = asked(Direction::Ingress, 1, "192.0.2.1", None);
        assert_eq!(nearest_of(of(echo, [true, false]), &ping), some(0, "type: 0, not 8"));
        let tcp = of(make::tcp(53), both);
        assert_eq!(nearest_of(tcp, &ping), some(0, "protocol: tcp, not icmp"));
        let mut expired = of(make::tcp(53), both);
        expired[0].expires = Some(make::at(0));
        assert_eq!(nearest_of(expired, &question), some(0, "expired: 1970-01-12T13:46:40Z"));
    }

    #[test]
    fn only_allow_rules_of_the_direction_count() {
        let deny = make::rule(Direction::Ingress, make::tcp(80), make::net("10.0.0.0/8"), Action::Deny);
        let egress = make::rule(Direction::Egress, make::tcp(80), Remote::Any, Action::Allow);
        assert_eq!(nearest_of(vec![deny, egress], &tcp(80, "192.0.2.1")), None);
    }
}
