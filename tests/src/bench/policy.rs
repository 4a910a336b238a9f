//! Policies of any number of rules, and draws of packets that they allow or deny.
//!
//! The first rule allows port 443 from everywhere: the flows of the bench. The others are each from the prefix of a
//! block (10.b.b.0/26, 2001:db8:b:b::/64; every other one is left out) to eight ports; four rules share a block.

use std::fmt::Write as _;

use sg_bench_ebpf::draw::Draw;

use super::object::Family;

/// The port that rule 0 allows.
pub const FLOW_PORT: u16 = 443;
const BASE: [u64; 2] = [0x0a00_0000, 0x2001_0db8_0000_0000];
/// Bits of a host in its block, and of its part of the address that is drawn.
const HOST_BITS: [u32; 2] = [6, 0];
const HOST_MASK: [u32; 2] = [63, 0xffff];
const RULES_PER_BLOCK: usize = 4;
const FIRST_PORT: u16 = 1024;
const PORTS: u16 = 8;
/// Ports between those of the rules of a block.
const PORTS_OF_A_RULE: u16 = 1024 * PORTS;
/// Above all of them.
const NO_RULES_PORT: u16 = 40_000;

/// What the policy consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rules for TCP, half IPv4, half IPv6.
    Tcp,
    /// Rules for UDP, IPv4 only.
    UdpV4,
    /// Prefixes of one list, half IPv4, half IPv6, which one rule names.
    Prefixes,
    /// Members of one group, half IPv4, half IPv6, which one rule names: every other address (network) of a range.
    Members,
}

impl Kind {
    /// Bits of a host in its block.
    const fn host_bits(self, family: Family) -> u32 {
        match self {
            Self::Members => 0,
            _ => HOST_BITS[family as usize],
        }
    }

    const fn rules_per_block(self) -> usize {
        match self {
            Self::Tcp | Self::UdpV4 => RULES_PER_BLOCK,
            Self::Prefixes | Self::Members => 1,
        }
    }
}

/// A policy.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How many rules (prefixes, members), with the first rule.
    pub rules: usize,
    /// Which.
    pub kind: Kind,
}

/// A rule from a prefix; `first` and `last` are its ports.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The prefix.
    pub remote: String,
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl Policy {
    /// The policy file that binds it to `device` of a host, judged by XDP.
    pub fn text(&self, device: &str) -> String {
        self.text_by(device, "xdp-native")
    }

    /// The same with another `rx_hook`.
    pub fn text_by(&self, device: &str, rx_hook: &str) -> String {
        let conntrack = format!("  conntrack: {{max_entries: {ENTRIES}, max_per_interface: {ENTRIES}}}\n");
        self.text_with(device, rx_hook, &conntrack)
    }

    /// The same with these settings beside those that the policy needs.
    pub fn text_with(&self, device: &str, rx_hook: &str, settings: &str) -> String {
        let protocol = self.protocol();
        let mut text = format!(
            "version: 1
settings:
  quotas: {{rules_per_group: {}}}
  limits: {{policy_bytes: {POLICY_BYTES}}}
{settings}interfaces:
  - {{name: {device}, role: host, groups: [bench], rx_hook: {rx_hook}}}
{}security_groups:
{}  bench:
    rules:
      - {{direction: ingress, protocol: {protocol}, ports: {FLOW_PORT}}}
",
            self.rules,
            self.prefixes(),
            self.members(),
        );
        match self.kind {
            Kind::Tcp | Kind::UdpV4 => self.write_rules(&mut text),
            Kind::Prefixes => {
                let _ = writeln!(text, "      - {{{ONE_RULE}, remote: \"address-group:list\"}}");
            }
            Kind::Members => {
                let _ = writeln!(text, "      - {{{ONE_RULE}, remote: \"group:peers\"}}");
            }
        }
        text
    }

    fn write_rules(&self, text: &mut String) {
        let protocol = self.protocol();
        for Rule { remote, first, last } in self.prefix_rules() {
            let _ = writeln!(
                text,
                "      - {{direction: ingress, protocol: {protocol}, ports: {first}-{last}, remote: \"{remote}\"}}"
            );
        }
    }

    /// The list that the rule names.
    fn prefixes(&self) -> String {
        match self.kind {
            Kind::Prefixes => {
                format!("address_groups:\n  list: {{addresses: [{}]}}\n", self.remotes())
            }
            _ => String::new(),
        }
    }

    /// The group that the rule names.
    fn members(&self) -> String {
        match self.kind {
            Kind::Members => format!("  peers: {{members: [{}]}}\n", self.remotes()),
            _ => String::new(),
        }
    }

    fn remotes(&self) -> String {
        let quoted: Vec<String> = self.prefix_rules().map(|rule| format!("\"{}\"", rule.remote)).collect();
        quoted.join(", ")
    }

    /// Its protocol.
    pub const fn protocol(&self) -> &'static str {
        match self.kind {
            Kind::UdpV4 => "udp",
            Kind::Tcp | Kind::Prefixes | Kind::Members => "tcp",
        }
    }

    /// All rules (prefixes, members) but the first rule.
    pub fn prefix_rules(&self) -> impl Iterator<Item = Rule> {
        let kind = self.kind;
        (0..self.rules - 1).map(move |number| {
            let (family, number) = match kind {
                Kind::UdpV4 => (Family::V4, number),
                _ if number % 2 == 0 => (Family::V4, number / 2),
                _ => (Family::V6, number / 2),
            };
            let first = first_port(number);
            Rule {
                remote: kind.remote(family, number / kind.rules_per_block()),
                first,
                last: first + PORTS - 1,
            }
        })
    }

    /// Blocks that the rules of a family name.
    fn blocks(&self, family: Family) -> u32 {
        let prefix_rules = self.rules - 1;
        let of_family = match (self.kind, family) {
            (Kind::UdpV4, Family::V4) => prefix_rules,
            (Kind::UdpV4, Family::V6) => 0,
            (_, Family::V4) => prefix_rules.div_ceil(2),
            (_, Family::V6) => prefix_rules / 2,
        };
        of_family.div_ceil(self.kind.rules_per_block()) as u32
    }

    /// Packets that no rule allows: from within and between the rules' prefixes, to ports above theirs.
    pub fn denied(&self, family: Family) -> Draw {
        Draw {
            blocks: 2 * self.blocks(family),
            shift: self.kind.host_bits(family),
            port: NO_RULES_PORT,
            port_mask: 0xff,
            ..random(self.kind, family)
        }
    }

    /// Packets that open connections, each allowed by the first rule of some block.
    pub fn allowed(&self, family: Family) -> Draw {
        Draw {
            blocks: self.blocks(family),
            shift: self.kind.host_bits(family) + 1,
            port: FIRST_PORT,
            port_step: if self.kind.rules_per_block() == 1 { 0 } else { PORTS },
            port_mask: PORTS - 1,
            ..random(self.kind, family)
        }
    }
}

/// Connections that the tables have room for.
pub const ENTRIES: u32 = 262_144;
/// Room for 100,000 rules.
const POLICY_BYTES: u64 = 256 << 20;

/// The rule that names a list or a group.
const ONE_RULE: &str = "direction: ingress, protocol: tcp, ports: 1024-1031";

impl Kind {
    /// What the rules of a block name.
    fn remote(self, family: Family, block: usize) -> String {
        let at = BASE[family as usize] + ((2 * block as u64) << self.host_bits(family));
        match (family, self) {
            (Family::V4, Self::Members) => std::net::Ipv4Addr::from(at as u32).to_string(),
            (Family::V4, _) => format!("{}/26", std::net::Ipv4Addr::from(at as u32)),
            (Family::V6, Self::Members) => std::net::Ipv6Addr::from(u128::from(at) << 64 | 1).to_string(),
            (Family::V6, _) => format!("{}/64", std::net::Ipv6Addr::from(u128::from(at) << 64)),
        }
    }
}

fn first_port(number: usize) -> u16 {
    let (block, of_block) = (number / RULES_PER_BLOCK, (number % RULES_PER_BLOCK) as u16);
    FIRST_PORT + of_block * PORTS_OF_A_RULE + (block as u16 & 1023) * PORTS
}

fn random(kind: Kind, family: Family) -> Draw {
    Draw {
        base: BASE[family as usize],
        host_mask: if kind == Kind::Members { 0 } else { HOST_MASK[family as usize] },
        source_port_mask: 0xffff,
        ..Draw::default()
    }
}

/// Packets of the first `count` flows, all to [`FLOW_PORT`], each from a host (IPv6: a network) of its own.
pub fn flows(family: Family, count: u32) -> Draw {
    Draw {
        base: BASE[family as usize],
        blocks: count,
        source_port: 40_000,
        port: FLOW_PORT,
        ..Draw::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    #[test]
    fn every_number_of_rules_is_a_policy() {
        for (rules, kind) in [(1, Kind::Tcp), (2, Kind::Tcp), (10, Kind::UdpV4), (5_000, Kind::Tcp)] {
            let policy = oracle::policy(&Policy { rules, kind }.text("nic"));
            assert_eq!(policy.groups.values().map(|group| group.rules.len()).sum::<usize>(), rules);
        }
    }

    #[test]
    fn lists_and_groups_are_as_long_as_they_should_be() {
        let policy = |kind| oracle::policy(&Policy { rules: 1_001, kind }.text("nic"));
        assert_eq!(policy(Kind::Prefixes).address_groups["list"].prefixes.len(), 1_000);
        assert_eq!(policy(Kind::Members).groups["peers"].members.len(), 1_000);
        let draw = Policy { rules: 1_001, kind: Kind::Members }.allowed(Family::V4);
        assert_eq!(draw.tuple(3, u32::MAX, true).source, 0x0a00_0006);
        assert_eq!(Kind::Members.remote(Family::V4, 3), "10.0.0.6");
    }

    #[test]
    fn blocks_are_those_that_rules_name() {
        let blocks = |rules, kind| Family::ALL.map(|family| Policy { rules, kind }.blocks(family));
        assert_eq!(blocks(10, Kind::Tcp), [2, 1]);
        assert_eq!(blocks(5_000, Kind::Tcp), [625, 625]);
        assert_eq!(blocks(5_000, Kind::UdpV4), [1_250, 0]);
    }

    #[test]
    fn allowed_packets_are_of_a_rule() {
        let draw = Policy { rules: 100, kind: Kind::Tcp }.allowed(Family::V4);
        let tuple = draw.tuple(3, u32::MAX, true);
        assert_eq!(Kind::Tcp.remote(Family::V4, 3), "10.0.1.128/26");
        assert_eq!(tuple.source, 0x0a00_01bf);
        assert_eq!(tuple.port, first_port(3 * RULES_PER_BLOCK) + 7);
    }
}
