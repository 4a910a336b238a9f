//! Anti-spoofing: which source addresses and MAC addresses a guest may use.

use sg_common::{
    addr::Addr,
    heap::Lines,
    interface::{Interface, flag},
    verdict::Reason,
};

use super::answer;
use crate::packet::{Arp, Packet, Part, V4, V6, protocol};

const UNSPECIFIED: [u8; 16] = [0; 16];

/// Refuses source addresses that are nobody's, and, where the guest's addresses are known, those that are not its own.
#[inline(always)]
pub(super) fn check<L: Lines + ?Sized>(lines: &L, iface: &Interface, packet: &Packet) -> Result<(), Reason> {
    if is_nobodys(packet) {
        return Err(Reason::SpoofedAddress);
    }
    if iface.flags & flag::ANTI_SPOOF == 0
        || is_first_address(iface, packet.family, &packet.src, packet.src_mac)
    {
        return Ok(());
    }
    if may_be_unspecified(packet) {
        return own_mac(iface, packet.src_mac);
    }
    may_use(lines, iface, packet.family, &packet.src, packet.src_mac)
}

/// The common case without a search: the interface's first address with its MAC address.
#[inline(always)]
pub fn is_first_address(iface: &Interface, family: u8, addr: &Addr, mac: [u8; 6]) -> bool {
    let is_first = match family {
        V4 => iface.first_v4 != [0; 4] && addr.v4_octets() == iface.first_v4,
        _ => iface.first_v6 != UNSPECIFIED && addr.0 == iface.first_v6,
    };
    is_first && (iface.mac == [0; 6] || mac == iface.mac)
}

/// Loopback, multicast and limited broadcast are never a source (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3 and 2.7), nor is an
/// IPv4 address mapped into IPv6 ([`Addr`] has IPv4 that way); the unspecified address is for those who have none yet.
#[inline(always)]
fn is_nobodys(packet: &Packet) -> bool {
    if packet.family == V4 {
        return match packet.src.v4_octets() {
            [0, 0, 0, 0] => !may_be_unspecified(packet),
            [127 | 224..=239, ..] | [255, 255, 255, 255] => true,
            _ => false,
        };
    }
    match packet.src.0 {
        [0xff, ..] | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] => true,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..] => true,
        UNSPECIFIED => !may_be_unspecified(packet),
        _ => false,
    }
}

/// DHCP discovery, IGMP and, over IPv6, neighbour discovery and MLD start without an address.
#[inline(always)]
fn may_be_unspecified(packet: &Packet) -> bool {
    if packet.part != Part::Whole {
        return false;
    }
    if packet.family == V4 {
        let discovers =
            packet.protocol == protocol::UDP && packet.src_port == [0, 68] && packet.dst_port == [0, 67];
        return packet.src.v4_octets() == [0; 4] && (discovers || packet.protocol == protocol::IGMP);
    }
    let starts = packet.is_icmp() && matches!(packet.icmp_kind(), 130..=133 | 135 | 143);
    packet.src.0 == UNSPECIFIED && starts
}

/// ARP sender: one of the guest's addresses, or none (a probe, RFC 5227).
#[inline(always)]
pub(super) fn check_arp<L: Lines + ?Sized>(lines: &L, iface: &Interface, arp: &Arp) -> Result<(), Reason> {
    let sender = Addr::v4(arp.sender);
    let allowed = if arp.sender == [0; 4] {
        own_mac(iface, arp.src_mac)
    } else {
        may_use(lines, iface, V4, &sender, arp.src_mac)
    };
    allowed.map_err(|_| Reason::SpoofedArp)
}

/// Whether the guest may send from `addr` with this MAC address.
#[inline(always)]
pub(super) fn may_use<L: Lines + ?Sized>(
    lines: &L,
    iface: &Interface,
    family: u8,
    addr: &Addr,
    mac: [u8; 6],
) -> Result<(), Reason> {
    // Line of the owner; 0 = nobody's.
    let owner = answer(lines, iface.sources[usize::from(family & 1)], family, addr);
    if owner != 0 {
        return if owner_has(lines, owner, mac) { Ok(()) } else { Err(Reason::SpoofedMac) };
    }
    if family == V6 && is_own_link_local(iface, addr) {
        return own_mac(iface, mac);
    }
    Err(Reason::SpoofedAddress)
}

/// Whether `mac` is one of those in the [`Owner`](sg_common::interface::Owner) line, or any MAC may be used.
#[inline(always)]
fn owner_has<L: Lines + ?Sized>(lines: &L, owner: u32, mac: [u8; 6]) -> bool {
    let Some(words) = lines.line(owner) else { return false };
    let count = words[0];
    if count == 0 {
        return true;
    }
    // Two MAC addresses are three words.
    let low = |at: usize| u64::from(words[at]) | u64::from(words[at + 1] & 0xffff) << 32;
    let high = |at: usize| u64::from(words[at + 1] >> 16) | u64::from(words[at + 2]) << 16;
    let wanted = u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0]);
    let mut found = false;
    for pair in 0..5 {
        let at = 1 + pair * 3;
        let first = (pair as u32) * 2;
        found |= first < count && low(at) == wanted;
        found |= first + 1 < count && high(at) == wanted;
    }
    found
}

/// Whether `mac` is the interface's own, if that is known.
#[inline(always)]
fn own_mac(iface: &Interface, mac: [u8; 6]) -> Result<(), Reason> {
    if iface.mac == [0; 6] || iface.mac == mac { Ok(()) } else { Err(Reason::SpoofedMac) }
}

/// Link-local addresses a guest may use: any, or the one made from its MAC address (RFC 4291, appendix A).
#[inline(always)]
fn is_own_link_local(iface: &Interface, addr: &Addr) -> bool {
    let bytes = &addr.0;
    if bytes[0] != 0xfe || bytes[1] & 0xc0 != 0x80 {
        return false;
    }
    if iface.flags & flag::EUI64_ONLY == 0 {
        return true;
    }
    let mac = iface.mac;
    let expected =
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]];
    *bytes == expected
}
