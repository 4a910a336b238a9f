//! The short way: packets of live connections about which nobody else has anything to say.
//!
//! Nearly every packet is a whole TCP segment or UDP datagram, behind plain headers, of a connection that the policy in
//! force has admitted. For those all stages are here once more, without a call and without a
//! [`Case`](crate::case::Case): a call with its return costs as much as the look-up. Headers are read by words of the key.
//! Whatever is out of the ordinary takes the long way, as if it had not been here: until a packet is sure to pass,
//! nothing is written. Tests compare what is read here with what the long way reads.

use sg_common::{
    addr::Addr,
    conntrack::{Key, Step, TcpFlags},
};

use crate::{
    account,
    conntrack::{self, Table, V4 as TableV4, V6 as TableV6},
    frame::Frame,
    guard,
    packet::{V4, V6, protocol},
    parse::ethertype,
    scene::Scene,
};

/// A packet as the short way reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<A> {
    /// Source address, as the frame has it.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source and destination port, as the frame has them.
    pub ports: u32,
    /// [`protocol::TCP`] or [`protocol::UDP`].
    pub protocol: u8,
    /// What it is to the automaton.
    pub step: Step,
    /// Offset in the frame at which the IP packet ends.
    pub end: u32,
}

/// A family of packets and its table.
pub trait Family: Table {
    /// An address in words.
    type Words: Copy + PartialEq;
    /// Reads the headers, if they are plain.
    fn read<F: Frame + ?Sized>(frame: &F) -> Option<Plain<Self::Words>>;
    /// An address of these words.
    fn addr(words: Self::Words) -> Addr;
    /// The key of a flow.
    fn key(remote: Self::Words, local: Self::Words, rest: u64) -> Self::Key;
    /// [`V4`] or [`V6`].
    const FAMILY: u8;
}

/// Offsets: source MAC address, ethertype, headers.
const SRC_MAC: usize = 6;
const KIND: usize = 12;
const NETWORK: usize = 14;
const BEHIND_V4: usize = NETWORK + 20;
const BEHIND_V6: usize = NETWORK + 40;
/// Lengths of transport headers.
const TCP: usize = 20;
const UDP: usize = 8;

/// Whether the frame passes here, counted and all.
#[inline(always)]
pub fn passes<F: Frame + ?Sized>(frame: &F, scene: &Scene) -> bool {
    let Some(kind) = frame.window(NETWORK).and_then(|window| window.read::<u16>(KIND)) else { return false };
    if frame.has_vlan_metadata() || scene.now >= scene.iface.next_change {
        return false;
    }
    if kind == ethertype::IPV4.to_be() {
        pass::<TableV4, F>(frame, scene)
    } else {
        kind == ethertype::IPV6.to_be() && pass::<TableV6, F>(frame, scene)
    }
}

#[inline(always)]
fn pass<T: Family, F: Frame + ?Sized>(frame: &F, scene: &Scene) -> bool {
    match T::read(frame) {
        Some(plain) if is_unguarded::<T, F>(frame, scene, &plain) => goes_on::<T>(scene, &plain),
        _ => false,
    }
}

impl Family for TableV4 {
    type Words = u32;
    const FAMILY: u8 = V4;

    #[inline(always)]
    fn read<F: Frame + ?Sized>(frame: &F) -> Option<Plain<u32>> {
        const DONT_FRAGMENT: u16 = 0x4000;
        let ip = frame.window(BEHIND_V4)?;
        let total = u32::from(u16::from_be(ip.read(NETWORK + 2)?));
        let fragment = ip.read::<u16>(NETWORK + 6)? & !DONT_FRAGMENT.to_be();
        if ip.read::<u8>(NETWORK)? != 0x45 || fragment != 0 {
            return None;
        }
        let protocol = ip.read(NETWORK + 9)?;
        let (src, dst) = (ip.read(NETWORK + 12)?, ip.read(NETWORK + 16)?);
        transport::<_, F>(frame, BEHIND_V4, protocol, total + NETWORK as u32, src, dst)
    }

    #[inline(always)]
    fn addr(word: u32) -> Addr {
        Addr::v4(word.to_ne_bytes())
    }

    #[inline(always)]
    fn key(remote: u32, local: u32, rest: u64) -> Self::Key {
        Self::Key::from_words([joined(remote, local), rest])
    }
}

impl Family for TableV6 {
    type Words = [u64; 2];
    const FAMILY: u8 = V6;

    #[inline(always)]
    fn read<F: Frame + ?Sized>(frame: &F) -> Option<Plain<[u64; 2]>> {
        let ip = frame.window(BEHIND_V6)?;
        let payload = u32::from(u16::from_be(ip.read(NETWORK + 4)?));
        if ip.read::<u8>(NETWORK)? >> 4 != 6 {
            return None;
        }
        let protocol = ip.read(NETWORK + 6)?;
        let src = [ip.read(NETWORK + 8)?, ip.read(NETWORK + 16)?];
        let dst = [ip.read(NETWORK + 24)?, ip.read(NETWORK + 32)?];
        transport::<_, F>(frame, BEHIND_V6, protocol, payload + BEHIND_V6 as u32, src, dst)
    }

    #[inline(always)]
    fn addr(words: [u64; 2]) -> Addr {
        Addr(zerocopy::transmute!(words))
    }

    #[inline(always)]
    fn key(remote: [u64; 2], local: [u64; 2], rest: u64) -> Self::Key {
        Self::Key::from_words([remote[0], remote[1], local[0], local[1], rest])
    }
}

/// Two halves of a word, in the order of memory.
#[inline(always)]
const fn joined(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        (second as u64) << 32 | first as u64
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// The last word of a key: ports, interface, protocol.
#[inline(always)]
const fn rest(ports: u32, slot: u32, protocol: u8) -> u64 {
    let (slot, protocol) = (slot & 0xffff, protocol as u32);
    joined(
        ports,
        if cfg!(target_endian = "little") { protocol << 16 | slot } else { slot << 16 | protocol << 8 },
    )
}

/// A TCP segment from the middle of a connection, or a UDP datagram; at `at` in the frame.
#[inline(always)]
fn transport<A, F: Frame + ?Sized>(
    frame: &F,
    at: usize,
    protocol: u8,
    end: u32,
    src: A,
    dst: A,
) -> Option<Plain<A>> {
    let (window, step, length) = match protocol {
        protocol::TCP => {
            let window = frame.window(at + TCP)?;
            let flags = TcpFlags(window.read(at + 13)?);
            (window, Step::Tcp(flags), tcp_length(window.read(at + 12)?, flags)?)
        }
        protocol::UDP => {
            let window = frame.window(at + UDP)?;
            (window, Step::Other, udp_length(u16::from_be(window.read(at + 4)?))?)
        }
        _ => return None,
    };
    let ports = window.read(at)?;
    let inside = at as u32 + length <= end && end <= window.room;
    inside.then_some(Plain { src, dst, ports, protocol, step, end })
}

/// Length of the TCP header, unless the segment opens, closes or resets, or is none that a TCP sends.
#[inline(always)]
fn tcp_length(offset: u8, flags: TcpFlags) -> Option<u32> {
    let length = u32::from(offset >> 4) * 4;
    (flags.only_acknowledges() && length >= TCP as u32).then_some(length)
}

/// Length that the UDP header gives.
#[inline(always)]
fn udp_length(length: u16) -> Option<u32> {
    (length >= UDP as u16).then_some(u32::from(length))
}

/// Whether the guards have nothing to say: as [`guard::is_plain`].
#[inline(always)]
fn is_unguarded<T: Family, F: Frame + ?Sized>(frame: &F, scene: &Scene, plain: &Plain<T::Words>) -> bool {
    let [s0, s1, d0, d1] = plain.ports.to_ne_bytes();
    let src = T::addr(plain.src);
    guard::is_ordinary(plain.protocol, [s0, s1], [d0, d1])
        && guard::has_no_exemption(scene.iface, T::FAMILY)
        && guard::may_come_from(scene.iface, scene.direction, T::FAMILY, &src, || src_mac(frame))
}

/// The source MAC address.
#[inline(always)]
fn src_mac<F: Frame + ?Sized>(frame: &F) -> [u8; 6] {
    let window = frame.window(NETWORK);
    let word = |at| window.and_then(|window| window.read::<u16>(at)).unwrap_or(0).to_ne_bytes();
    let [[a, b], [c, d], [e, f]] = [word(SRC_MAC), word(SRC_MAC + 2), word(SRC_MAC + 4)];
    [a, b, c, d, e, f]
}

/// The key of the packet's flow on the interface in directory slot `slot`; `outward`: it comes from the protected side.
#[inline(always)]
pub fn key_of<T: Family>(slot: u32, outward: bool, plain: &Plain<T::Words>) -> T::Key {
    if outward {
        T::key(plain.dst, plain.src, rest(plain.ports.rotate_left(16), slot, plain.protocol))
    } else {
        T::key(plain.src, plain.dst, rest(plain.ports, slot, plain.protocol))
    }
}

/// Whether the packet's connection is live and of the policy in force; moves it on.
#[inline(always)]
fn goes_on<T: Family>(scene: &Scene, plain: &Plain<T::Words>) -> bool {
    let key = key_of::<T>(scene.slot, scene.outward(), plain);
    let place = conntrack::place_of::<T>(&key, scene.control);
    let Some(found) = conntrack::glance::<T>(&key, &place, scene.now) else { return false };
    // SAFETY: `entry` points into an array map; each field is one word.
    let (generation, counter) = unsafe { ((*found.entry).generation, (*found.entry).counter) };
    let from_opener = found.life.opened_by_egress() == scene.outward();
    // If another CPU is faster, the connection is looked up again on the long way.
    if generation != scene.judged
        || !conntrack::refresh(&found, plain.step, from_opener, scene.now, &scene.settings.timeouts)
    {
        return false;
    }
    conntrack::count_packet(&found, from_opener, plain.end);
    account::rule(counter, plain.end, scene.now);
    account::allowed(scene.slot, scene.direction, plain.end);
    true
}

#[cfg(test)]
mod tests;
