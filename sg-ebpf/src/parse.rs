//! Bytes -> [`Content`], or the [`Reason`] why the frame must be dropped. Pure.
//!
//! Promise: an `Ok` packet's transport header lies inside the IP packet (by the IP length, not the frame's), the IP
//! packet lies inside the frame, and every field of [`Packet`] comes from it.

use sg_common::{limits::MAX_VLAN_TAGS, verdict::Reason};

use crate::{
    frame::Frame,
    packet::{Arp, Content, Packet},
};

pub mod discovery;
#[cfg(any(test, feature = "invariants"))]
pub mod invariants;
pub mod ipv4;
pub mod ipv6;
pub mod quote;
#[cfg(test)]
pub(crate) mod tests;
pub mod transport;

/// Length of an Ethernet header, and so the usual offset of what follows it.
pub const ETHERNET: usize = 14;

/// Ethertypes (IEEE 802 numbers).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: u16 = 0x8100;
    /// An outer VLAN tag (IEEE 802.1ad).
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// MPLS (RFC 3032).
    pub const MPLS: u16 = 0x8847;
    /// MPLS multicast.
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// PPPoE session (RFC 2516).
    pub const PPPOE_SESSION: u16 = 0x8864;
    /// Smaller values are the length of an 802.3 frame.
    pub const LOWEST: u16 = 0x0600;
}

/// Parses a frame; what it carries goes to `packet` or `arp`. On `guest` interfaces tags and foreign ethertypes are refused; on host NICs up to two tags are
/// looked through.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(
    frame: &F,
    guest: bool,
    packet: &mut Packet,
    arp: &mut Arp,
) -> Result<Content, Reason> {
    let [.., s0, s1, s2, s3, s4, s5, t0, t1] = frame.head::<ETHERNET>(0).ok_or(Reason::Malformed)?;
    packet.src_mac = [s0, s1, s2, s3, s4, s5];
    let mut kind = u16::from_be_bytes([t0, t1]);
    let mut at = ETHERNET as u32;
    let mut tags = usize::from(frame.has_vlan_metadata());
    if guest && tags != 0 {
        return Err(Reason::Vlan);
    }
    for _ in 0..MAX_VLAN_TAGS {
        if is_vlan(kind) {
            if guest || tags == MAX_VLAN_TAGS {
                return Err(Reason::Vlan);
            }
            tags += 1;
            let [_, _, t0, t1] = frame.load::<4>(at).ok_or(Reason::Malformed)?;
            kind = u16::from_be_bytes([t0, t1]);
            at += 4;
        }
    }
    if is_vlan(kind) {
        return Err(Reason::Vlan);
    }
    match kind {
        ethertype::IPV4 => result(frame.ipv4(at, packet)).map(|()| Content::Ip),
        ethertype::IPV6 => result(frame.ipv6(at, packet)).map(|()| Content::Ip),
        ethertype::ARP => read_arp(frame, at, packet.src_mac, arp),
        _ if guest => Err(Reason::NonIp),
        _ => other(frame, kind, at),
    }
}

/// `M` bytes of a header. Copied as a whole: of single bytes LLVM keeps single bytes.
#[inline(always)]
fn field<const N: usize, const M: usize>(header: &[u8; N], at: usize) -> [u8; M] {
    let mut field = [0; M];
    field.copy_from_slice(&header[at..at + M]);
    field
}

/// A result as a number: [`PASSED`], or that of a [`Reason`]. The kernel refuses the type information of a `Result`
/// with a niche ("Invalid member bits_offset").
pub type Answer = u32;

const PASSED: Answer = 0x100;

/// A result as an answer.
#[inline(always)]
pub fn answer(result: Result<(), Reason>) -> Answer {
    match result {
        Ok(()) => PASSED,
        Err(reason) => reason as u32,
    }
}

/// An answer as a result.
#[inline(always)]
pub fn result(answer: Answer) -> Result<(), Reason> {
    if answer == PASSED {
        Ok(())
    } else {
        Err(Reason::from_number(answer as u8).unwrap_or(Reason::Malformed))
    }
}

#[inline(always)]
fn is_vlan(kind: u16) -> bool {
    kind == ethertype::VLAN || kind == ethertype::SERVICE_VLAN
}

/// Link control passes on host NICs; envelopes that could carry IP past the rules do not.
#[inline(always)]
fn other<F: Frame + ?Sized>(frame: &F, kind: u16, at: u32) -> Result<Content, Reason> {
    /// Destination service access point of SNAP; receivers look at no other byte to tell it.
    const SNAP: [u8; 1] = [0xaa];
    let envelope = match kind {
        ethertype::MPLS | ethertype::MPLS_MULTICAST | ethertype::PPPOE_SESSION => true,
        length if length < ethertype::LOWEST => frame.load::<1>(at) == Some(SNAP),
        _ => false,
    };
    if envelope { Err(Reason::NonIp) } else { Ok(Content::Other) }
}

/// RFC 826: hardware type 1, protocol type IPv4, lengths 6 and 4, request or reply.
#[inline(always)]
fn read_arp<F: Frame + ?Sized>(
    frame: &F,
    at: u32,
    src_mac: [u8; 6],
    arp: &mut Arp,
) -> Result<Content, Reason> {
    let bytes = frame.at::<ETHERNET, 28>(at).ok_or(Reason::Malformed)?;
    let [0, 1, 8, 0, 6, 4, 0, 1 | 2, m0, m1, m2, m3, m4, m5, a0, a1, a2, a3, ..] = bytes else {
        return Err(Reason::Malformed);
    };
    *arp = Arp { src_mac, sender_mac: [m0, m1, m2, m3, m4, m5], sender: [a0, a1, a2, a3] };
    Ok(Content::Arp)
}
