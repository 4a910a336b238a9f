//! Random input for the tests: small address spaces, so that things meet.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sg_common::addr::V4;

/// splitmix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// An IPv6 address; if `near`, one of few in each of the four stages.
    pub fn address(&mut self, near: bool) -> u128 {
        let piece = |random: &mut Self| if near { random.below(3) } else { random.next() & 0xffff_ffff };
        (0..4).fold(0, |addr, _| addr << 32 | u128::from(piece(self)))
    }

    /// A prefix of `family`, often near others.
    pub fn prefix(&mut self, family: usize) -> IpNet {
        if family == V4 {
            let length = *self.pick(&[0, 1, 8, 15, 16, 23, 24, 30, 31, 32, 32]);
            let addr = if self.one_in(9) { u32::MAX } else { 0x0a00_0000 | self.below(1 << 10) as u32 };
            IpNet::V4(Ipv4Net::new_assert(addr.into(), length).trunc())
        } else {
            let length = *self.pick(&[0, 1, 31, 32, 33, 48, 63, 64, 65, 96, 97, 127, 128, 128]);
            let addr = if self.one_in(9) { u128::MAX } else { self.address(true) };
            IpNet::V6(Ipv6Net::new_assert(addr.into(), length).trunc())
        }
    }
}
