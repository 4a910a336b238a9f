//! Random packets: new ones, and such as belong to a flow or nearly so.

use std::net::IpAddr;

use fastrand::Rng;
use sg_agent::policy::model::Direction;

use super::{
    MAC,
    generate::direction,
    policy::{DEVICES, PEERS, PORTS},
};
use crate::{
    model::{Content, Packet, Part, Quoted},
    packets::{
        Mac,
        flag::{ACK, FIN, PSH, RST, SYN},
        protocol,
    },
    random::{one_in, one_of},
};

/// A packet that mostly opens something.
pub(super) fn fresh(random: &mut Rng) -> Packet {
    let v4 = random.bool();
    let (interface, own4, own6) = one_of(random, &DEVICES);
    // Now and then a neighbour, who may be a member of a group.
    let (_, near4, near6) = one_of(random, &DEVICES);
    let (peer4, peer6) =
        if one_in(random, 8) && near4 != own4 { (near4, near6) } else { one_of(random, &PEERS) };
    let (local, remote) = if v4 { (address(own4), address(peer4)) } else { (address(own6), address(peer6)) };
    let direction = direction(random);
    let (source, destination) =
        if direction == Direction::Ingress { (remote, local) } else { (local, remote) };
    let packet = Packet {
        interface: interface.to_owned(),
        direction,
        mac: MAC,
        source,
        destination,
        part: Part::Whole,
        content: content(random, v4),
    };
    match random.u8(..32) {
        0..=2 => special(random, packet),
        3 | 4 => Packet { part: Part::First(random.u32(..6)), ..packet },
        5 | 6 => later(random, packet),
        _ => packet,
    }
}

/// A packet of the flow that `flow` opened, of the other direction, about it, or just beside it.
pub(super) fn near(random: &mut Rng, flow: &Packet) -> Packet {
    let packet = if random.bool() { flow.clone() } else { answer(flow) };
    let packet = Packet { content: next(random, &packet), ..packet };
    match random.u8(..40) {
        0..=3 => error(random, &packet),
        4 => Packet { interface: one_of(random, &DEVICES).0.to_owned(), ..packet },
        5 => Packet { mac: Mac([2, 0, 0, 0, 0, 0x99]), ..packet },
        6 => with_source(random, packet),
        7..=9 => Packet { part: Part::First(random.u32(..6)), ..packet },
        10..=12 => later(random, packet),
        13 => Packet { content: beside(random, packet.content), ..packet },
        _ => packet,
    }
}

/// Whether [`near`] makes sense: bent neighbour discovery is malformed.
pub(super) fn has_relatives(packet: &Packet) -> bool {
    let is_discovery =
        matches!(packet.content, Content::Neighbour { .. } | Content::Icmp { kind: 133..=137, .. });
    !is_discovery && !packet.part.is_later()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn content(random: &mut Rng, v4: bool) -> Content {
    let (source, destination) = (random.u16(4000..4004), one_of(random, &PORTS));
    let id = random.u16(..3);
    match random.u8(..20) {
        0..=8 => Content::Tcp { source, destination, flags: opening(random) },
        9..=12 => Content::Ports { protocol: protocol::UDP, source, destination },
        13 => Content::Ports { protocol: protocol::SCTP, source, destination },
        14 => Content::Other(one_of(random, &[protocol::GRE, 50, 4, 200])),
        15 => Content::Other(if v4 { protocol::ICMPV6 } else { protocol::ICMP }),
        16 => Content::Icmp { kind: any_kind(random, v4), code: random.u8(..2), id },
        17 if v4 => Content::Icmp { kind: one_of(random, &[13, 15, 17, 8]), code: 0, id },
        _ => Content::Icmp { kind: if v4 { 8 } else { 128 }, code: 0, id },
    }
}

fn any_kind(random: &mut Rng, v4: bool) -> u8 {
    if v4 { one_of(random, &[0, 5, 8, 10, 13, 14, 30]) } else { one_of(random, &[128, 129, 139, 143, 200]) }
}

fn opening(random: &mut Rng) -> u8 {
    one_of(random, &[SYN, SYN, SYN, SYN, SYN | PSH, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN | ACK])
}

/// The packet with its ends exchanged, going the other way.
fn answer(packet: &Packet) -> Packet {
    let direction =
        if packet.direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress };
    let content = match packet.content.clone() {
        Content::Tcp { source, destination, flags } => {
            Content::Tcp { source: destination, destination: source, flags }
        }
        Content::Ports { protocol, source, destination } => {
            Content::Ports { protocol, source: destination, destination: source }
        }
        Content::Icmp { kind: 8, code, id } => Content::Icmp { kind: 0, code, id },
        Content::Icmp { kind: kind @ (13 | 15 | 17 | 128), code, id } => {
            Content::Icmp { kind: kind + 1, code, id }
        }
        content => content,
    };
    Packet { direction, source: packet.destination, destination: packet.source, content, ..packet.clone() }
}

/// What may come next on the flow that the packet belongs to.
fn next(random: &mut Rng, packet: &Packet) -> Content {
    match packet.content.clone() {
        Content::Tcp { source, destination, .. } => {
            let flags = match random.u8(..20) {
                0..=10 => one_of(random, &[ACK, ACK | PSH]),
                11..=14 => SYN | ACK,
                15 | 16 => SYN,
                17 | 18 => one_of(random, &[FIN | ACK, FIN | ACK | PSH]),
                _ => one_of(random, &[RST, RST | ACK]),
            };
            Content::Tcp { source, destination, flags }
        }
        Content::Icmp { .. } if one_in(random, 6) => {
            let id = random.u16(..3);
            Content::Icmp { kind: any_kind(random, packet.source.is_ipv4()), code: 0, id }
        }
        content => content,
    }
}

/// One port or identifier further, or another code.
fn beside(random: &mut Rng, content: Content) -> Content {
    match content {
        Content::Tcp { source, destination, flags } => {
            Content::Tcp { source: source ^ 1, destination, flags }
        }
        Content::Ports { source, destination, .. } => Content::Ports {
            protocol: one_of(random, &[protocol::UDP, protocol::SCTP]),
            source,
            destination: destination ^ 1,
        },
        Content::Icmp { kind, code, id } => Content::Icmp { kind, code: code ^ 1, id },
        content => content,
    }
}

fn later(random: &mut Rng, packet: Packet) -> Packet {
    let content = Content::Other(packet.protocol());
    let id = random.u32(..6);
    let part = match random.u8(..6) {
        0..=2 => Part::Later(id),
        3 | 4 => Part::Middle(id),
        _ => Part::End(id),
    };
    Packet { part, content, ..packet }
}

/// An error about the packet: mostly to its sender, from its receiver or from a router.
fn error(random: &mut Rng, packet: &Packet) -> Packet {
    if matches!(packet.content, Content::Error { .. } | Content::Neighbour { .. }) {
        return packet.clone();
    }
    let v4 = packet.source.is_ipv4();
    let kinds: &[(u8, u8)] =
        if v4 { &[(3, 3), (3, 4), (11, 0), (12, 0)] } else { &[(1, 4), (2, 0), (3, 0), (4, 1)] };
    let (kind, code) = one_of(random, kinds);
    let quoted = Quoted {
        source: packet.source,
        destination: packet.destination,
        is_later: one_in(random, 12),
        content: Box::new(packet.content.clone()),
    };
    let content = Content::Error { kind, code, quoted };
    let mut error = Packet { content, ..answer(packet) };
    let (peer4, peer6) = one_of(random, &PEERS);
    let router = address(if v4 { peer4 } else { peer6 });
    match (random.u8(..6), error.direction) {
        // To somebody who did not send what it quotes.
        (0, _) => error = Packet { content: error.content, ..packet.clone() },
        (1 | 2, Direction::Ingress) => error.source = router,
        (1, Direction::Egress) => error.destination = router,
        _ => {}
    }
    error
}

/// The packet from somebody else: a neighbour, a link-local address.
fn with_source(random: &mut Rng, packet: Packet) -> Packet {
    let sources = if packet.source.is_ipv4() { ["10.9.2.7", "10.9.1.2"] } else { ["fd02::7", "fe80::7"] };
    Packet { source: address(one_of(random, &sources)), ..packet }
}

/// Infrastructure, and what a guest may not send.
fn special(random: &mut Rng, packet: Packet) -> Packet {
    let udp = |source, destination| Content::Ports { protocol: protocol::UDP, source, destination };
    let (destination, content) = if packet.source.is_ipv4() {
        match random.u8(..5) {
            0 => ("255.255.255.255", udp(68, 67)),
            1 => ("255.255.255.255", udp(67, 68)),
            2 => ("224.0.0.22", Content::Other(2)),
            3 => ("10.9.1.1", udp(68, 67)),
            _ => ("10.9.1.1", Content::Icmp { kind: 5, code: 1, id: 0 }),
        }
    } else {
        let targets = ["fd02::2", "fd02::3", "fd01::1", "fe80::7"];
        let target = address(one_of(random, &targets));
        match random.u8(..6) {
            0 => ("ff02::1:2", udp(546, 547)),
            1 => ("fd02::9", udp(547, 546)),
            2 => ("ff02::2", Content::Icmp { kind: one_of(random, &[133, 134, 143]), code: 0, id: 0 }),
            3 => ("fd01::1", Content::Icmp { kind: 137, code: 0, id: 0 }),
            _ => ("fd01::1", Content::Neighbour { kind: one_of(random, &[135, 136]), target }),
        }
    };
    // Receivers take router advertisements and redirects from link-local addresses only.
    let from_router = matches!(content, Content::Icmp { kind: 134 | 137, .. });
    let source = if from_router { address("fe80::7") } else { packet.source };
    Packet { source, destination: address(destination), content, ..packet }
}
