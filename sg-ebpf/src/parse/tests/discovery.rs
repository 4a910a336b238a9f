//! Neighbour discovery messages that a receiver would accept.

use super::{
    super::discovery::{is_discovery, read},
    frames::*,
    *,
};
use sg_common::addr::Addr;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Source link-layer address.
const OPTION: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 0x0a];

/// Type, and length without options, of the five messages.
const MESSAGES: [(u8, usize); 5] = [(133, 8), (134, 16), (SOLICITATION, 24), (ADVERTISEMENT, 24), (137, 40)];

/// A message with its fixed part as long as its type asks for; the target is the receiver.
fn message(kind: u8, options: &[u8]) -> Vec<u8> {
    let (_, length) = MESSAGES.into_iter().find(|(number, _)| *number == kind).expect("a message");
    let mut fixed = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &DST_V6, &SRC_V6].concat();
    fixed.truncate(length);
    [&fixed[..], options].concat()
}

/// The target, if the message is sound.
fn target(frame: &[u8]) -> Option<Addr> {
    let packet = packet(frame);
    let mut message = Packet::default();
    assert!(is_discovery(&packet));
    read(frame, packet.transport, &packet, &mut message).ok().map(|()| message.src)
}

/// N05, N06, N08
#[test]
fn each_message_is_sound_with_and_without_options() {
    for (kind, _) in MESSAGES {
        for options in [&[][..], &OPTION, &[&OPTION[..], &OPTION].concat()] {
            assert!(target(&v6(58, &message(kind, options))).is_some(), "type {kind}");
        }
    }
}

/// N06
#[test]
fn solicitations_and_advertisements_name_their_target() {
    for kind in [SOLICITATION, ADVERTISEMENT] {
        assert_eq!(target(&v6(58, &message(kind, &OPTION))), Some(Addr(DST_V6)));
    }
}

/// N05
#[test]
fn options_are_measured() {
    for (kind, _) in MESSAGES {
        for options in [&[][..], &OPTION, &[&OPTION[..], &OPTION].concat()] {
            let frame = v6(58, &message(kind, options));
            let (packet, mut found) = (packet(&frame), Packet::default());
            assert_eq!(read(&frame[..], packet.transport, &packet, &mut found), Ok(()));
            assert_eq!((found.end - found.transport) as usize, options.len(), "type {kind}");
        }
    }
}

/// N07
#[test]
fn a_message_from_beyond_the_link_is_not_sound() {
    for (kind, _) in MESSAGES {
        for hop_limit in [0, 1, 64, 254] {
            assert_eq!(target(&bent(v6(58, &message(kind, &[])), IP + 7, &[hop_limit])), None, "type {kind}");
        }
    }
}

/// N07
#[test]
fn a_code_is_not_sound() {
    for (kind, _) in MESSAGES {
        assert_eq!(target(&v6(58, &bent(message(kind, &[]), 1, &[1]))), None, "type {kind}");
    }
}

/// N07
#[test]
fn a_message_cut_short_is_not_sound() {
    for (kind, length) in MESSAGES {
        for cut in 8..length {
            assert_eq!(target(&v6(58, &message(kind, &[])[..cut])), None, "type {kind}, {cut} bytes");
        }
    }
}

/// N07: length 0 would be read for ever.
#[test]
fn options_that_do_not_fit_are_not_sound() {
    let options: [&[u8]; 6] = [
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 2, 0, 0, 0, 0, 0, 0],
        &[1],
        &[1, 1, 0, 0],
        &[1, 1, 0, 0, 0, 0, 0, 0, 1],
        &[1, 255, 0, 0, 0, 0, 0, 0],
    ];
    for (kind, _) in MESSAGES {
        for option in options {
            assert_eq!(target(&v6(58, &message(kind, option))), None, "type {kind}, {option:02x?}");
        }
    }
}

/// N13: RFC 6980. An atomic fragment and a first one that holds the whole message too.
#[test]
fn a_fragment_is_not_sound() {
    for (kind, _) in MESSAGES {
        for more in [false, true] {
            let frame = v6_chain(&[(44, &fragment_header(0, more))], 58, &message(kind, &[]));
            assert_eq!(target(&frame), None, "type {kind}");
        }
    }
}

/// N10: MLD is no neighbour discovery; nor is anything around it, or a later fragment.
#[test]
fn other_messages_are_no_neighbour_discovery() {
    for kind in (0..=255).filter(|kind| !(133..=137).contains(kind)) {
        assert!(!is_discovery(&packet(&v6(58, &[kind, 0, 0, 0, 0, 0, 0, 0]))), "type {kind}");
    }
    let later = v6_chain(&[(44, &fragment_header(3, false))], 58, &message(SOLICITATION, &[]));
    assert!(!is_discovery(&packet(&later)));
    assert!(!is_discovery(&packet(&v4(58, &message(SOLICITATION, &[])))));
}

/// A27: hidden behind an extension header it is seen all the same.
#[test]
fn extension_headers_do_not_hide_a_message() {
    let frame = v6_chain(&[(60, &PADDING)], 58, &message(ADVERTISEMENT, &[]));
    assert_eq!(target(&frame), Some(Addr(DST_V6)));
}
