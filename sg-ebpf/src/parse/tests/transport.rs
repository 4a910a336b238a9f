//! TCP, UDP, SCTP, ICMP, ICMPv6.

use super::{frames::*, *};

/// The same transport bytes over both families.
fn both(protocol: u8, bytes: &[u8]) -> [Vec<u8>; 2] {
    [v4(protocol, bytes), v6(protocol, bytes)]
}

#[test]
fn udp_and_sctp_yield_their_ports() {
    for (protocol, bytes, port) in [(17, &UDP[..], [0x14, 0xe9]), (132, &SCTP, [0x0d, 0x26])] {
        for frame in both(protocol, bytes) {
            let found = packet(&frame);
            assert_eq!(found.protocol, protocol);
            assert_eq!((found.src_port, found.dst_port, found.flags.0), ([0xc3, 0x50], port, 0));
        }
    }
}

/// I01, I22
#[test]
fn an_icmp_query_yields_type_code_and_identifier() {
    for (frame, kind) in [(v4(1, &ECHO), 8), (v6(58, &ECHO_V6), 128)] {
        let found = packet(&frame);
        assert_eq!((found.icmp_kind(), found.icmp_code(), found.src_port), (kind, 0, [1, 7]));
        assert!(found.is_icmp() && !found.is_icmp_error());
    }
}

/// I25
#[test]
fn icmp_of_the_other_family_is_a_protocol_like_any_other() {
    for frame in [v4(58, &ECHO_V6), v6(1, &ECHO)] {
        let found = packet(&frame);
        assert!(!found.is_icmp());
        assert_eq!((found.src_port, found.dst_port), ([0; 2], [0; 2]));
    }
}

/// P13, P14, P16, X03
#[test]
fn a_transport_header_cut_short_is_malformed() {
    for (protocol, bytes, whole) in [(6, &TCP[..], 20), (17, &UDP, 8), (132, &SCTP, 12)] {
        for length in 0..whole {
            all_refused(Reason::Malformed, both(protocol, &bytes[..length]));
        }
    }
    for length in 0..8 {
        all_refused(Reason::Malformed, [v4(1, &ECHO[..length]), v6(58, &ECHO_V6[..length])]);
    }
}

/// P14
#[test]
fn a_tcp_header_length_below_five_words_is_malformed() {
    for words in 0..5 {
        all_refused(Reason::Malformed, both(6, &bent(TCP.to_vec(), 12, &[words << 4])));
    }
}

/// P14: options cut short; the segment is as long as the claim; the padding behind it does not help.
#[test]
fn a_tcp_header_longer_than_the_segment_is_malformed() {
    for words in 6..=15u8 {
        let header = bent(TCP.to_vec(), 12, &[words << 4]);
        let options = vec![1; usize::from(words) * 4 - 20];
        let whole = [&header[..], &options].concat();
        for frame in both(6, &whole) {
            assert_eq!(packet(&frame).dst_port, [0x1f, 0x90]);
        }
        for mut frame in both(6, &whole[..whole.len() - 1]) {
            assert_eq!(refusal(&frame), Reason::Malformed);
            frame.extend([0; 60]);
            assert_eq!(refusal(&frame), Reason::Malformed);
        }
    }
}

/// T03, T04, T05, T06: NULL, XMAS, SYN+FIN, SYN+RST, FIN without ACK and their like.
#[test]
fn impossible_flags_are_dropped() {
    let possible = [0x02, 0x04, 0x10, 0x11, 0x12, 0x14, 0x22, 0x30, 0x31];
    for flags in 0..=255u8 {
        for frame in both(6, &bent(TCP.to_vec(), 13, &[flags])) {
            // PSH (8), ECE (0x40) and CWR (0x80) go with anything.
            if possible.contains(&(flags & 0x37)) {
                assert_eq!(packet(&frame).flags.0, flags);
            } else {
                assert_eq!(refusal(&frame), Reason::TcpFlags, "flags {flags:02x}");
            }
        }
    }
}

/// P15: 0 too, which IPv6 has for jumbograms only.
#[test]
fn a_udp_length_that_lies_is_malformed() {
    for length in (0..8).chain([13, 100, 65_535]) {
        all_refused(Reason::Malformed, both(17, &bent(UDP.to_vec(), 4, &u16::to_be_bytes(length))));
    }
}

/// P15
#[test]
fn a_udp_length_within_the_packet_is_taken() {
    for length in 8..=12 {
        for frame in both(17, &bent(UDP.to_vec(), 4, &u16::to_be_bytes(length))) {
            assert_eq!(packet(&frame).dst_port, [0x14, 0xe9]);
        }
    }
}

/// P18
#[test]
fn transport_checksums_are_not_verified() {
    for (protocol, bytes, at) in [(6, &TCP[..], 16), (17, &UDP, 6), (132, &SCTP, 8)] {
        for (good, bad) in
            both(protocol, bytes).into_iter().zip(both(protocol, &bent(bytes.to_vec(), at, &[0xde, 0xad])))
        {
            assert_eq!(packet(&good), packet(&bad));
        }
    }
}

/// P30, P43, U09: LAND, port 0, multicast destinations are the rules' to judge.
#[test]
fn unusual_but_consistent_packets_are_parsed() {
    let land = bent(bent(TCP_V4.to_vec(), IP + 16, &SRC_V4), BEHIND_V4 + 2, &[0xc3, 0x50]);
    let found = packet(&land);
    assert_eq!((found.src, found.src_port), (found.dst, found.dst_port));
    assert_eq!(packet(&bent(TCP_V4.to_vec(), BEHIND_V4, &[0; 4])).dst_port, [0; 2]);
    assert_eq!(packet(&bent(TCP_V4.to_vec(), IP + 16, &[224, 0, 0, 5])).dst.v4_octets(), [224, 0, 0, 5]);
}
