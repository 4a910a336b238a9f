//! IPv4.

use super::{frames::*, *};
use crate::packet::{Part, V4};
use sg_common::{addr::Addr, conntrack::TcpFlags};

#[test]
fn tcp_over_ipv4_yields_every_field() {
    let expected = Packet {
        src: Addr::v4(SRC_V4),
        dst: Addr::v4(DST_V4),
        src_mac: SRC_MAC,
        family: V4,
        protocol: 6,
        hop_limit: 64,
        part: Part::Whole,
        offset: 0,
        piece: 0,
        is_last: false,
        datagram: 0x1234,
        datagram_protocol: 6,
        src_port: [0xc3, 0x50],
        dst_port: [0x1f, 0x90],
        flags: TcpFlags(2),
        transport: 34,
        end: 54,
    };
    assert_eq!(packet(&TCP_V4), expected);
}

/// P03
#[test]
fn a_header_cut_short_is_malformed() {
    for length in 0..20 {
        assert_eq!(refusal(&TCP_V4[..IP + length]), Reason::Malformed, "{length} bytes");
    }
}

/// P04
#[test]
fn a_header_length_below_five_words_is_malformed() {
    all_refused(Reason::Malformed, (0..5).map(|words| bent(TCP_V4.to_vec(), IP, &[0x40 | words])));
}

/// P05: the frame ends inside the options; then the packet does, the frame does not.
#[test]
fn a_header_longer_than_the_packet_is_malformed() {
    let frame = bent(TCP_V4.to_vec(), IP, &[0x4f]);
    let padded = [&frame[..], &[0; 64]].concat();
    all_refused(Reason::Malformed, [frame, padded]);
}

/// P06: no-operation, record route, timestamp, router alert, security; every header length.
#[test]
fn ports_are_read_behind_the_options() {
    for words in 1..=10 {
        let found = packet(&v4_options(&vec![1; words * 4], 6, &TCP));
        assert_eq!((found.transport, found.dst_port), (34 + words as u32 * 4, [0x1f, 0x90]));
    }
    let options: [&[u8]; 4] = [
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[0x44, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x94, 4, 0, 0],
        &[0x82, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ];
    for option in options {
        assert_eq!(packet(&v4_options(option, 6, &TCP)).dst_port, [0x1f, 0x90], "{option:02x?}");
    }
}

/// P07: at offset 34 stands another port than in the TCP header.
#[test]
fn options_that_look_like_ports_are_not_ports() {
    let looks_like_9 = [0x88, 4, 0, 9];
    let found = packet(&v4_options(&looks_like_9, 6, &TCP));
    assert_eq!((found.src_port, found.dst_port), ([0xc3, 0x50], [0x1f, 0x90]));
}

/// P08: loose and strict, first and behind other options, whatever length they claim.
#[test]
fn source_routes_are_dropped() {
    let routes: [&[u8]; 6] = [
        &[131, 7, 4, 10, 0, 0, 1, 0],
        &[137, 7, 4, 10, 0, 0, 1, 0],
        &[1, 1, 1, 131, 7, 4, 10, 0, 0, 1, 0, 0],
        &[7, 3, 4, 137, 3, 4, 0, 0],
        &[1, 1, 1, 131],
        &[131, 0, 0, 0],
    ];
    all_refused(Reason::IpOptions, routes.map(|route| v4_options(route, 6, &TCP)));
}

/// P05
#[test]
fn an_option_that_runs_past_the_header_is_malformed() {
    let options: [&[u8]; 5] =
        [&[7, 0, 0, 0], &[7, 1, 0, 0], &[7, 5, 0, 0], &[1, 1, 1, 7], &[7, 255, 0, 0, 0, 0, 0, 0]];
    all_refused(Reason::Malformed, options.map(|option| v4_options(option, 6, &TCP)));
}

/// P08: receivers stop at the end of the options too.
#[test]
fn nothing_is_an_option_behind_the_end_of_options() {
    assert_eq!(packet(&v4_options(&[0, 131, 7, 4], 6, &TCP)).dst_port, [0x1f, 0x90]);
}

/// P09
#[test]
fn another_version_is_malformed() {
    let versions = [0x05, 0x55, 0x65, 0xf5].map(|first| bent(TCP_V4.to_vec(), IP, &[first]));
    all_refused(Reason::Malformed, versions);
    all_refused(Reason::Malformed, [ethernet(0x0800, &TCP_V6[IP..]), ethernet(0x86dd, &TCP_V4[IP..])]);
}

/// P10: 508 bytes claimed in 60; one byte more than there is.
#[test]
fn a_total_length_beyond_the_frame_is_malformed() {
    let lengths = [41u16, 508, 65_535].map(|length| bent(TCP_V4.to_vec(), 16, &length.to_be_bytes()));
    all_refused(Reason::Malformed, lengths);
}

/// P11: a transport header outside the IP packet is none, though the frame has its bytes.
#[test]
fn a_total_length_that_cuts_a_header_is_malformed() {
    all_refused(Reason::Malformed, (0..40u16).map(|n| bent(TCP_V4.to_vec(), 16, &n.to_be_bytes())));
    let options = v4_options(&[1; 8], 6, &TCP);
    all_refused(Reason::Malformed, (0..48u16).map(|n| bent(options.clone(), 16, &n.to_be_bytes())));
}

/// P12
#[test]
fn ethernet_padding_is_not_part_of_the_packet() {
    let padded = [&v4(17, &UDP)[..], &[0xff; 14]].concat();
    assert_eq!(packet(&padded), packet(&v4(17, &UDP)));
    assert_eq!(packet(&padded).end, 46);
}

/// P17, P18, P44, P45: neither checksum is verified; TTL, DSCP and ECN decide nothing.
#[test]
fn checksums_ttl_and_traffic_class_do_not_matter() {
    let plain = packet(&TCP_V4);
    for (at, bytes) in [(IP + 10, [0xde, 0xad]), (BEHIND_V4 + 16, [0xbe, 0xef]), (IP + 1, [0xff, 0])] {
        assert_eq!(packet(&bent(TCP_V4.to_vec(), at, &bytes)), plain);
    }
    for ttl in [0, 1, 255] {
        let found = packet(&bent(TCP_V4.to_vec(), IP + 8, &[ttl]));
        assert_eq!(found, Packet { hop_limit: ttl, ..plain });
    }
}

/// F13
#[test]
fn the_reserved_bit_is_malformed() {
    all_refused(
        Reason::Malformed,
        [0x8000, 0xc000, 0xa000, 0x8002].map(|field| v4_fragment(field, 17, &UDP)),
    );
}

/// X01, X05, X06, X08: 0 and 255 are protocols like any other; so is ICMPv6's number.
#[test]
fn other_protocols_have_a_number_and_no_ports() {
    for protocol in [0, 2, 4, 41, 47, 50, 51, 58, 89, 112, 115, 255] {
        let found = packet(&v4(protocol, &[0xff; 8]));
        assert_eq!((found.protocol, found.src_port, found.dst_port), (protocol, [0; 2], [0; 2]));
        assert!(!found.is_icmp() && !found.is_icmp_error());
        assert_eq!(packet(&v4(protocol, &[])).protocol, protocol, "without payload");
    }
}
