//! Connections' lives, packet by packet, valid and otherwise.
//!
//! A life is written as words: `>` is a packet of the side that opens, `<` one of the other. Behind it, TCP flags
//! ([`super::FLAGS`]); `w` before them is a wild sequence number. `e` is an ICMP error about the other side's last packet,
//! `t` one with a quote cut short, `q` one about a packet that was never sent, `x` a request where a reply is due.

use std::{collections::VecDeque, net::IpAddr};

use fastrand::Rng;
use sg_agent::policy::model::Direction;

use super::{FLAGS, reversed};
use crate::{
    packets::{Ip, Transport, flag, protocol, query},
    random::{one_in, one_of},
    sequence::{PEERS, PORTS},
    wire::Family,
};

/// TCP, by the catalogue's numbers.
const TCP: [&str; 30] = [
    ">S <SA >A >PA <A <PA >A >FA <A <FA >A",
    ">S >S >S <SA >A >PA",
    ">S <A <R >S <SA >A <PA",
    ">S <wSA <SA >A <PA",
    ">S <S >SA <SA >A <PA",
    ">S <SA <PA >A",
    ">S <SA >A >FA <A <PA <PA >A <FA >A",
    ">S <SA >A >FA <FA >A <A <PA",
    ">S <SA >A >FA <A <FA >A >FA >FA <A",
    ">S <SA >A >R <PA >S <SA >A <PA",
    ">S <SA >A >wR >PA <PA <wR <PA >PA",
    ">S <SA >A >FA >RA <PA",
    ">S <RA >S <RA >S <SA >A",
    ">S <SA >A >FA <A <FA >A >S <SA >A >PA",
    ">S <SA >A >FA <A >S <SA >A",
    ">S <SA >A >FA <A <S <PA",
    ">S <SA >A >S <A >R >S <SA",
    ">S <SA >A <S <PA >PA",
    ">S <SA >A >PA >PA >PA <A <wA >wPA",
    ">S <SA >A <e >PA >e <PA <q >q",
    ">SEC <SAE >AC >PAE <PAC",
    "<SA >R",
    ">A >PA <A",
    ">FA <FA",
    ">R <R >RA",
    "> >FPU >SF >SR >FR >FSRPAU",
    ">S <F >SP >SU <SA >A >FPU > <FP >P",
    ">S <e >S <t >S <q <e <SA >e >A",
    ">SP <SA >A <FPA >A >FPA <A",
    ">S <SA >A <FA >A <S >S <SA",
];

/// UDP, SCTP and protocols without ports.
const DATAGRAMS: [&str; 7] =
    ["> < > <", "> > >", "< >", "> <e >e <t <q > <", "> < >e <e > <q >q", "> <t >t < <t >t", "< <q >q"];

/// ICMP queries.
const QUERIES: [&str; 6] = ["> < > <", "> <x < >", "< <", "> <e < >e", "> <x >x <", "> <q <t >"];

/// Protocols without ports. Lives of the same protocol are not told apart, so there are as many as a session has lives.
const OTHERS: [u8; 32] = [
    protocol::GRE,
    50,
    51,
    4,
    41,
    144,
    200,
    253,
    3,
    8,
    9,
    36,
    46,
    88,
    89,
    94,
    97,
    98,
    103,
    108,
    112,
    115,
    124,
    137,
    142,
    143,
    150,
    201,
    202,
    203,
    254,
    255,
];

/// What a life is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    Sctp,
    /// An ICMP query by the type and code of the request.
    Query(u8, u8),
    Other(u8),
}

/// A connection's life.
#[derive(Clone, Debug)]
pub struct Life {
    /// Tells it from others of the session.
    pub number: u16,
    kind: Kind,
    opener: Direction,
    /// Address and port of the side that opens, and of the other.
    ends: [(IpAddr, u16); 2],
    words: VecDeque<String>,
    /// The sequence number that each side sends next.
    next: [u32; 2],
    /// The last datagram of each side.
    last: [Option<Vec<u8>>; 2],
}

/// A packet to send.
pub struct Sent {
    /// To the guest, or from it.
    pub direction: Direction,
    /// Its IP header.
    pub ip: Ip,
    /// What it carries.
    pub transport: Transport,
}

impl Life {
    /// A random one. `number` tells it from others of the session.
    pub fn random(random: &mut Rng, number: u16) -> Self {
        let family = one_of(random, &Family::BOTH);
        let opener = one_of(random, &[Direction::Ingress, Direction::Egress]);
        let (v4, v6) = one_of(random, &PEERS);
        let peer: IpAddr = if family == Family::V4 { v4 } else { v6 }.parse().expect("an address");
        let kind = kind(random, family, number);
        let (port, own) = (one_of(random, &PORTS), 4000 + number);
        let ends = match opener {
            Direction::Ingress => [(peer, own), (family.guest(), port)],
            Direction::Egress => [(family.guest(), own), (peer, port)],
        };
        let next = [random.u32(..), random.u32(..)];
        Self { number, kind, opener, ends, words: words(random, kind), next, last: [None, None] }
    }

    /// The next packet; `None` at the end.
    pub fn next(&mut self, random: &mut Rng) -> Option<Sent> {
        let word = self.words.pop_front()?;
        let (side, what) = (usize::from(word.starts_with('<')), &word[1..]);
        let ip = Ip { id: random.u32(..), ..Ip::new(self.ends[side].0, self.ends[1 - side].0) };
        let direction = if side == 0 { self.opener } else { reversed(self.opener) };
        if matches!(what, "e" | "t" | "q") {
            return Some(self.error(random, direction, side, what));
        }
        let transport = self.transport(random, side, what);
        self.last[side] = Some(ip.carry(&transport));
        Some(Sent { direction, ip, transport })
    }

    fn transport(&mut self, random: &mut Rng, side: usize, what: &str) -> Transport {
        let (source, destination) = (self.ends[side].1, self.ends[1 - side].1);
        match self.kind {
            Kind::Tcp => self.segment(random, side, what),
            Kind::Udp => Transport::udp(source, destination).payload(b"datagram"),
            Kind::Sctp => Transport::sctp(source, destination),
            Kind::Other(number) => Transport::raw(number, &[0; 40]),
            Kind::Query(kind, code) => {
                let reply = if kind == 8 { 0 } else { kind + 1 };
                let kind = if (side == 1) == (what == "x") { kind } else { reply };
                message(self.ends[0].0, kind, code, query(self.ends[0].1)).payload(&[0; 16])
            }
        }
    }

    fn segment(&mut self, random: &mut Rng, side: usize, what: &str) -> Transport {
        let flags: u8 = what.chars().filter_map(|letter| FLAGS.find(letter)).map(|bit| 1 << bit).sum();
        let mut segment = Transport::tcp(self.ends[side].1, self.ends[1 - side].1, flags);
        if flags & flag::PSH != 0 {
            segment = segment.payload(b"segments");
        }
        let wild = if what.starts_with('w') { random.u32(..) } else { 0 };
        let acknowledged = if flags & flag::ACK == 0 { 0 } else { self.next[1 - side].wrapping_add(wild) };
        segment.bytes[4..8].copy_from_slice(&self.next[side].wrapping_add(wild).to_be_bytes());
        segment.bytes[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        let counted = (flags & flag::SYN != 0) as u32 + (flags & flag::FIN != 0) as u32;
        if wild == 0 {
            self.next[side] = self.next[side].wrapping_add(segment.bytes.len() as u32 - 20 + counted);
        }
        segment
    }

    /// An error from `side`, or from a router there, to the other.
    fn error(&self, random: &mut Rng, direction: Direction, side: usize, what: &str) -> Sent {
        let ((own, own_port), (other, other_port)) = (self.ends[side], self.ends[1 - side]);
        let mut quoted = match &self.last[1 - side] {
            Some(last) if what != "q" => last.clone(),
            _ => Ip::new(other, own).carry(&Transport::udp(other_port ^ 1, own_port)),
        };
        if what == "t" {
            let header = if own.is_ipv4() { 20 } else { 40 };
            quoted.truncate(header + random.usize(..12));
        }
        let (v4, v6) = one_of(random, &PEERS);
        let router: IpAddr = if own.is_ipv4() { v4 } else { v6 }.parse().expect("an address");
        let from_router = direction == Direction::Ingress && one_in(random, 3);
        let kinds: &[(u8, u8)] = match own.is_ipv4() {
            true => &[(3, 0), (3, 3), (3, 4), (11, 0), (11, 1), (12, 0), (4, 0), (5, 1)],
            false => &[(1, 0), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (137, 0)],
        };
        let (kind, code) = one_of(random, kinds);
        let ip = Ip { id: random.u32(..), ..Ip::new(if from_router { router } else { own }, other) };
        Sent { direction, ip, transport: message(own, kind, code, [0, 0, 5, 0]).payload(&quoted) }
    }
}

/// An ICMP message of the family of `like`.
fn message(like: IpAddr, kind: u8, code: u8, rest: [u8; 4]) -> Transport {
    if like.is_ipv4() { Transport::icmp(kind, code, rest) } else { Transport::icmpv6(kind, code, rest) }
}

fn kind(random: &mut Rng, family: Family, number: u16) -> Kind {
    let v4 = family == Family::V4;
    match random.u8(..40) {
        0..=21 => Kind::Tcp,
        22..=29 => Kind::Udp,
        30 => Kind::Sctp,
        31 | 32 => Kind::Other(OTHERS[usize::from(number) % OTHERS.len()]),
        33 if v4 => Kind::Query(one_of(random, &[13, 15, 17]), 0),
        34 => Kind::Query(if v4 { 8 } else { 128 }, 1),
        35 => Kind::Query(if v4 { one_of(random, &[9, 30, 42]) } else { one_of(random, &[139, 200]) }, 0),
        36 => Kind::Other(if v4 { protocol::ICMPV6 } else { protocol::ICMP }),
        _ => Kind::Query(if v4 { 8 } else { 128 }, 0),
    }
}

/// A life of the catalogue, one in three with a packet too many, too few, or twice.
fn words(random: &mut Rng, kind: Kind) -> VecDeque<String> {
    let life = match kind {
        Kind::Tcp => one_of(random, &TCP),
        Kind::Query(..) => one_of(random, &QUERIES),
        _ => one_of(random, &DATAGRAMS),
    };
    let mut words: VecDeque<String> = life.split(' ').map(str::to_owned).collect();
    if one_in(random, 3) {
        let place = random.usize(..words.len());
        match random.u8(..3) {
            0 => drop(words.remove(place)),
            1 => words.insert(place, words[place].clone()),
            _ if kind == Kind::Tcp => {
                let stray = one_of(random, &[">S", "<S", ">SA", "<SA", ">FA", "<FA", ">R", "<R", ">A", "<A"]);
                words.insert(place, stray.to_owned());
            }
            _ => words.insert(place, one_of(random, &[">", "<", "<e", ">q"]).to_owned()),
        }
    }
    words
}
