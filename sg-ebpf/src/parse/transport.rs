//! Transport headers: TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), ICMP (RFC 792), ICMPv6 (RFC 4443).

use sg_common::{conntrack::TcpFlags, verdict::Reason};

use super::field;
use crate::{
    frame::Frame,
    packet::{Packet, Part, protocol},
};

/// Usual offsets of the transport header: behind Ethernet and a plain IPv4 or IPv6 header.
const BEHIND_V4: usize = 34;
const BEHIND_V6: usize = 54;

/// Fills in ports, flags, ICMP type. A header that is cut short by the IP length is malformed; in a first fragment it
/// is a fragment that hides something.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> Result<(), Reason> {
    if packet.part == Part::Later {
        return Ok(());
    }
    match packet.protocol {
        protocol::TCP => tcp(frame, packet),
        protocol::UDP => udp(frame, packet),
        protocol::SCTP => sctp(frame, packet),
        _ if packet.is_icmp() => icmp(frame, packet),
        _ => Ok(()),
    }
}

/// The first `N` bytes of the transport header, if the IP packet has them.
#[inline(always)]
fn header<F: Frame + ?Sized, const N: usize>(frame: &F, packet: &Packet) -> Result<[u8; N], Reason> {
    if packet.end - packet.transport < N as u32 {
        return Err(cut_short(packet));
    }
    let bytes = if packet.transport == BEHIND_V4 as u32 {
        frame.head::<N>(BEHIND_V4)
    } else {
        frame.at::<BEHIND_V6, N>(packet.transport)
    };
    bytes.ok_or(Reason::Malformed)
}

#[inline(always)]
fn cut_short(packet: &Packet) -> Reason {
    if packet.part == Part::First { Reason::BadFragment } else { Reason::Malformed }
}

#[inline(always)]
fn tcp<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> Result<(), Reason> {
    let bytes = header::<F, 20>(frame, packet)?;
    let length = u32::from(bytes[12] >> 4) * 4;
    if length < 20 {
        return Err(Reason::Malformed);
    }
    if length > packet.end - packet.transport {
        return Err(cut_short(packet));
    }
    packet.src_port = field(&bytes, 0);
    packet.dst_port = field(&bytes, 2);
    packet.flags = TcpFlags(bytes[13]);
    if packet.flags.are_possible() { Ok(()) } else { Err(Reason::TcpFlags) }
}

#[inline(always)]
fn udp<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> Result<(), Reason> {
    let bytes = header::<F, 8>(frame, packet)?;
    let length = u32::from(u16::from_be_bytes(field(&bytes, 4)));
    let room = packet.end - packet.transport;
    if length < 8 || packet.part == Part::Whole && length > room {
        return Err(Reason::Malformed);
    }
    packet.src_port = field(&bytes, 0);
    packet.dst_port = field(&bytes, 2);
    Ok(())
}

#[inline(always)]
fn sctp<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> Result<(), Reason> {
    let bytes = header::<F, 12>(frame, packet)?;
    packet.src_port = field(&bytes, 0);
    packet.dst_port = field(&bytes, 2);
    Ok(())
}

#[inline(always)]
fn icmp<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> Result<(), Reason> {
    let bytes = header::<F, 8>(frame, packet)?;
    packet.dst_port = field(&bytes, 0);
    packet.src_port = field(&bytes, 4);
    Ok(())
}
