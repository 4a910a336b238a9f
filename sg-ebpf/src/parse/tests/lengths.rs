//! Frames cut at every length, frames longer than 64 KiB, frames that are not linear.

use super::{frames::*, *};
use crate::frame::Frame;

/// P01, P02, P03, P05, P10, P13, P14, P16, P20, P34: nothing that has lost a byte of its IP packet passes.
#[test]
fn a_frame_cut_at_any_length_is_dropped() {
    for (name, frame, guest) in every_kind() {
        assert!(content(&frame, guest).is_ok(), "{name} is valid");
        for length in 0..frame.len() {
            let outcome = content(&frame[..length], guest);
            assert_eq!(outcome, Err(Reason::Malformed), "{name} cut to {length}");
        }
    }
}

/// P12, P41: padding of any length changes nothing.
#[test]
fn a_frame_with_padding_is_the_same_frame() {
    for (name, frame, guest) in every_kind() {
        let plain = content(&frame, guest);
        for length in [1, 6, 46, 1500] {
            let padded = [&frame[..], &vec![0xff; length]].concat();
            assert_eq!(content(&padded, guest), plain, "{name}");
            if plain == Ok(Content::Ip) {
                assert_eq!(packet_on(&padded, guest), packet_on(&frame, guest), "{name}");
            }
        }
    }
}

/// P37: 9000 bytes; P39: 64 KiB.
#[test]
fn long_packets_are_judged_like_short_ones() {
    for length in [8980, 65_000] {
        let payload = vec![0; length];
        for frame in [v4(6, &[&TCP[..], &payload].concat()), v6(6, &[&TCP[..], &payload].concat())] {
            let found = packet(&frame);
            assert_eq!((found.dst_port, found.end as usize), ([0x1f, 0x90], frame.len()));
        }
    }
}

/// P39: super-packets longer than 64 KiB have 0 in the length field.
#[test]
fn a_super_packet_without_a_length_ends_with_its_frame() {
    let payload = vec![0; 180_000];
    for frame in [v4(6, &[&TCP[..], &payload].concat()), v6(6, &[&TCP[..], &payload].concat())] {
        let at = if frame[12] == 8 { 16 } else { 18 };
        let found = packet(&bent(frame.clone(), at, &[0, 0]));
        assert_eq!((found.dst_port, found.end as usize), ([0x1f, 0x90], frame.len()));
    }
    let jumbo = [&[6, 0, 0xc2, 4, 0, 2, 0xbf, 0x34][..], &TCP, &payload].concat();
    let found = packet(&bent(v6(0, &jumbo), 18, &[0, 0]));
    assert_eq!((found.transport, found.dst_port), (62, [0x1f, 0x90]));
}

/// P10, P20, P39: exactly from the length on that the field cannot hold.
#[test]
fn a_length_of_0_is_a_lie_in_a_frame_that_is_short_enough() {
    for (rest, passes) in [(65_535, false), (65_536, true)] {
        let v4 = bent(v4(6, &[&TCP[..], &vec![0; rest - 40]].concat()), 16, &[0, 0]);
        let v6 = bent(v6(6, &[&TCP[..], &vec![0; rest - 20]].concat()), 18, &[0, 0]);
        for frame in [v4, v6] {
            let expected = if passes { Ok(Content::Ip) } else { Err(Reason::Malformed) };
            assert_eq!(content(&frame, true), expected, "{rest}");
        }
    }
}

/// A frame of which only the first bytes are linear; a helper reads the rest.
struct NonLinear<'a> {
    bytes: &'a [u8],
    linear: usize,
    helper_reads: std::cell::Cell<u32>,
}

impl Frame for NonLinear<'_> {
    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }
    fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset + N > self.linear { self.load(offset as u32) } else { self.bytes.head(offset) }
    }
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.helper_reads.set(self.helper_reads.get() + 1);
        self.bytes.load(offset)
    }
}

/// P38: 0 to all bytes are linear.
#[test]
fn what_is_not_linear_is_parsed_all_the_same() {
    for (name, bytes, guest) in every_kind().into_iter().filter(|(name, ..)| *name != "ARP") {
        let expected = packet_on(&bytes, guest);
        for linear in 0..=bytes.len() {
            let frame = NonLinear { bytes: &bytes, linear, helper_reads: 0.into() };
            let mut packet = Packet::default();
            let outcome = parse(&frame, guest, &mut packet, &mut Arp::default());
            assert_eq!((outcome, packet), (Ok(Content::Ip), expected), "{name}, {linear} linear bytes");
        }
    }
}

/// A linear packet of the common kinds costs no helper call.
#[test]
fn plain_packets_are_read_without_a_helper() {
    for bytes in [TCP_V4.to_vec(), TCP_V6.to_vec(), v4(17, &UDP), v6(17, &UDP), v4(1, &ECHO)] {
        let frame = NonLinear { bytes: &bytes, linear: bytes.len(), helper_reads: 0.into() };
        parse(&frame, true, &mut Packet::default(), &mut Arp::default()).expect("valid");
        assert_eq!(frame.helper_reads.get(), 0);
    }
}
