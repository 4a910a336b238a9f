//! Group membership by exact address: a hash map that changes one member at a time.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::addr::Addr;

/// An address of one tenant.
#[repr(C)]
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
pub struct MemberKey {
    /// The address.
    pub addr: Addr,
    /// Its tenant address space.
    pub zone: u32,
}

/// The set of groups that an address belongs to, in the generation in force and in the one before, so that a packet
/// judged while the generation switches sees the membership that goes with its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Membership {
    /// First generation that sees `now`.
    pub since: u32,
    /// Number of the set from `since` on; 0 = no group.
    pub now: u32,
    /// Number of the set before.
    pub before: u32,
}

/// An element of the map.
///
/// The map hands out the memory of an element that was removed for another one at once, while a program may still read
/// it. So the element says whose it is, and whoever has read the membership looks at that afterwards: the key lies in
/// front, and the kernel copies elements from the front on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Member {
    /// Whose membership it is.
    pub key: MemberKey,
    /// The membership.
    pub membership: Membership,
}

const _: () = assert!(size_of::<Member>() == 32);

impl Membership {
    /// The set that `generation` sees. Generations wrap: later is a difference below 2^31.
    #[inline(always)]
    pub const fn at(&self, generation: u32) -> u32 {
        if (generation.wrapping_sub(self.since) as i32) < 0 { self.before } else { self.now }
    }
}
