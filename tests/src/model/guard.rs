//! What comes before connections and rules: who a guest may claim to be, what it may never send, what always passes.

use std::net::IpAddr;

use sg_agent::policy::model::{Direction, Interface, LinkLocal, Role};
use sg_common::verdict::{Reason, Stage};

use super::{
    packet::{Content, Packet, Part},
    read::Arp,
};
use crate::{packets::protocol, progrun::Verdict};

/// The verdict, if it is given here.
pub(super) fn judge(interface: &Interface, packet: &Packet) -> Option<Verdict> {
    if interface.role == Role::Guest && packet.direction == Direction::Egress {
        let reason = spoofed_source(interface, packet)
            .or_else(|| forbidden(packet))
            .or_else(|| spoofed_target(interface, packet));
        if let Some(reason) = reason {
            return Some(Verdict::Drop(reason));
        }
    }
    if is_infrastructure(packet) {
        return Some(Verdict::Pass(Stage::Infrastructure));
    }
    let exempt = interface.exempt.iter().any(|network| network.contains(&packet.remote()));
    exempt.then_some(Verdict::Pass(Stage::Exempt))
}

/// The verdict on a neighbour discovery message that no receiver would take.
pub(super) fn unsound(interface: &Interface, packet: &Packet) -> Verdict {
    let from_guest = interface.role == Role::Guest && packet.direction == Direction::Egress;
    let reason =
        from_guest.then(|| spoofed_source(interface, packet).or_else(|| forbidden(packet))).flatten();
    Verdict::Drop(reason.unwrap_or(Reason::Malformed))
}

/// The verdict on ARP: a guest speaks for itself, or for nobody yet (a probe, RFC 5227).
pub(super) fn arp(interface: &Interface, direction: Direction, arp: &Arp) -> Verdict {
    let macs = match arp.sender.is_unspecified() {
        true => Some(vec![interface.mac]),
        false => macs(interface, arp.sender.into()),
    };
    let is_own = macs.is_some_and(|macs| macs.iter().any(|mac| mac.is_none_or(|mac| mac == arp.mac.0)));
    let is_guarded = interface.role == Role::Guest && direction == Direction::Egress && interface.anti_spoof;
    if is_guarded && !(is_own && arp.mac == arp.sender_mac) {
        return Verdict::Drop(Reason::SpoofedArp);
    }
    Verdict::Pass(Stage::Infrastructure)
}

/// Loopback, multicast, limited broadcast, the unspecified address but of those who ask for one, and IPv4 mapped into
/// IPv6.
fn is_nobodys(packet: &Packet) -> bool {
    match packet.source {
        source if source.is_unspecified() => !may_have_none(packet),
        IpAddr::V4(source) => source.is_loopback() || source.is_multicast() || source.is_broadcast(),
        IpAddr::V6(source) => {
            source.is_loopback() || source.is_multicast() || source.to_ipv4_mapped().is_some()
        }
    }
}

/// DHCP discovery, IGMP, neighbour discovery and MLD start without an address.
fn may_have_none(packet: &Packet) -> bool {
    packet.part == Part::Whole
        && match packet.content {
            Content::Ports { protocol: protocol::UDP, source: 68, destination: 67 } => {
                packet.source.is_ipv4()
            }
            Content::Other(2) => packet.source.is_ipv4(),
            Content::Neighbour { kind: 135, .. } => true,
            Content::Icmp { kind, .. } => !packet.source.is_ipv4() && matches!(kind, 130..=133 | 135 | 143),
            _ => false,
        }
}

fn spoofed_source(interface: &Interface, packet: &Packet) -> Option<Reason> {
    if is_nobodys(packet) {
        return Some(Reason::SpoofedAddress);
    }
    if !interface.anti_spoof {
        return None;
    }
    match macs(interface, packet.source) {
        _ if packet.source.is_unspecified() => {
            (!is_one_of(&[interface.mac], packet)).then_some(Reason::SpoofedMac)
        }
        None => Some(Reason::SpoofedAddress),
        Some(macs) => (!is_one_of(&macs, packet)).then_some(Reason::SpoofedMac),
    }
}

/// What a guest claims in neighbour discovery.
fn spoofed_target(interface: &Interface, packet: &Packet) -> Option<Reason> {
    let Content::Neighbour { kind, target } = packet.content else { return None };
    let claims = kind == 136 || packet.source.is_unspecified();
    let is_own = macs(interface, target).is_some_and(|macs| is_one_of(&macs, packet));
    (interface.anti_spoof && claims && !is_own).then_some(Reason::SpoofedNd)
}

/// The MAC addresses that go with an address; `None` if it is not the guest's.
fn macs(interface: &Interface, address: IpAddr) -> Option<Vec<Option<[u8; 6]>>> {
    let mut macs = Vec::new();
    if interface.addresses.contains(&address) || is_own_link_local(interface, address) {
        macs.push(interface.mac);
    }
    let pairs = interface.allowed_address_pairs.iter().filter(|pair| pair.prefix.contains(&address));
    macs.extend(pairs.map(|pair| pair.mac.or(interface.mac)));
    (!macs.is_empty()).then_some(macs)
}

/// A MAC address that is not known may be any.
fn is_one_of(macs: &[Option<[u8; 6]>], packet: &Packet) -> bool {
    macs.iter().any(|mac| mac.is_none_or(|mac| mac == packet.mac.0))
}

fn is_own_link_local(interface: &Interface, address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let own = interface.mac.map(|[a, b, c, d, e, f]| [a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    address.is_unicast_link_local()
        && match interface.link_local {
            LinkLocal::Any => true,
            LinkLocal::Eui64 => own.is_some_and(|own| address.octets()[8..] == own),
        }
}

/// Router advertisements, redirects, DHCP server replies.
fn forbidden(packet: &Packet) -> Option<Reason> {
    let v4 = packet.source.is_ipv4();
    match packet.content {
        _ if matches!(packet.part, Part::Later(_)) => None,
        Content::Icmp { kind: 134, .. } if !v4 => Some(Reason::RouterAdvertisement),
        Content::Icmp { kind: 137, .. } if !v4 => Some(Reason::Redirect),
        Content::Icmp { kind: 5, .. } if v4 => Some(Reason::Redirect),
        Content::Ports { protocol: protocol::UDP, source: 67, destination: 68 } if v4 => {
            Some(Reason::DhcpServer)
        }
        Content::Ports { protocol: protocol::UDP, source: 547, destination: 546 } if !v4 => {
            Some(Reason::DhcpServer)
        }
        _ => None,
    }
}

/// Neighbour discovery, MLD, IGMP, incoming router advertisements, DHCP clients. Group management speaks to groups, a
/// DHCP client to everybody: what goes to one host is for the rules.
fn is_infrastructure(packet: &Packet) -> bool {
    let (v4, outward) = (packet.source.is_ipv4(), packet.direction == Direction::Egress);
    let everybody = packet.destination == IpAddr::from([255; 4])
        || packet.destination == IpAddr::from([0xff02, 0, 0, 0, 0, 0, 1, 2]);
    match packet.content {
        Content::Other(2) => v4 && packet.destination.is_multicast(),
        _ if matches!(packet.part, Part::Later(_)) => false,
        Content::Neighbour { .. } => true,
        Content::Icmp { kind: 133, .. } => !v4,
        Content::Icmp { kind: 130..=132 | 143, .. } => !v4 && packet.destination.is_multicast(),
        Content::Icmp { kind: 134, .. } => !v4 && !outward,
        Content::Ports { protocol: protocol::UDP, source, destination } if packet.part == Part::Whole => {
            match (v4, source, destination) {
                (true, 68, 67) | (false, 546, 547) => outward && everybody,
                (true, 67, 68) | (false, 547, 546) => !outward,
                _ => false,
            }
        }
        _ => false,
    }
}
