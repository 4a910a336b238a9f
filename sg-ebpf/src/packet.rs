//! What parsing yields: the few values that judging needs.

use sg_common::{
    addr::Addr,
    conntrack::TcpFlags,
    heap::{fragment_service, icmp_service, service},
};

/// IP protocol numbers (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// IPv4 as a [`Packet::family`]; the index of [`sg_common::addr::V4`].
pub const V4: u8 = sg_common::addr::V4 as u8;
/// IPv6, likewise.
pub const V6: u8 = sg_common::addr::V6 as u8;

/// Which part of a datagram an IP packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment: it has the transport header.
    First,
    /// A later fragment: it has none.
    Later,
}

/// An IP packet whose headers are consistent.
// Aligned, so that addresses are copied by words.
#[repr(align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source MAC address.
    pub src_mac: [u8; 6],
    /// [`V4`] or [`V6`].
    pub family: u8,
    /// Protocol of the transport header; of a later fragment what the IP or fragment header says.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Which part of a datagram it is.
    pub part: Part,
    /// Identification of the datagram that a fragment belongs to.
    pub datagram: u32,
    /// Protocol by which fragments of the datagram know each other: the one in the IPv4 or the fragment header.
    pub datagram_protocol: u8,
    /// Of a fragment: where in the datagram's payload its bytes belong.
    pub offset: u16,
    /// Of a fragment: how many bytes of the datagram's payload it carries.
    pub piece: u16,
    /// Of a fragment: whether the datagram ends with it.
    pub is_last: bool,
    /// Source port in network order; 0 where there is none. Identifier of an ICMP query.
    pub src_port: [u8; 2],
    /// Destination port in network order; 0 where there is none. ICMP type and code.
    pub dst_port: [u8; 2],
    /// TCP flags.
    pub flags: TcpFlags,
    /// Offset of the transport header in the frame.
    pub transport: u32,
    /// Offset in the frame at which the IP packet ends.
    pub end: u32,
}

impl Packet {
    /// The key that rows are searched with.
    #[inline(always)]
    pub fn service(&self) -> u32 {
        if self.part == Part::Later {
            return fragment_service(self.protocol);
        }
        if self.is_icmp() {
            return icmp_service(self.protocol, self.icmp_kind(), self.icmp_code());
        }
        service(self.protocol, u16::from_be_bytes(self.dst_port))
    }

    /// Whether it is ICMP over IPv4 or ICMPv6 over IPv6. Crosswise those numbers are protocols like any other.
    #[inline(always)]
    pub fn is_icmp(&self) -> bool {
        self.protocol == if self.family == V4 { protocol::ICMP } else { protocol::ICMPV6 }
    }

    /// ICMP type.
    #[inline(always)]
    pub fn icmp_kind(&self) -> u8 {
        self.dst_port[0]
    }

    /// ICMP code.
    #[inline(always)]
    pub fn icmp_code(&self) -> u8 {
        self.dst_port[1]
    }

    /// Whether it is an ICMP error that quotes a packet: RFC 792 (3, 11, 12), RFC 4443 (1 to 4).
    #[inline(always)]
    pub fn is_icmp_error(&self) -> bool {
        match self.family {
            V4 => self.protocol == protocol::ICMP && matches!(self.icmp_kind(), 3 | 11 | 12),
            _ => self.protocol == protocol::ICMPV6 && matches!(self.icmp_kind(), 1..=4),
        }
    }
}

/// An ARP packet for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arp {
    /// Source MAC address of the frame.
    pub src_mac: [u8; 6],
    /// Sender hardware address.
    pub sender_mac: [u8; 6],
    /// Sender protocol address.
    pub sender: [u8; 4],
}

/// What a frame carries. Without payload: LLVM keeps the payload of the variants not taken in registers, and "R2
/// !read_ok" is what the verifier says when it spills one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// IPv4 or IPv6.
    Ip,
    /// ARP.
    Arp,
    /// Something else, on a host NIC: link control such as LLDP, LACP, spanning tree.
    Other,
}
