//! What the kernel knows of an interface.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One interface of one generation. The directory holds two of them per slot; the generation word says which is read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Interface {
    /// Tick at which the first rule of its policies expires; `u64::MAX` = never.
    pub next_change: u64,
    /// [`flag`] bits.
    pub flags: u32,
    /// Generation at which what judges this interface last changed. Entries admitted under another are judged again.
    pub generation: u32,
    /// Generation at which it was bound. Entries of an earlier one belong to a predecessor in the slot: they are dead.
    pub born: u32,
    /// Connections opened from outside under an earlier generation than this are cut.
    pub cleared: u32,
    /// Lines of the enforced policy roots, by direction; 0 = nothing passes.
    pub policy: [u32; 2],
    /// Lines of the audited policy roots, by direction; 0 = no audit group is bound.
    pub audit: [u32; 2],
    /// First rule counter of the enforced policies, by direction.
    pub counters: [u32; 2],
    /// First rule counter of the audited policies, by direction.
    pub audit_counters: [u32; 2],
    /// Tenant address space, part of the membership key.
    pub zone: u32,
    /// Address trees of the addresses a guest may use, by family. An answer is the line of an [`Owner`], or 0.
    pub sources: [u32; 2],
    /// Address trees of the exempt networks, by family: any answer but 0 is exempt.
    pub exempt: [u32; 2],
    /// Index of the device in its network namespace.
    pub ifindex: u32,
    /// The instance's first IPv4 address, in network order; zero = none. Spares the common packet a search.
    pub first_v4: [u8; 4],
    /// The instance's MAC address; zero = not given.
    pub mac: [u8; 6],
    /// Unused.
    pub reserved: [u8; 2],
    /// The instance's first IPv6 address; zero = none.
    pub first_v6: [u8; 16],
    /// Unused.
    pub spare: [u32; 5],
}

const _: () = assert!(size_of::<Interface>() == 128);

/// Bits of [`Interface::flags`].
pub mod flag {
    /// The slot is in use.
    pub const BOUND: u32 = 1;
    /// Role `guest`: what the device receives is egress.
    pub const GUEST: u32 = 1 << 1;
    /// Source MAC, source address, ARP sender and ND target are checked.
    pub const ANTI_SPOOF: u32 = 1 << 2;
    /// Of link-local addresses only the one made from the MAC may be used.
    pub const EUI64_ONLY: u32 = 1 << 3;
    /// Outbound tcp/25, 465 and 587 are left to the rules.
    pub const ALLOW_SMTP: u32 = 1 << 4;
    /// Connections opened from outside live on under the old rule when the policy changes.
    pub const KEEP_INGRESS: u32 = 1 << 5;
    /// A rule of the policies names a group as remote: membership must be looked up. One bit per direction.
    pub const MEMBERS_INGRESS: u32 = 1 << 6;
    /// See [`MEMBERS_INGRESS`].
    pub const MEMBERS_EGRESS: u32 = 1 << 7;
    /// Every bound group is stateless: what the default policy allows is not tracked either.
    pub const STATELESS_DEFAULT: u32 = 1 << 8;
    /// Everything passes: the slot is not in use, but its device has programs on it, because another generation that may
    /// come into force by itself binds it.
    pub const UNFILTERED: u32 = 1 << 9;
}

/// Who may use a source address: a heap line found through [`Interface::sources`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Owner {
    /// How many of `macs` are in use, 0 to 9; 0 = any MAC address (the interface's was not given).
    pub count: u32,
    /// MAC addresses that go with the address.
    pub macs: [[u8; 6]; 10],
}

const _: () = assert!(size_of::<Owner>() == 64);
