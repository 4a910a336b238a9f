//! Random policy files. Addresses and ports come from a small world, so that rules overlap, contain and touch each other.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use fastrand::Rng;
use ipnet::IpNet;

use super::{one_in, one_of};

/// What a policy is for.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Devices that it binds: name, and whether it is a guest's.
    pub devices: Vec<(String, bool)>,
    /// Largest number of groups.
    pub groups: usize,
    /// Largest number of rules in a group.
    pub rules: usize,
}

/// A policy file that validation accepts.
pub fn policy(random: &mut Rng, shape: &Shape) -> String {
    let world = World::new(random, shape);
    let mut text = String::from("version: 1\nsettings: {quotas: {groups: 1000, rules_per_group: 10000}}\n");
    if !world.address_groups.is_empty() {
        text.push_str("address_groups:\n");
    }
    for name in &world.address_groups {
        let prefixes: Vec<String> = (0..random.usize(..6)).map(|_| quoted(prefix(random))).collect();
        line(&mut text, &format!("  {name}: {{addresses: [{}]}}", prefixes.join(", ")));
    }
    text.push_str("security_groups:\n");
    for name in &world.groups {
        group(&mut text, random, &world, name, shape.rules);
    }
    text.push_str("interfaces:\n");
    for (number, (device, guest)) in (1..).zip(&shape.devices) {
        interface(&mut text, random, &world, number, device, *guest);
    }
    text
}

/// The names that a policy uses.
struct World {
    groups: Vec<String>,
    address_groups: Vec<String>,
}

impl World {
    fn new(random: &mut Rng, shape: &Shape) -> Self {
        let groups = 1..=random.usize(1..=shape.groups.max(1));
        let mut groups: Vec<String> = groups.map(|number| format!("g{number}")).collect();
        if one_in(random, 2) {
            groups.push("default".to_owned());
        }
        let address_groups = (0..random.usize(..4)).map(|number| format!("list{number}")).collect();
        Self { groups, address_groups }
    }
}

fn group(text: &mut String, random: &mut Rng, world: &World, name: &str, rules: usize) {
    line(text, &format!("  {name}:"));
    let action = |random: &mut Rng| one_of(random, &["allow", "deny"]);
    let default = format!("{{ingress: {}, egress: {}}}", action(random), action(random));
    line(text, &format!("    default_policy: {default}"));
    line(text, &format!("    stateful: {}", !one_in(random, 4)));
    line(text, &format!("    allow_smtp: {}", one_in(random, 3)));
    line(text, &format!("    audit: {}", one_in(random, 12)));
    let members: Vec<String> = (0..random.usize(..5)).map(|_| quoted(member(random))).collect();
    line(text, &format!("    members: [{}]", members.join(", ")));
    let rules: Vec<String> = (0..random.usize(..=rules)).map(|_| rule(random, world)).collect();
    match rules.as_slice() {
        [] => line(text, "    rules: []"),
        rules => line(text, &format!("    rules:\n      - {}", rules.join("\n      - "))),
    }
}

fn interface(text: &mut String, random: &mut Rng, world: &World, number: u8, device: &str, guest: bool) {
    let role = if guest { "guest" } else { "host" };
    let count = random.usize(..=3.min(world.groups.len()));
    let groups: Vec<&str> =
        random.choose_multiple(&world.groups, count).into_iter().map(String::as_str).collect();
    let mut fields = vec![format!("name: {device}, role: {role}, groups: [{}]", groups.join(", "))];
    if !one_in(random, 4) {
        fields.push(format!("addresses: [10.1.0.{number}, 10.1.1.{number}, \"fd00:1::{number}\"]"));
    }
    if one_in(random, 3) {
        fields.push("zone: blue".to_owned());
    }
    if one_in(random, 4) {
        fields.push(format!("exempt: [{}]", quoted(narrow(random))));
    }
    if guest && one_in(random, 2) {
        fields.push(format!("mac: \"02:00:00:00:00:{number:02x}\""));
    }
    line(text, &format!("  - {{{}}}", fields.join(", ")));
}

fn rule(random: &mut Rng, world: &World) -> String {
    let direction = one_of(random, &["ingress", "egress"]);
    let mut fields = vec![format!("direction: {direction}")];
    let (matches, family) = protocol(random);
    fields.extend(matches);
    let (remote, family) = remote(random, world, family);
    fields.extend(remote);
    if let Some(family) = family
        && one_in(random, 4)
    {
        fields.push(format!("ethertype: {}", if family { "ipv4" } else { "ipv6" }));
    }
    if one_in(random, 3) {
        fields.push("action: deny".to_owned());
    }
    fields.push(format!("priority: {}", one_of(random, &[1, 1, 1, 2, 3, 10, 99, 100])));
    match random.u8(..16) {
        0 => fields.push("expires: 2020-01-01T00:00:00Z".to_owned()),
        1 => fields.push("expires: 2099-01-01T00:00:00Z".to_owned()),
        _ => {}
    }
    format!("{{{}}}", fields.join(", "))
}

/// Fields for protocol and ports; whether that leaves IPv4 only (`true`) or IPv6 only (`false`).
fn protocol(random: &mut Rng) -> (Vec<String>, Option<bool>) {
    let named = |name: &str| vec![format!("protocol: {name}")];
    match random.u8(..12) {
        0 => (Vec::new(), None),
        1 => (named("all"), None),
        2 => (named(&random.u8(2..58).to_string()), None),
        3 => (named(one_of(random, &["gre", "esp", "ah", "200", "255", "0"])), None),
        4 => (icmp(random, "icmp", &[8, 13, 15, 17, 30]), Some(true)),
        5 => (icmp(random, "icmpv6", &[128, 139, 200]), Some(false)),
        6 => (named(one_of(random, &["tcp", "udp", "sctp"])), None),
        _ => {
            let ranges: Vec<String> = (0..random.usize(1..=3)).map(|_| ports(random)).collect();
            let name = one_of(random, &["tcp", "tcp", "tcp", "udp", "udp", "sctp"]);
            (vec![format!("protocol: {name}, ports: [{}]", ranges.join(", "))], None)
        }
    }
}

fn icmp(random: &mut Rng, name: &str, kinds: &[u8]) -> Vec<String> {
    let mut fields = vec![format!("protocol: {name}")];
    let kind = one_of(random, kinds);
    match random.u8(..3) {
        0 => {}
        1 => fields.push(format!("icmp: {{type: {kind}}}")),
        _ => fields.push(format!("icmp: {{type: {kind}, code: {}}}", random.u8(..3))),
    }
    fields
}

/// A port or a range of ports.
fn ports(random: &mut Rng) -> String {
    const EDGES: [u16; 14] = [1, 2, 22, 25, 79, 80, 81, 443, 1023, 1024, 8000, 8100, 65_534, 65_535];
    let (a, b) = (one_of(random, &EDGES), one_of(random, &EDGES));
    match random.u8(..3) {
        0 => a.to_string(),
        1 => random.u16(1..).to_string(),
        _ => format!("{}-{}", a.min(b), a.max(b)),
    }
}

/// Field for the remote, and the family that is left.
fn remote(random: &mut Rng, world: &World, family: Option<bool>) -> (Option<String>, Option<bool>) {
    match random.u8(..8) {
        0 | 1 => (None, family),
        2 if !world.address_groups.is_empty() => {
            let name = one_of(random, &world.address_groups);
            (Some(format!("remote: \"address-group:{name}\"")), family)
        }
        3 | 4 => (Some(format!("remote: \"group:{}\"", one_of(random, &world.groups))), family),
        _ => {
            let v4 = family.unwrap_or_else(|| random.bool());
            (Some(format!("remote: {}", quoted(prefix_of(random, v4)))), Some(v4))
        }
    }
}

/// A prefix of either family.
fn prefix(random: &mut Rng) -> IpNet {
    let v4 = random.bool();
    prefix_of(random, v4)
}

fn prefix_of(random: &mut Rng, v4: bool) -> IpNet {
    const V4: [u8; 16] = [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 30, 31, 32, 32, 32];
    const V6: [u8; 16] = [0, 1, 7, 8, 16, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 128];
    let length = one_of(random, if v4 { &V4 } else { &V6 });
    IpNet::new(address_of(random, v4), length).expect("a length of its family").trunc()
}

/// A prefix that leaves most of the world outside.
fn narrow(random: &mut Rng) -> IpNet {
    let v4 = random.bool();
    let length = if v4 { 24 } else { 64 };
    IpNet::new(address_of(random, v4), length).expect("a length of its family").trunc()
}

/// Mostly one address, now and then a network.
fn member(random: &mut Rng) -> IpNet {
    if one_in(random, 3) { narrow(random) } else { IpNet::from(address(random)) }
}

/// An address of either family, from the small world.
pub(super) fn address(random: &mut Rng) -> IpAddr {
    let v4 = random.bool();
    address_of(random, v4)
}

/// Few bits are free, at every depth, so that random addresses meet in prefixes of every length.
pub(super) fn address_of(random: &mut Rng, v4: bool) -> IpAddr {
    if v4 {
        let free = u32::from_be_bytes([0, 3, 0x81, 0x83]);
        IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 | random.u32(..) & free))
    } else {
        let free = 0x0000_0001_0000_8001_8000_0001_8000_0003;
        IpAddr::from(Ipv6Addr::from_bits(0xfd00 << 112 | random.u128(..) & free))
    }
}

fn quoted(prefix: IpNet) -> String {
    format!("\"{prefix}\"")
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_policies_are_valid() {
        let seed = crate::random::seed();
        let mut random = Rng::with_seed(seed);
        let devices = (0..4).map(|number| (format!("d{number}"), number < 3)).collect();
        let shape = Shape { devices, groups: 6, rules: 30 };
        for _ in 0..200 {
            let text = policy(&mut random, &shape);
            let accepted = std::panic::catch_unwind(|| crate::oracle::policy(&text));
            assert!(accepted.is_ok(), "SG_SEED={seed}\n{text}");
        }
    }
}
