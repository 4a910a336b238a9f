//! Fragments of both families.

use super::{frames::*, *};
use crate::packet::Part;

const MORE: u16 = 0x2000;
const DONT_FRAGMENT: u16 = 0x4000;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// A UDP header and 16 bytes: a legal first fragment.
fn datagram() -> Vec<u8> {
    bent([&UDP[..], &[0; 12]].concat(), 4, &4000u16.to_be_bytes())
}

fn v6_fragment(offset: u16, more: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    v6_chain(&[(FRAGMENT, &fragment_header(offset, more))], protocol, payload)
}

/// A fragment over both families.
fn both(offset: u16, more: bool, protocol: u8, payload: &[u8]) -> [Vec<u8>; 2] {
    let field = offset | if more { MORE } else { 0 };
    [v4_fragment(field, protocol, payload), v6_fragment(offset, more, protocol, payload)]
}

/// F01, F14: the UDP length is that of the datagram.
#[test]
fn a_first_fragment_has_ports_and_an_identification() {
    let [v4, v6] = both(0, true, 17, &datagram()).map(|frame| packet(&frame));
    for found in [v4, v6] {
        assert_eq!((found.part, found.protocol, found.datagram_protocol), (Part::First, 17, 17));
        assert_eq!((found.src_port, found.dst_port), ([0xc3, 0x50], [0x14, 0xe9]));
        assert_eq!((found.offset, found.piece, found.is_last), (0, datagram().len() as u16, false));
    }
    assert_eq!((v4.datagram, v6.datagram), (0x1234, 0xaabb_ccdd));
}

/// F01, F03, F14: bytes that would be ports are payload.
#[test]
fn a_later_fragment_has_an_identification_and_no_ports() {
    for more in [true, false] {
        let [v4, v6] = both(3, more, 17, &datagram()).map(|frame| packet(&frame));
        for found in [v4, v6] {
            assert_eq!((found.part, found.protocol, found.datagram_protocol), (Part::Later, 17, 17));
            assert_eq!((found.src_port, found.dst_port), ([0; 2], [0; 2]));
            assert_eq!((found.offset, found.piece, found.is_last), (24, datagram().len() as u16, !more));
        }
        assert_eq!((v4.datagram, v6.datagram), (0x1234, 0xaabb_ccdd));
    }
}

/// F09: the protocol tells datagrams apart; behind extension headers it is the one all fragments have.
#[test]
fn fragments_of_a_datagram_know_each_other_by_one_protocol() {
    let first = v6_chain(&[(FRAGMENT, &fragment_header(0, true)), (DESTINATION, &PADDING)], 17, &datagram());
    let later = v6_fragment(3, false, DESTINATION, &[0; 8]);
    let (first, later) = (packet(&first), packet(&later));
    assert_eq!((first.protocol, first.datagram_protocol, later.datagram_protocol), (17, 60, 60));
    assert_eq!(first.datagram, later.datagram);
}

/// F05: 8 bytes of UDP are a whole header.
#[test]
fn a_first_fragment_may_be_its_transport_header_only() {
    for frame in both(0, true, 17, &datagram()[..8]) {
        assert_eq!(packet(&frame).dst_port, [0x14, 0xe9]);
    }
}

/// F05, F16, F18: TCP headers of 8 and 16 bytes, options cut off, SCTP and ICMP of 0 or 8.
#[test]
fn a_tiny_first_fragment_is_dropped() {
    let options = bent([&TCP[..], &[1; 20]].concat(), 12, &[0xa0]);
    for length in [0, 8, 16] {
        all_refused(Reason::BadFragment, both(0, true, 6, &TCP[..length]));
    }
    for length in [24, 32] {
        all_refused(Reason::BadFragment, both(0, true, 6, &options[..length]));
    }
    for length in [0, 8] {
        all_refused(Reason::BadFragment, both(0, true, 132, &SCTP[..length]));
    }
    all_refused(Reason::BadFragment, both(0, true, 17, &[]));
    all_refused(Reason::BadFragment, [v4_fragment(MORE, 1, &[]), v6_fragment(0, true, 58, &[])]);
}

/// F16: RFC 7112. The chain ends in the next fragment.
#[test]
fn a_first_fragment_without_its_whole_header_chain_is_dropped() {
    let long = [3, 1, 4, 0, 0, 0, 0];
    let runs_past = v6_chain(&[(FRAGMENT, &fragment_header(0, true)), (DESTINATION, &long)], 6, &TCP[..16]);
    let ends_before = v6_chain(&[(FRAGMENT, &fragment_header(0, true))], DESTINATION, &[]);
    let tcp_is_later = v6_chain(&[(FRAGMENT, &fragment_header(0, true)), (DESTINATION, &PADDING)], 6, &[]);
    all_refused(Reason::BadFragment, [runs_past, ends_before, tcp_is_later]);
}

/// F16
#[test]
fn extension_headers_on_both_sides_of_the_fragment_header_are_walked() {
    let chain = [(DESTINATION, &PADDING[..]), (FRAGMENT, &fragment_header(0, true)), (DESTINATION, &PADDING)];
    let found = packet(&v6_chain(&chain, 17, &datagram()));
    assert_eq!((found.part, found.protocol, found.dst_port), (Part::First, 17, [0x14, 0xe9]));
}

/// F06: it would overwrite the flags. Of UDP the same place is payload.
#[test]
fn tcp_at_offset_1_is_dropped() {
    for more in [true, false] {
        all_refused(Reason::BadFragment, both(1, more, 6, &[0x50; 16]));
        for frame in both(1, more, 17, &[0x50; 16]).into_iter().chain(both(2, more, 6, &[0x50; 16])) {
            assert_eq!(packet(&frame).part, Part::Later);
        }
    }
}

/// F13
#[test]
fn a_middle_that_is_no_multiple_of_8_is_dropped() {
    for extra in 1..8 {
        all_refused(Reason::BadFragment, both(0, true, 17, &datagram()[..16 + extra]));
        all_refused(Reason::BadFragment, both(2, true, 17, &[0; 16][..8 + extra]));
    }
    for frame in both(2, false, 17, &[0; 13]) {
        assert_eq!(packet(&frame).part, Part::Later, "the last may have any length");
    }
}

/// F13: the ping of death.
#[test]
fn a_fragment_that_ends_past_the_longest_datagram_is_dropped() {
    all_refused(Reason::BadFragment, both(8191, false, 1, &[0; 8]));
    all_refused(Reason::BadFragment, both(8190, true, 17, &[0; 16]));
    for frame in both(8191, false, 17, &[0; 7]) {
        assert_eq!(packet(&frame).part, Part::Later, "ends at 65535");
    }
}

/// F13
#[test]
fn a_fragment_that_must_not_be_fragmented_is_dropped() {
    let fields = [DONT_FRAGMENT | MORE, DONT_FRAGMENT | MORE | 2];
    all_refused(Reason::BadFragment, fields.map(|field| v4_fragment(field, 17, &datagram())));
}

/// F15
#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let found = packet(&v6_fragment(0, false, 6, &TCP));
    assert_eq!((found.part, found.dst_port), (Part::Whole, [0x1f, 0x90]));
    assert_eq!(refusal(&v6_fragment(0, false, 6, &TCP[..16])), Reason::Malformed, "and must be whole");
}

/// F17, P28: side by side and apart.
#[test]
fn two_fragment_headers_are_dropped() {
    let second = fragment_header(0, true);
    for first in [fragment_header(0, false), fragment_header(0, true)] {
        let beside = [(FRAGMENT, &first[..]), (FRAGMENT, &second)];
        let apart = [(FRAGMENT, &first[..]), (DESTINATION, &PADDING), (FRAGMENT, &second)];
        assert_eq!(refusal(&v6_chain(&beside, 17, &datagram())), Reason::BadFragment);
        assert_eq!(refusal(&v6_chain(&apart, 17, &datagram())), Reason::BadFragment);
    }
}

/// F17, P28: no first fragment could have passed that goes with it.
#[test]
fn a_later_fragment_of_what_no_fragment_may_begin_with_is_dropped() {
    for more in [true, false] {
        all_refused(Reason::BadFragment, [FRAGMENT, 0].map(|next| v6_fragment(3, more, next, &[0; 16])));
    }
}

/// F20
#[test]
fn fragments_behind_a_tag_are_fragments() {
    for frame in both(0, true, 17, &datagram()).into_iter().chain(both(3, false, 17, &[0; 9])) {
        let behind_tag = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
        assert_eq!(packet_on(&behind_tag, false).part, packet(&frame).part);
        assert_eq!(refusal(&behind_tag), Reason::Vlan);
    }
}

/// F23
#[test]
fn fragments_of_protocols_without_ports_need_no_header() {
    for frame in both(0, true, 47, &[0; 8]) {
        let found = packet(&frame);
        assert_eq!((found.part, found.protocol), (Part::First, 47));
    }
}
