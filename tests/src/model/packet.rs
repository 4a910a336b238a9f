//! A packet as the specification speaks of it: parsed, and seen from the protected side.

use std::{net::IpAddr, ops::Range};

use sg_agent::policy::model::Direction;

use super::{Key, Reversed as _};
use crate::{
    oracle::Service,
    packets::{Mac, protocol},
};

/// A packet on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Interface.
    pub interface: String,
    /// Whether it goes to the protected side or comes from it.
    pub direction: Direction,
    /// Source MAC address.
    pub mac: Mac,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Which part of a datagram it is.
    pub part: Part,
    /// What it carries; of a later fragment only the protocol counts.
    pub content: Content,
}

/// Which part of a datagram a packet is; fragments with the datagram's identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first fragment.
    First(u32),
    /// A later one, which follows the first and ends the datagram.
    Later(u32),
    /// A later one, which follows the first; another follows it.
    Middle(u32),
    /// A later one, which follows a middle one and ends the datagram.
    End(u32),
    /// Any fragment: where in the datagram's payload its bytes begin and end, and whether the datagram ends with them.
    Piece(u32, usize, usize, bool),
}

impl Part {
    /// Whether it is a later fragment.
    pub fn is_later(self) -> bool {
        self != Self::Whole && self.span().0.start > 0
    }

    /// The datagram's identification, if it is a fragment.
    pub fn datagram(self) -> Option<u32> {
        match self {
            Self::Whole => None,
            Self::First(id) | Self::Later(id) | Self::Middle(id) | Self::End(id) | Self::Piece(id, ..) => {
                Some(id)
            }
        }
    }

    /// Where in the datagram's payload its bytes belong, and whether the datagram ends with them.
    pub fn span(self) -> (Range<usize>, bool) {
        match self {
            Self::Whole | Self::First(_) => (0..1480, false),
            Self::Later(_) => (1480..1504, true),
            Self::Middle(_) => (1480..1504, false),
            Self::End(_) => (1504..1528, true),
            Self::Piece(_, start, end, is_last) => (start..end, is_last),
        }
    }
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// TCP.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// [`crate::packets::flag`] bits.
        flags: u8,
    },
    /// UDP or SCTP.
    Ports {
        /// IP protocol.
        protocol: u8,
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP of the packet's own family, other than the next two.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier, where the type has one.
        id: u16,
    },
    /// An ICMP error that quotes a packet.
    Error {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The quoted packet.
        quoted: Quoted,
    },
    /// A neighbour solicitation (135) or advertisement (136).
    Neighbour {
        /// Type.
        kind: u8,
        /// The address it is about.
        target: IpAddr,
    },
    /// Any other protocol.
    Other(u8),
}

/// A packet that an ICMP error quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Whether it is a later fragment.
    pub is_later: bool,
    /// What it carries.
    pub content: Box<Content>,
}

/// An ICMP query or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// A request of this type.
    Request(u8),
    /// The answer to a request of this type.
    Reply(u8),
}

impl Content {
    /// IP protocol; ICMP counts as IPv4's.
    pub fn protocol(&self) -> u8 {
        match self {
            Self::Tcp { .. } => protocol::TCP,
            Self::Ports { protocol, .. } | Self::Other(protocol) => *protocol,
            Self::Icmp { .. } | Self::Error { .. } => protocol::ICMP,
            Self::Neighbour { .. } => protocol::ICMPV6,
        }
    }

    /// Source and destination port; 0 where there are none.
    pub fn ports(&self) -> (u16, u16) {
        match self {
            Self::Tcp { source, destination, .. } | Self::Ports { source, destination, .. } => {
                (*source, *destination)
            }
            _ => (0, 0),
        }
    }
}

impl Packet {
    /// The other end.
    pub fn remote(&self) -> IpAddr {
        match self.direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        }
    }

    /// IP protocol.
    pub fn protocol(&self) -> u8 {
        match self.content.protocol() {
            protocol::ICMP if !matches!(self.content, Content::Other(_)) => own_icmp(self.source),
            number => number,
        }
    }

    /// As rules see it, if it is no later fragment.
    pub fn service(&self) -> Service {
        let protocol = self.protocol();
        match &self.content {
            Content::Tcp { destination, .. } | Content::Ports { destination, .. } => {
                Service::Ports { protocol, destination: *destination }
            }
            Content::Icmp { kind, code, .. } | Content::Error { kind, code, .. } => {
                Service::Icmp { protocol, kind: *kind, code: *code }
            }
            Content::Neighbour { kind, .. } => Service::Icmp { protocol, kind: *kind, code: 0 },
            Content::Other(_) => Service::Other(protocol),
        }
    }

    /// Whether it asks or answers.
    pub fn query(&self) -> Option<Query> {
        let Content::Icmp { kind, code: 0, .. } = self.content else { return None };
        match (self.source.is_ipv4(), kind) {
            (true, 8 | 13 | 15 | 17) | (false, 128) => Some(Query::Request(kind)),
            (true, 0) => Some(Query::Reply(8)),
            (true, 14 | 16 | 18) | (false, 129) => Some(Query::Reply(kind - 1)),
            _ => None,
        }
    }

    /// The connection that it may belong to.
    pub fn key(&self) -> Option<Key> {
        let query = match (self.query(), &self.content) {
            (Some(Query::Request(kind)), Content::Icmp { id, .. }) => Some((kind, *id, self.direction)),
            (Some(Query::Reply(kind)), Content::Icmp { id, .. }) => {
                Some((kind, *id, self.direction.reversed()))
            }
            (_, Content::Icmp { .. } | Content::Error { .. } | Content::Neighbour { .. }) => return None,
            _ => None,
        };
        let (source, destination) = self.content.ports();
        let ends = [(self.source, source), (self.destination, destination)];
        let [remote, local] = if self.direction == Direction::Ingress { ends } else { [ends[1], ends[0]] };
        Some(Key { interface: self.interface.clone(), local, remote, protocol: self.protocol(), query })
    }

    /// The TCP flags that are asked for, all of them set.
    pub fn has(&self, wanted: u8) -> bool {
        matches!(self.content, Content::Tcp { flags, .. } if flags & wanted == wanted)
    }
}

fn own_icmp(address: IpAddr) -> u8 {
    if address.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
}
