//! Random sessions: several connections' lives at once, some of their packets in unusual dress.

use fastrand::Rng;
use sg_agent::policy::model::Direction;

use super::{
    Shot, ethernet,
    lives::{Life, Sent},
};
use crate::{
    packets::{Ip, Transport, extension, padding, protocol},
    random::{one_in, one_of},
    wire::Family,
};

/// A session of so many connections.
pub fn session(random: &mut Rng, lives: u16) -> Vec<Shot> {
    let mut lives: Vec<Life> = (0..lives).map(|number| Life::random(random, number)).collect();
    let mut shots = Vec::new();
    while !lives.is_empty() {
        let place = random.usize(..lives.len());
        match lives[place].next(random) {
            Some(sent) => {
                let life = Some(lives[place].number);
                shots.push(Shot { life, ..shot(random, sent) });
            }
            None => drop(lives.swap_remove(place)),
        }
        if one_in(random, 40) {
            shots.push(forbidden(random));
        }
    }
    shots
}

fn shot(random: &mut Rng, sent: Sent) -> Shot {
    let Sent { direction, ip, transport } = sent;
    let datagrams = match random.u8(..64) {
        0..=3 => fragments(random, &ip, transport),
        4..=8 => vec![with_more_header(random, ip, &transport)],
        9 => vec![Ip { ttl: one_of(random, &[0, 1, 2, 255]), ..ip }.carry(&transport)],
        10..=12 => vec![broken(random, &ip, &transport)],
        13 => vec![elsewhere(random, direction, ip).carry(&transport)],
        14 => return with_mac(random, Shot::new(direction, &[ip.carry(&transport)])),
        _ => vec![ip.carry(&transport)],
    };
    Shot::new(direction, &datagrams)
}

/// Fragments in order, or otherwise.
fn fragments(random: &mut Rng, ip: &Ip, transport: Transport) -> Vec<Vec<u8>> {
    let transport = transport.payload(&[0x5a; 64]);
    let mut pieces = ip.fragments(&transport, one_of(random, &[24, 32, 48, 8]));
    match random.u8(..8) {
        0 => pieces.reverse(),
        1 => drop(pieces.remove(0)),
        2 => drop(pieces.pop()),
        3 => pieces.push(pieces[pieces.len() - 1].clone()),
        4 => pieces.insert(1, ip.fragment(transport.protocol, 8, true, &[0; 24])),
        5 => pieces.rotate_left(1),
        _ => {}
    }
    pieces
}

/// IPv4 options or IPv6 extension headers.
fn with_more_header(random: &mut Rng, ip: Ip, transport: &Transport) -> Vec<u8> {
    if ip.source.is_ipv4() {
        // No operation; record route; time stamps without room; a loose source route; a router alert.
        let options: [&[u8]; 5] = [
            &[1; 4],
            &[7, 7, 4, 0, 0, 0, 0, 0],
            &[68, 8, 9, 0, 0, 0, 0, 0],
            &[131, 7, 4, 10, 9, 9, 9, 0],
            &[148, 4, 0, 0],
        ];
        return Ip { options: one_of(random, &options).to_vec(), ..ip }.carry(transport);
    }
    let routing = |kind: u8, left: u8| (extension::ROUTING, [&[kind, left], &[0; 20][..]].concat());
    let extensions = match random.u8(..6) {
        0 => vec![(extension::HOP_BY_HOP, padding(1))],
        1 => vec![(extension::DESTINATION, padding(1)); random.usize(1..11)],
        2 => vec![routing(one_of(random, &[0, 2, 4]), random.u8(..2))],
        3 => return ip.fragment(transport.protocol, 0, false, &ip.carry(transport)[40..]),
        4 => vec![(extension::DESTINATION, padding(1)), (extension::HOP_BY_HOP, padding(1))],
        _ => vec![(extension::HOP_BY_HOP, padding(2)), (extension::DESTINATION, padding(3))],
    };
    Ip { extensions, ..ip }.carry(transport)
}

/// Wrong checksums and lengths.
fn broken(random: &mut Rng, ip: &Ip, transport: &Transport) -> Vec<u8> {
    let mut datagram = ip.carry(transport);
    let header = datagram.len() - transport.bytes.len();
    match random.u8(..5) {
        // Padding behind the datagram.
        0 => datagram.extend([0; 9]),
        // A datagram that was cut on its way.
        1 => datagram.truncate(header + random.usize(..transport.bytes.len())),
        // One that ends early, by its own account.
        2 => {
            let cut = &transport.bytes[..random.usize(..transport.bytes.len())];
            datagram = ip.carry(&Transport::raw(transport.protocol, cut));
        }
        // A length of its own that is wrong, or an offset of data.
        3 if transport.protocol == protocol::UDP => datagram[header + 5] = random.u8(..),
        _ if transport.protocol == protocol::TCP => datagram[header + 12] = random.u8(..),
        _ => datagram[header + transport.bytes.len().min(4) - 1] ^= 0xff,
    }
    datagram
}

/// From or to somebody else.
fn elsewhere(random: &mut Rng, direction: Direction, ip: Ip) -> Ip {
    let others = if ip.source.is_ipv4() { ["10.9.2.7", "10.9.1.2"] } else { ["fd02::7", "fd01::2"] };
    let other = one_of(random, &others).parse().expect("an address");
    match (random.bool(), direction) {
        (true, Direction::Egress) => Ip { source: other, ..ip },
        (true, Direction::Ingress) => Ip { destination: other, ..ip },
        (false, _) => Ip { source: ip.destination, ..ip },
    }
}

fn with_mac(random: &mut Rng, mut shot: Shot) -> Shot {
    for frame in &mut shot.frames {
        frame[11] ^= 1 << random.u8(..8);
    }
    shot
}

/// What a guest may not send, and what passes without a rule, as far as a router forwards it.
fn forbidden(random: &mut Rng) -> Shot {
    let family = one_of(random, &Family::BOTH);
    let (direction, ip) = match random.bool() {
        true => (Direction::Ingress, family.inward()),
        false => (Direction::Egress, family.outward()),
    };
    let ip = Ip { ttl: 255, ..ip };
    let transport = match (family, random.u8(..4)) {
        (Family::V4, 0) => Transport::udp(68, 67),
        (Family::V4, 1 | 2) => Transport::udp(67, 68),
        (Family::V4, _) => Transport::icmp(5, 1, [10, 9, 1, 9]).payload(&ip.carry(&Transport::udp(1, 2))),
        (Family::V6, 0) => Transport::udp(547, 546),
        (Family::V6, 1) => Transport::icmpv6(134, 0, [64, 0, 0, 30]).payload(&[0; 8]),
        (Family::V6, 2) => Transport::neighbour(one_of(random, &[135, 136]), [0xfd; 16]),
        (Family::V6, _) => Transport::icmpv6(137, 0, [0; 4]).payload(&[0xfd; 32]),
    };
    Shot::raw(direction, vec![ethernet(direction).ip(&ip, &transport)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_the_same_every_time() {
        let make = || session(&mut Rng::with_seed(3), 12);
        assert_eq!(make(), make());
        assert!(make().len() > 40);
        assert!(make().iter().all(|shot| shot.frames.iter().all(|frame| frame.len() > 30)));
    }
}
