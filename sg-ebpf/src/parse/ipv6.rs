//! IPv6 (RFC 8200).

use sg_common::{addr::Addr, limits::MAX_EXTENSION_HEADERS, verdict::Reason};

use super::{ETHERNET, field, result, transport};
use crate::{
    frame::Frame,
    packet::{Packet, Part, V6, protocol},
};

const HEADER: u32 = 40;
/// Longest payload that fits the 16-bit length.
const MAX_PAYLOAD: u32 = 65_535;

/// Next-header values that are extension headers to walk. Authentication (51), ESP (50), no next header (59),
/// mobility (135) and the rest end the chain: they are protocols to the rules.
mod next {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const DESTINATION: u8 = 60;
}

/// Parses the packet at `at`.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, at: u32, packet: &mut Packet) -> Result<(), Reason> {
    let header = frame.at::<ETHERNET, 40>(at).ok_or(Reason::Malformed)?;
    let mut payload = u32::from(u16::from_be_bytes(field(&header, 4)));
    if payload == 0 {
        payload = super_packet(frame.len().wrapping_sub(at + HEADER));
    }
    if header[0] >> 4 != 6 || !frame.reaches(at + HEADER + payload) {
        return Err(Reason::Malformed);
    }
    packet.src = Addr(field(&header, 8));
    packet.dst = Addr(field(&header, 24));
    packet.family = V6;
    packet.protocol = header[6];
    packet.hop_limit = header[7];
    packet.transport = at + HEADER;
    packet.end = at + HEADER + payload;
    if is_extension(packet.protocol) {
        result(frame.ipv6_extensions(at + HEADER, packet))?;
    }
    transport::parse(frame, packet)
}

/// Payload length of a packet that gives it as 0: a super-packet longer than 64 KiB ("BIG TCP") takes the frame's.
#[inline(always)]
fn super_packet(room: u32) -> u32 {
    if room > MAX_PAYLOAD && room < 1 << 31 { room } else { 0 }
}

/// Whether a next-header value is an extension header to walk.
#[inline(always)]
pub fn is_extension(header: u8) -> bool {
    matches!(header, next::HOP_BY_HOP | next::ROUTING | next::FRAGMENT | next::DESTINATION)
}

/// Walks the extension headers from `start`; afterwards `protocol` and `transport` are those of the
/// transport header, or, for a later fragment, of what the fragment header announces.
#[inline(always)]
pub fn extensions<F: Frame + ?Sized>(frame: &F, start: u32, packet: &mut Packet) -> Result<(), Reason> {
    packet.transport = start;
    let mut seen_fragment = false;
    for _ in 0..MAX_EXTENSION_HEADERS {
        let header = packet.protocol;
        if !is_extension(header) {
            return Ok(());
        }
        let at = packet.transport;
        let truncated = if packet.part == Part::First { Reason::BadFragment } else { Reason::Malformed };
        if at + 8 > packet.end {
            return Err(truncated);
        }
        let bytes = frame.load::<8>(at).ok_or(Reason::Malformed)?;
        if header == next::HOP_BY_HOP && at != start {
            return Err(Reason::Malformed);
        }
        if header == next::ROUTING && bytes[2] == 0 {
            return Err(Reason::RoutingHeader);
        }
        packet.protocol = bytes[0];
        if header == next::FRAGMENT {
            if seen_fragment {
                return Err(Reason::BadFragment);
            }
            seen_fragment = true;
            packet.transport = at + 8;
            fragment(&bytes, packet)?;
            if packet.part == Part::Later {
                return Ok(());
            }
            continue;
        }
        packet.transport = at + (u32::from(bytes[1]) + 1) * 8;
        if packet.transport > packet.end {
            return Err(truncated);
        }
    }
    if is_extension(packet.protocol) { Err(Reason::ExtensionHeaders) } else { Ok(()) }
}

/// The fragment header (RFC 8200, 4.5). Offset 0 without more fragments is a whole packet (RFC 6946).
#[inline(always)]
fn fragment(bytes: &[u8; 8], packet: &mut Packet) -> Result<(), Reason> {
    let field = u16::from_be_bytes([bytes[2], bytes[3]]);
    let offset = u32::from(field & !7);
    let more = field & 1 != 0;
    packet.datagram = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    packet.datagram_protocol = bytes[0];
    if offset == 0 && !more {
        return Ok(());
    }
    let length = packet.end - packet.transport;
    let odd_middle = more && length & 7 != 0;
    let past_end = offset + length > MAX_PAYLOAD;
    let rewrites_flags = offset == 8 && bytes[0] == protocol::TCP;
    // In a first fragment the walk refuses these.
    let announces_another = offset != 0 && matches!(bytes[0], next::FRAGMENT | next::HOP_BY_HOP);
    if odd_middle || past_end || rewrites_flags || announces_another {
        return Err(Reason::BadFragment);
    }
    (packet.offset, packet.piece, packet.is_last) = (offset as u16, length as u16, !more);
    packet.part = if offset == 0 { Part::First } else { Part::Later };
    Ok(())
}
