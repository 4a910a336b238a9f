//! The packet that an ICMP error quotes (RFC 792, RFC 1812 4.3.2.3, RFC 4443 2.4 (c)).

use sg_common::{addr::Addr, conntrack::query, limits::MAX_EXTENSION_HEADERS, verdict::Reason};

use super::ipv6::is_extension;
use crate::{
    frame::Frame,
    packet::{Packet, V4, protocol},
};

/// Bytes of ICMP header in front of the quote.
pub const ICMP_HEADER: u32 = 8;
/// Bytes of the quoted transport header that a router must include, and that we need.
const TRANSPORT: u32 = 8;
const IPV6_FRAGMENT: u8 = 44;

/// Reads the quote at `at` of the ICMP error `error` into `quoted`, as far as it names a flow. `Err`: it is cut short,
/// inconsistent, a later fragment, or itself no packet that a flow can be told from.
#[inline(always)]
pub fn read<F: Frame + ?Sized>(
    frame: &F,
    at: u32,
    error: &Packet,
    quoted: &mut Packet,
) -> Result<(), Reason> {
    quoted.family = error.family;
    quoted.end = error.end;
    let network = if error.family == V4 { v4(frame, at, quoted) } else { v6(frame, at, quoted) };
    network.and_then(|()| transport(frame, quoted)).ok_or(Reason::Malformed)
}

#[inline(always)]
fn v4<F: Frame + ?Sized>(frame: &F, at: u32, quoted: &mut Packet) -> Option<()> {
    if at + 20 > quoted.end {
        return None;
    }
    let header = frame.load::<20>(at)?;
    let length = u32::from(header[0] & 0x0f) * 4;
    let offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if header[0] >> 4 != 4 || length < 20 || offset != 0 {
        return None;
    }
    quoted.src = Addr::v4([header[12], header[13], header[14], header[15]]);
    quoted.dst = Addr::v4([header[16], header[17], header[18], header[19]]);
    quoted.protocol = header[9];
    quoted.transport = at + length;
    Some(())
}

#[inline(always)]
fn v6<F: Frame + ?Sized>(frame: &F, at: u32, quoted: &mut Packet) -> Option<()> {
    if at + 40 > quoted.end {
        return None;
    }
    let header = frame.load::<40>(at)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    quoted.src.0.copy_from_slice(&header[8..24]);
    quoted.dst.0.copy_from_slice(&header[24..40]);
    quoted.protocol = header[6];
    quoted.transport = at + 40;
    for _ in 0..MAX_EXTENSION_HEADERS {
        if !is_extension(quoted.protocol) {
            return Some(());
        }
        if quoted.transport + 8 > quoted.end {
            return None;
        }
        let bytes = frame.load::<8>(quoted.transport)?;
        let is_fragment = quoted.protocol == IPV6_FRAGMENT;
        if is_fragment && u16::from_be_bytes([bytes[2], bytes[3]]) & !7 != 0 {
            return None;
        }
        quoted.protocol = bytes[0];
        quoted.transport += if is_fragment { 8 } else { (u32::from(bytes[1]) + 1) * 8 };
    }
    (!is_extension(quoted.protocol)).then_some(())
}

#[inline(always)]
fn transport<F: Frame + ?Sized>(frame: &F, quoted: &mut Packet) -> Option<()> {
    if quoted.transport + TRANSPORT > quoted.end {
        return None;
    }
    let bytes = frame.load::<8>(quoted.transport)?;
    match quoted.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            quoted.src_port = [bytes[0], bytes[1]];
            quoted.dst_port = [bytes[2], bytes[3]];
        }
        icmp if quoted.is_icmp() => {
            query::of(icmp, bytes[0])?;
            quoted.dst_port = [bytes[0], bytes[1]];
            quoted.src_port = [bytes[4], bytes[5]];
        }
        _ => {}
    }
    Some(())
}
