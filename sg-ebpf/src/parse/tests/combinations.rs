//! Every combination of headers from a few of each kind, cut at every length, with every length in the IP header: none
//! breaks the promise of the parser. Identifiers such as P42 are those of the scenario catalogue.

use super::{frames::*, *};

/// Options of IPv4: none, fillers, a record route, a length past the header.
const OPTIONS: [&[u8]; 4] = [&[], &[1, 1, 1, 0], &[7, 7, 4, 0, 0, 0, 0, 1], &[7, 9, 4, 0, 0, 0, 0, 1]];
/// Flags and offset of IPv4: whole, first fragment, middle, last.
const FIELDS: [u16; 4] = [0x4000, 0x2000, 0x2002, 0x0002];
const TAGS: [&[u8]; 3] = [&[], &[0x81, 0, 0, 5], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]];

/// Transport headers: TCP with every data offset, and one of each other protocol.
fn transports(v4: bool) -> Vec<(u8, Vec<u8>)> {
    let padded = [&TCP[..], &[1; 44]].concat();
    let mut all: Vec<(u8, Vec<u8>)> =
        (0..16).map(|offset| (6, bent(padded.clone(), 12, &[offset << 4]))).collect();
    let (icmp, echo) = if v4 { (1, ECHO) } else { (58, ECHO_V6) };
    all.extend([(17, UDP.to_vec()), (132, SCTP.to_vec()), (icmp, echo.to_vec()), (47, vec![0; 8])]);
    all
}

/// Both roles, cut at every length; how many frames.
fn cut_everywhere(frame: &[u8]) -> usize {
    for length in 0..=frame.len() {
        let _ = (content(&frame[..length], true), content(&frame[..length], false));
    }
    2 * (frame.len() + 1)
}

fn tagged(tags: &[u8], frame: &[u8]) -> Vec<u8> {
    [&frame[..12], tags, &frame[12..]].concat()
}

/// P42
#[test]
fn ipv4_in_every_combination_cut_at_every_length() {
    let mut frames = 0;
    for (protocol, transport) in transports(true) {
        for options in OPTIONS {
            for field in FIELDS {
                let plain = ethernet(0x0800, &v4_packet(options, field, protocol, &transport));
                frames += TAGS.iter().map(|tags| cut_everywhere(&tagged(tags, &plain))).sum::<usize>();
            }
        }
    }
    assert_eq!(frames, 187_200);
}

/// P42, F16: every chain of up to three headers out of hop-by-hop, destination, routing, and fragment headers of a
/// whole packet, a first and a later fragment.
#[test]
fn ipv6_in_every_combination_cut_at_every_length() {
    let fragment = |offset, more| fragment_header(offset, more).to_vec();
    let (routing, padding) = (vec![0, 2, 0, 0, 0, 0, 0], PADDING.to_vec());
    let kinds: [(u8, Vec<u8>); 6] = [
        (0, padding.clone()),
        (60, padding),
        (43, routing),
        (44, fragment(0, false)),
        (44, fragment(0, true)),
        (44, fragment(3, false)),
    ];
    let mut chains: Vec<Vec<usize>> = vec![vec![]];
    for length in 0..3 {
        let longest: Vec<Vec<usize>> = chains.iter().filter(|chain| chain.len() == length).cloned().collect();
        chains
            .extend(longest.iter().flat_map(|chain| (0..6).map(move |kind| [&chain[..], &[kind]].concat())));
    }
    assert_eq!(chains.len(), 259);
    let mut frames = 0;
    for (protocol, transport) in transports(false).into_iter().skip(5).step_by(3) {
        for chain in &chains {
            let headers: Vec<(u8, &[u8])> =
                chain.iter().map(|&kind| (kinds[kind].0, &kinds[kind].1[..])).collect();
            frames += cut_everywhere(&v6_chain(&headers, protocol, &transport));
        }
    }
    assert_eq!(frames, 341_426);
}

/// P10, P20: every length that an IP header can announce, in front of every kind of frame, with every header length
/// of IPv4.
#[test]
fn every_length_in_the_ip_header() {
    for (_, frame, guest) in every_kind() {
        let (at, firsts) = match frame[12..14] {
            [8, 0] => (16, 0x40..=0x4f),
            [0x86, 0xdd] => (18, 0x60..=0x60),
            _ => continue,
        };
        for first in firsts {
            let bent_first = bent(frame.clone(), IP, &[first]);
            for length in (0..=frame.len() as u16 + 1).chain([u16::MAX - 1, u16::MAX]) {
                let _ = content(&bent(bent_first.clone(), at, &length.to_be_bytes()), guest);
            }
        }
    }
}
