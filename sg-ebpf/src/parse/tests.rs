//! Bytes -> fields, or the reason why not. Identifiers such as P06 are those of the scenario catalogue.

use sg_common::verdict::Reason;

use super::{invariants, parse};
use crate::packet::{Arp, Content, Packet};

mod combinations;
mod discovery;
mod ethernet;
mod fragments;
pub(crate) mod frames;
mod ipv4;
mod ipv6;
mod lengths;
mod properties;
mod quote;
mod transport;

/// What a frame on a guest's or a host's interface carries.
pub(crate) fn content(frame: &[u8], guest: bool) -> Result<Content, Reason> {
    invariants::check(frame, guest)
}

/// The IP packet that a guest's frame carries.
#[track_caller]
pub(crate) fn packet(frame: &[u8]) -> Packet {
    packet_on(frame, true)
}

/// The IP packet that a frame on a host NIC carries.
#[track_caller]
pub(crate) fn packet_on(frame: &[u8], guest: bool) -> Packet {
    assert_eq!(content(frame, guest), Ok(Content::Ip), "{frame:02x?}");
    let mut packet = Packet::default();
    parse(frame, guest, &mut packet, &mut Arp::default()).expect("parsed before");
    packet
}

/// The reason why a guest's frame is dropped.
#[track_caller]
pub(crate) fn refusal(frame: &[u8]) -> Reason {
    match content(frame, true) {
        Err(reason) => reason,
        Ok(content) => panic!("{content:?} in {frame:02x?}"),
    }
}

/// The same for several frames, which are dropped for the same reason.
#[track_caller]
pub(crate) fn all_refused(reason: Reason, frames: impl IntoIterator<Item = Vec<u8>>) {
    for frame in frames {
        assert_eq!(content(&frame, true), Err(reason), "{frame:02x?}");
    }
}
