//! Drawing packets: a tuple for every run of a program, from a few numbers and a generator.
//!
//! Tuples are laid out in *blocks*. A block is a prefix that rules name, or one flow. The bench computes the same
//! tuples to open the flows and to write the rules.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What tuples look like; the generator's state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Draw {
    /// State of the generator; not 0.
    pub state: u64,
    /// Source of block 0: an IPv4 address, or the upper half of an IPv6 address.
    pub base: u64,
    /// Number of blocks, each as likely as the others.
    pub blocks: u32,
    /// A block's source is this many bits above the last one's.
    pub shift: u32,
    /// Bits of the host within its block (IPv6: of the lower half of the address) that are random.
    pub host_mask: u32,
    /// Lowest source port.
    pub source_port: u16,
    /// Bits that are random, added to it.
    pub source_port_mask: u16,
    /// Lowest destination port of block 0.
    pub port: u16,
    /// Added for each block, 1,024 blocks long.
    pub port_step: u16,
    /// Bits that are random, added to it.
    pub port_mask: u16,
    /// Unused.
    pub reserved: u16,
    /// The four bytes after the ports: TCP sequence number; UDP length and checksum.
    pub sequence: u32,
    /// Unused.
    pub spare: u32,
}

/// A generated UDP packet, but for what is drawn.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Template {
    /// The frame.
    pub words: [u64; FRAME_WORDS],
    /// Sum of the IPv4 header's other 16-bit words: without source and checksum.
    pub sum: u32,
    /// Index of the device that packets leave by.
    pub device: u32,
}

/// What rules look at in a packet of a given trace.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Traced {
    /// IPv4 source.
    pub source: u32,
    /// Destination port.
    pub port: u16,
    /// 6 or 17.
    pub protocol: u8,
    /// Unused.
    pub reserved: u8,
}

/// Packets that a trace may have.
pub const TRACE: u32 = 16_384;

/// Length of a generated frame in words of eight bytes.
pub const FRAME_WORDS: usize = 8;

impl Template {
    /// The IPv4 header's checksum for this source.
    #[inline(always)]
    pub const fn checksum(&self, source: u32) -> u16 {
        let sum = self.sum + (source >> 16) + (source & 0xffff);
        let once = (sum >> 16) + (sum & 0xffff);
        !((once >> 16) + once) as u16
    }
}

/// Source and destination port of a packet; everything else is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Source: an IPv4 address, or the upper half of an IPv6 address.
    pub source: u64,
    /// Lower half of an IPv6 source.
    pub source_low: u64,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub port: u16,
}

impl Draw {
    /// Draws a tuple. (xorshift64*, Vigna 2016.)
    #[inline(always)]
    pub fn next(&mut self, family_is_v4: bool) -> Tuple {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let random = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let block = (((random >> 32) * u64::from(self.blocks)) >> 32) as u32;
        self.tuple(block, random as u32, family_is_v4)
    }

    /// The tuple of a block and the random bits.
    #[inline(always)]
    pub fn tuple(&self, block: u32, random: u32, family_is_v4: bool) -> Tuple {
        let host = u64::from(random & self.host_mask);
        let source = self.base.wrapping_add(u64::from(block) << (self.shift & 31));
        let step = (block as u16 & 1023).wrapping_mul(self.port_step);
        Tuple {
            source: if family_is_v4 { source + host } else { source },
            source_low: host + 1,
            source_port: self.source_port.wrapping_add((random >> 8) as u16 & self.source_port_mask),
            port: self.port.wrapping_add(step).wrapping_add((random >> 24) as u16 & self.port_mask),
        }
    }
}

impl Tuple {
    /// Ports and sequence number as the frame has them.
    #[inline(always)]
    pub fn transport_word(&self, sequence: u32) -> u64 {
        ((u64::from(self.source_port) << 48) | (u64::from(self.port) << 32) | u64::from(sequence)).to_be()
    }

    /// TTL, protocol, checksum and source of an IPv4 header.
    #[inline(always)]
    pub fn v4_word(&self, protocol: u8, checksum: u16) -> u64 {
        const TTL: u64 = 64;
        let source = self.source & 0xffff_ffff;
        ((TTL << 56) | (u64::from(protocol) << 48) | (u64::from(checksum) << 32) | source).to_be()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_reach_every_block_and_stay_inside() {
        let mut draw = Draw {
            state: 1,
            base: 0x0a00_0000,
            blocks: 10,
            shift: 6,
            host_mask: 63,
            source_port: 1024,
            source_port_mask: 0x7fff,
            port: 2000,
            port_step: 8,
            port_mask: 7,
            ..Draw::default()
        };
        let mut seen = [0; 10];
        for _ in 0..1000 {
            let tuple = draw.next(true);
            let block = (tuple.source - 0x0a00_0000) >> 6;
            seen[block as usize] += 1;
            assert!((1024..1024 + 0x8000).contains(&tuple.source_port));
            assert_eq!(u64::from(tuple.port - 2000) / 8, block);
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    }

    #[test]
    fn checksums_are_of_the_whole_header() {
        // The example of Wikipedia, "Internet checksum": 192.168.0.1 -> 192.168.0.199, UDP.
        let others = [0x4500, 0x0073, 0x0000, 0x4000, 0x4011, 0xc0a8, 0x00c7];
        let template = Template { sum: others.iter().sum(), ..Template::default() };
        assert_eq!(template.checksum(0xc0a8_0001), 0xb861);
    }

    #[test]
    fn words_are_in_network_order() {
        let tuple = Tuple { source: 0x0a01_0203, source_low: 0, source_port: 0x1234, port: 80 };
        assert_eq!(tuple.v4_word(6, 0x0102).to_ne_bytes(), [64, 6, 1, 2, 10, 1, 2, 3]);
        assert_eq!(tuple.transport_word(7).to_ne_bytes(), [0x12, 0x34, 0, 80, 0, 0, 0, 7]);
    }
}
