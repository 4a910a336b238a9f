//! The bytes of a packet.

use crate::{
    model::{Content, Packet, Part, Quoted},
    packets::{Ethernet, Ip, Mac, Transport, protocol, query},
};

/// Where a quoted later fragment starts.
const OFFSET: usize = 1480;

/// The frame of a packet.
pub fn frame(packet: &Packet) -> Vec<u8> {
    let ethernet = Ethernet::new(packet.mac, Mac([2, 0xee, 0, 0, 0, 1]));
    let mut ip = Ip::new(packet.source, packet.destination);
    let transport = transport(&packet.content, packet.source.is_ipv4());
    if matches!(packet.content, Content::Icmp { .. } | Content::Neighbour { .. }) {
        // Neighbour discovery that crossed a router is not accepted.
        ip.ttl = 255;
    }
    let datagram = match packet.part {
        Part::Whole => ip.carry(&transport),
        Part::First(id) => {
            let (span, _) = packet.part.span();
            Ip { id, ..ip }.fragments(&transport.payload(&[0x5a; 1600]), span.len()).swap_remove(0)
        }
        Part::Later(id) | Part::Middle(id) | Part::End(id) | Part::Piece(id, ..) => {
            let (span, is_last) = packet.part.span();
            let bytes = vec![0x5a; span.len()];
            Ip { id, ..ip }.fragment(packet.protocol(), span.start, !is_last, &bytes)
        }
    };
    ethernet.datagram(&datagram)
}

fn transport(content: &Content, v4: bool) -> Transport {
    let message = |kind, code, rest| {
        if v4 { Transport::icmp(kind, code, rest) } else { Transport::icmpv6(kind, code, rest) }
    };
    match content {
        Content::Tcp { source, destination, flags } => Transport::tcp(*source, *destination, *flags),
        Content::Ports { protocol: protocol::UDP, source, destination } => {
            Transport::udp(*source, *destination)
        }
        Content::Ports { source, destination, .. } => Transport::sctp(*source, *destination),
        Content::Icmp { kind, code, id } => {
            // Router solicitations and advertisements end where their options would begin.
            let length = match kind {
                133 if !v4 => 0,
                134 if !v4 => 8,
                _ => 32,
            };
            message(*kind, *code, query(*id)).payload(&vec![0; length])
        }
        Content::Error { kind, code, quoted } => message(*kind, *code, [0; 4]).payload(&quote(quoted)),
        Content::Neighbour { kind, target } => match target {
            std::net::IpAddr::V6(target) => Transport::neighbour(*kind, target.octets()),
            std::net::IpAddr::V4(_) => panic!("neighbour discovery is about IPv6 addresses"),
        },
        Content::Other(number) => Transport::raw(*number, &[0; 40]),
    }
}

fn quote(quoted: &Quoted) -> Vec<u8> {
    let v4 = quoted.source.is_ipv4();
    let (ip, transport) = (Ip::new(quoted.source, quoted.destination), transport(&quoted.content, v4));
    if quoted.is_later {
        ip.fragment(transport.protocol, OFFSET, false, &[0x5a; 24])
    } else {
        ip.carry(&transport)
    }
}
