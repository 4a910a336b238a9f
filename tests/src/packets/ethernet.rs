//! Ethernet, and ARP.

use std::fmt;

use super::{ip::Ip, numbers::ethertype, transport::Transport};

/// A MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everyone on the cable.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(to, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// An Ethernet header.
#[derive(Clone, Debug, Default)]
pub struct Ethernet {
    /// Source.
    pub source: Mac,
    /// Destination.
    pub destination: Mac,
    /// VLAN tags, outermost first: ethertype and tag.
    pub tags: Vec<(u16, u16)>,
}

impl Ethernet {
    /// From `source` to `destination`, untagged.
    pub fn new(source: Mac, destination: Mac) -> Self {
        Self { source, destination, tags: Vec::new() }
    }

    /// The frame of anything.
    pub fn frame(&self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.destination.0.to_vec();
        bytes.extend(self.source.0);
        for (number, tag) in &self.tags {
            bytes.extend(number.to_be_bytes());
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// The frame of a datagram that says itself what it is.
    pub fn datagram(&self, datagram: &[u8]) -> Vec<u8> {
        let number = if datagram[0] >> 4 == 4 { ethertype::IPV4 } else { ethertype::IPV6 };
        self.frame(number, datagram)
    }

    /// The frame of a datagram.
    pub fn ip(&self, ip: &Ip, transport: &Transport) -> Vec<u8> {
        self.frame(ip.ethertype(), &ip.carry(transport))
    }
}

/// An ARP message: `operation` 1 asks, 2 answers.
pub fn arp(operation: u16, sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4];
    bytes.extend(operation.to_be_bytes());
    for (mac, address) in [sender, target] {
        bytes.extend(mac.0);
        bytes.extend(address);
    }
    bytes
}
