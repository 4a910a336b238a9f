//! Counters, all per CPU: each CPU writes its own, readers add them up. Those of rules lie in one array, a part for each
//! CPU.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::verdict::Reason;

/// Packets of one direction of one interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DirectionStats {
    /// Packets that passed.
    pub allowed: u64,
    /// Bytes that passed, from the first byte of the frame.
    pub allowed_bytes: u64,
    /// Packets dropped, by [`Reason`].
    pub dropped: [u64; Reason::COUNT],
    /// Packets that an audit group would have dropped.
    pub audited: u64,
    /// Connections opened.
    pub opened: u64,
}

/// Both directions of one interface, `[ingress, egress]`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct InterfaceStats(pub [DirectionStats; 2]);

impl Default for DirectionStats {
    fn default() -> Self {
        Self { allowed: 0, allowed_bytes: 0, dropped: [0; Reason::COUNT], audited: 0, opened: 0 }
    }
}

/// Hits of one rule on one interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RuleCounter {
    /// Packets that the rule decided, those of the connections it admitted included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tick of the last one.
    pub last_hit: u64,
    /// Unused.
    pub reserved: u64,
}

/// No rule counter: what a connection carries whose rule is gone.
pub const NO_COUNTER: u32 = u32::MAX;
