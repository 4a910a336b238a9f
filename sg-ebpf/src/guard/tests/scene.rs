//! A guest, a host NIC, their heaps, and packets.

use sg_common::{
    heap::{LINK, Line, TreeRef},
    interface::{Interface, Owner},
};

use super::*;

pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
pub const STRANGER: [u8; 6] = [0x52, 0x54, 0, 0x99, 0x99, 0x99];
/// The other MAC address that may use [`SHARED`] and [`SHARED_V6`].
pub const PARTNER: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x57];

pub const OWN: Addr = Addr::v4([10, 0, 0, 5]);
/// An allowed address pair with two MAC addresses.
pub const SHARED: Addr = Addr::v4([10, 0, 0, 100]);
/// An allowed address pair with any MAC address.
pub const FREE: Addr = Addr::v4([10, 0, 0, 101]);
pub const NEIGHBOUR: Addr = Addr::v4([10, 0, 0, 6]);

pub const OWN_V6: Addr = v6([0xfd00, 0, 0, 0, 0, 0, 0, 5]);
pub const SHARED_V6: Addr = v6([0xfd00, 0, 0, 0, 0, 0, 0, 0x64]);
pub const NEIGHBOUR_V6: Addr = v6([0xfd00, 0, 0, 0, 0, 0, 0, 6]);
pub const LINK_LOCAL: Addr = v6([0xfe80, 0, 0, 0, 0, 0, 0, 0x1234]);
/// The link-local address made from [`MAC`].
pub const EUI64: Addr = v6([0xfe80, 0, 0, 0, 0x5054, 0x00ff, 0xfe12, 0x3456]);
pub const UNSPECIFIED_V6: Addr = Addr([0; 16]);
pub const ALL_NODES: Addr = v6([0xff02, 0, 0, 0, 0, 0, 0, 1]);

/// An IPv6 address from its eight groups.
pub const fn v6(groups: [u16; 8]) -> Addr {
    let mut bytes = [0; 16];
    let mut at = 0;
    while at < 8 {
        [bytes[at * 2], bytes[at * 2 + 1]] = groups[at].to_be_bytes();
        at += 1;
    }
    Addr(bytes)
}

/// An interface and the heap it refers to.
pub struct Scene {
    pub iface: Interface,
    pub lines: Vec<Line>,
}

impl Scene {
    /// A host NIC.
    pub fn host() -> Self {
        // Line 0 is never used.
        Self { iface: Interface { flags: flag::BOUND, ..Interface::default() }, lines: vec![Line::default()] }
    }

    /// A guest of whose addresses nothing is known: no anti-spoofing.
    pub fn stranger() -> Self {
        let mut scene = Self::host();
        scene.iface.flags |= flag::GUEST;
        scene
    }

    /// A guest with a MAC address, one address and one shared address of each family.
    pub fn guest() -> Self {
        let mut scene = Self::stranger();
        scene.iface.flags |= flag::ANTI_SPOOF;
        scene.iface.mac = MAC;
        scene.iface.first_v4 = OWN.v4_octets();
        scene.iface.first_v6 = OWN_V6.0;
        let own = scene.owner(&[MAC]);
        let shared = scene.owner(&[MAC, PARTNER]);
        let free = scene.owner(&[]);
        scene.own_v4(&[(OWN, own), (SHARED, shared), (FREE, free)]);
        scene.iface.sources[1] = scene.tree_v6(&[(OWN_V6, own), (SHARED_V6, shared)]).0;
        scene
    }

    /// Sets the IPv4 addresses, in ascending order, with the lines of their owners.
    pub fn own_v4(&mut self, addresses: &[(Addr, u32)]) {
        let ranges: Vec<_> =
            addresses.iter().map(|(addr, owner)| (addr.piece(3), addr.piece(3), *owner)).collect();
        self.iface.sources[0] = self.tree(&ranges).0;
    }

    /// A line with these MAC addresses.
    pub fn owner(&mut self, macs: &[[u8; 6]]) -> u32 {
        let mut owner = Owner { count: macs.len() as u32, ..Owner::default() };
        owner.macs[..macs.len()].copy_from_slice(macs);
        self.push(zerocopy::transmute!(owner))
    }

    /// A tree of one leaf: ranges in ascending order, not adjacent, at most three.
    pub fn tree(&mut self, ranges: &[(u32, u32, u32)]) -> TreeRef {
        let mut keys = vec![0];
        let mut answers = vec![0];
        for (first, last, answer) in ranges {
            keys.extend([*first, last.wrapping_add(1)]);
            answers.extend([*answer, 0]);
        }
        keys.resize(8, u32::MAX);
        answers.resize(8, 0);
        let mut line = Line::default();
        line.0[..8].copy_from_slice(&keys);
        line.0[8..].copy_from_slice(&answers);
        TreeRef::new(self.push(line), 0)
    }

    /// The four stages for addresses that have the first three pieces in common.
    pub fn tree_v6(&mut self, addresses: &[(Addr, u32)]) -> TreeRef {
        let common = addresses[0].0;
        let ranges: Vec<_> =
            addresses.iter().map(|(addr, answer)| (addr.piece(3), addr.piece(3), *answer)).collect();
        let mut tree = self.tree(&ranges);
        for stage in (0..3).rev() {
            let piece = common.piece(stage);
            tree = self.tree(&[(piece, piece, LINK | tree.0)]);
        }
        tree
    }

    fn push(&mut self, line: Line) -> u32 {
        self.lines.push(line);
        self.lines.len() as u32 - 1
    }
}

/// A TCP packet from an address; the family is the address's.
pub fn from(src: Addr) -> Packet {
    let mapped = src.0[..12] == OWN.0[..12];
    let (family, dst) = if mapped { (V4, Addr::v4([192, 0, 2, 1])) } else { (V6, NEIGHBOUR_V6) };
    Packet { src, dst, src_mac: MAC, family, protocol: protocol::TCP, hop_limit: 64, ..Packet::default() }
}

/// The same with another MAC address.
pub fn by(mac: [u8; 6], packet: Packet) -> Packet {
    Packet { src_mac: mac, ..packet }
}

/// A UDP packet.
pub fn udp(src: Addr, from_port: u16, dst: Addr, to_port: u16) -> Packet {
    let (src_port, dst_port) = (from_port.to_be_bytes(), to_port.to_be_bytes());
    Packet { dst, protocol: protocol::UDP, src_port, dst_port, ..from(src) }
}

/// An ICMPv6 packet, hop limit 255.
pub fn icmpv6(src: Addr, kind: u8) -> Packet {
    Packet { protocol: protocol::ICMPV6, dst_port: [kind, 0], hop_limit: 255, dst: ALL_NODES, ..from(src) }
}
