//! Random packets near the edges of a policy.

use std::{net::IpAddr, time::SystemTime};

use fastrand::Rng;
use ipnet::IpNet;
use sg_agent::policy::{
    Policy,
    model::{Direction, Interface, Match, Remote, Role, Rule},
};

use super::{
    one_in, one_of,
    policy::{address, address_of},
};
use crate::{
    oracle::{Question, Service},
    packets::{Ethernet, Ip, Mac, Transport, flag, protocol},
};

/// A packet that opens a connection, as the oracle and as the program sees it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Place of its interface in the policy.
    pub interface: usize,
    /// For the oracle.
    pub question: Question,
    /// For the program.
    pub frame: Vec<u8>,
    /// Whether the device transmits it.
    pub transmit: bool,
}

/// A packet on one of the policy's interfaces. Only such packets are made as the rules alone decide about: from and to
/// ordinary addresses, nothing that is infrastructure, an answer, or an ICMP error.
///
/// # Panics
/// If the policy has no interfaces.
pub fn packet(random: &mut Rng, policy: &Policy) -> Probe {
    let place = random.usize(..policy.interfaces.len());
    let interface = &policy.interfaces[place];
    let direction = one_of(random, &[Direction::Ingress, Direction::Egress]);
    let aim = aim(random, policy, interface, direction);
    let remote = loop {
        let remote = remote(random, policy, aim);
        if is_ordinary(remote) && !interface.addresses.contains(&remote) {
            break remote;
        }
    };
    let service = service(random, aim, remote);
    let question = Question { direction, remote, service, now: SystemTime::now() };
    Probe {
        interface: place,
        frame: frame(random, interface, &question),
        transmit: (interface.role == Role::Guest) == (direction == Direction::Ingress),
        question,
    }
}

/// A rule to come near to: mostly one that applies here.
fn aim<'a>(random: &mut Rng, policy: &'a Policy, interface: &Interface, to: Direction) -> Option<&'a Rule> {
    let everywhere = one_in(random, 8);
    let groups = policy.groups.values();
    let rules: Vec<&Rule> = groups
        .filter(|group| everywhere || interface.groups.is_empty() || interface.groups.contains(&group.name))
        .flat_map(|group| &group.rules)
        .filter(|rule| everywhere || rule.direction == to)
        .collect();
    random.choice(rules).filter(|_| !one_in(random, 8))
}

fn remote(random: &mut Rng, policy: &Policy, aim: Option<&Rule>) -> IpAddr {
    let near = |random: &mut Rng, prefixes: &[IpNet]| match random.choice(prefixes) {
        Some(prefix) => edge(random, *prefix),
        None => address(random),
    };
    match aim.map(|rule| (&rule.remote, rule.families)) {
        _ if one_in(random, 10) => neighbour(random, policy),
        None => address(random),
        Some((Remote::Any, families)) => {
            let v4 = if families[0] && families[1] { random.bool() } else { families[0] };
            address_of(random, v4)
        }
        Some((Remote::Prefix(prefix), _)) => edge(random, *prefix),
        Some((Remote::AddressGroup(name), _)) => near(random, &policy.address_groups[name].prefixes),
        Some((Remote::Group(_), _)) if random.bool() => neighbour(random, policy),
        Some((Remote::Group(name), _)) => near(random, &policy.groups[name].members),
    }
}

/// An address of some interface.
fn neighbour(random: &mut Rng, policy: &Policy) -> IpAddr {
    let every: Vec<IpAddr> =
        policy.interfaces.iter().flat_map(|interface| interface.addresses.clone()).collect();
    random.choice(every).unwrap_or_else(|| address(random))
}

/// The first or last address of a prefix, the one before or after, or one inside.
fn edge(random: &mut Rng, prefix: IpNet) -> IpAddr {
    let (first, last) = match prefix {
        IpNet::V4(net) => (u128::from(net.network().to_bits()), u128::from(net.broadcast().to_bits())),
        IpNet::V6(net) => (net.network().to_bits(), net.broadcast().to_bits()),
    };
    let bits = match random.u8(..5) {
        0 => first,
        1 => last,
        2 => first.wrapping_sub(1),
        3 => last.wrapping_add(1),
        _ => random.u128(first..=last),
    };
    match prefix {
        IpNet::V4(_) => IpAddr::from((bits as u32).to_be_bytes()),
        IpNet::V6(_) => IpAddr::from(bits.to_be_bytes()),
    }
}

/// Neither multicast, loopback, link-local, mapped, nor in the networks of nobody.
fn is_ordinary(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first != 0 && first < 224 && !address.is_loopback() && !address.is_link_local()
        }
        IpAddr::V6(address) => {
            let segments = address.segments();
            !address.is_multicast() && segments[0] & 0xffc0 != 0xfe80 && segments[..4] != [0; 4]
        }
    }
}

fn service(random: &mut Rng, aim: Option<&Rule>, remote: IpAddr) -> Service {
    let wanted = aim.map_or(&Match::All, |rule| &rule.matches);
    let service = match wanted {
        Match::Ports(protocol, ranges) => {
            let range = one_of(random, ranges);
            let edges =
                [range.first, range.last, range.first.saturating_sub(1), range.last.saturating_add(1)];
            Service::Ports { protocol: *protocol, destination: one_of(random, &edges) }
        }
        Match::Icmp { protocol, kind, code } => {
            let code = if random.bool() { code.unwrap_or(0) } else { random.u8(..4) };
            Service::Icmp { protocol: *protocol, kind: *kind, code }
        }
        Match::Protocol(protocol) if random.bool() => of_protocol(random, *protocol, remote),
        Match::Protocol(_) | Match::All => {
            let protocol = one_of(random, &[6, 6, 17, 17, 132, 1, 58, 47, 50, 51, 4, 41, 254]);
            of_protocol(random, protocol, remote)
        }
    };
    let service = fitted(random, service, remote);
    if one_in(random, 20) { Service::LaterFragment(carried(service.protocol(), remote)) } else { service }
}

fn of_protocol(random: &mut Rng, number: u8, remote: IpAddr) -> Service {
    match number {
        6 | 17 | 132 => {
            let destination = one_of(random, &[0, 1, 22, 25, 80, 443, 465, 587, 8050, 65_535]);
            Service::Ports { protocol: number, destination }
        }
        1 if remote.is_ipv4() => icmp(random, 1, &[8, 13, 15, 17, 30]),
        58 if !remote.is_ipv4() => icmp(random, 58, &[128, 139, 200]),
        _ => Service::Other(number),
    }
}

fn icmp(random: &mut Rng, protocol: u8, kinds: &[u8]) -> Service {
    Service::Icmp { protocol, kind: one_of(random, kinds), code: random.u8(..3) }
}

/// The service, or one like it that exists in the family of `remote`.
fn fitted(random: &mut Rng, service: Service, remote: IpAddr) -> Service {
    let (own, other) = if remote.is_ipv4() { (1, 58) } else { (58, 1) };
    match service {
        Service::Icmp { protocol, .. } if protocol == other => of_protocol(random, own, remote),
        Service::Other(number) => Service::Other(carried(number, remote)),
        service => service,
    }
}

/// Protocols that are something else to the family (extension headers; IGMP, which is infrastructure) become another.
fn carried(number: u8, remote: IpAddr) -> u8 {
    match number {
        2 => 3,
        0 | 43 | 44 | 59 | 60 | 135 | 139 | 140 if !remote.is_ipv4() => 200,
        number => number,
    }
}

fn frame(random: &mut Rng, interface: &Interface, question: &Question) -> Vec<u8> {
    let remote = question.remote;
    let like = |address: &&IpAddr| address.is_ipv4() == remote.is_ipv4();
    let own: Vec<IpAddr> = interface.addresses.iter().filter(like).copied().collect();
    let nowhere = if remote.is_ipv4() { IpAddr::from([10, 250, 0, 1]) } else { IpAddr::from([0xfd; 16]) };
    let local = random.choice(own).unwrap_or(nowhere);
    let (own_mac, other_mac) = (interface.mac.map_or(Mac([2; 6]), Mac), Mac([2, 0xee, 0, 0, 0, 1]));
    let (ethernet, ip) = match question.direction {
        Direction::Ingress => (Ethernet::new(other_mac, own_mac), Ip::new(remote, local)),
        Direction::Egress => (Ethernet::new(own_mac, other_mac), Ip::new(local, remote)),
    };
    match question.service {
        Service::LaterFragment(protocol) => {
            let ip = Ip { id: random.u32(..), ..ip };
            ethernet.frame(ip.ethertype(), &ip.fragment(protocol, 1480, random.bool(), &[0x5a; 24]))
        }
        service => ethernet.ip(&ip, &transport(random, service)),
    }
}

fn transport(random: &mut Rng, service: Service) -> Transport {
    let source = random.u16(32_768..);
    match service {
        Service::Ports { protocol: protocol::TCP, destination } => {
            Transport::tcp(source, destination, flag::SYN)
        }
        Service::Ports { protocol: protocol::UDP, destination } => Transport::udp(source, destination),
        Service::Ports { destination, .. } => Transport::sctp(source, destination),
        Service::Icmp { protocol: protocol::ICMP, kind, code } => {
            Transport::icmp(kind, code, random.u32(..).to_be_bytes()).payload(&[0; 24])
        }
        Service::Icmp { kind, code, .. } => {
            Transport::icmpv6(kind, code, random.u32(..).to_be_bytes()).payload(&[0; 24])
        }
        Service::Other(number) | Service::LaterFragment(number) => Transport::raw(number, &[0; 40]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        oracle::{By, Oracle},
        random::{Shape, policy, seed},
    };

    /// Packets that always get the same answer prove nothing.
    #[test]
    fn packets_reach_every_kind_of_answer() {
        let seed = seed();
        let mut random = Rng::with_seed(seed);
        let devices = vec![("g1".to_owned(), true), ("g2".to_owned(), true), ("n1".to_owned(), false)];
        let mut answers: BTreeMap<(&str, bool), u32> = BTreeMap::new();
        for _ in 0..60 {
            let shape = Shape { devices: devices.clone(), groups: 4, rules: 20 };
            let policy = crate::oracle::policy(&policy(&mut random, &shape));
            for _ in 0..200 {
                let probe = packet(&mut random, &policy);
                let answer = Oracle::new(&policy).judge(&policy.interfaces[probe.interface], &probe.question);
                let by = match answer.by {
                    By::Rule { .. } => "rule",
                    By::Default => "default",
                    By::NoPolicy => "no policy",
                    By::Exempt => "exempt",
                    By::Smtp => "mail",
                };
                *answers.entry((by, answer.allowed)).or_default() += 1;
            }
        }
        assert_eq!(answers.len(), 7, "SG_SEED={seed}: {answers:?}");
        assert!(
            answers[&("rule", true)] > 1000 && answers[&("rule", false)] > 1000,
            "SG_SEED={seed}: {answers:?}"
        );
    }
}
