//! IPv6 and its extension headers.

use super::{frames::*, *};
use crate::packet::{Part, V6};
use sg_common::{addr::Addr, conntrack::TcpFlags};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

#[test]
fn tcp_over_ipv6_yields_every_field() {
    let expected = Packet {
        src: Addr(SRC_V6),
        dst: Addr(DST_V6),
        src_mac: SRC_MAC,
        family: V6,
        protocol: 6,
        hop_limit: 63,
        part: Part::Whole,
        offset: 0,
        piece: 0,
        is_last: false,
        datagram: 0,
        datagram_protocol: 0,
        src_port: [0xc3, 0x50],
        dst_port: [0x1f, 0x90],
        flags: TcpFlags(2),
        transport: 54,
        end: 74,
    };
    assert_eq!(packet(&TCP_V6), expected);
}

/// P20
#[test]
fn a_header_cut_short_is_malformed() {
    for length in 0..40 {
        assert_eq!(refusal(&TCP_V6[..IP + length]), Reason::Malformed, "{length} bytes");
    }
}

/// P09
#[test]
fn another_version_is_malformed() {
    all_refused(Reason::Malformed, [0x00, 0x45, 0x50, 0xf0].map(|first| bent(TCP_V6.to_vec(), IP, &[first])));
}

/// P20, P11
#[test]
fn a_payload_length_that_lies_is_malformed() {
    let lengths = (0..20).chain([21, 500, 65_535]);
    all_refused(Reason::Malformed, lengths.map(|n: u16| bent(TCP_V6.to_vec(), 18, &n.to_be_bytes())));
}

/// P20: a jumbogram's option in a small frame, payload length 0.
#[test]
fn a_jumbo_payload_option_in_a_small_frame_is_malformed() {
    let jumbo = v6_chain(&[(HOP_BY_HOP, &[0, 0xc2, 4, 0, 1, 0, 0])], 6, &TCP);
    assert_eq!(refusal(&bent(jumbo, 18, &[0, 0])), Reason::Malformed);
}

/// P12, P45
#[test]
fn padding_flow_label_and_traffic_class_do_not_matter() {
    let padded = [&TCP_V6[..], &[0xff; 6]].concat();
    assert_eq!(packet(&padded), packet(&TCP_V6));
    assert_eq!(packet(&bent(TCP_V6.to_vec(), IP, &[0x6f, 0xff, 0xff, 0xff])), packet(&TCP_V6));
}

/// P21
#[test]
fn ports_are_read_behind_the_extension_headers() {
    let found = packet(&v6_chain(&[(HOP_BY_HOP, &PADDING), (DESTINATION, &PADDING)], 6, &TCP));
    assert_eq!((found.protocol, found.transport, found.dst_port), (6, 70, [0x1f, 0x90]));
    let long = [&[1, 1, 12][..], &[0; 12]].concat();
    assert_eq!(packet(&v6_chain(&[(DESTINATION, &long)], 17, &UDP)).transport, 70);
}

/// P22: eight headers are walked, a ninth is not.
#[test]
fn more_than_eight_extension_headers_are_dropped() {
    for count in 0..=12 {
        let frame = v6_chain(&vec![(DESTINATION, &PADDING[..]); count], 6, &TCP);
        match count {
            0..=8 => assert_eq!(packet(&frame).dst_port, [0x1f, 0x90], "{count} headers"),
            _ => assert_eq!(refusal(&frame), Reason::ExtensionHeaders, "{count} headers"),
        }
    }
}

/// P22: a fragment header is one of the eight.
#[test]
fn the_fragment_header_counts() {
    let atomic = fragment_header(0, false);
    let chain = |count| [vec![(DESTINATION, &PADDING[..]); count], vec![(FRAGMENT, &atomic)]].concat();
    assert_eq!(packet(&v6_chain(&chain(7), 6, &TCP)).dst_port, [0x1f, 0x90]);
    assert_eq!(refusal(&v6_chain(&chain(8), 6, &TCP)), Reason::ExtensionHeaders);
}

/// P23: also where the frame, but not the packet, has the bytes.
#[test]
fn an_extension_header_that_runs_past_the_packet_is_malformed() {
    let frame = v6_chain(&[(DESTINATION, &PADDING)], 6, &TCP);
    for units in [3, 4, 200, 255] {
        let lying = bent(frame.clone(), BEHIND_V6 + 1, &[units]);
        let padded = [&lying[..], &[0; 2100]].concat();
        all_refused(Reason::Malformed, [lying, padded]);
    }
    for length in 0..8 {
        assert_eq!(refusal(&v6(DESTINATION, &PADDING[..length.min(7)])), Reason::Malformed);
    }
}

/// P24: whatever the segments left, wherever in the chain.
#[test]
fn routing_header_type_0_is_dropped() {
    for left in [0, 1, 255] {
        let header = [0, 0, left, 0, 0, 0, 0];
        let behind = [(HOP_BY_HOP, &PADDING[..]), (ROUTING, &header)];
        let in_fragment = [(FRAGMENT, &fragment_header(0, true)[..]), (ROUTING, &header)];
        all_refused(
            Reason::RoutingHeader,
            [
                v6_chain(&[(ROUTING, &header)], 6, &TCP),
                v6_chain(&behind, 6, &TCP),
                v6_chain(&in_fragment, 6, &[0; 24]),
            ],
        );
    }
}

/// P24
#[test]
fn other_routing_headers_are_walked() {
    for kind in [2, 3, 4] {
        let found = packet(&v6_chain(&[(ROUTING, &[0, kind, 1, 0, 0, 0, 0])], 6, &TCP));
        assert_eq!(found.dst_port, [0x1f, 0x90], "type {kind}");
    }
}

/// P25, P26, P27, X06, X08: no next header, AH, ESP, mobility, unknown ones and ICMPv4's number end the chain.
#[test]
fn what_is_no_extension_header_is_a_protocol() {
    for next in [1, 4, 41, 47, 50, 51, 59, 135, 139, 140, 253, 254, 255] {
        let found = packet(&v6(next, &TCP));
        assert_eq!((found.protocol, found.src_port, found.dst_port), (next, [0; 2], [0; 2]));
        assert!(!found.is_icmp() && !found.is_icmp_error());
        let behind = packet(&v6_chain(&[(DESTINATION, &PADDING)], next, &TCP));
        assert_eq!((behind.protocol, behind.transport), (next, 62));
    }
}

/// P28: second, or behind another header.
#[test]
fn hop_by_hop_options_come_first_or_not_at_all() {
    let second = [(HOP_BY_HOP, &PADDING[..]), (HOP_BY_HOP, &PADDING)];
    let behind = [(DESTINATION, &PADDING[..]), (HOP_BY_HOP, &PADDING)];
    let atomic = fragment_header(0, false);
    let in_fragment = [(FRAGMENT, &atomic[..]), (HOP_BY_HOP, &PADDING)];
    all_refused(Reason::Malformed, [second, behind, in_fragment].map(|chain| v6_chain(&chain, 6, &TCP)));
}

/// P28: what ESP hides is not looked for.
#[test]
fn a_fragment_header_behind_esp_is_payload() {
    let hidden = [&[6][..], &fragment_header(0, true), &TCP].concat();
    let found = packet(&v6(50, &hidden));
    assert_eq!((found.protocol, found.part), (50, Part::Whole));
}
