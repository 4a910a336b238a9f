//! IP headers of both families.

use std::net::IpAddr;

use super::{
    checksum::checksum,
    numbers::{ethertype, extension},
    transport::Transport,
};

/// An IP header of either family.
#[derive(Clone, Debug)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Identification of the datagram, for fragments.
    pub id: u32,
    /// IPv4 options; padded to four bytes by whoever gives them.
    pub options: Vec<u8>,
    /// IPv6 extension headers by number, each with its bytes from the third on (next header and length are filled in).
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Ip {
    /// A plain header.
    ///
    /// # Panics
    /// If the addresses are of different families.
    #[track_caller]
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "{source} and {destination}");
        Self { source, destination, ttl: 64, id: 0, options: Vec::new(), extensions: Vec::new() }
    }

    /// The ethertype that carries it.
    pub fn ethertype(&self) -> u16 {
        if self.source.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 }
    }

    /// The whole datagram.
    pub fn carry(&self, transport: &Transport) -> Vec<u8> {
        let payload = transport.between(self.source, self.destination);
        match self.source {
            IpAddr::V4(_) => self.v4(transport.protocol, 0, &payload),
            IpAddr::V6(_) => self.v6(transport.protocol, &self.extensions, &payload),
        }
    }

    /// One fragment: `bytes` of the datagram's payload from `offset` on; `more` follow.
    ///
    /// # Panics
    /// If the offset is not a multiple of eight.
    #[track_caller]
    pub fn fragment(&self, protocol: u8, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
        assert_eq!(offset % 8, 0, "fragments start at multiples of eight bytes");
        match self.source {
            IpAddr::V4(_) => self.v4(protocol, (offset / 8) as u16 | u16::from(more) << 13, bytes),
            IpAddr::V6(_) => {
                let [high, low] = (offset as u16 | u16::from(more)).to_be_bytes();
                let mut header = vec![high, low];
                header.extend(self.id.to_be_bytes());
                let mut extensions = self.extensions.clone();
                extensions.push((extension::FRAGMENT, header));
                self.v6(protocol, &extensions, bytes)
            }
        }
    }

    /// The datagram in fragments of at most `size` payload bytes (a multiple of eight).
    pub fn fragments(&self, transport: &Transport, size: usize) -> Vec<Vec<u8>> {
        let payload = transport.between(self.source, self.destination);
        let pieces = payload.chunks(size).enumerate();
        pieces
            .map(|(i, piece)| {
                let more = (i + 1) * size < payload.len();
                self.fragment(transport.protocol, i * size, more, piece)
            })
            .collect()
    }

    fn v4(&self, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = u16::try_from(header + payload.len()).expect("a datagram below 64 KiB");
        let mut bytes = vec![0x40 | (header / 4) as u8, 0];
        bytes.extend(total.to_be_bytes());
        bytes.extend((self.id as u16).to_be_bytes());
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([self.ttl, protocol, 0, 0]);
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.destination));
        bytes.extend(&self.options);
        let sum = checksum(0, &bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn v6(&self, protocol: u8, extensions: &[(u8, Vec<u8>)], payload: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for (i, (number, rest)) in extensions.iter().enumerate() {
            let next = extensions.get(i + 1).map_or(protocol, |(number, _)| *number);
            // A fragment header has a reserved byte where the others have their length in units of eight bytes.
            let units = if *number == extension::FRAGMENT { 0 } else { (rest.len() + 2) / 8 - 1 };
            body.extend([next, units as u8]);
            body.extend(rest);
        }
        body.extend(payload);
        let length = u16::try_from(body.len()).expect("a datagram below 64 KiB");
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([extensions.first().map_or(protocol, |(number, _)| *number), self.ttl]);
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.destination));
        bytes.extend(body);
        bytes
    }
}

/// An extension header's bytes after its first two: padding that fills `units` times eight bytes.
pub fn padding(units: usize) -> Vec<u8> {
    let mut bytes = vec![1, (units * 8 - 4) as u8];
    bytes.resize(units * 8 - 2, 0);
    bytes
}

/// The bytes of an address.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
