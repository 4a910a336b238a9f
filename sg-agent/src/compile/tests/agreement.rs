//! Random policies and random packets: tables and naive reading agree, through changes.

use std::net::IpAddr;

use ipnet::IpNet;
use sg_common::{classify::classify, heap::Decision};

use super::{
    make::{self, address_groups, apply, at, clock},
    naive::{self, Packet, Verdict},
};
use crate::{
    compile::{State, members::address, order::PolicyKey, policy::chain, random::Random},
    policy::{
        Policy,
        model::{Action, AddressPair, Direction, Group, Interface, Match, PortRange, Remote, Rule},
    },
};
use sg_common::members::MemberKey;

const GROUPS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn matches(random: &mut Random) -> Match {
    let port = |random: &mut Random| random.below(12) as u16 * 5000;
    match random.below(6) {
        0 => Match::All,
        1 => Match::Protocol(*random.pick(&[1, 6, 17, 47, 58, 255])),
        2 => Match::Icmp {
            protocol: *random.pick(&[1, 58]),
            kind: *random.pick(&[0, 8, 255]),
            code: if random.one_in(2) { None } else { Some(*random.pick(&[0, 255])) },
        },
        _ => {
            let mut ports: Vec<u16> = (0..4).map(|_| port(random)).collect();
            ports.extend([u16::MAX; 1].iter().filter(|_| random.one_in(5)));
            ports.sort_unstable();
            ports.dedup();
            let ranges = ports.chunks(2).map(|pair| PortRange { first: pair[0], last: pair[pair.len() - 1] });
            Match::Ports(*random.pick(&[6, 17]), ranges.collect())
        }
    }
}

fn rule(random: &mut Random) -> Rule {
    let remote = match random.below(5) {
        0 => Remote::Any,
        1 => Remote::Group((*random.pick(&GROUPS)).to_owned()),
        2 => Remote::AddressGroup((*random.pick(&["office", "empty", "gone"])).to_owned()),
        _ => Remote::Prefix(prefix(random)),
    };
    let action = *random.pick(&[Action::Allow, Action::Allow, Action::Deny]);
    let mut rule = make::rule(direction(random), matches(random), remote, action);
    rule.priority = 1 + random.below(3) as u8;
    rule.families = *random.pick(&[[true, true], [true, false], [false, true]]);
    rule.expires = if random.one_in(8) { Some(at(random.below(4) * 10)) } else { None };
    rule
}

fn direction(random: &mut Random) -> Direction {
    *random.pick(&[Direction::Ingress, Direction::Egress])
}

fn prefix(random: &mut Random) -> IpNet {
    let family = random.below(2) as usize;
    random.prefix(family)
}

fn host(random: &mut Random) -> IpAddr {
    prefix(random).addr()
}

fn group(random: &mut Random, name: &str) -> Group {
    let count = random.below(12);
    let mut group = make::group(name, (0..count).map(|_| rule(random)).collect());
    group.stateful = !random.one_in(3);
    group.audit = random.one_in(5);
    group.default_ingress = *random.pick(&[Action::Deny, Action::Allow]);
    let members = random.below(4);
    group.members = (0..members).map(|_| prefix(random)).collect();
    group.members.sort_unstable();
    group.members.dedup();
    group
}

fn policy(random: &mut Random) -> Policy {
    let mut policy = make::policy(GROUPS.iter().map(|name| group(random, name)).collect());
    policy.address_groups = address_groups(&[
        ("office", &["10.0.0.0/23", "10.0.1.7/32", "0.0.0.0/32", "0:0:1::/48", "0:1::/64"]),
        ("empty", &[]),
    ]);
    policy
}

fn interface(random: &mut Random) -> Interface {
    let mut interface = make::interface(&[], &[]);
    interface.groups = GROUPS.iter().filter(|_| random.one_in(2)).map(|&name| name.to_owned()).collect();
    if interface.groups.is_empty() {
        interface.groups.push("a".to_owned());
    }
    interface.addresses = (0..2).map(|_| host(random)).collect();
    interface.allowed_address_pairs = vec![AddressPair { prefix: prefix(random), mac: None }];
    interface.zone = (*random.pick(&["", "blue"])).to_owned();
    interface
}

fn packet(random: &mut Random, policy: &Policy, interfaces: &[Interface]) -> Packet {
    let members: Vec<IpAddr> =
        policy.groups.values().flat_map(|group| &group.members).map(IpNet::addr).collect();
    let own = random.pick(interfaces).addresses.clone();
    let remote = match random.below(4) {
        0 => *random.pick(&own),
        1 if !members.is_empty() => *random.pick(&members),
        _ => host(random),
    };
    let detail = match random.below(4) {
        0 => None,
        1 => Some(*random.pick(&[0, 0x0800, 0x08ff, 0xff00, 0xffff])),
        _ => Some((random.below(12) * 5000 + random.below(3)).saturating_sub(1) as u16),
    };
    let protocol = *random.pick(&[1, 6, 6, 17, 17, 47, 58, 255, 0]);
    Packet { direction: direction(random), remote, protocol, detail }
}

/// What the tables say `seconds` after they were made.
fn tables(state: &State, which: usize, packet: &Packet, seconds: u64, view: usize) -> Option<Verdict> {
    let bound = &state.interfaces()[&format!("tap{}", which + 1)];
    let key: &PolicyKey = bound.keys[view][packet.direction as usize].as_ref()?;
    let now = clock().now_tick + seconds * 100;
    let roots = chain(state.heap(), state.compiled(key)?.root);
    let root = roots.iter().find(|root| now < root.until)?;
    let remote = address(packet.remote);
    let set = state.members().set_of(&MemberKey { addr: remote, zone: bound.row.zone });
    let family = usize::from(packet.remote.is_ipv6());
    let decision = classify(state.heap(), root, family, &remote, set, packet.service());
    let rule = key
        .rule(state.policy(), *state.compiled(key)?.rules.get(decision.rank() as usize).unwrap_or(&NOWHERE));
    assert_eq!(rule.is_none(), decision.has(Decision::DEFAULT));
    let place = rule.map(|(group, rule)| (group.name.clone(), rule.index as usize));
    Some((decision.has(Decision::ALLOW), !decision.has(Decision::STATELESS), place))
}

const NOWHERE: crate::compile::order::RuleRef =
    crate::compile::order::RuleRef { group: u32::MAX, position: 0 };

fn compare(random: &mut Random, state: &State, interfaces: &[Interface]) {
    let policy = state.policy().as_ref();
    for _ in 0..150 {
        let packet = packet(random, policy, interfaces);
        let which = random.below(interfaces.len() as u64) as usize;
        let seconds = *random.pick(&[0, 5, 10, 15, 20, 35]);
        let expected = naive::verdict(policy, interfaces, which, &packet, at(seconds), false);
        let groups = &interfaces[which].groups;
        let audits = groups.iter().filter(|name| policy.groups[*name].audit).count();
        // Without an enforced group everything passes.
        let expected = if audits == groups.len() { (true, true, None) } else { expected };
        let found = tables(state, which, &packet, seconds, 0);
        // A deny is never tracked, so its mark says nothing.
        let tracked = |verdict: Verdict| (verdict.0, verdict.0 && verdict.1, verdict.2);
        assert_eq!(found.map(tracked), Some(tracked(expected)), "{packet:?} +{seconds}s on {which}");
        let audited = tables(state, which, &packet, seconds, 1);
        assert_eq!(audited.is_some(), audits > 0);
        if let Some(found) = audited {
            let expected = naive::verdict(policy, interfaces, which, &packet, at(seconds), true);
            assert_eq!(tracked(found), tracked(expected), "audited {packet:?} +{seconds}s on {which}");
        }
    }
}

#[test]
fn tables_agree_with_a_reading_of_the_rules() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut policy = policy(&mut random);
        let mut interfaces: Vec<Interface> = (0..4).map(|_| interface(&mut random)).collect();
        let mut state = make::first(&policy, &interfaces);
        compare(&mut random, &state, &interfaces);
        for _ in 0..3 {
            let name = *random.pick(&GROUPS);
            policy.groups.insert(name.to_owned(), group(&mut random, name));
            interfaces[random.below(4) as usize] = interface(&mut random);
            state = apply(&state, &policy, &interfaces).1;
            compare(&mut random, &state, &interfaces);
            assert!(apply(&state, &policy, &interfaces).0.is_empty());
        }
    }
}
