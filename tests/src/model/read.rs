//! From bytes to a packet as the specification speaks of it, or the reason why the bytes are none.
//!
//! Written from the specification and the RFCs alone, on slices that end where the layer before says that they end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sg_agent::policy::model::{Direction, Role};
use sg_common::verdict::Reason;

use super::packet::{Content, Packet, Part, Quoted};
use crate::packets::{Mac, ethertype, extension, flag, protocol};

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An IP packet.
    Ip {
        /// The packet.
        packet: Packet,
        /// Whether a receiver would take it; only neighbour discovery may be otherwise.
        is_sound: bool,
    },
    /// ARP.
    Arp(Arp),
    /// Link control, on a host NIC.
    Other,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Source MAC address of the frame.
    pub mac: Mac,
    /// Sender hardware address.
    pub sender_mac: Mac,
    /// Sender protocol address.
    pub sender: Ipv4Addr,
}

/// Where a frame is seen.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Interface.
    pub interface: &'a str,
    /// Its role.
    pub role: Role,
    /// Which way the frame goes.
    pub direction: Direction,
}

type Refused<T> = Result<T, Reason>;

const LONGEST: usize = 65_535;
const MALFORMED: Reason = Reason::Malformed;

/// Reads a frame.
///
/// # Errors
/// Why it is dropped for its form alone.
pub fn read(frame: &[u8], place: Place<'_>) -> Refused<Frame> {
    let guest = place.role == Role::Guest;
    let header = frame.get(..14).ok_or(MALFORMED)?;
    let mac = Mac(array(&header[6..])?);
    let (kind, payload) = untagged(number(&header[12..])?, &frame[14..], guest)?;
    match kind {
        ethertype::IPV4 => v4(payload, place, mac),
        ethertype::IPV6 => v6(payload, place, mac),
        ethertype::ARP => arp(payload, mac).map(Frame::Arp),
        _ if guest || is_envelope(kind, payload) => Err(Reason::NonIp),
        _ => Ok(Frame::Other),
    }
}

/// The ethertype behind the tags, of which a guest has none and a host two at most.
fn untagged(mut kind: u16, mut payload: &[u8], guest: bool) -> Refused<(u16, &[u8])> {
    let mut tags = 0;
    while matches!(kind, ethertype::VLAN | ethertype::SERVICE_VLAN) {
        tags += 1;
        if guest || tags > 2 {
            return Err(Reason::Vlan);
        }
        kind = number(payload.get(2..4).ok_or(MALFORMED)?)?;
        payload = &payload[4..];
    }
    Ok((kind, payload))
}

/// MPLS, PPPoE and SNAP could carry IP past the rules.
fn is_envelope(kind: u16, payload: &[u8]) -> bool {
    match kind {
        0x8847 | 0x8848 | 0x8864 => true,
        length if length < 0x600 => payload.first() == Some(&0xaa),
        _ => false,
    }
}

fn arp(payload: &[u8], mac: Mac) -> Refused<Arp> {
    let payload = payload.get(..28).ok_or(MALFORMED)?;
    if !matches!(payload[..8], [0, 1, 8, 0, 6, 4, 0, 1 | 2]) {
        return Err(MALFORMED);
    }
    Ok(Arp { mac, sender_mac: Mac(array(&payload[8..])?), sender: array::<4>(&payload[14..])?.into() })
}

/// An IP packet whose network header has been read.
struct Network<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    part: Part,
    /// What follows the headers, as far as the packet goes.
    body: &'a [u8],
    /// Whether a neighbour discovery message in it may be accepted.
    is_direct: bool,
}

fn v4(bytes: &[u8], place: Place<'_>, mac: Mac) -> Refused<Frame> {
    let header = bytes.get(..20).ok_or(MALFORMED)?;
    let length = usize::from(header[0] & 15) * 4;
    let total = match usize::from(number(&header[2..])?) {
        0 if bytes.len() > LONGEST => bytes.len(),
        total => total,
    };
    if header[0] >> 4 != 4 || length < 20 || total < length || total > bytes.len() {
        return Err(MALFORMED);
    }
    v4_options(&bytes[20..length])?;
    let body = &bytes[length..total];
    let field = number(&header[6..])?;
    let (offset, more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
    if field & 0x8000 != 0 {
        return Err(MALFORMED);
    }
    let id = u32::from(number(&header[4..])?);
    let part = part(offset, more, header[9], body, id)?;
    if more && field & 0x4000 != 0 {
        return Err(Reason::BadFragment);
    }
    let [source, destination] = [&header[12..], &header[16..]].map(|at| array::<4>(at).map(IpAddr::from));
    let (source, destination) = (source?, destination?);
    finish(Network { source, destination, protocol: header[9], part, body, is_direct: false }, place, mac)
}

/// Source routes are refused, and options that are not whole.
fn v4_options(mut options: &[u8]) -> Refused<()> {
    while let Some(&kind) = options.first() {
        let length = match kind {
            0 => return Ok(()),
            1 => 1,
            131 | 137 => return Err(Reason::IpOptions),
            _ => options.get(1).map_or(0, |&length| usize::from(length)),
        };
        if kind != 1 && length < 2 || length > options.len() {
            return Err(MALFORMED);
        }
        options = &options[length..];
    }
    Ok(())
}

/// Which part of a datagram it is that has `body` at `offset`.
fn part(offset: usize, more: bool, protocol: u8, body: &[u8], id: u32) -> Refused<Part> {
    if offset == 0 && !more {
        return Ok(Part::Whole);
    }
    let rewrites_flags = offset == 8 && protocol == protocol::TCP;
    if more && !body.len().is_multiple_of(8) || offset + body.len() > LONGEST || rewrites_flags {
        return Err(Reason::BadFragment);
    }
    Ok(if offset == 0 { Part::First(id) } else { Part::Later(id) })
}

fn v6(bytes: &[u8], place: Place<'_>, mac: Mac) -> Refused<Frame> {
    let header = bytes.get(..40).ok_or(MALFORMED)?;
    let room = bytes.len() - 40;
    let length = match usize::from(number(&header[4..])?) {
        0 if room > LONGEST => room,
        length => length,
    };
    if header[0] >> 4 != 6 || length > room {
        return Err(MALFORMED);
    }
    let [source, destination] =
        [&header[8..], &header[24..]].map(|at| array::<16>(at).map(|octets| Ipv6Addr::from(octets).into()));
    let mut network = Network {
        source: source?,
        destination: destination?,
        protocol: header[6],
        part: Part::Whole,
        body: &bytes[40..40 + length],
        is_direct: header[7] == 255,
    };
    extensions(&mut network)?;
    finish(network, place, mac)
}

const fn is_extension(header: u8) -> bool {
    use extension::{DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING};
    matches!(header, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
}

/// Walks up to eight extension headers.
fn extensions(network: &mut Network<'_>) -> Refused<()> {
    let mut fragments = 0;
    for count in 0.. {
        if !is_extension(network.protocol) {
            return Ok(());
        }
        if count == 8 {
            return Err(Reason::ExtensionHeaders);
        }
        let short = if matches!(network.part, Part::First(_)) { Reason::BadFragment } else { MALFORMED };
        let header = network.body.get(..8).ok_or(short)?;
        let kind = std::mem::replace(&mut network.protocol, header[0]);
        if kind == extension::HOP_BY_HOP && count > 0 {
            return Err(MALFORMED);
        }
        if kind == extension::ROUTING && header[2] == 0 {
            return Err(Reason::RoutingHeader);
        }
        if kind == extension::FRAGMENT {
            fragments += 1;
            if fragments > 1 {
                return Err(Reason::BadFragment);
            }
            network.body = &network.body[8..];
            fragment(header, network)?;
            if matches!(network.part, Part::Later(_)) {
                return Ok(());
            }
        } else {
            network.body = network.body.get((usize::from(header[1]) + 1) * 8..).ok_or(short)?;
        }
    }
    Ok(())
}

fn fragment(header: &[u8], network: &mut Network<'_>) -> Refused<()> {
    network.is_direct = false;
    let field = usize::from(number(&header[2..])?);
    let id = u32::from_be_bytes(array(&header[4..])?);
    network.part = part(field & !7, field & 1 != 0, header[0], network.body, id)?;
    let announces_another = matches!(header[0], extension::FRAGMENT | extension::HOP_BY_HOP);
    if matches!(network.part, Part::Later(_)) && announces_another {
        return Err(Reason::BadFragment);
    }
    Ok(())
}

fn finish(network: Network<'_>, place: Place<'_>, mac: Mac) -> Refused<Frame> {
    let (content, is_sound) = match network.part {
        Part::Later(_) => (Content::Other(network.protocol), true),
        _ => content(&network)?,
    };
    let packet = Packet {
        interface: place.interface.to_owned(),
        direction: place.direction,
        mac,
        source: network.source,
        destination: network.destination,
        part: network.part,
        content,
    };
    Ok(Frame::Ip { packet, is_sound })
}

/// The transport header, and whether a receiver would take what it says.
fn content(network: &Network<'_>) -> Refused<(Content, bool)> {
    let (body, protocol) = (network.body, network.protocol);
    let is_first = matches!(network.part, Part::First(_));
    let short = if is_first { Reason::BadFragment } else { MALFORMED };
    let header = |length: usize| body.get(..length).ok_or(short);
    let is_icmp = protocol == own_icmp(network.source);
    let content = match protocol {
        protocol::TCP => {
            let bytes = header(20)?;
            let length = usize::from(bytes[12] >> 4) * 4;
            if length < 20 {
                return Err(MALFORMED);
            }
            header(length)?;
            if !are_possible(bytes[13]) {
                return Err(Reason::TcpFlags);
            }
            ports(protocol, bytes[13], bytes)?
        }
        protocol::UDP => {
            let bytes = header(8)?;
            let length = usize::from(number(&bytes[4..])?);
            if length < 8 || !is_first && length > body.len() {
                return Err(MALFORMED);
            }
            ports(protocol, 0, bytes)?
        }
        protocol::SCTP => ports(protocol, 0, header(12)?)?,
        _ if is_icmp => return icmp(network, header(8)?),
        _ => Content::Other(protocol),
    };
    Ok((content, true))
}

fn own_icmp(address: IpAddr) -> u8 {
    if address.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
}

/// SYN, SYN+ACK, RST, RST+ACK, ACK, FIN+ACK; URG beside SYN and beside what carries ACK without SYN and RST.
fn are_possible(flags: u8) -> bool {
    use flag::{ACK, FIN, RST, SYN, URG};
    let urgent = flags & URG != 0;
    match flags & (FIN | SYN | RST | ACK) {
        SYN | ACK => true,
        both if both == FIN | ACK => true,
        RST => !urgent,
        other => (other == SYN | ACK || other == RST | ACK) && !urgent,
    }
}

fn ports(protocol: u8, flags: u8, header: &[u8]) -> Refused<Content> {
    let (source, destination) = (number(header)?, number(&header[2..])?);
    Ok(match protocol {
        protocol::TCP => Content::Tcp { source, destination, flags },
        _ => Content::Ports { protocol, source, destination },
    })
}

fn icmp(network: &Network<'_>, header: &[u8]) -> Refused<(Content, bool)> {
    let (kind, code, v4) = (header[0], header[1], network.source.is_ipv4());
    let plain = Content::Icmp { kind, code, id: number(&header[4..])? };
    let is_error = if v4 { matches!(kind, 3 | 11 | 12) } else { matches!(kind, 1..=4) };
    if is_error {
        let quoted = quote(&network.body[8..], v4);
        return Ok((quoted.map_or(plain, |quoted| Content::Error { kind, code, quoted }), true));
    }
    if v4 || !matches!(kind, 133..=137) {
        return Ok((plain, true));
    }
    let is_sound = network.is_direct && code == 0 && is_discovery(kind, network.body);
    let content = match (kind, network.body.get(8..24)) {
        (135 | 136, Some(target)) => {
            Content::Neighbour { kind, target: Ipv6Addr::from(array::<16>(target)?).into() }
        }
        _ => plain,
    };
    Ok((content, is_sound))
}

/// Whether a neighbour discovery message is as long as its type, with whole options behind it, ten at most.
fn is_discovery(kind: u8, body: &[u8]) -> bool {
    let fixed = match kind {
        133 => 8,
        134 => 16,
        137 => 40,
        _ => 24,
    };
    let Some(mut options) = body.get(fixed..) else { return false };
    for _ in 0..10 {
        if options.is_empty() {
            return true;
        }
        let length = options.get(1).map_or(0, |&units| usize::from(units) * 8);
        match options.get(length..) {
            Some(rest) if length > 0 => options = rest,
            _ => return false,
        }
    }
    options.is_empty()
}

/// The packet that an ICMP error quotes, if it names a flow.
fn quote(bytes: &[u8], v4: bool) -> Option<Quoted> {
    let (source, destination, protocol, body) = if v4 { quoted_v4(bytes)? } else { quoted_v6(bytes)? };
    let header = body.get(..8)?;
    let content = match protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => ports(protocol, 0, header).ok()?,
        _ if protocol == own_icmp(source) => {
            let is_query =
                if v4 { matches!(header[0], 0 | 8 | 13..=18) } else { matches!(header[0], 128 | 129) };
            is_query.then_some(())?;
            Content::Icmp { kind: header[0], code: header[1], id: number(&header[4..]).ok()? }
        }
        _ => Content::Other(protocol),
    };
    Some(Quoted { source, destination, is_later: false, content: Box::new(content) })
}

type Quote<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

fn quoted_v4(bytes: &[u8]) -> Option<Quote<'_>> {
    let header = bytes.get(..20)?;
    let length = usize::from(header[0] & 15) * 4;
    let is_later = number(&header[6..]).ok()? & 0x1fff != 0;
    if header[0] >> 4 != 4 || length < 20 || is_later {
        return None;
    }
    let address = |at: usize| array::<4>(&header[at..]).ok().map(IpAddr::from);
    Some((address(12)?, address(16)?, header[9], bytes.get(length..)?))
}

fn quoted_v6(bytes: &[u8]) -> Option<Quote<'_>> {
    let header = bytes.get(..40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (mut protocol, mut body) = (header[6], &bytes[40..]);
    for _ in 0..8 {
        if !is_extension(protocol) {
            break;
        }
        let extension = body.get(..8)?;
        let is_fragment = protocol == extension::FRAGMENT;
        if is_fragment && number(&extension[2..]).ok()? & !7 != 0 {
            return None;
        }
        protocol = extension[0];
        body = body.get(if is_fragment { 8 } else { (usize::from(extension[1]) + 1) * 8 }..)?;
    }
    let address = |at: usize| array::<16>(&header[at..]).ok().map(|octets| Ipv6Addr::from(octets).into());
    (!is_extension(protocol)).then_some((address(8)?, address(24)?, protocol, body))
}

fn number(bytes: &[u8]) -> Refused<u16> {
    array(bytes).map(u16::from_be_bytes)
}

fn array<const N: usize>(bytes: &[u8]) -> Refused<[u8; N]> {
    bytes.first_chunk().copied().ok_or(MALFORMED)
}
