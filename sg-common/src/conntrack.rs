//! Connections: flow keys, entries, the life word, and the automaton that moves an entry on with each packet.
//!
//! A connection is one entry, keyed from the protected side (local, remote), so both directions find it with one
//! look-up. Everything that decides about an entry is in one 64-bit [`Life`] word, changed by compare-and-swap only:
//! whoever swaps has seen the whole of what it replaces, on whatever CPU.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::control::Timeouts;

mod automaton;
mod life;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod properties;

pub use automaton::{Step, TcpFlags, after, opening, refreshed, timeout};
pub use life::{Kind, Life, State};

/// IPv4 flow key. All fields in network order.
// Aligned, so that the kernel side copies and compares words, not bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key4 {
    /// Address of the other end.
    pub remote: [u8; 4],
    /// Address of the protected side.
    pub local: [u8; 4],
    /// Port of the other end; 0 where the protocol has none.
    pub remote_port: [u8; 2],
    /// Port of the protected side; the identifier of an ICMP query.
    pub local_port: [u8; 2],
    /// Directory slot of the interface, host order.
    pub slot: u16,
    /// IP protocol.
    pub protocol: u8,
    /// [`query`] for ICMP, else 0.
    pub query: u8,
}

/// IPv6 flow key, and the key of a fragmented datagram of either family. All fields in network order.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key6 {
    /// Address of the other end; of a fragment the source.
    pub remote: [u8; 16],
    /// Address of the protected side; of a fragment the destination.
    pub local: [u8; 16],
    /// Port of the other end; of a fragment the first half of the identification.
    pub remote_port: [u8; 2],
    /// Port of the protected side, or identifier of an ICMPv6 query; of a fragment the second half.
    pub local_port: [u8; 2],
    /// Directory slot of the interface, host order.
    pub slot: u16,
    /// IP protocol.
    pub protocol: u8,
    /// [`query`] for ICMPv6, else 0; of a fragment the IP version.
    pub query: u8,
}

const _: () = assert!(size_of::<Key4>() == 16);
const _: () = assert!(size_of::<Key6>() == 40);

/// Key field that tells ICMP queries apart: which kind of query, and which side asked. A request from the peer
/// therefore never meets the entry that our own request made.
pub mod query {
    /// Added when the protected side asked.
    pub const LOCAL_ASKED: u8 = 0x80;

    /// The number of the query that an ICMP (protocol 1) or ICMPv6 (58) type belongs to, and whether the type is the
    /// reply; `None` if it is neither. RFC 792, RFC 950, RFC 4443.
    #[inline(always)]
    pub const fn of(protocol: u8, kind: u8) -> Option<(u8, bool)> {
        match (protocol, kind) {
            (1, 8) | (58, 128) => Some((1, false)),
            (1, 0) | (58, 129) => Some((1, true)),
            (1, 13) => Some((2, false)),
            (1, 14) => Some((2, true)),
            (1, 15) => Some((3, false)),
            (1, 16) => Some((3, true)),
            (1, 17) => Some((4, false)),
            (1, 18) => Some((4, true)),
            _ => None,
        }
    }

    /// The ICMP type of the request of query number `query` (without [`LOCAL_ASKED`]).
    #[inline(always)]
    pub const fn request_kind(protocol: u8, query: u8) -> u8 {
        match (protocol, query) {
            (58, _) => 128,
            (_, 2) => 13,
            (_, 3) => 15,
            (_, 4) => 17,
            _ => 8,
        }
    }
}

/// One slot of a conntrack table. `K` is [`Key4`] (the slot is one cache line) or [`Key6`] (the first 56 bytes, which
/// decide, and the rest).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Entry<K> {
    /// A [`Life`] word.
    pub life: u64,
    /// Whose entry it is. Written only while the life word says [`Kind::Claimed`].
    pub key: K,
    /// [`Interface::generation`](crate::interface::Interface::generation) that it was last judged under.
    pub generation: u32,
    /// Rule counter of the rule that admitted it.
    pub counter: u32,
    /// Tick of its first packet.
    pub created: u64,
    /// Packets, `[from the opener, to the opener]`; wrap at 2^32.
    pub packets: [u32; 2],
    /// Bytes, likewise; wrap at 2^64.
    pub bytes: [u64; 2],
}

// zerocopy cannot refuse padding in a generic type: 8 (life) + key + 40.
const _: () = assert!(size_of::<Entry<Key4>>() == 64);
const _: () = assert!(size_of::<Entry<Key6>>() == 88);

/// The tags of one bucket: for each of its eight slots 16 bits of the key's hash, 0 for a slot that holds nothing.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Tags(pub [u64; 2]);

/// Slots in use, by table: the element at an interface's slot counts its own, element 0 counts the host's.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TableUse {
    /// IPv4 and IPv6 connections.
    pub connections: u64,
    /// Fragmented datagrams.
    pub fragments: u64,
    /// Tick of the last search for expired slots that a full table caused, of connections and of fragments; in element
    /// 0 the tick up to which the host's allowance for searches is spent.
    pub searched: [u64; 2],
    /// In element 0: how many buckets have been searched so far, likewise.
    pub cursor: [u64; 2],
    /// Unused.
    pub reserved: [u64; 2],
}

const _: () = assert!(size_of::<TableUse>() == 64);

/// The two buckets a key may be in and its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First bucket.
    pub first: u32,
    /// Second bucket; may be the first.
    pub second: u32,
    /// Tag; never 0.
    pub tag: u16,
}

/// Where the key with these words goes in a table of `buckets` buckets. `seed` is secret, so nobody outside can aim
/// at a bucket: each word's halves are added to a secret of their own and multiplied (the NH hash of UMAC, RFC 4418,
/// 5.2), so what a difference between two words does depends on the secret. The sum is mixed as splitmix64 does.
#[inline(always)]
pub fn place(words: &[u64], seed: u64, buckets: u32) -> Place {
    let mut hash = seed;
    let mut secret = seed;
    for &word in words {
        secret = (secret ^ secret >> 32).wrapping_mul(0x9e37_79b1_85eb_ca87);
        let low = (word as u32).wrapping_add(secret as u32);
        let high = ((word >> 32) as u32).wrapping_add((secret >> 32) as u32);
        hash = hash.wrapping_add(u64::from(low).wrapping_mul(u64::from(high)));
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 32;
    let other = hash.wrapping_mul(0x94d0_49bb_1331_11eb);
    let bucket = |high: u64| (((high & 0xffff_ffff) * u64::from(buckets)) >> 32) as u32;
    Place { first: bucket(hash), second: bucket(other >> 32), tag: (other as u16) | 1 }
}

/// A flow key as words for hashing and comparing.
pub trait Key: Copy + Default + FromBytes + IntoBytes + Immutable {
    /// 64-bit words of the key.
    type Words: AsRef<[u64]> + Copy;
    /// The key's bytes as words.
    fn words(&self) -> Self::Words;
    /// The key with these words.
    fn from_words(words: Self::Words) -> Self;
}

impl Key for Key4 {
    type Words = [u64; 2];
    #[inline(always)]
    fn words(&self) -> [u64; 2] {
        zerocopy::transmute!(*self)
    }
    #[inline(always)]
    fn from_words(words: [u64; 2]) -> Self {
        zerocopy::transmute!(words)
    }
}

impl Key for Key6 {
    type Words = [u64; 5];
    #[inline(always)]
    fn words(&self) -> [u64; 5] {
        zerocopy::transmute!(*self)
    }
    #[inline(always)]
    fn from_words(words: [u64; 5]) -> Self {
        zerocopy::transmute!(words)
    }
}

/// Ticks that an entry of `state` lives; see [`timeout`].
pub type Ticks = u64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn places_spread_over_buckets_and_tags_are_never_zero() {
        let mut load = BTreeMap::new();
        for port in 0..=u16::MAX {
            let key = Key4 { remote_port: port.to_be_bytes(), protocol: 6, ..Key4::default() };
            let at = place(&key.words(), 0x1234_5678_9abc_def0, 1 << 13);
            assert!(at.tag != 0 && at.first < 1 << 13 && at.second < 1 << 13);
            *load.entry(at.first).or_insert(0u32) += 1;
        }
        // 8 per bucket on average; a Poisson tail beyond 30 would mean that ports do not reach the bucket bits.
        assert!(*load.values().max().expect("some bucket") < 30);
        assert!(load.len() > 8000);
    }

    #[test]
    fn another_seed_is_another_place() {
        let key = Key6 { protocol: 17, ..Key6::default() };
        let places: Vec<Place> = (0..4u64).map(|s| place(&key.words(), s * 0x9e37_79b9, 1 << 16)).collect();
        assert!(places.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn nobody_can_choose_keys_that_meet_without_the_seed() {
        // Differences in the top bits of one word, cancelled by the next: multiply-and-fold maps them to each other
        // whatever the seed.
        let pairs =
            [(1 << 63, 1 << 63 | 1 << 34), (1 << 63, 1 << 63), (1 << 62, 1 << 31), (1 << 60, 1 << 63)];
        for (first, second) in pairs {
            let meets = (1..=20_000u64)
                .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .filter(|&seed| {
                    place(&[5, 7, 9], seed, 1 << 16) == place(&[5 ^ first, 7 ^ second, 9], seed, 1 << 16)
                })
                .count();
            assert!(meets < 5, "{first:x} {second:x}: {meets} of 20,000 seeds");
        }
    }

    #[test]
    fn a_request_and_its_reply_name_the_same_query() {
        assert_eq!(query::of(1, 8), Some((1, false)));
        assert_eq!(query::of(1, 0), Some((1, true)));
        assert_eq!(query::of(58, 8), None);
        assert_eq!(query::request_kind(1, 4), 17);
    }
}
