//! What holds for every frame, whatever its bytes: for property tests and the fuzz target.

use sg_common::{addr::Addr, verdict::Reason};

use super::{discovery, parse, quote};
use crate::{
    frame::Frame as _,
    packet::{Arp, Content, Packet, Part, V4, protocol},
};

const ETHERNET: u32 = super::ETHERNET as u32;
/// Longer frames may carry 0 in the length field.
const LONGEST_WITH_LENGTH: usize = 65_535;

/// Parses `frame` and panics where the promise of [`parse`](super) is broken; returns what it carries.
pub fn check(frame: &[u8], guest: bool) -> Result<Content, Reason> {
    let (outcome, packet, arp) = parsed(frame, guest);
    match outcome {
        Ok(Content::Ip) => {
            packet_is_in_frame(frame, &packet);
            transport_is_in_packet(frame, &packet);
            what_follows_is_ignored(frame, guest, &packet);
            inside(frame, &packet);
        }
        Ok(Content::Arp) => assert_eq!(&frame[6..12], &arp.src_mac[..]),
        Ok(Content::Other) => assert!(!guest, "a guest sends IP and ARP only"),
        Err(_) => {}
    }
    if guest && outcome.is_ok() {
        assert!(matches!(frame[12..14], [8, 0 | 6] | [0x86, 0xdd]), "untagged");
    }
    outcome
}

fn parsed(frame: &[u8], guest: bool) -> (Result<Content, Reason>, Packet, Arp) {
    let (mut packet, mut arp) = (Packet::default(), Arp::default());
    let outcome = parse(frame, guest, &mut packet, &mut arp);
    (outcome, packet, arp)
}

/// Headers and end are in order, and addresses are those of the IP header, which is behind 0 to 2 tags.
fn packet_is_in_frame(frame: &[u8], packet: &Packet) {
    let header = if packet.family == V4 { 20 } else { 40 };
    assert!(packet.transport >= ETHERNET + header, "{packet:?}");
    assert!(packet.transport <= packet.end, "{packet:?}");
    assert!(packet.end as usize <= frame.len(), "{packet:?} in {} bytes", frame.len());
    assert_eq!(packet.src_mac[..], frame[6..12]);
    let starts = [ETHERNET, ETHERNET + 4, ETHERNET + 8];
    assert!(
        starts.into_iter().any(|at| addresses(frame, at, packet.family) == Some((packet.src, packet.dst)))
    );
}

fn addresses(frame: &[u8], at: u32, family: u8) -> Option<(Addr, Addr)> {
    if family == V4 {
        return Some((Addr::v4(frame.load(at + 12)?), Addr::v4(frame.load(at + 16)?)));
    }
    Some((Addr(frame.load(at + 8)?), Addr(frame.load(at + 24)?)))
}

/// Ports and flags are bytes of a whole transport header inside the packet; a later fragment has none.
fn transport_is_in_packet(frame: &[u8], packet: &Packet) {
    let ports_are = |src, dst| assert_eq!((packet.src_port, packet.dst_port), (src, dst), "{packet:?}");
    if packet.part == Part::Later {
        assert_eq!(packet.flags.0, 0);
        return ports_are([0; 2], [0; 2]);
    }
    let needed = match packet.protocol {
        protocol::TCP => 20,
        protocol::SCTP => 12,
        protocol::UDP => 8,
        _ if packet.is_icmp() => 8,
        _ => return ports_are([0; 2], [0; 2]),
    };
    assert!(packet.end - packet.transport >= needed, "{packet:?}");
    let header = &frame[packet.transport as usize..packet.end as usize];
    if packet.is_icmp() {
        ports_are([header[4], header[5]], [header[0], header[1]]);
    } else {
        ports_are([header[0], header[1]], [header[2], header[3]]);
    }
    if packet.protocol == protocol::TCP {
        let length = usize::from(header[12] >> 4) * 4;
        assert!((20..=header.len()).contains(&length), "{packet:?}");
        assert!(packet.flags.0 == header[13] && packet.flags.are_possible(), "{packet:?}");
    }
}

/// Padding and trailers change nothing.
fn what_follows_is_ignored(frame: &[u8], guest: bool, packet: &Packet) {
    if frame.len() <= LONGEST_WITH_LENGTH {
        let (outcome, without, _) = parsed(&frame[..packet.end as usize], guest);
        assert_eq!((outcome, &without), (Ok(Content::Ip), packet));
    }
}

/// A quote names a flow by a transport header inside the ICMP error; a discovery message is as long as its type.
fn inside(frame: &[u8], packet: &Packet) {
    let mut inner = Packet::default();
    if packet.is_icmp_error() {
        let at = packet.transport + quote::ICMP_HEADER;
        if quote::read(frame, at, packet, &mut inner).is_ok() {
            let header = if packet.family == V4 { 20 } else { 40 };
            assert!(inner.transport >= at + header, "{inner:?}");
            assert!(inner.transport + 8 <= packet.end, "{inner:?} in {packet:?}");
            assert_eq!(inner.family, packet.family);
        }
    } else if discovery::is_discovery(packet)
        && discovery::read(frame, packet.transport, packet, &mut inner).is_ok()
    {
        assert_eq!((packet.hop_limit, packet.icmp_code(), packet.part), (255, 0, Part::Whole));
        assert!(packet.end - packet.transport >= 8, "{packet:?}");
    }
}
