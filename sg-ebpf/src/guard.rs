//! What is settled before connections and rules: who the sender claims to be, what a guest may never send, what
//! always passes. Pure but for the heap that address trees live in.

use sg_common::{
    addr::{Addr, EGRESS},
    heap::{Lines, TreeRef, search_v4, search_v6},
    interface::{Interface, flag},
    verdict::{Reason, Stage},
};

use crate::packet::{Arp, Packet, Part, V4, V6, protocol};

mod source;
#[cfg(test)]
mod tests;

/// ICMPv6 types (RFC 4861, RFC 2710, RFC 3810).
mod icmpv6 {
    pub const MLD_QUERY: u8 = 130;
    pub const MLD_DONE: u8 = 132;
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub const REDIRECT: u8 = 137;
    pub const MLD2_REPORT: u8 = 143;
}

const ICMPV4_REDIRECT: u8 = 5;
const UNSPECIFIED_V6: [u8; 16] = [0; 16];

/// DHCP ports (RFC 2131, RFC 8415).
mod dhcp {
    pub const SERVER: u16 = 67;
    pub const CLIENT: u16 = 68;
    pub const V6_CLIENT: u16 = 546;
    pub const V6_SERVER: u16 = 547;
    /// All DHCP relay agents and servers, ff02::1:2.
    pub const V6_SERVERS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2];
}

/// What a neighbour discovery message says.
pub struct Message<'a> {
    /// A receiver would accept it.
    pub sound: bool,
    /// Target of a solicitation or an advertisement.
    pub target: &'a Addr,
    /// Bytes of its options.
    pub options: u32,
}

/// Longest options of a solicitation or an advertisement that a guest may send. A link-layer address (RFC 4861), a nonce
/// (RFC 7527) and a registration (RFC 8505) are needed; what is longer could be anything, under a name that no rule can
/// refuse.
const MAX_OPTIONS: u32 = 32;
/// Longest frame of an ARP packet that a guest may send: the shortest of Ethernet, which ARP does not fill.
const MAX_ARP_FRAME: u32 = 60;

/// Whether a guest has sent what goes in `direction` on the interface.
#[inline(always)]
fn is_from_guest(iface: &Interface, direction: usize) -> bool {
    direction == EGRESS && iface.flags & flag::GUEST != 0
}

/// An IP packet: `Err` = drop, `Ok(Some)` = it passes here, `Ok(None)` = connections and rules decide.
#[inline(always)]
pub fn check<L: Lines + ?Sized>(
    lines: &L,
    iface: &Interface,
    direction: usize,
    packet: &Packet,
    message: &Message,
) -> Result<Option<Stage>, Reason> {
    if is_from_guest(iface, direction) {
        source::check(lines, iface, packet)?;
        forbidden(packet)?;
    }
    if is_infrastructure(lines, iface, direction, packet, message)? {
        return Ok(Some(Stage::Infrastructure));
    }
    if is_exempt(lines, iface, direction, packet) {
        return Ok(Some(Stage::Exempt));
    }
    Ok(None)
}

/// Whether [`check`] would have nothing to say: the common packet is spared it.
#[inline(always)]
pub fn is_plain(iface: &Interface, direction: usize, packet: &Packet) -> bool {
    is_ordinary(packet.protocol, packet.src_port, packet.dst_port)
        && has_no_exemption(iface, packet.family)
        && may_come_from(iface, direction, packet.family, &packet.src, || packet.src_mac)
}

/// Whether a packet may come from this address, and `mac`, without a search.
#[inline(always)]
pub fn may_come_from(
    iface: &Interface,
    direction: usize,
    family: u8,
    src: &Addr,
    mac: impl FnOnce() -> [u8; 6],
) -> bool {
    !is_from_guest(iface, direction) || source::is_first_address(iface, family, src, mac())
}

/// Whether packets of this protocol and these ports are no infrastructure, and nothing that a guest may not send.
#[inline(always)]
pub fn is_ordinary(protocol: u8, src_port: [u8; 2], dst_port: [u8; 2]) -> bool {
    match protocol {
        protocol::TCP => true,
        protocol::UDP => !is_dhcp_port(src_port) && !is_dhcp_port(dst_port),
        _ => false,
    }
}

/// Whether the groups apply to every network of a family.
#[inline(always)]
pub fn has_no_exemption(iface: &Interface, family: u8) -> bool {
    let tree = if family == V4 { iface.exempt[0] } else { iface.exempt[1] };
    tree == 0
}

#[inline(always)]
fn is_dhcp_port(port: [u8; 2]) -> bool {
    matches!(u16::from_be_bytes(port), dhcp::SERVER | dhcp::CLIENT | dhcp::V6_CLIENT | dhcp::V6_SERVER)
}

/// An ARP packet in a frame of `length` bytes: it passes, unless a guest claims to be somebody else in it, or sends more
/// than ARP.
#[inline(always)]
pub fn check_arp<L: Lines + ?Sized>(
    lines: &L,
    iface: &Interface,
    direction: usize,
    arp: &Arp,
    length: u32,
) -> Result<(), Reason> {
    if !is_from_guest(iface, direction) {
        return Ok(());
    }
    if length > MAX_ARP_FRAME {
        return Err(Reason::Malformed);
    }
    if iface.flags & flag::ANTI_SPOOF == 0 {
        return Ok(());
    }
    if arp.src_mac != arp.sender_mac {
        return Err(Reason::SpoofedArp);
    }
    source::check_arp(lines, iface, arp)
}

/// What no guest may send, whatever its addresses.
#[inline(always)]
fn forbidden(packet: &Packet) -> Result<(), Reason> {
    if packet.part == Part::Later {
        return Ok(());
    }
    if packet.is_icmp() {
        return match (packet.family, packet.icmp_kind()) {
            (V6, icmpv6::ROUTER_ADVERTISEMENT) => Err(Reason::RouterAdvertisement),
            (V6, icmpv6::REDIRECT) | (V4, ICMPV4_REDIRECT) => Err(Reason::Redirect),
            _ => Ok(()),
        };
    }
    let ports = udp_ports(packet);
    let serves = match packet.family {
        V4 => ports == Some((dhcp::SERVER, dhcp::CLIENT)),
        _ => ports == Some((dhcp::V6_SERVER, dhcp::V6_CLIENT)),
    };
    if serves { Err(Reason::DhcpServer) } else { Ok(()) }
}

/// Source and destination port of a UDP packet that is not a later fragment.
#[inline(always)]
fn udp_ports(packet: &Packet) -> Option<(u16, u16)> {
    let is_udp = packet.protocol == protocol::UDP && packet.part != Part::Later;
    is_udp.then_some((u16::from_be_bytes(packet.src_port), u16::from_be_bytes(packet.dst_port)))
}

/// Neighbour discovery, MLD, IGMP, DHCP client. Group management speaks to groups: to one host, anything could be sent
/// under its name. What a guest sends that way ends at the link.
#[inline(always)]
fn is_infrastructure<L: Lines + ?Sized>(
    lines: &L,
    iface: &Interface,
    direction: usize,
    packet: &Packet,
    message: &Message,
) -> Result<bool, Reason> {
    let within = !is_from_guest(iface, direction) || stays_on_link(packet);
    if packet.family == V6 && packet.is_icmp() && packet.part != Part::Later {
        return match packet.icmp_kind() {
            icmpv6::MLD_QUERY..=icmpv6::MLD_DONE | icmpv6::MLD2_REPORT => {
                Ok(packet.dst.0[0] == 0xff && within)
            }
            icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT => {
                discovery(lines, iface, direction, packet, message)
            }
            _ => Ok(false),
        };
    }
    if packet.family == V4 && packet.protocol == protocol::IGMP {
        return Ok(matches!(packet.dst.v4_octets(), [224..=239, ..]) && within);
    }
    Ok(packet.part == Part::Whole && is_dhcp_client(direction, packet))
}

/// Whether no router hands a packet to a group on: for its hop limit, or for the group (RFC 5771, 4; RFC 4291, 2.7).
#[inline(always)]
fn stays_on_link(packet: &Packet) -> bool {
    const LINK_LOCAL_SCOPE: u8 = 2;
    let local_group = match packet.family {
        V4 => matches!(packet.dst.v4_octets(), [224, 0, 0, _]),
        _ => packet.dst.0[1] & 0xf <= LINK_LOCAL_SCOPE,
    };
    local_group || packet.hop_limit <= 1
}

/// A client's messages go to everybody: unicast to a chosen address is left to the rules, or anything could be sent
/// to any host from port 68. A server's answers may come from anywhere.
#[inline(always)]
fn is_dhcp_client(direction: usize, packet: &Packet) -> bool {
    let outward = direction == EGRESS;
    match (packet.family, udp_ports(packet)) {
        (V4, Some((dhcp::CLIENT, dhcp::SERVER))) => outward && packet.dst.v4_octets() == [255; 4],
        (V4, Some((dhcp::SERVER, dhcp::CLIENT))) => !outward,
        (V6, Some((dhcp::V6_CLIENT, dhcp::V6_SERVER))) => outward && packet.dst.0 == dhcp::V6_SERVERS,
        (V6, Some((dhcp::V6_SERVER, dhcp::V6_CLIENT))) => !outward,
        _ => false,
    }
}

/// Neighbour discovery that a receiver would accept and that does not speak for another guest. Redirects are left to
/// the rules.
#[inline(always)]
fn discovery<L: Lines + ?Sized>(
    lines: &L,
    iface: &Interface,
    direction: usize,
    packet: &Packet,
    message: &Message,
) -> Result<bool, Reason> {
    if !message.sound {
        return Err(Reason::Malformed);
    }
    if is_from_guest(iface, direction) {
        let guarded = iface.flags & flag::ANTI_SPOOF != 0;
        if guarded && !speaks_for_itself(lines, iface, packet, message.target) {
            return Err(Reason::SpoofedNd);
        }
        let to_far_group = packet.dst.0[0] == 0xff && !stays_on_link(packet);
        if message.options > MAX_OPTIONS || to_far_group {
            return Err(Reason::Malformed);
        }
    }
    let kind = packet.icmp_kind();
    let incoming_only = kind == icmpv6::ROUTER_ADVERTISEMENT && direction == EGRESS;
    Ok(kind != icmpv6::REDIRECT && !incoming_only)
}

/// Whether the target of an advertisement, or of a solicitation from nobody (duplicate address detection), is the
/// guest's own.
#[inline(always)]
fn speaks_for_itself<L: Lines + ?Sized>(
    lines: &L,
    iface: &Interface,
    packet: &Packet,
    target: &Addr,
) -> bool {
    let claims = match packet.icmp_kind() {
        icmpv6::NEIGHBOUR_ADVERTISEMENT => true,
        icmpv6::NEIGHBOUR_SOLICITATION => packet.src.0 == UNSPECIFIED_V6,
        _ => false,
    };
    !claims || source::may_use(lines, iface, V6, target, packet.src_mac).is_ok()
}

/// Whether the other end is in a network that the groups do not apply to.
#[inline(always)]
fn is_exempt<L: Lines + ?Sized>(lines: &L, iface: &Interface, direction: usize, packet: &Packet) -> bool {
    let tree = iface.exempt[usize::from(packet.family & 1)];
    let remote = if direction == EGRESS { &packet.dst } else { &packet.src };
    tree != 0 && answer(lines, tree, packet.family, remote) != 0
}

/// Answer of an address tree.
// A function of its own: inlined at each call, the searches take the program past the 512-byte stack.
#[inline(never)]
fn answer<L: Lines + ?Sized>(lines: &L, tree: u32, family: u8, addr: &Addr) -> u32 {
    if family == V4 {
        search_v4(lines, TreeRef(tree), addr.v4_octets())
    } else {
        search_v6(lines, TreeRef(tree), addr)
    }
}
