//! Capacities and loop bounds, each with its reason.

/// IPv6 extension headers walked before a packet is dropped (spec section 3).
pub const MAX_EXTENSION_HEADERS: usize = 8;
/// VLAN tags looked through on `host` interfaces.
pub const MAX_VLAN_TAGS: usize = 2;
/// Slots of a conntrack bucket: eight 16-bit tags are one 16-byte load.
pub const BUCKET_SLOTS: usize = 8;
/// Levels of a search tree: 8^8 keys, more than a heap can hold.
pub const MAX_TREE_DEPTH: usize = 8;
/// Stages of an IPv6 address search: four 32-bit pieces.
pub const ADDRESS_STAGES: usize = 4;
/// Policy roots chained by rule expiry: one for every distinct expiry time of a policy, and the last.
pub const MAX_ROOT_CHAIN: usize = 64;
/// Interface indexes found by one array look-up; higher ones go through a hash.
pub const DIRECT_IFINDEX: u32 = 65_536;
/// How long a fragmented datagram is remembered, in seconds (spec section 3).
pub const FRAGMENT_SECONDS: u64 = 30;
/// How long a fragmented datagram is remembered that seems to be complete, in seconds: for fragments that others have
/// overtaken.
pub const LATE_SECONDS: u64 = 2;
/// Buckets that searches of full tables may visit per tick, on the whole host: some 20 microseconds.
pub const SEARCHED_PER_TICK: u64 = 1024;
/// Conntrack slots per configured entry, as a ratio: with two buckets to choose from, a load of two thirds leaves
/// no bucket overfull in practice.
pub const SLOTS_PER_ENTRY: (u32, u32) = (3, 2);
