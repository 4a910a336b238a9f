//! An IP datagram taken apart, without judging it: for exclusions and for people.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::packets::{extension, protocol};

/// A datagram's fields. Lengths are those that the datagram claims, as far as its bytes reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// IPv4 options.
    pub options: Vec<u8>,
    /// IPv4's reserved flag.
    pub is_reserved: bool,
    /// IPv4's flag against fragmentation.
    pub is_whole_only: bool,
    /// IPv6 extension headers by number, each whole.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Which part of a datagram it is, if it has a fragment header (IPv6) or a fragment field that is not zero (IPv4).
    pub fragment: Option<Fragment>,
    /// Protocol behind the extension headers.
    pub protocol: u8,
    /// What it carries, up to the length that the IP header claims.
    pub payload: Vec<u8>,
    /// How many bytes of what the IP header claims are not there.
    pub missing: usize,
}

/// Place of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification of the datagram.
    pub id: u32,
    /// Offset in bytes.
    pub offset: usize,
    /// Whether more follow.
    pub more: bool,
}

impl Decoded {
    /// Takes a datagram apart; `None` if there is no whole IP header.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => v4(bytes),
            6 => v6(bytes),
            _ => None,
        }
    }

    /// Whether it is of version 4.
    pub fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Whether it is a fragment that is not the first.
    pub fn is_later(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset > 0)
    }

    /// Whether it is one of several fragments.
    pub fn is_piece(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset > 0 || fragment.more)
    }

    /// The 16-bit number at byte `at` of what it carries.
    pub fn word(&self, at: usize) -> Option<u16> {
        let bytes = self.payload.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Source and destination port.
    pub fn ports(&self) -> Option<(u16, u16)> {
        let has = matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP) && !self.is_later();
        if has { self.word(0).zip(self.word(2)) } else { None }
    }

    /// TCP flags.
    pub fn flags(&self) -> Option<u8> {
        let is_tcp = self.protocol == protocol::TCP && !self.is_later();
        if is_tcp { self.payload.get(13).copied() } else { None }
    }

    /// Type and code of an ICMP message of its own family.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        let own = if self.is_v4() { protocol::ICMP } else { protocol::ICMPV6 };
        let is_icmp = self.protocol == own && !self.is_later();
        if is_icmp { self.payload.first().copied().zip(self.payload.get(1).copied()) } else { None }
    }

    /// Whether it is an ICMP error.
    pub fn is_error(&self) -> bool {
        match (self.icmp(), self.is_v4()) {
            (Some((kind, _)), true) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (Some((kind, _)), false) => kind < 128,
            (None, _) => false,
        }
    }

    /// What an ICMP error quotes.
    pub fn quoted(&self) -> Option<Self> {
        if self.is_error() { Self::of(self.payload.get(8..)?) } else { None }
    }
}

fn v4(bytes: &[u8]) -> Option<Decoded> {
    let header = bytes.get(..20)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let address =
        |at: usize| <[u8; 4]>::try_from(&header[at..at + 4]).ok().map(|four| Ipv4Addr::from(four).into());
    let (start, end) = (usize::from(header[0] & 15) * 4, usize::from(word(2)));
    let field = word(6);
    let fragment =
        Fragment { id: word(4).into(), offset: usize::from(field & 0x1fff) * 8, more: field & 0x2000 != 0 };
    Some(Decoded {
        source: address(12)?,
        destination: address(16)?,
        ttl: header[8],
        options: bytes.get(20..start).unwrap_or_default().to_vec(),
        is_reserved: field & 0x8000 != 0,
        is_whole_only: field & 0x4000 != 0,
        extensions: Vec::new(),
        fragment: (field & 0x3fff != 0).then_some(fragment),
        protocol: header[9],
        payload: bytes.get(start..end.min(bytes.len())).unwrap_or_default().to_vec(),
        missing: end.saturating_sub(bytes.len()),
    })
}

fn v6(bytes: &[u8]) -> Option<Decoded> {
    let header = bytes.get(..40)?;
    let address =
        |at: usize| <[u8; 16]>::try_from(&header[at..at + 16]).ok().map(|all| Ipv6Addr::from(all).into());
    let end = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut decoded = Decoded {
        source: address(8)?,
        destination: address(24)?,
        ttl: header[7],
        options: Vec::new(),
        is_reserved: false,
        is_whole_only: false,
        extensions: Vec::new(),
        fragment: None,
        protocol: header[6],
        payload: bytes[40..end.min(bytes.len())].to_vec(),
        missing: end.saturating_sub(bytes.len()),
    };
    while !decoded.is_later() && walk(&mut decoded) {}
    Some(decoded)
}

/// Takes the next extension header off what the datagram carries, if there is a whole one.
fn walk(datagram: &mut Decoded) -> bool {
    let number = datagram.protocol;
    let walked = [extension::HOP_BY_HOP, extension::ROUTING, extension::FRAGMENT, extension::DESTINATION];
    let Some(&[next, units, high, low, a, b, c, d]) = datagram.payload.first_chunk::<8>() else {
        return false;
    };
    let length = if number == extension::FRAGMENT { 8 } else { 8 + usize::from(units) * 8 };
    if !walked.contains(&number) || length > datagram.payload.len() {
        return false;
    }
    if number == extension::FRAGMENT {
        let (id, offset) =
            (u32::from_be_bytes([a, b, c, d]), usize::from(u16::from_be_bytes([high, low & 0xf8])));
        datagram.fragment = Some(Fragment { id, offset, more: low & 1 == 1 });
    }
    let rest = datagram.payload.split_off(length);
    datagram.extensions.push((number, std::mem::replace(&mut datagram.payload, rest)));
    datagram.protocol = next;
    true
}

impl fmt::Display for Decoded {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} > {} ttl {}", self.source, self.destination, self.ttl)?;
        if !self.options.is_empty() {
            write!(to, " options {:02x?}", self.options)?;
        }
        if self.is_reserved || self.is_whole_only {
            write!(to, " reserved {} df {}", self.is_reserved, self.is_whole_only)?;
        }
        for (number, bytes) in &self.extensions {
            write!(to, " ext {number} ({} bytes)", bytes.len())?;
        }
        if let Some(Fragment { id, offset, more }) = self.fragment {
            write!(to, " fragment of {id:#x} at {offset}{}", if more { " more" } else { "" })?;
        }
        write!(to, " proto {}", self.protocol)?;
        if let Some((source, destination)) = self.ports() {
            write!(to, " {source} > {destination}")?;
        }
        if let Some(flags) = self.flags() {
            let set = super::FLAGS.char_indices().filter(|(bit, _)| flags >> bit & 1 == 1);
            write!(to, " {}", set.map(|(_, flag)| flag).collect::<String>())?;
        }
        if let Some((kind, code)) = self.icmp() {
            write!(to, " type {kind} code {code} id {:?}", self.word(4))?;
        }
        match self.quoted() {
            Some(quoted) => write!(to, " about [{quoted}]")?,
            None => write!(to, " {} bytes", self.payload.len())?,
        }
        if self.missing > 0 { write!(to, ", {} missing", self.missing) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packets::{Ip, Transport, flag, padding},
        wire::Family,
    };

    #[test]
    fn what_was_put_together_is_taken_apart() {
        for family in Family::BOTH {
            let extensions = match family {
                Family::V4 => Vec::new(),
                Family::V6 => vec![(extension::DESTINATION, padding(2))],
            };
            let ip = Ip { id: 9, extensions, ..family.inward() };
            let segment = Transport::tcp(1, 2, flag::SYN | flag::ACK).payload(&[0; 20]);
            let whole = Decoded::of(&ip.carry(&segment)).expect("a datagram");
            assert_eq!((whole.ports(), whole.flags(), whole.fragment), (Some((1, 2)), Some(0x12), None));
            let pieces = ip.fragments(&segment, 24);
            let later = Decoded::of(&pieces[1]).expect("a datagram");
            assert_eq!(later.fragment, Some(Fragment { id: 9, offset: 24, more: false }));
            assert_eq!((later.ports(), later.protocol, later.payload.len()), (None, protocol::TCP, 16));
            assert_eq!(later.extensions.len(), if family == Family::V4 { 0 } else { 2 });
        }
    }

    #[test]
    fn an_error_tells_what_it_quotes() {
        let quoted = Family::V6.outward().carry(&Transport::udp(5, 53));
        let error = Transport::icmpv6(1, 4, [0; 4]).payload(&quoted[..44]);
        let error = Decoded::of(&Family::V6.inward().carry(&error)).expect("a datagram");
        let quoted = error.quoted().expect("a quote");
        assert_eq!((quoted.ports(), quoted.missing), (Some((5, 53)), 4));
        assert!(error.to_string().contains("about [fd02::2 > fd01::2"), "{error}");
    }
}
