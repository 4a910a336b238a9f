//! What the short way reads is what the long way reads, and that it reads the common packet at all.

use std::fmt::Debug;

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    packet::{Arp, Content, Packet, Part},
    parse::{
        parse,
        tests::frames::{BEHIND_V4, BEHIND_V6, TCP_V4, TCP_V6, bent, every_kind},
    },
    track::flow::{Flow, FlowKey},
};

const ACK: u8 = 0x10;
const FLAGS: usize = 13;

/// Reads a frame both ways; whether the short way does. If it does, the long way finds the same.
fn agrees<T: Family<Key: FlowKey + PartialEq + Debug>>(frame: &[u8]) -> bool {
    let Some(plain) = T::read(frame) else { return false };
    let mut packet = Packet::default();
    assert_eq!(parse(frame, true, &mut packet, &mut Arp::default()), Ok(Content::Ip), "{frame:02x?}");
    assert_eq!((packet.family, packet.part), (T::FAMILY, Part::Whole), "{frame:02x?}");
    assert_eq!((packet.protocol, packet.end), (plain.protocol, plain.end), "{frame:02x?}");
    assert_eq!(packet.src, T::addr(plain.src));
    let flow = Flow::of(&packet);
    assert_eq!(flow.step, plain.step);
    assert!(flow.tracked && !flow.is_opening_syn());
    for outward in [false, true] {
        assert_eq!(key_of::<T>(0x123, outward, &plain), T::Key::of(0x123, outward, &packet));
    }
    true
}

/// Whether the short way reads a frame, by its ethertype as in [`passes`].
fn reads(frame: &[u8]) -> bool {
    match frame.get(KIND..NETWORK) {
        Some([0x08, 0x00]) => agrees::<TableV4>(frame),
        Some([0x86, 0xdd]) => agrees::<TableV6>(frame),
        _ => false,
    }
}

#[test]
fn segments_and_datagrams_are_read_short() {
    let read: Vec<&str> =
        every_kind().into_iter().filter(|(_, frame, _)| reads(frame)).map(|(name, ..)| name).collect();
    assert!(!read.is_empty());
    assert!(reads(&bent(TCP_V4.to_vec(), BEHIND_V4 + FLAGS, &[ACK])));
    assert!(reads(&bent(TCP_V6.to_vec(), BEHIND_V6 + FLAGS, &[ACK])));
}

#[test]
fn what_opens_or_ends_a_connection_is_not() {
    for flags in (0..=u8::MAX).filter(|flags| flags & 0x17 != ACK) {
        assert!(!reads(&bent(TCP_V4.to_vec(), BEHIND_V4 + FLAGS, &[flags])), "{flags:02x}");
    }
}

/// Every single byte of the headers, with every value.
#[test]
fn no_byte_is_read_otherwise() {
    let segments =
        [bent(TCP_V4.to_vec(), BEHIND_V4 + FLAGS, &[ACK]), bent(TCP_V6.to_vec(), BEHIND_V6 + FLAGS, &[ACK])];
    for frame in every_kind().into_iter().map(|(_, frame, _)| frame).chain(segments) {
        for at in 12..frame.len().min(80) {
            for value in 0..=u8::MAX {
                reads(&bent(frame.clone(), at, &[value]));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_read_otherwise(
        (_, seed, _) in select(every_kind()),
        changes in proptest::collection::vec((12usize..80, any::<u8>()), 0..4),
        length in 0usize..120,
    ) {
        let mut frame = seed;
        for (at, value) in changes {
            if at < frame.len() {
                frame[at] = value;
            }
        }
        frame.truncate(length.max(14));
        reads(&frame);
    }
}
