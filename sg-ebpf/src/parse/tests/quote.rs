//! What an ICMP error quotes.

use super::{super::quote, frames::*, *};

/// Unreachable, fragmentation needed, time exceeded, parameter problem.
const ERRORS: [[u8; 2]; 5] = [[3, 3], [3, 4], [11, 0], [11, 1], [12, 0]];
/// Unreachable, too big, time exceeded, parameter problem.
const ERRORS_V6: [[u8; 2]; 5] = [[1, 4], [2, 0], [3, 0], [4, 1], [1, 0]];

fn error([kind, code]: [u8; 2], quote: &[u8]) -> Vec<u8> {
    v4(1, &[&[kind, code, 0, 0, 0, 0, 5, 0][..], quote].concat())
}

fn error_v6([kind, code]: [u8; 2], quote: &[u8]) -> Vec<u8> {
    v6(58, &[&[kind, code, 0, 0, 0, 0, 5, 0][..], quote].concat())
}

/// The packet that a frame with an ICMP error quotes.
fn quoted(frame: &[u8]) -> Option<Packet> {
    let error = packet(frame);
    let mut quoted = Packet::default();
    let at = error.transport + quote::ICMP_HEADER;
    assert!(error.is_icmp_error());
    quote::read(frame, at, &error, &mut quoted).ok().map(|()| quoted)
}

fn quoted_v4(quote: &[u8]) -> Option<Packet> {
    quoted(&error([3, 3], quote))
}

fn quoted_v6(quote: &[u8]) -> Option<Packet> {
    quoted(&error_v6([1, 4], quote))
}

/// I06, I08, I09, I10, I20, I21
#[test]
fn errors_name_the_flow_of_the_packet_they_quote() {
    for kind in ERRORS {
        let found = quoted(&error(kind, &v4_packet(&[], 0, 17, &UDP))).expect("a flow");
        assert_eq!((found.src.v4_octets(), found.dst.v4_octets(), found.protocol), (SRC_V4, DST_V4, 17));
        assert_eq!((found.src_port, found.dst_port), ([0xc3, 0x50], [0x14, 0xe9]));
    }
    for kind in ERRORS_V6 {
        let found = quoted(&error_v6(kind, &v6_packet(6, &TCP))).expect("a flow");
        assert_eq!((found.src.0, found.dst.0, found.protocol), (SRC_V6, DST_V6, 6));
        assert_eq!((found.src_port, found.dst_port), ([0xc3, 0x50], [0x1f, 0x90]));
    }
}

/// I10: source quench and redirect; queries; what is no error.
#[test]
fn other_types_are_no_errors() {
    for kind in (0..=255).filter(|kind| ![3, 11, 12].contains(kind)) {
        assert!(!packet(&error([kind, 0], &v4_packet(&[], 0, 17, &UDP))).is_icmp_error(), "type {kind}");
    }
    for kind in (0..=255).filter(|kind| !(1..=4).contains(kind)) {
        assert!(!packet(&error_v6([kind, 0], &v6_packet(17, &UDP))).is_icmp_error(), "type {kind}");
    }
}

/// I11: 8 bytes of transport header are quoted by every router; fewer are nobody's.
#[test]
fn eight_quoted_bytes_are_enough_and_seven_are_not() {
    for (protocol, bytes) in [(6, &TCP[..]), (17, &UDP), (132, &SCTP), (47, &[0; 8])] {
        assert!(quoted_v4(&v4_packet(&[], 0, protocol, bytes)[..28]).is_some());
        assert!(quoted_v6(&v6_packet(protocol, bytes)[..48]).is_some());
        for length in 0..28 {
            assert_eq!(quoted_v4(&v4_packet(&[], 0, protocol, bytes)[..length]), None, "{length} bytes");
        }
        for length in 0..48 {
            assert_eq!(quoted_v6(&v6_packet(protocol, bytes)[..length]), None, "{length} bytes");
        }
    }
}

/// I11, P11: the quote must lie inside the IP packet, not the frame.
#[test]
fn padding_does_not_complete_a_quote() {
    let cut = error([3, 3], &v4_packet(&[], 0, 17, &UDP)[..24]);
    assert_eq!(quoted(&[&cut[..], &[0; 32]].concat()), None);
}

/// I12: ports are read behind the quoted options.
#[test]
fn quoted_options_are_skipped() {
    let quote = v4_packet(&[7, 7, 4, 0, 0, 0, 0, 1], 0, 17, &UDP);
    assert_eq!(quoted_v4(&quote).expect("a flow").dst_port, [0x14, 0xe9]);
    assert_eq!(quoted_v4(&quote[..35]), None);
}

/// I12: RFC 4884.
#[test]
fn an_extension_behind_the_quote_is_ignored() {
    let padded =
        [&v4_packet(&[], 0, 17, &UDP)[..], &[0; 96], &[0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 1, 1]].concat();
    assert_eq!(quoted_v4(&padded).expect("a flow").dst_port, [0x14, 0xe9]);
}

/// I12, I21
#[test]
fn quoted_extension_headers_are_walked() {
    let behind = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &[17, 0, 1, 4, 0, 0, 0, 0], &UDP].concat();
    assert_eq!(quoted_v6(&v6_packet(0, &behind)).expect("a flow").dst_port, [0x14, 0xe9]);
    let nine = [&[60, 0, 1, 4, 0, 0, 0, 0].repeat(8)[..], &[17, 0, 1, 4, 0, 0, 0, 0], &UDP].concat();
    assert_eq!(quoted_v6(&v6_packet(60, &nine)), None);
    let eight = [&[60, 0, 1, 4, 0, 0, 0, 0].repeat(7)[..], &[17, 0, 1, 4, 0, 0, 0, 0], &UDP].concat();
    assert!(quoted_v6(&v6_packet(60, &eight)).is_some());
    let runs_past = [&[17, 200, 1, 4, 0, 0, 0, 0][..], &UDP].concat();
    assert_eq!(quoted_v6(&v6_packet(60, &runs_past)), None);
}

/// I11
#[test]
fn a_quote_with_a_bad_header_names_no_flow() {
    let quote = v4_packet(&[], 0, 17, &UDP);
    for first in [0x40, 0x44, 0x4f, 0x55, 0x65] {
        assert_eq!(quoted_v4(&bent(quote.clone(), 0, &[first])), None, "{first:02x}");
    }
    assert_eq!(quoted_v6(&quote), None);
    assert_eq!(quoted_v4(&v6_packet(17, &UDP)), None);
}

/// I15: it has no ports.
#[test]
fn a_quoted_later_fragment_names_no_flow() {
    assert_eq!(quoted_v4(&v4_packet(&[], 1, 17, &UDP)), None);
    assert_eq!(quoted_v4(&v4_packet(&[], 0x2001, 17, &UDP)), None);
    let later = [&[17, 0, 0, 0x18, 0, 0, 0, 9][..], &UDP].concat();
    assert_eq!(quoted_v6(&v6_packet(44, &later)), None);
}

/// I08, I15: path-MTU discovery of a datagram that was fragmented before.
#[test]
fn a_quoted_first_fragment_names_its_flow() {
    assert!(quoted_v4(&v4_packet(&[], 0x2000, 17, &UDP)).is_some());
    let first = [&[17, 0, 0, 1, 0, 0, 0, 9][..], &UDP].concat();
    assert_eq!(quoted_v6(&v6_packet(44, &first)).expect("a flow").dst_port, [0x14, 0xe9]);
}

/// I09: traceroute by ping.
#[test]
fn a_quoted_query_names_its_identifier() {
    let found = quoted_v4(&v4_packet(&[], 0, 1, &ECHO)).expect("a flow");
    assert_eq!((found.icmp_kind(), found.src_port), (8, [1, 7]));
    let found = quoted_v6(&v6_packet(58, &ECHO_V6)).expect("a flow");
    assert_eq!((found.icmp_kind(), found.src_port), (128, [1, 7]));
}

/// I14: nor anything else of ICMP that is no query.
#[test]
fn an_error_in_an_error_names_no_flow() {
    for kind in [3, 4, 5, 9, 11, 12, 255] {
        assert_eq!(quoted_v4(&v4_packet(&[], 0, 1, &[kind, 0, 0, 0, 0, 0, 0, 0])), None, "type {kind}");
    }
    for kind in [1, 2, 3, 4, 127, 134, 135, 136, 137] {
        assert_eq!(quoted_v6(&v6_packet(58, &[kind, 0, 0, 0, 0, 0, 0, 0])), None, "type {kind}");
    }
}
