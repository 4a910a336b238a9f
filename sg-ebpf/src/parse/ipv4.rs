//! IPv4 (RFC 791).

use sg_common::{addr::Addr, verdict::Reason};

use super::{ETHERNET, field, result, transport};
use crate::{
    frame::Frame,
    packet::{Packet, Part, V4, protocol},
};

const HEADER: u32 = 20;
const RESERVED: u16 = 0x8000;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Longest packet that fits the 16-bit total length.
const MAX_LENGTH: u32 = 65_535;

/// Parses the packet at `at`.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, at: u32, packet: &mut Packet) -> Result<(), Reason> {
    let header = frame.at::<ETHERNET, 20>(at).ok_or(Reason::Malformed)?;
    let header_len = u32::from(header[0] & 0x0f) * 4;
    let mut total = u32::from(u16::from_be_bytes(field(&header, 2)));
    if total == 0 {
        total = super_packet(frame.len().wrapping_sub(at));
    }
    if header[0] >> 4 != 4 || header_len < HEADER || total < header_len || !frame.reaches(at + total) {
        return Err(Reason::Malformed);
    }
    packet.src = Addr::v4(field(&header, 12));
    packet.dst = Addr::v4(field(&header, 16));
    packet.family = V4;
    packet.protocol = header[9];
    packet.hop_limit = header[8];
    packet.datagram = u32::from(u16::from_be_bytes(field(&header, 4)));
    packet.datagram_protocol = header[9];
    packet.transport = at + header_len;
    packet.end = at + total;
    if header_len > HEADER {
        result(frame.ipv4_options(at + HEADER, packet.transport))?;
    }
    packet.part = part(u16::from_be_bytes(field(&header, 6)), packet)?;
    transport::parse(frame, packet)
}

/// Total length of a packet that gives it as 0: a super-packet longer than 64 KiB ("BIG TCP") takes the frame's.
#[inline(always)]
fn super_packet(room: u32) -> u32 {
    if room > MAX_LENGTH { room } else { 0 }
}

/// Which part of a datagram the fragment field describes. Fragments that no sender makes are refused: the reserved
/// bit, DF beside MF, a middle that is no multiple of 8, an end past the longest datagram, and TCP at offset 1, which
/// would overwrite the flags (RFC 1858, RFC 3128).
#[inline(always)]
fn part(field: u16, packet: &mut Packet) -> Result<Part, Reason> {
    let offset = u32::from(field & OFFSET);
    let more = field & MORE_FRAGMENTS != 0;
    if field & RESERVED != 0 {
        return Err(Reason::Malformed);
    }
    if offset == 0 && !more {
        return Ok(Part::Whole);
    }
    let length = packet.end - packet.transport;
    let odd_middle = more && length & 7 != 0;
    let past_end = offset * 8 + length > MAX_LENGTH;
    let rewrites_flags = offset == 1 && packet.protocol == protocol::TCP;
    let contradiction = more && field & DONT_FRAGMENT != 0;
    if odd_middle || past_end || rewrites_flags || contradiction {
        return Err(Reason::BadFragment);
    }
    (packet.offset, packet.piece, packet.is_last) = (offset as u16 * 8, length as u16, !more);
    Ok(if offset == 0 { Part::First } else { Part::Later })
}

/// Walks the options, which end at `end`: source routes are refused, and options that run past the header.
#[inline(always)]
pub fn options<F: Frame + ?Sized>(frame: &F, at: u32, end: u32) -> Result<(), Reason> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    let mut at = at;
    for _ in 0..40 {
        if at >= end {
            return Ok(());
        }
        let [kind] = frame.load::<1>(at).ok_or(Reason::Malformed)?;
        at += match kind {
            END => return Ok(()),
            NOP => 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(Reason::IpOptions),
            _ => {
                let [size] = frame.load::<1>(at + 1).ok_or(Reason::Malformed)?;
                if size < 2 || at + u32::from(size) > end {
                    return Err(Reason::Malformed);
                }
                u32::from(size)
            }
        };
    }
    Ok(())
}
