//! Ethernet, VLAN tags, other ethertypes, ARP.

use super::{frames::*, *};
use crate::frame::Frame;

const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88a8;

/// A TCP SYN behind VLAN tags.
fn tagged(tags: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = tags.iter().flat_map(|tag| [(tag >> 8) as u8, *tag as u8, 0, 5]).collect();
    [&TCP_V4[..12], &bytes, &TCP_V4[12..]].concat()
}

/// A frame whose outermost VLAN tag travels beside it.
struct TagBeside(Vec<u8>);

impl Frame for TagBeside {
    fn len(&self) -> u32 {
        self.0.len() as u32
    }
    fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.head(offset)
    }
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.0.load(offset)
    }
    fn has_vlan_metadata(&self) -> bool {
        true
    }
}

fn with_tag_beside(frame: Vec<u8>, guest: bool) -> Result<Content, Reason> {
    parse(&TagBeside(frame), guest, &mut Packet::default(), &mut Arp::default())
}

/// P01: runts.
#[test]
fn a_frame_shorter_than_an_ethernet_header_is_malformed() {
    for length in 0..14 {
        assert_eq!(refusal(&TCP_V4[..length]), Reason::Malformed, "{length} bytes");
        assert_eq!(content(&TCP_V4[..length], false), Err(Reason::Malformed), "{length} bytes");
    }
}

/// P02
#[test]
fn an_ethernet_header_alone_is_malformed() {
    all_refused(Reason::Malformed, [0x0800, 0x86dd, 0x0806].map(|kind| ethernet(kind, &[])));
}

#[test]
fn the_source_mac_address_is_the_second_address() {
    assert_eq!(packet(&TCP_V4).src_mac, SRC_MAC);
}

/// P31, P33: C-tags, S-tags, the priority tag, VLAN 4095.
#[test]
fn a_guest_sends_no_tags() {
    all_refused(Reason::Vlan, [&[C_TAG][..], &[S_TAG], &[S_TAG, C_TAG], &[C_TAG; 3]].map(tagged));
    for tag in [[0, 0], [0xe0, 0], [0x0f, 0xff]] {
        assert_eq!(refusal(&bent(tagged(&[C_TAG]), 14, &tag)), Reason::Vlan);
    }
}

/// P31, P33
#[test]
fn a_host_looks_through_two_tags_and_sees_the_same_packet() {
    let plain = packet_on(&TCP_V4, false);
    for tags in [&[C_TAG][..], &[S_TAG], &[S_TAG, C_TAG], &[C_TAG, C_TAG]] {
        let behind = packet_on(&tagged(tags), false);
        let shift = tags.len() as u32 * 4;
        let moved = Packet { transport: plain.transport + shift, end: plain.end + shift, ..plain };
        assert_eq!(behind, moved, "{tags:04x?}");
    }
}

/// P33
#[test]
fn a_host_drops_three_tags() {
    assert_eq!(content(&tagged(&[S_TAG, C_TAG, C_TAG]), false), Err(Reason::Vlan));
}

/// P32: the tag is not in the packet data.
#[test]
fn a_tag_beside_the_frame_counts_like_one_in_it() {
    assert_eq!(with_tag_beside(TCP_V4.to_vec(), true), Err(Reason::Vlan));
    assert_eq!(with_tag_beside(TCP_V4.to_vec(), false), Ok(Content::Ip));
    assert_eq!(with_tag_beside(tagged(&[C_TAG]), false), Ok(Content::Ip));
    assert_eq!(with_tag_beside(tagged(&[C_TAG, C_TAG]), false), Err(Reason::Vlan));
}

/// P34
#[test]
fn a_frame_that_ends_in_its_tag_is_malformed() {
    for length in 14..18 {
        assert_eq!(content(&tagged(&[C_TAG])[..length], false), Err(Reason::Malformed), "{length} bytes");
    }
}

/// P35, N04: LLDP, MPLS, PPPoE, WAPI, NSH, loopback, RARP, 802.3 lengths.
#[test]
fn a_guest_sends_ip_and_arp_only() {
    let kinds =
        [0x88cc, 0x8847, 0x8848, 0x8863, 0x8864, 0x88f7, 0x894f, 0x9000, 0x9100, 0x8035, 0, 46, 0x05ff];
    all_refused(Reason::NonIp, kinds.map(|kind| ethernet(kind, &v4_packet(&[], 0, 6, &TCP))));
}

/// P36: IPv4 inside MPLS, PPPoE and SNAP, each also behind a VLAN tag.
#[test]
fn envelopes_are_not_a_way_round_on_a_host() {
    let inner = v4_packet(&[], 0, 6, &TCP);
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &inner].concat();
    let snap_response = bent(snap.clone(), 1, &[0xab]);
    let mpls = [&[0, 1, 0x11, 64][..], &inner].concat();
    let session = [&[0x11, 0, 0, 1, 0, 42, 0, 0x21][..], &inner].concat();
    for (kind, payload) in
        [(48, &snap), (48, &snap_response), (0x8847, &mpls), (0x8848, &mpls), (0x8864, &session)]
    {
        let frame = ethernet(kind, payload);
        assert_eq!(content(&frame, false), Err(Reason::NonIp), "{kind:04x}");
        let behind_tag = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
        assert_eq!(content(&behind_tag, false), Err(Reason::NonIp), "{kind:04x} behind a tag");
    }
}

/// P35: LLDP, LACP, flow control; spanning tree over LLC.
#[test]
fn link_control_passes_on_a_host() {
    for kind in [0x88cc, 0x8809, 0x8808] {
        assert_eq!(content(&ethernet(kind, &[0; 46]), false), Ok(Content::Other), "{kind:04x}");
    }
    assert_eq!(content(&ethernet(38, &[0x42, 0x42, 3]), false), Ok(Content::Other));
}

fn arp(payload: &[u8]) -> Result<Arp, Reason> {
    let mut arp = Arp::default();
    parse(&ethernet(0x0806, payload)[..], true, &mut Packet::default(), &mut arp).map(|_| arp)
}

/// N01
#[test]
fn arp_yields_its_sender() {
    let expected = Arp { src_mac: SRC_MAC, sender_mac: SRC_MAC, sender: SRC_V4 };
    assert_eq!(arp(&ARP_REQUEST), Ok(expected));
    assert_eq!(arp(&bent(ARP_REQUEST.to_vec(), 7, &[2])), Ok(expected), "a reply");
}

/// N03: the two senders are judged by the guard.
#[test]
fn the_hardware_sender_of_arp_is_read_from_arp() {
    let read = arp(&bent(ARP_REQUEST.to_vec(), 8, &[2, 9, 9, 9, 9, 9])).expect("well formed");
    assert_eq!((read.src_mac, read.sender_mac), (SRC_MAC, [2, 9, 9, 9, 9, 9]));
}

/// N03
#[test]
fn arp_that_is_not_for_ipv4_over_ethernet_is_malformed() {
    let operations = [0, 3, 25, 0x100].map(|op: u16| (6, op.to_be_bytes().to_vec()));
    let kinds = [(0, vec![0, 6]), (2, vec![0x86, 0xdd]), (4, vec![8]), (5, vec![16])];
    for (at, bytes) in operations.into_iter().chain(kinds) {
        assert_eq!(arp(&bent(ARP_REQUEST.to_vec(), at, &bytes)), Err(Reason::Malformed), "{at}: {bytes:?}");
    }
}

/// N03
#[test]
fn arp_cut_short_is_malformed() {
    for length in 0..28 {
        assert_eq!(arp(&ARP_REQUEST[..length]), Err(Reason::Malformed), "{length} bytes");
    }
}
