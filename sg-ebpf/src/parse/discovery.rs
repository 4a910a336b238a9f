//! Neighbour discovery messages (RFC 4861).

use sg_common::{addr::Addr, verdict::Reason};

use crate::{
    frame::Frame,
    packet::{Packet, Part, V6},
};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;

/// Whether the packet is a neighbour discovery message.
#[inline(always)]
pub fn is_discovery(packet: &Packet) -> bool {
    packet.family == V6
        && packet.is_icmp()
        && packet.part != Part::Later
        && matches!(packet.icmp_kind(), ROUTER_SOLICITATION..=REDIRECT)
}

/// Reads the neighbour discovery message at `at`; its target becomes `message.src`, its options lie between
/// `message.transport` and `message.end`. `Ok` is what RFC 4861 (6.1, 7.1, 8.1) lets a
/// receiver accept, and not a fragment (RFC 6980).
#[inline(always)]
pub fn read<F: Frame + ?Sized>(
    frame: &F,
    at: u32,
    packet: &Packet,
    message: &mut Packet,
) -> Result<(), Reason> {
    let fixed = match packet.icmp_kind() {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT => 16,
        REDIRECT => 40,
        _ => 24,
    };
    let plain = packet.hop_limit == 255 && packet.icmp_code() == 0 && packet.datagram_protocol == 0;
    if !plain || at + fixed > packet.end {
        return Err(Reason::Malformed);
    }
    if fixed >= 24 {
        message.src = Addr(frame.load::<16>(at + 8).ok_or(Reason::Malformed)?);
    }
    (message.transport, message.end) = (at + fixed, packet.end);
    if options_are_valid(frame, at + fixed, packet.end) { Ok(()) } else { Err(Reason::Malformed) }
}

/// No option of length 0, none that runs past the packet. More than ten are nobody's.
#[inline(always)]
fn options_are_valid<F: Frame + ?Sized>(frame: &F, start: u32, end: u32) -> bool {
    let mut at = start;
    for _ in 0..10 {
        if at + 2 > end {
            return at == end;
        }
        let Some([_, units]) = frame.load::<2>(at) else { return false };
        if units == 0 {
            return false;
        }
        at += u32::from(units) * 8;
    }
    at == end
}
