//! The packet that is asked about: nothing left open.

use std::net::IpAddr;

use crate::policy::{
    model::{Direction, Family},
    validate::protocol_name,
};

/// ICMP.
pub const ICMP: u8 = 1;
/// ICMPv6.
pub const ICMPV6: u8 = 58;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which way it goes.
    pub direction: Direction,
    /// IP protocol.
    pub protocol: u8,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Source MAC address.
    pub source_mac: [u8; 6],
    /// Destination MAC address.
    pub destination_mac: [u8; 6],
    /// Source and destination port of TCP, UDP and SCTP.
    pub ports: Option<[u16; 2]>,
    /// Type and code of ICMP and ICMPv6.
    pub icmp: Option<[u8; 2]>,
}

impl Packet {
    /// Its address family.
    pub fn family(&self) -> Family {
        family(self.source)
    }

    /// The protected side.
    pub fn local(&self) -> IpAddr {
        if self.direction == Direction::Egress { self.source } else { self.destination }
    }

    /// The other end.
    pub fn remote(&self) -> IpAddr {
        if self.direction == Direction::Egress { self.destination } else { self.source }
    }

    /// What it speaks: `tcp/80`, `icmp type 8`, `gre`.
    pub fn service(&self) -> String {
        let protocol = protocol_name(Some(self.protocol));
        match (self.ports, self.icmp) {
            (Some([_, port]), _) => format!("{protocol}/{port}"),
            (None, Some([kind, 0])) => format!("{protocol} type {kind}"),
            (None, Some([kind, code])) => format!("{protocol} type {kind} code {code}"),
            (None, None) if protocol.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("protocol {protocol}")
            }
            (None, None) => protocol,
        }
    }
}

/// The family of an address.
pub fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

/// The family as people write it.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// Whether the protocol is ICMP or ICMPv6.
pub fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMPV6)
}
