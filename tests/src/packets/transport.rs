//! What an IP datagram carries.

use std::net::IpAddr;

use super::{
    checksum::{checksum, sum},
    ip::octets,
    numbers::protocol,
};

/// What an IP datagram carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// IP protocol number.
    pub protocol: u8,
    /// Header and payload.
    pub bytes: Vec<u8>,
    checksum: Option<Checksum>,
    length_at: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    /// Over the bytes only.
    Plain(usize),
    /// Over the bytes and the addresses.
    Pseudo(usize),
}

impl Transport {
    /// Anything, as it is.
    pub fn raw(protocol: u8, bytes: &[u8]) -> Self {
        Self { protocol, bytes: bytes.to_vec(), checksum: None, length_at: None }
    }

    /// A TCP segment with [`flag`] bits.
    pub fn tcp(source: u16, destination: u16, flags: u8) -> Self {
        let mut bytes = ports(source, destination);
        bytes.extend([0, 0, 0x10, 0, 0, 0, 0x20, 0, 5 << 4, flags, 0x20, 0, 0, 0, 0, 0]);
        Self { protocol: protocol::TCP, bytes, checksum: Some(Checksum::Pseudo(16)), length_at: None }
    }

    /// A UDP datagram.
    pub fn udp(source: u16, destination: u16) -> Self {
        let mut bytes = ports(source, destination);
        bytes.extend([0; 4]);
        Self { protocol: protocol::UDP, bytes, checksum: Some(Checksum::Pseudo(6)), length_at: Some(4) }
    }

    /// An SCTP packet with an INIT chunk. Its checksum is left zero.
    pub fn sctp(source: u16, destination: u16) -> Self {
        let mut bytes = ports(source, destination);
        bytes.extend([0; 8]);
        bytes.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0x20, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
        Self::raw(protocol::SCTP, &bytes)
    }

    /// An ICMP message; `rest` is the second word of its header.
    pub fn icmp(kind: u8, code: u8, rest: [u8; 4]) -> Self {
        let mut bytes = vec![kind, code, 0, 0];
        bytes.extend(rest);
        Self { protocol: protocol::ICMP, bytes, checksum: Some(Checksum::Plain(2)), length_at: None }
    }

    /// An ICMPv6 message; `rest` is the second word of its header.
    pub fn icmpv6(kind: u8, code: u8, rest: [u8; 4]) -> Self {
        let message = Self::icmp(kind, code, rest);
        Self { protocol: protocol::ICMPV6, checksum: Some(Checksum::Pseudo(2)), ..message }
    }

    /// An echo request with identifier `id`, of the family of `address`.
    pub fn ping(address: IpAddr, id: u16) -> Self {
        if address.is_ipv4() { Self::icmp(8, 0, query(id)) } else { Self::icmpv6(128, 0, query(id)) }
    }

    /// An echo reply with identifier `id`, of the family of `address`.
    pub fn pong(address: IpAddr, id: u16) -> Self {
        if address.is_ipv4() { Self::icmp(0, 0, query(id)) } else { Self::icmpv6(129, 0, query(id)) }
    }

    /// A neighbour solicitation (135) or advertisement (136) for `target`.
    pub fn neighbour(kind: u8, target: [u8; 16]) -> Self {
        Self::icmpv6(kind, 0, [0; 4]).payload(&target)
    }

    /// Appends payload.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.bytes.extend(payload);
        self
    }

    /// The bytes between these two addresses, with length and checksum filled in.
    pub(super) fn between(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let Some(at) = self.length_at {
            let length = u16::try_from(bytes.len()).expect("a datagram below 64 KiB");
            bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        let (at, start) = match self.checksum {
            None => return bytes,
            Some(Checksum::Plain(at)) => (at, 0),
            Some(Checksum::Pseudo(at)) => (at, self.pseudo_sum(source, destination)),
        };
        let sum = checksum(start, &bytes);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    pub(super) fn pseudo_sum(&self, source: IpAddr, destination: IpAddr) -> u32 {
        let mut header = octets(source);
        header.extend(octets(destination));
        header.extend([0, self.protocol]);
        sum(0, &header) + self.bytes.len() as u32
    }
}

/// Identifier and sequence number of an ICMP query.
pub fn query(id: u16) -> [u8; 4] {
    let [a, b] = id.to_be_bytes();
    [a, b, 0, 1]
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}
