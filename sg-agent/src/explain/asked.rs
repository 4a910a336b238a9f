//! The question as it was put: what is left open is filled in from the interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{self, Packet};
use crate::{
    observe::connection::has_ports,
    policy::{
        model::{Direction, Family, Interface},
        validate::protocol_name,
    },
};

/// Local IPv4 address where the interface has none (RFC 5737).
pub const NO_LOCAL_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Local IPv6 address where the interface has none (RFC 3849).
pub const NO_LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Source port where none is asked for: the first that is not assigned (RFC 6335).
pub const SOURCE_PORT: u16 = 49_152;
/// MAC address of a side that is not known.
const NO_MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which way the packet goes.
    pub direction: Direction,
    /// IP protocol.
    pub protocol: u8,
    /// The other end.
    pub remote: IpAddr,
    /// The protected side; `None` = the interface's first address.
    pub local: Option<IpAddr>,
    /// Destination port.
    pub port: Option<u16>,
    /// Source port.
    pub source_port: Option<u16>,
    /// ICMP type; `None` = echo request.
    pub icmp_type: Option<u8>,
    /// ICMP code; `None` = 0.
    pub icmp_code: Option<u8>,
}

/// A question that no packet answers to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// The ends are of different families.
    #[error("--local {local} and --remote {remote} are not of one address family")]
    Families {
        /// The protected side.
        local: IpAddr,
        /// The other end.
        remote: IpAddr,
    },
    /// ICMP of the other family.
    #[error("{written} is not spoken over {family}; did you mean `--protocol {other}`?")]
    Icmp {
        /// The protocol asked for.
        written: &'static str,
        /// Family of the ends.
        family: &'static str,
        /// The one that the family has.
        other: &'static str,
    },
    /// An IPv6 extension header as protocol.
    #[error("protocol {0} is an extension header over IPv6, not something a packet carries")]
    ExtensionHeader(u8),
    /// No destination port.
    #[error("a {0} packet goes to a port: add `--port N`, of the side that receives it")]
    NoPort(String),
    /// A port where there is none.
    #[error("{option} with protocol {protocol}: only tcp, udp and sctp have ports")]
    Port {
        /// The option.
        option: &'static str,
        /// The protocol.
        protocol: String,
    },
    /// A type where there is none.
    #[error("{option} with protocol {protocol}: only icmp and icmpv6 have types")]
    IcmpType {
        /// The option.
        option: &'static str,
        /// The protocol.
        protocol: String,
    },
}

impl Asked {
    /// The packet that is meant, on the interface `spec`.
    pub fn packet(&self, spec: &Interface) -> Result<Packet, Incomplete> {
        let family = packet::family(self.remote);
        self.check(family)?;
        let local = self.local.unwrap_or_else(|| local(spec, family));
        if packet::family(local) != family {
            return Err(Incomplete::Families { local, remote: self.remote });
        }
        let macs = [mac(spec, local), NO_MAC[1]];
        let ends = [local, self.remote];
        let [from, to] = if self.direction == Direction::Egress { [0, 1] } else { [1, 0] };
        let is_icmp = packet::is_icmp(self.protocol);
        let echo = if self.protocol == packet::ICMP { 8 } else { 128 };
        Ok(Packet {
            direction: self.direction,
            protocol: self.protocol,
            source: ends[from],
            destination: ends[to],
            source_mac: macs[from],
            destination_mac: macs[to],
            ports: self.port.map(|port| [self.source_port.unwrap_or(SOURCE_PORT), port]),
            icmp: is_icmp.then(|| [self.icmp_type.unwrap_or(echo), self.icmp_code.unwrap_or(0)]),
        })
    }

    fn check(&self, family: Family) -> Result<(), Incomplete> {
        let protocol = || protocol_name(Some(self.protocol));
        match (self.protocol, family) {
            (packet::ICMP, Family::Ipv6) => {
                return Err(Incomplete::Icmp { written: "icmp", family: "IPv6", other: "icmpv6" });
            }
            (packet::ICMPV6, Family::Ipv4) => {
                return Err(Incomplete::Icmp { written: "icmpv6", family: "IPv4", other: "icmp" });
            }
            (number @ (0 | 43 | 44 | 60), Family::Ipv6) => return Err(Incomplete::ExtensionHeader(number)),
            _ => {}
        }
        let ports = [("--port", self.port), ("--source-port", self.source_port)];
        if !has_ports(self.protocol)
            && let Some((option, _)) = ports.into_iter().find(|(_, port)| port.is_some())
        {
            return Err(Incomplete::Port { option, protocol: protocol() });
        }
        if has_ports(self.protocol) && self.port.is_none() {
            return Err(Incomplete::NoPort(protocol()));
        }
        let types = [("--icmp-type", self.icmp_type), ("--icmp-code", self.icmp_code)];
        match types.into_iter().find(|(_, value)| value.is_some()) {
            Some((option, _)) if !packet::is_icmp(self.protocol) => {
                Err(Incomplete::IcmpType { option, protocol: protocol() })
            }
            _ => Ok(()),
        }
    }
}

/// The first address of the interface, else the first allowed pair's, else one that nobody has.
fn local(spec: &Interface, family: Family) -> IpAddr {
    let pairs = spec.allowed_address_pairs.iter().map(|pair| pair.prefix.addr());
    let own = spec.addresses.iter().copied().chain(pairs).find(|address| packet::family(*address) == family);
    own.unwrap_or(match family {
        Family::Ipv4 => NO_LOCAL_V4.into(),
        Family::Ipv6 => NO_LOCAL_V6.into(),
    })
}

/// The MAC address that goes with the local address.
fn mac(spec: &Interface, local: IpAddr) -> [u8; 6] {
    let is_own = spec.addresses.contains(&local);
    let pair = spec.allowed_address_pairs.iter().find(|pair| !is_own && pair.prefix.contains(&local));
    pair.and_then(|pair| pair.mac).or(spec.mac).unwrap_or(NO_MAC[0])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{compile::tests::make, policy::model::AddressPair};

    pub fn asked(direction: Direction, protocol: u8, remote: &str, port: Option<u16>) -> Asked {
        Asked {
            direction,
            protocol,
            remote: remote.parse().unwrap(),
            local: None,
            port,
            source_port: None,
            icmp_type: None,
            icmp_code: None,
        }
    }

    fn spec() -> Interface {
        let mut spec = make::interface(&["web"], &["10.0.0.5", "fd00::5"]);
        let mac = Some([2, 0, 0, 0, 0, 9]);
        spec.allowed_address_pairs = vec![AddressPair { prefix: "10.0.0.100/32".parse().unwrap(), mac }];
        spec
    }

    #[test]
    fn what_is_left_open_is_the_interfaces() {
        let packet = asked(Direction::Egress, 6, "2001:db8::9", Some(80)).packet(&spec()).unwrap();
        assert_eq!(packet.source, "fd00::5".parse::<IpAddr>().unwrap());
        assert_eq!((packet.source_mac, packet.ports), ([2, 0, 0, 0, 0, 1], Some([SOURCE_PORT, 80])));
        let packet = asked(Direction::Ingress, 1, "192.0.2.1", None).packet(&spec()).unwrap();
        assert_eq!((packet.destination.to_string().as_str(), packet.icmp), ("10.0.0.5", Some([8, 0])));
        assert_eq!(packet.destination_mac, [2, 0, 0, 0, 0, 1]);
        let bare = make::interface(&["web"], &[]);
        let packet = asked(Direction::Ingress, 47, "192.0.2.1", None).packet(&bare).unwrap();
        assert_eq!(packet.destination, IpAddr::from(NO_LOCAL_V4));
    }

    #[test]
    fn an_allowed_pair_goes_with_its_mac() {
        let local = Some("10.0.0.100".parse().unwrap());
        let asked = Asked { local, ..asked(Direction::Egress, 17, "192.0.2.1", Some(53)) };
        assert_eq!(asked.packet(&spec()).unwrap().source_mac, [2, 0, 0, 0, 0, 9]);
    }

    #[test]
    fn a_question_that_no_packet_answers_to_is_refused() {
        let fault = |asked: Asked| asked.packet(&spec()).unwrap_err().to_string();
        let tcp = asked(Direction::Ingress, 6, "192.0.2.1", Some(80));
        assert_eq!(
            fault(Asked { port: None, ..tcp.clone() }),
            "a tcp packet goes to a port: add `--port N`, of the side that receives it"
        );
        let mixed = Asked { local: Some("fd00::5".parse().unwrap()), ..tcp.clone() };
        assert!(fault(mixed).contains("not of one address family"));
        assert!(fault(Asked { icmp_type: Some(8), ..tcp.clone() }).contains("--icmp-type with protocol tcp"));
        assert!(fault(Asked { protocol: 47, ..tcp.clone() }).contains("--port with protocol gre"));
        let over_v6 = asked(Direction::Ingress, 1, "2001:db8::1", None);
        assert!(fault(over_v6.clone()).ends_with("did you mean `--protocol icmpv6`?"));
        assert!(fault(Asked { protocol: 44, ..over_v6 }).contains("extension header"));
    }
}
