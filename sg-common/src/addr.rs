//! Addresses.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An address of either family: IPv6 as it is, IPv4 mapped to `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
///
/// The two families never meet in a table: every table is of one family, or its key also says which.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// The IPv4 address `octets`.
    // Copied as a whole: of an array of single bytes LLVM keeps single bytes.
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        let mut all = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
        all.split_at_mut(12).1.copy_from_slice(&octets);
        Self(all)
    }

    /// The last four bytes: the IPv4 address, if this is one.
    #[inline(always)]
    pub const fn v4_octets(&self) -> [u8; 4] {
        let mut octets = [0; 4];
        octets.copy_from_slice(self.0.split_at(12).1);
        octets
    }

    /// Whether it is in `::ffff:0:0/96`: an IPv4 address, or an IPv6 address that looks like one.
    #[inline(always)]
    pub const fn is_mapped(&self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
    }

    /// Bits `32 * stage ..` in host order, `stage` 0 to 3: the key of one stage of an address search.
    #[inline(always)]
    pub const fn piece(&self, stage: usize) -> u32 {
        let at = (stage & 3) * 4;
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

/// Address family as an index: `[ipv4, ipv6]`.
pub const V4: usize = 0;
/// See [`V4`].
pub const V6: usize = 1;

/// Direction as an index: towards the instance.
pub const INGRESS: usize = 0;
/// From the instance. See [`INGRESS`].
pub const EGRESS: usize = 1;
