//! Whether the parser of the kernel side and the model's read the same in a frame.

use std::net::{IpAddr, Ipv6Addr};

use sg_agent::policy::model::{Direction, Role};
use sg_common::addr::Addr;
use sg_ebpf::{
    packet::{Arp, Content as Parsed, Packet, Part},
    parse::{discovery, parse, quote},
};
use sg_tests::model::{
    self, Content,
    read::{Frame, Place, read},
};

/// More of ARP than a guest sends: the kernel side's guard refuses it, the model's reader does.
const LONG_ARP: usize = 61;

/// Panics if one passes what the other refuses, or reads something else in it. Which of several faults a frame is
/// refused for is nobody's promise.
pub fn check(frame: &[u8], guest: bool) {
    let (mut packet, mut arp) = (Packet::default(), Arp::default());
    let parsed = parse(frame, guest, &mut packet, &mut arp);
    let role = if guest { Role::Guest } else { Role::Host };
    let expected = read(frame, Place { interface: "", role, direction: Direction::Egress });
    match (parsed, expected) {
        (Err(_), Err(_)) | (Ok(Parsed::Other), Ok(Frame::Other)) => {}
        (Ok(Parsed::Arp), Err(_)) if guest && frame.len() >= LONG_ARP => {}
        (Ok(Parsed::Arp), Ok(Frame::Arp(read))) => {
            assert_eq!((arp.src_mac, arp.sender_mac), (read.mac.0, read.sender_mac.0));
            assert_eq!(arp.sender, read.sender.octets());
        }
        (Ok(Parsed::Ip), Ok(Frame::Ip { packet: read, is_sound, .. })) => {
            same(frame, &packet, &read, is_sound)
        }
        (parsed, expected) => panic!("{parsed:?}, the model: {expected:?}"),
    }
}

fn same(frame: &[u8], packet: &Packet, read: &model::Packet, is_sound: bool) {
    assert_eq!((address(packet, &packet.src), address(packet, &packet.dst)), (read.source, read.destination));
    assert_eq!((packet.src_mac, packet.protocol), (read.mac.0, read.protocol()));
    assert_eq!(part(packet), read.part);
    assert_eq!(packet.part == Part::Later, read.part.is_later());
    if packet.part != Part::Later {
        if !matches!(read.content, Content::Error { .. } | Content::Neighbour { .. }) {
            assert_eq!(fields(packet), model_fields(&read.content), "{packet:?} {read:?}");
        }
        quotes(frame, packet, read);
    }
    if discovery::is_discovery(packet) {
        let mut message = Packet::default();
        let accepted = discovery::read(frame, packet.transport, packet, &mut message).is_ok();
        assert_eq!(accepted, is_sound, "{packet:?}");
        if let (true, Content::Neighbour { target, .. }) = (accepted, &read.content) {
            assert_eq!(IpAddr::from(Ipv6Addr::from(message.src.0)), *target);
        }
    }
}

fn part(packet: &Packet) -> model::Part {
    let start = usize::from(packet.offset);
    match packet.part {
        Part::Whole => model::Part::Whole,
        Part::First | Part::Later => {
            model::Part::Piece(packet.datagram, start, start + usize::from(packet.piece), packet.is_last)
        }
    }
}

fn address(packet: &Packet, address: &Addr) -> IpAddr {
    if packet.family == sg_ebpf::packet::V4 { address.v4_octets().into() } else { address.0.into() }
}

/// Ports (of ICMP: the identifier, type and code) and TCP flags.
fn fields(packet: &Packet) -> (u16, u16, u8) {
    (u16::from_be_bytes(packet.src_port), u16::from_be_bytes(packet.dst_port), packet.flags.0)
}

/// The same. ICMP errors and neighbour discovery have theirs compared as what they are.
fn model_fields(content: &Content) -> (u16, u16, u8) {
    match content {
        Content::Tcp { source, destination, flags } => (*source, *destination, *flags),
        Content::Ports { source, destination, .. } => (*source, *destination, 0),
        Content::Icmp { kind, code, id } => (*id, u16::from_be_bytes([*kind, *code]), 0),
        _ => (0, 0, 0),
    }
}

fn quotes(frame: &[u8], packet: &Packet, read: &model::Packet) {
    if !packet.is_icmp_error() {
        return;
    }
    let mut quoted = Packet::default();
    let at = packet.transport + quote::ICMP_HEADER;
    let is_quote = quote::read(frame, at, packet, &mut quoted).is_ok();
    match &read.content {
        Content::Error { quoted: expected, .. } if is_quote => {
            assert_eq!(address(packet, &quoted.src), expected.source);
            assert_eq!(address(packet, &quoted.dst), expected.destination);
            assert_eq!(fields(&quoted), model_fields(&expected.content), "{quoted:?} {expected:?}");
        }
        content => assert!(!is_quote && matches!(content, Content::Icmp { .. }), "{quoted:?} {content:?}"),
    }
}
