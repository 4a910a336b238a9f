//! Datagrams put together again from their fragments, as a receiver would.

use std::{collections::BTreeMap, net::IpAddr};

use super::decode::Decoded;
use crate::packets::extension;

/// A datagram, however it travelled: source, destination, protocol, what it carries.
pub type Datagram = (IpAddr, IpAddr, u8, Vec<u8>);

/// A piece: offset, whether more follow, protocol, bytes.
type Piece = (usize, bool, u8, Vec<u8>);

/// The datagrams that are whole, or whose fragments are all there and do not overlap (RFC 5722, which Linux applies to
/// IPv4 too); a fragment may come twice.
pub fn datagrams(received: &[Vec<u8>]) -> Vec<Datagram> {
    let mut whole = Vec::new();
    let mut pieces: BTreeMap<(IpAddr, IpAddr, u32), Vec<Piece>> = BTreeMap::new();
    for packet in received.iter().filter_map(|bytes| Decoded::of(bytes)) {
        let (protocol, bytes) = fragmentable(&packet);
        match packet.fragment.filter(|_| packet.is_piece()) {
            None => whole.push((packet.source, packet.destination, protocol, bytes)),
            Some(place) => {
                let datagram = pieces.entry((packet.source, packet.destination, place.id)).or_default();
                datagram.push((place.offset, place.more, protocol, bytes));
            }
        }
    }
    let joined = pieces.into_iter().filter_map(|((source, destination, _), pieces)| {
        join(pieces).map(|(protocol, bytes)| (source, destination, protocol, bytes))
    });
    whole.extend(joined);
    whole.sort();
    whole
}

/// What follows the fragment header, or would if there were one.
fn fragmentable(packet: &Decoded) -> (u8, Vec<u8>) {
    let header = packet.extensions.iter().position(|(number, _)| *number == extension::FRAGMENT);
    let behind = header.map_or(packet.extensions.len(), |place| place + 1);
    let behind = &packet.extensions[behind..];
    let mut bytes: Vec<u8> = behind.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    bytes.extend(&packet.payload);
    (behind.first().map_or(packet.protocol, |(number, _)| *number), bytes)
}

fn join(mut pieces: Vec<Piece>) -> Option<(u8, Vec<u8>)> {
    pieces.sort();
    pieces.dedup();
    let (_, _, protocol, _) = pieces.first()?;
    let mut bytes = Vec::new();
    for (place, (offset, more, _, piece)) in pieces.iter().enumerate() {
        let is_last = place + 1 == pieces.len();
        if *offset != bytes.len() || *more == is_last {
            return None;
        }
        bytes.extend(piece);
    }
    Some((*protocol, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packets::{Ip, Transport},
        wire::Family,
    };

    #[test]
    fn only_all_fragments_are_a_datagram() {
        for family in Family::BOTH {
            let transport = Transport::udp(1, 2).payload(&[7; 40]);
            let ip = Ip { id: 9, ..family.inward() };
            let expected = datagrams(&[ip.carry(&transport)]);
            let mut pieces = ip.fragments(&transport, 16);
            pieces.reverse();
            assert_eq!(datagrams(&pieces), expected);
            pieces.push(pieces[1].clone());
            assert_eq!(datagrams(&pieces), expected);
            pieces.push(ip.fragment(17, 8, true, &[7; 16]));
            assert_eq!(datagrams(&pieces), []);
            assert_eq!(datagrams(&pieces[1..2]), []);
        }
    }
}
