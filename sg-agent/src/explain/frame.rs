//! The packet as bytes: Ethernet, IPv4 or IPv6, and a transport header with true lengths and checksums.

use std::net::{IpAddr, Ipv6Addr};

use super::packet::{ICMPV6, Packet};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
/// Neighbour discovery (RFC 4861): valid with this hop limit only.
const DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;
const DISCOVERY_HOPS: u8 = 255;
const HOPS: u8 = 64;
/// Identifier of ICMP queries.
const IDENTIFIER: [u8; 2] = [0x53, 0x47];

/// The frame.
pub fn frame(packet: &Packet) -> Vec<u8> {
    let payload = with_checksum(packet, transport(packet));
    let is_discovery =
        packet.protocol == ICMPV6 && packet.icmp.is_some_and(|icmp| DISCOVERY.contains(&icmp[0]));
    let hops = if is_discovery { DISCOVERY_HOPS } else { HOPS };
    let length = payload.len() as u16;
    let (ethertype, header): ([u8; 2], Vec<u8>) = match (packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [high, low] = (20 + length).to_be_bytes();
            let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, hops, packet.protocol, 0, 0];
            header.extend(from.octets().into_iter().chain(to.octets()));
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
            ([0x08, 0x00], header)
        }
        (from, to) => {
            let [high, low] = length.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, high, low, packet.protocol, hops];
            header.extend(v6(from).octets().into_iter().chain(v6(to).octets()));
            ([0x86, 0xdd], header)
        }
    };
    [&packet.destination_mac[..], &packet.source_mac, &ethertype, &header, &payload].concat()
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => address.to_ipv6_mapped(),
    }
}

/// The transport header with a checksum of 0: a SYN for TCP, an empty datagram for UDP.
fn transport(packet: &Packet) -> Vec<u8> {
    if let Some([kind, code]) = packet.icmp {
        return icmp(packet, kind, code);
    }
    let Some([from, to]) = packet.ports.map(|ports| ports.map(u16::to_be_bytes)) else { return vec![0; 8] };
    let rest: &[u8] = match packet.protocol {
        // Sequence number 1, no acknowledgement, five words, SYN, window 65,535.
        TCP => &[0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, 2, 0xff, 0xff, 0, 0, 0, 0],
        UDP => &[0, 8, 0, 0],
        // Verification tag and checksum 0, then an INIT chunk of 20 bytes (RFC 9260, 3.3.2).
        _ => &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1],
    };
    [&from[..], &to, rest].concat()
}

/// Identifier and sequence number 1; for neighbour discovery the fixed part, with the source as target of an
/// advertisement and the destination as target of a solicitation.
fn icmp(packet: &Packet, kind: u8, code: u8) -> Vec<u8> {
    const ROUTER_SOLICITATION: u8 = 133;
    const ROUTER_ADVERTISEMENT: u8 = 134;
    const SOLICITATION: u8 = 135;
    const ADVERTISEMENT: u8 = 136;
    const REDIRECT: u8 = 137;
    let head = [kind, code, 0, 0];
    if packet.protocol != ICMPV6 || !DISCOVERY.contains(&kind) {
        return [&head[..], &IDENTIFIER, &[0, 1]].concat();
    }
    let body = match kind {
        ROUTER_SOLICITATION => vec![0; 4],
        ROUTER_ADVERTISEMENT => vec![0; 12],
        SOLICITATION => [&[0; 4][..], &v6(packet.destination).octets()].concat(),
        ADVERTISEMENT => [&[0; 4][..], &v6(packet.source).octets()].concat(),
        REDIRECT => [&[0; 4][..], &v6(packet.source).octets(), &v6(packet.destination).octets()].concat(),
        _ => Vec::new(),
    };
    [&head[..], &body].concat()
}

/// Fills in the checksum: over the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1), for ICMP over the message only. SCTP
/// has another (RFC 9260, 6.8), which nobody on the way looks at.
fn with_checksum(packet: &Packet, mut payload: Vec<u8>) -> Vec<u8> {
    let at = match packet.protocol {
        TCP => 16,
        UDP => 6,
        SCTP => return payload,
        _ if packet.icmp.is_some() => 2,
        _ => return payload,
    };
    let length = (payload.len() as u32).to_be_bytes();
    let pseudo = match (packet.source, packet.destination) {
        (IpAddr::V4(_), _) if packet.icmp.is_some() => Vec::new(),
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            [&from.octets()[..], &to.octets(), &[0, packet.protocol], &length[2..]].concat()
        }
        (from, to) => {
            [&v6(from).octets()[..], &v6(to).octets(), &length, &[0, 0, 0, packet.protocol]].concat()
        }
    };
    let sum = checksum(&[pseudo, payload.clone()].concat());
    payload[at..at + 2].copy_from_slice(&sum);
    payload
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two.get(1).copied().unwrap_or(0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!(folded + (folded >> 16)) as u16).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use sg_common::verdict::Reason;
    use sg_ebpf::{
        packet::{self, Arp, Content},
        parse,
    };

    use super::*;
    use crate::{
        compile::tests::make,
        explain::asked::{Asked, tests::asked},
        policy::model::Direction,
    };

    fn parsed(asked: &Asked) -> (Vec<u8>, packet::Packet) {
        let spec = make::interface(&["web"], &["10.0.0.5", "fd00::5"]);
        let frame = frame(&asked.packet(&spec).unwrap());
        let mut packet = packet::Packet::default();
        let content: Result<Content, Reason> =
            parse::parse(&frame[..], true, &mut packet, &mut Arp::default());
        assert_eq!(content, Ok(Content::Ip));
        assert_eq!(packet.end as usize, frame.len(), "lengths are true");
        if parse::discovery::is_discovery(&packet) {
            let mut message = packet::Packet::default();
            assert_eq!(parse::discovery::read(&frame[..], 14 + 40, &packet, &mut message), Ok(()));
        }
        (frame, packet)
    }

    /// A checksum over what carries its own is 0.
    fn is_sound(bytes: &[u8]) -> bool {
        checksum(bytes) == [0, 0]
    }

    #[test]
    fn a_tcp_packet_is_a_syn() {
        let asked = Asked { source_port: Some(4000), ..asked(Direction::Egress, 6, "192.0.2.1", Some(443)) };
        let (frame, packet) = parsed(&asked);
        assert!(packet.flags.opens());
        assert_eq!((packet.src_port, packet.dst_port), (4000_u16.to_be_bytes(), 443_u16.to_be_bytes()));
        assert_eq!((packet.src.v4_octets(), packet.dst.v4_octets()), ([10, 0, 0, 5], [192, 0, 2, 1]));
        assert_eq!(packet.src_mac, [2, 0, 0, 0, 0, 1]);
        assert!(is_sound(&frame[14..34]));
        assert!(is_sound(&[&frame[26..34], &[0, 6, 0, 20], &frame[34..]].concat()));
    }

    #[test]
    fn an_ingress_packet_comes_from_the_remote() {
        let (frame, packet) = parsed(&asked(Direction::Ingress, 17, "2001:db8::9", Some(53)));
        assert_eq!(packet.src.0[15], 9);
        assert_eq!(packet.dst.0[..2], [0xfd, 0]);
        assert_eq!((packet.protocol, packet.dst_port), (17, [0, 53]));
        assert!(is_sound(&[&frame[22..54], &[0, 0, 0, 8, 0, 0, 0, 17], &frame[54..]].concat()));
    }

    #[test]
    fn icmp_has_type_and_code() {
        let v4 = Asked {
            icmp_type: Some(3),
            icmp_code: Some(4),
            ..asked(Direction::Ingress, 1, "192.0.2.1", None)
        };
        let (frame, packet) = parsed(&v4);
        assert_eq!(packet.dst_port, [3, 4]);
        assert!(is_sound(&frame[34..]));
        for kind in [1, 128, 129, 133, 134, 135, 136, 137, 143] {
            let asked = Asked { icmp_type: Some(kind), ..asked(Direction::Egress, 58, "2001:db8::9", None) };
            assert_eq!(parsed(&asked).1.dst_port, [kind, 0]);
        }
    }

    #[test]
    fn any_protocol_can_be_asked_about() {
        for protocol in 0..=255 {
            let ports = crate::observe::connection::has_ports(protocol).then_some(7);
            if protocol != 58 {
                let (_, packet) = parsed(&asked(Direction::Egress, protocol, "192.0.2.1", ports));
                assert_eq!(packet.protocol, protocol);
            }
            if !matches!(protocol, 0 | 1 | 43 | 44 | 60) {
                let (_, packet) = parsed(&asked(Direction::Egress, protocol, "2001:db8::9", ports));
                assert_eq!(packet.protocol, protocol);
            }
        }
    }
}
